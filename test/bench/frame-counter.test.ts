import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameCounter, type Framing } from './frame-counter.ts';

/** One byte of length, which counts itself, then that many bytes less one. */
const FRAMING: Framing = {
  needed: 3,
  length: (bytes, offset) => bytes[offset] ?? 0,
};

describe('FrameCounter', () => {
  it('shows every frame once, with the bytes it needs, however the stream is split', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 30 });
    fc.assert(
      fc.property(sizes, fc.array(fc.integer({ min: 1, max: 25 })), (lengths, splits) => {
        const frames = lengths.map((length, index) =>
          Buffer.alloc(length, index).fill(length, 0, 1),
        );
        const stream = Buffer.concat(frames);
        const seen: [number, number | undefined][] = [];
        const counter = new FrameCounter(FRAMING, (bytes, offset, length) => {
          seen.push([length, length > 1 ? bytes[offset + Math.min(length, 3) - 1] : undefined]);
        });
        let at = 0;
        for (const split of splits) {
          counter.push(stream.subarray(at, at + split));
          at += split;
        }
        counter.push(stream.subarray(at));
        expect(seen).toEqual(
          lengths.map((length, index) => [length, length > 1 ? index : undefined]),
        );
      }),
    );
  });
});
