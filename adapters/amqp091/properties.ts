/**
 * The property part of a content header, as bytes: two bytes of flags, then the values of the
 * flagged properties in the order of the specification (AMQP 4.2.6.1):
 *
 *     15 content-type   14 content-encoding  13 headers   12 delivery-mode   11 priority
 *     10 correlation-id  9 reply-to           8 expiration 7 message-id       6 timestamp
 *      5 type            4 user-id            3 app-id     2 cluster-id       1, 0 unused
 *
 * `skim` checks them and notes where the few stand that the broker itself reads; nothing is
 * decoded.
 */
import { preconditionFailed, syntaxError } from './errors.ts';
import { Notable, scanTable } from './table.ts';

export const Property = {
  CONTENT_TYPE: 0x8000,
  CONTENT_ENCODING: 0x4000,
  HEADERS: 0x2000,
  DELIVERY_MODE: 0x1000,
  PRIORITY: 0x0800,
  CORRELATION_ID: 0x0400,
  REPLY_TO: 0x0200,
  EXPIRATION: 0x0100,
  MESSAGE_ID: 0x0080,
  TIMESTAMP: 0x0040,
  TYPE: 0x0020,
  USER_ID: 0x0010,
  APP_ID: 0x0008,
  CLUSTER_ID: 0x0004,
} as const;

const FIRST = Property.CONTENT_TYPE;
const LAST = Property.CLUSTER_ID;
/** One promises more flags, which no property of the class has; the other means nothing. */
const UNUSED_FLAGS = 0x0003;

/** Where what the broker reads of a content header stands; an end of 0: not there. */
export class Skim {
  durable = false;
  priority = 0;
  /** `Notable` names among the headers. */
  notable = 0;
  headersStart = 0;
  headersEnd = 0;
  replyToStart = 0;
  replyToEnd = 0;
  expirationStart = 0;
  expirationEnd = 0;
  userIdStart = 0;
  userIdEnd = 0;

  reset(): void {
    this.durable = false;
    this.priority = 0;
    this.notable = Notable.NONE;
    this.headersEnd = 0;
    this.replyToEnd = 0;
    this.expirationEnd = 0;
    this.userIdEnd = 0;
  }
}

/**
 * Checks the properties in `buffer` from `start` to `end`. Throws AmqpError where they do not
 * parse.
 */
export function skim(
  buffer: Buffer,
  start: number,
  end: number,
  depthMax: number,
  into: Skim,
): void {
  into.reset();
  if (end - start < 2) throw syntaxError('content header is cut short');
  const flags = buffer.readUInt16BE(start);
  if ((flags & UNUSED_FLAGS) !== 0) throw syntaxError('unknown property flags in content header');
  let offset = start + 2;
  for (let property: number = FIRST; property >= LAST; property >>= 1) {
    if ((flags & property) === 0) continue;
    const next = propertyEnd(buffer, property, offset, end);
    switch (property) {
      case Property.HEADERS:
        into.headersStart = offset + 4;
        into.headersEnd = next;
        into.notable = scanTable(buffer, offset + 4, next, depthMax);
        break;
      case Property.DELIVERY_MODE:
        into.durable = buffer[offset] === 2;
        break;
      case Property.PRIORITY:
        into.priority = buffer[offset] as number;
        break;
      case Property.REPLY_TO:
        into.replyToStart = offset + 1;
        into.replyToEnd = next;
        break;
      case Property.EXPIRATION:
        into.expirationStart = offset + 1;
        into.expirationEnd = next;
        break;
      case Property.USER_ID:
        into.userIdStart = offset + 1;
        into.userIdEnd = next;
        break;
    }
    offset = next;
  }
  if (offset !== end) throw syntaxError('content header is longer than its properties');
}

/** Where the value of `property` at `offset` ends. */
function propertyEnd(buffer: Buffer, property: number, offset: number, end: number): number {
  let next: number;
  switch (property) {
    case Property.HEADERS:
      next = end - offset < 4 ? end + 1 : offset + 4 + buffer.readUInt32BE(offset);
      break;
    case Property.DELIVERY_MODE:
    case Property.PRIORITY:
      next = offset + 1;
      break;
    case Property.TIMESTAMP:
      next = offset + 8;
      break;
    default:
      next = offset < end ? offset + 1 + (buffer[offset] as number) : end + 1;
  }
  if (next > end) throw syntaxError('content header is cut short');
  return next;
}

/**
 * Tells the properties of a checked header in order: the value's bytes stand from `start` to `end`,
 * length included.
 */
export function eachProperty(
  native: Buffer,
  visit: (property: number, start: number, end: number) => void,
): void {
  const flags = native.readUInt16BE(0);
  let offset = 2;
  for (let property: number = FIRST; property >= LAST; property >>= 1) {
    if ((flags & property) === 0) continue;
    const end = propertyEnd(native, property, offset, native.length);
    visit(property, offset, end);
    offset = end;
  }
}

/**
 * The same properties with another reply-to (at most 255 bytes), whose old value stood from `start`
 * to `end`.
 */
export function withReplyTo(
  buffer: Buffer,
  from: number,
  to: number,
  at: Skim,
  replyTo: string,
): Buffer {
  const value = Buffer.from(replyTo);
  return Buffer.concat([
    buffer.subarray(from, at.replyToStart - 1),
    Buffer.from([value.length]),
    value,
    buffer.subarray(at.replyToEnd, to),
  ]);
}

/** RabbitMQ's own limit: ten years, in milliseconds. */
const EXPIRATION_MS_MAX = 10 * 365 * 24 * 3_600_000;

/** A per-message expiration in milliseconds. Refused in RabbitMQ's words where it is not one. */
export function parseExpiration(text: string): number {
  const digits = /^[+-]?\d+/.exec(text)?.[0];
  if (digits === undefined) throw badExpiration(text, 'no_integer');
  const rest = text.slice(digits.length);
  if (rest !== '') throw badExpiration(text, `{leftover_string,"${rest}"}`);
  const milliseconds = Number(digits);
  if (milliseconds < 0) throw badExpiration(text, `{value_negative,${milliseconds}}`);
  if (milliseconds > EXPIRATION_MS_MAX)
    throw badExpiration(text, `{value_too_large,${milliseconds}}`);
  return milliseconds;
}

function badExpiration(text: string, reason: string): Error {
  return preconditionFailed(`invalid expiration '${text}': ${reason}`);
}
