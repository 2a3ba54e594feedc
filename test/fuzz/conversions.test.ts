import { expect, test } from 'vitest';
import { fuzz } from './conversions.ts';

test('what a message says survives every way between two protocols', () => {
  expect(() => fuzz(7, 100)).not.toThrow();
});
