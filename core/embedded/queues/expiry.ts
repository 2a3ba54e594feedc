/**
 * When messages of a queue are too old: by their own time limit, or by the queue's
 * (`x-message-ttl`), whichever comes first. They are given up at the head only, as RabbitMQ does:
 * behind a longer-lived one an expired one waits.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { Message } from '../../message.ts';
import type { Backlog } from './backlog.ts';
import type { Entry } from './entry.ts';
import type { TimeLimits } from './time-limits.ts';

/** From the socket to its queue a message may take so long without being written anew for it. */
const ARRIVAL_SLACK_MS = 100;

/** Expired messages that one turn gives up. */
const EXPIRED_MAX = 4096;

export class Expiry {
  readonly #clock: Clock;
  readonly #ready: Backlog;
  readonly #expired: (entry: Entry) => void;
  readonly #limits: TimeLimits;
  #timer: Timer | null = null;
  /** When it fires. */
  #firesAt = 0;
  #closed = false;

  /** `expired`: the entry was taken from `ready`, and is to be given up. */
  constructor(limits: TimeLimits, clock: Clock, ready: Backlog, expired: (entry: Entry) => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#ready = ready;
    this.#expired = expired;
  }

  /**
   * A message whose time here begins now, and does so for the log too. What came by a detour, as
   * dead letters and wills do, was received long before.
   */
  dated(message: Message): Message {
    if (this.#limits.current === -1) return message;
    const now = this.#clock.now();
    return now - message.arrivedAt > ARRIVAL_SLACK_MS ? message.arrived(now) : message;
  }

  /** When the message at a position is, in milliseconds since the Unix epoch; 0: never. */
  of(message: Message, position: number): number {
    const ttlMs = this.#limits.at(position);
    if (ttlMs === -1) return message.expiresAt;
    const byQueue = message.arrivedAt + ttlMs;
    return message.expiresAt === 0 ? byQueue : Math.min(byQueue, message.expiresAt);
  }

  /**
   * Gives up what has expired at the head. Returns false where that was a turn's share and there is
   * more.
   */
  drop(): boolean {
    let first = this.#ready.first();
    if (first === undefined || first.expiresAt === 0) return true;
    const now = this.#clock.now();
    for (let left = EXPIRED_MAX; first !== undefined; left--, first = this.#ready.first()) {
      if (first.expiresAt === 0 || first.expiresAt > now) return true;
      if (left === 0) return false;
      this.#ready.shift();
      this.#expired(first);
    }
    return true;
  }

  /**
   * Has the timer fire no later than the first one's time; whenever another may be the first now.
   */
  watch(): void {
    this.#watchFor(this.#ready.first()?.expiresAt ?? 0);
  }

  /** The same for a queue that has just come back. */
  recover(): void {
    this.#watchFor(this.#ready.firstExpiry());
  }

  #watchFor(expiresAt: number): void {
    if (expiresAt === 0 || this.#closed) return;
    if (this.#timer !== null) {
      if (this.#firesAt <= expiresAt) return;
      this.#timer.cancel();
    }
    this.#firesAt = expiresAt;
    const delayMs = Math.max(0, expiresAt - this.#clock.now());
    this.#timer = this.#clock.after(delayMs, () => {
      this.#timer = null;
      this.drop();
      this.watch();
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }
}
