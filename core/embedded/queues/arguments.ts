/** RabbitMQ's `x-…` arguments of a queue, checked as RabbitMQ checks them. */
import type { QueueSpec } from '../../engine.ts';
import { isInteger, plain, typeNameOf } from '../../envelope.ts';
import { BrokerError } from '../../errors.ts';
import type { HeaderTable, HeaderValue } from '../../message.ts';
import { DEDUPLICATION, DEDUPLICATION_HEADER, deduplicationHeader } from '../duplicates.ts';
import type { DeadLetters, QueueContext } from '../types.ts';

export const OVERFLOWS = ['drop-head', 'reject-publish', 'reject-publish-dlx'] as const;
export type Overflow = (typeof OVERFLOWS)[number];

const DEAD_LETTER_EXCHANGE = 'x-dead-letter-exchange';
/** Of a quorum queue. */
export const DEAD_LETTER_STRATEGY = 'x-dead-letter-strategy';
const STRATEGIES = ['at-most-once', 'at-least-once'] as const;
const DEAD_LETTER_ROUTING_KEY = 'x-dead-letter-routing-key';
const DELIVERY_LIMIT = 'x-delivery-limit';

/** RabbitMQ's own limit: ten years, in milliseconds. */
export const DURATION_MS_MAX = 10 * 365 * 24 * 3_600_000;

export interface QueueOptions {
  /** -1: none. */
  readonly ttlMs: number;
  /** 0: none. */
  readonly expiresMs: number;
  /** -1: none. */
  readonly maxLength: number;
  /** -1: none. */
  readonly maxBytes: number;
  readonly overflow: Overflow;
  readonly deadLetters: DeadLetters | null;
  /** A dead letter stays until it has arrived. */
  readonly keepsDead: boolean;
  /** 0: priorities are not looked at. */
  readonly maxPriority: number;
  readonly singleActive: boolean;
  /** -1: none. */
  readonly deliveryLimit: number;
  /** How long a delivery may wait to be settled; 0: as the gateway says. */
  readonly consumerTimeoutMs: number;
  /** By which header duplicates are known; null: they are taken. */
  readonly duplicatesBy: string | null;
  readonly retry: RetryOptions;
}

/** How long what was given back waits. */
export interface RetryOptions {
  /** After the first time; 0: not at all. */
  readonly minMs: number;
  readonly maxMs: number;
  /** By which it grows each time; 0: by its minimum. */
  readonly multiplier: number;
}

export const RETRY_TYPES = ['disabled', 'all', 'failed', 'returned'] as const;
/** LavinMQ's: 49.7 days, in milliseconds. */
const RETRY_MS_MAX = 2 ** 32 - 1;

/** What classic and quorum queues know, in the order in which RabbitMQ looks at them. */
export const KNOWN_ARGUMENTS = [
  'x-expires',
  'x-message-ttl',
  DEAD_LETTER_EXCHANGE,
  DEAD_LETTER_ROUTING_KEY,
  'x-max-length',
  'x-max-length-bytes',
  'x-max-priority',
  'x-overflow',
  'x-single-active-consumer',
  'x-queue-type',
  DELIVERY_LIMIT,
  'x-consumer-timeout',
  'x-delayed-retry-type',
  'x-delayed-retry-min',
  'x-delayed-retry-max',
  'x-delayed-retry-multiplier',
  DEDUPLICATION,
  DEDUPLICATION_HEADER,
] as const;

/** Throws `precondition-failed` in RabbitMQ's words for a value that cannot be. */
export function queueOptions(spec: QueueSpec, vhost: string): QueueOptions {
  const reader = new ArgumentReader(spec, vhost);
  const expiresMs = reader.milliseconds('x-expires', 1) ?? 0;
  const ttlMs = reader.milliseconds('x-message-ttl', 0) ?? -1;
  const exchange = reader.exchange(DEAD_LETTER_EXCHANGE);
  const routingKey = reader.text(DEAD_LETTER_ROUTING_KEY);
  if (routingKey !== null && exchange === null) {
    reader.fail(DEAD_LETTER_ROUTING_KEY, 'routing_key_but_no_dlx_defined');
  }
  const consumerTimeoutMs = reader.milliseconds('x-consumer-timeout', 0) ?? 0;
  const deduplicates = reader.flag(DEDUPLICATION) ?? false;
  reader.text(DEDUPLICATION_HEADER);
  const overflow = reader.oneOf('x-overflow', OVERFLOWS, 'invalid_overflow') ?? 'drop-head';
  const strategy = reader.oneOf(DEAD_LETTER_STRATEGY, STRATEGIES, 'invalid_dlx_strategy');
  return {
    ttlMs,
    expiresMs,
    maxLength: reader.integer('x-max-length', 0) ?? -1,
    maxBytes: reader.integer('x-max-length-bytes', 0) ?? -1,
    maxPriority: reader.integer('x-max-priority', 0, 255) ?? 0,
    overflow,
    deadLetters: exchange === null ? null : { exchange, routingKey },
    // As in RabbitMQ: what pushes out its oldest messages cannot wait for them.
    keepsDead: strategy === 'at-least-once' && overflow === 'reject-publish' && exchange !== null,
    singleActive: reader.flag('x-single-active-consumer') ?? false,
    // As in RabbitMQ 4 a negative one is none.
    deliveryLimit: Math.max(-1, reader.integer(DELIVERY_LIMIT, -Infinity) ?? -1),
    consumerTimeoutMs,
    duplicatesBy: deduplicates ? deduplicationHeader(spec.arguments) : null,
    retry: retryOptions(reader),
  };
}

/**
 * As `queueOptions`, where `effective` values stand in for what was declared. Of a policy RabbitMQ
 * passes over a dead-letter key without an exchange.
 */
export function effectiveOptions(
  spec: QueueSpec,
  vhost: string,
  effective: HeaderTable,
): QueueOptions {
  const values = new Map(effective);
  if (!values.has(DEAD_LETTER_EXCHANGE)) values.delete(DEAD_LETTER_ROUTING_KEY);
  return queueOptions({ ...spec, arguments: values }, vhost);
}

/** Those that a queue begins with. Throws as `queueOptions` does for what was declared. */
export function initialOptions(spec: QueueSpec, context: QueueContext): QueueOptions {
  const { vhost, effective } = context;
  const declared = queueOptions(spec, vhost);
  return effective === spec.arguments ? declared : effectiveOptions(spec, vhost, effective);
}

/** With a type as in RabbitMQ, where the longest wait is the shortest if nothing is said. */
function retryOptions(reader: ArgumentReader): RetryOptions {
  const type = reader.oneOf('x-delayed-retry-type', RETRY_TYPES, 'invalid_delayed_retry_type');
  const minMs = reader.milliseconds('x-delayed-retry-min', 1) ?? 0;
  const maxMs = reader.milliseconds('x-delayed-retry-max', 1);
  const multiplier = reader.integer('x-delayed-retry-multiplier', 1) ?? 0;
  return {
    minMs: type === 'disabled' ? 0 : minMs,
    maxMs: Math.min(maxMs ?? (type === null ? RETRY_MS_MAX : minMs), RETRY_MS_MAX),
    multiplier,
  };
}

export class ArgumentReader {
  readonly #spec: QueueSpec;
  readonly #vhost: string;

  constructor(spec: QueueSpec, vhost: string) {
    this.#spec = spec;
    this.#vhost = vhost;
  }

  fail(name: string, reason: string): never {
    throw new BrokerError(
      'precondition-failed',
      `invalid arg '${name}' for queue '${this.#spec.name}' in vhost '${this.#vhost}': ${reason}`,
    );
  }

  integer(name: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number | null {
    const given = this.#spec.arguments.get(name);
    if (given === undefined) return null;
    const value = plain(given);
    if (!isInteger(given) || typeof value !== 'number') {
      return this.fail(name, `"expected integer, got ${typeNameOf(given)}"`);
    }
    if (value < min) this.fail(name, value < 0 ? `{value_negative,${value}}` : '{value_zero,0}');
    if (value > max) this.fail(name, `{max_value_exceeded,${value}}`);
    return value;
  }

  milliseconds(name: string, min: number): number | null {
    const value = this.integer(name, min);
    if (value !== null && value > DURATION_MS_MAX) this.fail(name, `{value_too_large,${value}}`);
    return value;
  }

  /** Of the name of an exchange RabbitMQ complains in words of its own. */
  exchange(name: string): string | null {
    const given = this.#spec.arguments.get(name);
    if (given === undefined || typeof given === 'string') return given ?? null;
    const where = `queue '${this.#spec.name}' in vhost '${this.#vhost}'`;
    throw new BrokerError(
      'precondition-failed',
      `invalid type '${typeNameOf(given)}' for arg '${name}' in ${where}`,
    );
  }

  text(name: string): string | null {
    const given = this.#spec.arguments.get(name);
    if (given === undefined || typeof given === 'string') return given ?? null;
    return this.#unacceptable(name, given);
  }

  flag(name: string): boolean | null {
    const given = this.#spec.arguments.get(name);
    if (given === undefined || typeof given === 'boolean') return given ?? null;
    return this.#unacceptable(name, given);
  }

  oneOf<T extends string>(name: string, choices: readonly T[], reason: string): T | null {
    const value = this.text(name);
    if (value === null) return null;
    const chosen = choices.find((choice) => choice === value);
    return chosen ?? this.fail(name, reason);
  }

  #unacceptable(name: string, given: HeaderValue): never {
    return this.fail(name, `{unacceptable_type,${typeNameOf(given)}}`);
  }
}
