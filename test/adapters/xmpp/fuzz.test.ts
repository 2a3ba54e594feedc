import { expect, test } from 'vitest';
import { fuzz } from '../../fuzz/xmpp.ts';

test('mutated streams harm nobody', () => {
  expect(() => fuzz(1, 1000)).not.toThrow();
});
