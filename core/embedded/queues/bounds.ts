/** How much a queue may keep (`x-max-length`, `x-max-length-bytes`), and what gives beyond it. */
import type { QueueOptions } from './arguments.ts';
import type { Backlog } from './backlog.ts';
import type { Entry } from './entry.ts';
import type { Graves } from './graves.ts';

export class Bounds {
  readonly #ready: Backlog;
  #options: QueueOptions;

  constructor(options: QueueOptions, ready: Backlog) {
    this.#options = options;
    this.#ready = ready;
  }

  apply(options: QueueOptions): void {
    this.#options = options;
  }

  /** Whether a message with a body of so many bytes is refused; what is kept in graves counts. */
  refuses(bodyBytes: number, graves: Graves | null): boolean {
    const { maxLength, maxBytes, overflow } = this.#options;
    if (overflow === 'drop-head') return false;
    const dead = graves?.length ?? 0;
    if (maxLength !== -1 && this.#ready.length + dead >= maxLength) return true;
    const deadBytes = graves?.bodyBytes ?? 0;
    return maxBytes !== -1 && this.#ready.bodyBytes + deadBytes + bodyBytes > maxBytes;
  }

  /** Takes the first that gives way, if there are too many. */
  surplus(): Entry | undefined {
    const { maxLength, maxBytes, overflow } = this.#options;
    if (overflow !== 'drop-head') return undefined;
    const over =
      (maxLength !== -1 && this.#ready.length > maxLength) ||
      (maxBytes !== -1 && this.#ready.bodyBytes > maxBytes);
    return over ? this.#ready.shiftLowest() : undefined;
  }
}
