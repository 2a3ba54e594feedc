/**
 * AMQP 0-9-1's properties as the neutral view, and any message's as AMQP properties.
 *
 * Native bytes are a content header's flags and property list as received. A message of our own
 * that the broker annotated (dead letters, a removed BCC header) keeps every byte but its headers
 * and its spent expiration; a foreign one is written from the neutral view. What does not fit a
 * short string of 255 bytes travels whole in a header of its own (`x-message-id`), which reading
 * restores.
 */
import { addressFromReplyKey, addressToReplyKey, fitKey } from '../../core/address.ts';
import { correlationFrom, ROUTING_KEY_HEADER } from '../../core/envelope.ts';
import {
  type Format,
  type Headers,
  type HeaderTable,
  type HeaderValue,
  header,
  type Message,
  type Properties,
} from '../../core/message.ts';
import { eachProperty, Property } from './properties.ts';
import { decodeEntries, entriesBytes, writeEntries } from './table.ts';

export const RETAIN_HEADER = 'x-retain';
const CORRELATION_HEADER = 'x-correlation-id';
/** Headers whose names no AMQP table takes: a list of tables of name, value and place. */
const LONG_HEADERS = 'x-long-headers';
const NAME_BYTES_MAX = 255;

/**
 * Marks a correlation id that is bytes: text clients echo a short string faithfully, but not bytes
 * that are no text, and an answer with a damaged correlation id is lost.
 */
const BYTES_PREFIX = 'amq.bytes:';

type TextName = 'contentType' | 'contentEncoding' | 'messageId' | 'type' | 'userId' | 'appId';
const TEXTS: readonly (readonly [property: number, name: TextName, header: string])[] = [
  [Property.CONTENT_TYPE, 'contentType', 'x-content-type'],
  [Property.CONTENT_ENCODING, 'contentEncoding', 'x-content-encoding'],
  [Property.MESSAGE_ID, 'messageId', 'x-message-id'],
  [Property.TYPE, 'type', 'x-type'],
  [Property.USER_ID, 'userId', 'x-user-id'],
  [Property.APP_ID, 'appId', 'x-app-id'],
];
const TEXT_NAMES = new Map(TEXTS.map(([property, name]) => [property, name]));
const REPLY_HEADER = 'x-reply-to';

export const amqpFormat: Format = { name: 'amqp091', read, write };

function read(message: Message): Properties {
  return parse(message, []);
}

/** `taken` gets the headers that are not the user's own but stand for something else. */
function parse(message: Message, taken: [string, HeaderValue][]): Properties {
  const native = message.native;
  const properties: Properties = { headers: [] };
  let headers: Headers = [];
  eachProperty(native, (property, start, end) => {
    const name = TEXT_NAMES.get(property);
    if (name !== undefined) {
      properties[name] = native.toString('utf8', start + 1, end);
    } else if (property === Property.HEADERS) {
      headers = decodeEntries(native, start + 4, end);
    } else if (property === Property.CORRELATION_ID) {
      properties.correlationId = correlation(Buffer.from(native.subarray(start + 1, end)));
    } else if (property === Property.REPLY_TO) {
      if (end > start + 1)
        properties.replyTo = addressFromReplyKey(native.toString('utf8', start + 1, end));
    } else if (property === Property.TIMESTAMP) {
      properties.timestamp = Number(native.readBigUInt64BE(start));
    }
  });
  properties.headers = restore(headers, properties, message.retain, taken);
  return properties;
}

function correlation(bytes: Buffer): string | Buffer {
  const id = correlationFrom(bytes);
  if (typeof id !== 'string' || !id.startsWith(BYTES_PREFIX)) return id;
  const text = id.slice(BYTES_PREFIX.length);
  const decoded = Buffer.from(text, 'base64url');
  return decoded.toString('base64url') === text ? decoded : id;
}

/**
 * Puts back what stood in headers for want of room; answers the headers that are the user's own.
 */
function restore(
  headers: Headers,
  properties: Properties,
  retain: boolean,
  taken: [string, HeaderValue][],
): Headers {
  let own: [string, HeaderValue][] | null = null;
  let long: HeaderValue = null;
  for (const [index, [name, value]] of headers.entries()) {
    // Names of ours all begin so: a quick way past everybody else's.
    if (!name.startsWith('x-') || !restored(name, value, properties, retain)) {
      own?.push([name, value]);
      continue;
    }
    own ??= headers.slice(0, index).map(([held, kept]) => [held, kept]);
    if (name === LONG_HEADERS) long = value;
    else taken.push([name, value]);
  }
  if (own !== null) putBack(long, own);
  return own ?? headers;
}

function restored(
  name: string,
  value: HeaderValue,
  properties: Properties,
  retain: boolean,
): boolean {
  if (name === RETAIN_HEADER) return retain && value === true;
  if (name === LONG_HEADERS) return Array.isArray(value);
  if (name === CORRELATION_HEADER) return restoreCorrelation(value, properties);
  if (typeof value !== 'string' || !isLong(value)) return false;
  if (name === REPLY_HEADER) {
    properties.replyTo ??= addressFromReplyKey(value);
    return true;
  }
  const text = TEXTS.find(([, , header]) => header === name);
  if (text === undefined) return false;
  properties[text[1]] ??= value;
  return true;
}

function restoreCorrelation(value: HeaderValue, properties: Properties): boolean {
  const { correlationId } = properties;
  if (typeof value === 'string' && isLong(value)) {
    properties.correlationId ??= value;
    return true;
  }
  if (!Buffer.isBuffer(value)) return false;
  // Beside an id that is another one it is a header of the user's own.
  if (correlationId === undefined) properties.correlationId = value;
  return properties.correlationId === value || sameBytes(correlationId, value);
}

function sameBytes(id: string | Buffer | undefined, bytes: Buffer): boolean {
  return Buffer.isBuffer(id) && id.equals(bytes);
}

/** Headers with long names, each to where it stood. */
function putBack(list: HeaderValue, headers: [string, HeaderValue][]): void {
  for (const item of Array.isArray(list) ? (list as readonly HeaderValue[]) : []) {
    if (!(item instanceof Map)) continue;
    const table = item as HeaderTable;
    const [name, at] = [table.get('name'), table.get('at')];
    if (typeof name !== 'string') continue;
    const place = typeof at === 'number' ? at : headers.length;
    headers.splice(place, 0, [name, table.get('value') ?? null]);
  }
}

function write(message: Message, now: number): Buffer {
  return message.format === amqpFormat ? patched(message) : converted(message, now);
}

/** Our own message with the broker's notes: headers anew, everything else byte for byte. */
function patched(message: Message): Buffer {
  const native = message.native;
  const taken: [string, HeaderValue][] = [];
  parse(message, taken);
  const headers = fittingHeaders(message.properties.headers);
  headers.push(...taken);
  const values: Values = new Map();
  eachProperty(native, (property, start, end) => {
    values.set(property, native.subarray(start, end));
  });
  if (headers.length > 0 || values.has(Property.HEADERS))
    values.set(Property.HEADERS, table(headers));
  // A dead letter does not expire again: RabbitMQ notes the expiration in x-death and takes it out.
  if (message.expiresAt === 0) values.delete(Property.EXPIRATION);
  return assemble(values);
}

/** A message of another protocol. */
function converted(message: Message, now: number): Buffer {
  const properties = message.properties;
  const values: Values = new Map();
  const headers: [string, HeaderValue][] = [];
  const put = (property: number, header: string, text: string | undefined): void => {
    if (text === undefined) return;
    if (isLong(text)) headers.push([header, text]);
    else values.set(property, text);
  };
  for (const [property, name, header] of TEXTS) put(property, header, properties[name]);
  const { correlationId, replyTo, timestamp } = properties;
  if (Buffer.isBuffer(correlationId)) {
    const text = `${BYTES_PREFIX}${correlationId.toString('base64url')}`;
    if (!isLong(text)) values.set(Property.CORRELATION_ID, text);
    headers.push([CORRELATION_HEADER, correlationId]);
  } else {
    put(Property.CORRELATION_ID, CORRELATION_HEADER, correlationId);
  }
  if (replyTo !== undefined) put(Property.REPLY_TO, REPLY_HEADER, addressToReplyKey(replyTo));
  if (timestamp !== undefined) values.set(Property.TIMESTAMP, longLong(timestamp));
  values.set(Property.DELIVERY_MODE, message.durable ? 2 : 1);
  if (message.priority > 0) values.set(Property.PRIORITY, message.priority);
  if (message.expiresAt > 0) {
    const remainingMs = Math.max(0, message.expiresAt - now);
    values.set(Property.EXPIRATION, String(remainingMs));
  }
  headers.push(...fittingHeaders(properties.headers));
  if (message.retain) headers.push([RETAIN_HEADER, true]);
  if (isLong(message.routingKey) && header(properties.headers, ROUTING_KEY_HEADER) === undefined)
    headers.push([ROUTING_KEY_HEADER, message.routingKey]);
  if (headers.length > 0) values.set(Property.HEADERS, table(headers));
  return assemble(values);
}

/** The user's headers, those with names that are too long for a table gathered in one. */
function fittingHeaders(headers: Headers): [string, HeaderValue][] {
  const fitting: [string, HeaderValue][] = [];
  const long: HeaderTable[] = [];
  for (const [index, [name, value]] of headers.entries()) {
    if (isLong(name)) long.push(longHeader(name, value, index));
    else fitting.push([name, value]);
  }
  if (long.length > 0) fitting.push([LONG_HEADERS, long]);
  return fitting;
}

function longHeader(name: string, value: HeaderValue, at: number): HeaderTable {
  return new Map<string, HeaderValue>([
    ['name', name],
    ['value', value],
    ['at', at],
  ]);
}

/**
 * A routing key as a method's field: the beginning of one that is too long, whose whole is in a
 * header.
 */
export function shortKey(routingKey: string): string {
  // 85 characters take 255 bytes at most.
  return routingKey.length <= 85 ? routingKey : fitKey(routingKey);
}

/** Properties by their flags: a short string, an octet, or the bytes of any field. */
type Values = Map<number, string | number | Buffer>;

/** In the order that they stand in: flags from the highest bit (AMQP 0-9-1 section 4.2.6.1). */
const IN_ORDER: readonly number[] = Object.values(Property).sort((a, b) => b - a);

function assemble(values: Values): Buffer {
  let flags = 0;
  let length = 2;
  for (const [property, value] of values) {
    flags |= property;
    if (typeof value === 'number') length++;
    else length += typeof value === 'string' ? 1 + Buffer.byteLength(value) : value.length;
  }
  const bytes = Buffer.allocUnsafe(length);
  let at = bytes.writeUInt16BE(flags);
  for (const property of IN_ORDER) {
    const value = (flags & property) === 0 ? undefined : values.get(property);
    if (value === undefined) continue;
    if (typeof value === 'number') bytes[at++] = value;
    else if (typeof value === 'string') {
      const size = bytes.write(value, at + 1);
      bytes[at] = size;
      at += 1 + size;
    } else at += value.copy(bytes, at);
  }
  return bytes;
}

function table(headers: Headers): Buffer {
  const bytes = entriesBytes(headers);
  const encoded = Buffer.allocUnsafe(4 + bytes);
  encoded.writeUInt32BE(bytes, 0);
  writeEntries(headers, encoded, 4);
  return encoded;
}

function longLong(seconds: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  const whole = Number.isFinite(seconds) ? BigInt(Math.trunc(seconds)) : 0n;
  bytes.writeBigUInt64BE(BigInt.asUintN(64, whole), 0);
  return bytes;
}

function isLong(text: string): boolean {
  return text.length > 85 && Buffer.byteLength(text) > NAME_BYTES_MAX;
}
