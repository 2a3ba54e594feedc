/**
 * The queue of one resource: what anybody sends to its full JID (mapping, section 3). It lives as
 * long as the session.
 */
import { XMPP_EXCHANGE } from '../../core/address.ts';
import {
  type Consumer,
  type Delivery,
  NO_ARGUMENTS,
  type Subscription,
} from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Host } from './host.ts';
import { quietly } from './quietly.ts';
import type { ClientSession } from './session.ts';

export class PersonalQueue implements Consumer {
  readonly #host: Host;
  readonly #session: ClientSession;
  #name: string | null = null;
  #subscription: Subscription | null = null;
  #stopped = false;

  constructor(host: Host, session: ClientSession) {
    this.#host = host;
    this.#session = session;
  }

  start(): void {
    const { system } = this.#host;
    this.#session.hold();
    const failed = (error: unknown): void => {
      this.#host.log.error({ jid: this.#session.jid.full, reason: reasonOf(error) }, 'no queue');
      this.#session.release();
    };
    after(
      () => system.temporaryQueue('xmpp-'),
      (name) => {
        this.#name = name;
        const binding = {
          source: XMPP_EXCHANGE,
          destination: name,
          toExchange: false,
          routingKey: this.#session.jid.full,
          arguments: NO_ARGUMENTS,
        };
        return after(
          () => system.bind(binding),
          () => this.#consume(name, failed),
          failed,
        );
      },
      failed,
    );
  }

  stop(): void {
    this.#stopped = true;
    if (this.#subscription !== null) this.#session.subscriptions.delete(this.#subscription);
    if (this.#name === null) return;
    const name = this.#name;
    const { log, system } = this.#host;
    quietly(log, 'deleting a queue', () => system.deleteQueue(name, false, false));
  }

  deliver(delivery: Delivery): void {
    this.#host.messages.deliverFull(this.#session, delivery.message);
    if (this.#session.congested) this.#subscription?.pause();
  }

  cancelled(): void {
    this.#subscription = null;
  }

  #consume(name: string, failed: (error: unknown) => void): void {
    after(
      () =>
        this.#host.system.consume(
          {
            queue: name,
            tag: this.#session.jid.full,
            acknowledge: false,
            exclusive: true,
            priority: 0,
            credits: [],
            arguments: NO_ARGUMENTS,
          },
          this,
        ),
      (subscription) => {
        this.#subscription = subscription;
        if (!this.#stopped) this.#session.subscriptions.add(subscription);
        this.#session.release();
      },
      failed,
    );
  }
}
