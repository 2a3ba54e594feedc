import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Decoder } from '../../../adapters/stomp/codec.ts';
import { nativeOf, stompFormat, transcoded } from '../../../adapters/stomp/format.ts';
import { escapeName, escapeText, type Version } from '../../../adapters/stomp/text.ts';
import { DEFAULT_LIMITS } from '../../../core/limits.ts';
import {
  type Format,
  type HeaderValue,
  Message,
  type Properties,
  Typed,
} from '../../../core/message.ts';

const NOW = Date.UTC(2026, 0, 1);

/** The native bytes that a SEND with these headers gives. */
function native(headers: readonly (readonly [string, string])[], version: Version = 2): Buffer {
  const decoder = new Decoder(DEFAULT_LIMITS);
  decoder.version = version;
  const lines = headers.map(
    ([name, value]) => `${escapeName(name, version)}:${escapeText(value, version)}\n`,
  );
  decoder.feed(Buffer.from(`SEND\n${lines.join('')}\n\0`));
  const frame = decoder.next();
  if (frame === null) throw new Error('no frame');
  return nativeOf(frame, null);
}

function message(format: Format, bytes: Buffer, like?: Message): Message {
  return new Message(
    format,
    bytes,
    Buffer.from('body'),
    'x',
    'k',
    like?.durable ?? false,
    like?.priority ?? 0,
    like?.expiresAt ?? 0,
    NOW,
    like?.retain ?? false,
  );
}

function read(headers: readonly (readonly [string, string])[], version: Version = 2): Properties {
  return stompFormat.read(message(stompFormat, native(headers, version)));
}

/** Another protocol's message with these properties. */
function foreign(properties: Properties, fields: Partial<Message> = {}): Message {
  const format: Format = { name: 'other', read: () => properties, write: () => Buffer.alloc(0) };
  return message(format, Buffer.alloc(0), fields as Message);
}

function written(properties: Properties, fields: Partial<Message> = {}): string[] {
  const bytes = stompFormat.write(foreign(properties, fields), NOW);
  return bytes.toString('utf8', 1).split('\n').slice(0, -1);
}

describe('reading', () => {
  test('properties have their STOMP names, the rest are headers in order', () => {
    const properties = read([
      ['destination', '/queue/a'],
      ['content-type', 'text/plain'],
      ['content-encoding', 'gzip'],
      ['b', '1'],
      ['correlation-id', 'c'],
      ['reply-to', '/queue/r'],
      ['amqp-message-id', 'm'],
      ['timestamp', '1700000000'],
      ['type', 't'],
      ['user-id', 'u'],
      ['app-id', 'a'],
      ['priority', '4'],
      ['persistent', 'true'],
      ['expires', '0'],
      ['receipt', 'r'],
      ['transaction', 't'],
      ['content-length', '0'],
      ['a', '2'],
      ['b', '3'],
    ]);
    expect(properties).toEqual({
      contentType: 'text/plain',
      contentEncoding: 'gzip',
      correlationId: 'c',
      replyTo: { exchange: '', routingKey: 'r' },
      messageId: 'm',
      timestamp: 1700000000,
      type: 't',
      userId: 'u',
      appId: 'a',
      text: undefined,
      headers: [
        ['b', '1'],
        ['a', '2'],
        ['b', '3'],
      ],
    });
  });

  test.each([
    ['/queue/a', '', 'a'],
    ['/amq/queue/a', '', 'a'],
    ['/reply-queue/amq.gen-x', '', 'amq.gen-x'],
    ['/queue/a%2Fb', '', 'a/b'],
    ['/topic/a.b', 'amq.topic', 'a.b'],
    ['/topic/a/b', 'amq.topic', 'a.b'],
    ['/exchange/x/k', 'x', 'k'],
    ['/exchange/x', 'x', ''],
    ['plain', '', 'plain'],
  ])('reply-to %s', (replyTo, exchange, routingKey) => {
    expect(read([['reply-to', replyTo]]).replyTo).toEqual({ exchange, routingKey });
  });

  test('bytes come as base64, types as x-header-types says', () => {
    const properties = read([
      ['correlation-id', '/wA='],
      ['correlation-id-encoding', 'base64'],
      ['retries', '3'],
      ['x-header-types', '{"retries":"I"}'],
    ]);
    expect(properties.correlationId).toEqual(Buffer.from([0xff, 0]));
    expect(properties.headers).toEqual([['retries', 3]]);
  });

  test('a timestamp of milliseconds is one of seconds; what is none stays a header', () => {
    expect(read([['timestamp', '1700000000123']]).timestamp).toBe(1700000000);
    expect(read([['timestamp', 'now']])).toMatchObject({ headers: [['timestamp', 'now']] });
  });

  test('a body is text where neither a length nor a type is given', () => {
    expect(read([]).text).toBe(true);
    expect(read([['content-length', '0']]).text).toBeUndefined();
    expect(read([['content-type', 'image/png']]).text).toBeUndefined();
  });
});

describe('writing', () => {
  test('every property has its header', () => {
    const lines = written(
      {
        contentType: 'text/plain',
        correlationId: Buffer.from([0xff]),
        replyTo: { exchange: 'amq.topic', routingKey: 'a.b' },
        messageId: 'm',
        timestamp: 5,
        headers: [
          ['h', 'v:1'],
          ['n', 5],
          ['priority', 'mine'],
        ],
      },
      { durable: true, priority: 7, expiresAt: NOW + 1500, retain: true },
    );
    expect(lines).toEqual([
      'content-type:text/plain',
      'persistent:true',
      'priority:7',
      'correlation-id:/w==',
      'correlation-id-encoding:base64',
      'reply-to:/topic/a.b',
      'expiration:1500',
      `expires:${NOW + 1500}`,
      'amqp-message-id:m',
      'timestamp:5',
      'retain:true',
      'h:v\\c1',
      'n:5',
      'x-user-priority:mine',
      'x-header-types:{"n"\\c"I"}',
    ]);
  });

  test.each([
    ['', 'q', '/queue/q'],
    ['', 'amq.gen-abc', '/reply-queue/amq.gen-abc'],
    ['', 'a/b', '/queue/a%2Fb'],
    ['amq.topic', '', '/exchange/amq.topic'],
    ['x/y', 'k%2F', '/exchange/x%2Fy/k%252F'],
  ])('a reply address %s %s is %s', (exchange, routingKey, destination) => {
    const [line] = written({ replyTo: { exchange, routingKey }, headers: [] });
    expect(line).toBe(`reply-to:${destination}`);
    expect(read([['reply-to', destination]]).replyTo).toEqual({ exchange, routingKey });
  });
});

// Lone surrogates cannot be said in UTF-8, NUL in no header.
const text = fc
  .string({ unit: 'grapheme', maxLength: 20 })
  .map((value) => value.replaceAll('\0', ''));
const name = fc.oneof(
  text,
  fc.constantFrom('priority', 'ack', 'destination', 'x-user-ack', 'x-user-x-user-type', 'type'),
);
const value: fc.Arbitrary<HeaderValue> = fc.oneof(
  text,
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  // Whole numbers beyond 32 bits are bigints in the neutral model.
  fc
    .double({ noNaN: true })
    .filter((number) => (number | 0) === number || !Number.isInteger(number)),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
  fc.integer({ min: -128, max: 127 }).map((number) => new Typed('b', number)),
  fc.array(fc.oneof(text, fc.integer()), { maxLength: 3 }),
);
const properties: fc.Arbitrary<Properties> = fc.record(
  {
    contentType: text,
    contentEncoding: text,
    text: fc.boolean(),
    correlationId: fc.oneof(text, fc.constant(Buffer.from([0xff, 0xfe]))),
    replyTo: fc.record({
      exchange: fc.constantFrom('', 'amq.topic', 'x/y%'),
      routingKey: text.filter((key) => key !== ''),
    }),
    messageId: text,
    timestamp: fc.integer({ min: 0, max: 9e10 }),
    type: text,
    userId: text,
    appId: text,
    headers: fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 5 }),
  },
  { requiredKeys: ['headers'] },
);

/** Without what is not said. */
function said(of: Properties): object {
  return Object.fromEntries(Object.entries(of).filter(([, each]) => each !== undefined));
}

describe('round trips', () => {
  test('what is written is read back', () => {
    fc.assert(
      fc.property(properties, (given) => {
        const bytes = stompFormat.write(foreign(given), NOW);
        expect(said(stompFormat.read(message(stompFormat, bytes)))).toEqual(said(given));
      }),
    );
  });

  test('what a client sent is the same after being written anew', () => {
    const sendable = fc.array(
      fc.tuple(
        fc.oneof(
          text.filter((each) => each !== ''),
          fc.constantFrom('type', 'timestamp', 'reply-to', 'x-header-types', 'correlation-id'),
        ),
        text,
      ),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(sendable, fc.constantFrom(1, 2), (headers, version) => {
        // 1.1 cannot say a carriage return at the end of a line.
        const clean = headers.map(([key, each]) => [key, each.replaceAll('\r', '')] as const);
        const sent = message(stompFormat, native(clean, version as Version));
        const first = stompFormat.read(sent);
        const second = stompFormat.read(message(stompFormat, stompFormat.write(sent, NOW)));
        expect(said(second)).toEqual(said(first));
      }),
    );
  });

  test('another version says the same', () => {
    fc.assert(
      fc.property(properties, (given) => {
        const bytes = stompFormat.write(foreign(given), NOW);
        const there = transcoded(bytes, 1);
        expect(stompFormat.read(message(stompFormat, there))).toEqual(
          stompFormat.read(message(stompFormat, bytes)),
        );
        expect(transcoded(there, 2)).toEqual(bytes);
      }),
    );
  });
});
