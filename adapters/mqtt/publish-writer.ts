/**
 * Encodes PUBLISH for one connection, straight into its output. A QoS 0 packet that is the same for
 * every receiver of its protocol version is encoded once, and kept with the message from the second
 * receiver on.
 */
import type { Clock } from '../../core/clock.ts';
import type { Format, Message } from '../../core/message.ts';
import type { Output } from '../output.ts';
import { putVarint, varintLength } from './encoder.ts';
import { propertiesStart } from './native.ts';
import type { Qos } from './packet.ts';
import { Property } from './property.ts';
import type { TopicTable } from './topic-table.ts';

const EMPTY = Buffer.alloc(0);
/** Bodies from here on are passed on without copying (adapters/output.ts). */
const PASS_BYTES = 4096;
const LOOP_BYTES_MAX = 64;

/** A message, and how it is to be sent. */
export interface Publication {
  readonly message: Message;
  readonly qos: Qos;
  readonly retain: boolean;
  /** MQTT 5 only: of all subscriptions that matched [MQTT-3.3.4-4]. */
  readonly subscriptionIds: readonly number[];
  /** The exchange that it was subscribed through, where that is not the one it was published to. */
  readonly exchange: string;
}

export interface WriterOptions {
  readonly output: Output;
  readonly v5: boolean;
  /** The receiver's Maximum Packet Size. */
  readonly packetBytesMax: number;
  /** The receiver's Topic Alias Maximum. */
  readonly aliasMax: number;
  readonly format: Format;
  /** What the body is wrapped into; null: nothing. */
  readonly envelope: Format | null;
  readonly clock: Clock;
  readonly topics: TopicTable;
}

export class PublishWriter {
  readonly #options: WriterOptions;
  readonly #output: Output;
  readonly #v5: boolean;
  /** Aliases given so far, by routing key. */
  readonly #aliases: Map<string, number> | null;
  // Parts of the packet that is being written.
  #topic: Buffer = EMPTY;
  #body: Buffer = EMPTY;
  #native: Buffer = EMPTY;
  #nativeStart = 0;
  #propertiesLength = 0;
  #remaining = 0;
  #alias = 0;
  #expirySeconds = -1;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#output = options.output;
    this.#v5 = options.v5;
    this.#aliases = options.v5 && options.aliasMax > 0 ? new Map() : null;
  }

  /**
   * False: this receiver cannot take it (too large for it, or not a message that MQTT can carry).
   */
  write(publication: Publication, dup: boolean, packetId: number): boolean {
    const { message, retain } = publication;
    const shared =
      publication.qos === 0 &&
      message.expiresAt === 0 &&
      this.#aliases === null &&
      publication.subscriptionIds.length === 0 &&
      publication.exchange === message.exchange &&
      this.#options.envelope === null &&
      message.body.length < PASS_BYTES;
    if (!shared) return this.#writeOwn(publication, dup, packetId);
    const key = retain
      ? this.#v5
        ? 'mqtt5-retained'
        : 'mqtt3-retained'
      : this.#v5
        ? 'mqtt5'
        : 'mqtt3';
    const kept = message.encoded(key);
    if (kept === null) {
      // Most messages have one receiver: only the mark is kept that it was here.
      message.keepEncoded(key, EMPTY);
      return this.#writeOwn(publication, false, 0);
    }
    let packet = kept;
    if (kept.length === 0) {
      if (!this.#measure(publication)) return false;
      packet = Buffer.allocUnsafeSlow(this.#total());
      this.#put(packet, 0, publication, false, 0, true);
      message.keepEncoded(key, packet);
    }
    if (packet.length > this.#options.packetBytesMax) return false;
    this.#output.write(packet);
    return true;
  }

  #writeOwn(publication: Publication, dup: boolean, packetId: number): boolean {
    const { message } = publication;
    if (!this.#measure(publication)) return false;
    const total = this.#total();
    if (total > this.#options.packetBytesMax) return false;
    this.#commitAlias(message);
    const output = this.#output;
    const body = this.#body;
    const whole = body.length < PASS_BYTES;
    output.reserve(whole ? total : total - body.length);
    output.offset = this.#put(output.buffer, output.offset, publication, dup, packetId, whole);
    if (!whole) output.write(body);
    return true;
  }

  #total(): number {
    return 1 + varintLength(this.#remaining) + this.#remaining;
  }

  /** Finds the parts and their lengths. False: MQTT cannot carry it. */
  #measure(publication: Publication): boolean {
    const { message, qos, exchange } = publication;
    const topic = this.#options.topics.bytes(exchange, message.routingKey);
    if (topic === null) return false;
    this.#topic = topic;
    this.#body = this.#wrapped(message);
    let remaining = 2 + this.#body.length + (qos > 0 ? 2 : 0);
    if (this.#v5) {
      if (!this.#measureProperties(publication)) return false;
      remaining += varintLength(this.#propertiesLength) + this.#propertiesLength;
    }
    this.#remaining = remaining + this.#topic.length;
    return true;
  }

  #wrapped(message: Message): Buffer {
    const { envelope, clock } = this.#options;
    if (envelope === null) return message.body;
    return message.as(envelope, message.expiresAt === 0 ? 0 : clock.now());
  }

  #measureProperties(publication: Publication): boolean {
    const { message, subscriptionIds, exchange } = publication;
    // Of no time: what remains of its life is not among the native bytes, and they are kept for all.
    const native = message.as(this.#options.format, 0);
    if (native.length === 0) return false;
    this.#native = native;
    this.#nativeStart = propertiesStart(native);
    let length = native.length - this.#nativeStart;
    this.#expirySeconds = -1;
    if (message.expiresAt !== 0) {
      // [MQTT-3.3.2-6]: what remains, rounded up, so that a second is never lost on each hop.
      const seconds = Math.ceil((message.expiresAt - this.#options.clock.now()) / 1000);
      this.#expirySeconds = Math.max(0, Math.min(seconds, 0xffffffff));
      length += 5;
    }
    this.#alias = 0;
    if (this.#aliases !== null && exchange === message.exchange) {
      const known = this.#aliases.get(aliasKey(message));
      if (known !== undefined) {
        this.#alias = known;
        this.#topic = EMPTY;
      } else if (this.#aliases.size < this.#options.aliasMax) this.#alias = this.#aliases.size + 1;
      if (this.#alias > 0) length += 3;
    }
    for (const id of subscriptionIds) length += 1 + varintLength(id);
    this.#propertiesLength = length;
    return true;
  }

  /** An alias counts as given only once the packet that gives it is sent. */
  #commitAlias(message: Message): void {
    if (this.#alias > 0 && this.#topic.length > 0)
      this.#aliases?.set(aliasKey(message), this.#alias);
  }

  /** Writes the measured packet, its body only where `whole`; answers where it ends. */
  #put(
    buffer: Buffer,
    start: number,
    publication: Publication,
    dup: boolean,
    packetId: number,
    whole: boolean,
  ): number {
    const { qos, retain, subscriptionIds } = publication;
    let at = start;
    buffer[at++] = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0);
    at = putVarint(buffer, at, this.#remaining);
    buffer[at++] = this.#topic.length >> 8;
    buffer[at++] = this.#topic.length & 0xff;
    at = putBytes(buffer, at, this.#topic, 0);
    if (qos > 0) {
      buffer[at++] = packetId >> 8;
      buffer[at++] = packetId & 0xff;
    }
    if (this.#v5) at = this.#putProperties(buffer, at, subscriptionIds);
    return whole ? putBytes(buffer, at, this.#body, 0) : at;
  }

  #putProperties(buffer: Buffer, start: number, subscriptionIds: readonly number[]): number {
    let at = putVarint(buffer, start, this.#propertiesLength);
    if (this.#alias > 0) {
      buffer[at++] = Property.TOPIC_ALIAS;
      buffer[at++] = this.#alias >> 8;
      buffer[at++] = this.#alias & 0xff;
    }
    if (this.#expirySeconds >= 0) {
      buffer[at++] = Property.MESSAGE_EXPIRY;
      at = buffer.writeUInt32BE(this.#expirySeconds, at);
    }
    for (const id of subscriptionIds) {
      buffer[at++] = Property.SUBSCRIPTION_ID;
      at = putVarint(buffer, at, id);
    }
    return putBytes(buffer, at, this.#native, this.#nativeStart);
  }
}

function aliasKey(message: Message): string {
  return `${message.exchange}\0${message.routingKey}`;
}

/** Copies `source` from `from` on; short ones in a loop, which spares a view. */
function putBytes(buffer: Buffer, at: number, source: Buffer, from: number): number {
  const length = source.length - from;
  if (length > LOOP_BYTES_MAX) {
    if (from === 0) buffer.set(source, at);
    else source.copy(buffer, at, from);
  } else for (let i = 0; i < length; i++) buffer[at + i] = source[from + i] as number;
  return at + length;
}
