/** A running timer; cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** The only source of time. The system's clock in production, a manual one in tests. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /**
   * Calls `callback` once, no earlier than `delayMs` milliseconds from now. Never keeps the process
   * alive.
   */
  after(delayMs: number, callback: () => void): Timer;
  /** Calls `callback` in a turn of its own, behind the input that waits already. */
  soon(callback: () => void): void;
}

/** setTimeout's own limit; a longer delay is taken in steps. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/** The machine's clock. */
export class SystemClock implements Clock {
  now(): number {
    return Date.now();
  }

  after(delayMs: number, callback: () => void): Timer {
    let handle: NodeJS.Timeout;
    const arm = (leftMs: number): void => {
      const step = Math.min(leftMs, LONGEST_DELAY_MS);
      handle = setTimeout(() => (leftMs > step ? arm(leftMs - step) : callback()), step);
      handle.unref();
    };
    arm(Math.max(0, delayMs));
    return { cancel: () => clearTimeout(handle) };
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }
}
