/**
 * Request and reply over every pair of client libraries: the requester gives a reply address by its
 * protocol's ordinary means (reply-to, Response Topic, temporary queue, its own JID), the worker
 * answers by its own, and knows nothing of the other's protocol.
 */
import { type ConsumeMessage, connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Client, type Place, person, queue, topic } from './clients/client.ts';
import { AMQP, ENDS, type End, PAIRS, PROTOCOL_ENDS, XMPP } from './clients/ends.ts';
import { type InteropGateway, startInterop } from './interop-gateway.ts';

const TALKING = ENDS.filter((end) => end.bare === null);
const SILENT = ENDS.filter((end) => end.bare !== null);
const BYTES = Buffer.from([0xff, 0x00, 0x80, 0x0a]);

let world: InteropGateway;
beforeAll(async () => {
  world = await startInterop(ENDS);
});
afterAll(() => world.stop());

/** The worker answers what it got, in capitals; the requester sees that answer and no other. */
async function complete(
  requester: Client,
  worker: Client,
  place: Place,
  correlationId: string | Buffer,
): Promise<void> {
  const inbox = await worker.consume(place);
  const asked = requester.request(place, { body: 'what is it?', correlationId });
  const request = await inbox.next();
  expect(request.body.toString()).toBe('what is it?');
  await request.answer(request.body.toString().toUpperCase());
  const reply = await asked;
  expect(reply.body.toString()).toBe('WHAT IS IT?');
  expect(reply.correlationId).toEqual(Buffer.from(correlationId as string));
}

describe.each(TALKING)('$name asks', (asking) => {
  const working = PAIRS.filter(({ from, to }) => from === asking && to.bare === null);
  const workers = working.map(({ to }) => to);

  it.each(workers)('a worker on a queue, $name', async (working) => {
    const place = queue(world.unique('rpc'));
    const ends = [world.sender(asking), world.receiver(working)] as const;
    await complete(...ends, place, 'request-1');
  });

  it.each(workers)('with a correlation id of bytes, $name', async (working) => {
    const place = queue(world.unique('rpc-bytes'));
    const ends = [world.sender(asking), world.receiver(working)] as const;
    await complete(...ends, place, BYTES);
  });

  it('a person, who answers in a chat', async () => {
    const worker = world.receiver(XMPP);
    const place = person(world.nameOf(worker));
    await complete(world.sender(asking), worker, place, world.unique('chat'));
  });
});

describe.each(PROTOCOL_ENDS)('$name asks over a topic', (asking) => {
  const working = PROTOCOL_ENDS.filter((end) => end.protocol !== 'xmpp');
  it.each(working)('$name', async (worker) => {
    const place = topic(world.unique('rpc.topic'));
    await complete(world.sender(asking), world.receiver(worker), place, 'by topic');
  });
});

describe('AMQP with amq.rabbitmq.reply-to', () => {
  it.each(PROTOCOL_ENDS)('asks $name', async (working) => {
    const name = world.unique('direct-reply');
    const inbox = await world.receiver(working).consume(queue(name));
    const port = world.gateway.port('amqp');
    const connection = await connect(`amqp://user0:secret@127.0.0.1:${port}`);
    const channel = await connection.createChannel();
    const answered = new Promise<ConsumeMessage | null>((resolve) => {
      void channel.consume('amq.rabbitmq.reply-to', resolve, { noAck: true });
    });
    const options = { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' };
    channel.sendToQueue(name, Buffer.from('ping'), options);
    await (await inbox.next()).answer('pong');
    const answer = await answered;
    expect(answer?.content.toString()).toBe('pong');
    expect(answer?.properties.correlationId).toBe('7');
    await connection.close();
  });
});

describe.each(SILENT)('$name', (end: End) => {
  it(`cannot say where to answer, since ${end.bare}`, async () => {
    const place = queue(world.unique('rpc-bare'));
    const inbox = await world.receiver(end).consume(place);
    await world.sender(AMQP).publish(place, { body: 'question', correlationId: '1' });
    const request = await inbox.next();
    expect([request.replyTo, request.correlationId]).toEqual([undefined, undefined]);
  });
});
