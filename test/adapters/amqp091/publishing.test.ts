import { expect, test } from 'vitest';
import { Method } from '../../../adapters/amqp091/wire.ts';
import {
  ack,
  consume,
  declareQueue,
  entry,
  frame,
  long,
  longlong,
  longText,
  method,
  NO_ARGUMENTS,
  octet,
  openChannel,
  publish,
  Stage,
  short,
  table,
  text,
} from './script.ts';

const get = (queue: string, bits = 1): Buffer =>
  method(1, Method.BASIC_GET, short(0), text(queue), octet(bits));
const CONFIRM = method(1, Method.CONFIRM_SELECT, octet(0));
const TX = method(1, Method.TX_SELECT);
const COMMIT = method(1, Method.TX_COMMIT);
const ROLLBACK = method(1, Method.TX_ROLLBACK);

/** A property list: flags, then the values. */
const properties = (flags: number, ...values: Buffer[]): Buffer =>
  Buffer.concat([short(flags), ...values]);

test('properties come out with the very bytes that they went in with', () => {
  const client = new Stage().ready();
  const native = properties(
    0xfffc,
    ...[
      text('text/plain'),
      text('utf-8'),
      table(entry('a', 'I', long(7)), entry('a', 'V', short(0).subarray(2))),
    ],
    ...[octet(2), octet(9), Buffer.from([2, 0xff, 0xfe]), text('reply'), text('60000')],
    ...[text('id'), longlong(1), text('type'), text('guest'), text('app'), text('cluster')],
  );
  client.ask(declareQueue(1, 'q'), publish(1, 'q', 'x', { properties: native }));
  expect(client.ask(get('q'))[1]).toBe(`1 content 1 ${native.toString('hex')}`);
});

test.each([
  ['more flags to come', short(1)],
  ['a flag without meaning', short(2)],
  ['a value that is cut short', properties(0x8000, octet(5), Buffer.from('abc'))],
  ['bytes behind the properties', properties(0x8000, text('a'), octet(0))],
  ['a table that is longer than the header', properties(0x2000, long(9))],
  ['an entry that is cut short', properties(0x2000, table(text('name')))],
  ['a timestamp that is cut short', properties(0x0040, long(1))],
])('a content header with %s closes the connection', (_name, native) => {
  const client = new Stage().ready();
  const said = client.ask(declareQueue(1, 'q', 16), publish(1, 'q', 'x', { properties: native }));
  expect(said).toHaveLength(1);
  expect(said[0]).toMatch(/^0 connection\.close 502 SYNTAX_ERROR/);
});

test('tables nested too deeply close the connection', () => {
  let nested = table();
  for (let depth = 0; depth < 70; depth++) nested = table(entry('n', 'F', nested));
  const client = new Stage().ready();
  const said = client.ask(publish(1, 'q', '', { properties: properties(0x2000, nested) }));
  expect(said[0]).toBe(
    '0 connection.close 502 SYNTAX_ERROR - tables are nested too deeply (60, 40)',
  );
});

test.each([
  ['abc', "'abc': no_integer"],
  ['', "'': no_integer"],
  ['12x', `'12x': {leftover_string,"x"}`],
  ['-1', "'-1': {value_negative,-1}"],
  ['315360000001', "'315360000001': {value_too_large,315360000001}"],
])('an expiration of %j is refused', (expiration, reason) => {
  const client = new Stage().ready();
  const native = properties(0x0100, text(expiration));
  expect(client.ask(publish(1, 'q', 'x', { properties: native }))).toEqual([
    `1 channel.close 406 PRECONDITION_FAILED - invalid expiration ${reason} (60, 40)`,
  ]);
});

test('a message expires, and one of 0 at once', () => {
  const stage = new Stage();
  const client = stage.ready();
  client.ask(declareQueue(1, 'q'));
  client.ask(publish(1, 'q', 'x', { properties: properties(0x0100, text('1000')) }));
  client.ask(publish(1, 'q', 'y', { properties: properties(0x0100, text('0')) }));
  stage.world.clock.advance(999);
  expect(client.ask(get('q'))[2]).toBe('1 body x');
  client.ask(publish(1, 'q', 'z', { properties: properties(0x0100, text('1000')) }));
  stage.world.clock.advance(1000);
  expect(client.ask(get('q'))).toEqual(['1 basic.get-empty']);
});

test("nobody publishes in another user's name", () => {
  const client = new Stage().ready('alice', 'secret');
  const native = properties(0x0010, text('bob'));
  expect(client.ask(publish(1, 'q', 'x', { properties: native }))).toEqual([
    "1 channel.close 406 PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'alice' (60, 40)",
  ]);
});

test('a body over the limit closes the channel before it comes', () => {
  const client = new Stage({ limits: { messageBytesMax: 1000 } }).ready();
  const said = client.ask(publish(1, 'q', Buffer.alloc(1001), { frameBytes: 300 }));
  expect(said).toEqual([
    '1 channel.close 406 PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000 (60, 40)',
  ]);
});

test('a body in many frames, and empty ones between, is one message', () => {
  const client = new Stage().ready();
  const names = [short(0), text(''), text('q'), octet(0)];
  client.ask(declareQueue(1, 'q'));
  client.ask(method(1, Method.BASIC_PUBLISH, ...names));
  client.ask(frame(2, 1, short(60), short(0), longlong(6), short(0)));
  for (const part of ['ab', '', 'c', 'def']) client.ask(frame(3, 1, Buffer.from(part)));
  expect(client.ask(get('q'))).toEqual([
    '1 basic.get-ok 1 0  q 0',
    '1 content 6 0000',
    '1 body abcdef',
  ]);
});

test('channels may interleave their content', () => {
  const client = new Stage().ready();
  client.ask(openChannel(2), declareQueue(1, 'q'));
  const names = [short(0), text(''), text('q'), octet(0)];
  for (const channel of [1, 2]) client.say(method(channel, Method.BASIC_PUBLISH, ...names));
  for (const channel of [1, 2])
    client.say(frame(2, channel, short(60), short(0), longlong(2), short(0)));
  for (const part of ['a', 'b'])
    for (const channel of [1, 2]) client.say(frame(3, channel, Buffer.from(`${part}`)));
  expect(client.ask(get('q'), get('q')).filter((line) => line.includes('body'))).toEqual([
    '1 body ab',
    '1 body ab',
  ]);
});

test.each([
  [
    'a method between publish and header',
    declareQueue(1, 'q'),
    'expected content header for class 60, got non content header frame instead (60, 40)',
  ],
  [
    'a body before its header',
    frame(3, 1, octet(0)),
    'expected content header for class 60, got non content header frame instead (60, 40)',
  ],
  [
    'a header with a weight',
    frame(2, 1, short(60), short(7), longlong(0), short(0)),
    'expected content header for class 60, got non content header frame instead (60, 40)',
  ],
  [
    'a header of another class',
    frame(2, 1, short(50), short(0), longlong(0), short(0)),
    'expected content header for class 60, got one for class 50 instead (60, 40)',
  ],
])('%s closes the connection', (_name, bytes, reason) => {
  const client = new Stage().ready();
  const names = [short(0), text(''), text('q'), octet(0)];
  const [said] = client.ask(method(1, Method.BASIC_PUBLISH, ...names), bytes);
  expect(said).toContain('0 connection.close 505 UNEXPECTED_FRAME');
  expect(said).toContain(reason);
});

test('a body longer than its header said closes the connection', () => {
  const client = new Stage().ready();
  const names = [short(0), text(''), text('q'), octet(0)];
  const said = client.ask(
    method(1, Method.BASIC_PUBLISH, ...names),
    frame(2, 1, short(60), short(0), longlong(3), short(0)),
    frame(3, 1, Buffer.from('ab')),
    frame(3, 1, Buffer.from('cd')),
  );
  expect(said[0]).toContain(
    '505 UNEXPECTED_FRAME - expected content body, got non content body frame instead (60, 40)',
  );
});

test('bodies that are not complete are bounded, all channels together', () => {
  const client = new Stage({ limits: { amqpPartialBytesMax: 300_000 } }).ready();
  const names = [short(0), text(''), text('q'), octet(0)];
  const start = (channel: number): Buffer =>
    Buffer.concat([
      method(channel, Method.BASIC_PUBLISH, ...names),
      frame(2, channel, short(60), short(0), longlong(200_000), short(0)),
      frame(3, channel, Buffer.alloc(100_000)),
    ]);
  client.ask(openChannel(2), declareQueue(1, 'q'));
  expect(client.ask(start(1), frame(3, 1, Buffer.alloc(100_000)))).toEqual([]);
  expect(client.ask(start(1))).toEqual([]);
  expect(client.ask(start(2))[0]).toContain('0 connection.close 506 RESOURCE_ERROR');
});

test('publishes of one turn are confirmed with one ack', () => {
  const stage = new Stage();
  const client = stage.ready();
  client.ask(declareQueue(1, 'q'), CONFIRM);
  expect(client.ask(publish(1, 'q', 'a'), publish(1, 'q', 'b'), publish(1, 'no', 'c'))).toEqual([
    '1 basic.ack 3 1',
  ]);
  expect(client.ask(publish(1, 'q', 'd'))).toEqual(['1 basic.ack 4 0']);
  expect(stage.world.meter.protocol('amqp').confirmed).toBe(4);
});

test('an unroutable mandatory message comes back as it went, before its ack', () => {
  const client = new Stage().ready();
  client.ask(CONFIRM);
  const native = properties(0x0080, text('id'));
  expect(client.ask(publish(1, 'no', 'lost', { bits: 1, properties: native }))).toEqual([
    '1 basic.return 312 NO_ROUTE  no',
    `1 content 4 ${native.toString('hex')}`,
    '1 body lost',
    '1 basic.ack 1 0',
  ]);
});

test('what was confirmed before an error is told before it', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), CONFIRM);
  const said = client.ask(publish(1, 'q', 'a'), publish(1, 'k', 'b', { exchange: 'no' }));
  expect(said[0]).toBe('1 basic.ack 1 0');
  expect(said[1]).toContain('1 channel.close 404');
});

test('a transaction happens at its commit', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), TX);
  client.ask(publish(1, 'q', 'a'), publish(1, 'no', 'b', { bits: 1 }));
  expect(client.ask(declareQueue(1, 'q', 1))).toEqual(['1 queue.declare-ok q 0 0']);
  expect(client.ask(COMMIT)).toEqual([
    '1 basic.return 312 NO_ROUTE  no',
    '1 content 1 0000',
    '1 body b',
    '1 tx.commit-ok',
  ]);
  expect(client.ask(declareQueue(1, 'q', 1))).toEqual(['1 queue.declare-ok q 1 0']);
});

test('a rollback forgets publishes, and what was acknowledged is unacknowledged again', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), publish(1, 'q', 'a'), TX);
  client.ask(consume(1, 'q', 'c'));
  expect(client.ask(ack(1, 1), publish(1, 'q', 'b'), ROLLBACK)).toEqual(['1 tx.rollback-ok']);
  expect(client.ask(ack(1, 1), COMMIT)).toEqual(['1 tx.commit-ok']);
  expect(client.ask(ack(1, 1))[0]).toContain('unknown delivery tag 1');
});

test('what a transaction acknowledged is given back when its channel closes', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), publish(1, 'q', 'a'), TX, get('q', 0), ack(1, 1));
  const close = [short(200), text(''), short(0), short(0)];
  client.ask(method(1, Method.CHANNEL_CLOSE, ...close), openChannel(1));
  expect(client.ask(get('q'))[0]).toBe('1 basic.get-ok 1 1  q 0');
});

test('publishing to a missing exchange fails in a transaction too', () => {
  const client = new Stage().ready();
  client.ask(TX);
  expect(client.ask(publish(1, 'k', 'x', { exchange: 'no' }))).toEqual([
    "1 channel.close 404 NOT_FOUND - no exchange 'no' in vhost '/' (60, 40)",
  ]);
});

test('a transaction is bounded', () => {
  const client = new Stage({ limits: { transactionFramesMax: 2 } }).ready();
  client.ask(TX);
  const said = client.ask(publish(1, 'q', 'a'), publish(1, 'q', 'b'), publish(1, 'q', 'c'));
  expect(said[0]).toContain('1 channel.close 406 PRECONDITION_FAILED');
});

test('a transaction that a queue refuses in part is an error', () => {
  const client = new Stage().ready();
  const args = table(
    entry('x-max-length', 'I', long(1)),
    entry('x-overflow', 'S', longText('reject-publish')),
  );
  client.ask(declareQueue(1, 'q', 0, args), TX);
  expect(client.ask(publish(1, 'q', 'a'), publish(1, 'q', 'b'), COMMIT)).toEqual([
    '1 channel.close 406 PRECONDITION_FAILED - partial tx completion (90, 20)',
  ]);
});

test('direct reply-to answers on the channel that asked', () => {
  const stage = new Stage();
  const client = stage.ready();
  const server = stage.ready();
  server.ask(declareQueue(1, 'rpc'));
  expect(client.ask(consume(1, 'amq.rabbitmq.reply-to', 'replies', 2))).toEqual([
    '1 basic.consume-ok replies',
  ]);
  const native = properties(0x0600, text('c1'), text('amq.rabbitmq.reply-to'));
  client.ask(publish(1, 'rpc', '?', { properties: native }));
  server.ask(get('rpc'));
  const again = consume(1, 'amq.rabbitmq.reply-to', 'second', 2);
  expect(client.ask(again)[0]).toContain(
    '406 PRECONDITION_FAILED - reply consumer already set (60, 20)',
  );
});

test('the reply-to of a request names a queue that can be asked for, while its client is there', () => {
  const stage = new Stage();
  const client = stage.ready();
  const server = stage.ready();
  server.ask(declareQueue(1, 'rpc'), consume(1, 'rpc', 'c', 2));
  client.ask(consume(1, 'amq.rabbitmq.reply-to', 'replies', 2));
  const native = properties(0x0200, text('amq.rabbitmq.reply-to'));
  client.ask(publish(1, 'rpc', '?', { properties: native }));
  const content = server.hear().find((line) => line.includes('content')) ?? '';
  const name = Buffer.from(content.split(' ')[3] ?? '', 'hex')
    .subarray(3)
    .toString();
  expect(name).toMatch(/^amq\.rabbitmq\.reply-to\../);
  expect(server.ask(declareQueue(1, name))).toEqual([`1 queue.declare-ok ${name} 0 1`]);
  server.ask(publish(1, name, 'answer'));
  expect(client.hear()).toEqual([
    `1 basic.deliver replies 1 0  ${name}`,
    '1 content 6 0000',
    '1 body answer',
  ]);
  client.ask(method(1, Method.BASIC_CANCEL, text('replies'), octet(0)));
  expect(server.ask(publish(1, name, 'late', { bits: 1 }))[0]).toBe(
    `1 basic.return 312 NO_ROUTE  ${name}`,
  );
  expect(server.ask(declareQueue(1, name))[0]).toContain('404 NOT_FOUND');
});

test('a direct reply-to without its consumer is refused', () => {
  const client = new Stage().ready();
  const native = properties(0x0200, text('amq.rabbitmq.reply-to'));
  expect(client.ask(publish(1, 'q', 'x', { properties: native }))).toEqual([
    '1 channel.close 406 PRECONDITION_FAILED - fast reply consumer does not exist (60, 40)',
  ]);
});

test('a CC header that is no list is refused', () => {
  const client = new Stage().ready();
  const native = properties(0x2000, table(entry('CC', 'S', longText('q'))));
  expect(client.ask(publish(1, 'q', 'x', { properties: native }))[0]).toContain(
    '1 channel.close 406 PRECONDITION_FAILED - invalid message',
  );
});

test('x-retain keeps the message as the last of its address', () => {
  const stage = new Stage();
  const client = stage.ready();
  const native = properties(0x2000, table(entry('x-retain', 't', octet(1))));
  client.ask(publish(1, 'a.b', 'kept', { exchange: 'amq.topic', properties: native }));
  const session = stage.world.engine.open('/', stage.world.principal('guest'));
  expect(session.retained('amq.topic', 'a.*').map((message) => `${message.body}`)).toEqual([
    'kept',
  ]);
});

test('a republished death history goes on being counted', () => {
  const client = new Stage().ready();
  const args = table(
    entry('x-dead-letter-exchange', 'S', longText('')),
    entry('x-dead-letter-routing-key', 'S', longText('dead')),
  );
  client.ask(declareQueue(1, 'dead'), declareQueue(1, 'q', 0, args));
  const reject = (tag: number): Buffer => method(1, Method.BASIC_REJECT, longlong(tag), octet(0));
  client.ask(publish(1, 'q', 'x'), get('q', 0), reject(1));
  const content = client.ask(get('dead')).find((line) => line.includes('content')) ?? '';
  const native = Buffer.from(content.split(' ')[3] ?? '', 'hex');
  client.ask(publish(1, 'q', 'x', { properties: native }), get('q', 0), reject(3));
  const again = client.ask(get('dead')).find((line) => line.includes('content')) ?? '';
  const count = Buffer.concat([text('count'), Buffer.from('l'), longlong(2)]);
  expect(Buffer.from(again.split(' ')[3] ?? '', 'hex').includes(count)).toBe(true);
});

test('unbinding needs no no-wait flag, and answers', () => {
  const client = new Stage().ready();
  const names = [short(0), text('q'), text('amq.direct'), text('k')];
  client.ask(declareQueue(1, 'q'));
  client.ask(method(1, Method.QUEUE_BIND, ...names, octet(0), NO_ARGUMENTS));
  expect(client.ask(method(1, Method.QUEUE_UNBIND, ...names, NO_ARGUMENTS))).toEqual([
    '1 queue.unbind-ok',
  ]);
  expect(client.ask(publish(1, 'k', 'x', { exchange: 'amq.direct', bits: 1 }))[0]).toBe(
    '1 basic.return 312 NO_ROUTE amq.direct k',
  );
});
