/** Normative statements of MQTT 5 that no other test shows, and the table of all of them. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { TestGateway } from './client.ts';

const LASTING = { clean: false, properties: { sessionExpiryInterval: 100 } };

describe('packets', () => {
  it.each([
    ['PUBACK', '41 02 0001'],
    ['PUBREC', '51 02 0001'],
    ['PUBREL', '60 02 0001'],
    ['PUBCOMP', '71 02 0001'],
    ['SUBSCRIBE', '80 07 0001 00 0001 74 00'],
    ['UNSUBSCRIBE', 'a0 06 0001 00 0001 74'],
    ['DISCONNECT', 'e1 00'],
    ['AUTH', 'f1 00'],
  ])('with reserved flags that are not as they must be: %s', (_, hex) => {
    const client = new TestGateway().connect('c');
    client.raw(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    expect(client.one('disconnect').reasonCode).toBe(0x81);
    expect(client.transport.ended).toBe('end');
  });

  it.each([
    ['a topic', '30 05 0002 ff74 00'],
    ['a filter', '82 08 0001 00 0002 74ff 00'],
    ['a filter to unsubscribe from', 'a2 07 0001 00 0002 74ff'],
    ['a content type', '30 09 0001 74 05 03 0002 74ff'],
    ['a response topic', '30 09 0001 74 05 08 0002 74ff'],
    ['the name of a user property', '30 0b 0001 74 07 26 0001 ff 0001 61'],
    ['the value of a user property', '30 0b 0001 74 07 26 0001 61 0001 ff'],
    ['a reason string', 'e0 07 04 05 1f 0002 74ff'],
  ])('with text that is not UTF-8 are malformed: %s', (_, hex) => {
    const client = new TestGateway().connect('c');
    client.raw(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    expect(client.one('disconnect').reasonCode).toBe(0x81);
  });

  it.each([
    ['a will topic', '10 15 0004 4d515454 05 06 0000 00 0001 63 00 0002 74ff 0001 78'],
    ['a user name', '10 12 0004 4d515454 05 82 0000 00 0001 63 0002 61ff'],
  ])('of a login with text that is not UTF-8 are malformed: %s', (_, hex) => {
    const client = new TestGateway().client();
    client.raw(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    expect(client.one('connack').reasonCode).toBe(0x81);
  });

  it('behind a CONNECT that is refused are not processed', () => {
    const gateway = new TestGateway();
    const watcher = gateway.connect('w');
    watcher.subscribe('t');
    const client = gateway.client();
    // Without a user name.
    client.raw(Buffer.from('100e00044d515454050200000000016330050001740078', 'hex'));
    expect(client.one('connack').reasonCode).toBe(0x87);
    expect(client.transport.ended).toBe('end');
    expect(watcher.texts()).toEqual([]);
  });

  it('have no alias where there is no maximum', () => {
    const client = new TestGateway({ topic_alias_maximum: 0 }).connect('c');
    client.publish('t', 'x', 0, { properties: { topicAlias: 1 } });
    expect(client.one('disconnect').reasonCode).toBe(0x94);
  });

  it('keep U+FEFF where it stands', () => {
    const client = new TestGateway().connect('c');
    client.subscribe('\ufefft', 1);
    client.publish('t', 'other');
    client.publish('\ufefft', 'x', 0, { properties: { contentType: '\ufefftext' } });
    const messages = client.messages();
    expect(messages.map(({ topic, properties }) => [topic, properties?.contentType])).toEqual([
      ['\ufefft', '\ufefftext'],
    ]);
  });

  it('take topics and filters as they are, without normalizing them', () => {
    const client = new TestGateway().connect('c');
    const topics = ['é', 'e\u0301', 'É', ' é', 'é/', '/é'];
    for (const topic of topics) client.subscribe(topic);
    for (const topic of topics) client.publish(topic, 'x');
    expect(client.messages().map(({ topic }) => topic)).toEqual(topics);
  });

  it('do not tell reasons in words to a client that wants none', () => {
    const properties = { requestProblemInformation: false };
    const client = new TestGateway().connect('c', 5, { properties });
    client.publish('$SYS/x', 'x', 1);
    expect(client.one('puback').properties?.reasonString).toBeUndefined();
    client.subscribe('a#');
    expect(client.take()).toEqual([]);
  });

  it('that the client declared too large for it lose their words', () => {
    const gateway = new TestGateway();
    const properties = { maximumPacketSize: 20, authenticationMethod: 'unknown' };
    const refused = gateway.client().connect('c', { properties });
    expect(refused).toMatchObject({ cmd: 'connack', reasonCode: 0x8c });
    expect(refused).not.toHaveProperty('properties.reasonString');
    const small = { properties: { maximumPacketSize: 20 } };
    const client = gateway.connect('c', 5, small);
    client.raw([0xd0, 0]);
    const goodBye = client.one('disconnect');
    expect(goodBye.reasonCode).toBe(0x82);
    expect(goodBye.properties?.reasonString).toBeUndefined();
  });

  it('of client identifiers with every letter and digit', () => {
    const gateway = new TestGateway();
    for (const clientId of [
      '0123456789abcdefghijklm',
      'nopqrstuvwxyzABCDEFGHIJ',
      'KLMNOPQRSTUVWXYZ',
    ]) {
      expect(gateway.client().connect(clientId)).toMatchObject({ reasonCode: 0 });
    }
  });
});

describe('identifiers', () => {
  it('are free again after PUBACK, whatever DUP says', () => {
    const client = new TestGateway().connect('c');
    client.subscribe('t', 0);
    for (const dup of [false, true]) client.publish('t', 'x', 1, { messageId: 5, dup });
    expect(client.texts()).toEqual(['t x', 't x']);
  });

  it('are free again after PUBCOMP, and after a PUBREC that refuses', () => {
    const client = new TestGateway().connect('c');
    client.subscribe('t', 0);
    client.publish('$SYS/x', 'x', 2, { messageId: 5 });
    expect(client.one('pubrec').reasonCode).toBe(0x87);
    for (let round = 0; round < 2; round++) {
      client.publish('t', 'x', 2, { messageId: 5 });
      client.send({ cmd: 'pubrel', messageId: 5 });
    }
    expect(client.texts()).toEqual(['t x', 't x']);
  });

  it('of what is on its way to the client are not given twice', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c');
    client.subscribe('t', 2);
    const sender = gateway.connect('s');
    for (let i = 0; i < 50; i++) sender.publish('t', 'x', 1);
    const ids = client.messages(false).map(({ messageId }) => messageId);
    expect(new Set(ids).size).toBe(50);
    expect(ids).not.toContain(0);
  });
});

it('a release that is sent again after a reconnect is no error', () => {
  const gateway = new TestGateway();
  const client = gateway.connect('c', 5, LASTING);
  client.publish('t', 'x', 2, { messageId: 5 });
  client.send({ cmd: 'pubrel', messageId: 5 });
  client.lose();
  const back = gateway.connect('c', 5, LASTING);
  back.send({ cmd: 'pubrel', messageId: 5 });
  expect(back.one('pubcomp')).toMatchObject({ messageId: 5, reasonCode: 0 });
});

describe('delivery', () => {
  it('of QoS 2 is finished though the message has expired since it was sent', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', 5, LASTING);
    client.subscribe('t', 2);
    const properties = { messageExpiryInterval: 5 };
    gateway.connect('s').publish('t', 'x', 2, { properties });
    expect(client.messages(false)).toHaveLength(1);
    client.lose();
    gateway.world.clock.advance(10_000);
    const back = gateway.connect('c', 5, LASTING);
    const [again] = back.messages(false);
    expect(again).toMatchObject({ qos: 2, dup: true });
    back.send({ cmd: 'pubrec', messageId: again?.messageId ?? 0 });
    expect(back.one('pubrel').messageId).toBe(again?.messageId);
  });

  it('goes on after UNSUBSCRIBE for what was sent already', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c');
    client.subscribe('t', 2);
    gateway.connect('s').publish('t', 'x', 2);
    const [message] = client.messages(false);
    client.unsubscribe('t');
    client.send({ cmd: 'pubrec', messageId: message?.messageId ?? 0 });
    expect(client.one('pubrel').messageId).toBe(message?.messageId);
  });

  it('of a group ends with an answer that refuses: no other member gets it', () => {
    const gateway = new TestGateway();
    const members = [gateway.connect('1'), gateway.connect('2')];
    for (const member of members) member.subscribe('$share/g/t', 1);
    gateway.connect('s').publish('t', 'x', 1);
    const seen = members.map((member) => member.messages(false));
    expect(seen.flat()).toHaveLength(1);
    const index = seen.findIndex((messages) => messages.length > 0);
    const messageId = seen[index]?.[0]?.messageId ?? 0;
    members[index]?.send({ cmd: 'puback', messageId, reasonCode: 0x80 });
    expect(members.map((member) => member.messages())).toEqual([[], []]);
  });

  it('of a group keeps to the QoS that each member was granted', () => {
    const gateway = new TestGateway();
    const members = [gateway.connect('1'), gateway.connect('2')];
    members[0]?.subscribe('$share/g/t', 0);
    members[1]?.subscribe('$share/g/t', 1);
    const sender = gateway.connect('s');
    for (let i = 0; i < 6; i++) sender.publish('t', 'x', 2);
    const qos = members.map((member) => new Set(member.messages().map((message) => message.qos)));
    expect(qos).toEqual([new Set([0]), new Set([1])]);
  });

  it('loses nothing while a subscription is replaced', () => {
    const gateway = new TestGateway();
    const client = gateway.connect('c', 5, { properties: { receiveMaximum: 1 } });
    client.subscribe('t', 1);
    const sender = gateway.connect('s');
    for (let i = 0; i < 3; i++) sender.publish('t', String(i), 1);
    client.subscribe('t', 2, { properties: { subscriptionIdentifier: 7 } });
    sender.publish('t', '3', 1);
    const texts: string[] = [];
    for (let i = 0; i < 4; i++) texts.push(...client.texts());
    expect(texts).toEqual(['t 0', 't 1', 't 2', 't 3']);
  });

  it('of a will keeps the order of its user properties', () => {
    const gateway = new TestGateway();
    const watcher = gateway.connect('w');
    watcher.subscribe('t');
    const properties = { userProperties: { b: ['2', '1'], a: '3' } };
    const will = { topic: 't', payload: Buffer.from('x'), qos: 0, retain: false, properties };
    gateway.connect('c', 5, { will } as never).lose();
    expect(watcher.messages()[0]?.properties).toEqual(properties);
  });
});

it('acknowledgements come in the order of what they are for', () => {
  const gateway = new TestGateway();
  const client = gateway.connect('c');
  for (const messageId of [9, 3, 7]) client.publish('t', 'x', 1, { messageId });
  for (const messageId of [8, 2, 6]) client.publish('t', 'x', 2, { messageId });
  expect(client.take().map((packet) => packet.messageId)).toEqual([9, 3, 7, 8, 2, 6]);
  client.subscribe('u', 2);
  for (let i = 0; i < 3; i++) gateway.connect('s').publish('u', 'x', 2);
  const ids = client.messages(false).map(({ messageId = 0 }) => messageId);
  const mixed = [ids[1], ids[0], ids[2]].map((id) => id ?? 0);
  for (const messageId of mixed) client.send({ cmd: 'pubrec', messageId });
  expect(client.take().map((packet) => packet.messageId)).toEqual(mixed);
});

it('a will over the Maximum QoS refuses the connection', () => {
  const client = new TestGateway({ max_qos: 1 }).client(5);
  const will = { topic: 't', payload: Buffer.from('x'), qos: 2, retain: false };
  expect(client.connect('c', { will } as never)).toMatchObject({ reasonCode: 0x9b });
  expect(client.transport.ended).toBe('end');
});

describe('docs/mqtt-conformance.md', () => {
  const root = new URL('../../../', import.meta.url);
  const table = readFileSync(new URL('docs/mqtt-conformance.md', root), 'utf8');
  const rows = [...table.matchAll(/^\| (MQTT-[\d.]+-\d+) \| (.+?) \| (.+?) \|$/gm)];

  it('names each statement once', () => {
    const ids = rows.map(([, id]) => id);
    expect(ids.length).toBeGreaterThan(200);
    expect(ids.filter((id, index) => ids.indexOf(id) !== index)).toEqual([]);
  });

  it('names tests that are there', () => {
    const missing = rows.flatMap(([, id, , shown = '']) => {
      if (shown === 'client') return [];
      const [, file = '', title = ''] = /^(\S+): (.+)$/.exec(shown) ?? [];
      const path = new URL(`test/adapters/${file}.test.ts`, root);
      const found = existsSync(path) && readFileSync(path, 'utf8').includes(title);
      return found ? [] : [`${id}: ${shown}`];
    });
    expect(missing).toEqual([]);
  });
});
