/**
 * What waits in a queue, oldest first, with only so much of it in memory:
 *
 *     first ─▶ [ entries in memory ] ─▶ [ stored: in the log only ] ─▶ newest
 *                                   ▲ #loadedTo
 *
 * Without a log everything is in memory, and so it is with priorities, which ask about every
 * message. Else what comes beyond the window stays in the log until its turn is near, and comes
 * back in batches. A message that is not durable goes through the log in the same
 * way, and is forgotten by a restart.
 */
import assert from 'node:assert/strict';
import type { ConsumeSpec } from '../../engine.ts';
import type { Message } from '../../message.ts';
import type { QueueLog } from '../../store.ts';
import type { MemoryGauge } from '../memory-gauge.ts';
import { Aside, compareEntries, type Lot } from './aside.ts';
import { Entry, type Home } from './entry.ts';
import { ReadyList } from './ready-list.ts';

/** Entries in memory below which more are read, and how many at a time. */
const LOW_ENTRIES = 256;
const BATCH_ENTRIES = 1024;
/** What an entry counts in memory beside its message, when it came back from the log. */
const ENTRY_BYTES = 128;

export interface BacklogParts {
  readonly home: Home;
  /** As of `ReadyList`. */
  readonly maxPriority: number;
  readonly log: QueueLog | null;
  readonly memory: MemoryGauge;
  /** Bytes in memory beyond which messages stay in the log. */
  readonly windowBytes: number;
  /** Entries that consumers with filters may pass over. */
  readonly passedMax: number;
  expiryOf(message: Message, position: number): number;
  /** What is at this place in the log is not in the queue any more. */
  isDead(position: number): boolean;
}

export class Backlog {
  readonly #parts: BacklogParts;
  readonly #ready: ReadyList;
  readonly #log: QueueLog | null;
  readonly #pages: boolean;
  /** What consumers with filters passed over; mostly empty. */
  readonly #aside: Aside;
  #loadedTo = 0;
  #stored: number;
  #bodyBytes = 0;
  /** Of bodies that are stored; -1: not known, nobody asked yet. */
  #storedBytes: number;
  #charged = 0;

  constructor(parts: BacklogParts) {
    const { maxPriority, log } = parts;
    this.#parts = parts;
    this.#ready = new ReadyList(maxPriority);
    this.#aside = new Aside(maxPriority);
    this.#log = log;
    this.#pages = maxPriority === 0;
    this.#stored = log?.count ?? 0;
    this.#storedBytes = this.#stored === 0 ? 0 : -1;
  }

  /** Takes over what the log holds from before, as far as it is to be in memory; `dead` are not. */
  recover(dead: number): void {
    this.#stored -= dead;
    while (!this.#pages && this.#stored > 0) this.#load();
  }

  /** From now on `bodyBytes` counts what is not in memory too. */
  measure(): void {
    if (this.#storedBytes !== -1 || this.#log === null) return;
    let bytes = 0;
    for (let after = this.#loadedTo; ; ) {
      const { messages } = this.#log.read(after, BATCH_ENTRIES, this.#parts.windowBytes);
      const last = messages.at(-1);
      if (last === undefined) break;
      for (const { position, message } of messages) {
        if (!this.#parts.isDead(position)) bytes += message.body.length;
      }
      after = last.position;
    }
    this.#storedBytes = bytes;
  }

  get length(): number {
    return this.#ready.length + this.#aside.length + this.#stored;
  }

  /** Bytes of bodies; of those in memory only, unless `measure` was called. */
  get bodyBytes(): number {
    return this.#bodyBytes + Math.max(0, this.#storedBytes);
  }

  /** Bytes that waiting and lent entries count in memory. */
  get charged(): number {
    return this.#charged;
  }

  /** A new entry counts in memory, wherever it goes. */
  charge(entry: Entry): void {
    this.#charged += entry.charge;
    this.#parts.memory.add(entry.charge);
  }

  /** An entry that is gone no longer does. */
  discharge(entry: Entry): void {
    this.#charged -= entry.charge;
    this.#parts.memory.remove(entry.charge);
  }

  /** Nothing counts any more: the queue is closed. */
  dischargeAll(): void {
    this.#parts.memory.remove(this.#charged);
    this.#charged = 0;
  }

  /** Adds the newest. */
  push(entry: Entry): void {
    const log = this.#log;
    const beyond = this.#stored > 0 || this.#charged > this.#parts.windowBytes;
    if (log === null || !this.#pages || !beyond) {
      this.#ready.push(entry);
      this.#bodyBytes += entry.message.body.length;
      this.#loadedTo = entry.position;
      return;
    }
    if (!entry.logged) log.append(entry.position, entry.message);
    this.discharge(entry);
    this.#stored++;
    if (this.#storedBytes !== -1) this.#storedBytes += entry.message.body.length;
  }

  /**
   * A new entry went past what waits, which is nothing, to a consumer: it is not to be read from
   * the log.
   */
  pass(entry: Entry): void {
    this.#loadedTo = entry.position;
  }

  /** Puts an entry back at its place. */
  insert(entry: Entry): void {
    this.#ready.insert(entry);
    this.#bodyBytes += entry.message.body.length;
  }

  /** Those in memory, in no order. */
  *entries(): Iterable<Entry> {
    yield* this.#ready.entries();
    yield* this.#aside.entries();
  }

  /** The oldest of those that are not. */
  stored(most: number): readonly Message[] {
    if (most <= 0 || this.#stored === 0 || this.#log === null) return [];
    const { messages } = this.#log.read(this.#loadedTo, most, this.#parts.windowBytes);
    const alive = messages.filter(({ position }) => !this.#parts.isDead(position));
    return alive.map(({ message }) => message);
  }

  first(): Entry | undefined {
    const fresh = this.fresh();
    if (this.#aside.length === 0) return fresh;
    const passed = this.#aside.first();
    return passed === undefined || this.#isBefore(fresh, passed) ? fresh : passed;
  }

  shift(): Entry | undefined {
    if (this.#aside.length > 0 && this.first() !== this.fresh())
      return this.#taken(this.#aside.shift());
    return this.shiftFresh();
  }

  /**
   * When the first is too old, as `Entry.expiresAt` has it: found out without taking what is stored
   * into memory. For a queue that has just come back, and may stay unused.
   */
  firstExpiry(): number {
    if (this.#ready.length > 0 || this.#stored === 0 || this.#log === null) {
      return this.first()?.expiresAt ?? 0;
    }
    const [first] = this.#log.read(this.#loadedTo, 1, 1).messages;
    if (first === undefined || this.#parts.isDead(first.position)) {
      return this.first()?.expiresAt ?? 0;
    }
    return this.#parts.expiryOf(first.message, first.position);
  }

  /** The first that nobody passed over. */
  fresh(): Entry | undefined {
    if (this.#ready.length === 0 && this.#stored > 0) this.#load();
    return this.#ready.first();
  }

  shiftFresh(): Entry | undefined {
    if (this.#stored > 0 && this.#ready.length < LOW_ENTRIES) this.#load();
    return this.#taken(this.#ready.shift());
  }

  /** The first that a full queue gives up. */
  shiftLowest(): Entry | undefined {
    if (this.#aside.length > 0 && this.#parts.maxPriority === 0) return this.shift();
    this.restore();
    if (this.#stored > 0 && this.#ready.length < LOW_ENTRIES) this.#load();
    return this.#taken(this.#ready.shiftLowest());
  }

  /** What was passed over by the filters that take it, in order, as far as it is before `fresh`. */
  lotsBefore(fresh: Entry | undefined): readonly Lot[] {
    if (this.#aside.length === 0) return [];
    const lots = this.#aside.inOrder();
    return fresh === undefined
      ? lots
      : lots.filter(({ entries }) => !this.#isBefore(fresh, entries.first()));
  }

  shiftFrom(lot: Lot): Entry | undefined {
    return this.#taken(this.#aside.shift(lot));
  }

  /** Passes over the first fresh entry. False: as much as may be is passed over already. */
  passOver(filters: readonly ConsumeSpec['filter'][]): boolean {
    const { passedMax, windowBytes } = this.#parts;
    const { length, charge, full } = this.#aside;
    // What is read from the log to be passed over is in memory.
    if (full || length >= passedMax || (this.#pages && charge > windowBytes)) return false;
    const entry = this.shiftFresh();
    if (entry === undefined) return false;
    this.#bodyBytes += entry.message.body.length;
    this.#aside.add(entry, filters);
    return true;
  }

  /** Everything that was passed over is fresh again: consumers have changed. */
  restore(): void {
    if (this.#aside.length === 0) return;
    for (const entry of this.#aside.drain()) this.#ready.insert(entry);
  }

  #isBefore(one: Entry | undefined, other: Entry | undefined): boolean {
    if (one === undefined || other === undefined) return one !== undefined;
    return compareEntries(one, other, this.#parts.maxPriority) < 0;
  }

  /** Drops what is not in memory; returns how many. */
  dropStored(): number {
    const dropped = this.#stored;
    if (dropped > 0) this.#log?.truncate(this.#loadedTo);
    this.#stored = 0;
    this.#storedBytes = 0;
    return dropped;
  }

  #taken(entry: Entry | undefined): Entry | undefined {
    if (entry !== undefined) this.#bodyBytes -= entry.message.body.length;
    return entry;
  }

  #load(): void {
    const { home, windowBytes, expiryOf, isDead } = this.#parts;
    assert(this.#log !== null, 'what is stored is in a log');
    // However small the window is, one message has to come.
    const back = this.#log.read(this.#loadedTo, BATCH_ENTRIES, Math.max(1, windowBytes));
    let taken = 0;
    for (const { position, message, deliveries } of back.messages) {
      this.#loadedTo = position;
      if (isDead(position)) continue;
      taken++;
      const charge = ENTRY_BYTES + message.size;
      const entry = new Entry(
        message,
        home,
        position,
        deliveries,
        undefined,
        expiryOf(message, position),
        charge,
      );
      entry.logged = true;
      this.charge(entry);
      this.#ready.push(entry);
      this.#bodyBytes += message.body.length;
      if (this.#storedBytes !== -1) this.#storedBytes -= message.body.length;
    }
    this.#stored -= taken + back.unreadable;
    // A damaged message at the end of what is there would else be waited for.
    if (back.messages.length === 0) this.#stored = 0;
    if (this.#stored === 0) this.#storedBytes = 0;
    else if (taken === 0) this.#load();
  }
}
