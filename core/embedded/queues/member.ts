import assert from 'node:assert/strict';
import type { Consumer, ConsumeSpec, Subscription } from '../../engine.ts';
import type { Message } from '../../message.ts';
import type { Owner } from '../owner.ts';
import type { Entry } from './entry.ts';

/** What a member tells its queue. */
export interface MemberEvents {
  resumed(): void;
  cancelled(member: Member): void;
}

/**
 * One consumer of one queue, with the deliveries that it holds: a doubly linked list through the
 * entries.
 */
export class Member implements Subscription {
  readonly spec: ConsumeSpec;
  readonly consumer: Consumer;
  readonly owner: Owner;
  timeoutMs?: number;
  /** What it wants; undefined: everything. One that heeds groups has one of its own. */
  readonly filter: ConsumeSpec['filter'];
  readonly #events: MemberEvents;
  #paused = false;
  #cancelled = false;
  #first: Entry | null = null;
  #last: Entry | null = null;

  constructor(spec: ConsumeSpec, consumer: Consumer, owner: Owner, events: MemberEvents) {
    this.spec = spec;
    this.consumer = consumer;
    this.owner = owner;
    this.filter = spec.filter ?? (spec.groupOf === undefined ? undefined : () => true);
    this.#events = events;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get idle(): boolean {
    return this.#first === null;
  }

  /** Whether every window that a delivery needs has room. */
  get hasCredit(): boolean {
    for (const credit of this.spec.credits) if (!credit.available) return false;
    return true;
  }

  /** Whether it wants the message. */
  takes(message: Message): boolean {
    return this.filter === undefined || this.filter(message);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#events.resumed();
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#events.cancelled(this);
  }

  /** Whether `cancel` was called; the member stays while it holds deliveries. */
  get isCancelled(): boolean {
    return this.#cancelled;
  }

  hold(entry: Entry): void {
    assert(entry.member === null, 'an entry has one holder');
    entry.member = this;
    entry.previous = this.#last;
    if (this.#last === null) this.#first = entry;
    else this.#last.next = entry;
    this.#last = entry;
    for (const credit of this.spec.credits) credit.take();
  }

  /** Takes an entry out of the list; its credit is given back by `giveCredit`. */
  drop(entry: Entry): void {
    assert(entry.member === this, 'only the holder drops an entry');
    if (entry.previous === null) this.#first = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next === null) this.#last = entry.previous;
    else entry.next.previous = entry.previous;
    entry.member = null;
    entry.previous = null;
    entry.next = null;
  }

  giveCredit(): void {
    for (const credit of this.spec.credits) credit.give();
  }

  /** Everything it holds, in the order of delivery. */
  held(): Entry[] {
    const entries: Entry[] = [];
    for (let entry = this.#first; entry !== null; entry = entry.next) entries.push(entry);
    return entries;
  }
}
