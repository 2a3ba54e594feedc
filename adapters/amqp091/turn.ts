/**
 * A connection's turns: a piece of input and everything that comes of it. Time stands still within
 * one, what can be told together is told at its end, and an answer that must be awaited stops the
 * input.
 */
import type { Clock } from '../../core/clock.ts';
import type { Eventually } from '../../core/engine.ts';
import { after, isPending } from '../../core/eventually.ts';
import type { Transport } from '../adapter.ts';

export interface TurnHost {
  readonly clock: Clock;
  readonly transport: Transport;
  /** The input goes on: what had arrived is to be taken now. */
  resume(): void;
  /** Something that must not be thrown was thrown. */
  broken(error: unknown): void;
}

export class Turn {
  readonly #host: TurnHost;
  #active = false;
  #now = 0;
  #tasks: (() => void)[] = [];
  #scheduled = false;
  #awaited = 0;
  readonly #flush = (): void => {
    this.#scheduled = false;
    this.run(() => {});
  };

  constructor(host: TurnHost) {
    this.#host = host;
  }

  get now(): number {
    return this.#active ? this.#now : this.#host.clock.now();
  }

  /** An answer is awaited: no frame may be handled. */
  get stalled(): boolean {
    return this.#awaited > 0;
  }

  /** Does not throw. */
  run(work: () => void): void {
    if (this.#active) {
      work();
      return;
    }
    this.#active = true;
    this.#now = this.#host.clock.now();
    try {
      work();
      this.#runTasks();
    } catch (error) {
      this.#host.broken(error);
    }
    this.#active = false;
    this.cut();
  }

  atEnd(task: () => void): void {
    this.#tasks.push(task);
    if (this.#active || this.#scheduled) return;
    this.#scheduled = true;
    this.#host.clock.soon(this.#flush);
  }

  ask<T>(
    call: () => Eventually<T>,
    done: (value: T) => void,
    failed: (error: unknown) => void,
  ): void {
    const answer = after(
      call,
      (value) => this.run(() => done(value)),
      (error) => this.run(() => failed(error)),
    );
    if (!isPending(answer)) return;
    this.#awaited++;
    this.#host.transport.hold();
    answer.then(this.#answered, (error) => {
      this.#host.broken(error);
      this.#answered();
    });
  }

  /** One WebSocket message holds what was written until now. */
  cut(): void {
    const { transport } = this.#host;
    if (transport.framed && transport.output.length > 0) transport.cut();
  }

  readonly #answered = (): void => {
    this.#awaited--;
    this.#host.transport.release();
    if (this.#awaited === 0) this.run(() => this.#host.resume());
  };

  #runTasks(): void {
    // A task may call for another.
    for (let next = this.#tasks.shift(); next !== undefined; next = this.#tasks.shift()) next();
  }
}
