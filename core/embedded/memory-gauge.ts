/**
 * Bytes of messages in memory, against one mark. Past it publishers are held; they go on when it has
 * fallen to four fifths of the mark, so that they don't flap.
 */
export class MemoryGauge {
  readonly #highBytes: number;
  #bytes = 0;
  #full = false;
  readonly #waiting = new Set<() => void>();
  readonly #changed: (full: boolean, bytes: number) => void;

  constructor(highBytes: number, changed: (full: boolean, bytes: number) => void) {
    this.#highBytes = highBytes;
    this.#changed = changed;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.#full;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (!this.#full && this.#bytes > this.#highBytes) {
      this.#full = true;
      this.#changed(true, this.#bytes);
    }
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#full && this.#bytes * 5 <= this.#highBytes * 4) {
      this.#full = false;
      this.#changed(false, this.#bytes);
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const wake of waiting) wake();
    }
  }

  /** Calls `wake` once, when there is room again. */
  onRoom(wake: () => void): void {
    this.#waiting.add(wake);
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake);
  }
}
