/**
 * Whether the broker has room for more: bytes of messages in memory against one mark, and whether
 * the store takes writes. While it has none publishers are held; they go on when the bytes have
 * fallen to four fifths of the mark, so that they don't flap.
 */
export class MemoryGauge {
  readonly #highBytes: number;
  #bytes = 0;
  #over = false;
  #blocked = false;
  readonly #waiting = new Set<() => void>();
  readonly #changed: (full: boolean, bytes: number) => void;

  constructor(highBytes: number, changed: (full: boolean, bytes: number) => void) {
    this.#highBytes = highBytes;
    this.#changed = changed;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Publishers are to be held. */
  get full(): boolean {
    return this.#over || this.#blocked;
  }

  get alarms(): readonly ('memory' | 'disk')[] {
    return [
      ...(this.#over ? ['memory' as const] : []),
      ...(this.#blocked ? ['disk' as const] : []),
    ];
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (!this.#over && this.#bytes > this.#highBytes) {
      this.#over = true;
      this.#changed(true, this.#bytes);
    }
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#over && this.#bytes * 5 <= this.#highBytes * 4) {
      this.#over = false;
      this.#changed(false, this.#bytes);
      this.#wake();
    }
  }

  /** Holds publishers for another reason, until it is called with false. */
  block(blocked: boolean): void {
    this.#blocked = blocked;
    this.#wake();
  }

  /** Calls `wake` once, when there is room again. */
  onRoom(wake: () => void): void {
    this.#waiting.add(wake);
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake);
  }

  #wake(): void {
    if (this.full) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}
