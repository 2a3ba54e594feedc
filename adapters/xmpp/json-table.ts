import type { Table } from '../../core/engine.ts';

/** A durable table whose values are JSON of one shape. */
export class JsonTable<T> {
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  get(key: string): T | null {
    const bytes = this.#table.get(key);
    return bytes === null ? null : (JSON.parse(bytes.toString('utf8')) as T);
  }

  set(key: string, value: T): void {
    this.#table.set(key, Buffer.from(JSON.stringify(value)));
  }

  delete(key: string): void {
    this.#table.delete(key);
  }

  *entries(): Iterable<readonly [string, T]> {
    for (const [key, bytes] of this.#table.entries()) {
      yield [key, JSON.parse(bytes.toString('utf8')) as T];
    }
  }
}
