/**
 * Entries that consumers with filters passed over, in the order of the queue. Each is looked at by
 * every filter once; those that the same filters take lie together in a lot, so that a consumer
 * which may take more finds its next entry without looking at the others again.
 */
import type { ConsumeSpec } from '../../engine.ts';
import type { Entry } from './entry.ts';
import { ReadyList } from './ready-list.ts';

type Filter = ConsumeSpec['filter'];

/** More kinds of interest than this are not told apart: nothing further is passed over. */
const LOTS_MAX = 64;

export class Lot {
  readonly entries: ReadyList;
  readonly #filters: ReadonlySet<Filter>;

  constructor(filters: readonly Filter[], maxPriority: number) {
    this.#filters = new Set(filters);
    this.entries = new ReadyList(maxPriority);
  }

  /** Whether a consumer with this filter takes the entries here; one without takes all. */
  fits(filter: Filter): boolean {
    return filter === undefined || this.#filters.has(filter);
  }
}

export class Aside {
  readonly #maxPriority: number;
  /** Null: nothing was ever passed over. */
  #lots: Map<string, Lot> | null = null;
  #numbers: Map<Filter, number> | null = null;
  #length = 0;
  #charge = 0;

  constructor(maxPriority: number) {
    this.#maxPriority = maxPriority;
  }

  get length(): number {
    return this.#length;
  }

  /** Bytes that the entries count in memory. */
  get charge(): number {
    return this.#charge;
  }

  get full(): boolean {
    return this.#lots !== null && this.#lots.size >= LOTS_MAX;
  }

  /** `filters`: those of present consumers that take it, always in the same order. */
  add(entry: Entry, filters: readonly Filter[]): void {
    const key = filters.map((filter) => this.#numberOf(filter)).join();
    this.#lots ??= new Map();
    let lot = this.#lots.get(key);
    if (lot === undefined) {
      lot = new Lot(filters, this.#maxPriority);
      this.#lots.set(key, lot);
    }
    lot.entries.insert(entry);
    this.#length++;
    this.#charge += entry.charge;
  }

  /** Lots by their first entry, in the order of the queue. */
  inOrder(): readonly Lot[] {
    const lots = [...(this.#lots?.values() ?? [])].filter(({ entries }) => entries.length > 0);
    return lots.length < 2 ? lots : lots.sort((one, other) => this.#compare(one, other));
  }

  /** In no order. */
  *entries(): Iterable<Entry> {
    for (const { entries } of this.#lots?.values() ?? []) yield* entries.entries();
  }

  first(): Entry | undefined {
    return this.inOrder()[0]?.entries.first();
  }

  /** Takes the first of `lot`, or of all. */
  shift(lot: Lot | undefined = this.inOrder()[0]): Entry | undefined {
    const entry = lot?.entries.shift();
    if (entry !== undefined) {
      this.#length--;
      this.#charge -= entry.charge;
    }
    return entry;
  }

  /** Takes everything, and forgets the filters. */
  *drain(): Iterable<Entry> {
    for (const lot of this.#lots?.values() ?? []) {
      for (let entry = this.shift(lot); entry !== undefined; entry = this.shift(lot)) yield entry;
    }
    this.#lots = null;
    this.#numbers = null;
  }

  #numberOf(filter: Filter): number {
    this.#numbers ??= new Map();
    let number = this.#numbers.get(filter);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(filter, number);
    }
    return number;
  }

  #compare(one: Lot, other: Lot): number {
    const [a, b] = [one.entries.first(), other.entries.first()];
    return a === undefined || b === undefined ? 0 : compareEntries(a, b, this.#maxPriority);
  }
}

/** Which of two entries a queue gives first: the higher priority, then the older. */
export function compareEntries(one: Entry, other: Entry, maxPriority: number): number {
  const level = ({ message }: Entry): number => Math.min(message.priority, maxPriority);
  return level(other) - level(one) || one.position - other.position;
}
