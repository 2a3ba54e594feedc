import type { Message } from '../../message.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router } from '../types.ts';

/** To every binding whose key is the message's (AMQP 0-9-1 section 3.1.3.1). */
export const direct: ExchangeType = { name: 'direct', create: () => new DirectRouter() };

class DirectRouter implements Router {
  readonly #byKey = new Map<string, Binding[]>();

  add(binding: Binding): void {
    const key = binding.spec.routingKey;
    this.#byKey.set(key, [...(this.#byKey.get(key) ?? []), binding]);
  }

  remove(binding: Binding): void {
    const key = binding.spec.routingKey;
    const left = (this.#byKey.get(key) ?? []).filter((other) => other !== binding);
    if (left.length === 0) this.#byKey.delete(key);
    else this.#byKey.set(key, left);
  }

  route(_message: Message, routingKey: string, matches: Matches): void {
    const bound = this.#byKey.get(routingKey);
    if (bound === undefined) return;
    for (const binding of bound) matches.add(binding);
  }
}
