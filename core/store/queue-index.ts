/**
 * Where one queue's messages are in the journal: segment, offset and length by position, in blocks
 * of 1024 positions. A block is also what a checkpoint writes and what recovery reads.
 */
const BLOCK_POSITIONS = 1024;
/** Numbers for one message: segment (0: none), offset, length. */
const STRIDE = 3;
/** In the length: the message is not durable, and forgotten by a restart. */
const TRANSIENT = 2 ** 31;

export interface Location {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

interface Block {
  cells: Uint32Array;
  live: number;
}

export class QueueIndex {
  readonly #blocks = new Map<number, Block>();
  /** Blocks that differ from what the last checkpoint wrote; gone ones included. */
  readonly #dirty = new Set<number>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  set(position: number, segment: number, offset: number, length: number, transient: boolean): void {
    const base = baseOf(position);
    let block = this.#blocks.get(base);
    if (block === undefined) {
      block = { cells: new Uint32Array(STRIDE * 8), live: 0 };
      this.#blocks.set(base, block);
    }
    const at = (position - base) * STRIDE;
    if (at >= block.cells.length) block.cells = grown(block.cells, at);
    if (block.cells[at] === 0) {
      block.live++;
      this.#count++;
    }
    block.cells[at] = segment;
    block.cells[at + 1] = offset;
    block.cells[at + 2] = length + (transient ? TRANSIENT : 0);
    this.#dirty.add(base);
  }

  get(position: number): Location | null {
    const base = baseOf(position);
    const cells = this.#blocks.get(base)?.cells;
    return cells === undefined ? null : locationAt(cells, (position - base) * STRIDE);
  }

  /** Returns where the message was; null: it was not there. */
  delete(position: number): Location | null {
    const base = baseOf(position);
    const block = this.#blocks.get(base);
    const at = (position - base) * STRIDE;
    const was = block === undefined ? null : locationAt(block.cells, at);
    if (block === undefined || was === null) return null;
    block.cells[at] = 0;
    block.live--;
    this.#count--;
    if (block.live === 0) this.#blocks.delete(base);
    this.#dirty.add(base);
    return was;
  }

  /**
   * Positions above `after` with their locations, ascending, as many as `visit` wants (it returns
   * false to stop).
   */
  walk(after: number, visit: (position: number, location: Location) => boolean): void {
    // Who reads on finds what he wants in the block where he was, mostly.
    const first = baseOf(after + 1);
    if (!this.#walkBlock(first, after, visit)) return;
    for (const base of this.#bases()) {
      if (base > first && !this.#walkBlock(base, after, visit)) return;
    }
  }

  /** Returns whether to go on. */
  #walkBlock(
    base: number,
    after: number,
    visit: (position: number, location: Location) => boolean,
  ): boolean {
    const block = this.#blocks.get(base);
    if (block === undefined) return true;
    for (let i = Math.max(0, after + 1 - base); i * STRIDE < block.cells.length; i++) {
      const location = locationAt(block.cells, i * STRIDE);
      if (location !== null && !visit(base + i, location)) return false;
    }
    return true;
  }

  /** What changed since the last call: a block's bytes, or null where it is gone. */
  takeDirty(): (readonly [base: number, block: Buffer | null])[] {
    const changed: [number, Buffer | null][] = [];
    for (const base of this.#dirty) {
      const cells = this.#blocks.get(base)?.cells;
      const bytes = cells && Buffer.from(cells.buffer.slice(0) as ArrayBuffer);
      changed.push([base, bytes ?? null]);
    }
    this.#dirty.clear();
    return changed;
  }

  /** A block as `takeDirty` gave it. Calls `found` for each message. */
  load(base: number, bytes: Buffer, found: (segment: number, length: number) => void): void {
    const cells = new Uint32Array(bytes.length / 4);
    Buffer.from(cells.buffer).set(bytes);
    let live = 0;
    for (let at = 0; at < cells.length; at += STRIDE) {
      const segment = cells[at] ?? 0;
      if (segment === 0) continue;
      if ((cells[at + 2] ?? 0) >= TRANSIENT) {
        cells[at] = 0;
        continue;
      }
      live++;
      found(segment, cells[at + 2] ?? 0);
    }
    if (live > 0) this.#blocks.set(base, { cells, live });
    this.#count += live;
  }

  #bases(): number[] {
    const bases = [...this.#blocks.keys()];
    // Blocks are made in ascending order but for what recovery and requeues touch.
    for (let i = 1; i < bases.length; i++) {
      if ((bases[i] ?? 0) < (bases[i - 1] ?? 0)) return bases.sort((a, b) => a - b);
    }
    return bases;
  }
}

function baseOf(position: number): number {
  return position - (position % BLOCK_POSITIONS);
}

function grown(cells: Uint32Array, at: number): Uint32Array {
  let length = cells.length * 2;
  while (length <= at) length *= 2;
  const larger = new Uint32Array(Math.min(length, BLOCK_POSITIONS * STRIDE));
  larger.set(cells);
  return larger;
}

function locationAt(cells: Uint32Array, at: number): Location | null {
  const segment = cells[at] ?? 0;
  return segment === 0
    ? null
    : { segment, offset: cells[at + 1] ?? 0, length: (cells[at + 2] ?? 0) % TRANSIENT };
}
