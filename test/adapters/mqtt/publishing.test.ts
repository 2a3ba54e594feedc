import { describe, expect, it } from 'vitest';
import { TestGateway } from './client.ts';

describe.each([3, 4, 5] as const)('MQTT level %i', (version) => {
  it('delivers what matches, with the lower of both QoS', () => {
    const gateway = new TestGateway();
    const [sender, receiver] = [gateway.connect('s', version), gateway.connect('r', version)];
    expect(receiver.subscribe('a/+', 1)).toEqual([1]);
    expect(receiver.subscribe('b/#', 2)).toEqual([2]);
    for (const qos of [0, 1, 2] as const) sender.publish('a/x', `a${qos}`, qos);
    for (const qos of [0, 1, 2] as const) sender.publish('b', `b${qos}`, qos);
    sender.publish('c', 'nobody');
    expect(receiver.messages().map((m) => `${m.topic} ${m.payload} ${m.qos}`)).toEqual([
      'a/x a0 0',
      'a/x a1 1',
      'a/x a2 1',
      'b b0 0',
      'b b1 1',
      'b b2 2',
    ]);
  });

  it('acknowledges QoS 1 with PUBACK, QoS 2 with PUBREC and PUBCOMP', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', version);
    gateway.connect('r', version).subscribe('#', 2);
    client.publish('t', 'x', 1, { messageId: 7 });
    expect(client.one('puback').messageId).toBe(7);
    client.publish('t', 'x', 2, { messageId: 8 });
    expect(client.one('pubrec').messageId).toBe(8);
    client.send({ cmd: 'pubrel', messageId: 8 });
    expect(client.one('pubcomp').messageId).toBe(8);
  });

  it('publishes later what is sent to $delayed', () => {
    const gateway = new TestGateway();
    const [sender, receiver] = [gateway.connect('s', version), gateway.connect('r', version)];
    receiver.subscribe('t/#', 1);
    sender.publish('$delayed/5/t/x', 'later', 1, { messageId: 7 });
    expect(sender.one('puback').messageId).toBe(7);
    sender.publish('t/x', 'now', 0);
    expect(receiver.texts()).toEqual(['t/x now']);
    gateway.world.clock.advance(5000);
    expect(receiver.texts()).toEqual(['t/x later']);
  });

  it('takes a QoS 2 message once, however often it is sent', () => {
    const gateway = new TestGateway();
    const [client, receiver] = [gateway.connect('c', version), gateway.connect('r', version)];
    receiver.subscribe('t', 2);
    client.publish('t', 'x', 2, { messageId: 8 });
    client.publish('t', 'x', 2, { messageId: 8, dup: true });
    expect(client.take().map(({ cmd }) => cmd)).toEqual(['pubrec', 'pubrec']);
    client.send({ cmd: 'pubrel', messageId: 8 });
    client.publish('t', 'y', 2, { messageId: 8 });
    expect(receiver.texts()).toEqual(['t x', 't y']);
  });

  it('knows a QoS 2 message again after a reconnect', () => {
    const gateway = new TestGateway();
    const receiver = gateway.connect('r', version);
    receiver.subscribe('t', 2);
    const lasting = { clean: false, ...(version === 5 ? expiring(100) : {}) };
    const first = gateway.connect('c', version, lasting);
    first.publish('t', 'x', 2, { messageId: 8 });
    first.lose();
    const second = gateway.connect('c', version, lasting);
    second.publish('t', 'x', 2, { messageId: 8, dup: true });
    expect(second.one('pubrec').messageId).toBe(8);
    second.send({ cmd: 'pubrel', messageId: 8 });
    second.one('pubcomp');
    expect(receiver.texts()).toEqual(['t x']);
  });

  it('keeps the last value of a topic, and forgets it by an empty one', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', version);
    for (const qos of [0, 1, 2] as const) {
      client.publish(`t/${qos}`, `v${qos}`, qos, { retain: true });
    }
    client.take();
    client.subscribe('t/+', 1);
    expect(client.messages().map((m) => [m.topic, m.qos, m.retain])).toEqual([
      ['t/0', 0, true],
      ['t/1', 1, true],
      ['t/2', 1, true],
    ]);
    for (const qos of [0, 1, 2] as const) client.publish(`t/${qos}`, '', qos, { retain: true });
    expect(client.messages().map((m) => m.retain)).toEqual([false, false, false]);
    client.subscribe('t/#', 1);
    expect(client.messages()).toEqual([]);
  });

  it('keeps its own topics out of wildcards', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', version);
    client.publish('$other/a', 'kept', 0, { retain: true });
    client.subscribe('#');
    client.subscribe('+/a');
    client.publish('$other/a', 'x');
    expect(client.messages()).toEqual([]);
    client.subscribe('$other/#');
    expect(client.texts()).toEqual(['$other/a kept']);
  });

  it('carries topics with dots, stars, spaces and empty levels unchanged', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', version);
    client.subscribe('#');
    const topics = ['a.b/c', 'st*ar/x', '/lead', 'trail/', '/', 'a//b', '/a//b/', ' x y/ü', '€/😀'];
    for (const topic of topics) client.publish(topic, 'x');
    expect(client.messages().map(({ topic }) => topic)).toEqual(topics);
  });

  it('delivers once to overlapping subscriptions, with the highest QoS', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', version);
    client.subscribe('t/#', 2);
    client.subscribe('t/+', 1);
    client.publish('t/x', 'm', 2);
    expect(client.messages().map(({ qos }) => qos)).toEqual([2]);
  });

  it('stops delivering after UNSUBSCRIBE', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', version);
    client.subscribe('a');
    client.subscribe('b');
    client.unsubscribe('a');
    client.publish('a', '1');
    client.publish('b', '2');
    expect(client.texts()).toEqual(['b 2']);
  });

  it('drops what a client may not publish, and says so only in MQTT 5', () => {
    const gateway = new TestGateway();
    const login = { username: 'limited', password: Buffer.from('secret') };
    const client = gateway.connect('c', version, login);
    client.publish('$exchange/amq.direct/x', 'm', 0);
    client.publish('$exchange/amq.direct/x', 'm', 1);
    client.publish('$exchange/amq.direct/x', 'm', 2);
    const codes = client
      .take()
      .map((packet) => [packet.cmd, 'reasonCode' in packet ? (packet.reasonCode ?? 0) : 0]);
    const code = version === 5 ? 0x87 : 0;
    expect(codes).toEqual([
      ['puback', code],
      ['pubrec', code],
    ]);
    expect(client.transport.ended).toBeNull();
    expect(client.subscribe('t')).toEqual([version === 5 ? 0x87 : 0x80]);
  });

  it('publishes to queues and exchanges by name, and consumes queues', () => {
    const gateway = new TestGateway();
    const [one, two] = [gateway.connect('1', version), gateway.connect('2', version)];
    expect(one.subscribe('$queue/work', 1)).toEqual([1]);
    two.subscribe('$queue/work', 1);
    two.subscribe('$exchange/amq.direct/a/b', 1);
    for (const body of ['1', '2', '3', '4']) one.publish('$queue/work', body, 1);
    one.publish('$exchange/amq.direct/a/b', 'd', 1);
    one.publish('$exchange/amq.direct/a/c', 'none', 1);
    expect(one.texts()).toEqual(['$queue/work 1', '$queue/work 3']);
    expect(two.texts()).toEqual(['$queue/work 2', '$queue/work 4', '$exchange/amq.direct/a/b d']);
  });

  it('gives an unacknowledged message of a queue to the next consumer', () => {
    const gateway = new TestGateway();
    const one = gateway.connect('1', version);
    one.subscribe('$queue/work', 1);
    one.publish('$queue/work', 'job', 1);
    expect(one.messages(false)).toHaveLength(1);
    const two = gateway.connect('2', version);
    two.subscribe('$queue/work', 1);
    one.lose();
    expect(two.texts()).toEqual(['$queue/work job']);
  });

  it('shares a subscription among a group', () => {
    const gateway = new TestGateway();
    const members = ['1', '2', '3'].map((id) => gateway.connect(id, version));
    for (const member of members) member.subscribe('$share/g/t/+', 1);
    const other = gateway.connect('o', version);
    other.subscribe('$share/h/t/+', 1);
    for (let i = 0; i < 9; i++) other.publish('t/x', String(i), 1);
    expect(members.map((member) => member.messages().length)).toEqual([3, 3, 3]);
    expect(other.messages()).toHaveLength(9);
    for (const member of members) member.lose();
    const names = [...gateway.world.engine.admin.queues('/')].map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('mqtt-share-g'))).toEqual([]);
  });
});

function expiring(seconds: number) {
  return { properties: { sessionExpiryInterval: seconds } };
}
