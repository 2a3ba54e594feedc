import { expect, test } from 'vitest';
import { Method } from '../../../adapters/amqp091/wire.ts';
import {
  entry,
  frame,
  HEADER,
  longText,
  method,
  octet,
  openChannel,
  openVhost,
  Stage,
  short,
  startOk,
  table,
  text,
  tuneOk,
} from './script.ts';

test('start, tune and open lead to an open connection', () => {
  const client = new Stage().client();
  expect(client.ask(HEADER)).toEqual(['0 connection.start']);
  expect(client.ask(startOk())).toEqual(['0 connection.tune 2047 131072 60']);
  expect(client.ask(tuneOk())).toEqual([]);
  expect(client.transport.loggedIn).toBe(false);
  expect(client.ask(openVhost())).toEqual(['0 connection.open-ok']);
  expect(client.transport.loggedIn).toBe(true);
  expect(client.ask(openChannel(1))).toEqual(['1 channel.open-ok']);
});

test('the whole handshake in one piece, and byte by byte, is the same', () => {
  const script = Buffer.concat([HEADER, startOk(), tuneOk(), openVhost(), openChannel(3)]);
  const whole = new Stage().client().ask(script);
  const client = new Stage().client();
  for (const byte of script) client.say(octet(byte));
  expect(client.hear()).toEqual(whole);
  expect(whole.at(-1)).toBe('3 channel.open-ok');
});

test('connection.start lists what the server can do', () => {
  const client = new Stage().client();
  client.say(HEADER);
  const start = client.transport.sent().toString('latin1');
  for (const word of [
    'publisher_confirms',
    'exchange_exchange_bindings',
    'basic.nack',
    'consumer_cancel_notify',
    'connection.blocked',
    'consumer_priorities',
    'authentication_failure_close',
    'per_consumer_qos',
    'direct_reply_to',
    'PLAIN AMQPLAIN',
    'en_US',
    'Rosetta MQ',
  ]) {
    expect(start).toContain(word);
  }
});

test.each([
  ['another version', 'AMQP\x01\x01\x09\x00'],
  ['a header of two versions', 'AMQP\x01\x01\x09\x01'],
  ['AMQP 0-8', 'AMQP\x01\x01\x08\x00'],
  ['AMQP 1.0', 'AMQP\x00\x01\x00\x00'],
  ['another protocol', 'GET / HTTP/1.1\r\n\r\n'],
])('%s is answered with the version spoken here, and the end', (_name, greeting) => {
  const client = new Stage().client();
  expect(client.ask(Buffer.from(greeting, 'latin1'))).toEqual(['header 0 0 9 1']);
  expect(client.transport.ended).toBe('end');
});

test.each([1, 8])('the header of AMQP 0-9 is taken for that of 0-9-1, by %i octets', (step) => {
  const client = new Stage().client();
  const header = Buffer.from('AMQP\x01\x01\x00\x09', 'latin1');
  for (let at = 0; at < header.length; at += step) client.say(header.subarray(at, at + step));
  expect(client.ask(startOk(), tuneOk(), openVhost())).toEqual([
    '0 connection.start',
    '0 connection.tune 2047 131072 60',
    '0 connection.open-ok',
  ]);
});

test('a wrong password is told to clients that want to be told', () => {
  const client = new Stage().client();
  client.ask(HEADER);
  expect(client.ask(startOk('guest', 'wrong'))).toEqual([
    '0 connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile. (0, 0)',
  ]);
  client.ask(method(0, Method.CONNECTION_CLOSE_OK));
  expect(client.transport.ended).toBe('end');
});

test('a wrong password ends the connection of others without a word', () => {
  const client = new Stage().client();
  client.ask(HEADER);
  expect(client.ask(startOk('nobody', 'x', []))).toEqual([]);
  expect(client.transport.ended).toBe('end');
});

test('AMQPLAIN logs in as PLAIN does', () => {
  const client = new Stage().client();
  client.ask(HEADER);
  const login = Buffer.concat([
    entry('LOGIN', 'S', longText('guest')),
    entry('PASSWORD', 'S', longText('guest')),
  ]);
  const fields = [table(), text('AMQPLAIN'), longText(login), text('en_US')];
  expect(client.ask(method(0, Method.CONNECTION_START_OK, ...fields))).toEqual([
    '0 connection.tune 2047 131072 60',
  ]);
});

test.each([
  ['PLAIN', 'guest'],
  ['PLAIN', '\0guest'],
  ['PLAIN', 'admin\0guest\0guest'],
  ['PLAIN', '\0guest\0guest\0'],
  ['AMQPLAIN', '\0guest\0guest'],
])('a malformed %s response is a refused login', (mechanism, response) => {
  const stage = new Stage();
  const client = stage.client();
  client.ask(HEADER);
  const fields = [table(), text(mechanism), longText(response), text('en_US')];
  expect(client.ask(method(0, Method.CONNECTION_START_OK, ...fields))).toEqual([]);
  expect(client.transport.ended).toBe('end');
  expect(stage.world.meter.protocol('amqp').loginsRefused).toBe(1);
});

test('an unknown mechanism is refused', () => {
  const client = new Stage().client();
  client.ask(HEADER);
  const fields = [table(), text('EXTERNAL'), longText(''), text('en_US')];
  expect(client.ask(method(0, Method.CONNECTION_START_OK, ...fields))).toEqual([
    "0 connection.close 503 COMMAND_INVALID - unknown authentication mechanism 'EXTERNAL' (10, 11)",
  ]);
});

test.each([
  [
    tuneOk(2047, 4095),
    'negotiated frame_max = 4095 is lower than the minimum allowed value (4096)',
  ],
  [
    tuneOk(2047, 131_073),
    'negotiated frame_max = 131073 is higher than the maximum allowed value (131072)',
  ],
  [tuneOk(2048), 'negotiated channel_max = 2048 is higher than the maximum allowed value (2047)'],
])('values out of range are not negotiable', (tune, reason) => {
  const client = new Stage().client();
  client.ask(HEADER, startOk());
  expect(client.ask(tune)).toEqual([`0 connection.close 530 NOT_ALLOWED - ${reason} (10, 31)`]);
});

test('a client that asks for no limit gets the server’s', () => {
  const client = new Stage().client();
  expect(client.ask(HEADER, startOk(), tuneOk(0, 0, 0), openVhost()).at(-1)).toBe(
    '0 connection.open-ok',
  );
});

test.each([
  ['guest', 'guest', 'missing', 'vhost missing not found'],
  ['alice', 'secret', 'other', "access to vhost 'other' refused for user 'alice'"],
])('%s cannot open a vhost that is not for them', (user, password, vhost, reason) => {
  const client = new Stage().client();
  client.ask(HEADER, startOk(user, password), tuneOk());
  expect(client.ask(openVhost(vhost))).toEqual([
    `0 connection.close 530 NOT_ALLOWED - ${reason} (10, 40)`,
  ]);
});

test.each([
  [
    'a method of a later state',
    openVhost(),
    '504 CHANNEL_ERROR - unexpected method in connection state starting (10, 40)',
  ],
  [
    'a frame on a channel',
    openChannel(1),
    '505 UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>> (0, 0)',
  ],
  [
    'a body frame',
    frame(3, 0, octet(1)),
    '505 UNEXPECTED_FRAME - type 3, all octets = <<1>> (0, 0)',
  ],
])('%s before the login closes the connection', (_name, bytes, reason) => {
  const client = new Stage().client();
  client.ask(HEADER);
  expect(client.ask(bytes)).toEqual([`0 connection.close ${reason}`]);
});

test('a client may close before it is logged in', () => {
  const client = new Stage().client();
  client.ask(HEADER);
  const close = [short(200), text('bye'), short(0), short(0)];
  expect(client.ask(method(0, Method.CONNECTION_CLOSE, ...close))).toEqual([
    '0 connection.close-ok',
  ]);
  expect(client.transport.ended).toBeNull();
});
