/**
 * A map whose keys are walked in the order of JavaScript's `<`. They are in chunks,
 *
 *     [ a b c ] [ f g ] [ k m n o ]
 *
 * so that a new one moves those of its chunk only.
 */
export class SortedMap<T> {
  readonly #values = new Map<string, T>();
  /** None is empty. Null: nobody has walked them yet. */
  #chunks: string[][] | null;

  /** Not `inOrder`: keys are put in order when somebody walks them, which is less work for many. */
  constructor(inOrder: boolean = true) {
    this.#chunks = inOrder ? [] : null;
  }

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
    if (this.#chunks !== null && !this.#values.has(key)) insert(this.#chunks, key);
    this.#values.set(key, value);
  }

  delete(key: string): boolean {
    if (!this.#values.delete(key)) return false;
    if (this.#chunks !== null) remove(this.#chunks, key);
    return true;
  }

  /** Keys from `from` on, at most so many. */
  page(from: string, most: number): string[] {
    this.#chunks ??= chunksOf([...this.#values.keys()].sort());
    const found: string[] = [];
    for (let at = chunkAt(this.#chunks, from); found.length < most; at++) {
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
}

const CHUNK_KEYS_MAX = 512;

function chunksOf(keys: readonly string[]): string[][] {
  const chunks: string[][] = [];
  for (let at = 0; at < keys.length; at += CHUNK_KEYS_MAX / 2) {
    chunks.push(keys.slice(at, at + CHUNK_KEYS_MAX / 2));
  }
  return chunks;
}

function insert(chunks: string[][], key: string): void {
  const at = chunkAt(chunks, key);
  const chunk = chunks[at];
  if (chunk === undefined) {
    chunks.push([key]);
    return;
  }
  chunk.splice(placeIn(chunk, key), 0, key);
  if (chunk.length > CHUNK_KEYS_MAX) chunks.splice(at + 1, 0, chunk.splice(CHUNK_KEYS_MAX / 2));
}

function remove(chunks: string[][], key: string): void {
  const at = chunkAt(chunks, key);
  const chunk = chunks[at];
  chunk?.splice(placeIn(chunk, key), 1);
  if (chunk?.length === 0) chunks.splice(at, 1);
}

/** The last chunk that begins with no more than `key`; the first one where none does. */
function chunkAt(chunks: readonly (readonly string[])[], key: string): number {
  let [low, high] = [0, chunks.length];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    const first = chunks[middle]?.[0];
    if (first !== undefined && first <= key) low = middle;
    else high = middle;
  }
  return low;
}

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
