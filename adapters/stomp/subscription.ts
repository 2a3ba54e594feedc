/**
 * One SUBSCRIBE: what it consumes (several queues, where the destination is a composite), what it
 * was given and has not settled, and the bytes that its MESSAGE frames begin with.
 */

import type { Consumer, Delivery, Subscription as Engine } from '../../core/engine.ts';
import type { BrokerError } from '../../core/errors.ts';
import type { Message } from '../../core/message.ts';
import type { Selector } from '../../core/selector.ts';
import { shown } from './dialect.ts';
import type { MessageParts } from './encoder.ts';
import type { Link } from './link.ts';
import { escapeText } from './text.ts';

export type AckMode = 'auto' | 'client' | 'client-individual';

/** What the subscription tells its owner. */
export interface SubscriptionEvents {
  deliver(subscription: Subscription, delivery: Delivery): void;
  cancelled(subscription: Subscription, reason: BrokerError): void;
}

export interface SubscriptionSpec {
  /** Unique within the connection, for ever: part of its message-ids. */
  readonly number: number;
  /** `T_ID` or, in 1.0 without an id, `Q_DESTINATION`, as RabbitMQ names them. */
  readonly tag: string;
  readonly id: string | undefined;
  readonly destination: string;
  readonly mode: AckMode;
  readonly selector: Selector | null;
  /** What this connection sent is for others. */
  readonly noLocal: boolean;
  /** Words of topics are shown separated by slashes. */
  readonly slashes: boolean;
  /** Messages that came to this address are shown under `destination` itself. */
  readonly exchange: string;
  readonly routingKey: string;
  /** …and so is whatever else it reads, from a queue that has no other destination. */
  readonly alone: boolean;
}

const FIRST = Buffer.from('redelivered:false\n');
const AGAIN = Buffer.from('redelivered:true\n');
const NOTHING = Buffer.alloc(0);

export class Subscription implements Consumer {
  readonly spec: SubscriptionSpec;
  /** Queues that are its own to delete when a durable subscription ends. */
  readonly durableQueues: string[] = [];
  /** In order of delivery, by delivery number. */
  readonly unsettled = new Map<number, Delivery>();
  /** Deliveries that came while it was being set up: they follow the RECEIPT. Null from then on. */
  early: Delivery[] | null = [];
  /** Deliveries that follow the RECEIPT of the SEND with that tag, and those behind them (0). */
  readonly late: { readonly delivery: Delivery; readonly tag: number }[] = [];
  readonly #link: Link;
  readonly #events: SubscriptionEvents;
  readonly #engines: Engine[] = [];
  #paused = false;
  /** The parts for the last address that a message came from: mostly the next one's too. */
  #parts: MessageParts | null = null;
  #exchange = '';
  #routingKey = '';

  constructor(link: Link, spec: SubscriptionSpec, events: SubscriptionEvents) {
    this.#link = link;
    this.spec = spec;
    this.#events = events;
  }

  deliver(delivery: Delivery): void {
    this.#events.deliver(this, delivery);
  }

  cancelled(reason: BrokerError): void {
    this.#events.cancelled(this, reason);
  }

  /** What consuming one queue returned; deliveries may have come, and paused it, before. */
  attach(engine: Engine): void {
    this.#engines.push(engine);
    if (this.#paused) engine.pause();
  }

  get engines(): readonly Engine[] {
    return this.#engines;
  }

  pause(): void {
    this.#paused = true;
    for (const engine of this.#engines) engine.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    for (const engine of this.#engines) engine.resume();
  }

  partsFor(message: Message): MessageParts {
    const { exchange, routingKey } = message;
    if (this.#parts !== null && routingKey === this.#routingKey && exchange === this.#exchange) {
      return this.#parts;
    }
    this.#exchange = exchange;
    this.#routingKey = routingKey;
    this.#parts = this.#write(exchange, routingKey);
    return this.#parts;
  }

  #write(exchange: string, routingKey: string): MessageParts {
    const { spec } = this;
    const { version, dialect } = this.#link;
    // A name without a prefix is seen with it.
    const here = exchange === spec.exchange && routingKey === spec.routingKey;
    const asked = spec.alone || (here && spec.destination.startsWith('/'));
    const destination = asked
      ? spec.destination
      : shown(dialect, exchange, routingKey, spec.slashes);
    const id = `${escapeText(spec.tag, version)}@@${this.#link.name}@@${spec.number}.`;
    const subscription =
      spec.id === undefined ? '' : `subscription:${escapeText(spec.id, version)}\n`;
    const from = escapeText(destination, version);
    const head = `MESSAGE\n${subscription}destination:${from}\nmessage-id:${id}`;
    // RabbitMQ always says whether, ActiveMQ only that.
    const first = dialect === 'rabbitmq' ? FIRST : NOTHING;
    const ack = version === 2 && spec.mode !== 'auto' ? Buffer.from(`ack:${id}`) : null;
    return { head: Buffer.from(head), first, again: AGAIN, ack };
  }
}
