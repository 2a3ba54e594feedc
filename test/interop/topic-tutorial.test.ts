/**
 * RabbitMQ's topic tutorial, published from each of the four protocols, with the same bindings as AMQP
 * queues and as subscriptions of the other protocols:
 *
 *     Q1  *.orange.*      Q2  *.*.rabbit  and  lazy.#
 */
import { type Channel, connect } from 'amqplib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Client, type Inbox, pattern, queue, topic } from './clients/client.ts';
import { AMQP, type End, MQTT5, PROTOCOL_ENDS, STOMP, XMPP } from './clients/ends.ts';
import { type InteropGateway, startInterop } from './interop-gateway.ts';

const Q1 = ['*.orange.*'];
const Q2 = ['*.*.rabbit', 'lazy.#'];

/** Published keys, and who gets them how often. */
const TUTORIAL = [
  { key: 'quick.orange.rabbit', q1: 1, q2: 1 },
  { key: 'lazy.orange.elephant', q1: 1, q2: 1 },
  { key: 'quick.orange.fox', q1: 1, q2: 0 },
  { key: 'lazy.brown.fox', q1: 0, q2: 1 },
  { key: 'lazy.pink.rabbit', q1: 0, q2: 1 },
  { key: 'quick.brown.fox', q1: 0, q2: 0 },
  { key: 'orange', q1: 0, q2: 0 },
  { key: 'quick.orange.male.rabbit', q1: 0, q2: 0 },
  { key: 'lazy.orange.male.rabbit', q1: 0, q2: 1 },
  { key: 'lazy', q1: 0, q2: 1 },
] as const;

/** Published last: matches both, so that whatever was to come before it has come. */
const END = 'lazy.orange.end';

let world: InteropGateway;
let channel: Channel;
let close: () => Promise<void>;

// XMPP's items stay the last value of their topics, so each case has a gateway of its own.
beforeEach(async () => {
  world = await startInterop([]);
  const connection = await connect(`amqp://user0:secret@127.0.0.1:${world.gateway.port('amqp')}`);
  channel = await connection.createChannel();
  close = () => connection.close();
});
afterEach(async () => {
  await close();
  await world.stop();
});

/** A queue that AMQP binds, consumed by AMQP. */
async function bound(patterns: readonly string[]): Promise<Inbox> {
  const name = world.unique('tutorial');
  await channel.assertQueue(name, { durable: true });
  for (const pattern of patterns) await channel.bindQueue(name, 'amq.topic', pattern);
  return (await world.connect(AMQP)).consume(queue(name));
}

/** Bodies (the keys) up to the last, which is left out. */
async function keysOf(inbox: Inbox): Promise<string[]> {
  const keys: string[] = [];
  for (;;) {
    const key = (await inbox.next()).body.toString();
    if (key === END) return keys;
    keys.push(key);
  }
}

async function publishAll(client: Client): Promise<void> {
  for (const { key } of TUTORIAL) await client.publish(topic(key), { body: key });
  await client.publish(topic(END), { body: END });
}

const expected = (which: 'q1' | 'q2'): string[] =>
  TUTORIAL.filter((row) => row[which] === 1).map((row) => row.key);

describe.each(PROTOCOL_ENDS)('published by $name', (from) => {
  it('reaches each bound queue once where one of its patterns matches', async () => {
    const [first, second] = [await bound(Q1), await bound(Q2)];
    await publishAll(await world.connect(from));
    expect(await keysOf(first)).toEqual(expected('q1'));
    expect(await keysOf(second)).toEqual(expected('q2'));
  });
});

/** Subscribers of the other protocols; each pattern is a subscription of its own. */
const SUBSCRIBERS: readonly { readonly end: End; readonly how: string }[] = [
  { end: MQTT5, how: 'a topic filter, + for a word' },
  { end: STOMP, how: '/topic/ with the same pattern' },
];

describe.each(SUBSCRIBERS)('subscribed by $end.name ($how)', ({ end }) => {
  it.each(PROTOCOL_ENDS)('sees what $name publishes', async (from) => {
    const client = await world.connect(end);
    const first = await client.consume(topic(Q1[0] ?? ''));
    const lazy = await client.consume(topic(Q2[1] ?? ''));
    await publishAll(await world.connect(from));
    expect(await keysOf(first)).toEqual(expected('q1'));
    const prefixed = expected('q2').filter((key) => key.startsWith('lazy'));
    expect(await keysOf(lazy)).toEqual(prefixed);
  });
});

describe('subscribed by XMPP', () => {
  it.each(PROTOCOL_ENDS)(
    'presence to an exchange binds a pattern, so $name reaches it',
    async (from) => {
      const client = await world.connect(XMPP);
      const patterns = [...Q1, ...Q2.slice(1)];
      const [first, lazy] = await Promise.all(patterns.map((key) => client.consume(pattern(key))));
      await publishAll(await world.connect(from));
      expect(first && (await keysOf(first))).toEqual(expected('q1'));
      const prefixed = expected('q2').filter((key) => key.startsWith('lazy'));
      expect(lazy && (await keysOf(lazy))).toEqual(prefixed);
    },
  );

  // A pubsub node is one topic (XEP-0060 has no wildcards): each exact key is a node.
  it.each(PROTOCOL_ENDS)('a node is one exact key, whatever $name publishes', async (from) => {
    const client = await world.connect(XMPP);
    const rabbit = await client.consume(topic('quick.orange.rabbit'));
    const end = await client.consume(topic(END));
    await publishAll(await world.connect(from));
    expect((await rabbit.next()).body.toString()).toBe('quick.orange.rabbit');
    expect((await end.next()).body.toString()).toBe(END);
    expect(rabbit.waiting).toBe(0);
  });
});
