/**
 * Heartbeats of one connection, both ways (AMQP 4.2.7): ours leave twice an interval whether or not
 * anything else did, and a client that says nothing for two intervals is gone.
 */
import type { Clock, Timer } from '../../core/clock.ts';

export interface HeartbeatHost {
  readonly clock: Clock;
  /** The client cannot be heard: its input is stopped by us. */
  readonly deaf: boolean;
  beat(): void;
  silent(): void;
}

/** Half intervals without a byte after which the client counts as gone. */
const MISSED_MAX = 4;

export class Heartbeat {
  readonly #host: HeartbeatHost;
  readonly #halfIntervalMs: number;
  #timer: Timer | null = null;
  #missed = 0;

  constructor(host: HeartbeatHost, intervalSeconds: number) {
    this.#host = host;
    this.#halfIntervalMs = intervalSeconds * 500;
    this.#arm();
  }

  /** Any byte is a sign of life. */
  received(): void {
    this.#missed = 0;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(): void {
    this.#timer = this.#host.clock.after(this.#halfIntervalMs, () => this.#tick());
  }

  #tick(): void {
    if (this.#host.deaf) this.#missed = 0;
    else if (++this.#missed > MISSED_MAX) {
      this.#host.silent();
      return;
    }
    this.#arm();
    this.#host.beat();
  }
}
