/**
 * What MQTT clients find again after a stop and after a kill -9, at each step of each exchange: the
 * gateway is a process of its own, of which they see nothing but its packets.
 */
import type { IConnectPacket } from 'mqtt-packet';
import { describe, expect } from 'vitest';
import { SocketClient } from '../adapters/mqtt/socket-client.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { type Story, tell } from './stories.ts';

const LASTING = { clean: false, properties: { sessionExpiryInterval: 1000 } };
const PASSING = { clean: true };

function join(
  gateway: GatewayProcess,
  clientId: string,
  parts: Partial<IConnectPacket> = LASTING,
): Promise<SocketClient> {
  const login = { username: 'guest', password: Buffer.from('guest') };
  return SocketClient.join(gateway.port('mqtt'), 5, clientId, { ...login, ...parts });
}

/** A session that takes so many messages at a time. */
function receiving(receiveMaximum: number): Partial<IConnectPacket> {
  return { ...LASTING, properties: { ...LASTING.properties, receiveMaximum } };
}

/** What the client has acknowledged is safe: SUBACK says that everything before it is. */
async function secured(client: SocketClient): Promise<void> {
  await client.subscribe('nothing', 0);
}

const STORIES: Readonly<Record<string, Story>> = {
  async *'sessions have their subscriptions with all options, and their messages in order'(
    gateway,
  ) {
    const away = await join(gateway(), 'away');
    const numbered = { rap: true, properties: { subscriptionIdentifier: 7 } };
    await away.subscribe('many/#', 2, numbered);
    await away.subscribe('own/#', 1, { nl: true });
    await away.subscribe('twice', 1);
    await away.unsubscribe('twice');
    await away.leave();
    const sender = await join(gateway(), 'sender', PASSING);
    for (let i = 0; i < 60; i++) {
      await sender.put(`many/${i}`, `m${i}`, (i % 3) as 0 | 1 | 2, { retain: i === 1 });
    }
    yield;
    const back = await join(gateway(), 'away');
    for (let i = 0; i < 60; i++) {
      if (i % 3 === 0) continue;
      const { topic, payload, qos, retain, dup, properties } = await back.message();
      expect([topic, String(payload), qos, dup]).toEqual([`many/${i}`, `m${i}`, i % 3, false]);
      expect([retain, properties?.subscriptionIdentifier]).toEqual([i === 1, 7]);
    }
    await back.put('own/x', 'mine', 1);
    await back.put('twice', 'no more', 1);
    await back.quiet();
    const other = await join(gateway(), 'other', PASSING);
    await other.put('own/x', 'yours', 1);
    expect(await back.texts(1)).toEqual(['yours']);
  },

  async *'QoS 1 that was not acknowledged comes again, as a duplicate, before the rest'(gateway) {
    const client = await join(gateway(), 'one', receiving(2));
    await client.subscribe('one', 1);
    const sender = await join(gateway(), 'sender of one', PASSING);
    for (const body of ['1', '2', '3']) await sender.put('one', body, 1);
    for (const body of ['1', '2']) {
      const { payload, dup } = await client.next('publish');
      expect([String(payload), dup]).toEqual([body, false]);
    }
    yield;
    const back = await join(gateway(), 'one');
    for (const body of ['1', '2', '3']) {
      const { payload, dup } = await back.message();
      expect([String(payload), dup]).toEqual([body, body !== '3']);
    }
    await secured(back);
    yield;
    await (await join(gateway(), 'one')).quiet();
  },

  async *'QoS 2 that was sent comes again under its identifier'(gateway) {
    const client = await join(gateway(), 'two');
    await client.subscribe('two', 2);
    const sender = await join(gateway(), 'sender of two', PASSING);
    for (const body of ['0', '1', '2', '3']) await sender.put('two', body, 2);
    await client.message();
    const first = [];
    for (let i = 0; i < 3; i++) first.push(await client.next('publish'));
    for (let restarts = 0; restarts < 2; restarts++) {
      yield;
      const back = await join(gateway(), 'two');
      for (const { messageId, payload } of first) {
        expect(await back.next('publish')).toMatchObject({ messageId, payload, dup: true, qos: 2 });
      }
      if (restarts === 0) continue;
      await (await join(gateway(), 'sender of two', PASSING)).put('two', '4', 2);
      const fresh = await back.next('publish');
      expect([String(fresh.payload), fresh.dup]).toEqual(['4', false]);
      expect(first.map(({ messageId }) => messageId)).not.toContain(fresh.messageId);
    }
  },

  async *'QoS 2 that was received is released, and comes no more'(gateway) {
    const client = await join(gateway(), 'received');
    await client.subscribe('received', 2);
    await (await join(gateway(), 'sender of received', PASSING)).put('received', 'x', 2);
    const { messageId = 0 } = await client.next('publish');
    client.send({ cmd: 'pubrec', messageId });
    await client.next('pubrel');
    yield;
    const back = await join(gateway(), 'received');
    expect(await back.next('pubrel')).toMatchObject({ messageId });
    back.send({ cmd: 'pubcomp', messageId });
    await back.quiet();
    await secured(back);
    yield;
    await (await join(gateway(), 'received')).quiet();
  },

  async *'QoS 2 that was published counts once until it is released, and then no more'(gateway) {
    const away = await join(gateway(), 'reader');
    await away.subscribe('read', 2);
    await away.leave();
    const sender = await join(gateway(), 'writer');
    sender.publish('read', 'once', 2, { messageId: 9 });
    await sender.next('pubrec');
    yield;
    const again = await join(gateway(), 'writer');
    again.publish('read', 'once', 2, { messageId: 9, dup: true });
    expect((await again.next('pubrec')).reasonCode ?? 0).toBe(0);
    again.send({ cmd: 'pubrel', messageId: 9 });
    await again.next('pubcomp');
    yield;
    const third = await join(gateway(), 'writer');
    await third.put('read', 'another of that number', 2, { messageId: 9 });
    const back = await join(gateway(), 'reader');
    expect(await back.texts(2)).toEqual(['once', 'another of that number']);
    await back.quiet();
  },

  async *'last values are there, as they were last'(gateway) {
    const sender = await join(gateway(), 'teller', PASSING);
    for (const topic of ['last/set', 'last/replaced', 'last/cleared', 'last/zero']) {
      await sender.put(topic, 'first', topic === 'last/zero' ? 0 : 1, { retain: true });
    }
    await sender.put('last/replaced', 'second', 1, {
      retain: true,
      properties: { userProperties: { a: ['1', '2'] }, contentType: 'text/plain' },
    });
    await sender.put('last/cleared', '', 1, { retain: true });
    yield;
    const reader = await join(gateway(), 'told', PASSING);
    await reader.subscribe('last/#', 1);
    const found = [];
    for (let i = 0; i < 3; i++) found.push(await reader.message());
    await reader.quiet();
    expect(
      found.map(({ topic, payload, retain }) => [topic, String(payload), retain]).sort(),
    ).toEqual([
      ['last/replaced', 'second', true],
      ['last/set', 'first', true],
      ['last/zero', 'first', true],
    ]);
    const replaced = found.find(({ topic }) => topic === 'last/replaced')?.properties;
    expect(replaced?.contentType).toBe('text/plain');
    expect({ ...replaced?.userProperties }).toEqual({ a: ['1', '2'] });
  },

  async *'groups have what their members did not take'(gateway) {
    const member = await join(gateway(), 'member', receiving(1));
    await member.subscribe('$share/g/shared', 1);
    const sender = await join(gateway(), 'sender to all', PASSING);
    for (const body of ['1', '2', '3']) await sender.put('shared', body, 1);
    await member.next('publish');
    yield;
    const other = await join(gateway(), 'other member', PASSING);
    await other.subscribe('$share/g/shared', 1);
    expect(await other.texts(3)).toEqual(['1', '2', '3']);
  },

  async *'what waits for its time waits on'(gateway) {
    const reader = await join(gateway(), 'patient');
    await reader.subscribe('later', 1);
    await reader.leave();
    const sender = await join(gateway(), 'sender of later', PASSING);
    await sender.put('$delayed/2/later', 'due', 1);
    yield;
    expect(await (await join(gateway(), 'patient')).texts(1)).toEqual(['due']);
  },

  async *'wills of clients that were connected are said, late ones later'(gateway) {
    const watcher = await join(gateway(), 'watcher');
    await watcher.subscribe('will/#', 1);
    const will = {
      topic: 'will/now',
      payload: Buffer.from('gone'),
      qos: 1 as const,
      retain: false,
    };
    await join(gateway(), 'dies', { ...LASTING, will });
    await join(gateway(), 'dies clean', { ...PASSING, will: { ...will, topic: 'will/clean' } });
    const properties = { willDelayInterval: 1 };
    const late = { ...will, topic: 'will/late', properties };
    await join(gateway(), 'dies slowly', { ...LASTING, will: late });
    // What is confirmed after them is as safe as they are.
    await (await join(gateway(), 'sender to watcher', PASSING)).put('will/confirmed', 'x', 1);
    yield;
    const back = await join(gateway(), 'watcher');
    const topics = [];
    for (let i = 0; i < 4; i++) topics.push((await back.message()).topic);
    expect(topics.pop()).toBe('will/late');
    expect(topics.sort()).toEqual(['will/clean', 'will/confirmed', 'will/now']);
    await secured(back);
    yield;
    await (await join(gateway(), 'watcher')).quiet();
  },
};

describe.each(['stop', 'kill'] as const)('MQTT after a %s', (way) => tell(way, {}, STORIES));
