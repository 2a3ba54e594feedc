/** What an exchange type and a queue type are: small objects registered by name. */
import type { Clock } from '../clock.ts';
import type {
  BindingSpec,
  Consumer,
  ConsumeSpec,
  ExchangeSpec,
  Outcome,
  Pulled,
  QueueSpec,
  StreamGroupView,
  Subscription,
  Table,
} from '../engine.ts';
import type { Limits } from '../limits.ts';
import type { Death, HeaderTable, Message } from '../message.ts';
import type { CoreCounters } from '../meter.ts';
import type { Random } from '../random.ts';
import type { Registry } from '../registry.ts';
import type { MessageTable, QueueLog } from '../store.ts';
import type { Binding } from './binding.ts';
import type { Matches } from './matches.ts';
import type { MemoryGauge } from './memory-gauge.ts';
import type { Owner } from './owner.ts';
import type { Turn } from './turn.ts';

export interface ExchangeType {
  readonly name: string;
  /** Throws `precondition-failed` for arguments it cannot work with. */
  create(spec: ExchangeSpec, context: RouterContext): Router;
}

/** What an exchange's router is given by its vhost. */
export interface RouterContext {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: Random;
  readonly memory: MemoryGauge;
  /** A table of the exchange's own, which lasts as the exchange does; null: it would not last. */
  table(spec: ExchangeSpec, name: string): Table | null;
  readonly exchangeTypes: Registry<ExchangeType>;
  /** Where an exchange remembers messages across restarts; null: it does not. */
  history(spec: ExchangeSpec): MessageTable | null;
  /** Where messages wait that go on from the exchange when they are due. */
  waitingRoom(spec: ExchangeSpec): WaitingPlace;
}

/** Owns one exchange's index of bindings, and nothing else. */
export interface Router {
  /** Throws `precondition-failed` for a binding that its type has no meaning for. */
  add(binding: Binding): void;
  remove(binding: Binding): void;
  /** Calls `matches.add` for every binding that takes a message published under `routingKey`. */
  route(message: Message, routingKey: string, matches: Matches): void;
  /** Messages that a new binding is to get first, oldest first. */
  readonly history?: readonly Message[];
  /** A message came by; after `route`, which may be asked again about one that came before. */
  passed?(message: Message): void;
  /** The exchange is deleted (`deleting`), or the engine stops. */
  close?(deleting: boolean): void;
}

export interface QueueType {
  readonly name: string;
  /** Arguments that it knows; one that only other types know is refused, others are ignored. */
  readonly accepts: readonly string[];
  /** Throws `precondition-failed` for a declaration that is well formed, but has no meaning. */
  check?(spec: QueueSpec, vhost: string): void;
  /** Its queues are named by who declares them. */
  readonly namedOnly?: boolean;
  create(spec: QueueSpec, context: QueueContext): Queue;
}

/** What a queue is given by its vhost. */
export interface QueueContext {
  readonly vhost: string;
  /** What counts when it begins: the arguments that it was declared with, and policies. */
  readonly effective: HeaderTable;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly counters: CoreCounters;
  readonly memory: MemoryGauge;
  /** Null: messages are kept in memory only. */
  readonly log: QueueLog | null;
  /** A table for what must outlive the process beside messages; null where nothing does. */
  table(name: string): Table | null;
  /**
   * A message that the queue is done with for another reason than an acknowledgement; with a
   * `letter` as soon as that has arrived.
   */
  deadLetter(message: Message, queue: Queue, reason: Death['reason'], letter: Letter | null): void;
  /** Which bindings of the queue a message matches that came back from the log. */
  bindingsOf(message: Message, queue: Queue): readonly BindingSpec[] | null;
  /** Whether handing out waits for a step of several settlements. */
  readonly turn: Turn;
  /** The queue has decided to be deleted (auto-delete, expiry). */
  unwanted(queue: Queue): void;
}

/** What a queue answers to a publish. */
export const Taken = {
  /** Taken, as safe as it will be. */
  DONE: 0,
  /** Taken; the receipt tells when it is safe. */
  PENDING: 1,
  /** Not taken: the publisher is told so. */
  REFUSED: 2,
  /** Not taken, and nobody asked for more (at most once). */
  DROPPED: 3,
} as const;
export type Taken = (typeof Taken)[keyof typeof Taken];

/** Told once for each publish that was PENDING, never during it. */
export interface Receipt {
  safe(): void;
}

/** Where a route ends. */
export interface Destination {
  readonly spec: { readonly name: string };
  /** Stamp of the last publish that matched, and its place there: cheap de-duplication. */
  mark: number;
  markIndex: number;
  /** Wants to know which bindings matched. */
  readonly tracksBindings: boolean;
  /** Messages wait while a consumer's socket cannot take more: publishers are to be slowed. */
  readonly slow: boolean;
  /** `charge` is what the message counts in memory here. */
  publish(
    message: Message,
    receipt: Receipt | null,
    bindings: readonly BindingSpec[] | null,
    charge: number,
  ): Taken;
}

/** A destination that keeps messages for a time, and then sends them on. */
export interface WaitingPlace extends Destination {
  /** Messages that wait. */
  readonly length: number;
  /** Nothing leaves any more; with `deleting` what waits is gone. */
  close(deleting: boolean): void;
}

/** Where a queue sends what it gives up. */
export interface DeadLetters {
  readonly exchange: string;
  /** Null: the message keeps its own keys. */
  readonly routingKey: string | null;
}

/** A dead letter that its queue keeps until it has arrived everywhere. */
export interface Letter {
  /** Queues that have it, safely. */
  readonly arrived: Set<string>;
  /** Told once for each attempt. False: it is to be tried again. */
  tried(everywhere: boolean): void;
}

export interface Queue extends Destination {
  readonly spec: QueueSpec;
  readonly type: string;
  /** Null: nowhere. */
  readonly deadLetters: DeadLetters | null;
  readonly ready: number;
  readonly unacknowledged: number;
  readonly consumers: number;
  readonly bytes: number;
  /** Of a stream. */
  readonly groups?: readonly StreamGroupView[];
  /** Throws `access-refused` where another consumes exclusively. */
  consume(spec: ConsumeSpec, consumer: Consumer, owner: Owner): Subscription;
  get(acknowledge: boolean, owner: Owner): Pulled | null;
  /** What is in it, lent or waiting. */
  browse?(): readonly Message[];
  /** Somebody looked at it: its expiry starts anew. */
  touch(): void;
  purge(): number;
  /**
   * Its settings are these from now on: the arguments that it was declared with, and what stands in
   * for them. What only a declaration decides (priorities, single active consumer) stays. Throws
   * `precondition-failed` for a value that cannot be; then nothing has changed.
   */
  apply(effective: HeaderTable): void;
  /** Hands `owner` nothing more. Called for all its queues before any is told to `release`. */
  leave(owner: Owner): void;
  /** Gives back what `owner` holds, and forgets it. Called once when a session ends. */
  release(owner: Owner): void;
  /** Deleted or shut down: consumers are told (`deleting`), nothing moves any more. */
  close(deleting: boolean): void;
}

export interface Settler {
  settle(outcome: Outcome): void;
}
