/**
 * The blocks of all queues' indexes that are in memory, so many bytes of them. One that differs
 * from what the last safe checkpoint has stays; of the others those go that nobody asked for
 * lately, and are read again when somebody does.
 *
 *     changed ─▶ dirty ── a checkpoint takes it ──▶ taken ── it is safe ──▶ clean ─▶ not in memory
 *                  ▲                                  │                      │  ▲          │
 *                  └───────────── changed ────────────┴──────────────────────┘  └─ read ───┘
 */
import { type Block, decoded } from './index-block.ts';

/** What clean blocks may take in any case, as a part of all: else every look would read a page. */
const CLEAN_PART = 1 / 4;
/** Less that changed than this is not worth a checkpoint, in bytes. */
const DIRTY_BYTES_MIN = 1024 * 1024;
/** The cells of a block that cannot be read. */
const LOST = new Uint32Array(0);

export interface BlockCacheParts {
  /** Blocks in memory, in bytes: past it clean ones go, and dirty ones ask for a checkpoint. */
  readonly bytesMax: number;
  /** A block's page in the last checkpoint. */
  page(queue: number, base: number): Buffer | null;
  /** A page is damaged or missing. Where this returns, the block's messages are passed over. */
  damaged(queue: number, base: number): void;
}

export class BlockCache {
  readonly #parts: BlockCacheParts;
  /** Those looked at for being given up first in front. */
  readonly #clean = new Set<Block>();
  #taken: Block[] = [];
  #cleanBytes = 0;
  /** Of blocks that are dirty or taken. */
  #heldBytes = 0;
  #dirtyBytes = 0;

  constructor(parts: BlockCacheParts) {
    this.#parts = parts;
  }

  /** Bytes of blocks in memory. */
  get bytes(): number {
    return this.#cleanBytes + this.#heldBytes;
  }

  /** So much has changed that a checkpoint should take it. */
  get full(): boolean {
    return this.#dirtyBytes >= Math.max(this.#parts.bytesMax, DIRTY_BYTES_MIN);
  }

  /**
   * A block's cells, to be read at once: they may be given up with the next block that is read.
   * Empty ones where they are lost.
   */
  cells(queue: number, block: Block): Uint32Array {
    block.used = true;
    if (block.cells !== null) return block.cells;
    const page = this.#parts.page(queue, block.base);
    const cells = page === null ? null : decoded(page, block);
    if (cells === null) {
      this.#parts.damaged(queue, block.base);
      block.cells = LOST;
      return LOST;
    }
    block.cells = cells;
    this.#clean.add(block);
    this.#cleanBytes += cells.byteLength;
    this.#trim();
    return cells;
  }

  isLost(block: Block): boolean {
    return block.cells === LOST;
  }

  /** These are the block's cells from now on, and changed. */
  change(block: Block, cells: Uint32Array): void {
    if (block.dirty && block.cells === cells) return;
    this.forget(block);
    block.cells = cells;
    block.dirty = true;
    this.#heldBytes += cells.byteLength;
    this.#dirtyBytes += cells.byteLength;
  }

  /** A checkpoint takes the block as it is. */
  take(block: Block): void {
    this.#dirtyBytes -= block.cells?.byteLength ?? 0;
    block.dirty = false;
    // Its page is this process's.
    block.old = false;
    if (!block.taken) this.#taken.push(block);
    block.taken = true;
  }

  /** Whatever was taken is safe. */
  written(): void {
    const taken = this.#taken;
    this.#taken = [];
    for (const block of taken) {
      block.taken = false;
      if (block.dirty || block.cells === null) continue;
      this.#heldBytes -= block.cells.byteLength;
      this.#cleanBytes += block.cells.byteLength;
      this.#clean.add(block);
    }
    this.#trim();
  }

  /** Its cells are not wanted any more. */
  forget(block: Block): void {
    const bytes = block.cells?.byteLength ?? 0;
    if (this.#clean.delete(block)) this.#cleanBytes -= bytes;
    else this.#heldBytes -= bytes;
    if (block.dirty) this.#dirtyBytes -= bytes;
    block.dirty = false;
    block.cells = null;
  }

  /** Gives up clean blocks; one that was asked for since it was last looked at stays for once. */
  #trim(): void {
    const { bytesMax } = this.#parts;
    const room = Math.max(bytesMax * CLEAN_PART, bytesMax - this.#heldBytes);
    for (const block of this.#clean) {
      if (this.#cleanBytes <= room) return;
      this.#clean.delete(block);
      if (block.used) {
        block.used = false;
        this.#clean.add(block);
        continue;
      }
      this.#cleanBytes -= block.cells?.byteLength ?? 0;
      block.cells = null;
    }
  }
}
