/** Messages of every shape that all four protocols can carry, for tests by property. */
import fc from 'fast-check';
import { type Headers, type HeaderValue, type Properties, Typed } from '../../core/message.ts';
import { type Fields, NOW } from './formats.ts';

/** No NUL: neither MQTT nor STOMP has it in a text; such messages are dead letters there. */
export const text = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .map((value) => value.replaceAll('\0', ''));
/** Beyond the 255 bytes of AMQP's short strings. */
const long = fc.constantFrom('x'.repeat(300), 'ü'.repeat(130));
const notUtf8 = fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from([0xff, ...bytes]));

const simple: fc.Arbitrary<HeaderValue> = fc.oneof(
  text,
  fc.constantFrom('', '42', 'true', 'null', '{"a":1}', ' padded ', 'two\nlines\r\n', 'a:b\\c'),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  // Whole numbers beyond 32 bits are bigints in the neutral model.
  fc.double().filter((number) => (number | 0) === number || !Number.isInteger(number)),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
  fc.integer({ min: 0, max: 2 ** 32 }).map((seconds) => new Date(seconds * 1000)),
  fc.integer({ min: -128, max: 127 }).map((number) => new Typed('b', number)),
  fc.integer({ min: 0, max: 255 }).map((number) => new Typed('B', number)),
  fc.integer({ min: -32_768, max: 32_767 }).map((number) => new Typed('s', number)),
  fc.integer({ min: 0, max: 65_535 }).map((number) => new Typed('u', number)),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((number) => new Typed('i', number)),
  fc.constantFrom(new Typed('f', 0.5), new Typed('f', -3.25)),
  fc.constant(new Typed('D', Buffer.from([2, 0, 0, 7, 203]))),
);

const { value } = fc.letrec<{ value: HeaderValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    simple,
    fc.array(tie('value'), { maxLength: 3 }),
    fc
      .uniqueArray(fc.tuple(text, tie('value')), { selector: ([name]) => name, maxLength: 3 })
      .map((entries) => new Map(entries)),
  ),
}));

const name = fc.oneof(
  text.filter((each) => each !== ''),
  fc.constantFrom('type', 'Type', 'priority', 'Content-Type', 'content-type', 'subject', 'ack'),
  fc.constantFrom('x-user-type', 'x-user-Type', 'destination', 'message-id', 'user-id', 'to'),
  long,
  fc.constantFrom('x-routing', 'x-death-note', 'x-correlation', 'X-Header', 'a/b', 'größer'),
  fc.constantFrom('__proto__', 'constructor', 'Größe', 'a b', 'x:y', 'Timestamp', 'expires'),
);

const TRACE: Headers = [
  ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
  ['tracestate', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'],
];

const DEATHS: Headers = [
  [
    'x-death',
    [
      new Map<string, HeaderValue>([
        ['count', 2n],
        ['reason', 'expired'],
        ['queue', 'jobs'],
        ['time', new Date(NOW)],
        ['exchange', ''],
        ['routing-keys', ['jobs', 'a.b']],
        ['original-expiration', '60000'],
      ]),
    ],
  ],
  ['x-first-death-reason', 'expired'],
];

const own = fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 6 });
const repeated = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'type'), text), { maxLength: 6 });

/** Headers of one table: every name once. */
export const headers: fc.Arbitrary<Headers> = fc.oneof(
  own,
  own.map((table) => [...TRACE, ...table.filter(([key]) => !key.startsWith('trace'))]),
  own.map((table) => [...table.filter(([key]) => !key.startsWith('x-')), ...DEATHS]),
  repeated,
);

/** Domains fold case and JIDs normalise: those of people are what an application may write. */
const replyTo = fc.oneof(
  fc.record({ exchange: fc.constant(''), routingKey: text.filter((key) => key !== '') }),
  fc.record({
    exchange: fc.constantFrom('amq.topic', 'x', 'A/b%', 'é#'),
    routingKey: fc.oneof(text, long),
  }),
  fc.record({ exchange: fc.constant('muc.room'), routingKey: fc.constant('') }),
  fc.record({
    exchange: fc.constant('amq.xmpp'),
    routingKey: fc.constantFrom('alice@localhost', 'bob@localhost/phone'),
  }),
);

export const properties: fc.Arbitrary<Properties> = fc.record(
  {
    contentType: fc.oneof(text, fc.constantFrom('text/plain', 'application/json', 'image/png')),
    contentEncoding: fc.oneof(text, fc.constant('gzip')),
    correlationId: fc.oneof(text, notUtf8, long, fc.constant(Buffer.alloc(300, 0xff))),
    replyTo: replyTo.filter(({ routingKey }) => !routingKey.startsWith('amq.to:')),
    messageId: fc.oneof(text, long),
    timestamp: fc.integer({ min: 0, max: 9e10 }),
    type: fc.oneof(text, fc.constantFrom('chat', 'normal', 'headline', 'groupchat', 'error')),
    userId: text,
    appId: fc.oneof(text, long),
    headers,
  },
  { requiredKeys: ['headers'] },
);

export const fields: fc.Arbitrary<Fields> = fc.record({
  body: fc.oneof(
    text.map((content) => Buffer.from(content)),
    notUtf8,
    fc.constantFrom(Buffer.from(''), Buffer.from('\0'), Buffer.from(' \r\n<&]]>')),
  ),
  exchange: fc.constantFrom('', 'amq.topic', 'x'),
  routingKey: fc.oneof(text, fc.constantFrom('a.b', 'a/b.c', 'a.*.b', '#', 'word.'.repeat(60))),
  durable: fc.boolean(),
  priority: fc.nat(255),
  expiresAt: fc.constantFrom(0, NOW + 1500, NOW + 86_400_000),
  retain: fc.boolean(),
});
