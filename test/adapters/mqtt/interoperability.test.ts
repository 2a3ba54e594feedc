/**
 * What the well-known interoperability suites of MQTT ask of a broker, over sockets, with settings
 * as they come: each behaviour in 3.1.1 and in 5 where both have it.
 */
import type { IConnectPacket } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { connect as connectRaw } from '../../support/raw-client.ts';
import { type Level, SocketClient } from './socket-client.ts';

let gateway: Gateway;
let opened: SocketClient[] = [];

const OPTIONS = {
  topic_permissions: [{ user: 'bob', publish: ['#'], subscribe: ['open/#'] }],
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

async function join(
  level: Level,
  clientId: string,
  parts: Partial<IConnectPacket> = {},
): Promise<SocketClient> {
  const client = await SocketClient.join(gateway.port('mqtt'), level, clientId, parts);
  opened.push(client);
  return client;
}

async function open(level: Level): Promise<SocketClient> {
  const client = await SocketClient.open(gateway.port('mqtt'), level);
  opened.push(client);
  return client;
}

/** A session that outlives its connection. */
function lasting(level: Level, seconds: number = 100): Partial<IConnectPacket> {
  return level === 5
    ? { clean: false, properties: { sessionExpiryInterval: seconds } }
    : { clean: false };
}

function will(topic: string, payload: string, properties: object = {}): Partial<IConnectPacket> {
  const message = { topic, payload: Buffer.from(payload), qos: 1, retain: false };
  return { will: { ...message, properties } } as Partial<IConnectPacket>;
}

describe.each([4, 5] as const)('level %i', (level) => {
  const t = (topic: string): string => `${level}/${topic}`;

  it('basics: every QoS, a second CONNECT, another protocol', async () => {
    const client = await join(level, t('basic'));
    expect(await client.subscribe(t('basic'), 2)).toEqual([2]);
    for (const qos of [0, 1, 2] as const) client.publish(t('basic'), `qos ${qos}`, qos);
    const seen = new Map<string, number>();
    const received: string[] = [];
    while (received.length < 3 || (seen.get('pubcomp') ?? 0) < 1 || !seen.has('puback')) {
      const packet = await nextAny(client);
      seen.set(packet.cmd, (seen.get(packet.cmd) ?? 0) + 1);
      if (packet.cmd === 'publish') received.push(packet.payload.toString());
      if (packet.cmd === 'pubrec') client.send({ cmd: 'pubrel', messageId: packet.messageId ?? 0 });
    }
    expect(received).toEqual(['qos 0', 'qos 1', 'qos 2']);
    client.send({
      ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: level, clean: true },
      ...{ clientId: 'again', keepalive: 0 },
    });
    expect(await client.dropped()).toBe(level === 5 ? 0x82 : null);
    const other = await connectRaw(gateway.port('mqtt'));
    other.send(Buffer.from([0x10, 0x0d, 0, 2, 0x68, 0x6a, level, 2, 0, 0, 0, 1, 0x63, 0, 0]));
    await other.closed();
    expect(other.received).toHaveLength(0);
  });

  it('retained messages: of every QoS, by wildcard, and cleared by empty ones', async () => {
    const client = await join(level, t('retained'));
    const topics = ['TopicA/B', 'Topic/C', 'TopicA/C'].map((topic) => t(topic));
    for (const [qos, topic] of topics.entries()) {
      await client.put(topic, `qos ${qos}`, qos as 0 | 1 | 2, { retain: true });
    }
    await client.subscribe(`${level}/+/+`, 2);
    const kept = [await client.message(), await client.message(), await client.message()];
    expect(kept.map(({ qos }) => qos).sort()).toEqual([0, 1, 2]);
    expect(kept.every(({ retain }) => retain)).toBe(true);
    await client.unsubscribe(`${level}/+/+`);
    for (const [qos, topic] of topics.entries()) {
      await client.put(topic, '', qos as 0 | 1 | 2, { retain: true });
    }
    await client.subscribe(`${level}/+/+`, 2);
    await client.quiet();
  });

  it('a message is live for those who are there, and kept for those who come', async () => {
    const listener = await join(level, t('live'));
    await listener.subscribe(t('kept/x'), 1);
    const sender = await join(level, t('live-sender'));
    await sender.put(t('kept/x'), 'v1', 1, { retain: true });
    expect(await listener.message()).toMatchObject({ retain: false });
    await sender.put(t('kept/x'), 'v2', 1, { retain: true });
    await sender.put(t('kept/x'), 'passing', 1);
    expect(await listener.texts(2)).toEqual(['v2', 'passing']);
    const late = await join(level, t('late'));
    await late.subscribe(t('kept/#'), 0);
    const last = await late.message();
    expect([last.payload.toString(), last.retain, last.qos]).toEqual(['v2', true, 0]);
    await sender.put(t('kept/x'), '', 1, { retain: true });
  });

  it('wills: after a loss, not after a good-bye', async () => {
    const watcher = await join(level, t('watcher'));
    await watcher.subscribe(t('will'), 2);
    const lost = await join(level, t('will-1'), will(t('will'), 'client not disconnected'));
    lost.cut();
    expect((await watcher.message()).payload.toString()).toBe('client not disconnected');
    const polite = await join(level, t('will-2'), will(t('will'), 'never said'));
    await polite.leave();
    await watcher.quiet();
    const taken = await join(level, t('will-3'), will(t('will'), 'taken over'));
    await join(level, t('will-3'));
    expect((await watcher.message()).payload.toString()).toBe('taken over');
    expect(await taken.dropped()).toBe(level === 5 ? 0x8e : null);
  });

  it('keep-alive: a silent client is dropped, its will said', async () => {
    const watcher = await join(level, t('keep-watcher'));
    await watcher.subscribe(t('silent'), 1);
    const silent = await join(level, t('silent'), {
      ...will(t('silent'), 'keepalive expiry'),
      keepalive: 1,
    });
    expect(await silent.dropped()).toBe(level === 5 ? 0x8d : null);
    expect((await watcher.message()).payload.toString()).toBe('keepalive expiry');
  });

  it('client identifiers: empty ones are given a name where that is possible', async () => {
    if (level === 4) {
      const without = await open(4);
      without.bytes('10 1b 0004 4d515454 04 c0 0000 0000 0005 616c696365 0006 736563726574');
      expect(await without.next('connack')).toMatchObject({ returnCode: 2 });
      await without.dropped();
    }
    const named = await open(level);
    const connack = await named.connect('', { clean: true });
    expect(level === 5 ? connack.reasonCode : connack.returnCode).toBe(0);
    if (level === 5) {
      const other = await open(5);
      const names = [connack, await other.connect('')].map(
        ({ properties }) => properties?.assignedClientIdentifier ?? '',
      );
      expect(new Set(names).size).toBe(2);
      expect(names.every((name) => name.length > 0)).toBe(true);
    }
  });

  it('queues for a client that is away, in order', async () => {
    const first = await join(level, t('away'), lasting(level));
    await first.subscribe(t('away/+'), 2);
    await first.leave();
    const sender = await join(level, t('away-sender'));
    await sender.put(t('away/0'), 'qos 0', 0);
    for (let i = 0; i < 20; i++) await sender.put(t(`away/${i}`), String(i), i % 2 === 0 ? 1 : 2);
    const again = await open(level);
    const connack = await again.connect(t('away'), lasting(level));
    expect(connack.sessionPresent).toBe(true);
    expect(await again.texts(20)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
    const clean = await join(level, t('away'));
    await clean.quiet();
    await clean.leave();
    const fresh = await open(level);
    expect((await fresh.connect(t('away'), lasting(level))).sessionPresent).toBe(false);
  });

  it('overlapping subscriptions: one message, of the highest QoS', async () => {
    const client = await join(level, t('overlap'));
    await client.subscribe([t('overlap/#'), t('overlap/+')], 2);
    await client.subscribe(t('overlap/+'), 1);
    const sender = await join(level, t('overlap-sender'));
    await sender.put(t('overlap/C'), 'overlapping topic filters', 2);
    expect((await client.message()).qos).toBe(2);
    await client.quiet();
  });

  it('sends again what was not acknowledged, when the client is back and only then', async () => {
    const client = await join(level, t('again'), lasting(level));
    await client.subscribe(t('again/#'), 2);
    const sender = await join(level, t('again-sender'));
    await sender.put(t('again/1'), 'one', 1);
    await sender.put(t('again/2'), 'two', 2);
    const first = [await client.next('publish'), await client.next('publish')];
    expect(first.map(({ dup }) => dup)).toEqual([false, false]);
    await client.quiet();
    await client.leave();
    const back = await join(level, t('again'), lasting(level));
    const again = [await back.next('publish'), await back.next('publish')];
    expect(again.map(({ dup }) => dup)).toEqual([true, true]);
    expect(again.map(({ messageId }) => messageId)).toEqual(
      first.map(({ messageId }) => messageId),
    );
    expect(again.map(({ payload }) => payload.toString())).toEqual(['one', 'two']);
  });

  it('QoS 2 towards the client goes on at the step where its connection broke', async () => {
    const id = t('steps');
    const sender = await join(level, t('steps-sender'));
    let client = await join(level, id, lasting(level));
    await client.subscribe(t('steps'), 2);
    await sender.put(t('steps'), 'exactly once', 2);
    const { messageId = 0 } = await client.next('publish');
    client.cut();
    client = await join(level, id, lasting(level));
    expect(await client.next('publish')).toMatchObject({ messageId, dup: true, qos: 2 });
    client.send({ cmd: 'pubrec', messageId });
    expect((await client.next('pubrel')).messageId).toBe(messageId);
    client.cut();
    client = await join(level, id, lasting(level));
    expect((await client.next('pubrel')).messageId).toBe(messageId);
    client.cut();
    client = await join(level, id, lasting(level));
    expect((await client.next('pubrel')).messageId).toBe(messageId);
    client.send({ cmd: 'pubcomp', messageId });
    await client.quiet();
    client.cut();
    client = await join(level, id, lasting(level));
    await client.quiet();
  });

  it('QoS 2 from the client is passed on once, wherever its connection broke', async () => {
    const id = t('once');
    const watcher = await join(level, t('once-watcher'));
    await watcher.subscribe(t('once'), 2);
    let client = await join(level, id, lasting(level));
    client.publish(t('once'), 'exactly once', 2, { messageId: 7 });
    await client.next('pubrec');
    client.cut();
    for (let round = 0; round < 2; round++) {
      client = await join(level, id, lasting(level));
      client.publish(t('once'), 'exactly once', 2, { messageId: 7, dup: true });
      expect((await client.next('pubrec')).messageId).toBe(7);
      client.cut();
    }
    client = await join(level, id, lasting(level));
    client.send({ cmd: 'pubrel', messageId: 7 });
    await client.next('pubcomp');
    client.cut();
    client = await join(level, id, lasting(level));
    client.send({ cmd: 'pubrel', messageId: 7 });
    expect((await client.next('pubcomp')).messageId).toBe(7);
    await client.put(t('once'), 'another of that number', 2, { messageId: 7 });
    expect(await watcher.texts(2)).toEqual(['exactly once', 'another of that number']);
    await watcher.quiet();
  });

  it('a subscription that is not allowed fails alone', async () => {
    const client = await join(level, t('bob'), { username: 'bob' });
    const refusal = level === 5 ? 0x87 : 0x80;
    expect(await client.subscribe(['test/nosubscribe', 'open/x'], 2)).toEqual([refusal, 2]);
    await client.quiet();
  });

  it('topics with $ stay out of wildcards', async () => {
    const client = await join(level, t('dollar'));
    await client.subscribe(['#', '+/+', '+/dollar/#'], 2);
    await client.put('$TopicA/B', 'hidden', 1);
    await client.quiet();
    const named = await join(level, t('dollar-2'));
    await named.subscribe('$TopicA/+', 1);
    const sender = await join(level, t('dollar-3'));
    await sender.put('$TopicA/B', 'seen', 1);
    expect(await named.texts(1)).toEqual(['seen']);
  });

  it('unsubscribing ends that subscription and no other', async () => {
    const client = await join(level, t('unsub'));
    await client.subscribe([t('unsub/0'), t('unsub/1'), t('unsub/2')], 2);
    const reasons = await client.unsubscribe(t('unsub/0'), t('unsub/never'));
    expect(reasons).toEqual(level === 5 ? [0, 0x11] : []);
    const sender = await join(level, t('unsub-sender'));
    for (const i of [0, 1, 2]) await sender.put(t(`unsub/${i}`), `topic ${i}`, 1);
    expect(await client.texts(2)).toEqual(['topic 1', 'topic 2']);
    await client.quiet();
  });

  it('keeps the order of a publisher for each QoS', async () => {
    const client = await join(level, t('order'));
    await client.subscribe(t('order'), 2);
    const sender = await join(level, t('order-sender'));
    const expected: string[] = [];
    for (let i = 0; i < 200; i++) {
      sender.publish(t('order'), String(i), 1);
      expected.push(String(i));
    }
    expect(await client.texts(200)).toEqual(expected);
  });

  it('works on while a packet is still coming', async () => {
    const slow = await join(level, t('slow'));
    const properties = level === 5 ? '00' : '';
    slow.bytes('30');
    slow.bytes(level === 5 ? '06' : '05');
    const client = await join(level, t('fast'));
    await client.subscribe('s', 0);
    slow.bytes(`0001 73 ${properties} 68`);
    slow.bytes('69');
    expect(await client.texts(1)).toEqual(['hi']);
  });
});

async function nextAny(client: SocketClient) {
  const kinds = ['publish', 'puback', 'pubrec', 'pubrel', 'pubcomp'] as const;
  const packet = await client.any();
  if (!kinds.some((kind) => kind === packet.cmd)) throw new Error(`unexpected ${packet.cmd}`);
  if (packet.cmd === 'publish' && packet.qos === 1) {
    client.send({ cmd: 'puback', messageId: packet.messageId ?? 0 });
  }
  if (packet.cmd === 'publish' && packet.qos === 2) {
    client.send({ cmd: 'pubrec', messageId: packet.messageId ?? 0 });
  }
  if (packet.cmd === 'pubrel') client.send({ cmd: 'pubcomp', messageId: packet.messageId ?? 0 });
  return packet;
}
