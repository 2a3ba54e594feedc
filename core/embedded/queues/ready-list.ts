import type { Entry } from './entry.ts';

const INITIAL_SLOTS = 16;

/**
 * Entries by position in a ring:   . . h e e e t . .   (h: head, t: next free slot, size a power of two)
 * New ones join at the tail; a requeued one goes back to its place, which is nearly always the head.
 */
class Ring {
  #slots: (Entry | undefined)[] = new Array(INITIAL_SLOTS);
  #head = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  first(): Entry | undefined {
    return this.#slots[this.#head];
  }

  push(entry: Entry): void {
    if (this.#count === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#count) & (this.#slots.length - 1)] = entry;
    this.#count++;
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

  /** Puts an entry where its position belongs. */
  insert(entry: Entry): void {
    if (this.#count === this.#slots.length) this.#grow();
    const mask = this.#slots.length - 1;
    this.#head = (this.#head - 1) & mask;
    this.#count++;
    let hole = 0;
    // Everything before its place moves one slot towards the head.
    for (; hole < this.#count - 1; hole++) {
      const next = this.#slots[(this.#head + hole + 1) & mask];
      if (next === undefined || next.position > entry.position) break;
      this.#slots[(this.#head + hole) & mask] = next;
    }
    this.#slots[(this.#head + hole) & mask] = entry;
  }

  #grow(): void {
    const slots: (Entry | undefined)[] = new Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let i = 0; i < this.#count; i++) slots[i] = this.#slots[(this.#head + i) & mask];
    this.#slots = slots;
    this.#head = 0;
  }
}

/** What waits in a queue: one ring, or with priorities one ring for each. */
export class ReadyList {
  readonly #rings: Ring[];
  #count = 0;

  /** `maxPriority` 0: messages' priorities are not looked at. */
  constructor(maxPriority: number) {
    this.#rings = Array.from({ length: maxPriority + 1 }, () => new Ring());
  }

  get length(): number {
    return this.#count;
  }

  push(entry: Entry): void {
    this.#ringOf(entry)?.push(entry);
    this.#count++;
  }

  insert(entry: Entry): void {
    this.#ringOf(entry)?.insert(entry);
    this.#count++;
  }

  /** The next to be delivered: the oldest of the highest priority. */
  first(): Entry | undefined {
    for (let level = this.#rings.length - 1; level >= 0; level--) {
      const entry = this.#rings[level]?.first();
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  shift(): Entry | undefined {
    for (let level = this.#rings.length - 1; level >= 0; level--) {
      const entry = this.#rings[level]?.shift();
      if (entry !== undefined) {
        this.#count--;
        return entry;
      }
    }
    return undefined;
  }

  /** The first that a full queue gives up: the oldest of the lowest priority. */
  shiftLowest(): Entry | undefined {
    for (const ring of this.#rings) {
      const entry = ring.shift();
      if (entry !== undefined) {
        this.#count--;
        return entry;
      }
    }
    return undefined;
  }

  #ringOf(entry: Entry): Ring | undefined {
    return this.#rings[Math.min(entry.message.priority, this.#rings.length - 1)];
  }
}
