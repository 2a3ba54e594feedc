import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Unsettled } from '../../../adapters/amqp091/unsettled.ts';
import type { Delivery } from '../../../core/engine.ts';

let made = 0;
const delivery = (): Delivery => ({ queue: `${++made}` }) as unknown as Delivery;

test('tags count from 1, and each is taken once', () => {
  const unsettled = new Unsettled();
  const first = delivery();
  expect(unsettled.add(first)).toBe(1);
  expect(unsettled.skip()).toBe(2);
  expect(unsettled.add(delivery())).toBe(3);
  expect(unsettled.take(1)).toBe(first);
  expect(unsettled.take(1)).toBeNull();
  expect(unsettled.take(2)).toBeNull();
  expect(unsettled.take(4)).toBeNull();
  expect(unsettled.size).toBe(1);
});

test('one that is never settled does not keep the room of all that follow', () => {
  const unsettled = new Unsettled();
  const stuck = delivery();
  unsettled.add(stuck);
  for (let i = 0; i < 100_000; i++) unsettled.take(unsettled.add(delivery()));
  expect(unsettled.oldest).toBe(1);
  expect(unsettled.size).toBe(1);
  expect(unsettled.takeThrough(1)).toEqual([[1, stuck]]);
  expect(unsettled.oldest).toBe(unsettled.next);
});

/** The same in a few lines. */
class Model {
  readonly held = new Map<number, Delivery>();
  next = 1;

  through(tag: number): [number, Delivery][] | null {
    if (!this.held.has(tag)) return null;
    const taken = [...this.held].filter(([each]) => each <= tag).sort(([a], [b]) => a - b);
    for (const [each] of taken) this.held.delete(each);
    return taken;
  }
}

test('behaves as a map that is ordered by tag', () => {
  const step = fc.record({
    kind: fc.constantFrom('add', 'add', 'add', 'skip', 'take', 'through', 'all', 'restore'),
    draw: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const unsettled = new Unsettled();
      const model = new Model();
      let undone: [number, Delivery][] = [];
      for (const { kind, draw } of steps) {
        const tag = draw % (model.next + 1);
        if (kind === 'add') {
          const added = delivery();
          model.held.set(model.next, added);
          expect(unsettled.add(added)).toBe(model.next++);
        } else if (kind === 'skip') {
          expect(unsettled.skip()).toBe(model.next++);
        } else if (kind === 'take') {
          const taken = unsettled.take(tag);
          expect(taken).toBe(model.held.get(tag) ?? null);
          model.held.delete(tag);
          if (taken !== null) undone.push([tag, taken]);
        } else if (kind === 'through') {
          const taken = unsettled.takeThrough(tag);
          expect(taken).toEqual(model.through(tag));
          undone.push(...(taken ?? []));
        } else if (kind === 'all' && draw % 10 === 0) {
          expect(unsettled.takeAll()).toEqual([...model.held].sort(([a], [b]) => a - b));
          model.held.clear();
          undone = [];
        } else if (kind === 'restore') {
          undone.sort(([a], [b]) => a - b);
          unsettled.restore(undone);
          for (const [each, held] of undone) model.held.set(each, held);
          undone = [];
        }
        expect(unsettled.size).toBe(model.held.size);
        expect(unsettled.oldest).toBe(Math.min(model.next, ...model.held.keys()));
      }
    }),
    { numRuns: 300 },
  );
});
