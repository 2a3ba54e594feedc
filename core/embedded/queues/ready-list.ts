import type { Entry } from './entry.ts';

const INITIAL_SLOTS = 16;

/**
 * New entries, whose positions only grow, in a ring:
 *   . . h e e e t . .   (h: head, t: next free slot, size a power of two)
 */
class Ring {
  #slots: (Entry | undefined)[] = [];
  #head = 0;
  #count = 0;

  first(): Entry | undefined {
    return this.#slots[this.#head];
  }

  push(entry: Entry): void {
    if (this.#count === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#count) & (this.#slots.length - 1)] = entry;
    this.#count++;
  }

  *entries(): Iterable<Entry> {
    const mask = this.#slots.length - 1;
    for (let i = 0; i < this.#count; i++) {
      const entry = this.#slots[(this.#head + i) & mask];
      if (entry !== undefined) yield entry;
    }
  }

  shift(): Entry | undefined {
    const entry = this.#slots[this.#head];
    if (entry === undefined) return undefined;
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#count--;
    if (this.#count === 0 && this.#slots.length > 1024) this.#slots = new Array(INITIAL_SLOTS);
    if (this.#count === 0) this.#head = 0;
    return entry;
  }

  #grow(): void {
    const slots: (Entry | undefined)[] = new Array(2 * this.#slots.length || INITIAL_SLOTS);
    const mask = this.#slots.length - 1;
    for (let i = 0; i < this.#count; i++) slots[i] = this.#slots[(this.#head + i) & mask];
    this.#slots = slots;
    this.#head = 0;
  }
}

/**
 * Requeued entries, which come back in any order: a binary heap by position. A channel that closes
 * with a hundred thousand unsettled deliveries costs their number times its logarithm, however they
 * lie.
 */
class Heap {
  readonly #entries: Entry[] = [];

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  first(): Entry | undefined {
    return this.#entries[0];
  }

  push(entry: Entry): void {
    const entries = this.#entries;
    let at = entries.length;
    entries.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = entries[parent];
      if (above === undefined || above.position < entry.position) break;
      entries[at] = above;
      at = parent;
    }
    entries[at] = entry;
  }

  shift(): Entry | undefined {
    const entries = this.#entries;
    const first = entries[0];
    const last = entries.pop();
    if (first === undefined || last === undefined || entries.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const [left, right] = [entries[child], entries[child + 1]];
      if (left === undefined) break;
      let lower = left;
      if (right !== undefined && right.position < left.position) {
        lower = right;
        child++;
      }
      if (lower.position > last.position) break;
      entries[at] = lower;
      at = child;
    }
    entries[at] = last;
    return first;
  }
}

/** Entries of one priority in the order of their positions. */
class Lane {
  readonly #fresh = new Ring();
  readonly #returned = new Heap();

  first(): Entry | undefined {
    const returned = this.#returned.first();
    const fresh = this.#fresh.first();
    if (returned === undefined) return fresh;
    return fresh === undefined || returned.position < fresh.position ? returned : fresh;
  }

  /** In no order. */
  *entries(): Iterable<Entry> {
    yield* this.#returned.entries;
    yield* this.#fresh.entries();
  }

  push(entry: Entry): void {
    this.#fresh.push(entry);
  }

  insert(entry: Entry): void {
    this.#returned.push(entry);
  }

  shift(): Entry | undefined {
    const returned = this.#returned.first();
    if (returned === undefined || returned !== this.first()) return this.#fresh.shift();
    return this.#returned.shift();
  }
}

/** What waits in a queue, by position; with priorities by priority first. */
export class ReadyList {
  readonly #lanes: readonly Lane[];
  #count = 0;

  /** `maxPriority` 0: messages' priorities are not looked at. */
  constructor(maxPriority: number) {
    this.#lanes = Array.from({ length: maxPriority + 1 }, () => new Lane());
  }

  get length(): number {
    return this.#count;
  }

  /** In no order. */
  *entries(): Iterable<Entry> {
    for (const lane of this.#lanes) yield* lane.entries();
  }

  /** A new entry: its position is higher than any before. */
  push(entry: Entry): void {
    this.#laneOf(entry)?.push(entry);
    this.#count++;
  }

  /** A requeued entry: back to its place. */
  insert(entry: Entry): void {
    this.#laneOf(entry)?.insert(entry);
    this.#count++;
  }

  /** The next to be delivered: the oldest of the highest priority. */
  first(): Entry | undefined {
    if (this.#count === 0) return undefined;
    for (let level = this.#lanes.length - 1; level >= 0; level--) {
      const entry = this.#lanes[level]?.first();
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  shift(): Entry | undefined {
    if (this.#count === 0) return undefined;
    for (let level = this.#lanes.length - 1; level >= 0; level--) {
      const entry = this.#lanes[level]?.shift();
      if (entry !== undefined) {
        this.#count--;
        return entry;
      }
    }
    return undefined;
  }

  /** The first that a full queue gives up: the oldest of the lowest priority. */
  shiftLowest(): Entry | undefined {
    for (const lane of this.#lanes) {
      const entry = lane.shift();
      if (entry !== undefined) {
        this.#count--;
        return entry;
      }
    }
    return undefined;
  }

  #laneOf(entry: Entry): Lane | undefined {
    return this.#lanes[Math.min(entry.message.priority, this.#lanes.length - 1)];
  }
}
