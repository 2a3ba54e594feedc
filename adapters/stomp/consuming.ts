/**
 * The receiving half of a connection: SUBSCRIBE, UNSUBSCRIBE, deliveries, and which of them an
 * ACK or NACK means. A message-id (in 1.2 the ack header too) ends in `SUBSCRIPTION.DELIVERY`,
 * two numbers that are never used twice in a connection.
 */
import {
  type ConsumeSpec,
  Credit,
  type Delivery,
  type Eventually,
  NO_ARGUMENTS,
  Outcome,
} from '../../core/engine.ts';
import type { BrokerError } from '../../core/errors.ts';
import type { Message } from '../../core/message.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import { parseSelector } from '../../core/selector.ts';
import { parseActiveMq } from './activemq.ts';
import { booleanHeader, consumeArguments, numberHeader } from './arguments.ts';
import { type Destination, parseDestination, TOPIC_EXCHANGE } from './destination.ts';
import { writeMessage } from './encoder.ts';
import { invalidHeader, missingHeader, StompError } from './errors.ts';
import type { Frame } from './frame.ts';
import type { Link } from './link.ts';
import * as names from './names.ts';
import { durableName, type Source, saysDurable, sourceOf } from './source.ts';
import { type AckMode, Subscription, type SubscriptionEvents } from './subscription.ts';

/** Deliveries that one ACK or NACK settles. */
export interface Settlement {
  readonly subscription: Subscription;
  readonly numbers: readonly number[];
  readonly deliveries: readonly Delivery[];
  readonly outcome: Outcome;
}

/** What the implicit subscription to a temporary reply queue is called: its destination. */
const TEMPORARY_PREFIX = '/temp-queue/';

export class Consuming implements SubscriptionEvents {
  readonly #link: Link;
  readonly #counters: ProtocolCounters;
  /** By tag. */
  readonly #subscriptions = new Map<string, Subscription>();
  /** By number: those above, and ended ones that have deliveries to settle. */
  readonly #byNumber = new Map<number, Subscription>();
  #lastSubscription = 0;
  #lastDelivery = 0;
  #paused = false;

  constructor(link: Link) {
    this.#link = link;
    this.#counters = link.context.meter.protocol('stomp');
  }

  subscribe(frame: Frame, done: () => void): void {
    const link = this.#link;
    const text = frame.get(names.DESTINATION);
    if (text === undefined) throw missingDestination(frame.command);
    const destination = parse(link, text);
    const subscription = this.#create(frame, text, destination);
    const settings = this.#settings(frame, subscription.spec.mode);
    const parts = destination.kind === 'composite' ? destination.parts : [destination];
    const retroactive = booleanHeader(frame, names.AMQ_RETROACTIVE, false);
    // Everything that is read from the frame is read before the engine is asked for the first time.
    const sources = parts.map((part) => () => sourceOf(link, frame, part, text));
    const next = (index: number): void => {
      const source = sources[index];
      if (source === undefined) {
        done();
        this.#begin(subscription);
        return;
      }
      link.run(source, (found) =>
        this.#consume(subscription, found, settings, retroactive, () => next(index + 1)),
      );
    };
    next(0);
  }

  /** Consumes a temporary reply queue as `/temp-queue/NAME`, as RabbitMQ does for a reply-to. */
  subscribeReplies(name: string, queue: string, done: () => void): void {
    const id = TEMPORARY_PREFIX + name;
    const subscription = this.#add(
      new Subscription(
        this.#link,
        {
          number: ++this.#lastSubscription,
          tag: `T_${id}`,
          id,
          destination: id,
          mode: 'auto',
          selector: null,
          slashes: false,
          exchange: '',
          routingKey: queue,
        },
        this,
      ),
    );
    this.#attach(subscription, queue, PLAIN_SETTINGS, () => {
      done();
      this.#begin(subscription);
    });
  }

  unsubscribe(frame: Frame, done: () => void): void {
    const link = this.#link;
    const id = frame.get(names.ID);
    const destination = frame.get(names.DESTINATION);
    const durable = durableName(link, frame);
    if (id === undefined && durable === null && (destination === undefined || link.version > 0)) {
      throw new StompError(
        'Missing destination or id',
        "UNSUBSCRIBE must include a 'destination' or 'id' header",
      );
    }
    const subscription =
      id !== undefined ? this.#subscriptions.get(`T_${id}`) : this.#reading(destination);
    if (subscription === undefined) {
      // ActiveMQ's way to end a durable subscription that is not active.
      if (durable !== null) {
        this.#delete([durable], done);
        return;
      }
      throw new StompError(
        'No subscription found',
        `UNSUBSCRIBE must refer to an existing subscription.\nSubscription to ${
          id !== undefined ? `id='${id}'` : `destination='${destination}'`
        } not found.\n`,
      );
    }
    const ends = durable !== null || (link.dialect === 'rabbitmq' && saysDurable(frame));
    this.#end(subscription, () => {
      if (ends) this.#delete(subscription.durableQueues, done);
      else done();
    });
  }

  /** What an ACK or NACK settles; it counts as settled from now on, until `restore`. */
  settlement(frame: Frame): Settlement {
    const [subscription, number] = this.#find(frame);
    const outcome = frame.command === 'ACK' ? Outcome.ACCEPT : this.#refusal(frame);
    const numbers: number[] = [];
    const deliveries: Delivery[] = [];
    const { unsettled, spec } = subscription;
    const take = (each: number, delivery: Delivery): void => {
      numbers.push(each);
      deliveries.push(delivery);
      unsettled.delete(each);
    };
    const named = unsettled.get(number);
    if (named === undefined) {
      throw new StompError('Message not found', `unknown delivery tag ${number}\n`);
    }
    // STOMP 1.1, SUBSCRIBE: `client` is cumulative, for NACK too.
    if (spec.mode === 'client') {
      for (const [each, delivery] of unsettled) {
        if (each > number) break;
        take(each, delivery);
      }
    } else take(number, named);
    if (unsettled.size === 0 && this.#subscriptions.get(spec.tag) !== subscription) {
      this.#byNumber.delete(spec.number);
    }
    return { subscription, numbers, deliveries, outcome };
  }

  settle({ deliveries, outcome }: Settlement): void {
    if (outcome === Outcome.ACCEPT) this.#counters.acknowledged += deliveries.length;
    for (const delivery of deliveries) delivery.settle(outcome);
  }

  /** Takes a settlement back: its transaction was aborted. */
  restore(settlement: Settlement): void {
    const { subscription, numbers, deliveries } = settlement;
    const { unsettled, spec } = subscription;
    const later = [...unsettled];
    unsettled.clear();
    const merged = [...later];
    for (const [at, number] of numbers.entries()) {
      const delivery = deliveries[at];
      if (delivery !== undefined) merged.push([number, delivery]);
    }
    merged.sort(([a], [b]) => a - b);
    for (const [number, delivery] of merged) unsettled.set(number, delivery);
    this.#byNumber.set(spec.number, subscription);
  }

  deliver(subscription: Subscription, delivery: Delivery): void {
    const link = this.#link;
    const { spec } = subscription;
    const { message } = delivery;
    if (!link.open) return;
    if (subscription.early !== null) {
      subscription.early.push(delivery);
      return;
    }
    if (spec.selector !== null && !spec.selector.matches(message)) {
      if (spec.mode !== 'auto') delivery.settle(Outcome.ACCEPT);
      return;
    }
    const number = ++this.#lastDelivery;
    const again = delivery.attempts > 0;
    this.#counters.delivered++;
    if (again) this.#counters.redelivered++;
    if (spec.mode !== 'auto') subscription.unsettled.set(number, delivery);
    const parts = subscription.partsFor(message);
    const now = message.expiresAt > 0 ? link.context.clock.now() : 0;
    link.wrote();
    writeMessage(link.transport, parts, message, number, again, link.version, now);
    if (link.transport.congested && !this.#paused) this.stop();
  }

  cancelled(subscription: Subscription, reason: BrokerError): void {
    const { spec } = subscription;
    this.#subscriptions.delete(spec.tag);
    this.#link.fail(
      new StompError(
        'Server cancelled subscription',
        `The server has canceled a subscription.\nNo more messages will be delivered for ${
          spec.id ?? spec.destination
        }: ${reason.message}\n`,
      ),
      null,
    );
  }

  /** Whether the temporary reply queue of that name is consumed. */
  reads(name: string): boolean {
    return this.#subscriptions.has(`T_${TEMPORARY_PREFIX}${name}`);
  }

  /** Nothing more is delivered: the client does not read, or the connection is ending. */
  stop(): void {
    this.#paused = true;
    for (const subscription of this.#subscriptions.values()) subscription.pause();
  }

  /** The client has read what waited. */
  drained(): void {
    if (!this.#paused || !this.#link.open) return;
    this.#paused = false;
    for (const subscription of this.#subscriptions.values()) subscription.resume();
  }

  #create(frame: Frame, text: string, destination: Destination): Subscription {
    const link = this.#link;
    const id = frame.get(names.ID);
    if (id === undefined && link.version > 0) throw missingHeader('SUBSCRIBE', 'id');
    if (id?.startsWith(TEMPORARY_PREFIX)) {
      throw new StompError('Invalid id', `SUBSCRIBE 'id' may not start with ${TEMPORARY_PREFIX}\n`);
    }
    const tag = id === undefined ? `Q_${text}` : `T_${id}`;
    if (this.#subscriptions.has(tag)) {
      throw new StompError(
        'Duplicated subscription identifier',
        `A subscription identified by '${tag}' already exists.`,
      );
    }
    const selector = frame.get(names.SELECTOR);
    return this.#add(
      new Subscription(
        link,
        {
          number: ++this.#lastSubscription,
          tag,
          id,
          destination: text,
          mode: ackMode(frame),
          selector: selector === undefined ? null : parseSelector(selector),
          slashes: destination.kind === 'topic' && destination.slashes,
          ...shownAs(destination),
        },
        this,
      ),
    );
  }

  #add(subscription: Subscription): Subscription {
    if (this.#subscriptions.size >= this.#link.context.limits.stompSubscriptionsMax) {
      throw new StompError('Too many subscriptions', 'The limit of subscriptions is reached\n');
    }
    this.#subscriptions.set(subscription.spec.tag, subscription);
    this.#byNumber.set(subscription.spec.number, subscription);
    if (this.#paused) subscription.pause();
    return subscription;
  }

  #settings(frame: Frame, mode: AckMode): Settings {
    const activemq = this.#link.dialect === 'activemq';
    const prefetch = numberHeader(
      frame,
      names.PREFETCH_COUNT,
      activemq ? numberHeader(frame, names.AMQ_PREFETCH, 0) : 0,
    );
    for (const name of activemq ? [names.AMQ_NO_LOCAL, names.AMQ_BROWSER] : []) {
      if (!booleanHeader(frame, name, false)) continue;
      throw new StompError('Not implemented', `${name.text} is not supported\n`);
    }
    return {
      credits: prefetch > 0 && mode !== 'auto' ? [new Credit(prefetch)] : [],
      exclusive: activemq && booleanHeader(frame, names.AMQ_EXCLUSIVE, false),
      priority: numberHeader(
        frame,
        names.X_PRIORITY,
        activemq ? numberHeader(frame, names.AMQ_PRIORITY, 0) : 0,
      ),
      arguments: consumeArguments(frame),
    };
  }

  #consume(
    subscription: Subscription,
    source: Source,
    settings: Settings,
    retroactive: boolean,
    done: () => void,
  ): void {
    const { session, run } = this.#link;
    if (subscription.spec.selector !== null && !source.own) {
      throw new StompError(
        'Selector not supported',
        'A selector needs a queue of its own: subscribe to a topic or an exchange with it.\n',
      );
    }
    this.#declare(source, (queue) => {
      if (source.durable) subscription.durableQueues.push(queue);
      const attach = (): void => this.#attach(subscription, queue, settings, done);
      const { binding } = source;
      if (binding === null) return attach();
      const { exchange, routingKey } = binding;
      const bind = (): Eventually<void> =>
        session.bind({
          source: exchange,
          destination: queue,
          toExchange: false,
          routingKey,
          arguments: NO_ARGUMENTS,
        });
      run(bind, () => {
        if (!retroactive) return attach();
        run(
          () => session.retained(exchange, routingKey),
          (messages) => {
            for (const message of messages) this.deliver(subscription, kept(message));
            attach();
          },
        );
      });
    });
  }

  #begin(subscription: Subscription): void {
    const early = subscription.early ?? [];
    subscription.early = null;
    for (const delivery of early) this.deliver(subscription, delivery);
  }

  #declare(source: Source, done: (queue: string) => void): void {
    const { session, run } = this.#link;
    const { spec } = source;
    if (spec === null) {
      done(source.queue);
      return;
    }
    const declare = (): void =>
      run(
        () => session.declareQueue(spec, false),
        (status) => done(status.name),
      );
    if (!source.lenient) {
      declare();
      return;
    }
    run(
      () => session.hasQueue(source.queue),
      (there) => (there ? done(source.queue) : declare()),
    );
  }

  #attach(subscription: Subscription, queue: string, settings: Settings, done: () => void): void {
    const { session, run } = this.#link;
    const { spec } = subscription;
    const consume: ConsumeSpec = {
      queue,
      tag: spec.tag,
      acknowledge: spec.mode !== 'auto',
      ...settings,
    };
    run(
      () => session.consume(consume, subscription),
      (engine) => {
        subscription.attach(engine);
        done();
      },
    );
  }

  /**
   * Ends a subscription. What it was given stays settleable, as on RabbitMQ; ActiveMQ gives it to
   * others at once.
   */
  #end(subscription: Subscription, done: () => void): void {
    const { spec, unsettled, engines } = subscription;
    this.#subscriptions.delete(spec.tag);
    if (unsettled.size === 0) this.#byNumber.delete(spec.number);
    const next = (index: number): void => {
      const engine = engines[index];
      if (engine !== undefined) {
        this.#link.run(
          () => engine.cancel(),
          () => next(index + 1),
        );
        return;
      }
      if (this.#link.dialect === 'activemq') this.#requeue(subscription);
      done();
    };
    next(0);
  }

  #requeue(subscription: Subscription): void {
    const held = [...subscription.unsettled.values()];
    subscription.unsettled.clear();
    this.#byNumber.delete(subscription.spec.number);
    for (const delivery of held) delivery.settle(Outcome.REQUEUE);
  }

  #delete(queues: readonly string[], done: () => void): void {
    const next = (index: number): void => {
      const queue = queues[index];
      if (queue === undefined) {
        done();
        return;
      }
      this.#link.run(
        () => this.#link.session.deleteQueue(queue, false, false),
        () => next(index + 1),
      );
    };
    next(0);
  }

  /** The delivery that an ACK or NACK names: by `id` in 1.2, by `message-id` before. */
  #find(frame: Frame): [subscription: Subscription, number: number] {
    const { version, name } = this.#link;
    const header = version === 2 ? 'id' : 'message-id';
    const text = frame.get(version === 2 ? names.ID : names.MESSAGE_ID);
    if (text === undefined) throw missingHeader(frame.command, header);
    const numbers = /@@(\d{1,15})\.(\d{1,15})$/.exec(text);
    const issuer = numbers === null ? '' : text.slice(0, numbers.index);
    if (numbers === null || !issuer.endsWith(`@@${name}`)) {
      throw invalidHeader(frame.command, header);
    }
    const subscription = this.#byNumber.get(Number(numbers[1]));
    const number = Number(numbers[2]);
    if (subscription === undefined) {
      throw new StompError('Message not found', `unknown delivery tag ${number}\n`);
    }
    const given = version === 1 ? frame.get(names.SUBSCRIPTION) : undefined;
    if (given !== undefined && given !== subscription.spec.id) {
      throw invalidHeader(frame.command, 'subscription');
    }
    return [subscription, number];
  }

  /** In 1.0 the destination names a subscription, even one that has an id. */
  #reading(destination: string | undefined): Subscription | undefined {
    const exact = this.#subscriptions.get(`Q_${destination}`);
    if (exact !== undefined || destination === undefined) return exact;
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.spec.destination === destination) return subscription;
    }
    return undefined;
  }

  /** RabbitMQ puts a refused message back unless told otherwise; ActiveMQ dead-letters it. */
  #refusal(frame: Frame): Outcome {
    const requeue = booleanHeader(frame, names.REQUEUE, this.#link.dialect === 'rabbitmq');
    return requeue ? Outcome.REQUEUE : Outcome.REJECT;
  }
}

/** How a subscription consumes each of its queues. */
type Settings = Pick<ConsumeSpec, 'credits' | 'exclusive' | 'priority' | 'arguments'>;

const PLAIN_SETTINGS: Settings = {
  credits: [],
  exclusive: false,
  priority: 0,
  arguments: NO_ARGUMENTS,
};

/** Reads a destination in the connection's dialect. */
export function parse(link: Link, text: string): Destination {
  return link.dialect === 'activemq' ? parseActiveMq(text) : parseDestination(text);
}

export function missingDestination(command: string): StompError {
  return new StompError('Missing destination', `${command} must include a 'destination' header\n`);
}

function ackMode(frame: Frame): AckMode {
  const mode = frame.get(names.ACK) ?? 'auto';
  if (mode === 'auto' || mode === 'client' || mode === 'client-individual') return mode;
  throw invalidHeader('SUBSCRIBE', 'ack');
}

/** The address whose messages are shown under the destination as it was subscribed to. */
function shownAs(destination: Destination): { exchange: string; routingKey: string } {
  switch (destination.kind) {
    case 'queue':
    case 'existing':
      return { exchange: '', routingKey: destination.name };
    case 'topic':
      return { exchange: TOPIC_EXCHANGE, routingKey: destination.key };
    default:
      return { exchange: '', routingKey: '' };
  }
}

/** A last value, delivered beside any queue: nothing to settle. */
function kept(message: Message): Delivery {
  return { message, queue: '', attempts: 0, bindings: null, settle: () => {} };
}
