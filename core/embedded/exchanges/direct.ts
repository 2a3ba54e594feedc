import { XMPP_EXCHANGE } from '../../address.ts';
import type { Message } from '../../message.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router } from '../types.ts';

/** To every binding whose key is the message's (AMQP 0-9-1 section 3.1.3.1). */
export const direct: ExchangeType = {
  name: 'direct',
  create: ({ name }) => (name === XMPP_EXCHANGE ? new JidRouter() : new DirectRouter()),
};

class DirectRouter implements Router {
  readonly #byKey = new Map<string, Binding[]>();

  add(binding: Binding): void {
    const key = binding.spec.routingKey;
    const bound = this.#byKey.get(key);
    if (bound === undefined) this.#byKey.set(key, [binding]);
    else bound.push(binding);
  }

  remove(binding: Binding): void {
    const key = binding.spec.routingKey;
    const bound = this.#byKey.get(key);
    const at = bound?.indexOf(binding) ?? -1;
    if (bound === undefined || at === -1) return;
    bound.splice(at, 1);
    if (bound.length === 0) this.#byKey.delete(key);
  }

  route(_message: Message, routingKey: string, matches: Matches): void {
    const bound = this.#byKey.get(routingKey);
    if (bound === undefined) return;
    for (const binding of bound) matches.add(binding);
  }
}

/** The exchange whose keys are JIDs: a binding key `@DOMAIN` takes everybody's there, too. */
class JidRouter extends DirectRouter {
  override route(message: Message, routingKey: string, matches: Matches): void {
    super.route(message, routingKey, matches);
    const slash = routingKey.indexOf('/');
    const at = routingKey.indexOf('@');
    if (at <= 0 || (slash >= 0 && slash < at)) return;
    super.route(message, routingKey.slice(at, slash < 0 ? undefined : slash), matches);
  }
}
