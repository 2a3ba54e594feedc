/**
 * What a message says that must cross (docs/fidelity.md): one trait a row of the report, each with
 * the place where every protocol keeps it. `clients` traits go through client libraries on sockets;
 * `codecs` traits, which libraries do not show to their applications, through the adapters' formats.
 */
import { RETAIN_FLAG } from '../../adapters/mqtt/native.ts';
import { isText } from '../../core/envelope.ts';
import type { Message, Properties } from '../../core/message.ts';
import { bytesOf, type Outgoing, type Protocol, type Received } from '../interop/clients/client.ts';
import type { SeededRandom } from '../support/seeded-random.ts';

/** Where a protocol has a trait: a field of its own, or one that the gateway documents. */
export interface Home {
  readonly kind: 'field' | 'envelope' | 'absent';
  /** The field, or why there is none. */
  readonly where: string;
}

export type Homes = Readonly<Record<Protocol, Home>>;

interface Common {
  readonly name: string;
  readonly homes: Homes;
}

export interface ClientTrait extends Common {
  readonly means: 'clients';
  generate(random: SeededRandom): Outgoing;
  arrived(sent: Outgoing, received: Received): boolean;
}

export interface CodecTrait extends Common {
  readonly means: 'codecs';
  generate(random: SeededRandom): { readonly properties: Properties; readonly retain: boolean };
  /** `there`: as a client of the other protocol gets it. */
  arrived(sent: Message, there: Message): boolean;
}

/** Request and answer, and dead letters: the report drives them itself. */
export interface StoryTrait extends Common {
  readonly means: 'request' | 'dead letter' | 'typed headers';
}

export type Trait = ClientTrait | CodecTrait | StoryTrait;

const field = (where: string): Home => ({ kind: 'field', where });
const envelope = (where: string): Home => ({ kind: 'envelope', where });
const absent = (where: string): Home => ({ kind: 'absent', where });
const homes = (amqp: Home, mqtt: Home, stomp: Home, xmpp: Home): Homes => ({
  amqp,
  mqtt,
  stomp,
  xmpp,
});
const user = (name: string): Home => envelope(`user property \`${name}\``);
const shim = (name: string): Home => envelope(`SHIM \`${name}\``);

const LETTERS = ['a', 'Z', '0', ' ', '-', ':', '\\', '%', '"', '<', '&', "'", 'é', '𝄞', '{', '='];

/** Text that every protocol has to escape in its own way, without white space at its ends. */
function text(random: SeededRandom, most: number): string {
  const inner = Array.from({ length: random.below(most) }, () => random.pick(LETTERS)).join('');
  return `t${inner}t`;
}

function bytes(random: SeededRandom): Buffer {
  return Buffer.concat([Buffer.from([0xff, 0x00]), random.bytes(random.below(12))]);
}

type Said = Omit<Outgoing, 'body'>;
type Name = keyof Said & keyof Received;

function property(
  name: string,
  key: Name,
  where: Homes,
  value: (random: SeededRandom) => Said[Name],
): ClientTrait {
  return {
    name,
    means: 'clients',
    homes: where,
    generate: (random) => ({ body: text(random, 20), [key]: value(random) }),
    arrived: (sent, received) =>
      bytesOf(sent.body).equals(received.body) && same(sent[key], received[key]),
  };
}

function same(sent: unknown, received: unknown): boolean {
  if (Buffer.isBuffer(received)) return received.equals(bytesOf(sent as string));
  return sent === received;
}

function body(
  name: string,
  where: Homes,
  generate: (random: SeededRandom) => Outgoing,
): ClientTrait {
  const arrived = (sent: Outgoing, received: Received): boolean =>
    bytesOf(sent.body).equals(received.body);
  return { name, means: 'clients', homes: where, generate, arrived };
}

function headers(
  name: string,
  generate: (random: SeededRandom) => [string, string][],
): ClientTrait {
  return {
    name,
    means: 'clients',
    homes: homes(field('headers'), field('user properties'), field('headers'), field('SHIM')),
    generate: (random) => ({ body: 'b', headers: Object.fromEntries(generate(random)) }),
    arrived: ({ headers: sent = {} }, received) =>
      Object.entries(sent).every(([key, value]) => received.headers[key] === value),
  };
}

const payload = (xmpp: Home): Homes =>
  homes(field('payload'), field('payload'), field('body'), xmpp);

const BODIES: readonly Trait[] = [
  body('body, text', payload(field('`<body>`')), (random) => ({
    body: `${text(random, 40)}\n${text(random, 40)}`,
    contentType: 'text/plain',
  })),
  body('body, bytes', payload(envelope('`<payload>`, base64')), (random) => ({
    body: bytes(random),
    contentType: 'application/octet-stream',
  })),
];

const PROPERTIES: readonly Trait[] = [
  property(
    'content type',
    'contentType',
    homes(
      field('content-type'),
      field('Content Type'),
      field('content-type'),
      shim('Content-Type'),
    ),
    (random) => random.pick(['application/json', 'text/plain; charset=utf-8', 'x/y; a="é"']),
  ),
  property(
    'content encoding',
    'contentEncoding',
    homes(
      field('content-encoding'),
      user('content-encoding'),
      envelope('`content-encoding`'),
      shim('Content-Encoding'),
    ),
    (random) => random.pick(['gzip', 'identity', text(random, 5)]),
  ),
  property(
    'persistence',
    'persistent',
    homes(
      field('delivery-mode'),
      field('QoS'),
      field('persistent'),
      field('type `headline`, XEP-0334'),
    ),
    (random) => random.below(2) === 0,
  ),
  property(
    'priority',
    'priority',
    homes(field('priority'), user('priority'), field('priority'), shim('Priority')),
    (random) => 1 + random.below(255),
  ),
  property(
    'correlation id, text',
    'correlationId',
    homes(
      field('correlation-id'),
      field('Correlation Data'),
      field('correlation-id'),
      field('`<thread>`'),
    ),
    (random) => text(random, 20),
  ),
  property(
    'correlation id, bytes',
    'correlationId',
    homes(
      envelope('`amq.bytes:…` and header `x-correlation-id`'),
      field('Correlation Data'),
      envelope('`correlation-id-encoding`'),
      shim('Correlation-ID'),
    ),
    bytes,
  ),
  {
    name: 'remaining life',
    means: 'clients',
    homes: homes(
      field('expiration'),
      field('Message Expiry Interval'),
      envelope('`expiration`, `expires`'),
      shim('Expiration'),
    ),
    generate: (random) => ({ body: 'b', expiryMs: 1000 * (60 + random.below(600)) }),
    arrived: ({ expiryMs: said = 0 }, { expiryMs: left = 0 }) =>
      left <= said && left > said - 30_000,
  },
  property(
    'message id',
    'messageId',
    homes(
      field('message-id'),
      user('message-id'),
      envelope('`amqp-message-id`'),
      field('stanza `id`'),
    ),
    (random) => text(random, 20),
  ),
  property(
    'timestamp',
    'timestamp',
    homes(field('timestamp'), user('timestamp'), envelope('`timestamp`'), shim('Timestamp')),
    (random) => random.below(2 ** 32),
  ),
  property(
    'type',
    'type',
    homes(field('type'), user('type'), envelope('`type`'), shim('Type')),
    (random) => text(random, 10),
  ),
  property(
    'application id',
    'appId',
    homes(field('app-id'), user('app-id'), envelope('`app-id`'), shim('App-ID')),
    (random) => text(random, 10),
  ),
];

const HEADERS: readonly Trait[] = [
  headers('headers', (random) =>
    ['plain', 'with space', 'größe', 'x-mine', 'Content-type'].map((name) => [
      name,
      random.pick([text(random, 20), '', '42', 'true']),
    ]),
  ),
  headers('trace context', (random) => [
    ['traceparent', `00-${random.bytes(16).toString('hex')}-${random.bytes(8).toString('hex')}-01`],
    ['tracestate', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'],
  ]),
];

function codec(
  name: string,
  where: Homes,
  generate: (random: SeededRandom) => Properties,
  arrived: CodecTrait['arrived'],
  retain: boolean = false,
): CodecTrait {
  const generated = (random: SeededRandom) => ({ properties: generate(random), retain });
  return { name, means: 'codecs', homes: where, generate: generated, arrived };
}

const PLAIN: Properties = { headers: [] };
const RETAINED: Readonly<Record<string, (native: Buffer) => boolean>> = {
  amqp091: (native) => native.includes('x-retain'),
  mqtt: (native) => ((native[0] ?? 0) & RETAIN_FLAG) !== 0,
  stomp: (native) => native.includes('retain:true\n'),
  xmpp: (native) => native.includes('<header name="Retain">true</header>'),
};

const CODECS: readonly Trait[] = [
  codec(
    'headers of one name, in order',
    homes(
      envelope('table entries of one name'),
      field('user properties'),
      field('headers'),
      field('SHIM'),
    ),
    (random) => ({
      headers: ['a', 'b', 'a', 'a', 'b'].map((name) => [name, text(random, 8)] as const),
    }),
    (sent, there) =>
      JSON.stringify(sent.properties.headers) === JSON.stringify(there.properties.headers),
  ),
  codec(
    'user id',
    homes(field('user-id'), user('user-id'), envelope('`user-id`'), shim('User-ID')),
    (random) => ({ headers: [], userId: text(random, 8) }),
    (sent, there) => sent.properties.userId === there.properties.userId,
  ),
  codec(
    'that the body is text',
    homes(
      absent('read from content-type and bytes'),
      field('Payload Format Indicator'),
      field('no content-length'),
      field('`<body>`'),
    ),
    () => ({ headers: [], text: true }),
    (sent, there) => isText(sent) && isText(there),
  ),
  codec(
    'retention',
    homes(envelope('header `x-retain`'), field('RETAIN'), envelope('`retain`'), shim('Retain')),
    () => PLAIN,
    (_sent, there) => RETAINED[there.format.name]?.(there.native) === true,
    true,
  ),
];

const STORIES: readonly Trait[] = [
  {
    name: 'reply address',
    means: 'request',
    homes: homes(field('reply-to'), field('Response Topic'), field('reply-to'), field('from')),
  },
  {
    name: 'headers with types',
    means: 'typed headers',
    homes: homes(
      field('headers'),
      user('x-header-types'),
      envelope('`x-header-types`'),
      shim('x-header-types'),
    ),
  },
  {
    name: 'dead-letter history',
    means: 'dead letter',
    homes: homes(field('x-death'), user('x-death'), envelope('`x-death`'), shim('x-death')),
  },
];

export const TRAITS: readonly Trait[] = [
  ...BODIES,
  ...PROPERTIES,
  ...HEADERS,
  ...CODECS,
  ...STORIES,
];
