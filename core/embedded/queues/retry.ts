/**
 * What a consumer gave back waits before it is handed out again, longer each time: RabbitMQ 4.3's
 * delayed retry (`x-delayed-retry-…`), linear, or exponential with LavinMQ's multiplier. It stays in
 * the queue's log meanwhile; a restart ends the wait.
 */
import type { Clock, Timer } from '../../clock.ts';
import { DueHeap } from '../due-heap.ts';
import type { QueueOptions } from './arguments.ts';
import type { Entry } from './entry.ts';

export class Retry {
  #options: QueueOptions['retry'];
  readonly #clock: Clock;
  readonly #back: (entries: readonly Entry[]) => void;
  readonly #due = new DueHeap();
  readonly #waiting = new Map<number, Entry>();
  #timer: Timer | null = null;

  /** `back`: their time has come. */
  constructor(
    options: QueueOptions['retry'],
    clock: Clock,
    back: (entries: readonly Entry[]) => void,
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#back = back;
  }

  /** For what is given back from now on. */
  apply(options: QueueOptions['retry']): void {
    this.#options = options;
  }

  /** Takes an entry that was given back; false: it is not to wait. */
  takes(entry: Entry): boolean {
    const delayMs = this.#delayOf(entry.attempts);
    if (delayMs === 0) return false;
    this.#waiting.set(entry.position, entry);
    this.#due.add(this.#clock.now() + delayMs, entry.position);
    this.#watch();
    return true;
  }

  /** What waits. */
  entries(): Iterable<Entry> {
    return this.#waiting.values();
  }

  get length(): number {
    return this.#waiting.size;
  }

  /** Gives out everything that waits. */
  drain(): readonly Entry[] {
    const entries = [...this.#waiting.values()];
    while (this.#due.shift() !== undefined);
    this.#waiting.clear();
    this.close();
    return entries;
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #delayOf(attempts: number): number {
    const { minMs, maxMs, multiplier } = this.#options;
    const grown = multiplier === 0 ? minMs * attempts : minMs * multiplier ** (attempts - 1);
    return Math.min(grown, maxMs);
  }

  #watch(): void {
    this.close();
    if (this.#due.length === 0) return;
    const delayMs = Math.max(0, this.#due.first - this.#clock.now());
    this.#timer = this.#clock.after(delayMs, () => this.#return());
  }

  #return(): void {
    this.#timer = null;
    const now = this.#clock.now();
    const entries: Entry[] = [];
    while (this.#due.first <= now) {
      const position = this.#due.shift() ?? 0;
      const entry = this.#waiting.get(position);
      this.#waiting.delete(position);
      if (entry !== undefined) entries.push(entry);
    }
    this.#watch();
    this.#back(entries);
  }
}
