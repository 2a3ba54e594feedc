import { expect, it } from 'vitest';
import { LazyMap } from '../../core/lazy-map.ts';

it('is a map, before its first entry and after its last', () => {
  const map = new LazyMap<string, number>();
  expect([map.get('a'), map.delete('a'), [...map.keys()], [...map.values()]]).toEqual([
    undefined,
    false,
    [],
    [],
  ]);
  map.set('a', 1);
  map.set('b', 2);
  expect([map.get('a'), [...map.keys()], [...map.values()]]).toEqual([1, ['a', 'b'], [1, 2]]);
  expect([map.delete('a'), map.delete('a'), map.get('a')]).toEqual([true, false, undefined]);
  map.clear();
  expect([...map.keys()]).toEqual([]);
  map.set('c', 3);
  expect(map.get('c')).toBe(3);
});
