/**
 * Tables, which are on the disk: a value is read when it is asked for. Memory has only what changed
 * since the last checkpoint. Each of these hides what is below it, and null is what is gone:
 *
 *     fresh    since the last checkpoint began
 *     frozen   what that one is writing, or could not write
 *     disk     the last one that was written
 */
import { SortedMap } from '../sorted-map.ts';
import { type Change, type CheckpointFile, UNFINISHED } from './checkpoint.ts';
import { bareValue, groupEnd, keyOf, longEntry, storedEnd, storedStart } from './table-key.ts';

type Layer = SortedMap<Buffer | null>;

interface Shelf {
  readonly name: string;
  /** In the checkpoint's keys. 0: it has nothing of this table. */
  id: number;
  /** Keys that have a value. */
  count: number;
  fresh: Layer;
  frozen: Layer | null;
}

/** A table as a checkpoint has it. */
interface ShelfRecord {
  readonly name: string;
  readonly count: number;
}

/** Keys that are read at once: the first time, and at most. */
const PAGE_KEYS = 16;
const PAGE_KEYS_MAX = 512;

export class Tables {
  readonly #shelves = new Map<string, Shelf>();
  /** Those with anything fresh. */
  readonly #changed = new Set<Shelf>();
  /** Those with anything frozen. */
  readonly #frozen = new Set<Shelf>();
  #checkpoint: CheckpointFile | null = null;
  #lastId = 0;
  /** Entries of no table, which the next checkpoint is without. */
  #orphans: Change[] = [];

  load(checkpoint: CheckpointFile): void {
    this.#checkpoint = checkpoint;
    for (const [[, id], value] of checkpoint.entries(SHELF)) {
      const { name, count } = JSON.parse(value.toString()) as ShelfRecord;
      const shelf = this.#add(name);
      shelf.id = Number(id);
      shelf.count = count;
      this.#lastId = Math.max(this.#lastId, shelf.id);
    }
    this.#finish(checkpoint);
  }

  /** The process died while a checkpoint was written: its entries are there, and no more of it. */
  #finish(checkpoint: CheckpointFile): void {
    const shelves = new Map([...this.#shelves.values()].map((shelf) => [shelf.id, shelf]));
    for (const [, key] of checkpoint.keysOf(UNFINISHED)) {
      const id = Number(key);
      const shelf = shelves.get(id);
      this.#lastId = Math.max(this.#lastId, id);
      if (shelf === undefined) {
        // A new table, of which the journal has everything.
        const keys = this.#diskPage(id, '', Number.POSITIVE_INFINITY);
        for (const each of keys) this.#orphans.push([{ table: id, key: each }, null]);
      } else {
        shelf.count = checkpoint.count(storedStart(id, ''), storedEnd(id));
        this.#changed.add(shelf);
      }
    }
  }

  size(name: string): number {
    return this.#shelves.get(name)?.count ?? 0;
  }

  has(name: string, key: string): boolean {
    const shelf = this.#shelves.get(name);
    return shelf !== undefined && this.#has(shelf, key);
  }

  get(name: string, key: string): Buffer | null {
    const shelf = this.#shelves.get(name);
    if (shelf === undefined) return null;
    const changed = inMemory(shelf, key);
    if (changed !== undefined || shelf.id === 0) return changed ?? null;
    const stored = this.#checkpoint?.get({ table: shelf.id, key }) ?? null;
    return stored === null ? null : bareValue(key, stored);
  }

  set(name: string, key: string, value: Buffer): void {
    const shelf = this.#shelves.get(name) ?? this.#add(name);
    if (!this.#has(shelf, key)) shelf.count++;
    shelf.fresh.set(key, value);
    this.#changed.add(shelf);
  }

  /** False where there is no such key. */
  delete(name: string, key: string): boolean {
    const shelf = this.#shelves.get(name);
    if (shelf === undefined || !this.#has(shelf, key)) return false;
    shelf.count--;
    shelf.fresh.set(key, null);
    this.#changed.add(shelf);
    return true;
  }

  /** From `from` on, a page at a time: a key that comes or goes meanwhile may be missed or named. */
  *keys(name: string, from: string): Iterable<string> {
    for (let most = PAGE_KEYS; ; most = Math.min(2 * most, PAGE_KEYS_MAX)) {
      const shelf = this.#shelves.get(name);
      if (shelf === undefined) return;
      const { keys, end } = this.#page(shelf, from, most);
      yield* keys;
      if (end === null) return;
      from = `${end}\0`;
    }
  }

  /** What changed since the last call. */
  takeChanges(): Change[] {
    const changes = this.#orphans;
    this.#orphans = [];
    for (const shelf of this.#changed) {
      const { name, count, fresh } = shelf;
      if (shelf.id === 0) shelf.id = ++this.#lastId;
      // In order, which LMDB takes faster.
      for (const key of fresh.page('', fresh.size)) {
        changes.push([{ table: shelf.id, key }, fresh.get(key) ?? null]);
      }
      const record: ShelfRecord = { name, count };
      const gone = count === 0;
      changes.push([[SHELF, shelf.id], gone ? null : Buffer.from(JSON.stringify(record))]);
      if (shelf.frozen === null) shelf.frozen = fresh;
      else for (const [key, value] of fresh.entries()) shelf.frozen.set(key, value);
      shelf.fresh = new SortedMap();
      this.#frozen.add(shelf);
    }
    this.#changed.clear();
    return changes;
  }

  /** Everything that was taken is on the disk. */
  written(): void {
    for (const shelf of this.#frozen) {
      shelf.frozen = null;
      if (shelf.count > 0 || this.#changed.has(shelf)) continue;
      this.#shelves.delete(shelf.name);
    }
    this.#frozen.clear();
  }

  #add(name: string): Shelf {
    // What is replayed comes in large numbers before anybody walks it.
    const fresh: Layer = new SortedMap(false);
    const shelf = { name, id: 0, count: 0, fresh, frozen: null };
    this.#shelves.set(name, shelf);
    return shelf;
  }

  #has(shelf: Shelf, key: string): boolean {
    const changed = inMemory(shelf, key);
    if (changed !== undefined) return changed !== null;
    return shelf.id > 0 && this.#checkpoint?.has({ table: shelf.id, key }) === true;
  }

  /** Some keys from `from` on; `end` is the last that was looked at, null where there are no more. */
  #page(shelf: Shelf, from: string, most: number): { keys: string[]; end: string | null } {
    const { fresh, frozen } = shelf;
    const pages = fresh.size === 0 ? [] : [fresh.page(from, most)];
    if (frozen !== null) pages.push(frozen.page(from, most));
    const changed = pages.length > 0;
    if (shelf.id > 0) pages.push(this.#diskPage(shelf.id, from, most));
    let end: string | null = null;
    for (const page of pages) {
      const last = page.length < most ? undefined : page.at(-1);
      // What is behind it may be in this page's source, and not in the others'.
      if (last !== undefined && (end === null || last < end)) end = last;
    }
    const [first = [], ...others] = pages.filter((page) => page.length > 0);
    const all = others.length === 0 ? first : [...new Set([...first, ...others.flat()])].sort();
    if (!changed) return { keys: all, end };
    const keys = all.filter((key) => (end === null || key <= end) && inMemory(shelf, key) !== null);
    return { keys, end };
  }

  /** At least `most` keys, where there are so many. */
  #diskPage(id: number, from: string, most: number): string[] {
    const checkpoint = this.#checkpoint;
    const found: string[] = [];
    const end = storedEnd(id);
    let start = storedStart(id, from);
    while (checkpoint !== null && found.length < most) {
      const page = checkpoint.keys(start, end, most - found.length);
      let long: Buffer | null = null;
      for (const stored of page) {
        const key = keyOf(stored);
        if (key === null) {
          long = stored;
          break;
        }
        found.push(key);
      }
      if (long === null) break;
      start = groupEnd(long);
      // Their order is not that of their hashes.
      const group = checkpoint.keys(long, start, Number.POSITIVE_INFINITY).map((stored) => {
        const value = checkpoint.get(stored);
        return value === null ? '' : longEntry(value).key;
      });
      for (const key of group.sort()) if (key >= from) found.push(key);
    }
    return found;
  }
}

/** A checkpoint's record of a table. */
const SHELF = 'shelf';

/** Null: gone. Undefined: as it is on the disk. */
function inMemory({ fresh, frozen }: Shelf, key: string): Buffer | null | undefined {
  const value = fresh.get(key);
  return value === undefined ? frozen?.get(key) : value;
}
