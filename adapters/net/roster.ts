/**
 * Every connected socket of every listener: their number is limited, and at the end none is left.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';

/** A flood of refusals is one line in this time. */
const NOTICE_INTERVAL_MS = 1000;

export class Roster {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #connectionsMax: number;
  readonly #sockets = new Set<Socket>();
  #emptied: (() => void)[] = [];
  #noticeAt = Number.NEGATIVE_INFINITY;
  #unsaid = 0;

  constructor(clock: Clock, log: Log, connectionsMax: number) {
    this.#clock = clock;
    this.#log = log;
    this.#connectionsMax = connectionsMax;
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** False where there are as many as there may be. */
  admit(socket: Socket): boolean {
    if (this.#sockets.size >= this.#connectionsMax) {
      this.occasionally((times) =>
        this.#log.warn(
          { connectionsMax: this.#connectionsMax, times },
          'connection refused: limit reached',
        ),
      );
      return false;
    }
    this.#sockets.add(socket);
    socket.on('close', () => this.#gone(socket));
    return true;
  }

  /** Calls `say` at most once a second, with how often it was asked to since. */
  occasionally(say: (times: number) => void): void {
    this.#unsaid++;
    if (this.#clock.now() < this.#noticeAt + NOTICE_INTERVAL_MS) return;
    this.#noticeAt = this.#clock.now();
    say(this.#unsaid);
    this.#unsaid = 0;
  }

  /** Resolves when no socket is left. */
  empty(): Promise<void> {
    if (this.#sockets.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#emptied.push(resolve));
  }

  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #gone(socket: Socket): void {
    this.#sockets.delete(socket);
    if (this.#sockets.size > 0) return;
    for (const resolve of this.#emptied.splice(0)) resolve();
  }
}
