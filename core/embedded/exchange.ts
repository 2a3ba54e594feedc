import type { ExchangeSpec } from '../engine.ts';
import type { Message } from '../message.ts';
import type { PolicyDefinition } from '../policy.ts';
import type { Binding } from './binding.ts';
import type { Matches } from './matches.ts';
import type { Retained } from './retained.ts';
import type { Router } from './types.ts';

/** One exchange: what every type has in common, around its type's router. */
export class Exchange {
  readonly spec: ExchangeSpec;
  readonly router: Router;
  /** Where messages go that nothing here takes; null: nowhere. */
  alternate: string | null = null;
  /** Last values by routing key; made on the first. */
  retained: Retained | null = null;
  /** Stamp of the last publish that came by. */
  mark = 0;
  /** By their identity (`bindingKey`). */
  readonly bindings = new Map<string, Binding>();
  /** Asked for keys that nothing takes (`Session.claimUnrouted`). */
  claim: ((routingKey: string) => boolean) | null = null;
  /** Bindings of other exchanges that end here. */
  readonly incoming = new Set<Binding>();

  constructor(spec: ExchangeSpec, router: Router) {
    this.spec = spec;
    this.router = router;
    this.apply({});
  }

  /**
   * What policies say counts from now on, where its arguments do not say otherwise. For the default
   * exchange nothing does, as in RabbitMQ.
   */
  apply(definition: PolicyDefinition): void {
    if (this.spec.name === '') return;
    const alternate =
      this.spec.arguments.get('alternate-exchange') ?? definition['alternate-exchange'];
    this.alternate = typeof alternate === 'string' ? alternate : null;
  }

  /** Adds what matches a message here. Returns whether anything did. */
  route(message: Message, routingKey: string, matches: Matches): boolean {
    const before = matches.hits;
    this.router.route(message, routingKey, matches);
    const copies = message.copies;
    if (copies !== null) {
      for (const key of copies) this.router.route(message, key, matches);
    }
    if (matches.hits > before) return true;
    if (this.claim === null || !this.claim(routingKey)) return false;
    this.router.route(message, routingKey, matches);
    return matches.hits > before;
  }
}
