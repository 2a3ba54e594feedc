import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matches, words } from '../../../core/address.ts';
import { KeyTree } from '../../../core/embedded/key-tree.ts';

const word = fc.constantFrom('a', 'b', '', '$s');
const key = fc.array(word, { maxLength: 4 }).map((parts) => parts.join('.'));
const step = fc.constantFrom('a', 'b', '', '*', '#');
const pattern = fc
  .tuple(fc.constantFrom('a', '*', '#', '$s'), fc.array(step, { maxLength: 3 }))
  .map(([first, rest]) => (first === '#' ? [first] : [first, ...rest]).join('.'));

function found(tree: KeyTree<string>, p: string): string[] {
  const values: string[] = [];
  tree.match(p, (value) => values.push(value));
  return values.sort();
}

/** What `matches` says, but for system keys behind a leading wildcard. */
function visible(p: string, k: string): boolean {
  return matches(words(p), words(k)) && !(/^[*#]/.test(p) && k.startsWith('$'));
}

describe('a key tree', () => {
  it('finds what a comparison with every key finds, while keys come and go', () => {
    const change = fc.record({ set: fc.boolean(), key, pattern });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const tree = new KeyTree<string>();
        const known = new Set<string>();
        for (const each of changes) {
          const was = known.has(each.key) ? each.key : undefined;
          if (each.set) {
            expect(tree.set(each.key, each.key)).toBe(was);
            known.add(each.key);
          } else {
            expect(tree.delete(each.key)).toBe(was);
            known.delete(each.key);
          }
          expect(tree.size).toBe(known.size);
          expect(tree.get(each.key)).toBe(each.set ? each.key : undefined);
          expect(found(tree, each.pattern)).toEqual(
            [...known].filter((k) => visible(each.pattern, k)).sort(),
          );
        }
        expect([...tree.values()].sort()).toEqual([...known].sort());
      }),
      { numRuns: 500 },
    );
  });

  it('visits each value once however many hashes lead to it, and quickly', () => {
    const tree = new KeyTree<string>();
    const long = Array.from({ length: 200 }, () => 'a').join('.');
    tree.set(long, 'deep');
    expect(found(tree, Array.from({ length: 50 }, () => '#').join('.'))).toEqual(['deep']);
  });

  it('takes keys of thousands of words', () => {
    const tree = new KeyTree<string>();
    const long = Array.from({ length: 32_000 }, () => 'a').join('.');
    tree.set(long, 'deep');
    expect(found(tree, '#')).toEqual(['deep']);
    expect(tree.delete(long)).toBe('deep');
    expect([...tree.values()]).toEqual([]);
  });
});
