/** The `amqp` section of the configuration file. */
import { z } from 'zod';
import { parseSection } from '../../core/config.ts';

export interface AmqpOptions {
  /** A delivery that nobody settles for so long ends its channel, in milliseconds; 0: never. */
  readonly consumerTimeoutMs: number;
}

const schema = z
  .strictObject({
    consumer_timeout_ms: z
      .int()
      .min(0)
      .default(30 * 60_000),
  })
  .prefault({});

export function amqpOptions(section: unknown): AmqpOptions {
  const { consumer_timeout_ms: consumerTimeoutMs } = parseSection(schema, section, 'amqp');
  return { consumerTimeoutMs };
}
