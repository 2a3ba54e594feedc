import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Output } from '../../adapters/output.ts';

type Step = readonly ['reserve' | 'write' | 'text' | 'take', number];

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('reserve', 'write', 'text', 'take'),
  fc.oneof(fc.nat(40), fc.nat(5000), fc.nat(40_000)),
);

/** Performs steps; answers what was written and what was taken. */
function perform(output: Output, steps: readonly Step[], taken: Buffer[]): Buffer {
  const written: Buffer[] = [];
  for (const [what, size] of steps) {
    if (what === 'take') {
      taken.push(...output.take().map((piece) => Buffer.from(piece)));
      continue;
    }
    const bytes = Buffer.alloc(size, written.length + 1);
    if (what === 'write') output.write(bytes);
    else if (what === 'text') output.text(bytes.toString('latin1'));
    else {
      output.reserve(size);
      output.buffer.set(bytes, output.offset);
      output.offset += size;
    }
    written.push(what === 'text' ? Buffer.from(bytes.toString('latin1')) : bytes);
  }
  return Buffer.concat(written);
}

describe('Output', () => {
  it('gives back exactly what was written, in order, however it was written', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const taken: Buffer[] = [];
        const output = new Output(() => {});
        const written = perform(output, steps, taken);
        taken.push(...output.take());
        expect(Buffer.concat(taken).equals(written)).toBe(true);
        expect(output.length).toBe(0);
      }),
    );
  });

  it('keeps outputs that are written to in turns apart', () => {
    fc.assert(
      fc.property(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 20 }), (turns) => {
        const outputs = [0, 1, 2].map(() => ({
          output: new Output(() => {}),
          all: [] as Buffer[],
        }));
        const taken: Buffer[][] = [[], [], []];
        turns.forEach((steps, turn) => {
          const one = outputs[turn % 3];
          if (one !== undefined) one.all.push(perform(one.output, steps, taken[turn % 3] ?? []));
        });
        outputs.forEach(({ output, all }, index) => {
          const got = Buffer.concat([...(taken[index] ?? []), ...output.take()]);
          expect(got.equals(Buffer.concat(all))).toBe(true);
        });
      }),
    );
  });

  it('tells of the first byte after each take, and only of that', () => {
    let touched = 0;
    const output = new Output(() => touched++);
    output.text('one');
    output.text('two');
    expect(touched).toBe(1);
    output.take();
    output.write(Buffer.alloc(5000));
    expect(touched).toBe(2);
  });

  it('offers what has gathered once it is more than 256 KiB, and goes on where it was taken', () => {
    const taken: Buffer[] = [];
    const output: Output = new Output(
      () => {},
      () => taken.push(...output.take()),
    );
    const frames = 8000;
    for (let i = 0; i < frames; i++) {
      output.reserve(100);
      output.buffer.fill(i & 0xff, output.offset, output.offset + 100);
      output.offset += 100;
    }
    expect(taken.length).toBeGreaterThan(0);
    const all = Buffer.concat([...taken, ...output.take()]);
    expect(all.length).toBe(frames * 100);
    for (let i = 0; i < frames; i++) expect(all[i * 100 + 99]).toBe(i & 0xff);
  });

  it('passes large chunks on uncopied', () => {
    const output = new Output(() => {});
    const large = Buffer.alloc(10_000, 7);
    output.text('head');
    output.write(large);
    output.text('tail');
    expect(output.length).toBe(10_008);
    expect(output.take()[1]).toBe(large);
  });

  it('takes no more of the shared slab than small frames need', () => {
    const outputs = Array.from({ length: 100 }, () => new Output(() => {}));
    for (const output of outputs) output.write(Buffer.alloc(100, 1));
    const blocks = new Set(outputs.map((output) => output.buffer.buffer));
    // A hundred first blocks of 512 bytes are less than one slab of 64 KiB; it may be cut in two.
    expect(blocks.size).toBeLessThanOrEqual(2);
    for (const output of outputs) output.take();
  });
});
