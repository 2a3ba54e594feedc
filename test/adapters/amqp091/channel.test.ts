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

const declareExchange = (name: string, type: string, bits = 0): Buffer =>
  method(1, Method.EXCHANGE_DECLARE, short(0), text(name), text(type), octet(bits), NO_ARGUMENTS);
const bind = (queue: string, exchange: string, key: string, bits = 0): Buffer =>
  method(
    1,
    Method.QUEUE_BIND,
    ...[short(0), text(queue), text(exchange), text(key), octet(bits), NO_ARGUMENTS],
  );
const qos = (bytes: number, count: number, global = 0): Buffer =>
  method(1, Method.BASIC_QOS, long(bytes), short(count), octet(global));
const get = (queue: string, bits = 0): Buffer =>
  method(1, Method.BASIC_GET, short(0), text(queue), octet(bits));
const CLOSE_OK = method(1, Method.CHANNEL_CLOSE_OK);

test.each([
  [
    'a queue that is not there',
    declareQueue(1, 'no', 1),
    "404 NOT_FOUND - no queue 'no' in vhost '/' (50, 10)",
  ],
  [
    'an exchange that is not there',
    declareExchange('no', 'direct', 1),
    "404 NOT_FOUND - no exchange 'no' in vhost '/' (40, 10)",
  ],
  [
    'publishing to no exchange',
    publish(1, 'k', 'x', { exchange: 'no' }),
    "404 NOT_FOUND - no exchange 'no' in vhost '/' (60, 40)",
  ],
  [
    'consuming no queue',
    consume(1, 'no', 'c'),
    "404 NOT_FOUND - no queue 'no' in vhost '/' (60, 20)",
  ],
  [
    'a reserved queue name',
    declareQueue(1, 'amq.mine'),
    "403 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*' (50, 10)",
  ],
  [
    'a reserved exchange name',
    declareExchange('amq.mine', 'direct'),
    "403 ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*' (40, 10)",
  ],
  [
    'declaring the default exchange',
    declareExchange('', 'direct'),
    '403 ACCESS_REFUSED - operation not permitted on the default exchange (40, 10)',
  ],
  [
    'binding to the default exchange',
    Buffer.concat([declareQueue(1, 'q', 16), bind('q', '', 'k')]),
    '403 ACCESS_REFUSED - operation not permitted on the default exchange (50, 20)',
  ],
  [
    'deleting a built-in exchange',
    method(1, Method.EXCHANGE_DELETE, short(0), text('amq.topic'), octet(0)),
    "403 ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed (40, 20)",
  ],
  [
    'an exchange of another type',
    declareExchange('amq.topic', 'direct', 2),
    "406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.topic' in vhost '/': received 'direct' but current is 'topic' (40, 10)",
  ],
  [
    'an empty name with no queue declared',
    get(''),
    '404 NOT_FOUND - no previously declared queue (60, 70)',
  ],
  [
    'acknowledging what was not delivered',
    ack(1, 7),
    '406 PRECONDITION_FAILED - unknown delivery tag 7 (60, 80)',
  ],
  [
    'acknowledging tag 0 alone',
    ack(1, 0),
    '406 PRECONDITION_FAILED - unknown delivery tag 0 (60, 80)',
  ],
  [
    'rejecting what was not delivered',
    method(1, Method.BASIC_REJECT, longlong(1), octet(0)),
    '406 PRECONDITION_FAILED - unknown delivery tag 1 (60, 90)',
  ],
  [
    'committing without a transaction',
    method(1, Method.TX_COMMIT),
    '406 PRECONDITION_FAILED - channel is not transactional (90, 20)',
  ],
  [
    'rolling back without a transaction',
    method(1, Method.TX_ROLLBACK),
    '406 PRECONDITION_FAILED - channel is not transactional (90, 30)',
  ],
  [
    'transactions with confirms',
    Buffer.concat([method(1, Method.CONFIRM_SELECT, octet(1)), method(1, Method.TX_SELECT)]),
    '406 PRECONDITION_FAILED - cannot switch from confirm to tx mode (90, 10)',
  ],
  [
    'acknowledged direct replies',
    consume(1, 'amq.rabbitmq.reply-to', 'c'),
    '406 PRECONDITION_FAILED - reply consumer cannot acknowledge (60, 20)',
  ],
])('%s closes the channel only', (_name, bytes, reason) => {
  const client = new Stage().ready();
  expect(client.ask(bytes)).toEqual([`1 channel.close ${reason}`]);
  expect(client.ask(openChannel(2))).toEqual(['2 channel.open-ok']);
  expect(client.ask(CLOSE_OK, openChannel(1))).toEqual(['1 channel.open-ok']);
});

test.each([
  ['a second open', openChannel(1), "504 CHANNEL_ERROR - second 'channel.open' seen (20, 10)"],
  [
    'an unknown exchange type',
    declareExchange('x', 'no'),
    "503 COMMAND_INVALID - unknown exchange type 'no' (40, 10)",
  ],
  ['a prefetch in bytes', qos(1, 0), '540 NOT_IMPLEMENTED - prefetch_size!=0 (1) (60, 10)'],
  [
    'immediate',
    publish(1, 'q', 'x', { bits: 2 }).subarray(0, 20),
    '540 NOT_IMPLEMENTED - immediate=true (60, 40)',
  ],
  [
    'recover without requeueing',
    method(1, Method.BASIC_RECOVER, octet(0)),
    '540 NOT_IMPLEMENTED - requeue=false (60, 110)',
  ],
  [
    'a method for clients',
    method(1, Method.BASIC_DELIVER),
    '503 COMMAND_INVALID - unimplemented method (60, 60)',
  ],
  [
    'a method that is none',
    method(1, 0x003c_0001),
    '540 NOT_IMPLEMENTED - unknown method 60.1 (60, 1)',
  ],
  [
    'fields that are missing',
    method(1, Method.QUEUE_DECLARE, short(0)),
    '501 FRAME_ERROR - cannot decode <<0,0>> (50, 10)',
  ],
  [
    'a name that is no UTF-8',
    method(1, Method.QUEUE_PURGE, short(0), Buffer.from([1, 0xff, 0])),
    '502 SYNTAX_ERROR - short string is not UTF-8 (50, 30)',
  ],
  [
    'a table of an unknown type',
    declareQueue(1, 'q', 0, table(entry('x', '?', octet(0)))),
    '502 SYNTAX_ERROR - unknown field type 63 in table (50, 10)',
  ],
  [
    'content without a publish',
    frame(2, 1, short(60), short(0), longlong(0), short(0)),
    '505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0, 0)',
  ],
])('%s closes the connection', (_name, bytes, reason) => {
  const client = new Stage().ready();
  // The one publish is cut to its method frame, whatever its length.
  const size = bytes.length > 7 ? 8 + bytes.readUInt32BE(3) : bytes.length;
  const whole = bytes.length < size ? publish(1, 'q', 'x', { bits: 2 }) : bytes;
  const [said] = client.ask(whole);
  expect(said).toBe(`0 connection.close ${reason}`);
});

test('what a client sends on a channel that we closed is dropped until it knows', () => {
  const stage = new Stage();
  const client = stage.ready();
  client.say(declareQueue(1, 'q'), ack(1, 1), publish(1, 'q', 'x'), declareQueue(1, 'dropped'));
  expect(client.hear()).toEqual([
    '1 queue.declare-ok q 0 0',
    '1 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 1 (60, 80)',
  ]);
  const close = [short(200), text(''), short(0), short(0)];
  expect(client.ask(method(1, Method.CHANNEL_CLOSE, ...close))).toEqual(['1 channel.close-ok']);
  expect(client.ask(CLOSE_OK, openChannel(1), declareQueue(1, 'q', 1))).toEqual([
    '1 channel.open-ok',
    '1 queue.declare-ok q 0 0',
  ]);
});

test('closing a channel gives back what it held, in order', () => {
  const client = new Stage().ready();
  client.say(declareQueue(1, 'q'), openChannel(2), consume(2, 'q', 'c'));
  client.say(publish(1, 'q', 'a'), publish(1, 'q', 'b'));
  client.hear();
  const close = [short(200), text(''), short(0), short(0)];
  expect(client.ask(method(2, Method.CHANNEL_CLOSE, ...close))).toEqual(['2 channel.close-ok']);
  expect(client.ask(get('q'), get('q'), get('q'))).toEqual([
    '1 basic.get-ok 1 1  q 1',
    '1 content 1 0000',
    '1 body a',
    '1 basic.get-ok 2 1  q 0',
    '1 content 1 0000',
    '1 body b',
    '1 basic.get-empty',
  ]);
});

test('an empty queue name is the queue declared last', () => {
  const client = new Stage().ready();
  expect(client.ask(declareQueue(1, 'q'), bind('', 'amq.direct', ''))).toEqual([
    '1 queue.declare-ok q 0 0',
    '1 queue.bind-ok',
  ]);
  client.say(publish(1, 'q', 'x', { exchange: 'amq.direct' }));
  expect(client.ask(get(''))[0]).toBe('1 basic.get-ok 1 0 amq.direct q 0');
  const purge = method(1, Method.QUEUE_PURGE, short(0), text(''), octet(0));
  const drop = method(1, Method.QUEUE_DELETE, short(0), text(''), octet(0));
  expect(client.ask(purge, drop)).toEqual(['1 queue.purge-ok 0', '1 queue.delete-ok 0']);
});

test('methods that do not want an answer get none', () => {
  const client = new Stage().ready();
  const said = client.ask(
    declareQueue(1, 'q', 16),
    declareExchange('x', 'fanout', 16),
    bind('q', 'x', '', 1),
    consume(1, 'q', 'c', 8),
    method(1, Method.CONFIRM_SELECT, octet(1)),
    method(1, Method.BASIC_CANCEL, text('c'), octet(1)),
    method(1, Method.QUEUE_PURGE, short(0), text('q'), octet(1)),
    method(1, Method.QUEUE_DELETE, short(0), text('q'), octet(4)),
    method(1, Method.EXCHANGE_DELETE, short(0), text('x'), octet(2)),
  );
  expect(said).toEqual([]);
});

test('a consumer tag is used once', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), consume(1, 'q', 'c'));
  expect(client.ask(consume(1, 'q', 'c'))).toEqual([
    "0 connection.close 530 NOT_ALLOWED - attempt to reuse consumer tag 'c' (60, 20)",
  ]);
});

test('consume-ok comes before the first delivery', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), publish(1, 'q', 'x'));
  expect(client.ask(consume(1, 'q', 'c', 2))).toEqual([
    '1 basic.consume-ok c',
    '1 basic.deliver c 1 0  q',
    '1 content 1 0000',
    '1 body x',
  ]);
});

test.each([
  ['V', ''],
  ['S', '0000000135'],
  ['A', '00000000'],
  ['d', '3ff8000000000000'],
])('a priority of type %s is none', (letter, value) => {
  const client = new Stage().ready();
  const args = table(entry('x-priority', letter, Buffer.from(value, 'hex')));
  const fields = [short(0), text('q'), text('c'), octet(0), args];
  client.ask(declareQueue(1, 'q'));
  expect(client.ask(method(1, Method.BASIC_CONSUME, ...fields))[0]).toContain(
    "1 channel.close 406 PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/'",
  );
});

test.each([
  ['b', '05'],
  ['u', '0005'],
  ['I', '00000005'],
  ['l', '0000000000000005'],
])('a priority of type %s is one', (letter, value) => {
  const client = new Stage().ready();
  const args = table(entry('x-priority', letter, Buffer.from(value, 'hex')));
  const fields = [short(0), text('q'), text('c'), octet(0), args];
  client.ask(declareQueue(1, 'q'));
  expect(client.ask(method(1, Method.BASIC_CONSUME, ...fields))).toEqual(['1 basic.consume-ok c']);
});

test('an exclusive consumer is alone', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), consume(1, 'q', 'c', 4));
  expect(client.ask(consume(1, 'q', 'd'))).toEqual([
    "1 channel.close 403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use (60, 20)",
  ]);
});

test('flow can be asked to go on, not to stop', () => {
  const client = new Stage().ready();
  const flow = (active: number): Buffer => method(1, Method.CHANNEL_FLOW, octet(active));
  expect(client.ask(flow(1))).toEqual(['1 channel.flow-ok 1']);
  expect(client.ask(flow(0))).toEqual([
    '0 connection.close 540 NOT_IMPLEMENTED - active=false (20, 20)',
  ]);
});

test('a consumer without acknowledgements waits while the shared window is full', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), declareQueue(1, 'r'), qos(0, 1, 1));
  client.ask(consume(1, 'q', 'acks'), consume(1, 'r', 'acks-not', 2), publish(1, 'q', 'x'));
  expect(client.ask(publish(1, 'r', 'a'), publish(1, 'r', 'b'))).toEqual([]);
  const said = client.ask(ack(1, 1));
  expect(said.filter((line) => line.includes('body'))).toEqual(['1 body a', '1 body b']);
});

test('consumers pause while the socket is full', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), consume(1, 'q', 'c', 2));
  client.transport.congested = true;
  const said = client.ask(publish(1, 'q', 'a'), publish(1, 'q', 'b'));
  expect(said.filter((line) => line.includes('body'))).toEqual(['1 body a']);
  expect(client.ask(consume(1, 'q', 'late', 2))).toEqual(['1 basic.consume-ok late']);
  client.transport.congested = false;
  client.connection.drained();
  expect(client.hear()).toContain('1 body b');
});

test('the consumers of a channel are bounded', () => {
  const client = new Stage({ limits: { amqpConsumersMax: 1 } }).ready();
  client.ask(declareQueue(1, 'q'), consume(1, 'q', 'c'));
  expect(client.ask(consume(1, 'q', 'd'))[0]).toContain('406 PRECONDITION_FAILED');
});

test('a delivery that nobody settles ends its channel', () => {
  const stage = new Stage({}, { consumerTimeoutMs: 120_000 });
  const client = stage.ready();
  client.ask(declareQueue(1, 'q'), consume(1, 'q', 'c'), publish(1, 'q', 'x'));
  client.hear();
  stage.world.clock.advance(120_000);
  expect(client.hear()).toEqual([]);
  stage.world.clock.advance(60_000);
  expect(client.hear()[0]).toMatch(
    /^1 channel\.close 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out/,
  );
});

test.each([
  ['shorter', 60_000, 0, true],
  ['shorter', 60_000, 1_800_000, true],
  ['longer', 600_000, 60_000, false],
])('a queue may have a %s time-out of its own: %i ms beside %i', (_than, own, gateway, ends) => {
  const stage = new Stage({}, { consumerTimeoutMs: gateway });
  const client = stage.ready();
  client.ask(
    declareQueue(1, 'q', 0, table(entry('x-consumer-timeout', 'I', long(own)))),
    consume(1, 'q', 'c'),
  );
  client.ask(publish(1, 'q', 'x'));
  for (let minute = 0; minute < 4; minute++) stage.world.clock.advance(60_000);
  const said = client.hear().filter((line) => line.includes('timed out'));
  expect(said.map((line) => /used: (\d+) ms/.exec(line)?.[1])).toEqual(ends ? [String(own)] : []);
  if (ends) return;
  for (let minute = 0; minute < 8; minute++) stage.world.clock.advance(60_000);
  expect(client.hear().join()).toContain(`Timeout value used: ${own} ms`);
});

test('who acknowledges in time is not timed out', () => {
  const stage = new Stage({}, { consumerTimeoutMs: 120_000 });
  const client = stage.ready();
  client.ask(declareQueue(1, 'q'), consume(1, 'q', 'c'));
  for (let tag = 1; tag < 10; tag++) {
    client.say(publish(1, 'q', 'x'));
    stage.world.clock.advance(100_000);
    client.say(ack(1, tag));
  }
  expect(client.hear().filter((line) => line.includes('close'))).toEqual([]);
});

test('a ticket is given to clients that ask for one', () => {
  const client = new Stage().ready();
  expect(client.ask(method(1, Method.ACCESS_REQUEST, text('/'), octet(0)))).toEqual([
    '1 access.request-ok 1',
  ]);
});

test('a user may do what its permissions say', () => {
  const client = new Stage().ready('limited', 'secret');
  expect(client.ask(declareQueue(1, 'limited-q'))).toEqual(['1 queue.declare-ok limited-q 0 0']);
  expect(client.ask(declareQueue(1, 'q'))).toEqual([
    "1 channel.close 403 ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'limited' (50, 10)",
  ]);
});

test('deliveries that a wider shared window lets through follow the answer', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'q'), publish(1, 'q', 'a'), publish(1, 'q', 'b'), qos(0, 1, 1));
  expect(client.ask(consume(1, 'q', 'c'))).toContain('1 body a');
  const said = client.ask(qos(0, 2, 1));
  expect(said[0]).toBe('1 basic.qos-ok');
  expect(said.at(-1)).toBe('1 body b');
});

test('a channel that the server closed is not opened again before its close is answered', () => {
  const client = new Stage().ready();
  client.ask(declareQueue(1, 'no', 1));
  expect(client.ask(openChannel(1))).toEqual([
    "0 connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20, 10)",
  ]);
});
