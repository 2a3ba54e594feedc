/**
 * Heart-beats of one connection (STOMP 1.1 and 1.2, "Heart-beating"): beats when this side was
 * silent for half the interval that it promised, so that no gap exceeds it, and reports the
 * client dead after twice the interval that the client promised.
 */
import type { Clock, Timer } from '../../core/clock.ts';

const TOLERANCE = 2;

export class Heartbeat {
  readonly #clock: Clock;
  #sender: Timer | null = null;
  #watcher: Timer | null = null;
  #heardAt: number;
  #wrote = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#heardAt = clock.now();
  }

  /** Something was written: it does as a beat. */
  wrote(): void {
    this.#wrote = true;
  }

  /** Something was received. */
  heard(): void {
    if (this.#watcher !== null) this.#heardAt = this.#clock.now();
  }

  /** Beats so that no silence lasts `intervalMs`. */
  send(intervalMs: number, beat: () => void): void {
    const tick = (): void => {
      if (!this.#wrote) beat();
      this.#wrote = false;
      this.#sender = this.#clock.after(intervalMs / 2, tick);
    };
    this.#sender = this.#clock.after(intervalMs / 2, tick);
  }

  /** Calls `dead` after too long a silence, unless `held`: nothing is read then. */
  watch(intervalMs: number, held: () => boolean, dead: () => void): void {
    const patienceMs = intervalMs * TOLERANCE;
    const check = (): void => {
      if (held()) this.#heardAt = this.#clock.now();
      const silentMs = this.#clock.now() - this.#heardAt;
      if (silentMs >= patienceMs) {
        dead();
        return;
      }
      this.#watcher = this.#clock.after(patienceMs - silentMs, check);
    };
    this.#heardAt = this.#clock.now();
    this.#watcher = this.#clock.after(patienceMs, check);
  }

  stop(): void {
    this.#sender?.cancel();
    this.#watcher?.cancel();
    this.#sender = null;
    this.#watcher = null;
  }
}
