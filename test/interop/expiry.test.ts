/** A message whose life has ended is not delivered, whichever protocol said how long it lives. */
import { type Channel, connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { queue } from './clients/client.ts';
import { type End, PROTOCOL_ENDS } from './clients/ends.ts';
import { type InteropGateway, startInterop } from './interop-gateway.ts';

/** MQTT counts in seconds: its messages live one. */
const LIFE_MS = 20;

const PAIRS = PROTOCOL_ENDS.flatMap((from) =>
  PROTOCOL_ENDS.map((to) => ({ from, to, name: `${from.protocol}-${to.protocol}` })),
);

let world: InteropGateway;
let channel: Channel;
let close: () => Promise<void>;

beforeAll(async () => {
  world = await startInterop(PROTOCOL_ENDS);
  const connection = await connect(`amqp://user0:secret@127.0.0.1:${world.gateway.port('amqp')}`);
  channel = await connection.createChannel();
  close = () => connection.close();
  for (const { from, name } of PAIRS) await publishDoomed(from, `expiry-${name}`);
});
afterAll(async () => {
  await close();
  await world.stop();
});

async function publishDoomed(from: End, name: string): Promise<void> {
  await channel.assertQueue(name, { durable: true });
  const message = { body: 'too late', expiryMs: LIFE_MS, persistent: true };
  await world.sender(from).publish(queue(name), message);
}

/** Asks the gateway until the queue is empty: a message goes when its life ends, consumer or not. */
async function emptied(name: string): Promise<void> {
  for (;;) {
    const { messageCount } = await channel.checkQueue(name);
    if (messageCount === 0) return;
  }
}

describe('an expired message', () => {
  it.each(PAIRS)('does not go from $from.name to $to.name', async ({ from, to, name }) => {
    await emptied(`expiry-${name}`);
    const place = queue(`expiry-${name}`);
    const inbox = await world.receiver(to).consume(place);
    await world.sender(from).publish(place, { body: 'in time', persistent: true });
    expect((await inbox.next()).body.toString()).toBe('in time');
    expect(inbox.waiting).toBe(0);
  });
});
