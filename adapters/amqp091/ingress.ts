/** Makes the core's message of what an AMQP client published, and refuses what RabbitMQ refuses. */
import type { Principal } from '../../core/auth.ts';
import { typeNameOf } from '../../core/envelope.ts';
import { type Headers, type HeaderValue, header, Message, type Trail } from '../../core/message.ts';
import { AmqpError, preconditionFailed } from './errors.ts';
import { amqpFormat, RETAIN_HEADER } from './format.ts';
import { parseExpiration, type Skim } from './properties.ts';
import { decodeEntries, Notable } from './table.ts';
import { Reply } from './wire.ts';

/** May publish in another user's name. */
const IMPERSONATOR_TAG = 'impersonator';

/**
 * What of a content header the message itself carries; kept between a header frame and the last
 * body frame.
 */
export interface Envelope {
  readonly native: Buffer;
  readonly durable: boolean;
  readonly priority: number;
  /** -1: none. */
  readonly ttlMs: number;
  readonly retain: boolean;
  readonly copies: readonly string[] | null;
  readonly trail: Trail | null;
}

/**
 * Properties that are so usual that their bytes need not be kept per message: none, and a delivery
 * mode.
 */
const NOTHING = Buffer.from([0, 0]);
const TRANSIENT = Buffer.from([0x10, 0, 1]);
const PERSISTENT = Buffer.from([0x10, 0, 2]);

function usual(native: Buffer, durable: boolean): Envelope {
  return {
    native,
    durable,
    priority: 0,
    ttlMs: -1,
    retain: false,
    copies: null,
    trail: null,
  };
}

const USUAL_NOTHING = usual(NOTHING, false);
const USUAL_TRANSIENT = usual(TRANSIENT, false);
const USUAL_PERSISTENT = usual(PERSISTENT, true);

/** The envelope of properties that are one of the usual ones, or null. */
export function usualEnvelope(buffer: Buffer, start: number, end: number): Envelope | null {
  if (end - start === 2 && buffer[start] === 0 && buffer[start + 1] === 0) return USUAL_NOTHING;
  if (end - start !== 3 || buffer[start] !== 0x10 || buffer[start + 1] !== 0) return null;
  if (buffer[start + 2] === 2) return USUAL_PERSISTENT;
  return buffer[start + 2] === 1 ? USUAL_TRANSIENT : null;
}

/**
 * The envelope of properties in `buffer`, whose checked places are `at`; `native` is what is kept
 * of them.
 */
export function envelope(buffer: Buffer, at: Skim, native: Buffer, principal: Principal): Envelope {
  if (at.userIdEnd > 0) checkUser(buffer.toString('utf8', at.userIdStart, at.userIdEnd), principal);
  const ttlMs =
    at.expirationEnd > 0
      ? parseExpiration(buffer.toString('latin1', at.expirationStart, at.expirationEnd))
      : -1;
  const { durable, priority, notable } = at;
  if (notable === Notable.NONE)
    return { native, durable, priority, ttlMs, retain: false, copies: null, trail: null };
  const headers = decodeEntries(buffer, at.headersStart, at.headersEnd);
  const copies = [...routes(headers, 'CC'), ...routes(headers, 'BCC')];
  const hidden = (notable & Notable.BCC) === 0 ? [] : ['BCC'];
  return {
    native,
    durable,
    priority,
    ttlMs,
    retain: header(headers, RETAIN_HEADER) === true,
    copies: copies.length > 0 ? copies : null,
    trail: hidden.length > 0 ? { deaths: [], hidden } : null,
  };
}

export function messageOf(
  said: Envelope,
  body: Buffer,
  exchange: string,
  routingKey: string,
  now: number,
): Message {
  return new Message(
    amqpFormat,
    said.native,
    body,
    exchange,
    routingKey,
    said.durable,
    said.priority,
    said.ttlMs < 0 ? 0 : now + said.ttlMs,
    now,
    said.retain,
    said.copies,
    said.trail,
  );
}

function checkUser(claimed: string, principal: Principal): void {
  if (claimed === principal.name || principal.tags.includes(IMPERSONATOR_TAG)) return;
  throw new AmqpError(
    Reply.PRECONDITION_FAILED,
    `user_id property set to '${claimed}' but authenticated user was '${principal.name}'`,
  );
}

/** Further routing keys that the sender selected. */
function routes(headers: Headers, name: string): string[] {
  const value = header(headers, name);
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    const type = typeNameOf(value);
    throw preconditionFailed(`invalid message: {unacceptable_type_in_header,"${name}",${type}}`);
  }
  return (value as readonly HeaderValue[]).filter((route) => typeof route === 'string');
}
