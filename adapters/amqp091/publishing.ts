/**
 * The publishing side of a channel: basic.publish, its header and its body frames become one
 * message.
 *
 *     METHOD ──publish──▶ HEADER ──header, size > 0──▶ BODY ──last byte──▶ METHOD
 *                                └─size 0───────────────────────────────▶ METHOD
 *
 * Any other frame in between is UNEXPECTED_FRAME (AMQP 4.2.6).
 */
import type { Fate, Publisher, PublisherEvents } from '../../core/engine.ts';
import type { Message } from '../../core/message.ts';
import { type ConfirmSink, Confirms } from './confirms.ts';
import { writeContent } from './content.ts';
import { AmqpError, methodExpected, preconditionFailed, undecodable } from './errors.ts';
import { amqpFormat, shortKey } from './format.ts';
import { unknownFrame } from './frames.ts';
import { type Envelope, envelope, messageOf, usualEnvelope } from './ingress.ts';
import type { ChannelPort } from './link.ts';
import { Skim, skim, withReplyTo } from './properties.ts';
import { utf8 } from './reader.ts';
import { writeAck, writeNack, writeReturn } from './replies.ts';
import type { Transaction } from './transaction.ts';
import { BASIC_CLASS, FrameType, Reply } from './wire.ts';

const Stage = { METHOD: 0, HEADER: 1, BODY: 2 } as const;
type Stage = (typeof Stage)[keyof typeof Stage];

const MANDATORY = 1;
const IMMEDIATE = 2;
/** Class, weight and body size, before the properties. */
const CONTENT_HEAD_BYTES = 12;
/** Consumed, it answers requests; as a reply-to it stands for the consumer's private queue. */
export const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to';
const DIRECT_REPLY_TO_BYTES = Buffer.from(DIRECT_REPLY_TO);
const EMPTY = Buffer.alloc(0);
/** A body in several frames is gathered in a buffer that starts with this and doubles. */
const GATHER_BYTES = 64 * 1024;

export class Publishing implements PublisherEvents, ConfirmSink {
  readonly #channel: ChannelPort;
  readonly #transaction: Transaction;
  /** The queue that direct reply-to stands for on this channel, if any. */
  readonly #replyQueue: () => string | null;
  readonly #skim = new Skim();
  #publisher: Publisher | null = null;
  #holding = false;
  #confirms: Confirms | null = null;
  #published = 0;
  #stage: Stage = Stage.METHOD;
  /** The last method's fields: the next one's are often the same. */
  #lastFields: Buffer = EMPTY;
  #exchange = '';
  #routingKey = '';
  #mandatory = false;
  #envelope: Envelope | null = null;
  #bodyBytes = 0;
  /** What came of a body that needs several frames. */
  #gathered: Buffer = EMPTY;
  #gatheredBytes = 0;
  readonly #flush = (): void => this.flush();

  constructor(channel: ChannelPort, transaction: Transaction, replyQueue: () => string | null) {
    this.#channel = channel;
    this.#transaction = transaction;
    this.#replyQueue = replyQueue;
  }

  get confirming(): boolean {
    return this.#confirms !== null;
  }

  /** A content frame is due, so a method is out of place. */
  get expectsContent(): boolean {
    return this.#stage !== Stage.METHOD;
  }

  confirmSelect(): void {
    this.#confirms ??= new Confirms(this);
  }

  /** The fields of basic.publish: a reserved short, exchange, routing key, two flags. */
  onPublish(buffer: Buffer, start: number, end: number): void {
    if (!isSame(this.#lastFields, buffer, start, end)) this.#decode(buffer, start, end);
    this.#stage = Stage.HEADER;
  }

  onHeader(buffer: Buffer, start: number, end: number): void {
    if (end - start < CONTENT_HEAD_BYTES)
      throw unknownFrame(FrameType.HEADER, buffer.subarray(start, end));
    // A weight was never given a meaning: RabbitMQ takes such a header for none.
    if (this.#stage !== Stage.HEADER || buffer.readUInt16BE(start + 2) !== 0)
      throw this.unexpected();
    const classId = buffer.readUInt16BE(start);
    if (classId !== BASIC_CLASS) {
      const message = `expected content header for class ${BASIC_CLASS}, got one for class ${classId} instead`;
      throw new AmqpError(Reply.UNEXPECTED_FRAME, message);
    }
    const bodyBytes = buffer.readUInt32BE(start + 4) * 2 ** 32 + buffer.readUInt32BE(start + 8);
    const properties = start + CONTENT_HEAD_BYTES;
    this.#envelope = usualEnvelope(buffer, properties, end) ?? this.#read(buffer, properties, end);
    this.#checkSize(bodyBytes);
    this.#bodyBytes = bodyBytes;
    this.#stage = Stage.BODY;
    if (bodyBytes === 0) this.#publish(EMPTY);
  }

  onBody(buffer: Buffer, start: number, end: number): void {
    const bytes = end - start;
    if (this.#stage !== Stage.BODY || this.#gatheredBytes + bytes > this.#bodyBytes)
      throw this.unexpected();
    if (bytes === this.#bodyBytes) {
      this.#publish(buffer.subarray(start, end));
      return;
    }
    this.#gather(buffer, start, end);
    if (this.#gatheredBytes === this.#bodyBytes) this.#publish(this.#gathered);
  }

  /** What to say of a frame that came instead of the one due. */
  unexpected(): AmqpError {
    if (this.#stage === Stage.METHOD) return methodExpected();
    const due =
      this.#stage === Stage.HEADER
        ? `expected content header for class ${BASIC_CLASS}, got non content header frame instead`
        : 'expected content body, got non content body frame instead';
    return new AmqpError(Reply.UNEXPECTED_FRAME, due);
  }

  settled(tag: number, fate: Fate): void {
    this.#confirms?.settled(tag, fate);
  }

  returned(message: Message): void {
    const { link, number } = this.#channel;
    const { output } = link.transport;
    const { code, text } = Reply.NO_ROUTE;
    const native = message.as(amqpFormat, link.now);
    writeReturn(output, number, code, text, message.exchange, shortKey(message.routingKey));
    writeContent(output, number, native, message.body, link.frameBytesMax);
    link.cut();
  }

  writable(): void {
    if (!this.#holding) return;
    this.#holding = false;
    this.#channel.link.release();
  }

  ack(tag: number, count: number): void {
    const { link, number } = this.#channel;
    writeAck(link.transport.output, number, tag, count > 1);
    link.counters.confirmed += count;
  }

  nack(tag: number): void {
    const { link, number } = this.#channel;
    writeNack(link.transport.output, number, tag);
    link.cut();
  }

  waiting(): void {
    this.#channel.link.atTurnEnd(this.#flush);
  }

  /** Confirms that wait leave now. */
  flush(): void {
    if (this.#confirms === null || !this.#channel.open) return;
    this.#confirms.flush();
    this.#channel.link.cut();
  }

  close(): void {
    this.#stage = Stage.METHOD;
    this.#drop();
    this.#publisher?.close();
    this.#publisher = null;
    this.writable();
  }

  #decode(buffer: Buffer, start: number, end: number): void {
    const exchange = start + 2;
    const key = exchange + 1 + (buffer[exchange] ?? 0);
    const flags = key + 1 + (buffer[key] ?? 0);
    if (key >= end || flags >= end) throw undecodable(buffer.subarray(start, end));
    const bits = buffer[flags] as number;
    if ((bits & IMMEDIATE) !== 0) throw new AmqpError(Reply.NOT_IMPLEMENTED, 'immediate=true');
    this.#exchange = utf8(buffer, exchange + 1, key);
    this.#routingKey = utf8(buffer, key + 1, flags);
    this.#mandatory = (bits & MANDATORY) !== 0;
    this.#lastFields = Buffer.from(buffer.subarray(start, end));
  }

  #read(buffer: Buffer, start: number, end: number): Envelope {
    const { link } = this.#channel;
    const at = this.#skim;
    skim(buffer, start, end, link.context.limits.headerDepthMax, at);
    const { replyToStart, replyToEnd } = at;
    const direct =
      replyToEnd - replyToStart === DIRECT_REPLY_TO_BYTES.length &&
      isSame(DIRECT_REPLY_TO_BYTES, buffer, replyToStart, replyToEnd);
    const native = direct
      ? withReplyTo(buffer, start, end, at, this.#requireReplyQueue())
      : buffer.subarray(start, end);
    return envelope(buffer, at, native, link.session.principal);
  }

  #requireReplyQueue(): string {
    const queue = this.#replyQueue();
    if (queue === null) throw preconditionFailed('fast reply consumer does not exist');
    return queue;
  }

  #checkSize(bytes: number): void {
    const { messageBytesMax } = this.#channel.link.context.limits;
    if (bytes <= messageBytesMax) return;
    throw preconditionFailed(
      `message size ${bytes} is larger than configured max size ${messageBytesMax}`,
    );
  }

  #gather(buffer: Buffer, start: number, end: number): void {
    const needed = this.#gatheredBytes + end - start;
    if (needed > this.#gathered.length) {
      const room = Math.min(this.#bodyBytes, Math.max(GATHER_BYTES, needed * 2));
      const { link } = this.#channel;
      if (!link.claim(room - this.#gathered.length)) {
        const { amqpPartialBytesMax } = link.context.limits;
        const message = `unfinished messages of the connection are over ${amqpPartialBytesMax} bytes`;
        throw new AmqpError(Reply.RESOURCE_ERROR, message);
      }
      const grown = Buffer.allocUnsafeSlow(room);
      grown.set(this.#gathered.subarray(0, this.#gatheredBytes), 0);
      this.#gathered = grown;
    }
    this.#gathered.set(buffer.subarray(start, end), this.#gatheredBytes);
    this.#gatheredBytes = needed;
  }

  #drop(): void {
    this.#envelope = null;
    if (this.#gathered.length === 0) return;
    this.#channel.link.claim(-this.#gathered.length);
    this.#gathered = EMPTY;
    this.#gatheredBytes = 0;
  }

  #publish(body: Buffer): void {
    const said = this.#envelope;
    this.#stage = Stage.METHOD;
    this.#drop();
    if (said === null) return;
    const { link } = this.#channel;
    const message = messageOf(said, body, this.#exchange, this.#routingKey, link.now);
    link.counters.received++;
    if (this.#transaction.selected) {
      this.#transaction.publish(message, this.#mandatory);
      return;
    }
    const tag = this.#confirms === null ? 0 : ++this.#published;
    this.#publisher ??= link.session.publisher(this);
    if (this.#publisher.publish(message, tag, this.#mandatory) || this.#holding) return;
    this.#holding = true;
    link.hold();
  }
}

/**
 * Whether `buffer` from `start` to `end` is `bytes`. Keys differ at their end, so that is where it
 * begins.
 */
function isSame(bytes: Buffer, buffer: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (bytes.length !== length) return false;
  for (let i = length - 1; i >= 0; i--) if (bytes[i] !== buffer[start + i]) return false;
  return true;
}
