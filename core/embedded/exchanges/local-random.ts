import type { ExchangeType } from '../types.ts';
import { random } from './random.ts';

/** `x-local-random` (RabbitMQ 4): as `x-random`, among the queues of this node, which all are. */
export const localRandom: ExchangeType = { name: 'x-local-random', create: random.create };
