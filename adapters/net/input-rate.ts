/** How fast one client may send: what it sends beyond its allowance it has to wait for. */
import type { Clock } from '../../core/clock.ts';

/** Of its allowance a client may save up so much, in seconds. */
const SAVED_SECONDS = 2;

export class InputRate {
  readonly #bytesPerSecond: number;
  readonly #clock: Clock;
  /** What it may send now; negative: what it has sent too much. */
  #allowance: number;
  #at: number;

  constructor(bytesPerSecond: number, clock: Clock) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
    this.#allowance = bytesPerSecond * SAVED_SECONDS;
    this.#at = clock.now();
  }

  /** `bytes` came. Answers how long nothing more is to be read, in milliseconds; 0: go on. */
  taken(bytes: number): number {
    const now = this.#clock.now();
    const earned = (Math.max(0, now - this.#at) * this.#bytesPerSecond) / 1000;
    this.#at = now;
    const most = this.#bytesPerSecond * SAVED_SECONDS;
    this.#allowance = Math.min(most, this.#allowance + earned) - bytes;
    return this.#allowance >= 0 ? 0 : Math.ceil((-this.#allowance * 1000) / this.#bytesPerSecond);
  }
}
