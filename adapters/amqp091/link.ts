/** What a connection gives its channels, and a channel its parts. */
import type { Eventually, Session } from '../../core/engine.ts';
import type { Log } from '../../core/log.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { Context, Transport } from '../adapter.ts';
import type { AmqpOptions } from './options.ts';

/** A connection that is open, as its channels see it. */
export interface Link {
  readonly context: Context;
  readonly options: AmqpOptions;
  readonly transport: Transport;
  readonly session: Session;
  readonly counters: ProtocolCounters;
  readonly log: Log;
  /** As negotiated, in bytes. */
  readonly frameBytesMax: number;
  /** The client wants to hear of consumers that the server cancels. */
  readonly cancelNotify: boolean;
  /** Milliseconds since the Unix epoch: of the turn where one is under way. */
  readonly now: number;
  /** Whether deliveries must wait for the socket. */
  readonly congested: boolean;
  /** Deliveries found the socket's output full: every consumer pauses until it has drained. */
  clog(): void;
  /** Stops and resumes the input on behalf of a publisher; calls count. */
  hold(): void;
  release(): void;
  /** Asks for room for unfinished bodies (negative: gives it back); false where there is none. */
  claim(bytes: number): boolean;
  /** Goes on with an answer; while it is awaited the connection takes no further frame. */
  ask<T>(
    call: () => Eventually<T>,
    done: (value: T) => void,
    failed: (error: unknown) => void,
  ): void;
  /** Calls `task` when this turn's input is done with, or soon. */
  atTurnEnd(task: () => void): void;
  /** What was written is whole: a WebSocket message may end here. */
  cut(): void;
}

/** A channel as its parts see it. */
export interface ChannelPort {
  readonly number: number;
  readonly link: Link;
  /** False once the channel is closed by either side. */
  readonly open: boolean;
  /**
   * Like `Link.ask`; an error closes the channel, and nothing is done on a channel that closed
   * meanwhile.
   */
  ask<T>(call: () => Eventually<T>, done: (value: T) => void): void;
}
