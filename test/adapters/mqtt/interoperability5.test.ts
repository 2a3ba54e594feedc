/**
 * What interoperability suites ask of a broker of MQTT 5 alone, over sockets, with the settings that
 * CONNACK announces made small enough to reach.
 */
import type { IConnectPacket, IPublishPacket } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { SocketClient } from './socket-client.ts';

let gateway: Gateway;
let opened: SocketClient[] = [];

const OPTIONS = {
  receive_maximum: 5,
  max_packet_size: 10_000,
  topic_alias_maximum: 3,
  max_session_expiry: 1000,
  max_keep_alive: 60,
};

beforeAll(async () => {
  gateway = await startGateway({ mqtt: OPTIONS });
});

afterEach(() => {
  for (const client of opened) client.cut();
  opened = [];
});

afterAll(async () => {
  await gateway.stop();
});

async function join(clientId: string, parts: Partial<IConnectPacket> = {}): Promise<SocketClient> {
  const client = await SocketClient.join(gateway.port('mqtt'), 5, clientId, parts);
  opened.push(client);
  return client;
}

async function connack(clientId: string, parts: Partial<IConnectPacket> = {}) {
  const client = await SocketClient.open(gateway.port('mqtt'), 5);
  opened.push(client);
  return await client.connect(clientId, parts);
}

function expiring(seconds: number, clean: boolean = false): Partial<IConnectPacket> {
  return { clean, properties: { sessionExpiryInterval: seconds } };
}

describe('CONNACK', () => {
  it('announces the limits that hold', async () => {
    expect(await connack('limits', { keepalive: 0 })).toMatchObject({
      reasonCode: 0,
      sessionPresent: false,
      properties: {
        receiveMaximum: 5,
        maximumPacketSize: 10_000,
        topicAliasMaximum: 3,
        serverKeepAlive: 60,
      },
    });
    const long = await connack('limits', { ...expiring(5000), keepalive: 120 });
    expect(long.properties).toMatchObject({ sessionExpiryInterval: 1000, serverKeepAlive: 60 });
    const short = await connack('limits-2', { ...expiring(500), keepalive: 30 });
    expect(short.properties).not.toHaveProperty('sessionExpiryInterval');
    expect(short.properties).not.toHaveProperty('serverKeepAlive');
  });
});

describe('sessions', () => {
  it('of interval 0 end with their connection, longer ones stay', async () => {
    for (const [seconds, present] of [
      [0, false],
      [100, true],
    ] as const) {
      const id = `expiry-${seconds}`;
      const client = await join(id, expiring(seconds, true));
      await client.subscribe('expiry', 2);
      await client.leave();
      expect((await connack(id, expiring(seconds))).sessionPresent).toBe(present);
    }
  });

  it('take another interval with DISCONNECT', async () => {
    const client = await join('changed', expiring(1, true));
    await client.leave(0, { sessionExpiryInterval: 500 });
    const back = await join('changed', expiring(500));
    await back.leave(0, { sessionExpiryInterval: 0 });
    expect((await connack('changed', expiring(1))).sessionPresent).toBe(false);
  });

  it('end when their time is over, and a will that waits is said then', async () => {
    const watcher = await join('delay-watcher');
    await watcher.subscribe('delayed', 1);
    const properties = { willDelayInterval: 100 };
    const message = { topic: 'delayed', payload: Buffer.from('x'), qos: 1, retain: false };
    const client = await join('delay', {
      ...expiring(1, true),
      will: { ...message, properties },
    } as Partial<IConnectPacket>);
    client.cut();
    await watcher.quiet();
    expect(await watcher.texts(1)).toEqual(['x']);
    expect((await connack('delay', expiring(1))).sessionPresent).toBe(false);
  });

  it('of a client that is back before its will was said: it is not', async () => {
    const watcher = await join('back-watcher');
    await watcher.subscribe('back', 1);
    const message = { topic: 'back', payload: Buffer.from('x'), qos: 1, retain: false };
    const client = await join('back', {
      ...expiring(100, true),
      will: { ...message, properties: { willDelayInterval: 1 } },
    } as Partial<IConnectPacket>);
    client.cut();
    const again = await join('back', expiring(100));
    await again.put('back', 'in its place', 1);
    expect(await watcher.texts(1)).toEqual(['in its place']);
    await watcher.quiet();
  });
});

describe('properties of messages', () => {
  const PROPERTIES = {
    payloadFormatIndicator: true,
    contentType: 'My name',
    responseTopic: 'answers/here',
    correlationData: Buffer.from('334'),
    userProperties: { a: '2', c: ['3', '1'] },
  };

  it('arrive as they were, with every QoS, live and kept', async () => {
    const client = await join('properties');
    await client.subscribe('properties', 2);
    for (const qos of [0, 1, 2] as const) {
      client.publish('properties', '', qos, { properties: PROPERTIES });
      if (qos === 2) client.send({ cmd: 'pubrel', messageId: 3 });
    }
    for (const qos of [0, 1, 2]) {
      expect(await client.message()).toMatchObject({ qos, properties: PROPERTIES });
    }
    const sender = await join('properties-2');
    await sender.put('kept', 'v', 1, { properties: PROPERTIES, retain: true });
    await client.subscribe('kept', 0);
    expect((await client.message()).properties).toEqual(PROPERTIES);
  });

  it('say what remains of an expiry', async () => {
    const receiver = await join('remaining', expiring(100, true));
    await receiver.subscribe('remaining', 2);
    await receiver.leave();
    const sender = await join('remaining-2');
    const properties = { messageExpiryInterval: 600 };
    await sender.put('remaining', 'kept', 2, { properties });
    const back = await join('remaining', expiring(100));
    const { properties: received } = await back.message();
    expect(received?.messageExpiryInterval).toBeLessThanOrEqual(600);
    expect(received?.messageExpiryInterval).toBeGreaterThan(500);
  });

  it('of a request find their answer', async () => {
    const asker = await join('asker');
    const service = await join('service');
    await service.subscribe('request', 2);
    await asker.subscribe('answers/here', 2);
    await asker.put('request', 'how much', 1, { properties: PROPERTIES });
    const { properties } = await service.message();
    const { responseTopic = '', correlationData } = properties ?? {};
    const echo = correlationData === undefined ? {} : { correlationData };
    await service.put(responseTopic, 'so much', 1, { properties: echo });
    const answer = await asker.message();
    expect(answer.payload.toString()).toBe('so much');
    expect(answer.properties?.correlationData?.toString()).toBe('334');
  });
});

describe('subscriptions', () => {
  it('have options: No Local, Retain As Published, Retain Handling', async () => {
    const [one, two] = [await join('options-1'), await join('options-2')];
    await one.subscribe('options', 2, { nl: true });
    await two.subscribe('options', 2, { nl: true, rap: true });
    await one.put('options', 'mine', 1);
    await one.put('options', 'kept', 1, { retain: true });
    expect([await two.message(), await two.message()].map(({ retain }) => retain)).toEqual([
      false,
      true,
    ]);
    await one.quiet();
    for (const [rh, count] of [
      [1, 1],
      [1, 0],
      [2, 0],
      [0, 1],
      [0, 1],
    ] as const) {
      await one.subscribe('options/#', 1, { rh });
      expect(await one.texts(count)).toEqual(Array(count).fill('kept'));
      await one.quiet();
    }
  });

  it('have identifiers, which come with what they matched', async () => {
    const client = await join('identifiers');
    await client.subscribe('identifiers/x', 2, { properties: { subscriptionIdentifier: 456_789 } });
    await client.subscribe('identifiers/#', 1, { properties: { subscriptionIdentifier: 2 } });
    const sender = await join('identifiers-2');
    await sender.put('identifiers/x', 'both', 1);
    await sender.put('identifiers/y', 'one', 1);
    const ids = ({ properties }: IPublishPacket) =>
      [properties?.subscriptionIdentifier ?? []].flat().sort();
    expect(ids(await client.message())).toEqual([2, 456_789]);
    expect(ids(await client.message())).toEqual([2]);
  });

  it('are shared: each message to one member, beside subscriptions of their own', async () => {
    const members = [await join('member-1'), await join('member-2')];
    for (const member of members) await member.subscribe(['$share/team/job', 'job'], 2);
    const sender = await join('boss');
    for (let i = 0; i < 10; i++) await sender.put('job', String(i), 1);
    const counts: number[] = [];
    const all: string[] = [];
    for (const member of members) {
      // Ten of its own, and its part of the group's.
      const own = await member.texts(10 + 5);
      all.push(...own);
      counts.push(own.length);
      await member.quiet();
    }
    expect(counts).toEqual([15, 15]);
    const tally = new Map<string, number>();
    for (const text of all) tally.set(text, (tally.get(text) ?? 0) + 1);
    expect([...tally.values()]).toEqual(Array(10).fill(3));
  });
});

describe('limits', () => {
  it('topic aliases from the client', async () => {
    const client = await join('alias');
    const watcher = await join('alias-watcher');
    await watcher.subscribe('alias/#', 1);
    await client.put('alias/a', '1', 1, { properties: { topicAlias: 3 } });
    await client.put('', '2', 1, { properties: { topicAlias: 3 } });
    await client.put('alias/b', '3', 1, { properties: { topicAlias: 3 } });
    await client.put('', '4', 1, { properties: { topicAlias: 3 } });
    const seen = [1, 2, 3, 4].map(() => watcher.message());
    const topics: string[] = [];
    for (const message of seen) topics.push((await message).topic);
    expect(topics).toEqual(['alias/a', 'alias/a', 'alias/b', 'alias/b']);
    client.cut();
    const back = await join('alias');
    back.publish('', '5', 1, { properties: { topicAlias: 3 } });
    expect(await back.dropped()).toBe(0x82);
    for (const topicAlias of [0, 4]) {
      const wrong = await join('alias-wrong');
      wrong.publish('alias/a', 'x', 0, { properties: { topicAlias } });
      expect(await wrong.dropped()).toBe(0x94);
    }
  });

  it('topic aliases to the client', async () => {
    const client = await join('alias-out', { properties: { topicAliasMaximum: 1 } });
    await client.subscribe('out/#', 2);
    const sender = await join('alias-sender');
    for (const topic of ['out/a', 'out/a', 'out/b', 'out/a']) await sender.put(topic, 'x', 1);
    const seen: unknown[] = [];
    for (let i = 0; i < 4; i++) {
      const { topic, properties } = await client.message();
      seen.push([topic, properties?.topicAlias]);
    }
    expect(seen).toEqual([
      ['out/a', 1],
      ['', 1],
      ['out/b', undefined],
      ['', 1],
    ]);
    const without = await join('alias-none');
    await without.subscribe('out/#', 1);
    await sender.put('out/a', 'x', 1);
    expect((await without.message()).properties?.topicAlias).toBeUndefined();
  });

  it('packets that are too large, either way', async () => {
    const client = await join('large');
    client.publish('large', Buffer.alloc(10_000), 1);
    expect(await client.dropped()).toBe(0x95);
    const small = await join('small', { properties: { maximumPacketSize: 64 } });
    await small.subscribe('large', 2);
    const sender = await join('large-sender');
    for (const body of ['1', 'x'.repeat(64), '2']) await sender.put('large', body, 2);
    expect(await small.texts(2)).toEqual(['1', '2']);
    await small.quiet();
  });

  it('publishes in flight, from the client', async () => {
    const client = await join('flood');
    for (let messageId = 1; messageId <= 5; messageId++) {
      client.publish('flood', 'x', 2, { messageId });
      await client.next('pubrec');
    }
    client.send({ cmd: 'pubrel', messageId: 1 });
    await client.next('pubcomp');
    client.publish('flood', 'x', 2, { messageId: 6 });
    await client.next('pubrec');
    client.publish('flood', 'x', 2, { messageId: 7 });
    expect(await client.dropped()).toBe(0x93);
  });

  it('publishes in flight, to the client', async () => {
    const client = await join('window', { properties: { receiveMaximum: 2 } });
    await client.subscribe('window', 2);
    const sender = await join('window-sender');
    for (let i = 0; i < 4; i++) await sender.put('window', String(i), i % 2 === 0 ? 1 : 2);
    const first = await client.next('publish');
    const second = await client.next('publish');
    // Nothing more, but answers to everything else [MQTT-4.9.0-3].
    await client.quiet();
    client.send({ cmd: 'puback', messageId: first.messageId ?? 0 });
    expect((await client.next('publish')).payload.toString()).toBe('2');
    client.send({ cmd: 'pubrec', messageId: second.messageId ?? 0 });
    await client.next('pubrel');
    await client.quiet();
    client.send({ cmd: 'pubcomp', messageId: second.messageId ?? 0 });
    expect((await client.next('publish')).payload.toString()).toBe('3');
  });
});

it('takes no good-bye for an answer where its reason keeps the will', async () => {
  const watcher = await join('keep-will-watcher');
  await watcher.subscribe('keep-will', 1);
  const message = { topic: 'keep-will', payload: Buffer.from('x'), qos: 1, retain: false };
  const client = await join('keep-will', { will: message } as Partial<IConnectPacket>);
  await client.leave(0x04);
  expect(await watcher.texts(1)).toEqual(['x']);
});
