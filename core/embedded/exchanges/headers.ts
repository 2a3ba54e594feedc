/**
 * To every binding whose arguments the message's headers match (AMQP 0-9-1 section 3.1.3.4), with
 * RabbitMQ's `x-match`: `all` (default), `any`, and the `-with-x` forms that count `x-…` headers
 * too.
 */
import { plain, toText, typeNameOf } from '../../envelope.ts';
import { BrokerError } from '../../errors.ts';
import type { HeaderValue, Message } from '../../message.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router } from '../types.ts';

export const headers: ExchangeType = { name: 'headers', create: () => new HeadersRouter() };

interface Rule {
  readonly any: boolean;
  readonly wanted: readonly (readonly [name: string, value: HeaderValue])[];
}

class HeadersRouter implements Router {
  readonly #rules = new Map<Binding, Rule>();

  add(binding: Binding): void {
    this.#rules.set(binding, ruleOf(binding));
  }

  remove(binding: Binding): void {
    this.#rules.delete(binding);
  }

  route(message: Message, _routingKey: string, matches: Matches): void {
    if (this.#rules.size === 0) return;
    const present = new Map<string, HeaderValue>();
    // The first of a repeated name counts, as STOMP has it.
    for (const [name, value] of message.properties.headers)
      if (!present.has(name)) present.set(name, value);
    for (const [binding, rule] of this.#rules) {
      const holds = ([name, value]: readonly [string, HeaderValue]): boolean => {
        const actual = present.get(name);
        // A binding argument without a value asks for the header's presence only.
        return actual !== undefined && (value === null || same(value, actual));
      };
      if (rule.any ? rule.wanted.some(holds) : rule.wanted.every(holds)) matches.add(binding);
    }
  }
}

function ruleOf(binding: Binding): Rule {
  const match = binding.spec.arguments.get('x-match') ?? 'all';
  if (typeof match !== 'string' || !/^(all|any)(-with-x)?$/.test(match)) {
    const text = toText(match);
    throw new BrokerError(
      'precondition-failed',
      typeof match === 'string'
        ? `Invalid x-match field value <<"${text}">>; expected all, any, all-with-x, or any-with-x`
        : `Invalid x-match field type ${typeNameOf(match)} (value ${text}); expected longstr`,
    );
  }
  const withX = match.endsWith('-with-x');
  const wanted = [...binding.spec.arguments].filter(
    ([name]) => name !== 'x-match' && (withX || !name.startsWith('x-')),
  );
  return { any: match.startsWith('any'), wanted };
}

/** Equal in value; integers of different widths are. */
function same(one: HeaderValue, other: HeaderValue): boolean {
  const a = plain(one);
  const b = plain(other);
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
  if (Buffer.isBuffer(a)) return Buffer.isBuffer(b) && a.equals(b);
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((value, i) => same(value, b[i]));
  }
  if (a instanceof Map) {
    return (
      b instanceof Map &&
      a.size === b.size &&
      [...a].every(([name, value]) => b.has(name) && same(value, b.get(name)))
    );
  }
  return a === b;
}
