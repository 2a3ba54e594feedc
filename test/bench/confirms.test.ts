import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Confirms } from './confirms.ts';

it('tells of every message once, however it is confirmed', () => {
  const tags = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.boolean()));
  fc.assert(
    fc.property(tags, (acks) => {
      const told: number[] = [];
      const confirms = new Confirms((count, first = 0) => {
        for (let n = 0; n < count; n++) told.push(first + n);
      });
      const expected = new Set<number>();
      for (const [tag, multiple] of acks) {
        // A broker confirms nothing twice one by one.
        if (!multiple && expected.has(tag)) continue;
        for (let n = multiple ? 1 : tag; n <= tag; n++) expected.add(n);
        confirms.take(tag, multiple);
      }
      expect(new Set(told)).toEqual(expected);
      expect(told).toHaveLength(expected.size);
    }),
  );
});
