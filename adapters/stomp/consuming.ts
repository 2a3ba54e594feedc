/** The receiving half of a connection: SUBSCRIBE, UNSUBSCRIBE, and what is delivered to whom. */
import {
  type ConsumeSpec,
  Credit,
  type Delivery,
  type Eventually,
  NO_ARGUMENTS,
  Outcome,
} from '../../core/engine.ts';
import type { BrokerError } from '../../core/errors.ts';
import { called } from '../../core/eventually.ts';
import type { Message } from '../../core/message.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import { parseSelector } from '../../core/selector.ts';
import { booleanHeader, consumeArguments, integerHeader, numberHeader } from './arguments.ts';
import { type Destination, missingDestination, TOPIC_EXCHANGE } from './destination.ts';
import { parse } from './dialect.ts';
import { writeFrame, writeMessage } from './encoder.ts';
import { invalidHeader, missingHeader, StompError, unsupported } from './errors.ts';
import type { Frame } from './frame.ts';
import type { Link } from './link.ts';
import { groupOf } from './message-group.ts';
import * as names from './names.ts';
import { durableName, type Source, saysDurable, sourceOf } from './source.ts';
import {
  type AckMode,
  Subscription,
  type SubscriptionEvents,
  type SubscriptionSpec,
} from './subscription.ts';
import type { Subscriptions } from './subscriptions.ts';

/** What the implicit subscription to a temporary reply queue is called: its destination. */
const TEMPORARY_PREFIX = '/temp-queue/';

/** Deliveries that wait for receipts: beyond, the disk is too slow to wait for. */
const LATE_MAX = 1000;

export class Consuming implements SubscriptionEvents {
  readonly #link: Link;
  readonly #subscriptions: Subscriptions;
  readonly #counters: ProtocolCounters;
  #lastSubscription = 0;
  #lastDelivery = 0;
  #noLocal = false;
  /** Tag of what is being published, where it has a receipt; 0: nothing is. */
  #sending = 0;
  readonly #unanswered = new Set<number>();
  /** Those with deliveries that wait for receipts. */
  readonly #behind = new Set<Subscription>();

  constructor(link: Link, subscriptions: Subscriptions) {
    this.#link = link;
    this.#subscriptions = subscriptions;
    this.#counters = link.context.meter.protocol('stomp');
  }

  /** Somebody here must not get what this connection sends from now on. */
  get noLocal(): boolean {
    return this.#noLocal;
  }

  subscribe(frame: Frame, done: () => void): void {
    const link = this.#link;
    const text = frame.get(names.DESTINATION);
    if (text === undefined) throw missingDestination(frame.command);
    const destination = parse(link.dialect, text);
    const subscription = this.#create(frame, text, destination);
    const browser = this.#browses(frame, destination);
    const settings = this.#settings(frame, subscription.spec.mode);
    const parts = destination.kind === 'composite' ? destination.parts : [destination];
    const retroactive = booleanHeader(frame, names.AMQ_RETROACTIVE, false);
    // A receipt says that a durable subscription would outlive a crash.
    const answered = frame.has(names.RECEIPT);
    // Everything that is read from the frame is read before the engine is asked for the first time.
    const sources = parts.map((part) => () => sourceOf(link, frame, part, text));
    const next = (index: number): void => {
      const source = sources[index];
      if (source === undefined) {
        link.run(
          () => (answered ? called((safe) => link.context.engine.safe(safe)) : undefined),
          () => {
            done();
            this.#begin(subscription);
            if (browser) this.#endBrowsing(subscription);
          },
        );
        return;
      }
      link.run(source, (found) => {
        const more = (): void => next(index + 1);
        if (browser) this.#browse(subscription, found, more);
        else this.#consume(subscription, found, settings, retroactive, more);
      });
    };
    next(0);
  }

  /** Consumes a temporary reply queue as `/temp-queue/NAME`, as RabbitMQ does for a reply-to. */
  subscribeReplies(name: string, queue: string, done: () => void): void {
    const id = TEMPORARY_PREFIX + name;
    const subscription = this.#add({
      number: ++this.#lastSubscription,
      tag: `T_${id}`,
      id,
      destination: id,
      mode: 'auto',
      selector: null,
      noLocal: false,
      slashes: false,
      exchange: '',
      routingKey: queue,
      alone: true,
    });
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
      id !== undefined
        ? this.#subscriptions.get(`T_${id}`)
        : this.#subscriptions.reading(destination ?? '');
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

  deliver(subscription: Subscription, delivery: Delivery): void {
    if (!this.#link.open) return;
    if (subscription.early !== null) subscription.early.push(delivery);
    else if (this.#sending === 0 && subscription.late.length === 0) {
      this.#hand(subscription, delivery);
    } else {
      subscription.late.push({ delivery, tag: this.#sending });
      this.#behind.add(subscription);
      if (subscription.late.length > LATE_MAX) this.#catchUp(subscription, true);
    }
  }

  /**
   * A SEND or COMMIT is under way whose receipt comes first: clients that wait for it read one
   * frame, as if no server could be quick enough to deliver to the sender before.
   */
  sending(tag: number): void {
    this.#sending = tag;
    this.#unanswered.add(tag);
  }

  sent(): void {
    this.#sending = 0;
  }

  /** The receipt is written: what waited for it follows. */
  answered(tag: number): void {
    if (!this.#unanswered.delete(tag)) return;
    if (this.#sending === tag) this.#sending = 0;
    for (const subscription of this.#behind) this.#catchUp(subscription, false);
  }

  #catchUp(subscription: Subscription, whole: boolean): void {
    const { late } = subscription;
    let count = 0;
    while (count < late.length && (whole || !this.#unanswered.has(late[count]?.tag ?? 0))) count++;
    for (const { delivery } of late.splice(0, count)) this.#hand(subscription, delivery);
    if (late.length === 0) this.#behind.delete(subscription);
  }

  #hand(subscription: Subscription, delivery: Delivery): void {
    const link = this.#link;
    const { spec } = subscription;
    const { message } = delivery;
    if (!link.open) return;
    if (!this.#wants(spec, message)) {
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
    if (link.transport.congested && !this.#subscriptions.paused) this.#subscriptions.pause();
  }

  cancelled(subscription: Subscription, reason: BrokerError): void {
    const { spec } = subscription;
    this.#subscriptions.remove(subscription);
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
    return this.#subscriptions.get(`T_${TEMPORARY_PREFIX}${name}`) !== undefined;
  }

  /** Nothing more is delivered: the connection is ending. */
  stop(): void {
    this.#subscriptions.pause();
  }

  /** The client has read what waited. */
  drained(): void {
    if (this.#subscriptions.paused && this.#link.open) this.#subscriptions.resume();
  }

  #wants({ selector, noLocal }: SubscriptionSpec, message: Message): boolean {
    if (noLocal && message.trail?.sender === this.#link.name) return false;
    return selector === null || selector.matches(message);
  }

  #create(frame: Frame, text: string, destination: Destination): Subscription {
    const link = this.#link;
    const id = frame.get(names.ID);
    if (id === undefined && link.version > 0) throw missingHeader('SUBSCRIBE', 'id');
    if (link.dialect === 'rabbitmq' && id?.startsWith(TEMPORARY_PREFIX)) {
      throw new StompError('Invalid id', `SUBSCRIBE 'id' may not start with ${TEMPORARY_PREFIX}\n`);
    }
    const tag = id === undefined ? `Q_${text}` : `T_${id}`;
    const selector = frame.get(names.SELECTOR);
    const noLocal = link.dialect === 'activemq' && booleanHeader(frame, names.AMQ_NO_LOCAL, false);
    this.#noLocal ||= noLocal;
    return this.#add({
      number: ++this.#lastSubscription,
      tag,
      id,
      destination: text,
      mode: ackMode(frame),
      selector: selector === undefined ? null : parseSelector(selector),
      noLocal,
      slashes: destination.kind === 'topic' && destination.slashes,
      ...shownAs(destination),
    });
  }

  #add(spec: SubscriptionSpec): Subscription {
    const subscription = new Subscription(this.#link, spec, this);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  #settings(frame: Frame, mode: AckMode): Settings {
    const activemq = this.#link.dialect === 'activemq';
    if (activemq && frame.has(names.TRANSFORMATION)) throw unsupported(names.TRANSFORMATION.text);
    const prefetch = numberHeader(
      frame,
      names.PREFETCH_COUNT,
      activemq ? numberHeader(frame, names.AMQ_PREFETCH, 0) : 0,
    );
    return {
      credits: prefetch > 0 && mode !== 'auto' ? [new Credit(prefetch)] : [],
      exclusive: false,
      alone: activemq && booleanHeader(frame, names.AMQ_EXCLUSIVE, false),
      priority: integerHeader(
        frame,
        names.X_PRIORITY,
        activemq ? integerHeader(frame, names.AMQ_PRIORITY, 0) : 0,
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
    const { session, run, dialect } = this.#link;
    const { spec } = subscription;
    // What it does not want goes from a queue of its own, and waits for others in a shared one.
    const wanting: { -readonly [K in keyof Settings]: Settings[K] } = { ...settings };
    if (!source.own) {
      if (spec.selector !== null || spec.noLocal) {
        wanting.filter = (message) => this.#wants(spec, message);
      }
      if (dialect === 'activemq') wanting.groupOf = groupOf;
    }
    this.#declare(source, (queue) => {
      if (source.durable) subscription.durableQueues.push(queue);
      const attach = (): void => this.#attach(subscription, queue, wanting, done);
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

  /** ActiveMQ's browsers see what is in a queue, and take nothing. */
  #browses(frame: Frame, destination: Destination): boolean {
    const { dialect, version } = this.#link;
    if (dialect === 'rabbitmq' || !booleanHeader(frame, names.AMQ_BROWSER, false)) return false;
    const parts = destination.kind === 'composite' ? destination.parts : [destination];
    const queues = parts.every(({ kind }) => kind !== 'topic' && kind !== 'temporary-topic');
    if (version > 0 && queues) return true;
    throw new StompError('Invalid browser', 'Only queues, and only from 1.1 on, are browsed\n');
  }

  #browse(subscription: Subscription, source: Source, done: () => void): void {
    const { run, session } = this.#link;
    this.#declare(source, (queue) =>
      run(
        () => session.browse(queue),
        (messages) => {
          for (const message of messages) this.deliver(subscription, kept(message));
          done();
        },
      ),
    );
  }

  #endBrowsing({ spec }: Subscription): void {
    const { transport, version, name } = this.#link;
    const headers: [string, string][] = [
      ['subscription', spec.id ?? ''],
      ['destination', spec.destination],
      ['message-id', `${spec.tag}@@${name}@@${spec.number}.${++this.#lastDelivery}`],
      ['browser', 'end'],
    ];
    writeFrame(transport, 'MESSAGE', headers, version);
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
    const { engines } = subscription;
    this.#catchUp(subscription, true);
    this.#subscriptions.remove(subscription);
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
    this.#subscriptions.settled(subscription);
    for (const delivery of held) delivery.settle(Outcome.REQUEUE);
  }

  #delete(queues: readonly string[], done: () => void): void {
    const next = (index: number): void => {
      const queue = queues[index];
      if (queue === undefined) {
        this.#link.context.engine.safe(done);
        return;
      }
      this.#link.run(
        () => this.#link.session.deleteQueue(queue, false, false),
        () => next(index + 1),
      );
    };
    next(0);
  }
}

/** How a subscription consumes each of its queues. */
type Settings = Omit<ConsumeSpec, 'queue' | 'tag' | 'acknowledge'>;

const PLAIN_SETTINGS: Settings = {
  credits: [],
  exclusive: false,
  priority: 0,
  arguments: NO_ARGUMENTS,
};

function ackMode(frame: Frame): AckMode {
  const mode = frame.get(names.ACK) ?? 'auto';
  if (mode === 'auto' || mode === 'client' || mode === 'client-individual') return mode;
  throw invalidHeader('SUBSCRIBE', 'ack');
}

/** The address whose messages are shown under the destination as it was subscribed to. */
function shownAs(
  destination: Destination,
): Pick<SubscriptionSpec, 'exchange' | 'routingKey' | 'alone'> {
  switch (destination.kind) {
    case 'queue':
    case 'existing':
      return { exchange: '', routingKey: destination.name, alone: false };
    case 'topic':
      return { exchange: TOPIC_EXCHANGE, routingKey: destination.key, alone: false };
    case 'virtual':
    case 'temporary-queue':
    case 'temporary-topic':
      return { exchange: '', routingKey: '', alone: true };
    default:
      return { exchange: '', routingKey: '', alone: false };
  }
}

/** A last value, delivered beside any queue: nothing to settle. */
function kept(message: Message): Delivery {
  return { message, queue: '', position: 0, attempts: 0, bindings: null, settle: () => {} };
}
