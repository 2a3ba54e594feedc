import { describe, expect, it } from 'vitest';
import { sweepOrphans } from '../../../adapters/mqtt/orphans.ts';
import { MemoryStore } from '../../../core/store/memory.ts';
import { type TestClient, TestGateway } from './client.ts';

const LASTING = { clean: false, properties: { sessionExpiryInterval: 100 } };

describe.each([3, 4, 5] as const)('sessions of MQTT level %i', (version) => {
  const lasting = version === 5 ? LASTING : { clean: false };

  function away(gateway: TestGateway, filter: string, qos: 0 | 1 | 2): void {
    const client = gateway.connect('c', version, lasting);
    client.subscribe(filter, qos);
    client.disconnect();
  }

  it('keeps subscriptions and what they match while the client is away', () => {
    const gateway = new TestGateway();
    away(gateway, 't/#', 2);
    const sender = gateway.connect('s', version);
    for (const qos of [0, 1, 2] as const) sender.publish('t/a', `m${qos}`, qos);
    const client = gateway.client(version);
    expect(client.connect('c', lasting)).toMatchObject(told(version));
    expect(client.messages().map((m) => `${m.payload} ${m.qos}`)).toEqual(['m1 1', 'm2 2']);
    expect(gateway.world.meter.core.missed).toBe(1);
  });

  it('forgets everything on a clean start', () => {
    const gateway = new TestGateway();
    away(gateway, 't', 1);
    gateway.connect('s', version).publish('t', 'x', 1);
    const client = gateway.client(version);
    expect(client.connect('c', { clean: true })).toMatchObject({ sessionPresent: false });
    client.publish('t', 'y', 0);
    expect(client.texts()).toEqual([]);
  });

  it('has no session left after a clean one', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', version, { clean: true });
    client.subscribe('t', 1);
    client.lose();
    expect(gateway.client(version).connect('c', lasting)).toMatchObject({ sessionPresent: false });
    const names = [...gateway.world.engine.admin.queues('/')].map(({ name }) => name);
    expect(names).toEqual([]);
  });

  it('takes over the session of a connection that is still there', () => {
    const gateway = new TestGateway();
    const first = gateway.connect('c', version, lasting);
    first.subscribe('t', 1);
    const second = gateway.client(version);
    expect(second.connect('c', lasting)).toMatchObject(told(version));
    expect(first.transport.ended).toBe('end');
    if (version === 5) expect(first.one('disconnect').reasonCode).toBe(0x8e);
    first.lose();
    second.publish('t', 'x', 1);
    expect(second.texts()).toEqual(['t x']);
  });

  it('sends QoS 1 again with the same identifier, marked as a duplicate, in order', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', version, lasting);
    client.subscribe('t', 1);
    for (const body of ['1', '2', '3']) client.publish('t', body, 1);
    const sent = client.messages(false).map((m) => [m.messageId, String(m.payload), m.dup]);
    client.lose();
    const second = reconnect(gateway, version, lasting);
    expect(second.messages().map((m) => [m.messageId, String(m.payload), m.dup])).toEqual(
      sent.map(([id, body]) => [id, body, true]),
    );
    second.lose();
    expect(reconnect(gateway, version, lasting).messages()).toEqual([]);
  });

  it('completes QoS 2 across reconnects, from every step', () => {
    const gateway = new TestGateway();
    let client = gateway.connect('c', version, lasting);
    client.subscribe('t', 2);
    gateway.connect('s', version).publish('t', 'x', 2);
    const [first] = client.messages(false);
    const messageId = first?.messageId ?? 0;
    client.lose();
    client = reconnect(gateway, version, lasting);
    const [again] = client.messages(false);
    expect(again).toMatchObject({ messageId, dup: true });
    client.send({ cmd: 'pubrec', messageId });
    expect(client.one('pubrel').messageId).toBe(messageId);
    client.lose();
    client = reconnect(gateway, version, lasting);
    expect(client.one('pubrel').messageId).toBe(messageId);
    client.send({ cmd: 'pubcomp', messageId });
    client.lose();
    client = reconnect(gateway, version, lasting);
    expect(client.take()).toEqual([]);
  });

  it('ends a session that nobody came back to', () => {
    const gateway = new TestGateway({ max_session_expiry: 50 });
    away(gateway, 't', 1);
    gateway.world.clock.advance(49_000);
    expect(reconnectPresence(gateway, version, lasting)).toBe(version !== 3);
    gateway.world.clock.advance(51_000);
    expect([...gateway.world.engine.admin.queues('/')]).toEqual([]);
    expect(reconnectPresence(gateway, version, lasting)).toBe(false);
  });

  it('survives a restart', () => {
    const store = new MemoryStore();
    const before = new TestGateway({}, { store });
    away(before, 't', 1);
    const incoming = before.connect('c', version, lasting);
    incoming.publish('u', 'once', 2, { messageId: 9 });
    incoming.lose();
    before.gate.stop();
    const after = new TestGateway({}, { store });
    after.connect('s', version).publish('t', 'x', 1);
    const again = reconnect(after, version, lasting);
    expect(again.messages().map((m) => String(m.payload))).toEqual(['x']);
    again.subscribe('u', 2);
    again.publish('u', 'once', 2, { messageId: 9, dup: true });
    expect(again.one('pubrec').messageId).toBe(9);
  });

  it('does not hand a session to another user', () => {
    const gateway = new TestGateway();
    away(gateway, 't', 1);
    gateway.connect('s', version).publish('t', 'private', 1);
    const other = gateway.client(version);
    expect(other.connect('c', { ...lasting, username: 'bob' })).toMatchObject({
      sessionPresent: false,
    });
    expect(other.texts()).toEqual([]);
  });

  it('keeps a member of a group while it is away', () => {
    const gateway = new TestGateway();
    away(gateway, '$share/g/t', 1);
    gateway.connect('s', version).publish('t', 'x', 1);
    const client = reconnect(gateway, version, lasting);
    expect(client.texts()).toEqual(['t x']);
    client.unsubscribe('$share/g/t');
    const names = [...gateway.world.engine.admin.queues('/')].map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('mqtt-share'))).toEqual([]);
  });
});

describe('wills', () => {
  const will = { topic: 'gone', payload: Buffer.from('bye'), qos: 1, retain: false } as const;

  it.each([3, 4, 5] as const)('level %i: are published when the connection is lost', (version) => {
    const gateway = new TestGateway();
    const watcher = gateway.connect('w', version);
    watcher.subscribe('gone', 1);
    gateway.connect('c', version, { will }).lose();
    expect(watcher.texts()).toEqual(['gone bye']);
    gateway.connect('c', version, { will }).disconnect();
    expect(watcher.texts()).toEqual([]);
    gateway.connect('c', version, { will });
    gateway.connect('c', version);
    expect(watcher.texts()).toEqual(['gone bye']);
  });

  it('are published by DISCONNECT with reason 0x04, with their properties', () => {
    const gateway = new TestGateway();
    const watcher = gateway.connect('w');
    watcher.subscribe('gone', 1);
    const properties = {
      contentType: 'text/plain',
      responseTopic: 'r',
      messageExpiryInterval: 60,
      userProperties: { a: ['1', '2'] },
    };
    gateway.connect('c', 5, { will: { ...will, properties } } as never).disconnect(0x04);
    expect(watcher.messages()[0]).toMatchObject({ topic: 'gone', properties });
  });

  it('are retained where they say so', () => {
    const gateway = new TestGateway();
    gateway.connect('c', 4, { will: { ...will, retain: true } }).lose();
    const late = gateway.connect('w', 4);
    late.subscribe('gone', 1);
    expect(late.messages()[0]).toMatchObject({ retain: true, topic: 'gone' });
  });

  it('wait for their delay, unless the session ends before', () => {
    const gateway = new TestGateway();
    const watcher = gateway.connect('w');
    watcher.subscribe('gone', 1);
    const delayed = (seconds: number, expiry: number) =>
      ({
        will: { ...will, properties: { willDelayInterval: seconds } },
        clean: false,
        properties: { sessionExpiryInterval: expiry },
      }) as never;
    gateway.connect('c', 5, delayed(5, 100)).lose();
    gateway.world.clock.advance(4_000);
    expect(watcher.texts()).toEqual([]);
    gateway.world.clock.advance(1_500);
    expect(watcher.texts()).toEqual(['gone bye']);
    gateway.connect('d', 5, delayed(50, 5)).lose();
    gateway.world.clock.advance(5_500);
    expect(watcher.texts()).toEqual(['gone bye']);
    gateway.connect('e', 5, delayed(5, 100)).lose();
    gateway.connect('e', 5, { clean: false, properties: { sessionExpiryInterval: 100 } });
    gateway.world.clock.advance(10_000);
    expect(watcher.texts()).toEqual([]);
    gateway.connect('f', 5, delayed(5, 100)).lose();
    gateway.connect('f', 5, { clean: true });
    expect(watcher.texts()).toEqual(['gone bye']);
  });

  it('of a client that may not publish them are dropped', () => {
    const gateway = new TestGateway();
    const watcher = gateway.connect('w', 4);
    watcher.subscribe('$exchange/amq.direct/x', 1);
    const topic = '$exchange/amq.direct/x';
    gateway.connect('c', 4, { will: { ...will, topic }, username: 'limited' }).lose();
    expect(watcher.texts()).toEqual([]);
    gateway.connect('c', 4, { will: { ...will, topic } }).lose();
    expect(watcher.texts()).toEqual([`${topic} bye`]);
  });
});

describe('keep-alive', () => {
  it.each([3, 4, 5] as const)('level %i: ends a silent connection after 1.5 times', (version) => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', version, { keepalive: 10 });
    const { clock } = gateway.world;
    clock.advance(14_000);
    client.send({ cmd: 'pingreq' });
    client.one('pingresp');
    clock.advance(14_900);
    expect(client.transport.ended).toBeNull();
    clock.advance(1_000);
    expect(client.transport.ended).toBe('end');
    if (version === 5) expect(client.one('disconnect').reasonCode).toBe(0x8d);
  });

  it('of 0 is none', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', 4, { keepalive: 0 });
    gateway.world.clock.advance(1e8);
    expect(client.transport.ended).toBeNull();
  });

  it('is shortened where the configuration says so', () => {
    const gateway = new TestGateway({ max_keep_alive: 30 });
    const client = gateway.client(5);
    expect(client.connect('c', { keepalive: 100 })).toMatchObject({
      properties: { serverKeepAlive: 30 },
    });
    gateway.world.clock.advance(46_000);
    expect(client.transport.ended).toBe('end');
  });
});

/** That its session is there is not told to a client of MQTT 3.1, where the byte is reserved. */
function told(version: 3 | 4 | 5) {
  return { sessionPresent: version !== 3 };
}

function reconnect(
  gateway: TestGateway,
  version: 3 | 4 | 5,
  lasting: Record<string, unknown>,
): TestClient {
  const client = gateway.client(version);
  expect(client.connect('c', lasting)).toMatchObject(told(version));
  return client;
}

function reconnectPresence(
  gateway: TestGateway,
  version: 3 | 4 | 5,
  lasting: Record<string, unknown>,
): boolean {
  const client = gateway.client(version);
  const connack = client.connect('c', lasting);
  client.disconnect();
  return connack.cmd === 'connack' && connack.sessionPresent;
}

it('takes releases and subscriptions that MQTT 3.1 clients send again with DUP', () => {
  const client = new TestGateway().connect('c', 3);
  client.publish('t', 'x', 2);
  client.one('pubrec');
  client.raw([0x6a, 2, 0, 1]);
  client.one('pubcomp');
  client.raw([0x8a, 6, 0, 2, 0, 1, 0x74, 0]);
  client.one('suback');
  client.raw([0xaa, 5, 0, 3, 0, 1, 0x74]);
  client.one('unsuback');
  client.raw([0x60, 2, 0, 1]);
  expect(client.transport.ended).toBe('end');
});

describe('groups', () => {
  const lasting = { clean: false, properties: { sessionExpiryInterval: 100 } };

  it('give QoS 1 messages of a member that left to others, QoS 2 to nobody else', () => {
    const gateway = new TestGateway();
    const one = gateway.connect('1', 5, lasting);
    one.subscribe('$share/g/t', 2);
    const sender = gateway.connect('s');
    sender.publish('t', 'one', 1);
    sender.publish('t', 'two', 2);
    expect(one.messages(false)).toHaveLength(2);
    const two = gateway.connect('2', 5, lasting);
    two.subscribe('$share/g/t', 2);
    one.lose();
    expect(two.texts()).toEqual(['t one']);
    const again = gateway.connect('1', 5, lasting);
    expect(again.messages().map((m) => [String(m.payload), m.dup])).toEqual([['two', true]]);
    sender.publish('t', 'three', 2);
    const [holder, other] = again.messages(false).length === 1 ? [again, two] : [two, again];
    holder.lose();
    gateway.world.clock.advance(101_000);
    expect(other.texts()).toEqual([]);
  });

  it('survive a restart with their members', () => {
    const store = new MemoryStore();
    const before = new TestGateway({}, { store });
    before.connect('1', 5, lasting).subscribe('$share/g/t', 1);
    before.gate.stop();
    const after = new TestGateway({}, { store });
    after.connect('s').publish('t', 'x', 1);
    const client = after.connect('1', 5, lasting);
    expect(client.texts()).toEqual(['t x']);
    client.unsubscribe('$share/g/t');
    const names = [...after.world.engine.admin.queues('/')].map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('mqtt-share'))).toEqual([]);
  });
});

describe('queues that a crash has left behind', () => {
  function declare(gateway: TestGateway, name: string, type: string): void {
    const session = gateway.world.engine.open('/', gateway.world.principal('alice'));
    const table = new Map([['x-queue-type', type]]);
    const spec = { name, durable: true, exclusive: false, autoDelete: false, arguments: table };
    session.declareQueue(spec, false);
    session.bind({
      ...{ source: 'amq.topic', destination: name, toExchange: false },
      ...{ routingKey: 't', arguments: new Map() },
    });
  }

  function queues(gateway: TestGateway): string[] {
    return [...gateway.world.engine.admin.queues('/')].map(({ name }) => name).sort();
  }

  it('are swept when sessions are restored, and nothing else is', () => {
    const store = new MemoryStore();
    const before = new TestGateway({}, { store });
    const kept = before.connect('kept', 5, LASTING);
    kept.subscribe('t', 1);
    kept.subscribe('$share/mine/t', 1);
    declare(before, 'mqtt-subscription-lost', 'session');
    declare(before, 'mqtt-share-none/t', 'classic');
    declare(before, 'mqtt-subscription-like', 'classic');
    before.gate.stop();
    const after = new TestGateway({}, { store });
    expect(queues(after)).toEqual([
      'mqtt-share-mine/t',
      'mqtt-subscription-kept',
      'mqtt-subscription-like',
    ]);
  });

  it("stay where they are a group's and hold messages", () => {
    const gateway = new TestGateway();
    const { engine, context, principal } = gateway.world;
    const open = () => engine.open('/', principal('guest'));
    const names = ['mqtt-share-full/t', 'mqtt-share-none/t'];
    for (const name of names) declare(gateway, name, 'classic');
    gateway.connect('c').publish('t', 'x', 1);
    open().purgeQueue('mqtt-share-none/t');
    sweepOrphans({ admin: engine.admin, log: context.log, open }, () => false);
    expect(queues(gateway)).toEqual(['mqtt-share-full/t']);
  });
});

it('sends again no more at a time than the new connection takes', () => {
  const gateway = new TestGateway();
  const first = gateway.connect('c', 5, LASTING);
  first.subscribe('t', 2);
  const sender = gateway.connect('s');
  for (const body of ['1', '2', '3', '4']) sender.publish('t', body, 2);
  const ids = first.messages(false).map(({ messageId }) => messageId ?? 0);
  first.send({ cmd: 'pubrec', messageId: ids[1] ?? 0 });
  first.lose();
  const narrow = { sessionExpiryInterval: 100, receiveMaximum: 2 };
  const second = gateway.connect('c', 5, { clean: false, properties: narrow });
  const sent = () => second.take().map((packet) => ('messageId' in packet ? packet.messageId : 0));
  expect(sent()).toEqual([ids[0], ids[1]]);
  second.send({ cmd: 'pubcomp', messageId: ids[1] ?? 0 });
  expect(sent()).toEqual([ids[2]]);
  second.send({ cmd: 'pubrec', messageId: ids[0] ?? 0 });
  expect(sent()).toEqual([ids[0]]);
  second.send({ cmd: 'pubcomp', messageId: ids[0] ?? 0 });
  expect(sent()).toEqual([ids[3]]);
  sender.publish('t', '5', 2);
  expect(second.take()).toEqual([]);
  for (const messageId of ids.slice(2)) {
    second.send({ cmd: 'pubrec', messageId });
    second.send({ cmd: 'pubcomp', messageId });
  }
  const rest = second.take().filter(({ cmd }) => cmd === 'publish');
  expect(rest.map((packet) => 'payload' in packet && String(packet.payload))).toEqual(['5']);
});

describe('what goes wrong around a session', () => {
  const lasting = { clean: false, properties: { sessionExpiryInterval: 100 } };

  it('an operator deletes its queue: the client is told, and keeps its subscriptions', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', 5, lasting);
    client.subscribe('t', 1);
    const admin = gateway.world.engine.open('/', gateway.world.principal('guest'));
    admin.deleteQueue('mqtt-subscription-c', false, false);
    expect(client.one('disconnect').reasonCode).toBe(0x98);
    const again = gateway.connect('c', 5, lasting);
    again.publish('t', 'x', 1);
    expect(again.texts()).toEqual(['t x']);
  });

  it('a queue that it consumes is deleted: the rest goes on', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', 5, lasting);
    client.subscribe('$queue/q', 1);
    client.subscribe('t', 1);
    const admin = gateway.world.engine.open('/', gateway.world.principal('guest'));
    admin.deleteQueue('q', false, false);
    client.publish('t', 'x', 0);
    expect(client.texts()).toEqual(['t x']);
    client.lose();
    const again = gateway.connect('c', 5, lasting);
    again.publish('$queue/q', 'y', 0);
    expect(again.texts()).toEqual(['$queue/q y']);
  });

  it('a queue that refuses: MQTT 5 is told, MQTT 3 is disconnected', () => {
    const gateway = new TestGateway();
    const admin = gateway.world.engine.open('/', gateway.world.principal('guest'));
    const full = new Map<string, string | number>([
      ['x-max-length', 1],
      ['x-overflow', 'reject-publish'],
    ]);
    const queue = { name: 'full', durable: true, exclusive: false, autoDelete: false };
    admin.declareQueue({ ...queue, arguments: full }, false);
    const client = gateway.connect('c', 5);
    client.publish('$queue/full', '1', 1);
    expect(client.one('puback').reasonCode ?? 0).toBe(0);
    client.publish('$queue/full', '2', 1);
    expect(client.one('puback').reasonCode).toBe(0x97);
    client.publish('$queue/full', '3', 2, { messageId: 9 });
    expect(client.one('pubrec').reasonCode).toBe(0x97);
    client.send({ cmd: 'pubrel', messageId: 9 });
    expect(client.one('pubcomp').reasonCode).toBe(0x92);
    const old = gateway.connect('o', 4);
    old.publish('$queue/full', '4', 1);
    expect(old.take()).toEqual([]);
    expect(old.transport.ended).toBe('end');
  });

  it('too many sessions or subscriptions are refused', () => {
    const gateway = new TestGateway(
      {},
      { limits: { mqttSessionsMax: 1, mqttSubscriptionsMax: 1 } },
    );
    const client = gateway.connect('c');
    expect(client.subscribe('a')).toEqual([0]);
    expect(client.subscribe('b')).toEqual([0x97]);
    expect(client.subscribe('a', 1)).toEqual([1]);
    expect(gateway.client(5).connect('d')).toMatchObject({ reasonCode: 0x97 });
    expect(gateway.client(4).connect('d')).toMatchObject({ returnCode: 3 });
    expect(gateway.client(5).connect('c')).toMatchObject({ reasonCode: 0 });
  });

  it('an unreadable record is left behind', () => {
    const store = new MemoryStore();
    store.table('mqtt.sessions').set('/\0c', Buffer.from('{'));
    const gateway = new TestGateway({}, { store });
    expect(gateway.client(5).connect('c', lasting)).toMatchObject({ sessionPresent: false });
  });
});
