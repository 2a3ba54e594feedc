/**
 * RabbitMQ's quorum queue with a quorum of one: a durable queue that confirms what is on the disk.
 * Its rules are RabbitMQ's, so that what was declared there can be declared here.
 */
import type { QueueSpec } from '../../engine.ts';
import { BrokerError } from '../../errors.ts';
import type { QueueType } from '../types.ts';
import { ArgumentReader, DEAD_LETTER_STRATEGY, KNOWN_ARGUMENTS } from './arguments.ts';
import { ClassicQueue } from './classic.ts';

const SIZES = ['x-quorum-initial-group-size', 'x-quorum-target-group-size'] as const;
const LOCATORS = ['client-local', 'balanced', 'random', 'least-leaders'] as const;

export const quorum: QueueType = {
  name: 'quorum',
  // How many nodes hold it, which one leads, and what of it is in memory: one answer here.
  accepts: [
    ...KNOWN_ARGUMENTS,
    ...SIZES,
    'x-queue-leader-locator',
    'x-max-in-memory-length',
    'x-max-in-memory-bytes',
    DEAD_LETTER_STRATEGY,
  ],
  check: (spec, vhost) => {
    requireDurable(spec, vhost);
    const reader = new ArgumentReader(spec, vhost);
    for (const size of SIZES) reader.integer(size, 1);
    reader.integer('x-max-in-memory-length', 0);
    reader.integer('x-max-in-memory-bytes', 0);
    reader.oneOf('x-queue-leader-locator', LOCATORS, 'invalid_queue_locator_arg');
  },
  namedOnly: true,
  create: (spec, context) => new ClassicQueue(spec, context, 'quorum'),
};

/** Throws for what neither a quorum queue nor a stream can be. */
export function requireDurable(spec: QueueSpec, vhost: string): void {
  const wrong = spec.exclusive
    ? 'exclusive-owner'
    : !spec.durable
      ? 'non-durable'
      : spec.autoDelete
        ? 'auto-delete'
        : null;
  if (wrong === null) return;
  throw new BrokerError(
    'precondition-failed',
    `invalid property '${wrong}' for queue '${spec.name}' in vhost '${vhost}'`,
  );
}
