import {
  type Consumer,
  type ConsumeSpec,
  type Delivery,
  Fate,
  type PublisherEvents,
} from '../../core/engine.ts';
import type { BrokerError } from '../../core/errors.ts';
import type { Message } from '../../core/message.ts';

/** A consumer that keeps what it gets, in order. */
export class Inbox implements Consumer {
  readonly deliveries: Delivery[] = [];
  readonly cancellations: BrokerError[] = [];

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
  }

  cancelled(reason: BrokerError): void {
    this.cancellations.push(reason);
  }

  get bodies(): string[] {
    return this.deliveries.map((delivery) => delivery.message.body.toString());
  }

  /** The bodies so far, which are then forgotten. */
  take(): string[] {
    const bodies = this.bodies;
    this.deliveries.length = 0;
    return bodies;
  }
}

const FATES = new Map(Object.entries(Fate).map(([name, fate]) => [fate, name]));

/** What a publisher is told, as text in order: `returned x`, `1 CONFIRMED`, `writable`. */
export class Outbox implements PublisherEvents {
  readonly events: string[] = [];

  settled(tag: number, fate: Fate): void {
    this.events.push(`${tag} ${FATES.get(fate)}`);
  }

  returned(message: Message): void {
    this.events.push(`returned ${message.body.toString()}`);
  }

  writable(): void {
    this.events.push('writable');
  }
}

export function consumeSpec(queue: string, parts: Partial<ConsumeSpec> = {}): ConsumeSpec {
  return {
    queue,
    tag: 'test',
    acknowledge: true,
    exclusive: false,
    priority: 0,
    credits: [],
    arguments: new Map(),
    ...parts,
  };
}
