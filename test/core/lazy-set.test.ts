import { expect, it } from 'vitest';
import { LazySet } from '../../core/lazy-set.ts';

it('is a set, before its first member and after its last', () => {
  const set = new LazySet<string>();
  expect([set.size, set.has('a'), set.delete('a'), [...set]]).toEqual([0, false, false, []]);
  set.add('a');
  set.add('b');
  set.add('a');
  expect([set.size, set.has('a'), [...set]]).toEqual([2, true, ['a', 'b']]);
  expect([set.delete('a'), set.delete('a'), [...set]]).toEqual([true, false, ['b']]);
  set.clear();
  expect([set.size, [...set]]).toEqual([0, []]);
  set.add('c');
  expect([...set]).toEqual(['c']);
});

it('may lose members while they are gone through', () => {
  const set = new LazySet<number>();
  for (const member of [1, 2, 3]) set.add(member);
  const seen: number[] = [];
  for (const member of set) {
    seen.push(member);
    set.delete(member);
  }
  expect([seen, set.size]).toEqual([[1, 2, 3], 0]);
});
