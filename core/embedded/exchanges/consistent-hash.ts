/**
 * `x-consistent-hash`: each message to one of the bindings, chosen by a hash of its routing key, of
 * a header (`hash-header`) or of a property (`hash-property`), in proportion to the weights that
 * the bindings' keys are.
 *
 * Each binding draws a lot for the hash, and the highest, weighted, wins (rendezvous hashing). So
 * the choice depends on nothing but the hash and the bindings; a binding that comes or goes moves
 * only the messages that it wins or won, and a weight may be any number.
 */
import { plain, toText } from '../../envelope.ts';
import { BrokerError } from '../../errors.ts';
import { type HeaderTable, header, type Message } from '../../message.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router } from '../types.ts';
import { hash, mix } from './hash.ts';

export const consistentHash: ExchangeType = {
  name: 'x-consistent-hash',
  create: (spec) => new ConsistentHashRouter(hashedOf(spec.arguments)),
};

/** What of a message is hashed. */
type Hashed = (message: Message, routingKey: string) => string;

interface Contender {
  readonly weight: number;
  readonly seed: number;
}

class ConsistentHashRouter implements Router {
  readonly #contenders = new Map<Binding, Contender>();
  readonly #hashed: Hashed;

  constructor(hashed: Hashed) {
    this.#hashed = hashed;
  }

  add(binding: Binding): void {
    const { destination, toExchange, routingKey } = binding.spec;
    const seed = hash(`${toExchange ? 'x' : 'q'}\0${destination}\0${routingKey}`);
    this.#contenders.set(binding, { weight: weightOf(routingKey), seed });
  }

  remove(binding: Binding): void {
    this.#contenders.delete(binding);
  }

  route(message: Message, routingKey: string, matches: Matches): void {
    if (this.#contenders.size === 0) return;
    const point = hash(this.#hashed(message, routingKey));
    let chosen: Binding | null = null;
    let highest = 0;
    for (const [binding, { weight, seed }] of this.#contenders) {
      // Between 0 and 1, exclusive.
      const lot = (mix(point ^ seed) + 0.5) / 2 ** 32;
      const score = weight / -Math.log(lot);
      if (score <= highest) continue;
      highest = score;
      chosen = binding;
    }
    if (chosen !== null) matches.add(chosen);
  }
}

function hashedOf(values: HeaderTable): Hashed {
  const name = values.get('hash-header');
  const property = values.get('hash-property');
  if (name !== undefined && property !== undefined) {
    throw refused('hash-header and hash-property are mutually exclusive');
  }
  if (name !== undefined) {
    if (typeof name !== 'string') throw refused(`Unsupported header: ${toText(name)}`);
    return (message) => toText(plain(header(message.properties.headers, name) ?? null));
  }
  switch (property) {
    case undefined:
      return (_message, routingKey) => routingKey;
    case 'correlation_id':
      return (message) => message.properties.correlationId?.toString() ?? '';
    case 'message_id':
      return (message) => message.properties.messageId ?? '';
    case 'timestamp':
      return (message) => String(message.properties.timestamp ?? '');
    default:
      throw refused(`Unsupported property: ${toText(property)}`);
  }
}

function weightOf(key: string): number {
  if (!/^[+-]?\d{1,15}$/.test(key))
    throw refused(`The binding key must be an integer: <<"${key}">>`);
  const weight = Number(key);
  if (weight < 1) throw refused('The binding key must be greater than 0');
  return weight;
}

function refused(reason: string): BrokerError {
  return new BrokerError('precondition-failed', reason);
}
