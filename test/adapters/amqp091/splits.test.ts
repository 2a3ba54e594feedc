import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Method } from '../../../adapters/amqp091/wire.ts';
import {
  ack,
  consume,
  declareQueue,
  HEADER,
  method,
  octet,
  openChannel,
  openVhost,
  publish,
  Stage,
  short,
  startOk,
  text,
  tuneOk,
} from './script.ts';

const SCRIPT = Buffer.concat([
  ...[HEADER, startOk(), tuneOk(0, 4096), openVhost(), openChannel(1), openChannel(2)],
  ...[declareQueue(1, 'q'), consume(2, 'q', 'c'), method(1, Method.CONFIRM_SELECT, octet(0))],
  publish(1, 'q', 'small'),
  publish(1, 'q', Buffer.alloc(10_000, 'x'), { frameBytes: 4096 }),
  publish(1, 'nowhere', 'back', { bits: 1 }),
  ...[ack(2, 1), ack(2, 2), publish(1, 'q', ''), ack(2, 9)],
  method(2, Method.CHANNEL_CLOSE_OK),
  method(0, Method.CONNECTION_CLOSE, short(200), text('bye'), short(0), short(0)),
]);

/** Everything but the confirms, of which a turn makes one, and so a split two. */
function heard(pieces: readonly Buffer[]): string[] {
  const actor = new Stage().client();
  for (const piece of pieces) actor.say(piece);
  return actor.hear().filter((line) => !line.includes('basic.ack'));
}

test('what a client is answered does not depend on how its bytes were split', () => {
  const whole = heard([SCRIPT]);
  expect(whole.at(-1)).toBe('0 connection.close-ok');
  expect(whole.filter((line) => line.includes('basic.deliver'))).toHaveLength(3);
  const sizes = fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 60 });
  fc.assert(
    fc.property(sizes, (lengths) => {
      const pieces: Buffer[] = [];
      let at = 0;
      for (const length of lengths) {
        pieces.push(SCRIPT.subarray(at, at + length));
        at += length;
      }
      pieces.push(SCRIPT.subarray(at));
      expect(heard(pieces)).toEqual(whole);
    }),
    { numRuns: 60 },
  );
  expect(heard([...SCRIPT].map((byte) => octet(byte)))).toEqual(whole);
});
