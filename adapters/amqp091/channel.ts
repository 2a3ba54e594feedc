/**
 * One channel: frames in, methods to the part of it that knows them.
 *
 *     OPEN ──channel.close from the client──▶ CLOSED        (answered with close-ok)
 *     OPEN ──an error──▶ CLOSING ──close-ok──▶ CLOSED       (what comes meanwhile is dropped)
 */
import { type Eventually, Outcome } from '../../core/engine.ts';
import { Consuming } from './consuming.ts';
import { AmqpError, preconditionFailed } from './errors.ts';
import type { ChannelPort, Link } from './link.ts';
import { Publishing } from './publishing.ts';
import type { Reader } from './reader.ts';
import {
  writeChannelOpenOk,
  writeClose,
  writeMethod,
  writeOctetMethod,
  writeShortMethod,
} from './replies.ts';
import { Topology } from './topology.ts';
import { Transaction } from './transaction.ts';
import { FrameType, isMethod, Method, Reply } from './wire.ts';

/** What a channel asks of its connection beside its link. */
export interface ChannelHost {
  readonly link: Link;
  /**
   * An error on `channel` in answer to `method`: closes it or, where the error says so, the
   * connection.
   */
  channelFailed(channel: Channel, error: unknown, method: number): void;
  /** The channel is closed on both sides: its number is free. */
  channelClosed(channel: Channel): void;
}

export class Channel implements ChannelPort {
  readonly number: number;
  readonly link: Link;
  open = true;
  readonly #host: ChannelHost;
  readonly #reader: Reader;
  readonly #publishing: Publishing;
  readonly #consuming: Consuming;
  readonly #transaction: Transaction;
  readonly #topology: Topology;
  readonly #queueNamed = (name: string): string => this.#topology.queueNamed(name);
  /** The method that is being handled, for errors. */
  #method = 0;

  constructor(number: number, host: ChannelHost, reader: Reader) {
    this.number = number;
    this.link = host.link;
    this.#host = host;
    this.#reader = reader;
    const replyQueue = (): string | null => this.#consuming.replyQueue;
    this.#transaction = new Transaction(this, (message) => this.#publishing.returned(message));
    this.#consuming = new Consuming(this, this.#transaction);
    this.#publishing = new Publishing(this, this.#transaction, replyQueue);
    this.#topology = new Topology(this, replyQueue);
    writeChannelOpenOk(this.link.transport.output, number);
  }

  /** A frame on this channel. Errors end the channel or the connection, they are not thrown. */
  frame(type: number, buffer: Buffer, start: number, end: number): void {
    try {
      if (!this.open) this.#drain(type, buffer, start, end);
      else if (type === FrameType.METHOD) this.#onMethod(buffer, start, end);
      else this.#onContent(type, buffer, start, end);
    } catch (error) {
      this.#host.channelFailed(this, error, this.#method);
    }
  }

  ask<T>(call: () => Eventually<T>, done: (value: T) => void): void {
    const method = this.#method;
    this.link.ask(
      call,
      (value) => {
        if (this.open) done(value);
      },
      (error) => {
        if (this.open) this.#host.channelFailed(this, error, method);
      },
    );
  }

  /** The socket's output is full, or no longer. */
  regulate(): void {
    this.#consuming.regulate();
  }

  /** Deliveries that wait for too long end the channel. */
  checkTimeout(now: number, timeoutMs: number): void {
    try {
      if (this.open) this.#consuming.checkTimeout(now, timeoutMs);
    } catch (error) {
      this.#host.channelFailed(this, error, 0);
    }
  }

  /** Tells the client why, and drops what it sends until it has answered. */
  fail(code: number, text: string, method: number): void {
    if (!this.open) return;
    this.#release();
    writeClose(this.link.transport.output, this.number, code, text, method);
  }

  /** The connection ends: its session gives back what the channel holds, all channels' at once. */
  abandon(): void {
    if (!this.open) return;
    // Confirms for what was taken are not lost by an error that came after it.
    this.#publishing.flush();
    this.open = false;
    this.#publishing.close();
    this.#transaction.clear();
  }

  /** Gives back what the channel holds. */
  #release(): void {
    this.#publishing.flush();
    this.open = false;
    this.#publishing.close();
    this.#consuming.close();
  }

  #drain(type: number, buffer: Buffer, start: number, end: number): void {
    if (type !== FrameType.METHOD || end - start < 4) return;
    const method = buffer.readUInt32BE(start);
    this.#method = method;
    if (method === Method.CHANNEL_OPEN) throw secondOpen();
    // Both sides closed at once: each answers the other.
    if (method === Method.CHANNEL_CLOSE) this.#write(Method.CHANNEL_CLOSE_OK);
    if (method === Method.CHANNEL_CLOSE_OK) this.#host.channelClosed(this);
  }

  #onContent(type: number, buffer: Buffer, start: number, end: number): void {
    // Out of place, it is about no method.
    if (!this.#publishing.expectsContent) this.#method = 0;
    if (type === FrameType.HEADER) this.#publishing.onHeader(buffer, start, end);
    else this.#publishing.onBody(buffer, start, end);
  }

  #onMethod(buffer: Buffer, start: number, end: number): void {
    const publishing = this.#publishing;
    if (publishing.expectsContent) throw publishing.unexpected();
    const reader = this.#reader.open(buffer, start, end);
    const method = reader.long();
    this.#method = method;
    switch (method) {
      case Method.BASIC_PUBLISH:
        publishing.onPublish(buffer, start + 4, end);
        return;
      case Method.BASIC_ACK: {
        const tag = reader.longlong();
        this.#consuming.settle(tag, (reader.octet() & 1) !== 0, Outcome.ACCEPT);
        return;
      }
      case Method.BASIC_NACK: {
        const tag = reader.longlong();
        const bits = reader.octet();
        this.#consuming.settle(tag, (bits & 1) !== 0, outcomeOf((bits & 2) !== 0));
        return;
      }
      case Method.BASIC_REJECT: {
        const tag = reader.longlong();
        this.#consuming.settle(tag, false, outcomeOf((reader.octet() & 1) !== 0));
        return;
      }
      default:
        if (!this.#topology.handle(method, reader)) this.#onOther(method, reader);
    }
  }

  #onOther(method: number, reader: Reader): void {
    switch (method) {
      case Method.BASIC_QOS:
        this.#consuming.onQos(reader);
        break;
      case Method.BASIC_CONSUME:
        this.#consuming.onConsume(reader, this.#queueNamed);
        break;
      case Method.BASIC_CANCEL:
        this.#consuming.onCancel(reader);
        break;
      case Method.BASIC_CANCEL_OK:
        // A client may answer the cancel that it was told of.
        return;
      case Method.BASIC_GET:
        this.#consuming.onGet(reader, this.#queueNamed);
        break;
      case Method.BASIC_RECOVER:
        this.#consuming.onRecover(reader, true);
        break;
      case Method.BASIC_RECOVER_ASYNC:
        this.#consuming.onRecover(reader, false);
        break;
      case Method.CONFIRM_SELECT:
        this.#onConfirmSelect((reader.octet() & 1) !== 0);
        break;
      case Method.TX_SELECT:
        this.#onTxSelect();
        break;
      case Method.TX_COMMIT:
        this.#onCommit();
        break;
      case Method.TX_ROLLBACK:
        this.#onRollback();
        break;
      default:
        this.#onChannel(method, reader);
    }
  }

  #onChannel(method: number, reader: Reader): void {
    const { output } = this.link.transport;
    switch (method) {
      case Method.CHANNEL_OPEN:
        throw secondOpen();
      case Method.CHANNEL_CLOSE:
        this.#release();
        this.#write(Method.CHANNEL_CLOSE_OK);
        this.#host.channelClosed(this);
        return;
      case Method.CHANNEL_FLOW: {
        // RabbitMQ stops no deliveries either: prefetch does that, and clients count on this answer.
        if ((reader.octet() & 1) === 0) throw new AmqpError(Reply.NOT_IMPLEMENTED, 'active=false');
        writeOctetMethod(output, this.number, Method.CHANNEL_FLOW_OK, 1);
        return;
      }
      case Method.CHANNEL_FLOW_OK:
        return;
      case Method.ACCESS_REQUEST:
        // 0-8's tickets, which old clients still ask for: everybody gets the first.
        writeShortMethod(output, this.number, Method.ACCESS_REQUEST_OK, 1);
        return;
      default:
        if (isMethod(method)) throw new AmqpError(Reply.COMMAND_INVALID, 'unimplemented method');
        throw unknownMethod(method);
    }
  }

  #onConfirmSelect(noWait: boolean): void {
    if (this.#transaction.selected)
      throw preconditionFailed('cannot switch from tx to confirm mode');
    this.#publishing.confirmSelect();
    if (!noWait) this.#write(Method.CONFIRM_SELECT_OK);
  }

  #onTxSelect(): void {
    if (this.#publishing.confirming)
      throw preconditionFailed('cannot switch from confirm to tx mode');
    this.#transaction.selected = true;
    this.#write(Method.TX_SELECT_OK);
  }

  #onCommit(): void {
    this.#requireTransaction();
    this.ask(
      () => this.#transaction.commit(),
      () => this.#write(Method.TX_COMMIT_OK),
    );
  }

  #onRollback(): void {
    this.#requireTransaction();
    // What was settled in it is unsettled again, and stays with this client (AMQP 1.9.2.5).
    this.#consuming.restore(this.#transaction.rollback());
    this.#write(Method.TX_ROLLBACK_OK);
  }

  #requireTransaction(): void {
    if (!this.#transaction.selected) throw preconditionFailed('channel is not transactional');
  }

  #write(method: number): void {
    writeMethod(this.link.transport.output, this.number, method);
  }
}

function secondOpen(): AmqpError {
  return new AmqpError(Reply.CHANNEL_ERROR, "second 'channel.open' seen");
}

function outcomeOf(requeue: boolean): Outcome {
  return requeue ? Outcome.REQUEUE : Outcome.REJECT;
}

/** A method that 0-9-1 does not have. */
export function unknownMethod(method: number): AmqpError {
  const name = `${method >>> 16}.${method & 0xffff}`;
  return new AmqpError(Reply.NOT_IMPLEMENTED, `unknown method ${name}`);
}
