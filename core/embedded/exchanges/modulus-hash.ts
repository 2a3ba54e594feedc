import type { Message } from '../../message.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router } from '../types.ts';
import { hash } from './hash.ts';

/**
 * `x-modulus-hash`: to one of the bindings, by the hash of the routing key modulo their number.
 * They stand in the order of their destinations' names, so that it is the same one after a restart.
 */
export const modulusHash: ExchangeType = {
  name: 'x-modulus-hash',
  create: () => new ModulusHashRouter(),
};

class ModulusHashRouter implements Router {
  #bindings: readonly Binding[] = [];

  add(binding: Binding): void {
    const rank = rankOf(binding);
    const above = this.#bindings.findIndex((other) => rankOf(other) > rank);
    const at = above === -1 ? this.#bindings.length : above;
    this.#bindings = this.#bindings.toSpliced(at, 0, binding);
  }

  remove(binding: Binding): void {
    this.#bindings = this.#bindings.filter((other) => other !== binding);
  }

  route(_message: Message, routingKey: string, matches: Matches): void {
    if (this.#bindings.length === 0) return;
    const chosen = this.#bindings[hash(routingKey) % this.#bindings.length];
    if (chosen !== undefined) matches.add(chosen);
  }
}

function rankOf({ spec }: Binding): string {
  return `${spec.destination}\0${spec.toExchange ? 'x' : 'q'}\0${spec.routingKey}`;
}
