/**
 * What a component, or a server that the gateway is a component of, publishes: its stream has no
 * acknowledgements, so that errors, and receipts of places, come as stanzas.
 */
import type { Session } from '../../core/engine.ts';
import type { Message } from '../../core/message.ts';
import type { Element } from './element.ts';
import type { Entity } from './entity.ts';
import type { Host } from './host.ts';
import { Outbox, type OutboxOwner } from './outbox.ts';
import { receiptOf } from './receipts.ts';
import { type Condition, errorReply, isAnswerable } from './stanza-error.ts';
import { wireOf } from './wire.ts';

type Sender = Pick<Entity, 'send' | 'hold' | 'release'>;

export class ComponentOutbox implements OutboxOwner {
  readonly #sender: Sender;
  readonly #host: Host;
  readonly #outbox: Outbox;

  constructor(sender: Sender, engine: Session, host: Host) {
    this.#sender = sender;
    this.#host = host;
    this.#outbox = new Outbox(this, engine, host.counters);
  }

  /** As `Entity.publish`. */
  publish(message: Message, stanza: Element, mandatory: boolean, unrouted?: () => void): boolean {
    return this.#outbox.publish(message, stanza, 0, mandatory, unrouted);
  }

  bounce(stanza: Element, condition: Condition): void {
    if (isAnswerable(stanza)) this.#sender.send(wireOf(errorReply(stanza, condition)), null);
  }

  confirmed(stanza: Element): void {
    const receipt = receiptOf(stanza, this.#host.domains);
    if (receipt !== null) this.#sender.send(wireOf(receipt), null);
  }

  hold(): void {
    this.#sender.hold();
  }

  release(): void {
    this.#sender.release();
  }

  progressed(): void {
    // Nothing is acknowledged by number.
  }

  close(): void {
    this.#outbox.close();
  }
}
