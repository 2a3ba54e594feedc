import type { BindingSpec, Table } from '../engine.ts';
import type { HeaderTable, Message } from '../message.ts';
import type { QueueLog } from '../store.ts';
import type { Letter, Queue, QueueContext } from './types.ts';

/** What all queues of a vhost are given alike. */
export type QueueSurroundings = Omit<QueueContext, 'effective' | 'log' | 'table'> & {
  /** A durable table. */
  table(name: string): Table | null;
};

/** What one queue is given: there may be very many, so its own things only are kept for each. */
export class QueueHome implements QueueContext {
  readonly effective: HeaderTable;
  readonly log: QueueLog | null;
  readonly #around: QueueSurroundings;

  /** `log` null: nothing of the queue outlives the process. */
  constructor(around: QueueSurroundings, effective: HeaderTable, log: QueueLog | null) {
    this.#around = around;
    this.effective = effective;
    this.log = log;
  }

  get vhost(): string {
    return this.#around.vhost;
  }

  get clock(): QueueContext['clock'] {
    return this.#around.clock;
  }

  get limits(): QueueContext['limits'] {
    return this.#around.limits;
  }

  get counters(): QueueContext['counters'] {
    return this.#around.counters;
  }

  get memory(): QueueContext['memory'] {
    return this.#around.memory;
  }

  get turn(): QueueContext['turn'] {
    return this.#around.turn;
  }

  table(name: string): Table | null {
    return this.log === null ? null : this.#around.table(name);
  }

  deadLetter(
    message: Message,
    queue: Queue,
    reason: Parameters<QueueContext['deadLetter']>[2],
    letter: Letter | null,
  ): void {
    this.#around.deadLetter(message, queue, reason, letter);
  }

  bindingsOf(message: Message, queue: Queue): readonly BindingSpec[] | null {
    return this.#around.bindingsOf(message, queue);
  }

  unwanted(queue: Queue): void {
    this.#around.unwanted(queue);
  }
}
