/**
 * Publishes of one entity: which are not yet safe, and what to tell the sender when one fails. The
 * order of `#pending` is that of the stanzas, so the oldest says how far XEP-0198 may acknowledge.
 */
import { Fate, type Publisher, type PublisherEvents, type Session } from '../../core/engine.ts';
import type { Message } from '../../core/message.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { Element } from './element.ts';
import { type Condition, conditionOf } from './stanza-error.ts';

export interface OutboxOwner {
  /** The stanza failed: tell its sender. */
  bounce(stanza: Element, condition: Condition): void;
  hold(): void;
  release(): void;
  /** A publish became safe; more stanzas may be acknowledged. */
  progressed(): void;
  /** What `stanza` said is safe. */
  confirmed?(stanza: Element): void;
}

interface Pending {
  readonly stanza: Element;
  readonly sequence: number;
  readonly mandatory: boolean;
  readonly unrouted: (() => void) | undefined;
}

export class Outbox implements PublisherEvents {
  readonly #owner: OutboxOwner;
  readonly #counters: ProtocolCounters;
  readonly #publisher: Publisher;
  readonly #pending = new Map<number, Pending>();
  #tag = 0;
  #held = false;

  constructor(owner: OutboxOwner, session: Session, counters: ProtocolCounters) {
    this.#owner = owner;
    this.#counters = counters;
    this.#publisher = session.publisher(this);
  }

  /** The number of the oldest stanza whose publish is not safe yet, or null. */
  get oldestPending(): number | null {
    for (const pending of this.#pending.values()) return pending.sequence;
    return null;
  }

  publish(
    message: Message,
    stanza: Element,
    sequence: number,
    mandatory: boolean,
    unrouted: (() => void) | undefined,
  ): boolean {
    const tag = ++this.#tag;
    this.#pending.set(tag, { stanza, sequence, mandatory, unrouted });
    this.#counters.received++;
    try {
      const more = this.#publisher.publish(message, tag, mandatory);
      if (!more && !this.#held) {
        this.#held = true;
        this.#owner.hold();
      }
    } catch (error) {
      this.#pending.delete(tag);
      this.#owner.bounce(stanza, conditionOf(error));
      return false;
    }
    return true;
  }

  settled(tag: number, fate: Fate): void {
    const pending = this.#pending.get(tag);
    if (pending === undefined) return;
    this.#pending.delete(tag);
    if (fate === Fate.CONFIRMED) {
      this.#counters.confirmed++;
      this.#owner.confirmed?.(pending.stanza);
    } else if (fate === Fate.UNROUTABLE) {
      if (pending.unrouted !== undefined) pending.unrouted();
      else if (pending.mandatory) this.#owner.bounce(pending.stanza, 'item-not-found');
    } else if (fate === Fate.REFUSED) this.#owner.bounce(pending.stanza, 'resource-constraint');
    else this.#owner.bounce(pending.stanza, 'service-unavailable');
    this.#owner.progressed();
  }

  returned(): void {
    // Its `settled` follows and has the tag.
  }

  writable(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#owner.release();
  }

  close(): void {
    this.#publisher.close();
    this.#pending.clear();
  }
}
