/**
 * Bytes on their way to one socket. Codecs write straight into it, so that a frame costs no allocation;
 * what gathered in a turn leaves in one write. The block is taken on the first byte and given up when it
 * leaves: an idle connection has none.
 */
const BLOCK_BYTES = 16 * 1024;
/** From here on a chunk is passed on as it is rather than copied. */
const PASS_BYTES = 4096;
const EMPTY = Buffer.alloc(0);

export class Output {
  /** Valid from `offset` on after `reserve`. */
  buffer: Buffer = EMPTY;
  offset = 0;
  /** Whole pieces before what is in `buffer`. */
  #pieces: Buffer[] = [];
  #bytes = 0;
  readonly #touched: () => void;
  #quiet = true;

  /** `touched` is called for the first byte after each `take`. */
  constructor(touched: () => void) {
    this.#touched = touched;
  }

  /** Bytes that wait here. */
  get length(): number {
    return this.#bytes + this.offset;
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
    this.#pieces = [];
    this.#bytes = 0;
    this.buffer = EMPTY;
    this.#quiet = true;
    return pieces;
  }

  #touch(): void {
    this.#quiet = false;
    this.#touched();
  }

  /** The filled part of the block becomes a piece; the rest of the block goes on being filled. */
  #close(): void {
    if (this.offset === 0) return;
    this.#pieces.push(this.buffer.subarray(0, this.offset));
    this.#bytes += this.offset;
    this.buffer = this.buffer.subarray(this.offset);
    this.offset = 0;
  }

  #turn(size: number): void {
    this.#close();
    this.buffer = Buffer.allocUnsafeSlow(Math.max(size, BLOCK_BYTES));
  }
}
