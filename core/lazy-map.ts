/** A map that takes hardly any memory until something is in it; beside `LazySet`. */
export class LazyMap<K, V> {
  #entries: Map<K, V> | null = null;

  get(key: K): V | undefined {
    return this.#entries?.get(key);
  }

  set(key: K, value: V): void {
    this.#entries ??= new Map();
    this.#entries.set(key, value);
  }

  /** Whether it was there. */
  delete(key: K): boolean {
    return this.#entries?.delete(key) === true;
  }

  keys(): Iterable<K> {
    return this.#entries?.keys() ?? [];
  }

  values(): Iterable<V> {
    return this.#entries?.values() ?? [];
  }

  clear(): void {
    this.#entries = null;
  }
}
