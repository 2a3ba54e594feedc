/**
 * Message properties as STOMP writes them. Native bytes are one byte of flags, then the SEND
 * frame's header lines as they were received, each ended by LF, without what was meant for the
 * broker alone (destination, receipt, content-length and the like). A message that stays on STOMP
 * is delivered with exactly these lines.
 *
 * A header that has a meaning here, but is only a user header where it comes from, is prefixed
 * `x-user-`, and loses the prefix on its way back.
 */
import { correlationFrom, correlationText, fromStrings, toStrings } from '../../core/envelope.ts';
import type { Address, Format, Message, Properties } from '../../core/message.ts';
import { destinationOf, replyAddress } from './destination.ts';
import type { Frame } from './frame.ts';
import { headerName, UNKNOWN } from './header-name.ts';
import { escapeName, escapeText, unescapeText, type Version } from './text.ts';

const VERSION_BITS = 3;
/** The publisher's protocol says that the body is text: on STOMP, neither a length nor a type. */
const TEXT = 4;
/** …or that it is not. */
const NOT_TEXT = 8;

const USER_PREFIX = 'x-user-';

/** Headers of the frame itself: never the message's. */
const NOISE = [
  'destination',
  'receipt',
  'content-length',
  'transaction',
  'message-id',
  'subscription',
  'ack',
  'redelivered',
  'mandatory',
];

const NOISE_NUMBERS: ReadonlySet<number> = new Set(NOISE.map((name) => headerName(name).number));

/** Headers that are properties, or fields of the Message. */
const STANDARD = new Set([
  'content-type',
  'content-encoding',
  'correlation-id',
  'correlation-id-encoding',
  'reply-to',
  'amqp-message-id',
  'timestamp',
  'type',
  'user-id',
  'app-id',
  'priority',
  'persistent',
  'expires',
  'expiration',
  'retain',
]);

const RESERVED = new Set(['', ...STANDARD, ...NOISE]);

export const stompFormat: Format = {
  name: 'stomp',

  read(message: Message): Properties {
    const { native } = message;
    const flags = native[0] ?? 0;
    const users: [string, string][] = [];
    const standard = new Map<string, string>();
    for (const [name, value] of nativeHeaders(native)) {
      if (STANDARD.has(name) && !standard.has(name)) standard.set(name, value);
      else users.push([unprefixed(name), value]);
    }
    const text = (flags & TEXT) !== 0 ? true : (flags & NOT_TEXT) !== 0 ? false : undefined;
    const properties: Properties = { headers: [], text };
    const kept = readStandard(properties, standard);
    properties.headers = fromStrings([...users, ...kept]);
    return properties;
  },

  write(message: Message, now: number): Buffer {
    const { properties } = message;
    let lines = '';
    const add = (name: string, value: string | undefined): void => {
      if (value !== undefined) lines += `${escapeName(name, 2)}:${escapeText(value, 2)}\n`;
    };
    add('content-type', properties.contentType);
    add('content-encoding', properties.contentEncoding);
    if (message.durable) add('persistent', 'true');
    if (message.priority > 0) add('priority', String(message.priority));
    if (properties.correlationId !== undefined) {
      const { text, bytes } = correlationText(properties.correlationId);
      add('correlation-id', text);
      if (bytes) add('correlation-id-encoding', 'base64');
    }
    if (properties.replyTo !== undefined) add('reply-to', replyDestination(properties.replyTo));
    if (message.expiresAt > 0) {
      add('expiration', String(Math.max(0, message.expiresAt - now)));
      add('expires', String(message.expiresAt));
    }
    add('amqp-message-id', properties.messageId);
    if (properties.timestamp !== undefined) add('timestamp', String(properties.timestamp));
    add('type', properties.type);
    add('user-id', properties.userId);
    add('app-id', properties.appId);
    if (message.retain) add('retain', 'true');
    for (const [name, value] of toStrings(properties.headers)) add(prefixed(name), value);
    const text = properties.text === undefined ? 0 : properties.text ? TEXT : NOT_TEXT;
    return withFlags(2 | text, lines);
  },
};

/** What a message is to say otherwise than the frame that it came in. */
export interface Edits {
  /** Numbers of headers that are left out. */
  readonly without: ReadonlySet<number>;
  /** Lines that are put behind the frame's, as its version writes them. */
  readonly added: string;
}

/** The native bytes of a SEND frame. */
export function nativeOf(frame: Frame, edits: Edits | null): Buffer {
  const { bytes, base } = frame;
  const count = frame.headerCount;
  const added = edits === null || edits.added === '' ? null : Buffer.from(edits.added);
  let size = 1 + (added?.length ?? 0);
  for (let index = 0; index < count; index++) {
    size += frame.lineEnd(index) - frame.nameStart(index) + 1;
  }
  // Pooled for ordinary sizes: a queue that keeps the message detaches it (Message.own).
  const native = Buffer.allocUnsafe(size);
  native[0] = frame.version | (textual(frame) ? TEXT : 0);
  let at = 1;
  for (let index = 0; index < count; index++) {
    const number = frame.nameNumber(index);
    if (number !== UNKNOWN && NOISE_NUMBERS.has(number)) continue;
    if (edits?.without.has(number)) continue;
    const colon = base + frame.colon(index);
    for (let from = base + frame.nameStart(index); from <= colon; from++) {
      native[at++] = bytes[from] as number;
    }
    const end = base + frame.lineEnd(index);
    for (let from = base + frame.valueStart(index); from < end; from++) {
      native[at++] = bytes[from] as number;
    }
    native[at++] = 10;
  }
  if (added !== null) {
    native.set(added, at);
    at += added.length;
  }
  return native.subarray(0, at);
}

/** Which version's escapes the lines of native bytes are written with. */
export function nativeVersion(native: Buffer): Version {
  return ((native[0] ?? 0) & VERSION_BITS) as Version;
}

/** The same headers in another version's escapes. */
export function transcoded(native: Buffer, version: Version): Buffer {
  let lines = '';
  for (const [name, value] of nativeHeaders(native)) {
    lines += `${escapeName(name, version)}:${escapeText(value, version)}\n`;
  }
  return withFlags(((native[0] ?? 0) & ~VERSION_BITS) | version, lines);
}

/** Header lines of native bytes, in order, decoded. */
function nativeHeaders(native: Buffer): [name: string, value: string][] {
  const version = nativeVersion(native);
  const headers: [string, string][] = [];
  const text = native.toString('utf8', 1);
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start);
    const stop = end < 0 ? text.length : end;
    const colon = text.indexOf(':', start);
    const name = unescapeText(text.slice(start, colon), version);
    headers.push([name, unescapeText(text.slice(colon + 1, stop), version)]);
    start = stop + 1;
  }
  return headers;
}

/** Fills in properties; answers the headers that have a property's name but not its form. */
function readStandard(
  properties: Properties,
  standard: ReadonlyMap<string, string>,
): [name: string, value: string][] {
  properties.contentType = standard.get('content-type');
  properties.contentEncoding = standard.get('content-encoding');
  properties.messageId = standard.get('amqp-message-id');
  properties.type = standard.get('type');
  properties.userId = standard.get('user-id');
  properties.appId = standard.get('app-id');
  const replyTo = standard.get('reply-to');
  if (replyTo !== undefined) properties.replyTo = replyAddress(replyTo);
  const correlation = standard.get('correlation-id');
  const encoding = standard.get('correlation-id-encoding');
  if (correlation !== undefined) {
    properties.correlationId =
      encoding === 'base64' ? correlationFrom(Buffer.from(correlation, 'base64')) : correlation;
  }
  const timestamp = standard.get('timestamp');
  if (timestamp === undefined) return [];
  if (!/^\d{1,15}$/.test(timestamp)) return [['timestamp', timestamp]];
  // ActiveMQ's and JMS's timestamps are milliseconds; as seconds they would lie beyond the year
  // 5000.
  const number = Number(timestamp);
  properties.timestamp = number >= 1e11 ? Math.floor(number / 1000) : number;
  return [];
}

/**
 * An address in the form that STOMP clients SEND to. Broker-named queues cannot be declared
 * again.
 */
function replyDestination(address: Address): string {
  if (address.exchange === '') {
    if (address.routingKey === '') return '';
    if (address.routingKey.startsWith('amq.')) return `/reply-queue/${address.routingKey}`;
  }
  return destinationOf(address.exchange, address.routingKey);
}

function prefixed(name: string): string {
  return isReserved(name) ? USER_PREFIX + name : name;
}

function unprefixed(name: string): string {
  return name.startsWith(USER_PREFIX) && isReserved(name.slice(USER_PREFIX.length))
    ? name.slice(USER_PREFIX.length)
    : name;
}

function isReserved(name: string): boolean {
  let bare = name;
  while (bare.startsWith(USER_PREFIX)) bare = bare.slice(USER_PREFIX.length);
  return RESERVED.has(bare);
}

const CONTENT_LENGTH = headerName('content-length');
const CONTENT_TYPE = headerName('content-type');

/** JMS's rule, which STOMP brokers share: without a length the body is text. */
function textual(frame: Frame): boolean {
  return !frame.has(CONTENT_LENGTH) && !frame.has(CONTENT_TYPE);
}

function withFlags(flags: number, lines: string): Buffer {
  const bytes = Buffer.allocUnsafe(1 + Buffer.byteLength(lines));
  bytes[0] = flags;
  bytes.write(lines, 1, 'utf8');
  return bytes;
}
