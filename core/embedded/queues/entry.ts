import type { BindingSpec, Delivery, Outcome } from '../../engine.ts';
import type { Message } from '../../message.ts';
import type { Member } from './member.ts';

/**
 * `READY → LENT → GONE`; a requeued message goes on as a new entry, so that a late settle finds
 * GONE.
 */
export const EntryState = { READY: 0, LENT: 1, GONE: 2 } as const;
export type EntryState = (typeof EntryState)[keyof typeof EntryState];

/** Where an entry goes back to. */
export interface Home {
  readonly name: string;
  /** Receivers see how often a message was delivered before (RabbitMQ's `x-delivery-count`). */
  readonly showsDeliveries?: boolean;
  /** Which bindings lead a message here, where deliveries say so. */
  bindingsOf?(message: Message): readonly BindingSpec[] | null;
  settle(entry: Entry, outcome: Outcome): void;
}

/** One message in one queue, and at the same time the delivery that a consumer gets. */
export class Entry implements Delivery {
  readonly message: Message;
  readonly home: Home;
  /** Its place in the queue's order; grows with each publish, kept when requeued. */
  readonly position: number;
  readonly attempts: number;
  /** Undefined: not asked for yet; it came back from the log. */
  #bindings: readonly BindingSpec[] | null | undefined;
  /**
   * The message's or the queue's time limit, whichever comes first, in ms since the epoch; 0: none.
   */
  expiresAt: number;
  /** Bytes that it counts in memory. */
  readonly charge: number;
  state: EntryState = EntryState.READY;
  /** It is in the queue's log. */
  logged = false;
  /** Who holds it, and its neighbours in that member's list, while LENT. */
  member: Member | null = null;
  previous: Entry | null = null;
  next: Entry | null = null;

  constructor(
    message: Message,
    home: Home,
    position: number,
    attempts: number,
    bindings: readonly BindingSpec[] | null | undefined,
    expiresAt: number,
    charge: number,
  ) {
    this.message =
      attempts > 0 && home.showsDeliveries === true ? message.delivered(attempts) : message;
    this.home = home;
    this.position = position;
    this.attempts = attempts;
    this.#bindings = bindings;
    this.expiresAt = expiresAt;
    this.charge = charge;
  }

  get queue(): string {
    return this.home.name;
  }

  /**
   * Found out at delivery: when the first entries come back after a restart, bindings are still to
   * come.
   */
  get bindings(): readonly BindingSpec[] | null {
    if (this.#bindings === undefined) {
      this.#bindings = this.home.bindingsOf?.(this.message) ?? null;
    }
    return this.#bindings;
  }

  settle(outcome: Outcome): void {
    this.home.settle(this, outcome);
  }

  /** The same message, back in the queue after an attempt. */
  again(): Entry {
    const again = new Entry(
      this.message.own(),
      this.home,
      this.position,
      this.attempts + 1,
      this.#bindings,
      this.expiresAt,
      this.charge,
    );
    again.logged = this.logged;
    return again;
  }
}
