import fc from 'fast-check';
import { expect, test } from 'vitest';
import { amqpFormat, shortKey } from '../../../adapters/amqp091/format.ts';
import { Skim, skim } from '../../../adapters/amqp091/properties.ts';
import type { Death, Format, HeaderValue, Properties, Trail } from '../../../core/message.ts';
import { Message } from '../../../core/message.ts';
import { headers } from './values.ts';

const NOW = 1_700_000_000_000;

interface Parts {
  readonly key?: string;
  readonly durable?: boolean;
  readonly priority?: number;
  readonly expiresAt?: number;
  readonly retain?: boolean;
  readonly trail?: Trail | null;
}

function build(format: Format, native: Buffer, parts: Parts = {}): Message {
  const { key = 'k', durable = false, priority = 0, expiresAt = 0 } = parts;
  const { retain = false, trail = null } = parts;
  const fields = [durable, priority, expiresAt, NOW, retain, null, trail] as const;
  return new Message(format, native, Buffer.from('body'), 'x', key, ...fields);
}

/** A message of a protocol whose properties are simply given. */
function foreign(properties: Properties, parts: Parts = {}): Message {
  const format: Format = { name: 'given', read: () => properties, write: () => Buffer.alloc(0) };
  return build(format, Buffer.alloc(0), parts);
}

/** The message as AMQP has it, having checked that the bytes are in order. */
function crossed(properties: Properties, parts: Parts = {}): Message {
  const native = foreign(properties, parts).as(amqpFormat, NOW);
  skim(native, 0, native.length, 64, new Skim());
  return build(amqpFormat, native, parts);
}

const text = fc.option(
  fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }),
    fc.string({ minLength: 250, maxLength: 300 }),
  ),
  { nil: undefined },
);
const anyProperties: fc.Arbitrary<Properties> = fc.record({
  contentType: text,
  contentEncoding: text,
  messageId: text,
  type: text,
  userId: text,
  appId: text,
  correlationId: fc.oneof(
    text,
    fc.uint8Array({ minLength: 1, maxLength: 300 }).map((array) => Buffer.from([0xff, ...array])),
  ),
  replyTo: fc.option(
    fc.oneof(
      fc.record({
        exchange: fc.constant(''),
        routingKey: fc.string({ minLength: 1, maxLength: 20 }),
      }),
      fc.record({
        exchange: fc.constantFrom('amq.topic', 'a/b', '50%'),
        routingKey: fc.string({ maxLength: 300 }),
      }),
    ),
    { nil: undefined },
  ),
  timestamp: fc.option(fc.nat(), { nil: undefined }),
  headers,
});

test('what a foreign message says survives the way into AMQP', () => {
  fc.assert(
    fc.property(anyProperties, fc.boolean(), (properties, retain) => {
      fc.pre(properties.headers.every(([name]) => !name.startsWith('x-')));
      fc.pre(properties.replyTo?.routingKey.startsWith('amq.to:') !== true);
      expect(crossed(properties, { retain }).properties).toEqual(defined(properties));
    }),
  );
});

function defined(properties: Properties): Properties {
  const entries = Object.entries(properties).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as unknown as Properties;
}

test('the annotated bytes of our own message say the same, and the notes', () => {
  fc.assert(
    fc.property(anyProperties, (properties) => {
      fc.pre(properties.headers.every(([name]) => !name.startsWith('x-') && name !== 'BCC'));
      const plain = crossed(properties);
      const annotated = build(amqpFormat, plain.native, { trail: { deaths: [], hidden: ['BCC'] } });
      const again = build(amqpFormat, annotated.as(amqpFormat, NOW));
      expect(again.properties).toEqual(plain.properties);
    }),
  );
});

test('a dead letter keeps every property but its expiration', () => {
  // Message-id, expiration and cluster-id, which the neutral view has no word for.
  const native = Buffer.from('018401310269640163', 'hex');
  const death: Death = {
    queue: 'q',
    reason: 'expired',
    count: 2,
    time: NOW,
    exchange: 'x',
    routingKeys: ['k'],
    originalExpiration: '1',
  };
  const letter = build(amqpFormat, native, { trail: { deaths: [death], hidden: [] } });
  const bytes = letter.as(amqpFormat, NOW);
  expect(bytes.readUInt16BE(0)).toBe(0x2084);
  expect(bytes.subarray(-5).toString('hex')).toBe('0269640163');
  const { properties } = build(amqpFormat, bytes);
  expect(properties.headers.map(([name]) => name)).toEqual([
    'x-death',
    'x-first-death-reason',
    'x-first-death-queue',
    'x-first-death-exchange',
    'x-last-death-reason',
    'x-last-death-queue',
    'x-last-death-exchange',
  ]);
});

test('a message of ours that nobody annotated is its own bytes', () => {
  const native = Buffer.from([0x10, 0, 2]);
  expect(build(amqpFormat, native).as(amqpFormat, NOW)).toBe(native);
});

const bare: Properties = { headers: [] };

test.each([
  ['persistent', { durable: true }, '100002'],
  ['transient', {}, '100001'],
  ['of a priority', { priority: 9 }, '18000109'],
  ['that expires in a second', { expiresAt: NOW + 1000 }, '1100010431303030'],
  ['that has expired', { expiresAt: NOW - 5 }, '1100010130'],
])('a foreign message %s', (_name, parts, expected) => {
  expect(foreign(bare, parts).as(amqpFormat, NOW).toString('hex')).toBe(expected);
});

test('what is retained says so in a header, which is not one of the user’s', () => {
  const message = crossed({ headers: [['mine', 1]] }, { retain: true });
  expect(message.native.includes('x-retain')).toBe(true);
  expect(message.properties.headers).toEqual([['mine', 1]]);
  const republished = build(amqpFormat, message.native, { retain: false });
  expect(republished.properties.headers).toEqual([
    ['mine', 1],
    ['x-retain', true],
  ]);
});

test('bytes as a correlation id come back from clients that echo the property alone', () => {
  const correlationId = Buffer.from([0, 1, 254, 255]);
  const { native } = crossed({ headers: [], correlationId });
  const property = /amq\.bytes:[\w-]+/.exec(native.toString('latin1'))?.[0] ?? '';
  expect(native.includes('x-correlation-id')).toBe(true);
  const echo = Buffer.concat([Buffer.from([4, 0, property.length]), Buffer.from(property)]);
  expect(build(amqpFormat, echo).properties.correlationId).toEqual(correlationId);
});

test('a reply address is one that AMQP clients can publish to', () => {
  const replyTo = { exchange: 'amq.topic', routingKey: 'a/b.c' };
  const { native } = crossed({ headers: [], replyTo });
  expect(native.includes('amq.to:amq.topic/a/b.c')).toBe(true);
});

test('a key that is too long travels in a header', () => {
  const key = Array.from({ length: 100 }, (_, index) => `word${index}`).join('.');
  const { properties } = crossed(bare, { key });
  expect(properties.headers).toEqual([['x-routing-key', key]]);
  const short = shortKey(key);
  expect(Buffer.byteLength(short)).toBeLessThanOrEqual(255);
  expect(key.startsWith(`${short}.`)).toBe(true);
  expect(shortKey('ü'.repeat(127))).toBe('ü'.repeat(127));
});

test('headers with names that no table takes are kept', () => {
  const long: [string, HeaderValue][] = [
    ['a', 1],
    ['n'.repeat(300), 'long'],
    ['b', 2],
    ['m'.repeat(256), null],
  ];
  expect(crossed({ headers: long }).properties.headers).toEqual(long);
});

test('headers of users that look like ours stay theirs', () => {
  const own: [string, HeaderValue][] = [
    ['x-message-id', 'short'],
    ['x-correlation-id', 'text'],
    ['x-reply-to', 5],
    ['x-long-headers', 'text'],
    ['x-retain', false],
  ];
  expect(crossed({ headers: own }).properties).toEqual({ headers: own });
});
