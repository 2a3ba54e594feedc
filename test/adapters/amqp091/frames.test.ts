import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameParser } from '../../../adapters/amqp091/frames.ts';
import { frame, octet } from './script.ts';

/**
 * What a parser makes of chunks; with `stopAfter`, it is stopped and resumed after each so many
 * frames.
 */
function parse(chunks: readonly Buffer[], stopAfter = Number.POSITIVE_INFINITY): string[] {
  const lines: string[] = [];
  const parser = new FrameParser(
    {
      frame: (type, channel, buffer, start, end) => {
        lines.push(`${type} ${channel} ${buffer.toString('hex', start, end)}`);
        return lines.length % stopAfter !== 0;
      },
    },
    4096,
  );
  try {
    for (const chunk of chunks) parser.feed(chunk);
    if (stopAfter < Number.POSITIVE_INFINITY) for (let i = 0; i < 100; i++) parser.resume();
  } catch (error) {
    lines.push(String(error));
  }
  return lines;
}

const anyFrame = fc
  .tuple(fc.constantFrom(1, 2, 3, 8), fc.nat(65_535), fc.uint8Array({ maxLength: 60 }))
  .map(([type, channel, payload]) => frame(type, channel, Buffer.from(payload)));

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  chunks.push(bytes.subarray(at));
  return chunks;
}

test('frames are the same however their bytes are split', () => {
  const splits = fc.array(fc.nat(40), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 12 }), splits, (frames, sizes) => {
      const bytes = Buffer.concat(frames);
      const whole = parse([bytes]);
      expect(whole).toHaveLength(frames.length);
      expect(parse(cut(bytes, sizes))).toEqual(whole);
      expect(parse([...bytes].map((byte) => octet(byte)))).toEqual(whole);
      expect(parse(cut(bytes, sizes), 1)).toEqual(whole);
      expect(parse(cut(bytes, sizes), 3)).toEqual(whole);
    }),
  );
});

test('a size over the limit is refused before anything is kept', () => {
  expect(parse([Buffer.from([3, 0, 1, 0xff, 0xff, 0xff, 0xff])])).toEqual([
    'AmqpError: type 3, all octets = <<>>: {frame_too_large,4294967295,4088}',
  ]);
});

test('clients that count the frame’s own bytes wrongly are let through', () => {
  expect(parse([frame(3, 1, Buffer.alloc(4096))])).toHaveLength(1);
  expect(parse([frame(3, 1, Buffer.alloc(4097))])[0]).toContain('frame_too_large,4097');
});

test('a wrong frame end quotes what came', () => {
  const broken = frame(1, 1, Buffer.alloc(20, 7));
  broken[broken.length - 1] = 0;
  expect(parse([broken])[0]).toBe(
    `AmqpError: type 1, first 16 octets = <<${Array(16).fill(7).join(',')}>>: {invalid_frame_end_marker,0}`,
  );
});
