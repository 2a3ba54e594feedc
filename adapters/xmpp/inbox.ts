/**
 * The inbox queue of an account: what was sent to its bare JID, by whatever protocol. It is
 * consumed while a resource is there that takes messages; otherwise it is the offline storage
 * (XEP-0160).
 */
import {
  type Consumer,
  Credit,
  type Delivery,
  NO_ARGUMENTS,
  Outcome,
  type Subscription,
} from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Account } from './account.ts';
import type { Host } from './host.ts';
import { quietly } from './quietly.ts';

/** Deliveries that may wait for an acknowledgement of the client (XEP-0198). */
const WINDOW = 512;

export class Inbox implements Consumer {
  readonly #host: Host;
  readonly #account: Account;
  #subscription: Subscription | null = null;
  #consuming = false;
  #paused = true;
  /** Since when somebody reads: what came before was delayed. */
  #openedAt = 0;

  constructor(host: Host, account: Account) {
    this.#host = host;
    this.#account = account;
  }

  /** After whatever may change whether somebody can take messages. */
  update(): void {
    const ready = this.#account.reachable().some((session) => !session.congested);
    if (!ready) {
      this.#pause();
      return;
    }
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#openedAt === 0) this.#openedAt = this.#host.context.clock.now();
    if (this.#subscription !== null) this.#subscription.resume();
    else if (!this.#consuming) this.#consume();
  }

  stop(): void {
    this.#paused = true;
    const subscription = this.#subscription;
    this.#subscription = null;
    if (subscription !== null) this.#cancel(subscription);
    this.#consuming = false;
  }

  deliver(delivery: Delivery): void {
    if (this.#account.reachable().length === 0) {
      this.#pause();
      delivery.settle(Outcome.REQUEUE);
      return;
    }
    const delayed = delivery.attempts > 0 || delivery.message.receivedAt < this.#openedAt;
    this.#host.messages.deliverBare(this.#account, delivery, delayed);
    this.update();
  }

  cancelled(): void {
    const { accounts, context, log } = this.#host;
    const { local } = this.#account.jid;
    accounts.forget(local);
    // Not within the call that deletes it.
    context.clock.after(0, () => {
      if (this.#account.sessions.size === 0) return;
      after(
        () => accounts.prepare(local),
        () => this.update(),
        (error) => log.error({ reason: reasonOf(error) }, 'inbox cannot be restored'),
      );
    });
    this.#subscription = null;
    this.#consuming = false;
    this.#paused = true;
  }

  #pause(): void {
    if (this.#account.reachable().length === 0) this.#openedAt = 0;
    if (this.#paused) return;
    this.#paused = true;
    this.#subscription?.pause();
  }

  #cancel(subscription: Subscription): void {
    quietly(this.#host.log, 'leaving an inbox', () => subscription.cancel());
  }

  #consume(): void {
    this.#consuming = true;
    const queue = this.#host.accounts.inboxOf(this.#account.jid.local);
    after(
      () =>
        this.#host.system.consume(
          {
            queue,
            tag: this.#account.jid.bare,
            acknowledge: true,
            exclusive: false,
            priority: 0,
            credits: [new Credit(WINDOW)],
            arguments: NO_ARGUMENTS,
          },
          this,
        ),
      (subscription) => {
        if (!this.#consuming) {
          this.#cancel(subscription);
          return;
        }
        this.#subscription = subscription;
        if (this.#paused) subscription.pause();
      },
      (error) => {
        this.#consuming = false;
        this.#paused = true;
        this.#host.log.error({ queue, reason: reasonOf(error) }, 'inbox cannot be read');
      },
    );
  }
}
