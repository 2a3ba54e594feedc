/**
 * Whoever is connected and may send stanzas: a client's resource, or a component for its domain.
 */
import type { Session, Subscription } from '../../core/engine.ts';
import type { Message } from '../../core/message.ts';
import type { Element } from './element.ts';
import type { Jid } from './jid.ts';
import type { Receipt, Wire } from './wire.ts';

export interface Entity {
  /** A client's full JID; a component's domain. */
  readonly jid: Jid;
  /** The engine's session with the permissions of this entity. */
  readonly engine: Session;
  readonly congested: boolean;
  /** What is paused while the entity is congested. */
  readonly subscriptions: Set<Subscription>;
  send(wire: Wire, receipt: Receipt | null): void;
  /**
   * Publishes what `stanza` said. Where nobody is routed to, `unrouted` decides, else the stanza
   * comes back with an error (mapping, section 6). No `mandatory`: nobody listening is fine.
   * False where it was refused at once, and the sender told.
   */
  publish(message: Message, stanza: Element, mandatory: boolean, unrouted?: () => void): boolean;
  /** No further stanza of this entity is handled until `release`: an answer is on its way. */
  hold(): void;
  release(): void;
}

/** A part of the gateway with a domain of its own. */
export interface Service {
  readonly domain: string;
  handle(sender: Entity, stanza: Element, to: Jid): void;
  /** A component is gone, without a word of everybody in its domain. */
  left(entity: Entity): void;
  /** An account is gone for good, and what was kept for it with it. */
  erased?(jid: Jid): void;
}
