import { expect, test } from 'vitest';
import { fuzz } from './stomp.ts';

test('no input breaks a STOMP connection', () => {
  expect(() => fuzz(7, 5000)).not.toThrow();
});
