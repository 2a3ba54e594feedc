import { describe, expect, it } from 'vitest';
import { TestGateway } from './client.ts';

const MESSAGE = {
  payloadFormatIndicator: true,
  contentType: 'application/json',
  responseTopic: 'reply/to',
  correlationData: Buffer.from([0, 1, 255]),
  userProperties: { b: ['2', '1'], a: '3' },
};

describe('MQTT 5', () => {
  it('tells in CONNACK what works', () => {
    const gateway = new TestGateway();
    expect(
      gateway.client().connect('', { properties: { sessionExpiryInterval: 0 } }),
    ).toMatchObject({
      reasonCode: 0,
      properties: {
        receiveMaximum: 1024,
        retainAvailable: true,
        maximumPacketSize: 64 * 1024 * 1024 + 256 * 1024,
        assignedClientIdentifier: expect.stringMatching(/^auto-/),
        topicAliasMaximum: 64,
        wildcardSubscriptionAvailable: true,
        subscriptionIdentifiersAvailable: true,
        sharedSubscriptionAvailable: true,
      },
    });
    const capped = new TestGateway({ max_session_expiry: 60, max_qos: 1 });
    expect(
      capped.client().connect('c', { properties: { sessionExpiryInterval: 0xffffffff } }),
    ).toMatchObject({ properties: { sessionExpiryInterval: 60, maximumQoS: 1 } });
  });

  it('forwards the properties of a message as they are', () => {
    const client = new TestGateway().connect('c');
    client.subscribe('t', 2);
    client.publish('t', '{}', 1, { properties: MESSAGE });
    expect(client.messages()[0]?.properties).toEqual(MESSAGE);
    client.publish('t', '{}', 0, { properties: MESSAGE, retain: true });
    client.messages();
    client.subscribe('t', 2);
    expect(client.messages()[0]?.properties).toEqual(MESSAGE);
  });

  it('drops properties towards MQTT 3', () => {
    const gateway = new TestGateway();
    const old = gateway.connect('o', 4);
    old.subscribe('t', 1);
    gateway.connect('c').publish('t', '{}', 1, { properties: MESSAGE });
    expect(old.texts()).toEqual(['t {}']);
  });

  it('forwards what remains of a message expiry, and drops what has expired', () => {
    const gateway = new TestGateway();
    const lasting = { clean: false, properties: { sessionExpiryInterval: 1000 } };
    const first = gateway.connect('c', 5, lasting);
    first.subscribe('t', 1);
    first.disconnect();
    const sender = gateway.connect('s');
    for (const seconds of [5, 100]) {
      sender.publish('t', `${seconds}`, 1, { properties: { messageExpiryInterval: seconds } });
    }
    sender.publish('r', 'kept', 1, { properties: { messageExpiryInterval: 20 }, retain: true });
    gateway.world.clock.advance(9_500);
    const client = gateway.connect('c', 5, lasting);
    expect(client.messages().map((m) => [String(m.payload), m.properties])).toEqual([
      ['100', { messageExpiryInterval: 91 }],
    ]);
    client.subscribe('r', 0);
    expect(client.messages()[0]).toMatchObject({ properties: { messageExpiryInterval: 11 } });
    gateway.world.clock.advance(11_000);
    client.subscribe('r', 0);
    expect(client.messages()).toEqual([]);
  });

  it('names all subscriptions that matched by their identifiers', () => {
    const client = new TestGateway().connect('c');
    client.subscribe('t/#', 1, { properties: { subscriptionIdentifier: 300 } });
    client.subscribe('t/+', 2, { properties: { subscriptionIdentifier: 2 } });
    client.subscribe('#', 0);
    client.publish('t/x', 'm', 2);
    const [message] = client.messages();
    expect(message?.qos).toBe(2);
    expect([message?.properties?.subscriptionIdentifier].flat().sort()).toEqual([2, 300]);
    client.subscribe('t/+', 2, { properties: { subscriptionIdentifier: 4 } });
    client.publish('t/x', 'm', 0);
    const [other] = client.messages();
    expect([other?.properties?.subscriptionIdentifier].flat().sort()).toEqual([300, 4]);
  });

  it('observes No Local, also for what was queued', () => {
    const gateway = new TestGateway();
    const lasting = { clean: false, properties: { sessionExpiryInterval: 1000 } };
    const [one, two] = [gateway.connect('1', 5, lasting), gateway.connect('2', 5)];
    one.subscribe('t', 2, { nl: true });
    two.subscribe('t', 2);
    for (const qos of [0, 1, 2] as const) one.publish('t', `one${qos}`, qos);
    two.publish('t', 'two', 1);
    expect(one.texts()).toEqual(['t two']);
    expect(two.texts()).toEqual(['t one0', 't one1', 't one2', 't two']);
    one.subscribe('t', 2, { nl: false });
    one.publish('t', 'again', 1);
    expect(one.texts()).toEqual(['t again']);
  });

  it('observes Retain As Published and Retain Handling', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c');
    client.publish('t', 'kept', 1, { retain: true });
    client.take();
    client.subscribe('t', 1, { rh: 2, rap: true });
    expect(client.messages()).toEqual([]);
    client.publish('t', 'live', 1, { retain: true });
    expect(client.messages()[0]?.retain).toBe(true);
    client.subscribe('t', 1, { rh: 1 });
    expect(client.messages()).toEqual([]);
    client.subscribe('t/#', 1, { rh: 1 });
    expect(client.texts()).toEqual(['t live']);
    client.subscribe('t', 1, { rh: 0 });
    expect(client.texts()).toEqual(['t live']);
    client.subscribe('$share/g/t', 1, { rh: 0 });
    expect(client.texts()).toEqual([]);
  });

  it('takes topic aliases, and gives them', () => {
    const gateway = new TestGateway();
    const sender = gateway.connect('s');
    const receiver = gateway.connect('r', 5, { properties: { topicAliasMaximum: 1 } });
    receiver.subscribe('#', 1);
    sender.publish('a/b', '1', 0, { properties: { topicAlias: 3 } });
    sender.publish('', '2', 1, { properties: { topicAlias: 3 } });
    sender.publish('c', '3', 0, { properties: { topicAlias: 3 } });
    sender.publish('', '4', 0, { properties: { topicAlias: 3 } });
    sender.publish('a/b', '5');
    expect(receiver.messages().map((m) => [m.topic, m.properties?.topicAlias])).toEqual([
      ['a/b', 1],
      ['', 1],
      ['c', undefined],
      ['c', undefined],
      ['', 1],
    ]);
  });

  it('keeps to the Receive Maximum of the client, and goes on as it acknowledges', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', 5, { properties: { receiveMaximum: 2 } });
    client.subscribe('t', 2);
    const sender = gateway.connect('s');
    for (let i = 0; i < 5; i++) sender.publish('t', String(i), i % 2 === 0 ? 1 : 2);
    const first = client.messages(false);
    expect(first.map((m) => String(m.payload))).toEqual(['0', '1']);
    client.send({ cmd: 'puback', messageId: first[0]?.messageId ?? 0 });
    expect(client.messages(false).map((m) => String(m.payload))).toEqual(['2']);
    client.send({ cmd: 'pubrec', messageId: first[1]?.messageId ?? 0 });
    expect(client.take().map(({ cmd }) => cmd)).toEqual(['pubrel']);
    client.send({ cmd: 'pubcomp', messageId: first[1]?.messageId ?? 0 });
    expect(client.messages(false).map((m) => String(m.payload))).toEqual(['3']);
  });

  it('sends last values within the Receive Maximum too', () => {
    const gateway = new TestGateway();
    const sender = gateway.connect('s');
    for (let i = 0; i < 5; i++) sender.publish(`t/${i}`, 'v', 1, { retain: true });
    const client = gateway.connect('c', 5, { properties: { receiveMaximum: 2 } });
    client.subscribe('t/#', 1);
    const seen: string[] = [];
    for (let round = 0; round < 5; round++) {
      const messages = client.messages();
      expect(messages.length).toBeLessThanOrEqual(2);
      seen.push(...messages.map(({ topic }) => topic));
    }
    expect(seen.sort()).toEqual(['t/0', 't/1', 't/2', 't/3', 't/4']);
    sender.publish('t/live', 'x', 1);
    expect(client.texts()).toEqual(['t/live x']);
  });

  it('does not send what is larger than the client takes', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', 5, {
      properties: { maximumPacketSize: 50, receiveMaximum: 1 },
    });
    client.subscribe('t', 1);
    const sender = gateway.connect('s');
    for (const qos of [0, 1] as const) sender.publish('t', 'x'.repeat(100), qos);
    for (const qos of [0, 1] as const) sender.publish('t', 'small', qos);
    sender.publish('t', 'y'.repeat(100), 1, { retain: true });
    expect(client.messages().map((m) => String(m.payload))).toEqual(['small', 'small']);
    client.subscribe('t', 1);
    sender.publish('t', 'next', 1);
    expect(client.texts()).toEqual(['t next']);
  });

  it('says when nobody was there', () => {
    const client = new TestGateway().connect('c');
    client.publish('nobody', 'x', 1);
    expect(client.one('puback').reasonCode).toBe(0x10);
    client.publish('nobody', 'x', 2);
    expect(client.one('pubrec').reasonCode).toBe(0x10);
    expect(client.unsubscribe('nothing')).toMatchObject({ granted: [0x11] });
  });

  it('changes the session expiry with DISCONNECT', () => {
    const gateway = new TestGateway();
    const lasting = { clean: false, properties: { sessionExpiryInterval: 100 } };
    gateway.connect('c', 5, lasting).disconnect(0, { sessionExpiryInterval: 0 });
    expect(gateway.client().connect('c', lasting)).toMatchObject({ sessionPresent: false });
    gateway.connect('d', 5, { clean: false }).disconnect();
    expect(gateway.client().connect('d', lasting)).toMatchObject({ sessionPresent: false });
    const bad = gateway.connect('e');
    bad.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 5 } });
    expect(bad.one('disconnect').reasonCode).toBe(0x82);
  });

  it('hands a rejected message to the dead letters of its queue', () => {
    const gateway = new TestGateway();
    const session = gateway.world.engine.open('/', gateway.world.principal('alice'));
    const queue = { durable: true, exclusive: false, autoDelete: false };
    session.declareQueue({ ...queue, name: 'dead', arguments: new Map() }, false);
    const dying = new Map([
      ['x-dead-letter-exchange', ''],
      ['x-dead-letter-routing-key', 'dead'],
    ]);
    session.declareQueue({ ...queue, name: 'work', arguments: dying }, false);
    const client = gateway.connect('c');
    client.subscribe('$queue/work', 1);
    client.publish('$queue/work', 'job', 1, { properties: { userProperties: { a: 'b' } } });
    const [message] = client.messages(false);
    client.send({ cmd: 'puback', messageId: message?.messageId ?? 0, reasonCode: 0x80 });
    client.subscribe('$queue/dead', 1);
    const [dead] = client.messages();
    expect(dead?.topic).toBe('$queue/dead');
    expect(dead?.properties?.userProperties).toMatchObject({
      a: 'b',
      'x-first-death-queue': 'work',
      'x-first-death-reason': 'rejected',
    });
  });

  it('says good-bye when the broker stops', async () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c');
    await gateway.gate.stop();
    expect(client.one('disconnect').reasonCode).toBe(0x8b);
    expect(client.transport.ended).toBe('end');
  });

  it('pauses what it sends to a socket that is full, and drops QoS 0 beyond a limit', () => {
    const gateway = new TestGateway({}, { limits: { mqttWaitingBytesMax: 1000 } });
    const client = gateway.connect('c');
    const sender = gateway.connect('s');
    client.subscribe('t', 1);
    client.transport.congested = true;
    for (let i = 0; i < 3; i++) sender.publish('t', `a${i}`, 0);
    for (let i = 0; i < 3; i++) sender.publish('t', `b${i}`, 1);
    expect(client.texts()).toEqual(['t a0', 't a1', 't a2', 't b0']);
    for (let i = 0; i < 9; i++) sender.publish('t', `c${i}`, 0);
    // It has acknowledged b0, so that it gets one more; each of its own pace.
    expect(client.texts()).toEqual(['t b1']);
    expect(gateway.world.meter.protocol('mqtt').dropped).toBe(9);
    client.transport.congested = false;
    client.connection.drained();
    expect(client.texts()).toEqual(['t b2']);
    sender.publish('t', 'd', 0);
    expect(client.texts()).toEqual(['t d']);
  });

  it('publishes its own figures under $SYS', () => {
    const gateway = new TestGateway({ sys_interval: 10 });
    const client = gateway.connect('c');
    gateway.world.clock.advance(10_000);
    client.subscribe('$SYS/broker/+', 0);
    expect(client.texts()).toEqual([
      '$SYS/broker/uptime 10 seconds',
      '$SYS/broker/version Rosetta MQ 0.0.0',
    ]);
    client.publish('$SYS/broker/uptime', 'forged', 1, { retain: true });
    expect(client.one('puback').reasonCode).toBe(0x87);
  });
});
