/** What a session is given, and what it consists of. */
import type { Authorizer, Principal } from '../../core/auth.ts';
import type {
  Session as EngineSession,
  Subscription as EngineSubscription,
  Eventually,
} from '../../core/engine.ts';
import type { BrokerError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Format } from '../../core/message.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { OutboxLink } from './outbox.ts';
import type { SubscriptionRequest } from './packet.ts';
import type { ShareGroups } from './share-groups.ts';
import type { SubscriptionOptions } from './subscription.ts';
import type { PatternTarget, QueueTarget } from './topic.ts';

/** The present connection, as its session needs it. */
export interface SessionLink extends OutboxLink {
  readonly principal: Principal;
  /** The client's own engine session. */
  readonly engine: EngineSession;
  readonly receiveMaximum: number;
  /** Another connection has taken the session over, or it was ended. */
  replaced(): void;
  /** The session's queue is gone. */
  broken(reason: BrokerError): void;
}

export interface SessionContext {
  readonly format: Format;
  readonly exchange: string;
  readonly authorizer: Authorizer;
  readonly counters: ProtocolCounters;
  readonly log: Log;
  readonly shares: ShareGroups;
  readonly messagesMax: number;
  readonly subscriptionsMax: number;
  /** Of a filter. */
  readonly levelsMax: number;
  /** QoS 0 messages for a socket that is full, in bytes. */
  readonly waitingBytesMax: number;
  /** Opens an engine session of the broker's own. */
  open(vhost: string): Eventually<EngineSession>;
  /** Draws a name for a session as a publisher (No Local). */
  drawTag(): Buffer;
  /** A subscription was added or changed, and is to survive a restart. */
  subscribed(identity: SessionIdentity, subscription: Subscription): void;
  unsubscribed(identity: SessionIdentity, filter: string): void;
}

export interface SessionIdentity {
  readonly vhost: string;
  readonly clientId: string;
  readonly user: string;
}

export interface Subscription {
  readonly filter: string;
  readonly target: PatternTarget | QueueTarget;
  readonly options: SubscriptionOptions;
  /** Its own consumer: of a shared queue or a queue of the vhost. */
  consumer: EngineSubscription | null;
}

/** A subscription as the client asked for it, with its identifier. */
export interface Wish {
  readonly request: SubscriptionRequest;
  readonly id: number;
}

/** The filter breaks the rules of MQTT 5 section 4.7 or 4.8.2. */
export class InvalidFilter extends Error {
  override readonly name = 'InvalidFilter';
}
