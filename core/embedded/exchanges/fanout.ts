import type { Message } from '../../message.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router } from '../types.ts';

/** To every binding, whatever the key (AMQP 0-9-1 section 3.1.3.2). */
export const fanout: ExchangeType = { name: 'fanout', create: () => new FanoutRouter() };

class FanoutRouter implements Router {
  readonly #bindings = new Set<Binding>();

  add(binding: Binding): void {
    this.#bindings.add(binding);
  }

  remove(binding: Binding): void {
    this.#bindings.delete(binding);
  }

  route(_message: Message, _routingKey: string, matches: Matches): void {
    for (const binding of this.#bindings) matches.add(binding);
  }
}
