/**
 * Deliveries of one channel that its client has not settled, by delivery tag.
 *
 * Tags count up from 1, so the newest stand in a ring at `tag & mask`, which costs no hashing:
 *
 *     old (Map)          ring
 *     3, 17      | head: 20 21 -- 23 24 -- -- 27 :next        -- settled, or never to be
 *
 * A few that are never settled would stretch the ring without end; when it is full and mostly
 * empty, what its older half still holds moves to `old`.
 */
import type { Delivery } from '../../core/engine.ts';

const FIRST_SLOTS = 64;

export class Unsettled {
  #ring: (Delivery | null)[] = [];
  #mask = 0;
  #head = 1;
  #next = 1;
  /** How many of the ring's slots are taken. */
  #live = 0;
  /** Lower tags than the ring's, in order. */
  #old = new Map<number, Delivery>();

  get size(): number {
    return this.#live + this.#old.size;
  }

  /** The tag that the next delivery gets. */
  get next(): number {
    return this.#next;
  }

  /** The lowest tag that is not settled; `next` where all are. */
  get oldest(): number {
    for (const tag of this.#old.keys()) return tag;
    this.#advance();
    return this.#head;
  }

  /** Answers the delivery's tag. */
  add(delivery: Delivery): number {
    if (this.#next - this.#head >= this.#ring.length) this.#makeRoom();
    const tag = this.#next++;
    this.#ring[tag & this.#mask] = delivery;
    this.#live++;
    return tag;
  }

  /** A tag for a delivery that needs no settling. */
  skip(): number {
    if (this.#live === 0) this.#head = this.#next + 1;
    else if (this.#next - this.#head >= this.#ring.length) this.#makeRoom();
    return this.#next++;
  }

  /** Takes out the delivery of `tag`, null where there is none. */
  take(tag: number): Delivery | null {
    if (tag >= this.#next) return null;
    if (tag < this.#head) {
      const delivery = this.#old.get(tag) ?? null;
      if (delivery !== null) this.#old.delete(tag);
      return delivery;
    }
    const slot = tag & this.#mask;
    const delivery = this.#ring[slot] ?? null;
    if (delivery === null) return null;
    this.#ring[slot] = null;
    this.#live--;
    if (tag === this.#head) this.#advance();
    return delivery;
  }

  /**
   * Takes out everything up to `tag`, in order; null, and nothing is taken, where `tag` itself is
   * not there.
   */
  takeThrough(tag: number): [tag: number, delivery: Delivery][] | null {
    if (!this.#has(tag)) return null;
    const taken: [number, Delivery][] = [];
    for (const [old, delivery] of this.#old) {
      if (old > tag) return taken;
      this.#old.delete(old);
      taken.push([old, delivery]);
    }
    while (this.#head <= tag) {
      const slot = this.#head & this.#mask;
      const delivery = this.#ring[slot] ?? null;
      if (delivery !== null) {
        this.#ring[slot] = null;
        this.#live--;
        taken.push([this.#head, delivery]);
      }
      this.#head++;
    }
    this.#advance();
    return taken;
  }

  /** From the lowest tag on. */
  *entries(): Generator<readonly [tag: number, delivery: Delivery]> {
    yield* this.#old;
    for (let tag = this.#head; tag < this.#next; tag++) {
      const delivery = this.#ring[tag & this.#mask] ?? null;
      if (delivery !== null) yield [tag, delivery];
    }
  }

  takeAll(): [tag: number, delivery: Delivery][] {
    const taken: [number, Delivery][] = [...this.#old];
    this.#old.clear();
    for (let tag = this.#head; this.#live > 0; tag++) {
      const delivery = this.take(tag);
      if (delivery !== null) taken.push([tag, delivery]);
    }
    return taken;
  }

  /** Puts deliveries back that were taken: a transaction was rolled back. Tags in order. */
  restore(taken: readonly (readonly [tag: number, delivery: Delivery])[]): void {
    for (const [tag, delivery] of taken) {
      if (tag >= this.#head) {
        this.#ring[tag & this.#mask] = delivery;
        this.#live++;
      } else {
        this.#old.set(tag, delivery);
      }
    }
    this.#old = new Map([...this.#old].sort(([a], [b]) => a - b));
  }

  #has(tag: number): boolean {
    if (tag >= this.#next) return false;
    if (tag < this.#head) return this.#old.has(tag);
    return (this.#ring[tag & this.#mask] ?? null) !== null;
  }

  /** The head goes on to the first slot that is taken. */
  #advance(): void {
    if (this.#live === 0) {
      this.#head = this.#next;
      return;
    }
    while ((this.#ring[this.#head & this.#mask] ?? null) === null) this.#head++;
  }

  /** Called with the ring full from head to next. */
  #makeRoom(): void {
    this.#advance();
    const slots = this.#ring.length;
    if (this.#next - this.#head < slots) return;
    if (slots > 0 && this.#live * 2 <= slots) {
      this.#retire(this.#head + slots / 2);
      return;
    }
    const grown = new Array<Delivery | null>(Math.max(FIRST_SLOTS, slots * 2)).fill(null);
    const mask = grown.length - 1;
    for (let tag = this.#head; tag < this.#next; tag++) {
      grown[tag & mask] = this.#ring[tag & this.#mask] ?? null;
    }
    this.#ring = grown;
    this.#mask = mask;
  }

  #retire(end: number): void {
    for (; this.#head < end; this.#head++) {
      const slot = this.#head & this.#mask;
      const delivery = this.#ring[slot] ?? null;
      if (delivery === null) continue;
      this.#ring[slot] = null;
      this.#live--;
      this.#old.set(this.#head, delivery);
    }
    this.#advance();
  }
}
