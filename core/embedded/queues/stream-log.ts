/** What a stream keeps its messages in: a durable store's log, or this one in memory. */
import type { Message } from '../../message.ts';
import type { Logged, QueueLog, ReadBack } from '../../store.ts';
import type { MemoryGauge } from '../memory-gauge.ts';

export type StreamLog = Omit<QueueLog, 'lent' | 'truncate'>;

/** What a message counts in memory beside its bytes. */
const ENTRY_BYTES = 128;

/** Lives as long as the process, and counts as messages in memory. */
export class MemoryStreamLog implements StreamLog {
  readonly #memory: MemoryGauge;
  /** By position, which only grows: the first is the oldest. */
  readonly #messages = new Map<number, Message>();
  #last = 0;
  #bytes = 0;

  constructor(memory: MemoryGauge) {
    this.#memory = memory;
  }

  get last(): number {
    return this.#last;
  }

  get count(): number {
    return this.#messages.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  append(position: number, message: Message): void {
    this.#last = position;
    this.#messages.set(position, message);
    this.#charge(ENTRY_BYTES + message.size);
  }

  remove(position: number): void {
    const message = this.#messages.get(position);
    if (message === undefined) return;
    this.#messages.delete(position);
    this.#charge(-ENTRY_BYTES - message.size);
  }

  flush(done: () => void): void {
    done();
  }

  read(after: number, most: number, bytes: number): ReadBack {
    const messages: Logged[] = [];
    let left = bytes;
    let [first] = this.#messages.keys();
    first ??= this.#last + 1;
    for (let at = Math.max(first, after + 1); at <= this.#last; at++) {
      if (messages.length >= most || left <= 0) break;
      const message = this.#messages.get(at);
      if (message === undefined) continue;
      messages.push({ position: at, message, deliveries: 0 });
      left -= message.size;
    }
    return { messages, unreadable: 0 };
  }

  *sizes(after: number): Iterable<readonly [number, number]> {
    for (const [position, { size }] of this.#messages) if (position > after) yield [position, size];
  }

  drop(): void {
    this.#messages.clear();
    this.#charge(-this.#bytes);
  }

  #charge(bytes: number): void {
    this.#bytes += bytes;
    if (bytes > 0) this.#memory.add(bytes);
    else this.#memory.remove(-bytes);
  }
}
