/** RabbitMQ's classic queue as it is declared. */
import type { QueueType } from '../types.ts';
import { ArgumentReader, KNOWN_ARGUMENTS } from './arguments.ts';
import { ClassicQueue } from './classic.ts';

/** RabbitMQ's modes: both are the same queue here. */
const MODES: readonly string[] = ['default', 'lazy'];

export const classic: QueueType = {
  name: 'classic',
  // How it keeps its messages, and on which node, has only one answer here.
  accepts: [
    ...KNOWN_ARGUMENTS,
    'x-queue-mode',
    'x-queue-version',
    'x-queue-master-locator',
    'x-queue-leader-locator',
  ],
  check: (spec, vhost) => {
    const reader = new ArgumentReader(spec, vhost);
    const mode = reader.text('x-queue-mode') ?? 'default';
    if (!MODES.includes(mode)) reader.fail('x-queue-mode', `"unsupported queue mode '${mode}'"`);
    const version = reader.integer('x-queue-version', 0) ?? 1;
    if (version !== 1 && version !== 2)
      reader.fail('x-queue-version', `"unsupported queue version '${version}'"`);
  },
  create: (spec, context) => new ClassicQueue(spec, context, 'classic'),
};
