/**
 * The broker port: everything that an adapter may ask of a broker core, whichever engine is behind
 * it.
 *
 * Control calls may answer with a promise; a connection then takes no further frame for that
 * channel until it settles. Data calls (`publish`, `deliver`, `settle`) never wait. On the embedded
 * engine no call returns a promise, so declare → bind → publish in one packet is one synchronous
 * pass.
 *
 * Every operation is checked against the principal's permissions here, not in adapters. An
 * operation that is refused throws (or rejects with) a `BrokerError`.
 */
import type { Principal } from './auth.ts';
import type { BrokerError } from './errors.ts';
import { LazySet } from './lazy-set.ts';
import type { Address, HeaderTable, Message } from './message.ts';
import type { Governed, PolicyKind, PolicyRequest, PolicyView } from './policy.ts';
import type { Table } from './table.ts';

export type { Table } from './table.ts';

/** Plain where the answer is known here, a promise where it must be asked for elsewhere. */
export type Eventually<T> = T | Promise<T>;

/**
 * Who is at the other end of a connection; for logs, and for rules such as "guest from loopback
 * only".
 */
export interface Peer {
  /** `host:port` of the client. */
  readonly address: string;
  readonly loopback: boolean;
  readonly tls: boolean;
  /** The listener it came in on, as `mqtt://127.0.0.1:1883`. */
  readonly listener: string;
  /** The listener's protocol, as in the configuration. */
  readonly protocol: string;
  /** Which MQTT client it is, once it has said so. */
  readonly clientId?: string | undefined;
}

export interface Engine {
  readonly name: string;
  readonly capabilities: Capabilities;
  start(): Promise<void>;
  stop(): Promise<void>;
  /**
   * Opens a session. Throws `not-found` for no such vhost, `access-refused` for no permission in
   * it. `evicted` is called where the session is to end for a reason of the operators': the caller
   * tells its client so, and what it has not closed when `evicted` returns is closed.
   */
  open(
    vhost: string,
    principal: Principal,
    peer: Peer,
    evicted?: (reason: BrokerError) => void,
  ): Eventually<Session>;
  /**
   * A small durable space that is the calling adapter's own: rosters, MQTT sessions. Same name,
   * same table.
   */
  table(name: string): Table;
  /**
   * Calls `done` once everything that was changed before is as safe as the engine makes it: tables,
   * declarations, settlements. Within this call where nothing outlives the process.
   */
  safe(done: () => void): void;
  readonly admin: Admin;
}

/** The only licence for a difference between engines. */
export interface Capabilities {
  readonly exchangeTypes: readonly string[];
  readonly queueTypes: readonly string[];
  /** Of names of vhosts, exchanges and queues, in UTF-8. */
  readonly nameBytesMax: number;
  readonly transactions: boolean;
  readonly durable: boolean;
}

/** Read models and levers for operators. */
export interface Admin {
  vhosts(): readonly string[];
  vhost(name: string): VhostView | undefined;
  /** Makes a vhost, or changes what is given of one. True: it is new. */
  putVhost(name: string, change: Partial<VhostMetadata>): boolean;
  /**
   * Undefined: no limit. Throws `not-found`, or `not-allowed` where the configuration limits the
   * vhost.
   */
  setVhostLimits(name: string, limits: VhostLimits): void;
  /**
   * Deletes a vhost with everything in it; its sessions end. Throws `not-found`, or `not-allowed`
   * for one of the configuration.
   */
  deleteVhost(name: string): void;
  /** Calls `listener` for each vhost that is deleted, once nothing of it is there any more. */
  onVhostDeleted(listener: (name: string) => void): void;
  /** Those of clients; the broker's own are left out. */
  sessions(): Iterable<SessionView>;
  /** Ends the sessions that `which` says; answers how many. */
  evict(which: (session: SessionView) => boolean, reason: BrokerError): number;
  /** What a user may do has changed. */
  rightsChanged(user: string): void;
  totals(): Totals;
  /** Why publishers are held; none: they are not. */
  alarms(): readonly ('memory' | 'disk')[];
  queues(vhost: string): Iterable<QueueView>;
  exchanges(vhost: string): Iterable<ExchangeView>;
  /** Without those of the default exchange, which every queue has. */
  bindings(vhost: string): Iterable<BindingSpec>;
  /** Where a message would go that is published to `address` now, and why. Throws for no vhost. */
  route(vhost: string, address: Address): RouteView;
  /** Throws `not-found` for no vhost, as the next two do. */
  policies(vhost: string, kind: PolicyKind): readonly PolicyView[];
  /**
   * Makes a policy, or puts it in the place of the one of its name; it counts at once. Throws
   * `precondition-failed` in RabbitMQ's words (`Validation failed…`) for what cannot be a policy,
   * and `not-allowed` where the configuration has one of that name. The same again does nothing.
   */
  setPolicy(vhost: string, kind: PolicyKind, policy: PolicyRequest): void;
  /**
   * Throws what making it would throw, in a vhost that may still have to be made; what is there
   * already may be made again as it is.
   */
  check(vhost: string, proposal: Proposal): void;
  /** Throws `not-found` for no such policy, and `not-allowed` for one of the configuration. */
  clearPolicy(vhost: string, kind: PolicyKind, name: string): void;
}

/** Something that is to be made. */
export type Proposal =
  | { readonly exchange: ExchangeSpec }
  | { readonly queue: QueueSpec }
  | { readonly policy: PolicyRequest; readonly kind: PolicyKind };

/** What a vhost says of itself. */
export interface VhostMetadata {
  readonly description: string;
  readonly tags: readonly string[];
  /** Of durable queues that are declared without one; empty: classic. */
  readonly defaultQueueType: string;
}

/** At a time; undefined: any number. */
export interface VhostLimits {
  readonly connectionsMax: number | undefined;
  readonly queuesMax: number | undefined;
}

export interface VhostView extends VhostMetadata {
  readonly name: string;
  readonly limits: VhostLimits;
  /** The limits stand in the configuration file: they cannot be changed. */
  readonly limitsConfigured: boolean;
  /** It stands in the configuration file: it cannot be deleted. */
  readonly configured: boolean;
}

/** One client's session. */
export interface SessionView {
  /** Of its connection: unique, and as RabbitMQ names connections. */
  readonly name: string;
  readonly user: string;
  readonly vhost: string;
  readonly peer: Peer;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/** A route as it is now; lists are cut at `limits.explainBindingsMax`. */
export interface RouteView {
  /** The exchange's type; null where there is no such exchange. */
  readonly exchangeType: string | null;
  readonly bindingsTotal: number;
  /** Of this exchange: those that match first. */
  readonly bindings: readonly BindingView[];
  readonly queues: readonly RoutedQueue[];
  /** Messages that wait for their time in this exchange. */
  readonly delayed: number;
  /** One sentence without its subject: `goes to 2 queues`. */
  readonly verdict: string;
}

export interface BindingView {
  readonly destination: string;
  readonly toExchange: boolean;
  readonly routingKey: string;
  readonly matches: boolean;
}

export interface RoutedQueue extends QueueView {
  /** The bindings that lead to it, in words. */
  readonly because: readonly string[];
}

export interface Totals {
  readonly vhosts: number;
  readonly exchanges: number;
  readonly queues: number;
  readonly bindings: number;
  readonly sessions: number;
  readonly consumers: number;
  readonly ready: number;
  readonly unacknowledged: number;
  /** Bytes of messages in memory. */
  readonly bytes: number;
  /** Messages that wait for their time before they are routed. */
  readonly delayed: number;
  /** Groups that read streams, and messages that these have still to be done with. */
  readonly streamGroups: number;
  readonly streamGroupsBehind: number;
}

export interface ExchangeView extends ExchangeSpec, Governed {}

export interface QueueView extends QueueSpec, Governed {
  readonly type: string;
  readonly ready: number;
  readonly unacknowledged: number;
  readonly consumers: number;
  readonly bytes: number;
  /** Of a stream: who reads it under a name. */
  readonly groups?: readonly StreamGroupView[];
}

/** Readers of a stream that share a place in it. */
export interface StreamGroupView {
  readonly name: string;
  /** Everything before this offset is done with. */
  readonly offset: number;
  /** Messages from there on. */
  readonly behind: number;
  readonly consumers: number;
}

export interface ExchangeSpec {
  readonly name: string;
  readonly type: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  /** Takes messages from other exchanges only. */
  readonly internal: boolean;
  readonly arguments: HeaderTable;
}

export interface QueueSpec {
  /** Empty: the broker chooses a name, `amq.gen-…`. */
  readonly name: string;
  readonly durable: boolean;
  /** Usable by the declaring session only, and gone with it. */
  readonly exclusive: boolean;
  /** Gone with its last consumer, once it had one. */
  readonly autoDelete: boolean;
  /**
   * RabbitMQ's `x-…` arguments; `x-queue-type` chooses the type. Unknown ones are logged as
   * ignored.
   */
  readonly arguments: HeaderTable;
}

export interface QueueStatus {
  readonly name: string;
  /** Ready messages. */
  readonly messages: number;
  readonly consumers: number;
}

export interface BindingSpec {
  /** An exchange. */
  readonly source: string;
  /** A queue, or with `toExchange` an exchange. */
  readonly destination: string;
  readonly toExchange: boolean;
  readonly routingKey: string;
  /**
   * Beside the exchange type's own arguments, two that any topic binding may carry:
   * `x-hide-system` true: a leading wildcard does not match keys that begin with `$` (MQTT 4.7.2);
   * `x-bypass` true: a `session` queue does not keep what came by this binding alone (MQTT QoS 0).
   */
  readonly arguments: HeaderTable;
}

/**
 * One authenticated client in one vhost. Permissions: configure to declare and delete, write to
 * publish and bind to, read to consume and bind from.
 */
export interface Session {
  readonly vhost: string;
  readonly principal: Principal;
  /**
   * Passive: only checks that it exists (`not-found`). Redeclaring otherwise than it is:
   * `precondition-failed`.
   */
  declareExchange(spec: ExchangeSpec, passive: boolean): Eventually<void>;
  deleteExchange(name: string, ifUnused: boolean): Eventually<void>;
  /** Another session's exclusive queue: `resource-locked`. */
  declareQueue(spec: QueueSpec, passive: boolean): Eventually<QueueStatus>;
  /**
   * Declares an exclusive queue under an unguessable name that begins with `prefix`, for replies
   * and other private ends. Needs no permission, and neither does consuming it in this session: who
   * knows the name may publish to it through the default exchange. Answers the name.
   */
  temporaryQueue(prefix: string): Eventually<string>;
  /** Messages deleted. A queue that is not there counts as deleted (0). */
  deleteQueue(name: string, ifUnused: boolean, ifEmpty: boolean): Eventually<number>;
  /** Ready messages removed. */
  purgeQueue(name: string): Eventually<number>;
  /** Binding the same again, or unbinding what is not bound, does nothing. */
  bind(binding: BindingSpec): Eventually<void>;
  unbind(binding: BindingSpec): Eventually<void>;
  /** Whether a queue of that name exists. No permission needed, nothing else told. */
  hasQueue(name: string): Eventually<boolean>;
  /**
   * `claim` is asked for the key of each message that nothing in `exchange` takes; where it has
   * made a queue or binding for it, it answers true, and the message is routed again. It must not
   * throw. One per exchange, for as long as the engine runs.
   */
  claimUnrouted(exchange: string, claim: (routingKey: string) => boolean): void;
  publisher(events: PublisherEvents): Publisher;
  /** May deliver before it returns. */
  consume(spec: ConsumeSpec, consumer: Consumer): Eventually<Subscription>;
  /** One ready message, or null. Without `acknowledge` it is settled already. */
  get(queue: string, acknowledge: boolean): Eventually<Pulled | null>;
  /**
   * Messages of a queue, oldest first, that stay where they are, whether delivered or not: at most
   * `limits.browseMessagesMax`. `not-implemented` for a stream.
   */
  browse(queue: string): Eventually<readonly Message[]>;
  /** Whether what is rejected in a queue goes elsewhere. A queue that is not there: false. */
  deadLetters(queue: string): Eventually<boolean>;
  /**
   * Publishes and settles as one: all of the publishes happen, and only then the settles, or it
   * throws and none did.
   */
  commit(
    publishes: readonly TransactedPublish[],
    settles: readonly TransactedSettle[],
    events: PublisherEvents,
  ): Eventually<void>;
  /**
   * Runs a step that settles several deliveries: all of what it gives back is back before anything
   * of it is handed out again.
   */
  together(step: () => void): void;
  /**
   * Last values (`Message.retain`) of an exchange whose routing key matches `pattern` (topic
   * wildcards), unexpired. Needs read permission as binding does.
   */
  retained(exchange: string, pattern: string): Eventually<readonly Message[]>;
  /** Requeues what was not settled, drops exclusive queues. Idempotent. */
  close(): Eventually<void>;
}

export interface Pulled {
  readonly delivery: Delivery;
  /** Ready messages that remain. */
  readonly remaining: number;
}

export interface TransactedPublish {
  readonly message: Message;
  readonly tag: number;
  readonly mandatory: boolean;
}

export interface TransactedSettle {
  readonly delivery: Delivery;
  readonly outcome: Outcome;
}

/**
 * Puts messages in. "Confirmed" means the same for every protocol: every queue that matched has
 * taken responsibility: a durable message in a durable queue is on disk, any other in memory.
 */
export interface Publisher {
  /**
   * Routes and enqueues now. With `tag` > 0 its fate is told, maybe before this returns.
   * Throws BrokerError for a missing exchange (`not-found`) or permission (`access-refused`); then
   * nothing is told. Returns false when the caller should stop reading its input until `writable`.
   */
  publish(message: Message, tag: number, mandatory: boolean): boolean;
  /** Nobody is told anything any more. */
  close(): void;
}

export interface PublisherEvents {
  /** Exactly once per tag > 0, in any order, maybe before `publish` returns. */
  settled(tag: number, fate: Fate): void;
  /** A mandatory message that no queue took; before its `settled`. */
  returned(message: Message): void;
  /** After `publish` returned false: go on reading. */
  writable(): void;
}

export const Fate = {
  CONFIRMED: 0,
  /** A queue said no (overflow, disk full). */
  REFUSED: 1,
  /**
   * No queue matched: told to every publisher (as success where its protocol has no word for it).
   */
  UNROUTABLE: 2,
  /** Unknown, may be tried again. */
  FAILED: 3,
} as const;
export type Fate = (typeof Fate)[keyof typeof Fate];

export const Outcome = {
  /** Done with: gone. */
  ACCEPT: 0,
  /** Back to its place, marked redelivered. */
  REQUEUE: 1,
  /** Not wanted: dead-lettered where the queue says so, else gone. */
  REJECT: 2,
} as const;
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

export interface Delivery {
  readonly message: Message;
  readonly queue: string;
  /** Its place in its queue: kept when it is requeued, and across restarts where it is durable. */
  readonly position: number;
  /** How often it was delivered before; > 0 is redelivered. */
  readonly attempts: number;
  /**
   * Which bindings of a `session` queue matched (MQTT subscription identifiers); null elsewhere.
   */
  readonly bindings: readonly BindingSpec[] | null;
  /**
   * Once. After the session or the queue is gone: does nothing. A consumer without acknowledgement
   * need not call it.
   */
  settle(outcome: Outcome): void;
}

export interface ConsumeSpec {
  readonly queue: string;
  /** For the log and the read models. */
  readonly tag: string;
  /** False: each delivery counts as accepted when handed over. */
  readonly acknowledge: boolean;
  /** Nobody else consumes (`access-refused` for the second). */
  readonly exclusive: boolean;
  /** Higher first, among those that can take more. */
  readonly priority: number;
  /** Windows that a delivery must fit in, each of which it takes one from until settled. */
  readonly credits: readonly Credit[];
  readonly arguments: HeaderTable;
  /**
   * What it wants; the rest stays for others, in order. It must always say the same of a message,
   * and not throw.
   */
  readonly filter?: (message: Message) => boolean;
  /** Stands by while another such consumer, of higher priority or older, takes everything. */
  readonly alone?: boolean;
  /**
   * The group that a message is of, or null: among consumers that say so, one gets all of a group's
   * messages. It must always say the same of a message, and not throw.
   */
  readonly groupOf?: (message: Message) => MessageGroup | null;
}

export interface MessageGroup {
  readonly name: string;
  /** The group ends with this message: the next of that name begins another. */
  readonly last: boolean;
}

export interface Consumer {
  /** Called in the publisher's turn or in a turn of the engine's own; must not throw. */
  deliver(delivery: Delivery): void;
  /** The queue is gone, or consuming it was taken away; nothing more comes. */
  cancelled(reason: BrokerError): void;
}

export interface Subscription {
  /** The queue's own time-out for acknowledgements at present, in milliseconds; 0: none. */
  readonly timeoutMs?: number;
  /** Hands out nothing until `resume`. */
  pause(): void;
  resume(): void;
  /** No more deliveries; unsettled ones stay with the consumer's session. */
  cancel(): Eventually<void>;
}

/**
 * A window on unsettled deliveries: AMQP prefetch, MQTT receive maximum, STOMP prefetch-count. One
 * that several consumers share is AMQP's global qos. `limit` 0 is no limit.
 */
export class Credit {
  #limit: number;
  #outstanding = 0;
  readonly #waiting = new LazySet<() => void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get limit(): number {
    return this.#limit;
  }

  set limit(limit: number) {
    this.#limit = limit;
    this.#wake();
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  get available(): boolean {
    return this.#limit === 0 || this.#outstanding < this.#limit;
  }

  take(): void {
    this.#outstanding++;
  }

  give(): void {
    this.#outstanding--;
    if (this.#waiting.size > 0) this.#wake();
  }

  /**
   * Calls `wake` once, when there may be room again. The same function waits once however often it
   * asks.
   */
  onAvailable(wake: () => void): void {
    this.#waiting.add(wake);
  }

  #wake(): void {
    if (!this.available || this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}

/** Arguments of a declaration that has none. */
export const NO_ARGUMENTS: HeaderTable = new Map();
