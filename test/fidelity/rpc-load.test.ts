/**
 * Sixteen pairs of requester and worker, each with a hundred requests under way at once: every
 * request gets its own answer, whatever the order that the worker answers in.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { queue } from '../interop/clients/client.ts';
import { type End, PROTOCOL_ENDS } from '../interop/clients/ends.ts';
import { type InteropGateway, startInterop } from '../interop/interop-gateway.ts';

const REQUESTS = 100;

let world: InteropGateway;
beforeAll(async () => {
  world = await startInterop(PROTOCOL_ENDS);
});
afterAll(() => world.stop());

/** Answers each request with what it asked and its own name, the later of two first. */
async function work(end: End, place: ReturnType<typeof queue>): Promise<void> {
  const inbox = await world.receiver(end).consume(place);
  for (let answered = 0; answered < REQUESTS; answered += 2) {
    const [first, second] = [await inbox.next(), await inbox.next()];
    await second.answer(Buffer.concat([second.body, Buffer.from(` by ${end.protocol}`)]));
    await first.answer(Buffer.concat([first.body, Buffer.from(` by ${end.protocol}`)]));
  }
}

/** Text or bytes, by turns, told apart by their number. */
function bodyOf(number: number): Buffer | string {
  return number % 2 === 0 ? `question ${number} ?` : Buffer.from([0xff, 0x00, number]);
}

/** No two are alike in all the sixteen pairs: an answer that comes late belongs to nobody else. */
let identifiers = 0;
function idOf(number: number): string | Buffer {
  const id = `request ${++identifiers}`;
  return number % 3 === 0 ? Buffer.concat([Buffer.from([0xff]), Buffer.from(id)]) : id;
}

describe.each(PROTOCOL_ENDS)('$name asks a hundred questions at once', (asking) => {
  it.each(PROTOCOL_ENDS)('$name answers each', async (working) => {
    const place = queue(world.unique('load'));
    const worked = work(working, place);
    const requester = world.sender(asking);
    const answers = await Promise.all(
      Array.from({ length: REQUESTS }, (_, number) =>
        requester.request(place, { body: bodyOf(number), correlationId: idOf(number) }),
      ),
    );
    await worked;
    expect(answers.map((answer) => answer.body.toString('latin1'))).toEqual(
      Array.from({ length: REQUESTS }, (_, number) => {
        const asked = Buffer.from(bodyOf(number) as string).toString('latin1');
        return `${asked} by ${working.protocol}`;
      }),
    );
  });
});
