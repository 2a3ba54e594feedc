/**
 * A map whose keys are walked in the order of JavaScript's `<`. They are in chunks,
 *
 *     [ a b c ] [ f g ] [ k m n o ]
 *
 * so that a new one moves those of its chunk only.
 */
export class SortedMap<T> {
  readonly #values = new Map<string, T>();
  /** None is empty. */
  readonly #chunks: string[][] = [];

  get size(): number {
    return this.#values.size;
  }

  get(key: string): T | undefined {
    return this.#values.get(key);
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  set(key: string, value: T): void {
    if (!this.#values.has(key)) this.#insert(key);
    this.#values.set(key, value);
  }

  delete(key: string): boolean {
    if (!this.#values.delete(key)) return false;
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    chunk?.splice(placeIn(chunk, key), 1);
    if (chunk?.length === 0) this.#chunks.splice(at, 1);
    return true;
  }

  /** Keys from `from` on, at most so many. */
  page(from: string, most: number): string[] {
    const found: string[] = [];
    for (let at = this.#chunkOf(from); found.length < most; at++) {
      const chunk = this.#chunks[at];
      if (chunk === undefined) break;
      const start = placeIn(chunk, from);
      for (const key of chunk.slice(start, start + most - found.length)) found.push(key);
    }
    return found;
  }

  /** In no order. */
  entries(): Iterable<readonly [key: string, value: T]> {
    return this.#values;
  }

  #insert(key: string): void {
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    if (chunk === undefined) {
      this.#chunks.push([key]);
      return;
    }
    chunk.splice(placeIn(chunk, key), 0, key);
    if (chunk.length > CHUNK_KEYS_MAX)
      this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK_KEYS_MAX / 2));
  }

  /** The last chunk that begins with no more than `key`; the first one where none does. */
  #chunkOf(key: string): number {
    let [low, high] = [0, this.#chunks.length];
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const first = this.#chunks[middle]?.[0];
      if (first !== undefined && first <= key) low = middle;
      else high = middle;
    }
    return low;
  }
}

const CHUNK_KEYS_MAX = 512;

/** Where `key` is in `chunk`, or would be. */
function placeIn(chunk: readonly string[], key: string): number {
  let [low, high] = [0, chunk.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = chunk[middle];
    if (other !== undefined && other < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
