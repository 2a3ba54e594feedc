/**
 * A durable store in memory that makes things safe only when it is told to, and that outlives engines:
 * what was answered is there for the next engine on the same object, what was not is lost by `crash`.
 */
import type { Message } from '../../core/message.ts';
import { MemoryStore } from '../../core/store/memory.ts';
import type {
  Definitions,
  Logged,
  MessageTable,
  QueueLog,
  ReadBack,
  Store,
} from '../../core/store.ts';
import { MemoryTable, type Table } from '../../core/table.ts';

export class LateStore implements Store {
  readonly name = 'late';
  readonly durable = true;
  readonly #memory = new MemoryStore();
  readonly definitions: Definitions = this.#memory.definitions;
  readonly #logs = new Map<string, LateLog>();
  readonly #messages = new Map<string, MessageTable>();
  #waiting: (() => void)[] = [];
  #listeners: ((error: Error | null) => void)[] = [];

  queue(id: string): LateLog {
    let log = this.#logs.get(id);
    if (log === undefined) {
      log = new LateLog();
      this.#logs.set(id, log);
    }
    return log;
  }

  table(name: string): Table {
    return this.#memory.table(name);
  }

  messages(name: string): MessageTable {
    let table = this.#messages.get(name);
    if (table === undefined) {
      table = new MemoryTable();
      this.#messages.set(name, table);
    }
    return table;
  }

  flush(done: () => void): void {
    this.#waiting.push(done);
  }

  onward(step: () => void): void {
    step();
  }

  onTrouble(listener: (error: Error | null) => void): void {
    this.#listeners.push(listener);
  }

  /** The disk fails (an error), or is well again (null). */
  trouble(error: Error | null): void {
    for (const listener of this.#listeners) listener(error);
  }

  /** One sync: everything so far is safe, and everybody who waits is told so. */
  answer(): void {
    for (const log of this.#logs.values()) log.answer();
    for (const done of this.#waiting.splice(0)) done();
  }

  /** The process dies: whatever was not answered never happened, and nobody is told. */
  crash(): void {
    for (const log of this.#logs.values()) log.forget();
    this.#waiting = [];
    this.#listeners = [];
  }

  /** Flushes that wait for their answer. */
  get waiting(): number {
    let count = this.#waiting.length;
    for (const log of this.#logs.values()) count += log.waiting;
    return count;
  }

  async close(): Promise<void> {
    this.answer();
    this.#listeners = [];
  }
}

interface Kept {
  readonly message: Message;
  readonly deliveries: number;
}

export class LateLog implements QueueLog {
  #now = new Map<number, Kept>();
  /** As a crash would leave it. */
  #safe = new Map<number, Kept>();
  #last = 0;
  #waiting: (() => void)[] = [];

  get last(): number {
    return this.#last;
  }

  get count(): number {
    return this.#now.size;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  append(position: number, message: Message): void {
    if (position <= this.#last) throw new Error(`position ${position} after ${this.#last}`);
    this.#last = position;
    this.#now.set(position, { message, deliveries: 0 });
  }

  remove(position: number): void {
    if (!this.#now.delete(position)) throw new Error(`nothing at ${position}`);
  }

  lent(position: number, times: number): void {
    for (const [at, kept] of this.#now) {
      const deliveries = Math.max(kept.deliveries, at === position ? times : at < position ? 1 : 0);
      if (deliveries > kept.deliveries) this.#now.set(at, { ...kept, deliveries });
    }
  }

  flush(done: () => void): void {
    this.#waiting.push(done);
  }

  read(after: number, most: number, bytes: number): ReadBack {
    const found: Logged[] = [];
    let left = bytes;
    for (const [position, kept] of [...this.#now].sort(([one], [other]) => one - other)) {
      if (position <= after) continue;
      if (found.length >= most || (found.length > 0 && left <= 0)) break;
      left -= kept.message.size;
      found.push({ position, ...kept });
    }
    return { messages: found, unreadable: 0 };
  }

  *sizes(after: number): Iterable<readonly [number, number]> {
    for (const [position, { message }] of this.#now) {
      if (position > after) yield [position, message.size];
    }
  }

  truncate(after: number): number {
    const removed = [...this.#now.keys()].filter((position) => position > after);
    for (const position of removed) this.#now.delete(position);
    return removed.length;
  }

  drop(): void {
    this.#now.clear();
    this.#safe.clear();
  }

  answer(): void {
    this.#safe = new Map(this.#now);
    for (const done of this.#waiting.splice(0)) done();
  }

  forget(): void {
    this.#now = new Map(this.#safe);
    this.#waiting = [];
  }
}
