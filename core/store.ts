/**
 * Where an engine keeps what must outlive the process. Writes are synchronous calls that a later
 * flush makes safe, in the order of the calls; one flush answers everybody who waits.
 */
import type { Message } from './message.ts';
import type { Table } from './table.ts';

export interface Store {
  /** As in the configuration. */
  readonly name: string;
  /** False: everything is gone with the process, and nothing is worth writing. */
  readonly durable: boolean;
  readonly definitions: Definitions;
  /**
   * The log of one durable queue; null where the store keeps no messages. The same id, the same
   * log.
   */
  queue(id: string): QueueLog | null;
  table(name: string): Table;
  /** A table of whole messages; null where the store keeps none. */
  messages(name: string): MessageTable | null;
  /** Calls `done` once everything written before is safe; never within this call. */
  flush(done: () => void): void;
  /**
   * Runs a step whose messages go on from where they are removed next: a full disk holds other new
   * messages, but not these, which would be lost with it.
   */
  onward(step: () => void): void;
  /** Calls `listener` when the store stops (an error) and goes on (null) taking writes. */
  onTrouble(listener: (error: Error | null) => void): void;
  /** Makes everything safe first. */
  close(): Promise<void>;
}

/** Damaged or unknown messages are logged and left out. */
export type MessageTable = Table<Message>;

/** Durable exchanges, queues and bindings: JSON records by kind and key. */
export interface Definitions {
  put(kind: string, key: string, record: string): void;
  delete(kind: string, key: string): void;
  entries(kind: string): Iterable<readonly [key: string, record: string]>;
}

/** One message that is read back. */
export interface Logged {
  readonly position: number;
  readonly message: Message;
  /** How often it was handed out before, as far as the log was told (`lent`). */
  readonly deliveries: number;
}

export interface ReadBack {
  readonly messages: readonly Logged[];
  /** Messages among them that are damaged and were passed over; they stay in the store. */
  readonly unreadable: number;
}

/** Messages of one queue by their position, which only grows. */
export interface QueueLog {
  /** The highest position ever used; new ones are above it. */
  readonly last: number;
  /** Messages in it. */
  readonly count: number;
  append(position: number, message: Message): void;
  remove(position: number): void;
  /**
   * The message at `position` was handed out, for the `times`-th time; and with it all before it,
   * at least once.
   */
  lent(position: number, times: number): void;
  /** Calls `done` once everything appended before is safe; never within this call. */
  flush(done: () => void): void;
  /** The next messages above `after` in order: at most `most`, and about `bytes` bytes. */
  read(after: number, most: number, bytes: number): ReadBack;
  /**
   * What is above `after`, in order, with about the bytes that each takes there. Neighbours may come
   * as one, at the position of the last, where they are no more than `most` bytes; the first does not.
   */
  sizes(after: number, most: number): Iterable<readonly [position: number, bytes: number]>;
  /** Removes every message above `after`; returns how many. */
  truncate(after: number): number;
  /** The queue is deleted. */
  drop(): void;
}
