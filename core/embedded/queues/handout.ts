/**
 * Hands out what is ready, to whose turn it is: the only place that takes from ready for consumers.
 * It never runs inside itself: a consumer that publishes to its own queue while it is delivered to
 * finds it busy.
 */
import type { Message } from '../../message.ts';
import type { Dispatcher } from '../dispatch.ts';
import type { QueueContext } from '../types.ts';
import type { Backlog } from './backlog.ts';
import type { Entry } from './entry.ts';
import type { Expiry } from './expiry.ts';
import type { Member } from './member.ts';

export interface HandoutParts {
  readonly context: QueueContext;
  readonly ready: Backlog;
  readonly dispatcher: Dispatcher;
  readonly expiry: Expiry;
  /** An entry that was taken from ready is its member's. */
  give(entry: Entry, member: Member): void;
  /** One that stood behind others expired there. */
  expired(entry: Entry): void;
  /** Consumers have taken what they could: what is too much may go. */
  trim(): void;
}

export class Handout {
  readonly #parts: HandoutParts;
  readonly #later = (): void => this.run();
  #busy = false;
  #continuing = false;
  #closed = false;

  constructor(parts: HandoutParts) {
    this.#parts = parts;
  }

  /** Who takes a new message at once, if nothing waits before it. */
  taker(message: Message): Member | null {
    return this.#busy || this.#parts.ready.length > 0 ? null : this.#next(message);
  }

  /** Hands a new message to its taker. */
  straight(entry: Entry, member: Member): void {
    this.#busy = true;
    try {
      this.#parts.dispatcher.given(member, entry.message);
      this.#parts.give(entry, member);
    } finally {
      this.#busy = false;
    }
    if (this.#parts.ready.length > 0) this.run();
  }

  /**
   * Takes the next legal step until there is none: hand the first ready message to whose turn it
   * is.
   */
  run(): void {
    if (this.#busy || this.#closed) return;
    const { context, dispatcher, expiry, trim } = this.#parts;
    if (context.turn.defers(this.#later)) return;
    this.#busy = true;
    try {
      const most = context.limits.dispatchBatchMax;
      if (dispatcher.filtering) this.#sift(most);
      else this.#handOut(most);
    } finally {
      this.#busy = false;
    }
    // Only after its consumers took what they could does a full queue drop from its head, and only
    // what is still worth keeping counts.
    if (!this.#continuing) {
      expiry.drop();
      trim();
    }
    expiry.watch();
  }

  close(): void {
    this.#closed = true;
  }

  #handOut(most: number): void {
    const { ready, dispatcher, expiry } = this.#parts;
    ready.restore();
    for (let left = most; ready.length > 0; left--) {
      const member = dispatcher.next();
      if (member === null) return;
      if (left === 0 || !expiry.drop()) {
        this.#continueSoon();
        return;
      }
      const entry = ready.shift();
      if (entry === undefined) return;
      this.#give(entry, member);
    }
  }

  /** As `#handOut`, where somebody wants some messages only: the others are passed over. */
  #sift(most: number): void {
    const { ready, dispatcher, expiry } = this.#parts;
    for (let left = most; ready.length > 0 && dispatcher.able; left--) {
      if (left === 0 || !expiry.drop()) {
        this.#continueSoon();
        return;
      }
      const fresh = ready.fresh();
      if (this.#giveOfLots(fresh)) continue;
      if (fresh === undefined) return;
      const member = this.#next(fresh.message);
      if (member === null) {
        const filters = dispatcher.takers(fresh.message).map(({ filter }) => filter);
        if (!ready.passOver(filters) && !this.#giveOfLots(undefined)) return;
      } else {
        ready.shiftFresh();
        this.#offer(fresh, member);
      }
    }
  }

  /** Gives the first that was passed over, and that somebody can take now. */
  #giveOfLots(fresh: Entry | undefined): boolean {
    const { ready, dispatcher } = this.#parts;
    for (const lot of ready.lotsBefore(fresh)) {
      const member = dispatcher.next(({ filter }) => lot.fits(filter));
      const entry = member === null ? undefined : ready.shiftFrom(lot);
      if (member === null || entry === undefined) continue;
      this.#offer(entry, member);
      return true;
    }
    return false;
  }

  /** Gives what may stand behind others, and so may have expired there. */
  #offer(entry: Entry, member: Member): void {
    const late = entry.expiresAt !== 0 && entry.expiresAt <= this.#parts.context.clock.now();
    if (late) this.#parts.expired(entry);
    else this.#give(entry, member);
  }

  #give(entry: Entry, member: Member): void {
    const { ready, dispatcher } = this.#parts;
    if (dispatcher.given(member, entry.message)) ready.restore();
    this.#parts.give(entry, member);
  }

  /** Whose turn it is to take the message. */
  #next(message: Message): Member | null {
    const { dispatcher } = this.#parts;
    if (!dispatcher.filtering) return dispatcher.next();
    return dispatcher.next((member) => dispatcher.takes(member, message));
  }

  #continueSoon(): void {
    if (this.#continuing) return;
    this.#continuing = true;
    this.#parts.context.clock.soon(() => {
      this.#continuing = false;
      this.run();
    });
  }
}
