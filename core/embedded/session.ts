/** One client's way into a virtual host: every operation checked against its permissions. */
import type { Action, Authorizer, Principal, TopicPermission } from '../auth.ts';
import { SYSTEM } from '../auth.ts';
import type { Clock, Timer } from '../clock.ts';
import type {
  BindingSpec,
  Consumer,
  ConsumeSpec,
  ExchangeSpec,
  Fate,
  Peer,
  Publisher,
  PublisherEvents,
  Pulled,
  QueueSpec,
  QueueStatus,
  Session,
  SessionView,
  Subscription,
  TransactedPublish,
  TransactedSettle,
} from '../engine.ts';
import { BrokerError } from '../errors.ts';
import { LazySet } from '../lazy-set.ts';
import type { Limits } from '../limits.ts';
import type { Message } from '../message.ts';
import type { MemoryGauge } from './memory-gauge.ts';
import { Owner } from './owner.ts';
import type { VirtualHost } from './vhost.ts';

export interface SessionContext {
  readonly authorizer: Authorizer;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly memory: MemoryGauge;
  /** The session has closed. */
  ended(session: EmbeddedSession): void;
}

/** Resources that one session remembers its permissions for. */
const PERMISSIONS_REMEMBERED_MAX = 1024;

export class EmbeddedSession implements Session {
  readonly principal: Principal;
  readonly #vhost: VirtualHost;
  readonly #context: SessionContext;
  readonly #owner: Owner;
  readonly #publishers = new LazySet<EmbeddedPublisher>();
  readonly #evicted: (reason: BrokerError) => void;
  readonly #peer: Peer;
  readonly #since: number;
  /** Of topic exchanges that not every key of is allowed; nearly always none. */
  #topics: ReadonlyMap<string, TopicPermission> | undefined;
  /** Exchanges that may be published to, as far as asked. */
  readonly #writable = new LazySet<string>();

  constructor(
    vhost: VirtualHost,
    principal: Principal,
    context: SessionContext,
    peer: Peer,
    evicted: (reason: BrokerError) => void = () => {},
  ) {
    this.#vhost = vhost;
    this.principal = principal;
    this.#context = context;
    this.#owner = new Owner(principal.name);
    this.#evicted = evicted;
    this.#peer = peer;
    this.#since = context.clock.now();
    this.#topics = principal.topics?.get(vhost.name);
  }

  get vhost(): string {
    return this.#vhost.name;
  }

  get view(): SessionView {
    const { listener } = this.#peer;
    const local = listener.slice(listener.indexOf('://') + 3);
    return {
      name: `${this.#peer.address} -> ${local}`,
      user: this.principal.name,
      vhost: this.vhost,
      peer: this.#peer,
      since: this.#since,
    };
  }

  /** What was looked up of permissions before may be another now. */
  rightsChanged(): void {
    this.#topics = this.principal.topics?.get(this.vhost);
    this.#writable.clear();
  }

  evict(reason: BrokerError): void {
    this.#evicted(reason);
    this.close();
  }

  declareExchange(spec: ExchangeSpec, passive: boolean): void {
    if (!passive) {
      this.#require('configure', 'exchange', spec.name);
      const alternate = spec.arguments.get('alternate-exchange');
      if (typeof alternate === 'string') {
        this.#require('read', 'exchange', spec.name);
        this.#require('write', 'exchange', alternate);
      }
    }
    this.#vhost.declareExchange(spec, passive, this.principal === SYSTEM);
  }

  deleteExchange(name: string, ifUnused: boolean): void {
    this.#require('configure', 'exchange', name);
    this.#vhost.deleteExchange(name, ifUnused);
    this.#writable.delete(name);
  }

  declareQueue(spec: QueueSpec, passive: boolean): QueueStatus {
    const unnamed = spec.name === '' && !passive;
    const name = unnamed ? this.#vhost.drawName(spec) : spec.name;
    if (!passive) {
      this.#require('configure', 'queue', name);
      const deadLetter = spec.arguments.get('x-dead-letter-exchange');
      if (typeof deadLetter === 'string') {
        this.#require('read', 'queue', name);
        this.#require('write', 'exchange', deadLetter);
      }
    }
    this.#requireOpen();
    const trusted = unnamed || this.principal === SYSTEM;
    return this.#vhost.declareQueue({ ...spec, name }, passive, this.#owner, trusted);
  }

  temporaryQueue(prefix: string): string {
    this.#requireOpen();
    return this.#vhost.temporaryQueue(prefix, this.#owner);
  }

  deleteQueue(name: string, ifUnused: boolean, ifEmpty: boolean): number {
    this.#requireQueue('configure', name);
    return this.#vhost.deleteQueue(name, ifUnused, ifEmpty, this.#owner);
  }

  purgeQueue(name: string): number {
    this.#requireQueue('read', name);
    return this.#vhost.usableQueue(name, this.#owner).purge();
  }

  bind(binding: BindingSpec): void {
    this.#requireBinding(binding);
    this.#vhost.bind(binding, this.#owner);
  }

  unbind(binding: BindingSpec): void {
    this.#requireBinding(binding);
    this.#vhost.unbind(binding, this.#owner);
  }

  hasQueue(name: string): boolean {
    return this.#vhost.topology.queues.has(name);
  }

  claimUnrouted(exchange: string, claim: (routingKey: string) => boolean): void {
    this.#vhost.topology.exchange(exchange).claim = claim;
  }

  publisher(events: PublisherEvents): Publisher {
    const publisher = new EmbeddedPublisher(this, events, this.#context);
    this.#publishers.add(publisher);
    return publisher;
  }

  consume(spec: ConsumeSpec, consumer: Consumer): Subscription {
    this.#requireQueue('read', spec.queue);
    this.#requireOpen();
    return this.#vhost.consume(spec, consumer, this.#owner);
  }

  get(queue: string, acknowledge: boolean): Pulled | null {
    this.#requireQueue('read', queue);
    this.#requireOpen();
    return this.#vhost.get(queue, acknowledge, this.#owner);
  }

  browse(queue: string): readonly Message[] {
    this.#requireQueue('read', queue);
    this.#requireOpen();
    return this.#vhost.browse(queue, this.#owner);
  }

  deadLetters(name: string): boolean {
    return (this.#vhost.topology.queues.get(name)?.deadLetters ?? null) !== null;
  }

  commit(
    publishes: readonly TransactedPublish[],
    settles: readonly TransactedSettle[],
    events: PublisherEvents,
  ): void {
    const now = this.#context.clock.now();
    const routed = publishes.map((publish) => ({
      ...publish,
      message: this.admit(publish.message).begun(now),
    }));
    for (const { message } of routed) this.#vhost.routing.source(message);
    const publish = (): void => {
      for (const { message, tag, mandatory } of routed) {
        this.#vhost.routing.publish(message, tag, mandatory, events);
      }
    };
    if (settles.length > 0) this.#vhost.routing.onward(publish);
    else publish();
    this.together(() => {
      for (const { delivery, outcome } of settles) delivery.settle(outcome);
    });
  }

  together(step: () => void): void {
    this.#vhost.turn.run(step);
  }

  retained(exchange: string, pattern: string): readonly Message[] {
    this.#require('read', 'exchange', exchange);
    return this.#vhost.retained(exchange, pattern);
  }

  close(): void {
    if (this.#owner.closed) return;
    this.#owner.closed = true;
    for (const publisher of this.#publishers) publisher.close();
    this.#vhost.release(this.#owner);
    this.#context.ended(this);
  }

  /** The message as it will be routed; throws where this client may not publish it. */
  admit(message: Message): Message {
    const routed = this.#vhost.routing.target(message);
    const { exchange } = routed;
    if (!this.#writable.has(exchange)) {
      this.#require('write', 'exchange', exchange);
      if (this.#writable.size >= PERMISSIONS_REMEMBERED_MAX) this.#writable.clear();
      this.#writable.add(exchange);
    }
    if (this.#topics !== undefined) this.#requireTopic('write', exchange, routed.routingKey);
    return routed;
  }

  /** Routes an admitted message. Returns whether its queues want their publishers slowed. */
  route(message: Message, tag: number, mandatory: boolean, events: PublisherEvents): boolean {
    return this.#vhost.routing.publish(message, tag, mandatory, events);
  }

  forget(publisher: EmbeddedPublisher): void {
    this.#publishers.delete(publisher);
  }

  #requireOpen(): void {
    if (this.#owner.closed) throw new BrokerError('unavailable', 'the session is closed');
  }

  #requireBinding(binding: BindingSpec): void {
    if (binding.toExchange) this.#require('write', 'exchange', binding.destination);
    else this.#requireQueue('write', binding.destination);
    this.#require('read', 'exchange', binding.source);
    this.#requireTopic('read', binding.source, binding.routingKey);
  }

  /** RabbitMQ's topic permissions, which say something of exchanges of the type `topic` only. */
  #requireTopic(action: 'write' | 'read', exchange: string, routingKey: string): void {
    const pattern = this.#topics?.get(exchange)?.[action];
    if (pattern === undefined) return;
    if (this.#vhost.topology.findExchange(exchange)?.spec.type !== 'topic') return;
    const { authorizer } = this.#context;
    const { principal, vhost } = this;
    const variables = { username: principal.name, vhost, client_id: this.#peer.clientId };
    if (authorizer.matchesTopic(pattern, variables, routingKey)) return;
    const where = `topic '${routingKey}' in exchange '${exchange}' in vhost '${vhost}'`;
    throw new BrokerError(
      'access-refused',
      `${action} access to ${where} refused for user '${principal.name}'`,
    );
  }

  /** A session's own exclusive queue needs no permission: nobody else can see it. */
  #requireQueue(action: Action, name: string): void {
    if (!this.#vhost.owns(name, this.#owner)) this.#require(action, 'queue', name);
  }

  #require(action: Action, kind: 'exchange' | 'queue', name: string): void {
    // RabbitMQ's name of the default exchange where permissions are concerned.
    const resource = kind === 'exchange' && name === '' ? 'amq.default' : name;
    const { authorizer } = this.#context;
    if (authorizer.allows(this.principal, this.vhost, action, resource)) return;
    throw new BrokerError(
      'access-refused',
      `access to ${kind} '${resource}' in vhost '${this.vhost}' refused for user '${this.principal.name}'`,
    );
  }
}

/** Stands between the routing and its publisher's events, so that nobody is told after `close`. */
class EmbeddedPublisher implements Publisher, PublisherEvents {
  readonly #session: EmbeddedSession;
  #events: PublisherEvents;
  readonly #context: SessionContext;
  #stall: Timer | null = null;
  #holding = false;
  readonly #goOn = (): void => {
    this.#stall = null;
    if (this.#context.memory.full) {
      this.#context.memory.onRoom(this.#goOn);
      return;
    }
    this.#holding = false;
    this.#events.writable();
  };

  constructor(session: EmbeddedSession, events: PublisherEvents, context: SessionContext) {
    this.#session = session;
    this.#events = events;
    this.#context = context;
  }

  publish(message: Message, tag: number, mandatory: boolean): boolean {
    const routed = this.#session.admit(message);
    const slow = this.#session.route(routed, tag, mandatory, this);
    if (this.#holding) return false;
    if (this.#context.memory.full) this.#context.memory.onRoom(this.#goOn);
    else if (slow) {
      // For a while only: who is held may be the consumer that the queue waits for.
      this.#stall = this.#context.clock.after(this.#context.limits.publisherStallMs, this.#goOn);
    } else return true;
    this.#holding = true;
    return false;
  }

  settled(tag: number, fate: Fate): void {
    this.#events.settled(tag, fate);
  }

  returned(message: Message): void {
    this.#events.returned(message);
  }

  writable(): void {
    this.#events.writable();
  }

  close(): void {
    this.#events = NOBODY;
    this.#stall?.cancel();
    this.#context.memory.forget(this.#goOn);
    this.#session.forget(this);
  }
}

const NOBODY: PublisherEvents = { settled: () => {}, returned: () => {}, writable: () => {} };
