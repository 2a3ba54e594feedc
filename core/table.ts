/** Values by key, walked in the order of JavaScript's `<`. */
import { SortedMap } from './sorted-map.ts';

export interface Table<V = Buffer> {
  /** Keys that have a value. */
  readonly size: number;
  has(key: string): boolean;
  get(key: string): V | null;
  set(key: string, value: V): void;
  delete(key: string): void;
  /**
   * Keys in order, from `from` on. One that comes meanwhile may be missed, one that goes may still
   * be named.
   */
  keys(from?: string): Iterable<string>;
  /** What is under keys that begin with `prefix`, in the order of the keys. */
  entries(prefix?: string): Iterable<readonly [key: string, value: V]>;
}

/** The entries of a table by way of its keys: what has no value by now is left out. */
export function* entriesOf<V>(
  table: Pick<Table<V>, 'keys' | 'get'>,
  prefix: string = '',
): Iterable<readonly [string, V]> {
  for (const key of table.keys(prefix)) {
    if (!key.startsWith(prefix)) return;
    const value = table.get(key);
    if (value !== null) yield [key, value];
  }
}

/** Keys that are looked at together. */
const PAGE_KEYS = 256;

export class MemoryTable<V> implements Table<V> {
  readonly #values = new SortedMap<V>();

  get size(): number {
    return this.#values.size;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  get(key: string): V | null {
    return this.#values.get(key) ?? null;
  }

  set(key: string, value: V): void {
    this.#values.set(key, value);
  }

  delete(key: string): void {
    this.#values.delete(key);
  }

  *keys(from: string = ''): Iterable<string> {
    for (let start: string | undefined = from; start !== undefined; ) {
      const page = this.#values.page(start, PAGE_KEYS);
      yield* page;
      const last = page.at(-1);
      start = last === undefined ? undefined : `${last}\0`;
    }
  }

  entries(prefix?: string): Iterable<readonly [string, V]> {
    return entriesOf(this, prefix);
  }
}
