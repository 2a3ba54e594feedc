import { reasonOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Format, Message } from '../message.ts';
import type { Registry } from '../registry.ts';
import type { MessageTable } from '../store.ts';
import { entriesOf, type Table } from '../table.ts';
import { encodeMessage, RecordReader, readMessage } from './records.ts';

/** Whole messages in a table. */
export class StoredMessages implements MessageTable {
  readonly #name: string;
  readonly #table: Table;
  readonly #formats: Registry<Format>;
  readonly #log: Log;

  constructor(name: string, table: Table, formats: Registry<Format>, log: Log) {
    this.#name = name;
    this.#table = table;
    this.#formats = formats;
    this.#log = log;
  }

  get size(): number {
    return this.#table.size;
  }

  has(key: string): boolean {
    return this.#table.has(key);
  }

  /** Null, and a line in the log, where it cannot be read. */
  get(key: string): Message | null {
    const value = this.#table.get(key);
    if (value === null) return null;
    try {
      return readMessage(new RecordReader(value), this.#formats);
    } catch (error) {
      const where = { table: this.#name, key, reason: reasonOf(error) };
      this.#log.error(where, 'a stored message cannot be read');
      return null;
    }
  }

  set(key: string, message: Message): void {
    this.#table.set(key, encodeMessage(message));
  }

  delete(key: string): void {
    this.#table.delete(key);
  }

  keys(from?: string): Iterable<string> {
    return this.#table.keys(from);
  }

  entries(prefix?: string): Iterable<readonly [string, Message]> {
    return entriesOf(this, prefix);
  }
}
