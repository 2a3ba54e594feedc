import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SortedMap } from '../../core/sorted-map.ts';
import { MemoryTable } from '../../core/table.ts';

const key = fc.oneof(fc.nat(200).map(String), fc.string({ maxLength: 3, unit: 'binary' }));

describe('a sorted map', () => {
  it('has what was set, in order, as a map that is sorted each time', () => {
    const change = fc.record({ set: fc.boolean(), key });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 200 }), key, fc.nat(20), (changes, from, most) => {
        const map = new SortedMap<number>(most % 2 === 0);
        const known = new Map<string, number>();
        for (const [n, each] of changes.entries()) {
          if (each.set) {
            map.set(each.key, n);
            known.set(each.key, n);
          } else expect(map.delete(each.key)).toBe(known.delete(each.key));
          expect(map.get(each.key)).toBe(known.get(each.key));
          expect(map.has(each.key)).toBe(known.has(each.key));
        }
        expect(map.size).toBe(known.size);
        expect(map.page('', 1)).toEqual([...known.keys()].sort().slice(0, 1));
        map.set('last', -1);
        known.set('last', -1);
        const behind = [...known.keys()].sort().filter((each) => each >= from);
        expect(map.page(from, most)).toEqual(behind.slice(0, most));
      }),
    );
  });

  it('keeps a hundred thousand keys in order, whichever way they come and go', () => {
    const keys = Array.from({ length: 100_000 }, (_, n) => String((n * 7919) % 100_000));
    const map = new SortedMap<null>();
    for (const each of keys) map.set(each, null);
    expect(map.page('', keys.length)).toEqual([...keys].sort());
    for (const each of keys.slice(10)) map.delete(each);
    expect(map.page('', keys.length)).toEqual(keys.slice(0, 10).sort());
  });
});

describe('a table in memory', () => {
  it('has entries by prefix, and may be changed while they are walked', () => {
    const table = new MemoryTable<number>();
    for (let n = 0; n < 1000; n++) table.set(`b${n}`, n);
    table.set('a', 0);
    table.set('c', 0);
    const seen: string[] = [];
    for (const [each] of table.entries('b')) {
      seen.push(each);
      table.delete(each);
    }
    expect(seen).toEqual(Array.from({ length: 1000 }, (_, n) => `b${n}`).sort());
    expect([...table.entries()]).toEqual([
      ['a', 0],
      ['c', 0],
    ]);
    expect(table.size).toBe(2);
  });
});
