/**
 * A message's native bytes, as the `mqtt` format keeps them:
 *
 *   flags | [publisher: 8 bytes, where bit 3 says so] | MQTT 5 properties as published
 *
 * flags: bits 0-1 the QoS, bit 2 RETAIN, bit 3 the publisher's session is named (No Local), bit 4
 * the user property `user-id` is the publisher's own name, bit 7 published with MQTT 5. Of the
 * properties, those that concern one hop only are left out: Topic Alias, Message Expiry Interval
 * (the message knows when it expires), Will Delay Interval.
 */
import { FieldReader, malformed, protocolError } from './field-reader.ts';
import { Property } from './property.ts';
import { Reason, Violation } from './reason.ts';

export const QOS_MASK = 0x03;
export const RETAIN_FLAG = 0x04;
export const PUBLISHER_FLAG = 0x08;
export const USER_FLAG = 0x10;
export const V5_FLAG = 0x80;
export const PUBLISHER_BYTES = 8;

/** Where the properties begin. */
export function propertiesStart(native: Buffer): number {
  return (native[0] ?? 0) & PUBLISHER_FLAG ? 1 + PUBLISHER_BYTES : 1;
}

/** Whether the message was published by the session of this tag. */
export function isPublishedBy(native: Buffer, tag: Buffer): boolean {
  if (((native[0] ?? 0) & PUBLISHER_FLAG) === 0) return false;
  return tag.compare(native, 1, 1 + PUBLISHER_BYTES) === 0;
}

const BARE: readonly Buffer[] = Array.from({ length: 256 }, (_, flags) => Buffer.from([flags]));

/** Native bytes of a message without properties; one shared Buffer for all that look alike. */
export function bareNative(flags: number, tag: Buffer | null): Buffer {
  if (tag === null) return BARE[flags] as Buffer;
  return Buffer.concat([Buffer.from([flags | PUBLISHER_FLAG]), tag]);
}

/** What the broker itself needs of a message's properties; `skim` fills it anew each time. */
export class SkimmedProperties {
  /** Negative: none given. */
  expirySeconds = -1;
  topicAlias = 0;
  willDelaySeconds = 0;
  priority = 0;
  native: Buffer = BARE[0] as Buffer;
}

const PRIORITY_NAME = Buffer.from('priority');
const USER_NAME = Buffer.from('user-id');
/** Each of these at most once [MQTT-3.3.2]: as bits by identifier. */
const ONCE = new Map<number, number>(
  [
    Property.PAYLOAD_FORMAT,
    Property.MESSAGE_EXPIRY,
    Property.CONTENT_TYPE,
    Property.RESPONSE_TOPIC,
    Property.CORRELATION_DATA,
    Property.TOPIC_ALIAS,
    Property.WILL_DELAY,
  ].map((id, index) => [id, 1 << index]),
);

/** Checks and copies the property block of a PUBLISH, or of a will, without decoding it. */
export class PropertySkimmer {
  readonly #out = new SkimmedProperties();
  #cuts: [start: number, end: number][] = [];
  #userVerified = false;

  /**
   * `bytes` from `start` to `end` is the block without its length. `flags` and `tag` go into the
   * native bytes. `user` is who may call itself so. The answer is valid until the next call.
   */
  skim(
    bytes: Buffer,
    start: number,
    end: number,
    flags: number,
    tag: Buffer | null,
    user: string,
    will: boolean,
  ): SkimmedProperties {
    const out = this.#out;
    out.expirySeconds = -1;
    out.topicAlias = 0;
    out.willDelaySeconds = 0;
    out.priority = 0;
    if (start === end) {
      out.native = bareNative(flags | V5_FLAG, tag);
      return out;
    }
    this.#cuts.length = 0;
    this.#userVerified = false;
    const reader = new FieldReader(bytes, start, end);
    let seen = 0;
    while (reader.offset < end) {
      const at = reader.offset;
      const id = reader.u8();
      if (id !== Property.USER_PROPERTY) {
        const bit = ONCE.get(id) ?? 0;
        if ((seen & bit) !== 0) throw protocolError(`property 0x${id.toString(16)} twice`);
        seen |= bit;
      }
      this.#property(reader, id, at, user, will);
    }
    out.native = this.#native(bytes, start, end, flags, tag);
    return out;
  }

  #property(reader: FieldReader, id: number, at: number, user: string, will: boolean): void {
    const out = this.#out;
    switch (id) {
      case Property.PAYLOAD_FORMAT:
        if (reader.u8() > 1) throw protocolError('a Payload Format Indicator that is not 0 or 1');
        return;
      case Property.MESSAGE_EXPIRY:
        out.expirySeconds = reader.u32();
        this.#cuts.push([at, reader.offset]);
        return;
      case Property.CONTENT_TYPE:
        reader.skipText();
        return;
      case Property.RESPONSE_TOPIC:
        checkResponseTopic(reader);
        return;
      case Property.CORRELATION_DATA:
        reader.skipBinary();
        return;
      case Property.USER_PROPERTY:
        this.#userProperty(reader, user);
        return;
      case Property.TOPIC_ALIAS:
        if (will) throw malformed('a Topic Alias in a will');
        out.topicAlias = reader.u16();
        if (out.topicAlias === 0) {
          throw new Violation(Reason.TOPIC_ALIAS_INVALID, 'Topic Alias 0 [MQTT-3.3.2-8]');
        }
        this.#cuts.push([at, reader.offset]);
        return;
      case Property.WILL_DELAY:
        if (!will) throw malformed('a Will Delay Interval in a PUBLISH');
        out.willDelaySeconds = reader.u32();
        this.#cuts.push([at, reader.offset]);
        return;
      case Property.SUBSCRIPTION_ID:
        if (!will) throw protocolError('a Subscription Identifier from a client [MQTT-3.3.4-6]');
        throw malformed('a Subscription Identifier in a will');
      default:
        throw malformed(`property 0x${id.toString(16)} is not one of this packet`);
    }
  }

  /** Two user properties concern the broker: `priority`, and a `user-id` that tells the truth. */
  #userProperty(reader: FieldReader, user: string): void {
    const nameStart = reader.offset + 2;
    reader.skipText();
    const nameEnd = reader.offset;
    reader.skipText();
    const nameLength = nameEnd - nameStart;
    if (nameLength === 8 && PRIORITY_NAME.compare(reader.bytes, nameStart, nameEnd) === 0) {
      const text = reader.bytes.toString('latin1', nameEnd + 2, reader.offset);
      if (/^\d{1,3}$/.test(text)) this.#out.priority = Math.min(255, Number(text));
    } else if (nameLength === 7 && USER_NAME.compare(reader.bytes, nameStart, nameEnd) === 0) {
      this.#userVerified = reader.bytes.toString('utf8', nameEnd + 2, reader.offset) === user;
    }
  }

  #native(bytes: Buffer, start: number, end: number, flags: number, tag: Buffer | null): Buffer {
    let length = end - start;
    for (const [from, to] of this.#cuts) length -= to - from;
    const head = tag === null ? 1 : 1 + PUBLISHER_BYTES;
    if (length === 0) return bareNative(flags | V5_FLAG, tag);
    const native = Buffer.allocUnsafe(head + length);
    native[0] =
      flags | V5_FLAG | (tag === null ? 0 : PUBLISHER_FLAG) | (this.#userVerified ? USER_FLAG : 0);
    if (tag !== null) native.set(tag, 1);
    let at = head;
    let from = start;
    for (const [cutStart, cutEnd] of this.#cuts) {
      at += bytes.copy(native, at, from, cutStart);
      from = cutEnd;
    }
    bytes.copy(native, at, from, end);
    return native;
  }
}

/** [MQTT-3.3.2-13, MQTT-3.3.2-14]: UTF-8, without wildcards. */
function checkResponseTopic(reader: FieldReader): void {
  const start = reader.offset + 2;
  reader.skipText();
  for (let at = start; at < reader.offset; at++) {
    const byte = reader.bytes[at];
    if (byte === 0x2b || byte === 0x23) {
      throw protocolError('a wildcard in a Response Topic [MQTT-3.3.2-14]');
    }
  }
}
