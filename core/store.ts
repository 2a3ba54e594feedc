/**
 * Where an engine keeps what must outlive the process. Writes are synchronous calls that a later flush
 * makes safe; one flush answers everybody who waits.
 */
import type { Table } from './engine.ts';
import type { Message } from './message.ts';

export interface Store {
  /** As in the configuration. */
  readonly name: string;
  /** False: everything is gone with the process, and nothing is worth writing. */
  readonly durable: boolean;
  readonly definitions: Definitions;
  /** The log of one durable queue; null where the store keeps no messages. */
  queue(id: string): QueueLog | null;
  table(name: string): Table;
  close(): Promise<void>;
}

/** Durable exchanges, queues and bindings: JSON records by kind and key. */
export interface Definitions {
  put(kind: string, key: string, record: string): void;
  delete(kind: string, key: string): void;
  entries(kind: string): Iterable<readonly [key: string, record: string]>;
}

/** Messages of one queue by their position, which only grows. */
export interface QueueLog {
  append(position: number, message: Message): void;
  remove(position: number): void;
  /** Calls `done` once everything appended before is safe (null) or lost; never within this call. */
  flush(done: (error: Error | null) => void): void;
  /** What a former process left, in order of position. */
  recover(): Iterable<readonly [position: number, message: Message]>;
  /** The queue is deleted. */
  drop(): void;
}
