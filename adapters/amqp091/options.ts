/** The `amqp` section of the configuration file. */
import { z } from 'zod';
import { parseSection } from '../../core/config.ts';

export interface AmqpOptions {
  /** A delivery that nobody settles for so long ends its channel, in milliseconds; 0: never. */
  readonly consumerTimeoutMs: number;
  /** Whom clients are that log in as nobody (SASL ANONYMOUS); null: none are let in. */
  readonly anonymousUser: string | null;
}

const schema = z
  .strictObject({
    consumer_timeout_ms: z
      .int()
      .min(0)
      .default(30 * 60_000),
    allow_anonymous: z.boolean().default(false),
    anonymous_user: z.string().min(1).default('guest'),
  })
  .prefault({});

export function amqpOptions(section: unknown): AmqpOptions {
  const raw = parseSection(schema, section, 'amqp');
  return {
    consumerTimeoutMs: raw.consumer_timeout_ms,
    anonymousUser: raw.allow_anonymous ? raw.anonymous_user : null,
  };
}
