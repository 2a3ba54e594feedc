/**
 * How long messages of a queue may wait (`x-message-ttl`). Another limit counts for those that come
 * after it was set, as in RabbitMQ: what is there keeps the one that it came under, and does so
 * across restarts.
 */
import type { Table } from '../../engine.ts';

/** Limits that are told apart; what is older has the oldest of them. */
const LIMITS_MAX = 16;

interface TimeLimit {
  /** The first position that it counts for. */
  readonly from: number;
  /** -1: none. */
  readonly ttlMs: number;
}

export interface TimeLimitsParts {
  /** -1: none. */
  readonly ttlMs: number;
  /** Of the newest message, which came before a restart; 0: the queue is new. */
  readonly position: number;
  /** Limits by queue, where there were several; null where nothing survives the process. */
  kept(): Table | null;
  readonly key: string;
}

export class TimeLimits {
  readonly #table: () => Table | null;
  readonly #key: string;
  /** Newest last; never empty. */
  #limits: TimeLimit[];
  #current: number;
  #written: boolean;

  constructor({ ttlMs, position, kept, key }: TimeLimitsParts) {
    this.#table = kept;
    this.#key = key;
    // What is empty has nothing that came under another limit.
    const former = position > 0 ? (kept()?.get(key) ?? null) : null;
    this.#written = former !== null;
    const known = position > 0 && former !== null;
    this.#limits = known ? (JSON.parse(former.toString()) as TimeLimit[]) : [{ from: 0, ttlMs }];
    this.#current = this.#limits.at(-1)?.ttlMs ?? ttlMs;
    this.set(ttlMs, position + 1, false);
  }

  /** For what comes now; -1: none. */
  get current(): number {
    return this.#current;
  }

  /** For the message at a position; -1: none. */
  at(position: number): number {
    if (this.#limits.length === 1) return this.#current;
    const limit = this.#limits.findLast(({ from }) => from <= position) ?? this.#limits[0];
    return limit?.ttlMs ?? -1;
  }

  /** Another limit from a position on; `empty`: there is nothing that came before. */
  set(ttlMs: number, from: number, empty: boolean): void {
    if (ttlMs === this.#current) return;
    this.#current = ttlMs;
    const former = empty ? [] : this.#limits.filter((limit) => limit.from < from);
    this.#limits = [...former, { from, ttlMs }].slice(-LIMITS_MAX);
    if (this.#limits.length === 1) this.forget();
    else this.#write();
  }

  /** The queue is deleted, or one limit counts for all of it. */
  forget(): void {
    if (this.#written) this.#table()?.delete(this.#key);
    this.#written = false;
  }

  #write(): void {
    const kept = this.#table();
    if (kept === null) return;
    kept.set(this.#key, Buffer.from(JSON.stringify(this.#limits)));
    this.#written = true;
  }
}
