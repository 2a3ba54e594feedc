/**
 * An MQTT session (MQTT 5 section 4.1): what a client left with the broker, whether it is connected
 * or not: subscriptions, the queue behind them, what is in flight in both directions.
 *
 * The engine session beneath is the broker's own and lives as long as this one; while the client is
 * away its consumers pause, so that deliveries in flight stay as they are. What the client may read
 * is checked here; queues of the vhost (`$queue/q`) are consumed in the client's own name.
 */
import type { Principal } from '../../core/auth.ts';
import {
  type Consumer,
  type Credit,
  type Delivery,
  type Session as EngineSession,
  type Eventually,
  NO_ARGUMENTS,
  Outcome,
} from '../../core/engine.ts';
import { BrokerError, reasonOf } from '../../core/errors.ts';
import { after, called } from '../../core/eventually.ts';
import { LazySet } from '../../core/lazy-set.ts';
import { type HeaderTable, type Message, STREAM_GROUP_ARGUMENT } from '../../core/message.ts';
import { chain } from './chain.ts';
import { publishedQos } from './format.ts';
import { isPublishedBy } from './native.ts';
import { Hold, Outbox, type PacketStore, type SentPacket } from './outbox.ts';
import { OwnQueue, type QueueHolder } from './own-queue.ts';
import type { Qos } from './packet.ts';
import {
  InvalidFilter,
  type SessionContext,
  type SessionIdentity,
  type SessionLink,
  type Subscription,
  type Wish,
} from './session-context.ts';
import {
  optionsOf,
  optionsOfBindings,
  PLAIN_OPTIONS,
  type SubscriptionOptions,
  sameOptions,
} from './subscription.ts';
import { isTooDeep, type PatternTarget, parseFilter, type QueueTarget } from './topic.ts';

/** Of sessions that have none: nothing is ever added to it. */
const NO_SUBSCRIPTIONS = new Map<string, Subscription>();

export class MqttSession implements QueueHolder {
  readonly identity: SessionIdentity;
  readonly outbox: Outbox;
  readonly #context: SessionContext;
  readonly #packets: PacketStore;
  #subscriptions = NO_SUBSCRIPTIONS;
  /** Packet identifiers of QoS 2 messages that were taken and not yet released by the client. */
  readonly #incoming = new LazySet<number>();
  readonly #restored: boolean;
  #expirySeconds = 0;
  #tag: Buffer | null;
  #engine: EngineSession | null = null;
  #own: OwnQueue | null = null;
  #link: SessionLink | null = null;
  /** Its client's socket is full. */
  #slow = false;
  #waitingBytes = 0;
  #noLocals = 0;

  constructor(
    identity: SessionIdentity,
    context: SessionContext,
    packets: PacketStore,
    tag: Buffer | null,
    restored: boolean,
  ) {
    this.identity = identity;
    this.#context = context;
    this.#packets = packets;
    this.#tag = tag;
    this.#restored = restored;
    this.outbox = new Outbox(context.counters, packets, context.messagesMax);
  }

  get subscriptions(): ReadonlyMap<string, Subscription> {
    return this.#subscriptions;
  }

  get clientId(): string {
    return this.identity.clientId;
  }

  get durable(): boolean {
    return this.#packets.kept;
  }

  get messagesMax(): number {
    return this.#context.messagesMax;
  }

  get credit(): Credit {
    return this.outbox.credit;
  }

  get link(): SessionLink | null {
    return this.#link;
  }

  /** How long it outlives its connection; 0: not. */
  get expirySeconds(): number {
    return this.#expirySeconds;
  }

  set expirySeconds(seconds: number) {
    this.#expirySeconds = seconds;
    this.#packets.kept ||= seconds > 0;
  }

  /** What it is named by as a publisher, once a subscription of its own had to know. */
  get tag(): Buffer | null {
    return this.#tag;
  }

  /** Goes into what this session publishes, while a subscription of its own must know. */
  get publisherTag(): Buffer | null {
    return this.#noLocals > 0 ? this.#tag : null;
  }

  /** Whether a QoS 2 message of this identifier was taken already [MQTT-4.3.3-10]. */
  hasTaken(packetId: number): boolean {
    return this.#incoming.has(packetId);
  }

  /** A QoS 2 message is taken; its identifier is in use until the client releases it. */
  take(packetId: number): void {
    this.#incoming.add(packetId);
  }

  /**
   * Writes down what was taken, behind its message: where a crash comes between, the message comes
   * twice rather than not at all.
   */
  noteTaken(packetId: number): void {
    if (this.#incoming.has(packetId)) this.#packets.addTaken(packetId);
  }

  /** The client has released it, or it was refused. False: it was not taken. */
  release(packetId: number): boolean {
    if (!this.#incoming.delete(packetId)) return false;
    this.#packets.removeTaken(packetId);
    return true;
  }

  /** QoS 2 exchanges that were half done before a restart. */
  restorePackets(taken: Iterable<number>, sent: Iterable<SentPacket>): void {
    for (const packetId of taken) this.#incoming.add(packetId);
    this.outbox.restore(sent);
  }

  /** Calls `done` when a crash would leave everything as it is now. */
  safe(done: () => void): void {
    this.#packets.safe(done);
  }

  /** Done when a crash would leave everything as it is now. */
  secured(): Eventually<void> {
    return called((done) => this.safe(done));
  }

  /** A connection has come. Called after CONNACK. */
  attach(link: SessionLink): Eventually<void> {
    this.#link = link;
    this.#slow = false;
    this.#waitingBytes = 0;
    this.#own?.slow(false);
    this.outbox.attach(link, link.receiveMaximum);
    const own = [...this.subscriptions.values()].some(({ target }) => isOwn(target));
    let ready: Eventually<void> = own ? this.#ensureQueue() : undefined;
    for (const subscription of this.subscriptions.values()) {
      if (isOwn(subscription.target)) continue;
      ready = chain(ready, () => this.#reconsume(subscription));
    }
    return chain(ready, () => this.#own?.resume());
  }

  /** The connection is gone; the session may go on. */
  detach(): void {
    this.#link = null;
    this.#own?.pause();
    for (const subscription of this.subscriptions.values()) {
      void subscription.consumer?.cancel();
      subscription.consumer = null;
    }
    this.outbox.detach();
  }

  /** The session is over: nothing of it remains. */
  end(): Eventually<void> {
    this.#link = null;
    for (const { consumer } of this.subscriptions.values()) void consumer?.cancel();
    this.#own?.cancel();
    this.outbox.end();
    for (const packetId of [...this.#incoming]) this.release(packetId);
    const engine = this.#engine;
    if (engine === null) return;
    const left = [...this.subscriptions.values()].reduce<Eventually<void>>((ready, { target }) => {
      if (target.kind !== 'pattern' || target.sharedQueue === null) return ready;
      const queue = target.sharedQueue;
      return chain(ready, () => this.#context.shares.leave(engine, queue, this));
    }, undefined);
    const deleted = chain(left, () => this.#own?.delete());
    return chain(deleted, () => engine.close());
  }

  /** The broker is stopping: what is durable stays. */
  close(): Eventually<void> {
    this.#link = null;
    return this.#engine?.close();
  }

  /** The client's socket has room again. */
  drained(): void {
    this.#goOn();
    this.outbox.drained();
  }

  /**
   * The client's socket is full. What waits in queues goes on waiting; QoS 0 messages, which pass by
   * the session's queue, still come, and are dropped once there are too many bytes of them.
   */
  #slowDown(bytes: number): void {
    if (!this.#slow) {
      this.#slow = true;
      this.#own?.slow(true);
      for (const { consumer } of this.subscriptions.values()) consumer?.pause();
    }
    this.#waitingBytes += bytes;
  }

  #goOn(): void {
    if (!this.#slow) return;
    this.#slow = false;
    this.#waitingBytes = 0;
    this.#own?.slow(false);
    for (const { consumer } of this.subscriptions.values()) consumer?.resume();
  }

  /**
   * Adds a subscription, or replaces the one to the same filter [MQTT-3.8.4-3]. Throws BrokerError,
   * or InvalidFilter.
   */
  subscribe(wish: Wish, link: SessionLink): Eventually<Subscription> {
    const { filter } = wish.request;
    const target = parseFilter(filter, this.#context.exchange);
    if (target === null || isTooDeep(filter, this.#context.levelsMax)) {
      throw new InvalidFilter(filter);
    }
    const before = this.subscriptions.get(filter);
    if (before === undefined && this.subscriptions.size >= this.#context.subscriptionsMax) {
      throw new BrokerError('resource-exhausted', 'the session has too many subscriptions');
    }
    const options = optionsOf(wish.request, wish.id);
    const subscription: Subscription = { filter, target, options, consumer: null };
    return chain(this.#establish(subscription, before, link), () => {
      this.#keep(subscription, before);
      return subscription;
    });
  }

  /** Puts a subscription back that was there before a restart. */
  restore(wish: Wish): Eventually<void> {
    const target = parseFilter(wish.request.filter, this.#context.exchange);
    if (target === null) return;
    const { filter } = wish.request;
    const options = optionsOf(wish.request, wish.id);
    const subscription: Subscription = { filter, target, options, consumer: null };
    this.#add(subscription);
    if (target.kind === 'queue') return;
    return chain(this.#open(), (engine) => {
      if (target.sharedQueue !== null) {
        return this.#context.shares.join(engine, target.sharedQueue, target, this);
      }
      if (this.#own !== null) return this.#own.bind(subscription);
      this.#own = new OwnQueue(this, engine);
      return this.#own.declare([subscription]);
    });
  }

  /**
   * Whether there was such a subscription. What is queued by it already still goes out
   * [MQTT-3.10.4-3].
   */
  unsubscribe(filter: string): Eventually<boolean> {
    const subscription = this.subscriptions.get(filter);
    if (subscription === undefined) return false;
    this.#subscriptions.delete(filter);
    if (subscription.options.noLocal) this.#noLocals--;
    this.#context.unsubscribed(this.identity, filter);
    return chain(this.#dismantle(subscription), () => true);
  }

  /** Last values for a subscription, as far as its client has not had them. */
  retained(subscription: Subscription): Eventually<void> {
    const { target, options } = subscription;
    const engine = this.#engine;
    if (target.kind === 'queue' || target.sharedQueue !== null || engine === null) return;
    return chain(engine.retained(target.exchange, target.pattern), (messages) => {
      for (const message of messages) {
        // [MQTT-4.7.2-1] holds for last values as for others.
        if (target.hidesSystem && message.routingKey.startsWith('$')) continue;
        const qos = this.#qosOf(message, options.qos);
        const { exchange } = target;
        const subscriptionIds = options.ids;
        this.outbox.offer({
          ...{ message, qos, retain: true, subscriptionIds, exchange },
          ...{ delivery: null, hold: Hold.SESSION },
        });
      }
    });
  }

  #establish(
    subscription: Subscription,
    before: Subscription | undefined,
    link: SessionLink,
  ): Eventually<void> {
    const { target, options } = subscription;
    if (target.kind === 'queue') {
      return chain(this.#requireQueue(target.queue, link), () =>
        chain(before === undefined ? undefined : this.#dismantle(before), () =>
          this.#consume(subscription, target.queue, Hold.QUEUE, link),
        ),
      );
    }
    this.#requireRead(target.exchange, link.principal);
    if (target.sharedQueue !== null) {
      const queue = target.sharedQueue;
      return chain(this.#open(), (engine) =>
        chain(this.#context.shares.join(engine, queue, target, this), () => {
          void before?.consumer?.cancel();
          return this.#consume(subscription, queue, Hold.SHARED, link);
        }),
      );
    }
    return chain(this.#ensureQueue(), () => {
      const same = before !== undefined && sameOptions(before.options, options);
      return chain(this.#own?.bind(subscription), () =>
        before === undefined || same ? undefined : this.#own?.unbind(before),
      );
    });
  }

  #keep(subscription: Subscription, before: Subscription | undefined): void {
    if (before?.options.noLocal) this.#noLocals--;
    this.#add(subscription);
    this.#context.subscribed(this.identity, subscription);
  }

  #add(subscription: Subscription): void {
    if (this.#subscriptions === NO_SUBSCRIPTIONS) this.#subscriptions = new Map();
    this.#subscriptions.set(subscription.filter, subscription);
    if (!subscription.options.noLocal) return;
    this.#noLocals++;
    this.#tag ??= this.#context.drawTag();
  }

  #dismantle(subscription: Subscription): Eventually<void> {
    const { target, consumer } = subscription;
    const engine = this.#engine;
    if (isOwn(target)) return this.#own?.unbind(subscription);
    subscription.consumer = null;
    return chain(consumer?.cancel(), () => {
      if (target.kind === 'queue' || target.sharedQueue === null || engine === null) return;
      return this.#context.shares.leave(engine, target.sharedQueue, this);
    });
  }

  /**
   * Consumes again after a reconnect. What is gone meanwhile, or no longer allowed, is given up.
   */
  #reconsume(subscription: Subscription): Eventually<void> {
    const { target, filter } = subscription;
    const link = this.#link;
    if (link === null) return;
    const consumed = (): Eventually<void> => {
      if (target.kind === 'queue') {
        return chain(this.#requireQueue(target.queue, link), () =>
          this.#consume(subscription, target.queue, Hold.QUEUE, link),
        );
      }
      const queue = target.sharedQueue;
      if (queue === null) return;
      return chain(this.#open(), () => this.#consume(subscription, queue, Hold.SHARED, link));
    };
    return after(
      consumed,
      () => {},
      (error) => {
        this.#context.log.info({ filter, reason: reasonOf(error) }, 'subscription given up');
        this.#subscriptions.delete(filter);
        this.#context.unsubscribed(this.identity, filter);
      },
    );
  }

  /** Consumes a queue that is not the session's own. */
  #consume(
    subscription: Subscription,
    queue: string,
    hold: Hold,
    link: SessionLink,
  ): Eventually<void> {
    const engine = hold === Hold.QUEUE ? link.engine : this.#engine;
    if (engine === null) return;
    const consumer: Consumer = {
      deliver: (delivery) =>
        this.#deliver(delivery, subscription.options, delivery.message.exchange, hold),
      cancelled: () => {
        subscription.consumer = null;
      },
    };
    const spec = {
      ...{ queue, tag: this.identity.clientId, acknowledge: true, exclusive: false },
      ...{ priority: 0, credits: [this.credit], arguments: argumentsOf(subscription) },
    };
    return chain(engine.consume(spec, consumer), (consuming) => {
      // The client may have left while the engine was asked.
      if (this.#link !== link) return consuming.cancel();
      subscription.consumer = consuming;
      if (this.#slow) consuming.pause();
    });
  }

  #requireQueue(queue: string, link: SessionLink): Eventually<void> {
    return chain(link.engine.hasQueue(queue), (exists) => {
      if (exists) return;
      const spec = { name: queue, durable: true, exclusive: false, autoDelete: false };
      const declared = link.engine.declareQueue({ ...spec, arguments: NO_ARGUMENTS }, false);
      return chain(declared, () => {});
    });
  }

  #requireRead(exchange: string, principal: Principal): void {
    const { vhost } = this.identity;
    if (this.#context.authorizer.allows(principal, vhost, 'read', exchange)) return;
    throw new BrokerError('access-refused', `read access to exchange '${exchange}' refused`);
  }

  #open(): Eventually<EngineSession> {
    if (this.#engine !== null) return this.#engine;
    return chain(this.#context.open(this.identity.vhost), (engine) => {
      this.#engine = engine;
      return engine;
    });
  }

  /** The session's own queue, declared and consumed. */
  #ensureQueue(): Eventually<void> {
    if (this.#own?.consumed) return;
    return chain(this.#open(), (engine) => {
      const own = this.#own ?? new OwnQueue(this, engine);
      this.#own = own;
      // What a session of the same name left behind is not this one's.
      const fresh = this.#restored ? undefined : own.delete();
      // Should an operator have deleted it meanwhile, it is bound again.
      const declared = chain(fresh, () => own.declare(this.subscriptions.values()));
      return chain(
        chain(declared, () => own.consume()),
        () => {
          if (this.#link === null) own.pause();
        },
      );
    });
  }

  lost(reason: BrokerError): void {
    this.outbox.forgetPlaces();
    this.#link?.broken(reason);
  }

  #qosOf(message: Message, granted: Qos): Qos {
    const published = publishedQos(message, this.#context.format);
    return published < granted ? published : granted;
  }

  /**
   * A delivery of the session's own queue, for all the subscriptions that it matched
   * [MQTT-3.3.4-2].
   */
  deliver(delivery: Delivery): void {
    const { message, bindings } = delivery;
    const first = bindings?.[0];
    let options: SubscriptionOptions | null = PLAIN_OPTIONS;
    let exchange = message.exchange;
    if (bindings !== null && first !== undefined) {
      options = optionsOfBindings(bindings, this.#isOwnMessage(message));
      // The topic is that of the exchange which was subscribed to, whatever led there.
      const plain = this.#context.exchange;
      exchange = bindings.some(({ source }) => source === plain) ? plain : first.source;
    }
    if (options === null) {
      delivery.settle(Outcome.ACCEPT);
      return;
    }
    this.#deliver(delivery, options, exchange, Hold.SESSION);
  }

  #deliver(delivery: Delivery, options: SubscriptionOptions, exchange: string, hold: Hold): void {
    const { message } = delivery;
    const qos = this.#qosOf(message, options.qos);
    if (qos === 0 && this.#waitingBytes > this.#context.waitingBytesMax) {
      this.#context.counters.dropped++;
      delivery.settle(Outcome.ACCEPT);
      return;
    }
    this.outbox.deliver({
      message,
      qos,
      // [MQTT-3.3.1-12, MQTT-3.3.1-13]
      retain: message.retain && options.retainAsPublished,
      subscriptionIds: options.ids,
      exchange,
      delivery,
      hold,
    });
    if (this.#link?.congested) this.#slowDown(message.size);
  }

  #isOwnMessage(message: Message): boolean {
    if (this.#tag === null || message.format !== this.#context.format) return false;
    return isPublishedBy(message.native, this.#tag);
  }
}

/** A share of a stream is a group that the stream remembers a place for; of a queue it says nothing. */
function argumentsOf({ target }: Subscription): HeaderTable {
  if (target.kind !== 'queue' || target.group === null) return NO_ARGUMENTS;
  return new Map([[STREAM_GROUP_ARGUMENT, target.group]]);
}

function isOwn(target: PatternTarget | QueueTarget): boolean {
  return target.kind === 'pattern' && target.sharedQueue === null;
}
