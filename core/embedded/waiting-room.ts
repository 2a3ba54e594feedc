/**
 * Messages that wait for their time, on disk where there is a log: in memory is only when each is
 * due, and one timer for the earliest. A confirm means the same as for a queue.
 *
 *   publish ─▶ [ log, or memory ] ── due ─▶ release ─▶ out of the log, behind what release wrote
 *
 * So a message that was on its way when the process died waits again, and none is lost. After a
 * restart the log is read through in turns of their own, and what fell due meanwhile goes on at
 * once.
 */
import type { Clock, Timer } from '../clock.ts';
import type { BindingSpec } from '../engine.ts';
import { plain } from '../envelope.ts';
import { DELAY_HEADER, header, type Message } from '../message.ts';
import { due } from '../schedule.ts';
import type { QueueLog } from '../store.ts';
import { DueHeap } from './due-heap.ts';
import type { MemoryGauge } from './memory-gauge.ts';
import { type Receipt, Taken, type WaitingPlace } from './types.ts';

export interface WaitingRoomParts {
  /** What it waits before, for the log. */
  readonly name: string;
  readonly clock: Clock;
  readonly memory: MemoryGauge;
  /** Null: messages are kept in memory. */
  readonly log: QueueLog | null;
  /** Messages at most. */
  readonly most: number;
  /** Messages released in one turn. */
  readonly batch: number;
  /** Runs a step that puts elsewhere what is removed here next. */
  onward(step: () => void): void;
  /** Its time has come. `message` still has the delay in its trail. */
  release(message: Message): void;
  /** Nothing waits here any more. */
  closed(): void;
}

/** What is read at a time after a restart. */
const READ_MESSAGES = 1024;
const READ_BYTES = 4 * 1024 * 1024;

export class WaitingRoom implements WaitingPlace {
  readonly spec: { readonly name: string };
  readonly tracksBindings = false;
  readonly slow = false;
  mark = 0;
  markIndex = 0;
  readonly #parts: WaitingRoomParts;
  readonly #due = new DueHeap();
  /** By position, with what each counts in memory; only without a log. */
  readonly #kept = new Map<number, { readonly message: Message; readonly charge: number }>();
  #position: number;
  /** Up to here the log held messages before the restart, and they were read. */
  readonly #oldTo: number;
  #readTo = -1;
  #timer: Timer | null = null;
  #timerAt = 0;
  #closed = false;
  readonly #go = (): void => this.#releaseDue();

  constructor(parts: WaitingRoomParts) {
    this.#parts = parts;
    // No queue has such a name: it never looks like one where a message died.
    this.spec = { name: `\0${parts.name}` };
    this.#position = parts.log?.last ?? 0;
    this.#oldTo = this.#position;
    if ((parts.log?.count ?? 0) > 0) parts.clock.soon(() => this.#readOld());
  }

  get length(): number {
    if (this.#closed) return 0;
    return this.#parts.log?.count ?? this.#kept.size;
  }

  publish(
    message: Message,
    receipt: Receipt | null,
    _bindings: readonly BindingSpec[] | null,
    charge: number,
  ): Taken {
    if (this.#closed || this.length >= this.#parts.most) return Taken.REFUSED;
    const postponed = this.#postponed(message);
    const position = ++this.#position;
    this.#due.add(dueAt(postponed), position);
    const taken = this.#keep(position, postponed, charge, receipt);
    this.#watch();
    return taken;
  }

  close(deleting: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#parts.closed();
    this.#timer?.cancel();
    this.#parts.memory.forget(this.#go);
    for (const { charge } of this.#kept.values()) this.#parts.memory.remove(charge);
    this.#kept.clear();
    if (deleting) this.#parts.log?.drop();
  }

  #postponed(message: Message): Message {
    if (message.trail?.delay !== undefined) return message.own();
    const ms = delayOf(message);
    return message.own().postponed({ ms, until: this.#parts.clock.now() + ms });
  }

  #keep(position: number, message: Message, charge: number, receipt: Receipt | null): Taken {
    const { log, memory } = this.#parts;
    if (log === null) {
      this.#kept.set(position, { message, charge });
      memory.add(charge);
      return Taken.DONE;
    }
    log.append(position, message);
    if (!message.durable || receipt === null) return Taken.DONE;
    log.flush(() => receipt.safe());
    return Taken.PENDING;
  }

  #readOld(): void {
    const { log, clock } = this.#parts;
    if (log === null || this.#closed) return;
    const { messages } = log.read(this.#readTo, READ_MESSAGES, READ_BYTES);
    for (const { position, message } of messages) {
      this.#readTo = position;
      if (position <= this.#oldTo) this.#due.add(dueAt(message), position);
    }
    this.#watch();
    if (messages.length > 0 && this.#readTo < this.#oldTo) clock.soon(() => this.#readOld());
  }

  /** Has the timer fire no later than the first is due. */
  #watch(): void {
    const { first } = this.#due;
    if (this.#closed || this.#due.length === 0) return;
    if (this.#timer !== null) {
      if (this.#timerAt <= first) return;
      this.#timer.cancel();
    }
    this.#timerAt = first;
    const { clock } = this.#parts;
    this.#timer = clock.after(Math.max(0, first - clock.now()), this.#go);
  }

  #releaseDue(): void {
    this.#timer = null;
    const { memory, clock, batch } = this.#parts;
    if (this.#closed) return;
    if (memory.full && this.#parts.log !== null) {
      // Waiting longer costs nothing; what has no log makes room by leaving.
      memory.onRoom(this.#go);
      return;
    }
    const now = clock.now();
    for (let left = batch; left > 0 && this.#due.first <= now; left--) this.#releaseFirst();
    this.#watch();
  }

  #releaseFirst(): void {
    const position = this.#due.shift();
    if (position === undefined) return;
    const { log, memory, onward, release } = this.#parts;
    const kept = this.#kept.get(position);
    if (kept !== undefined) {
      this.#kept.delete(position);
      memory.remove(kept.charge);
      if (this.#waitsOn(kept.message, kept.charge)) release(kept.message);
      return;
    }
    const found = log?.read(position - 1, 1, 1).messages[0];
    // A damaged message was passed over: the store has said so.
    if (found === undefined || found.position !== position) return;
    onward(() => {
      if (this.#waitsOn(found.message, 0)) release(found.message);
    });
    log?.remove(position);
  }

  /** Has a message wait for its next times, if it has such. Returns whether it goes on, too. */
  #waitsOn(message: Message, charge: number): boolean {
    const { sent, delays } = due(message, this.#parts.clock.now());
    for (const delay of delays) {
      const position = ++this.#position;
      this.#due.add(delay.until, position);
      this.#keep(position, message.postponed(delay), charge, null);
    }
    return sent;
  }
}

/** The delay that a message asks for in its header, in milliseconds; 0: none. */
export function delayOf(message: Message): number {
  const given = plain(header(message.properties.headers, DELAY_HEADER) ?? null);
  const delay = typeof given === 'string' && /^\d{1,15}$/.test(given) ? Number(given) : given;
  return typeof delay === 'number' && delay > 0 ? Math.floor(delay) : 0;
}

function dueAt(message: Message): number {
  return message.trail?.delay?.until ?? 0;
}
