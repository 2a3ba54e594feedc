/**
 * `x-message-deduplication`: a fanout that routes nothing twice. The header
 * `x-deduplication-header` says what a message is; one without it is no duplicate. An exchange of
 * any other type does the same with the argument `x-message-deduplication` true.
 *
 * Remembered are the last `x-cache-size` values, each for `x-cache-ttl` milliseconds (for ever
 * without it; a message's header `x-cache-ttl` counts for that message), on disk where the exchange
 * is durable and `x-cache-persistence` does not say `memory`.
 */
import type { ExchangeSpec } from '../../engine.ts';
import { plain, toText } from '../../envelope.ts';
import { BrokerError } from '../../errors.ts';
import { type HeaderTable, type HeaderValue, header, type Message } from '../../message.ts';
import { DEDUPLICATION, deduplicationHeader, duplicateKey, SeenKeys } from '../duplicates.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router, RouterContext } from '../types.ts';
import { fanout } from './fanout.ts';
import { type Front, inFrontOf } from './inner.ts';

const SIZE = 'x-cache-size';
const TTL = 'x-cache-ttl';
const PERSISTENCE = 'x-cache-persistence';
const FOR_EVER = Number.MAX_SAFE_INTEGER;

export const deduplication: ExchangeType = {
  name: DEDUPLICATION,
  create: (spec, context) => deduplicating(fanout.create(spec, context), spec, context),
};

/** A router of its type, and in front of it what its arguments ask for. */
export function createRouter(
  type: ExchangeType,
  spec: ExchangeSpec,
  context: RouterContext,
): Router {
  const router = type.create(spec, context);
  const asked = type !== deduplication && spec.arguments.get(DEDUPLICATION) === true;
  return asked ? deduplicating(router, spec, context) : router;
}

function deduplicating(inner: Router, spec: ExchangeSpec, context: RouterContext): Router {
  return inFrontOf(inner, new DeduplicatingFront(inner, spec, context));
}

class DeduplicatingFront implements Front {
  readonly #inner: Router;
  readonly #header: string;
  /** Milliseconds; null: for ever. */
  readonly #ttlMs: number | null;
  readonly #context: RouterContext;
  readonly #seen: SeenKeys;

  constructor(inner: Router, spec: ExchangeSpec, context: RouterContext) {
    const values = spec.arguments;
    const most = context.limits.deduplicationMax;
    this.#inner = inner;
    this.#context = context;
    this.#header = deduplicationHeader(values);
    const size = positive(values, SIZE);
    if (size === null || size > most) {
      const reason = `'${SIZE}' must be an integer greater than 0, and at most ${most}`;
      throw refused(`Missing or invalid argument, ${reason}`);
    }
    this.#ttlMs = positive(values, TTL);
    const kept = values.get(PERSISTENCE) ?? (spec.durable ? 'disk' : 'memory');
    if (kept !== 'disk' && kept !== 'memory')
      throw refused(`Invalid argument, '${PERSISTENCE}' must be either 'disk' or 'memory'`);
    const table = kept === 'disk' ? context.table(spec, 'seen') : null;
    this.#seen = new SeenKeys(size, table, context.clock.now());
  }

  route(message: Message, routingKey: string, matches: Matches): void {
    if (!this.#repeats(message)) this.#inner.route(message, routingKey, matches);
  }

  passed(message: Message): void {
    if (this.#repeats(message)) return;
    this.#inner.passed?.(message);
    const key = duplicateKey(message, this.#header);
    if (key === null) return;
    const own = integerOf(header(message.properties.headers, TTL));
    const ttlMs = own ?? this.#ttlMs;
    this.#seen.add(key, ttlMs === null ? FOR_EVER : this.#context.clock.now() + ttlMs);
  }

  close(deleting: boolean): void {
    if (deleting) this.#seen.clear();
  }

  #repeats(message: Message): boolean {
    const key = duplicateKey(message, this.#header);
    return key !== null && this.#seen.has(key, this.#context.clock.now());
  }
}

/** The plug-in takes numbers as texts too. */
function positive(values: HeaderTable, name: string): number | null {
  const given = values.get(name);
  if (given === undefined) return null;
  const value = integerOf(given);
  if (value !== null) return value;
  throw refused(`Invalid argument, '${name}' must be an integer greater than 0`);
}

function integerOf(given: HeaderValue | undefined): number | null {
  if (given === undefined || !/^[0-9]{1,15}$/.test(toText(plain(given)))) return null;
  const value = Number(toText(plain(given)));
  return value > 0 ? value : null;
}

function refused(reason: string): BrokerError {
  return new BrokerError('precondition-failed', reason);
}
