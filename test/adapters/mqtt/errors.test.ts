import { describe, expect, it } from 'vitest';
import { TestGateway } from './client.ts';

/** Bytes written as hexadecimal and 'text' in quotes, spaces between. */
function bytes(text: string): Buffer {
  const parts = text.match(/'[^']*'|\S+/g) ?? [];
  return Buffer.concat(
    parts.map((part) =>
      part.startsWith("'") ? Buffer.from(part.slice(1, -1)) : Buffer.from(part, 'hex'),
    ),
  );
}

describe('login', () => {
  it.each([
    [3, 4],
    [4, 4],
    [5, 0x86],
  ] as const)('level %i refuses bad credentials with code %i', (version, code) => {
    const gateway = new TestGateway();
    for (const login of [{ password: Buffer.from('wrong') }, { username: 'nobody' }]) {
      const client = gateway.client(version);
      const connack = client.connect('c', login);
      expect(connack).toMatchObject(version === 5 ? { reasonCode: code } : { returnCode: code });
      expect(client.transport.ended).toBe('end');
    }
    expect(gateway.world.meter.protocol('mqtt').loginsRefused).toBe(2);
  });

  it('takes clients without a name only where the configuration allows', () => {
    const nobody = { username: undefined, password: undefined } as never;
    expect(new TestGateway().client(4).connect('c', nobody)).toMatchObject({ returnCode: 5 });
    expect(new TestGateway().client(5).connect('c', nobody)).toMatchObject({ reasonCode: 0x87 });
    const open = new TestGateway({ allow_anonymous: true });
    expect(open.client(4).connect('c', nobody)).toMatchObject({ returnCode: 0 });
  });

  it('takes one without a name for whom its certificate names', () => {
    const gateway = new TestGateway();
    const nobody = { username: undefined, password: undefined } as never;
    const certified = (user: string) => {
      const client = gateway.client(4);
      client.transport.certifiedUser = user;
      return client;
    };
    const client = certified('alice');
    expect(client.connect('c', nobody)).toMatchObject({ returnCode: 0 });
    client.subscribe('t', 0);
    client.publish('t', 'x');
    expect(client.texts()).toEqual(['t x']);
    expect(certified('mallory').connect('c', nobody)).toMatchObject({ returnCode: 4 });
    const wrong = { password: Buffer.from('wrong') };
    expect(certified('alice').connect('c', wrong)).toMatchObject({ returnCode: 4 });
  });

  it('reads the vhost from the user name', () => {
    const gateway = new TestGateway();
    const guest = { username: 'other:guest', password: Buffer.from('guest') };
    const inOther = gateway.connect('c', 4, guest);
    const inDefault = gateway.connect('c', 4);
    inOther.subscribe('t');
    inDefault.publish('t', 'x');
    expect(inOther.texts()).toEqual([]);
    inOther.publish('t', 'y');
    expect(inOther.texts()).toEqual(['t y']);
    const bad = [{ username: 'none:guest' }, { username: 'other:alice' }];
    for (const login of bad) {
      const password = Buffer.from(login.username.endsWith('guest') ? 'guest' : 'secret');
      expect(gateway.client(4).connect('c', { ...login, password })).toMatchObject({
        returnCode: 5,
      });
    }
  });

  it('chooses a client identifier where that is allowed', () => {
    const gateway = new TestGateway();
    const oldest = gateway.client(3);
    oldest.raw(bytes("10 1d 0006 'MQIsdp' 03 c2 0000 0000 0005 'alice' 0006 'secret'"));
    expect(oldest.one('connack')).toMatchObject({ returnCode: 2 });
    expect(gateway.client(4).connect('', { clean: true })).toMatchObject({ returnCode: 0 });
    expect(gateway.client(5).connect('', { clean: true })).toMatchObject({ reasonCode: 0 });
    // mqtt-packet does not write this one.
    const client = gateway.client(4);
    client.raw(bytes("10 1b 0004 'MQTT' 04 c0 0000 0000 0005 'alice' 0006 'secret'"));
    expect(client.one('connack')).toMatchObject({ returnCode: 2 });
  });

  it('refuses an authentication method that it does not know', () => {
    const client = new TestGateway().client(5);
    const properties = { authenticationMethod: 'GS2-KRB5' };
    expect(client.connect('c', { properties })).toMatchObject({ reasonCode: 0x8c });
  });

  it('refuses versions that it does not know', () => {
    const gateway = new TestGateway();
    for (const level of ['03', '06', '86']) {
      const client = gateway.client(4);
      client.raw(bytes(`10 0d 0004 'MQTT' ${level} 02 0000 0001 'c'`));
      expect(client.transport.sent().toString('hex')).toBe('20020001');
      expect(client.transport.ended).toBe('end');
    }
  });

  it.each([
    ['another protocol', "10 0d 0004 'AMQP' 04 02 0000 0001 'c'"],
    ['another packet first', 'c0 00'],
    ['a reserved flag', "10 0d 0004 'MQTT' 04 03 0000 0001 'c'"],
    ['a password without a name', "10 10 0004 'MQTT' 04 42 0000 0001 'c' 0001 'p'"],
    ['a will of QoS 3', "10 13 0004 'MQTT' 04 1e 0000 0001 'c' 0001 't' 0001 'w'"],
    ['will flags without a will', "10 0d 0004 'MQTT' 04 0a 0000 0001 'c'"],
    ['bytes behind its end', "10 0e 0004 'MQTT' 04 02 0000 0001 'c' 00"],
    ['a field past its end', "10 0d 0004 'MQTT' 04 02 0000 0009 'c'"],
    ['too long a length', '10 ff ff ff ff 01'],
    ['more bytes than a login needs', '10 ff ff ff 7f'],
    ['a reserved packet type', '00 00'],
  ])('closes a connection that begins with %s', (_, text) => {
    const gateway = new TestGateway();
    const client = gateway.client(4);
    client.raw(bytes(text));
    expect(client.transport.ended).toBe('end');
    expect(client.transport.sent()).toHaveLength(0);
    expect(gateway.world.meter.protocol('mqtt').protocolErrors).toBe(1);
  });

  it.each([
    ['a property twice', "10 14 0004 'MQTT' 05 02 0000 06 21 0001 21 0001 0001 'c'", 0x82],
    ['Receive Maximum 0', "10 11 0004 'MQTT' 05 02 0000 03 21 0000 0001 'c'", 0x82],
    ['a flag of 2', "10 10 0004 'MQTT' 05 02 0000 02 17 02 0001 'c'", 0x82],
    ['a property of another packet', "10 11 0004 'MQTT' 05 02 0000 03 23 0001 0001 'c'", 0x81],
    ['an unknown property', "10 10 0004 'MQTT' 05 02 0000 02 7f 00 0001 'c'", 0x81],
    ['authentication data alone', "10 12 0004 'MQTT' 05 02 0000 04 16 0001 00 0001 'c'", 0x82],
    ['text that is not UTF-8', "10 0e 0004 'MQTT' 05 02 0000 00 0001 ff", 0x81],
    ['U+0000 in a text', "10 0e 0004 'MQTT' 05 02 0000 00 0001 00", 0x81],
    ['a surrogate in a text', "10 10 0004 'MQTT' 05 02 0000 00 0003 eda080", 0x81],
  ])('answers %s with a reason', (_, text, reason) => {
    const client = new TestGateway().client(5);
    client.raw(bytes(text));
    expect(client.one('connack')).toMatchObject({ reasonCode: reason });
    expect(client.transport.ended).toBe('end');
  });
});

describe('protocol errors of MQTT 5 end the connection with their reason', () => {
  it.each([
    ['a second CONNECT', "10 0e 0004 'MQTT' 05 02 0000 00 0001 'c'", 0x82],
    ['AUTH', 'f0 00', 0x82],
    ['a server packet', 'd0 00', 0x82],
    ['flags on PINGREQ', 'c1 00', 0x81],
    ['a PINGREQ with content', 'c0 01 00', 0x81],
    ['QoS 3', "36 07 0001 't' 0001 00 'x'", 0x81],
    ['DUP with QoS 0', "38 05 0001 't' 00 'x'", 0x81],
    ['packet identifier 0', "32 07 0001 't' 0000 00 'x'", 0x82],
    ['a wildcard in a topic', "30 06 0002 't#' 00 'x'", 0x90],
    ['no topic, no alias', '30 03 0000 00', 0x82],
    ['an unknown alias', '30 06 0000 03 23 0001', 0x82],
    ['alias 0', "30 07 0001 't' 03 23 0000", 0x94],
    ['an alias over the maximum', "30 07 0001 't' 03 23 00ff", 0x94],
    ['an alias twice', "30 0a 0001 't' 06 23 0001 23 0001", 0x82],
    ['a format indicator of 2', "30 06 0001 't' 02 01 02", 0x82],
    ['a subscription identifier', "30 06 0001 't' 02 0b 01", 0x82],
    ['a will delay', "30 09 0001 't' 05 18 00000001", 0x81],
    ['a wildcard in a response topic', "30 08 0001 't' 04 08 0001 '#'", 0x82],
    ['properties past the packet', "30 05 0001 't' 09 00", 0x81],
    ['a topic past the packet', "30 03 0009 't'", 0x81],
    ['a topic with U+0000', '30 04 0001 00 00', 0x81],
    ['SUBSCRIBE without filters', '82 03 0001 00', 0x82],
    ['SUBSCRIBE with QoS 3', "82 07 0001 00 0001 't' 03", 0x81],
    ['SUBSCRIBE with reserved bits', "82 07 0001 00 0001 't' 40", 0x81],
    ['Retain Handling 3', "82 07 0001 00 0001 't' 30", 0x82],
    ['No Local on a shared subscription', "82 10 0001 00 000a '$share/g/t' 04", 0x82],
    ['subscription identifier 0', "82 09 0001 02 0b 00 0001 't' 00", 0x82],
    ['SUBSCRIBE with identifier 0', "82 07 0000 00 0001 't' 00", 0x82],
    ['SUBSCRIBE with wrong flags', "80 07 0001 00 0001 't' 00", 0x81],
    ['UNSUBSCRIBE without filters', 'a2 03 0001 00', 0x82],
    ['a reason that PUBACK has not', '40 03 0001 05', 0x81],
    ['a reason that PUBREL has not', '62 03 0001 80', 0x81],
    ['a DISCONNECT reason of the server', 'e0 01 8e', 0x81],
    ['a server reference', "e0 06 00 04 1c 0001 'x'", 0x81],
    ['a packet that is too large', '30 ff ff ff 7f', 0x95],
    ['a padded length', 'c0 80 00', 0x81],
  ])('%s', (_, text, reason) => {
    const gateway = new TestGateway();
    const client = gateway.connect('c');
    client.raw(bytes(text));
    expect(client.one('disconnect').reasonCode).toBe(reason);
    expect(client.transport.ended).toBe('end');
    client.raw(bytes('c0 00'));
    expect(client.take()).toEqual([]);
  });

  it('more publishes in flight than granted', () => {
    const gateway = new TestGateway({ receive_maximum: 2 });
    const client = gateway.connect('c');
    for (const messageId of [1, 2]) client.publish('t', 'x', 2, { messageId });
    client.send({ cmd: 'pubrel', messageId: 1 });
    client.publish('t', 'x', 2, { messageId: 3 });
    expect(client.take().map(({ cmd }) => cmd)).toEqual(['pubrec', 'pubrec', 'pubcomp', 'pubrec']);
    client.publish('t', 'x', 2, { messageId: 4 });
    expect(client.one('disconnect').reasonCode).toBe(0x93);
  });

  it('a QoS over the maximum', () => {
    const client = new TestGateway({ max_qos: 1 }).connect('c');
    expect(client.subscribe('t', 2)).toEqual([1]);
    client.publish('t', 'x', 2);
    expect(client.one('disconnect').reasonCode).toBe(0x9b);
  });
});

describe('filters that are not legal', () => {
  it.each([
    'a#',
    '#/a',
    'a+/b',
    '',
    '$share/g',
    '$share//t',
    '$share/g/',
    '$share/+/t',
    '$queue/#',
    '$queue/',
  ])('%s is refused alone', (filter) => {
    const gateway = new TestGateway();
    const client = gateway.connect('c');
    const head = Buffer.from([0, 1, 0, 0, filter.length]);
    const tail = Buffer.from([0, 0, 1, 0x74, 1]);
    const content = Buffer.concat([head, Buffer.from(filter), tail]);
    client.raw(Buffer.concat([Buffer.from([0x82, content.length]), content]));
    expect(client.one('suback').granted).toEqual([0x8f, 1]);
    expect(client.transport.ended).toBeNull();
  });
});

describe('MQTT 3', () => {
  it('closes on a protocol error without a word', () => {
    const client = new TestGateway().connect('c', 4);
    client.raw(bytes("30 04 0002 't#'"));
    expect(client.take()).toEqual([]);
    expect(client.transport.ended).toBe('end');
  });

  it('refuses a filter with 0x80', () => {
    const client = new TestGateway().connect('c', 4);
    client.raw(bytes("82 07 0001 0002 'a#' 01"));
    expect(client.one('suback').granted).toEqual([0x80]);
  });

  it('answers releases and receipts that it does not know', () => {
    const client = new TestGateway().connect('c', 4);
    client.send({ cmd: 'pubrel', messageId: 5 });
    expect(client.one('pubcomp').messageId).toBe(5);
    client.send({ cmd: 'pubrec', messageId: 6 });
    expect(client.one('pubrel').messageId).toBe(6);
    client.send({ cmd: 'puback', messageId: 7 });
    client.send({ cmd: 'pubcomp', messageId: 8 });
    expect(client.take()).toEqual([]);
  });
});

describe('MQTT 5', () => {
  it('answers releases and receipts that it does not know with 0x92', () => {
    const client = new TestGateway().connect('c');
    client.send({ cmd: 'pubrel', messageId: 5 });
    expect(client.one('pubcomp').reasonCode).toBe(0x92);
    client.send({ cmd: 'pubrec', messageId: 6 });
    expect(client.one('pubrel').reasonCode).toBe(0x92);
  });
});
