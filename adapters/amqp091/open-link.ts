/**
 * The link of an open connection to its channels: output, flow in both directions, and the session.
 */
import type { Timer } from '../../core/clock.ts';
import type { Eventually, Session } from '../../core/engine.ts';
import type { Log } from '../../core/log.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { Context, Transport } from '../adapter.ts';
import type { Agreement } from './handshake.ts';
import type { Link } from './link.ts';
import type { AmqpOptions } from './options.ts';
import { writeMethod, writeNameMethod } from './replies.ts';
import type { Turn } from './turn.ts';
import { Method } from './wire.ts';

/**
 * Publishers are held for moments all the time, to let queues keep up. Held for longer than this it
 * is for want of memory, which a client may want to know (RabbitMQ's connection.blocked), in
 * milliseconds.
 */
const BLOCKED_NOTICE_MS = 250;
const BLOCKED_REASON = 'low on memory';

/** What the link needs of its connection. */
export interface LinkHost {
  readonly context: Context;
  readonly options: AmqpOptions;
  readonly transport: Transport;
  readonly counters: ProtocolCounters;
  readonly log: Log;
  readonly turn: Turn;
  /** The socket is full, or no longer: consumers pause or resume. */
  regulate(): void;
}

export class OpenLink implements Link {
  readonly context: Context;
  readonly options: AmqpOptions;
  readonly transport: Transport;
  readonly session: Session;
  readonly counters: ProtocolCounters;
  readonly log: Log;
  readonly frameBytesMax: number;
  readonly cancelNotify: boolean;
  readonly #host: LinkHost;
  readonly #turn: Turn;
  readonly #blockedNotify: boolean;
  #congested = false;
  #claimedBytes = 0;
  #holds = 0;
  #notice: Timer | null = null;
  #toldBlocked = false;

  constructor(host: LinkHost, agreement: Agreement) {
    this.#host = host;
    this.#turn = host.turn;
    this.context = host.context;
    this.options = host.options;
    this.transport = host.transport;
    this.counters = host.counters;
    this.log = host.log;
    this.session = agreement.session;
    this.frameBytesMax = agreement.frameBytesMax;
    this.cancelNotify = agreement.cancelNotify;
    this.#blockedNotify = agreement.blockedNotify;
  }

  get now(): number {
    return this.#turn.now;
  }

  get congested(): boolean {
    return this.#congested;
  }

  clog(): void {
    if (this.#congested) return;
    this.#congested = true;
    this.#host.regulate();
  }

  drained(): void {
    if (!this.#congested) return;
    this.#congested = false;
    this.#host.regulate();
  }

  hold(): void {
    this.transport.hold();
    if (this.#holds++ > 0 || !this.#blockedNotify) return;
    this.#notice = this.context.clock.after(BLOCKED_NOTICE_MS, () => this.#tellBlocked());
  }

  release(): void {
    this.transport.release();
    if (--this.#holds > 0) return;
    this.#notice?.cancel();
    this.#notice = null;
    if (!this.#toldBlocked) return;
    this.#toldBlocked = false;
    writeMethod(this.transport.output, 0, Method.CONNECTION_UNBLOCKED);
    this.cut();
  }

  claim(bytes: number): boolean {
    if (this.#claimedBytes + bytes > this.context.limits.amqpPartialBytesMax) return false;
    this.#claimedBytes += bytes;
    return true;
  }

  /** The connection closes: nobody is told anything any more. */
  close(): void {
    this.#notice?.cancel();
    this.#toldBlocked = false;
  }

  ask<T>(
    call: () => Eventually<T>,
    done: (value: T) => void,
    failed: (error: unknown) => void,
  ): void {
    this.#turn.ask(call, done, failed);
  }

  atTurnEnd(task: () => void): void {
    this.#turn.atEnd(task);
  }

  cut(): void {
    this.#turn.cut();
  }

  #tellBlocked(): void {
    this.#notice = null;
    this.#toldBlocked = true;
    writeNameMethod(this.transport.output, 0, Method.CONNECTION_BLOCKED, BLOCKED_REASON);
    this.cut();
  }
}
