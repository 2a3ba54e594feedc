/**
 * Bytes on their way to one socket. Codecs write straight into it, so that a frame costs no
 * allocation; what gathered in a turn leaves in one write. A block is taken on the first byte and
 * given up when it leaves: an idle connection has none.
 *
 * The first block of a turn is cut from a slab that all outputs share, about as large as the last
 * turn needed: a fan-out of small frames to a thousand sockets touches kilobytes, not a block each.
 * Further blocks of the same turn are an output's own, so that one slow reader pins no more than
 * one slab.
 */
const SLAB_BYTES = 64 * 1024;
const BLOCK_BYTES = 16 * 1024;
/** What a first block has at least. */
const FIRST_BYTES = 512;
/** From here on a chunk is passed on as it is rather than copied. */
const PASS_BYTES = 4096;
/** More than this in one turn is worth a write of its own; each wakes the reader. */
const GATHERED_BYTES = 256 * 1024;
const EMPTY = Buffer.alloc(0);

let slab = EMPTY;
let slabUsed = 0;

const nothing = (): void => {};

export class Output {
  /** Valid from `offset` on after `reserve`. */
  buffer: Buffer = EMPTY;
  offset = 0;
  /** Where in `buffer` the bytes begin that are not a piece yet. */
  #start = 0;
  /** Whole pieces before what is in `buffer`. */
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Bytes of the turn before: what the next first block is sized by. */
  #expected = 0;
  #quiet = true;
  readonly #touched: () => void;
  readonly #gathered: () => void;

  /**
   * `touched` is called for the first byte after each `take`; `gathered`, between two frames'
   * parts, while more than 256 KiB wait: it may `take` them.
   */
  constructor(touched: () => void, gathered: () => void = nothing) {
    this.#touched = touched;
    this.#gathered = gathered;
  }

  /** Bytes that wait here. */
  get length(): number {
    return this.#bytes + this.offset - this.#start;
  }

  /** Makes room for `size` bytes at `buffer[offset]`. */
  reserve(size: number): void {
    if (this.#quiet) this.#touch();
    if (this.offset + size > this.buffer.length) this.#turn(size);
  }

  /** Adds a chunk. A large one is passed on uncopied: it must not be changed afterwards. */
  write(chunk: Buffer): void {
    if (this.#quiet) this.#touch();
    if (chunk.length >= PASS_BYTES) {
      this.#close();
      this.#pieces.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes > GATHERED_BYTES) this.#gathered();
      return;
    }
    if (this.offset + chunk.length > this.buffer.length) this.#turn(chunk.length);
    this.buffer.set(chunk, this.offset);
    this.offset += chunk.length;
  }

  /** Adds text as UTF-8. */
  text(text: string): void {
    // Three bytes are the most that one UTF-16 unit takes.
    if (text.length * 3 >= PASS_BYTES) {
      this.write(Buffer.from(text));
      return;
    }
    this.reserve(text.length * 3);
    this.offset += this.buffer.write(text, this.offset, 'utf8');
  }

  /** Everything that waits, in order, which then no longer waits here. */
  take(): Buffer[] {
    this.#close();
    const pieces = this.#pieces;
    this.#expected = this.#bytes;
    this.#pieces = [];
    this.#bytes = 0;
    giveBack(this.buffer, this.offset);
    this.buffer = EMPTY;
    this.offset = 0;
    this.#start = 0;
    this.#quiet = true;
    return pieces;
  }

  #touch(): void {
    this.#quiet = false;
    this.#touched();
  }

  /** The filled part of the block becomes a piece; the rest of the block goes on being filled. */
  #close(): void {
    if (this.offset === this.#start) return;
    this.#pieces.push(this.buffer.subarray(this.#start, this.offset));
    this.#bytes += this.offset - this.#start;
    this.#start = this.offset;
  }

  #turn(size: number): void {
    this.#close();
    if (this.#bytes > GATHERED_BYTES) {
      this.#gathered();
      if (this.#quiet) this.#touch();
    }
    this.buffer = this.#block(size);
    this.offset = 0;
    this.#start = 0;
  }

  #block(size: number): Buffer {
    if (size > BLOCK_BYTES || this.#pieces.length > 0) {
      return Buffer.allocUnsafeSlow(Math.max(size, BLOCK_BYTES));
    }
    return lease(Math.max(size, Math.min(BLOCK_BYTES, Math.max(FIRST_BYTES, this.#expected * 2))));
  }
}

/**
 * A part of the shared slab. Its bounds are the lessee's: nobody can write into a neighbour's
 * bytes.
 */
function lease(size: number): Buffer {
  if (slabUsed + size > slab.length) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    slabUsed = 0;
  }
  slabUsed += size;
  return slab.subarray(slabUsed - size, slabUsed);
}

/** What the last lessee did not fill is leased again. */
function giveBack(block: Buffer, used: number): void {
  if (block.buffer === slab.buffer && block.byteOffset + block.length === slabUsed) {
    slabUsed = block.byteOffset + used;
  }
}
