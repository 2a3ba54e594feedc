/**
 * The subscriptions of one connection: by tag as long as they are subscribed, by number as long as
 * they have deliveries to settle.
 */
import type { Limits } from '../../core/limits.ts';
import { StompError } from './errors.ts';
import type { Subscription } from './subscription.ts';

export class Subscriptions {
  readonly #limits: Limits;
  readonly #byTag = new Map<string, Subscription>();
  readonly #byNumber = new Map<number, Subscription>();
  #paused = false;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get paused(): boolean {
    return this.#paused;
  }

  add(subscription: Subscription): void {
    const { tag, number } = subscription.spec;
    if (this.#byTag.has(tag)) {
      throw new StompError(
        'Duplicated subscription identifier',
        `A subscription identified by '${tag}' already exists.`,
      );
    }
    if (this.#byTag.size >= this.#limits.stompSubscriptionsMax) {
      throw new StompError('Too many subscriptions', 'The limit of subscriptions is reached\n');
    }
    this.#byTag.set(tag, subscription);
    this.#byNumber.set(number, subscription);
    if (this.#paused) subscription.pause();
  }

  get(tag: string): Subscription | undefined {
    return this.#byTag.get(tag);
  }

  /** In 1.0 the destination names a subscription, even one that has an id. */
  reading(destination: string): Subscription | undefined {
    const exact = this.#byTag.get(`Q_${destination}`);
    if (exact !== undefined) return exact;
    for (const subscription of this.#byTag.values()) {
      if (subscription.spec.destination === destination) return subscription;
    }
    return undefined;
  }

  /** The one whose message-ids have `number`, ended or not. */
  numbered(number: number): Subscription | undefined {
    return this.#byNumber.get(number);
  }

  /** It is subscribed no longer. */
  remove(subscription: Subscription): void {
    const { tag } = subscription.spec;
    if (this.#byTag.get(tag) === subscription) this.#byTag.delete(tag);
    this.settled(subscription);
  }

  /** Deliveries of it were settled: forgets it, where it has ended and waited for that only. */
  settled(subscription: Subscription): void {
    const { tag, number } = subscription.spec;
    if (subscription.unsettled.size > 0 || this.#byTag.get(tag) === subscription) return;
    this.#byNumber.delete(number);
  }

  /** It has deliveries to settle again. */
  revived(subscription: Subscription): void {
    this.#byNumber.set(subscription.spec.number, subscription);
  }

  pause(): void {
    this.#paused = true;
    for (const subscription of this.#byTag.values()) subscription.pause();
  }

  resume(): void {
    this.#paused = false;
    for (const subscription of this.#byTag.values()) subscription.resume();
  }
}
