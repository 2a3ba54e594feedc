import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matches, words } from '../../../core/address.ts';
import { scanKeys, swapSeparator } from '../../../core/embedded/key-scan.ts';
import { MemoryTable } from '../../../core/table.ts';

const word = fc.oneof(
  fc.constantFrom('a', 'b', 'ab', 'a!', '', '$s', '$', '*x', '\0', 'a\0b', 'é', '\ue000', '😀'),
  fc.string({ maxLength: 3 }).map((text) => text.replaceAll('.', '')),
);
const key = fc.array(word, { maxLength: 4 }).map((parts) => parts.join('.'));
const step = fc.oneof({ weight: 2, arbitrary: fc.constantFrom('*', '#') }, word);
const pattern = fc.array(step, { maxLength: 5 }).map((parts) => parts.join('.'));

function tableOf(keys: readonly string[]): MemoryTable<string> {
  const table = new MemoryTable<string>();
  for (const each of keys) table.set(swapSeparator(each), each);
  return table;
}

function found(table: MemoryTable<string>, p: string): string[] {
  return [...scanKeys((from) => table.keys(from), p)].map((stored) => table.get(stored) ?? '');
}

/** What `matches` says, but for system keys behind a leading wildcard. */
function visible(p: string, k: string): boolean {
  return matches(words(p), words(k)) && !(/^[*#](\.|$)/.test(p) && k.startsWith('$'));
}

describe('stored keys', () => {
  it('are found by pattern as a comparison with each of them finds them, once each', () => {
    fc.assert(
      fc.property(fc.uniqueArray(key, { maxLength: 40 }), pattern, (keys, p) => {
        const expected = keys.filter((k) => visible(p, k));
        expect(found(tableOf(keys), p).sort()).toEqual(expected.sort());
      }),
      { numRuns: 3000 },
    );
  });

  it('are found where many words stand for a `*`', () => {
    const keys = Array.from(
      { length: 2000 },
      (_, n) => `a${n % 50}.b${n}.${n % 7 === 0 ? 'x' : 'y'}`,
    );
    const table = tableOf([...keys, '$SYS.b.x', 'a1', 'a1.b', 'a1.b.x.c']);
    for (const p of ['*.*.x', 'a1.*.x', '*.b7.x', 'a1.#', '#.x', '*.#.x', 'a1.*', '$SYS.#']) {
      const expected = [...keys, '$SYS.b.x', 'a1', 'a1.b', 'a1.b.x.c'].filter((k) => visible(p, k));
      expect(found(table, p).sort()).toEqual(expected.sort());
    }
  });

  it('are looked at only where they may match', () => {
    const keys = Array.from({ length: 20_000 }, (_, n) => `a${n % 4}.b${n}.c`);
    const table = tableOf([...keys, 'a2.b.x', 'z']);
    let looked = 0;
    const counted = function* (from: string): Iterable<string> {
      for (const each of table.keys(from)) {
        looked++;
        yield each;
      }
    };
    expect([...scanKeys(counted, '*.b.x')]).toEqual(['a2\0b\0x']);
    expect(looked).toBeLessThan(100);
    looked = 0;
    expect([...scanKeys(counted, 'z.#')]).toEqual(['z']);
    expect(looked).toBe(1);
  });

  it('of thousands of words fit patterns of many hashes, quickly', () => {
    const long = Array.from({ length: 32_000 }, () => 'a').join('.');
    const hashes = Array.from({ length: 50 }, () => '#').join('.');
    expect(found(tableOf([long]), hashes)).toEqual([long]);
    expect(found(tableOf([long]), `${hashes}.b`)).toEqual([]);
  });

  it('have a name of their own for every routing key', () => {
    fc.assert(
      fc.property(key, (k) => {
        expect(swapSeparator(swapSeparator(k))).toBe(k);
      }),
    );
  });
});
