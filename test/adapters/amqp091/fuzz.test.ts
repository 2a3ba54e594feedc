import { expect, test } from 'vitest';
import { fuzz } from '../../fuzz/amqp091.ts';

test('damaged input does no harm', () => {
  for (const seed of [1, 2, 3]) expect(() => fuzz(seed, 5000)).not.toThrow();
});
