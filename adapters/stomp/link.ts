/** What the parts of one connection (publishing, consuming, transactions) need of it. */
import type { Eventually, Session } from '../../core/engine.ts';
import type { Context, Transport } from '../adapter.ts';
import type { Dialect } from './destination.ts';
import type { Version } from './text.ts';

export interface Link {
  readonly context: Context;
  readonly transport: Transport;
  readonly session: Session;
  readonly version: Version;
  readonly dialect: Dialect;
  /** `session-…`: part of every message-id. */
  readonly name: string;
  /** The CONNECT frame's client-id, for durable subscriptions of ActiveMQ's. */
  readonly clientId: string | undefined;
  /** False once it is ending: nothing more may be written. */
  readonly open: boolean;
  /** Goes on with an answer of the engine's; until it is there, no further frame is read. */
  run<T>(call: () => Eventually<T>, done: (value: T) => void): void;
  /**
   * Ends the connection with an ERROR frame; `receipt` is the offender's, where it asked for one.
   */
  fail(error: unknown, receipt: string | null): void;
  /** Sends a RECEIPT where one was asked for. */
  receipt(id: string | undefined): void;
  /** A frame was written: no heart-beat is due. */
  wrote(): void;
  readonly temporary: Temporaries;
}

/** Queues and topics that a connection knows by a private name (`/temp-queue/x`). */
export interface Temporaries {
  /** The queue's real name. */
  queue(name: string): Eventually<string>;
  /** The topic's real routing key. */
  topic(name: string): string;
}
