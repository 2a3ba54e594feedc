import { expect, it } from 'vitest';
import { randomName, SystemRandom } from '../../core/random.ts';

it('never gives the same bytes twice, and as many as are asked for', () => {
  const random = new SystemRandom();
  const names = new Set(Array.from({ length: 5000 }, () => randomName(random)));
  expect(names.size).toBe(5000);
  expect([0, 1, 16, 511, 512, 513, 10_000].map((size) => random.bytes(size).length)).toEqual([
    0, 1, 16, 511, 512, 513, 10_000,
  ]);
});

it('gives bytes that are the receiver’s own', () => {
  const random = new SystemRandom();
  const first = random.bytes(8);
  const kept = Buffer.from(first);
  random.bytes(8).fill(0);
  expect(first).toEqual(kept);
});
