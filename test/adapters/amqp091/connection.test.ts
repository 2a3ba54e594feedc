import { expect, test } from 'vitest';
import { Method } from '../../../adapters/amqp091/wire.ts';
import {
  consume,
  declareQueue,
  frame,
  HEADER,
  longText,
  method,
  octet,
  openChannel,
  openVhost,
  publish,
  Stage,
  short,
  startOk,
  text,
  tuneOk,
} from './script.ts';

const CLOSE = method(0, Method.CONNECTION_CLOSE, short(200), text('bye'), short(0), short(0));
const CLOSE_OK = method(0, Method.CONNECTION_CLOSE_OK);

test('a client that closes is told so after its exclusive queues are gone', () => {
  const stage = new Stage();
  const client = stage.ready();
  client.say(declareQueue(1, 'mine', 4));
  expect(client.ask(CLOSE)).toEqual(['1 queue.declare-ok mine 0 0', '0 connection.close-ok']);
  expect(stage.ready().ask(declareQueue(1, 'mine', 1))).toEqual([
    "1 channel.close 404 NOT_FOUND - no queue 'mine' in vhost '/' (50, 10)",
  ]);
});

test('a client that closed hangs up itself, and may have closed twice', () => {
  const stage = new Stage();
  const client = stage.ready();
  expect(client.ask(CLOSE, CLOSE)).toEqual(['0 connection.close-ok', '0 connection.close-ok']);
  expect(client.ask(declareQueue(1, 'late'), CLOSE)).toEqual(['0 connection.close-ok']);
  expect(client.transport.ended).toBeNull();
  stage.world.clock.advance(10_000);
  expect(client.transport.ended).toBe('destroy');
});

test('a gateway that stops does not wait for clients that closed', async () => {
  const stage = new Stage();
  const client = stage.ready();
  client.ask(CLOSE);
  const stopped = stage.stop();
  expect(client.transport.ended).toBe('end');
  client.connection.closed(null);
  await stopped;
});

test('a connection that is lost gives everything back', () => {
  const stage = new Stage();
  const client = stage.ready();
  client.say(declareQueue(1, 'q'), publish(1, 'q', 'x'), consume(1, 'q', 'c'));
  client.connection.closed(new Error('reset'));
  const other = stage.ready();
  expect(other.ask(declareQueue(1, 'q'))).toEqual(['1 queue.declare-ok q 1 0']);
  expect(stage.world.engine.admin.totals().sessions).toBe(1);
});

test.each([
  [
    'a frame larger than agreed',
    Buffer.from([1, 0, 1, 0, 2, 0, 1]),
    '501 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,131073,131064} (0, 0)',
  ],
  [
    'a frame without its end',
    Buffer.from([1, 0, 1, 0, 0, 0, 1, 7, 0]),
    '501 FRAME_ERROR - type 1, all octets = <<7>>: {invalid_frame_end_marker,0} (0, 0)',
  ],
])('%s ends the connection, since nothing after it can be read', (_name, bytes, reason) => {
  const client = new Stage().ready();
  expect(client.ask(bytes)).toEqual([`0 connection.close ${reason}`]);
  expect(client.transport.ended).toBe('end');
});

test.each([
  [
    'an unknown frame type',
    frame(4, 1, octet(9)),
    '501 FRAME_ERROR - type 4, all octets = <<9>>: unknown_frame (0, 0)',
  ],
  [
    'a heartbeat with a payload',
    frame(8, 0, octet(1)),
    '501 FRAME_ERROR - type 8, all octets = <<1>>: unknown_frame (0, 0)',
  ],
  [
    'a heartbeat on a channel',
    frame(8, 1),
    '505 UNEXPECTED_FRAME - type 8, all octets = <<>> (0, 0)',
  ],
  [
    'content on channel 0',
    frame(2, 0, short(60)),
    '505 UNEXPECTED_FRAME - type 2, all octets = <<0,60>> (0, 0)',
  ],
  [
    'a method on a channel that is not open',
    declareQueue(2, 'q'),
    "504 CHANNEL_ERROR - expected 'channel.open' (50, 10)",
  ],
  [
    'content on a channel that is not open',
    frame(3, 2, octet(0)),
    '505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0, 0)',
  ],
  [
    'a close-ok on a channel that is not open',
    method(2, Method.CHANNEL_CLOSE_OK),
    "504 CHANNEL_ERROR - expected 'channel.open' (20, 41)",
  ],
  [
    'a handshake method after the handshake',
    startOk(),
    '504 CHANNEL_ERROR - unexpected method in connection state running (10, 11)',
  ],
  [
    'a method that does not exist, on channel 0',
    method(0, 0x000a_0063),
    '540 NOT_IMPLEMENTED - unknown method 10.99 (10, 99)',
  ],
  [
    'a method that is cut short',
    frame(1, 0, short(10)),
    '501 FRAME_ERROR - type 1, all octets = <<0,10>>: unknown_frame (0, 0)',
  ],
])('%s is an error of the connection', (_name, bytes, reason) => {
  const client = new Stage().ready();
  const said = client.ask(bytes);
  expect(said).toHaveLength(1);
  expect(said[0]).toContain(`0 connection.close ${reason}`);
  expect(client.transport.ended).toBeNull();
  expect(client.ask(declareQueue(1, 'dropped'), CLOSE_OK)).toEqual([]);
  expect(client.transport.ended).toBe('end');
});

test('both sides may close at once', () => {
  const client = new Stage().ready();
  client.ask(frame(8, 1));
  expect(client.ask(CLOSE)).toEqual(['0 connection.close-ok']);
});

test('a client that does not answer a close is cut off', () => {
  const stage = new Stage();
  const client = stage.ready();
  client.ask(frame(8, 1));
  stage.world.clock.advance(10_000);
  expect(client.transport.ended).toBe('destroy');
});

test('as many channels as agreed, and no more', () => {
  const client = new Stage().ready('guest', 'guest', tuneOk(2));
  expect(client.ask(openChannel(7))).toEqual(['7 channel.open-ok']);
  expect(client.ask(openChannel(2))).toEqual([
    '0 connection.close 530 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2) (0, 0)',
  ]);
});

test('a user may have so many channels on all its connections, and again when they closed', () => {
  const stage = new Stage();
  const [one, other] = [stage.ready('sparing', 'secret'), stage.ready('sparing', 'secret')];
  expect(other.ask(openChannel(2))).toEqual([
    "0 connection.close 530 NOT_ALLOWED - number of channels opened for user 'sparing' has reached the maximum allowed user limit of (2) (0, 0)",
  ]);
  expect(one.ask(openChannel(2))).toEqual(['2 channel.open-ok']);
  one.ask(method(1, Method.CHANNEL_CLOSE, short(200), text(''), short(0), short(0)));
  one.connection.closed(null);
  stage.ready('sparing', 'secret');
  expect(stage.ready('sparing', 'secret').ask(openChannel(2))[0]).toContain('530 NOT_ALLOWED');
});

test('heartbeats leave twice an interval, and two silent intervals are the end', () => {
  const stage = new Stage();
  const client = stage.ready('guest', 'guest', tuneOk(0, 0, 10));
  stage.world.clock.advance(10_000);
  expect(client.hear()).toEqual(['heartbeat', 'heartbeat']);
  client.say(frame(8, 0));
  stage.world.clock.advance(20_000);
  expect(client.transport.ended).toBeNull();
  stage.world.clock.advance(5_000);
  expect(client.transport.ended).toBe('destroy');
});

test('without a heartbeat nothing is sent and nobody is missed', () => {
  const stage = new Stage();
  const client = stage.ready();
  stage.world.clock.advance(3_600_000);
  expect(client.hear()).toEqual([]);
  expect(client.transport.ended).toBeNull();
});

test('a new secret is taken note of', () => {
  const client = new Stage().ready();
  const fields = [longText('secret'), text('refresh')];
  expect(client.ask(method(0, Method.CONNECTION_UPDATE_SECRET, ...fields))).toEqual([
    '0 connection.update-secret-ok',
  ]);
});

test('a publisher held for want of memory is told that it is blocked, and when no longer', () => {
  const stage = new Stage({ limits: { memoryHighBytes: 10_000 } });
  const client = stage.client();
  client.say(HEADER, startOk('guest', 'guest', ['connection.blocked']), tuneOk(0, 0, 4));
  client.say(openVhost(), openChannel(1), declareQueue(1, 'q'));
  client.hear();
  client.say(publish(1, 'q', Buffer.alloc(20_000)));
  expect(client.transport.held).toBe(1);
  stage.world.clock.advance(1_000);
  expect(client.hear()).toEqual(['0 connection.blocked low on memory']);
  stage.world.clock.advance(60_000);
  expect(client.transport.ended, 'who cannot be heard is not missed').toBeNull();
  client.hear();
  const other = stage.ready();
  other.say(method(1, Method.QUEUE_PURGE, short(0), text('q'), octet(0)));
  expect(client.hear()).toContain('0 connection.unblocked');
  expect(client.transport.held).toBe(0);
});

test('a client that was not asked to be told is only held', () => {
  const stage = new Stage({ limits: { memoryHighBytes: 10_000 } });
  const client = stage.ready();
  client.say(declareQueue(1, 'q'), publish(1, 'q', Buffer.alloc(20_000)));
  client.hear();
  stage.world.clock.advance(60_000);
  expect(client.hear()).toEqual([]);
  expect(client.transport.held).toBe(1);
});

test('an input that is held goes on for the answer to our close', async () => {
  const stage = new Stage({ limits: { memoryHighBytes: 10_000 } });
  const client = stage.ready();
  client.say(declareQueue(1, 'q'), publish(1, 'q', Buffer.alloc(20_000)));
  client.hear();
  const stopped = stage.stop();
  expect(client.hear()).toEqual([
    "0 connection.close 320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' (0, 0)",
  ]);
  expect(client.transport.held).toBe(0);
  client.say(CLOSE_OK);
  client.connection.closed(null);
  await stopped;
  expect(client.transport.ended).toBe('end');
});

test('stopping waits no longer than its time for clients that do not answer', async () => {
  const stage = new Stage();
  const greeting = stage.client();
  stage.ready();
  const stopped = stage.stop();
  expect(greeting.transport.ended).toBe('end');
  stage.world.clock.advance(3_000);
  await stopped;
});

test('over WebSocket every message holds whole frames', () => {
  const stage = new Stage();
  const client = stage.client(true);
  client.say(HEADER);
  client.say(startOk(), tuneOk(), openVhost(), openChannel(1), declareQueue(1, 'q'));
  client.say(consume(1, 'q', 'c'), publish(1, 'q', 'x'), publish(1, 'q', Buffer.alloc(9000)));
  expect(client.transport.output.length).toBe(0);
  for (const message of client.transport.messages) expect(message.at(-1)).toBe(0xce);
  expect(client.hear().at(-1)).toBe('1 body 9000 bytes');
});
