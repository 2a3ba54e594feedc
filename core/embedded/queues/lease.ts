/**
 * How long a queue may be unused (`x-expires`), across restarts: what was used up of it is written
 * down in steps, so that a restart does not make a forgotten queue young again. While the gateway
 * is down nobody can use the queue, and nothing of it is used up.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { Table } from '../../engine.ts';

/** In so many steps it is written down, and so much may come back after a crash. */
const STEPS = 8;
/** A shorter time is not worth writing down. */
const STEP_MS_MIN = 10_000;

export interface LeaseParts {
  /** 0: for ever. */
  readonly expiresMs: number;
  readonly clock: Clock;
  /** Milliseconds used up, by queue; null where nothing survives the process. */
  used(): Table | null;
  readonly key: string;
  expired(): void;
}

export class Lease {
  readonly #parts: LeaseParts;
  /** Undefined: nobody asked for it; a queue that is for ever has no use for it. */
  #used: Table | null | undefined;
  #expiresMs: number;
  #timer: Timer | null = null;
  /** Used up before `#since`. */
  #usedMs: number;
  #since = 0;
  #written: boolean;

  /** What was used up before a restart counts. It runs from `run` on. */
  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#expiresMs = parts.expiresMs;
    const used = parts.expiresMs === 0 ? null : (this.#table?.get(parts.key) ?? null);
    this.#written = used !== null;
    this.#usedMs = used === null ? 0 : Math.min(Number(used.toString()), parts.expiresMs);
  }

  /** Nobody consumes: it runs. */
  run(): void {
    if (this.#expiresMs === 0) return;
    this.#timer?.cancel();
    this.#since = this.#parts.clock.now();
    this.#step();
  }

  /** Somebody looked: it begins anew. */
  renew(): void {
    if (this.#expiresMs === 0) return;
    this.#forget();
    this.run();
  }

  /** Another time begins anew, where it is `running`; 0: for ever. */
  apply(expiresMs: number, running: boolean): void {
    if (expiresMs === this.#expiresMs) return;
    this.hold();
    this.#expiresMs = expiresMs;
    if (running) this.run();
  }

  /** Somebody consumes: it does not run, and begins anew later. */
  hold(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#forget();
  }

  /** The queue is deleted (`deleting`), or the engine stops. */
  close(deleting: boolean): void {
    const running = this.#timer !== null;
    this.#timer?.cancel();
    this.#timer = null;
    if (deleting) this.#forget();
    else if (running) this.#write();
  }

  get #table(): Table | null {
    if (this.#used === undefined) this.#used = this.#parts.used();
    return this.#used;
  }

  #step(): void {
    const { clock, expired } = this.#parts;
    const left = this.#expiresMs - this.#usedMs;
    const part = this.#table === null ? left : Math.max(STEP_MS_MIN, this.#expiresMs / STEPS);
    this.#timer = clock.after(Math.min(left, part), () => {
      this.#timer = null;
      if (part >= left) {
        expired();
        return;
      }
      this.#write();
      this.#step();
    });
  }

  /** Notes what is used up by now. */
  #write(): void {
    const { clock, key } = this.#parts;
    const now = clock.now();
    this.#usedMs += Math.max(0, now - this.#since);
    this.#since = now;
    if (this.#table === null) return;
    this.#table.set(key, Buffer.from(String(this.#usedMs)));
    this.#written = true;
  }

  #forget(): void {
    this.#usedMs = 0;
    if (this.#written) this.#table?.delete(this.#parts.key);
    this.#written = false;
  }
}
