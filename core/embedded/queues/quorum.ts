/**
 * RabbitMQ's quorum queue with a quorum of one: a durable queue that confirms what is on the disk.
 * Its rules are RabbitMQ's, so that what was declared there can be declared here.
 */
import type { QueueSpec } from '../../engine.ts';
import { BrokerError } from '../../errors.ts';
import type { QueueType } from '../types.ts';
import { KNOWN_ARGUMENTS } from './arguments.ts';
import { ClassicQueue } from './classic.ts';

export const quorum: QueueType = {
  name: 'quorum',
  // How many nodes hold it, and which one leads, has only one answer here.
  accepts: [
    ...KNOWN_ARGUMENTS,
    'x-quorum-initial-group-size',
    'x-quorum-target-group-size',
    'x-queue-leader-locator',
  ],
  create: (spec, context) => {
    requireDurable(spec, context.vhost);
    return new ClassicQueue(spec, context, 'quorum');
  },
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
