import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Entry, type Home } from '../../../../core/embedded/queues/entry.ts';
import { ReadyList } from '../../../../core/embedded/queues/ready-list.ts';
import { message } from '../../../support/messages.ts';

const HOME: Home = { name: 'q', settle: () => {} };

function entry(position: number, priority: number): Entry {
  return new Entry(message({ priority }), HOME, position, 0, null, 0, 0);
}

const action = fc.record({
  what: fc.constantFrom('push', 'push', 'push', 'shift', 'insert', 'lowest'),
  priority: fc.integer({ min: 0, max: 6 }),
  pick: fc.nat(),
});

describe('a ready list', () => {
  it('is a list sorted by priority and position, whatever comes back when', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), fc.constantFrom(0, 3), (actions, max) => {
        const list = new ReadyList(max);
        const level = (each: Entry): number => Math.min(each.message.priority, max);
        const model: Entry[] = [];
        const out: Entry[] = [];
        const add = (each: Entry): void => {
          model.push(each);
          model.sort((a, b) => level(b) - level(a) || a.position - b.position);
        };
        for (const [index, { what, priority, pick }] of actions.entries()) {
          if (what === 'push') {
            const pushed = entry(index + 1, priority);
            list.push(pushed);
            add(pushed);
          } else if (what === 'insert') {
            const [back] = out.length === 0 ? [] : out.splice(pick % out.length, 1);
            if (back === undefined) continue;
            list.insert(back);
            add(back);
          } else {
            const lowest = model.findIndex((each) => level(each) === Math.min(...model.map(level)));
            const [expected] =
              what === 'shift' ? model.splice(0, 1) : model.splice(lowest, lowest === -1 ? 0 : 1);
            const taken = what === 'shift' ? list.shift() : list.shiftLowest();
            expect(taken).toBe(expected);
            if (taken !== undefined) out.push(taken);
          }
          expect(list.length).toBe(model.length);
          expect(list.first()).toBe(model[0]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('takes back a hundred thousand in any order without quadratic work', () => {
    const list = new ReadyList(0);
    const count = 100_000;
    for (let n = 1; n <= count; n++) list.push(entry(n, 0));
    const out: Entry[] = [];
    for (let each = list.shift(); each !== undefined; each = list.shift()) out.push(each);
    for (let n = 0; n < count; n += 2) list.insert(out[n] ?? entry(0, 0));
    for (let n = 1; n < count; n += 2) list.insert(out[n] ?? entry(0, 0));
    let last = 0;
    for (let each = list.shift(); each !== undefined; each = list.shift()) {
      if (each.position !== last + 1) throw new Error(`${each.position} after ${last}`);
      last = each.position;
    }
    expect(last).toBe(count);
  });
});
