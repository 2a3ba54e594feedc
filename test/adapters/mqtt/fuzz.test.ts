import { expect, it } from 'vitest';
import { fuzz } from '../../fuzz/mqtt.ts';

it('survives mutated packets', () => {
  expect(() => {
    for (const seed of [1, 2]) fuzz(seed, 1000);
  }).not.toThrow();
});
