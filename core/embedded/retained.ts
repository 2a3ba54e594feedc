import type { Message } from '../message.ts';
import type { MessageTable } from '../store.ts';
import { MemoryTable } from '../table.ts';
import type { HotMessages } from './hot-messages.ts';
import { scanKeys, swapSeparator } from './key-scan.ts';
import type { MemoryGauge } from './memory-gauge.ts';

export interface RetainedParts {
  /** Tells the last values of one exchange from those of others. */
  readonly name: string;
  /** Where they are kept; null: in memory. */
  readonly table: MessageTable | null;
  /** A table of version 2, by routing keys as they are. */
  readonly former: MessageTable | null;
  /** Those of a table that were asked for lately. */
  readonly hot: HotMessages;
  readonly memory: MemoryGauge;
  /** Keys at most. */
  readonly max: number;
  /** Keys of a table that memory has in order, once they were walked: so many, or none. */
  readonly cachedKeysMax: number;
}

/** Last values of one exchange: at most one message per routing key. */
export class Retained {
  readonly #parts: RetainedParts;
  readonly #table: MessageTable;
  /** Its keys in order; null: nobody has walked them, or they are too many. */
  #keys: MemoryTable<true> | null = null;

  constructor(parts: RetainedParts) {
    this.#parts = parts;
    this.#table = parts.table ?? new MemoryTable();
    for (const [key, message] of parts.former?.entries() ?? []) {
      this.#table.set(swapSeparator(key), message);
      parts.former?.delete(key);
    }
  }

  get size(): number {
    return this.#table.size;
  }

  /**
   * Takes a message as the last value of its key; an empty body deletes it. False: full, not kept.
   */
  keep(message: Message): boolean {
    const key = swapSeparator(message.routingKey);
    if (message.body.length === 0) {
      this.#delete(key);
      return true;
    }
    if (this.#table.size >= this.#parts.max && !this.#table.has(key)) return false;
    if (this.#parts.table === null) {
      const kept = message.own();
      this.#parts.memory.add(kept.size);
      this.#forget(key);
      this.#table.set(key, kept);
    } else {
      this.#forget(key);
      this.#table.set(key, message);
      if (this.#table.size > this.#parts.cachedKeysMax) this.#keys = null;
      this.#keys?.set(key, true);
    }
    return true;
  }

  /** What matches and has not expired by `now`; what has is dropped. */
  find(pattern: string, now: number): readonly Message[] {
    const found: Message[] = [];
    const keys = /[*#]/.test(pattern)
      ? scanKeys((from) => this.#walked().keys(from), pattern)
      : [swapSeparator(pattern)];
    for (const key of keys) {
      const message = this.#get(key);
      if (message === null) continue;
      if (message.expiresAt === 0 || message.expiresAt > now) found.push(message);
      else this.#delete(key);
    }
    return found;
  }

  /** The exchange is deleted. */
  clear(): void {
    for (const key of this.#table.keys()) this.#delete(key);
  }

  /** What has the keys in order. */
  #walked(): Pick<MessageTable, 'keys'> {
    const { table, cachedKeysMax } = this.#parts;
    if (table === null) return this.#table;
    if (this.#keys === null && table.size <= cachedKeysMax) {
      this.#keys = new MemoryTable();
      for (const key of table.keys()) this.#keys.set(key, true);
    }
    return this.#keys ?? table;
  }

  #get(key: string): Message | null {
    const { name, table, hot } = this.#parts;
    if (table === null) return this.#table.get(key);
    const kept = hot.get(name, key);
    if (kept !== undefined) return kept;
    const read = table.get(key);
    if (read !== null) hot.add(name, key, read);
    return read;
  }

  #delete(key: string): void {
    this.#forget(key);
    this.#table.delete(key);
    this.#keys?.delete(key);
  }

  /** What memory has of a key is not worth keeping any more. */
  #forget(key: string): void {
    const { name, table, hot, memory } = this.#parts;
    if (table === null) memory.remove(this.#table.get(key)?.size ?? 0);
    else hot.forget(name, key);
  }
}
