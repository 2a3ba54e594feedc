/**
 * Walks over a stream of frames that tell their length in a header, and shows each to `onFrame`.
 * Only a header, and what `onFrame` asks to see, is ever looked at or put together across chunks.
 */
export interface Framing {
  /** Total length of the frame at `offset`, or 0 where its header is not complete. */
  length(bytes: Buffer, offset: number): number;
  /** Leading bytes of a frame that `onFrame` reads. */
  readonly needed: number;
}

export class FrameCounter {
  readonly #framing: Framing;
  readonly #onFrame: (bytes: Buffer, offset: number, length: number) => void;
  #rest: Buffer | null = null;
  /** Bytes of a frame that was shown already. */
  #skip = 0;

  constructor(framing: Framing, onFrame: (bytes: Buffer, offset: number, length: number) => void) {
    this.#framing = framing;
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    let bytes = chunk;
    let offset = 0;
    if (this.#rest !== null) {
      bytes = Buffer.concat([this.#rest, chunk]);
      this.#rest = null;
    } else if (this.#skip > 0) {
      if (this.#skip >= chunk.length) {
        this.#skip -= chunk.length;
        return;
      }
      offset = this.#skip;
      this.#skip = 0;
    }
    while (offset < bytes.length) {
      const length = this.#framing.length(bytes, offset);
      const needed = Math.min(length, this.#framing.needed);
      if (length === 0 || offset + needed > bytes.length) {
        this.#rest = bytes.subarray(offset);
        return;
      }
      this.#onFrame(bytes, offset, length);
      offset += length;
    }
    this.#skip = offset - bytes.length;
  }
}
