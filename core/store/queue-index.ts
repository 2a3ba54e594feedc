/**
 * Where one queue's messages are in the journal, by position, in blocks of 1024. Of a block that is
 * not in memory there is only what its summary says.
 */
import { LazySet } from '../lazy-set.ts';
import type { BlockCache } from './block-cache.ts';
import {
  BLOCK_POSITIONS,
  Block,
  baseOf,
  type Encoded,
  encoded,
  forgetTransient,
  grown,
  type Location,
  liveIn,
  locationAt,
  markGone,
  readSummary,
  STRIDE,
  summarized,
  summaryOf,
  TRANSIENT,
  type Use,
  usesOf,
} from './index-block.ts';
import { StoreDamage } from './replay.ts';

/** Visits a message; returns whether to go on. */
type Visit = (position: number, location: Location) => boolean;

export interface QueueIndexParts {
  /** The queue's, by which the checkpoint knows its blocks. */
  readonly id: number;
  readonly cache: BlockCache;
  /** A block's summary in the last checkpoint. */
  summary(base: number): Buffer | null;
}

export class QueueIndex {
  readonly #parts: QueueIndexParts;
  /** Those with messages, in order. */
  readonly #blocks: Block[] = [];
  /** Bases of blocks that differ from what a checkpoint was last given; gone ones included. */
  readonly #dirty = new LazySet<number>();
  #count = 0;
  /** Where a block was found last. */
  #found = 0;

  constructor(parts: QueueIndexParts) {
    this.#parts = parts;
  }

  get count(): number {
    return this.#count;
  }

  /** Throws StoreDamage where its block cannot be read: what else is in there would be lost. */
  set(position: number, segment: number, offset: number, length: number, transient: boolean): void {
    const base = baseOf(position);
    const at = (position - base) * STRIDE;
    const block = this.#block(base) ?? this.#insert(base);
    let cells = block.live === 0 ? block.cells : this.#cells(block);
    if (this.#parts.cache.isLost(block)) {
      throw new StoreDamage(`an index is damaged at position ${base}, and is not written over`);
    }
    if (cells === null || at >= cells.length) cells = grown(cells, at);
    this.#change(block, cells);
    if (cells[at] === 0) {
      block.live++;
      this.#count++;
    }
    cells[at] = segment;
    cells[at + 1] = offset;
    cells[at + 2] = length + (transient ? TRANSIENT : 0);
    block.mixed ||= transient;
    block.low = Math.min(block.low, segment);
    block.high = Math.max(block.high, segment);
  }

  get(position: number): Location | null {
    const base = baseOf(position);
    const block = this.#block(base);
    return block === null ? null : locationAt(this.#cells(block), (position - base) * STRIDE);
  }

  /** Returns where the message was; null: it was not there. */
  delete(position: number): Location | null {
    const base = baseOf(position);
    const block = this.#block(base);
    if (block === null) return null;
    const at = (position - base) * STRIDE;
    const cells = this.#cells(block);
    const was = locationAt(cells, at);
    if (was === null) return null;
    if (block.dirty || block.taken) this.#change(block, cells);
    else {
      // Its page stays as it is, and need not stay in memory.
      markGone(block, position - base);
      this.#dirty.add(base);
    }
    cells[at] = 0;
    this.#count--;
    if (--block.live === 0) this.#remove(this.#find(base), 1);
    return was;
  }

  /** Removes what is from `first` up to `end`, which `gone` is told. Returns how many messages. */
  deleteRange(first: number, end: number, gone: Use): number {
    const before = this.#count;
    let at = this.#find(baseOf(first));
    if (this.#deletePart(at, first, end, gone)) at++;
    let whole = 0;
    for (let block = this.#blocks[at]; block !== undefined; block = this.#blocks[at + whole]) {
      if (block.base + BLOCK_POSITIONS > end) break;
      this.#uses(block, gone);
      this.#count -= block.live;
      whole++;
    }
    if (whole > 0) this.#remove(at, whole);
    this.#deletePart(at, first, end, gone);
    return before - this.#count;
  }

  /** Positions above `after` with their locations, ascending, as many as `visit` wants. */
  walk(after: number, visit: Visit): void {
    for (let at = this.#find(baseOf(after + 1)); at < this.#blocks.length; at++) {
      const block = this.#blocks[at];
      if (block !== undefined && !this.#walkBlock(block, after, visit)) return;
    }
  }

  /** As `walk`, of the messages in `segments`; blocks that have none of these are not looked into. */
  walkSegments(segments: ReadonlySet<number>, visit: Visit): void {
    const wanted = [...segments].sort((a, b) => a - b);
    const pick: Visit = (position, location) =>
      !segments.has(location.segment) || visit(position, location);
    for (const block of this.#blocks) {
      const next = wanted.find((segment) => segment >= block.low);
      if (next === undefined || next > block.high) continue;
      if (!this.#walkBlock(block, -1, pick)) return;
    }
  }

  /**
   * Positions above `after` with their bytes, ascending. A block of no more than `most` bytes comes
   * as one, at its last position; the first that has any does not.
   */
  *sizes(after: number, most: number): Iterable<readonly [position: number, bytes: number]> {
    let begun = false;
    for (let at = this.#find(baseOf(after + 1)); at < this.#blocks.length; at++) {
      const block = this.#blocks[at];
      if (block === undefined) return;
      const bytes = begun ? this.#bytes(block) : Number.POSITIVE_INFINITY;
      if (bytes <= most) {
        yield [block.base + BLOCK_POSITIONS - 1, bytes];
        continue;
      }
      const found: [number, number][] = [];
      this.#walkBlock(block, after, (position, { length }) => found.push([position, length]) > 0);
      yield* found;
      begun ||= found.length > 0;
    }
  }

  /** What changed since the last call: a block as a checkpoint has it, or null where it is gone. */
  *takeDirty(): Iterable<readonly [base: number, block: Encoded | null]> {
    for (const base of this.#dirty) {
      const block = this.#block(base);
      if (block === null) {
        yield [base, null];
        continue;
      }
      const cells = this.#cells(block);
      if (this.#parts.cache.isLost(block)) continue;
      if (block.dirty) {
        yield [base, encoded(block, cells)];
        this.#parts.cache.take(block);
      } else yield [base, { page: null, summary: summaryOf(block, cells) }];
    }
    this.#dirty.clear();
  }

  /** A block that a checkpoint has, by its summary, in order. Calls `found` for what is where. */
  restore(base: number, summary: Buffer, found: Use): void {
    const block = summarized(base, summary, found);
    // All that it had is forgotten by a restart.
    if (block.live === 0) this.#dirty.add(base);
    else this.#blocks.push(block);
    this.#count += block.live;
  }

  /** A block as checkpoints of version 2 have it, in order: its cells. */
  restoreCells(base: number, bytes: Buffer, found: Use): void {
    const cells = new Uint32Array(bytes.length / 4);
    Buffer.from(cells.buffer).set(bytes);
    const live = forgetTransient(cells);
    if (live === 0) return;
    const block = this.#insert(base);
    block.live = live;
    this.#count += live;
    this.#change(block, cells);
    usesOf(cells, (segment, messages, size) => {
      block.low = Math.min(block.low, segment);
      block.high = Math.max(block.high, segment);
      found(segment, messages, size);
    });
  }

  #cells(block: Block): Uint32Array {
    const cells = this.#parts.cache.cells(this.#parts.id, block);
    if (this.#parts.cache.isLost(block)) {
      this.#count -= block.live;
      block.live = 0;
    }
    return cells;
  }

  #change(block: Block, cells: Uint32Array): void {
    if (!block.dirty) this.#dirty.add(block.base);
    this.#parts.cache.change(block, cells);
  }

  #block(base: number): Block | null {
    const block = this.#blocks[this.#find(base)];
    return block?.base === base ? block : null;
  }

  #insert(base: number): Block {
    const block = new Block(base);
    this.#blocks.splice(this.#find(base), 0, block);
    return block;
  }

  /** Removes so many blocks, with what is in them. */
  #remove(at: number, most: number): void {
    for (const block of this.#blocks.splice(at, most)) {
      this.#dirty.add(block.base);
      this.#parts.cache.forget(block);
    }
  }

  /** The first block that begins at `base` or above: mostly the one of the last time, or the last. */
  #find(base: number): number {
    const blocks = this.#blocks;
    if (blocks[this.#found]?.base === base) return this.#found;
    let [low, high] = [0, blocks.length];
    const last = blocks[high - 1];
    if (last === undefined || last.base < base) return high;
    if (last.base === base) low = high - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((blocks[middle]?.base ?? 0) < base) low = middle + 1;
      else high = middle;
    }
    this.#found = low;
    return low;
  }

  /** Returns whether to go on. */
  #walkBlock(block: Block, after: number, visit: Visit): boolean {
    const cells = this.#cells(block);
    for (let i = Math.max(0, after + 1 - block.base); i * STRIDE < cells.length; i++) {
      const location = locationAt(cells, i * STRIDE);
      if (location !== null && !visit(block.base + i, location)) return false;
    }
    return true;
  }

  /** Removes what is in the range of a block that is not wholly in it. Returns whether it is left. */
  #deletePart(at: number, first: number, end: number, gone: Use): boolean {
    const block = this.#blocks[at];
    if (block === undefined || block.base >= end) return false;
    if (first <= block.base && block.base + BLOCK_POSITIONS <= end) return false;
    const positions: number[] = [];
    this.#walkBlock(block, first - 1, (position) => position < end && positions.push(position) > 0);
    for (const position of positions) {
      const was = this.delete(position);
      if (was !== null) gone(was.segment, 1, was.length);
    }
    return this.#blocks[at] === block;
  }

  #bytes(block: Block): number {
    let sum = 0;
    this.#uses(block, (_segment, _messages, bytes) => {
      sum += bytes;
    });
    return sum;
  }

  /** What a block has in which segment, without its cells where its summary says so. */
  #uses(block: Block, found: Use): void {
    const { cache, summary } = this.#parts;
    const lost = cache.isLost(block);
    const known = block.cells === null || lost ? summary(block.base) : null;
    // It is of before what was removed last, where it has more messages.
    const exact = known !== null && !block.mixed && liveIn(known) === block.live;
    if (known !== null && (lost || exact)) readSummary(known, found);
    else usesOf(this.#cells(block), found);
  }
}
