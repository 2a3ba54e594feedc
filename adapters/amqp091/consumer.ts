/**
 * One consumer of a channel: writes each delivery as basic.deliver and its content.
 *
 * The method frame of a delivery differs from the one before in its delivery tag only, as long as
 * exchange and routing key stay the same: it is kept and copied.
 */
import {
  type Consumer,
  type Delivery,
  type Eventually,
  Outcome,
  type Subscription,
} from '../../core/engine.ts';
import type { BrokerError } from '../../core/errors.ts';
import { fits, writeContent } from './content.ts';
import { amqpFormat, shortKey } from './format.ts';
import type { ChannelPort } from './link.ts';
import { writeNameMethod } from './replies.ts';
import type { Unsettled } from './unsettled.ts';
import { FRAME_END, FRAME_HEAD_BYTES, FrameType, Method } from './wire.ts';

/** Who a consumer belongs to. */
export interface ConsumerOwner {
  readonly channel: ChannelPort;
  readonly unsettled: Unsettled;
  /** The server ended it. */
  gone(consumer: AmqpConsumer, reason: BrokerError): void;
}

export class AmqpConsumer implements Consumer {
  readonly tag: string;
  readonly #owner: ConsumerOwner;
  readonly #acknowledge: boolean;
  /** Consume-ok is still to be written; a first delivery must not overtake it. */
  #unannounced: boolean;
  #subscription: Subscription | null = null;
  #paused = false;
  #ended = false;
  #exchange = '';
  #routingKey = '';
  #template: Buffer | null = null;
  readonly #tagOffset: number;

  constructor(owner: ConsumerOwner, tag: string, acknowledge: boolean, announce: boolean) {
    this.#owner = owner;
    this.tag = tag;
    this.#acknowledge = acknowledge;
    this.#unannounced = announce;
    this.#tagOffset = FRAME_HEAD_BYTES + 4 + 1 + Buffer.byteLength(tag);
  }

  /** The engine accepted it. */
  started(subscription: Subscription): void {
    this.#announce();
    if (this.#ended) {
      subscription.cancel();
      return;
    }
    this.#subscription = subscription;
    if (this.#paused) subscription.pause();
  }

  deliver(delivery: Delivery): void {
    if (this.#ended || !this.#owner.channel.open) {
      if (this.#acknowledge) delivery.settle(Outcome.REQUEUE);
      return;
    }
    this.#announce();
    const { channel, unsettled } = this.#owner;
    const { link } = channel;
    const message = delivery.message;
    const native =
      message.format === amqpFormat && message.trail === null
        ? message.native
        : message.as(amqpFormat, link.now);
    if (!fits(native, link.frameBytesMax)) {
      this.#refuse(delivery);
      return;
    }
    const tag = this.#acknowledge ? unsettled.add(delivery) : unsettled.skip();
    const redelivered = delivery.attempts > 0;
    this.#writeMethod(message.exchange, message.routingKey, tag, redelivered);
    const { output } = link.transport;
    writeContent(output, channel.number, native, message.body, link.frameBytesMax);
    link.counters.delivered++;
    if (redelivered) link.counters.redelivered++;
    link.cut();
    if (link.transport.congested) link.clog();
  }

  cancelled(reason: BrokerError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#owner.gone(this, reason);
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#subscription?.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#subscription?.resume();
  }

  cancel(): Eventually<void> {
    this.#ended = true;
    return this.#subscription?.cancel();
  }

  #announce(): void {
    if (!this.#unannounced) return;
    this.#unannounced = false;
    const { number, link } = this.#owner.channel;
    writeNameMethod(link.transport.output, number, Method.BASIC_CONSUME_OK, this.tag);
  }

  /** Its properties do not fit this client's frames: dead-lettered, where the queue says so. */
  #refuse(delivery: Delivery): void {
    const { link } = this.#owner.channel;
    link.counters.dropped++;
    link.log.info(
      { queue: delivery.queue, consumer: this.tag, frameBytesMax: link.frameBytesMax },
      "message rejected: its properties do not fit one of the client's frames",
    );
    delivery.settle(Outcome.REJECT);
  }

  #writeMethod(exchange: string, routingKey: string, tag: number, redelivered: boolean): void {
    let template = this.#template;
    if (template === null || routingKey !== this.#routingKey || exchange !== this.#exchange) {
      template = this.#makeTemplate(exchange, routingKey);
    }
    const { output } = this.#owner.channel.link.transport;
    output.reserve(template.length);
    const start = output.offset;
    const buffer = output.buffer;
    buffer.set(template, start);
    const at = start + this.#tagOffset;
    if (tag > 0xffff_ffff) buffer.writeUInt32BE(Math.floor(tag / 2 ** 32), at);
    buffer[at + 4] = (tag >>> 24) & 0xff;
    buffer[at + 5] = (tag >>> 16) & 0xff;
    buffer[at + 6] = (tag >>> 8) & 0xff;
    buffer[at + 7] = tag & 0xff;
    if (redelivered) buffer[at + 8] = 1;
    output.offset = start + template.length;
  }

  /** The frame with tag 0 and not redelivered. */
  #makeTemplate(exchange: string, routingKey: string): Buffer {
    const key = shortKey(routingKey);
    const tagBytes = Buffer.byteLength(this.tag);
    const exchangeBytes = Buffer.byteLength(exchange);
    const keyBytes = Buffer.byteLength(key);
    const payloadBytes = 4 + 1 + tagBytes + 9 + 1 + exchangeBytes + 1 + keyBytes;
    const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payloadBytes + 1);
    frame[0] = FrameType.METHOD;
    frame.writeUInt16BE(this.#owner.channel.number, 1);
    frame.writeUInt32BE(payloadBytes, 3);
    frame.writeUInt32BE(Method.BASIC_DELIVER, FRAME_HEAD_BYTES);
    frame[FRAME_HEAD_BYTES + 4] = tagBytes;
    frame.write(this.tag, FRAME_HEAD_BYTES + 5);
    const at = this.#tagOffset + 9;
    frame.fill(0, this.#tagOffset, at);
    frame[at] = exchangeBytes;
    frame.write(exchange, at + 1);
    frame[at + 1 + exchangeBytes] = keyBytes;
    frame.write(key, at + 2 + exchangeBytes);
    frame[frame.length - 1] = FRAME_END;
    this.#template = frame;
    this.#exchange = exchange;
    this.#routingKey = routingKey;
    return frame;
  }
}
