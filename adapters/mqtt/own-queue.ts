/**
 * The queue of one session: made with its first subscription, bound for each, and consumed for as
 * long as the session lasts, with a pause while its client is away.
 */
import {
  type Consumer,
  Credit,
  type Delivery,
  type Session as EngineSession,
  type Subscription as EngineSubscription,
  type Eventually,
  NO_ARGUMENTS,
} from '../../core/engine.ts';
import type { BrokerError } from '../../core/errors.ts';
import type { HeaderValue } from '../../core/message.ts';
import { chain } from './chain.ts';
import type { Subscription } from './session-context.ts';
import { bindingOf } from './subscription.ts';
import { sessionQueueName } from './topic.ts';

/** The session, as its queue needs it. */
export interface QueueHolder {
  readonly clientId: string;
  /** It outlives its connection, and a restart. */
  readonly durable: boolean;
  readonly messagesMax: number;
  /** The client's Receive Maximum. */
  readonly credit: Credit;
  deliver(delivery: Delivery): void;
  /** Somebody has deleted it. */
  lost(reason: BrokerError): void;
}

export class OwnQueue {
  readonly #holder: QueueHolder;
  readonly #engine: EngineSession;
  /** Closed, but for one, while the client's socket is full. */
  readonly #flow = new Credit(0);
  #consuming: EngineSubscription | null = null;

  constructor(holder: QueueHolder, engine: EngineSession) {
    this.#holder = holder;
    this.#engine = engine;
  }

  get consumed(): boolean {
    return this.#consuming !== null;
  }

  /** Declared, and bound for each of `subscriptions` that is one of its own. */
  declare(subscriptions: Iterable<Subscription>): Eventually<void> {
    const { durable, messagesMax } = this.#holder;
    const table = new Map<string, HeaderValue>([
      ['x-queue-type', 'session'],
      ['x-max-length', messagesMax],
    ]);
    const spec = { name: this.#name, durable, exclusive: false, autoDelete: false };
    const declared = this.#engine.declareQueue({ ...spec, arguments: table }, false);
    return [...subscriptions].reduce<Eventually<void>>(
      (ready, subscription) => chain(ready, () => this.bind(subscription)),
      chain(declared, () => {}),
    );
  }

  /** Subscriptions to other queues, a group's among them, are none of its own. */
  bind({ target, options }: Subscription): Eventually<void> {
    if (target.kind === 'queue' || target.sharedQueue !== null) return;
    return this.#engine.bind(bindingOf(target, this.#name, options));
  }

  unbind({ target, options }: Subscription): Eventually<void> {
    if (target.kind === 'queue' || target.sharedQueue !== null) return;
    return this.#engine.unbind(bindingOf(target, this.#name, options));
  }

  consume(): Eventually<void> {
    const holder = this.#holder;
    const consumer: Consumer = {
      deliver: (delivery) => holder.deliver(delivery),
      cancelled: (reason) => {
        this.#consuming = null;
        holder.lost(reason);
      },
    };
    const spec = {
      ...{ queue: this.#name, tag: holder.clientId, acknowledge: true, exclusive: false },
      ...{ priority: 0, credits: [holder.credit, this.#flow], arguments: NO_ARGUMENTS },
    };
    return chain(this.#engine.consume(spec, consumer), (consuming) => {
      this.#consuming = consuming;
    });
  }

  pause(): void {
    this.#consuming?.pause();
  }

  resume(): void {
    this.#consuming?.resume();
  }

  /** The client's socket is full, or no longer. */
  slow(full: boolean): void {
    this.#flow.limit = full ? 1 : 0;
  }

  cancel(): void {
    void this.#consuming?.cancel();
  }

  delete(): Eventually<unknown> {
    return this.#engine.deleteQueue(this.#name, false, false);
  }

  get #name(): string {
    return sessionQueueName(this.#holder.clientId);
  }
}
