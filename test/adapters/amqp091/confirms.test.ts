import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Confirms } from '../../../adapters/amqp091/confirms.ts';
import { Fate } from '../../../core/engine.ts';

/** What a client learns: acks as `a3`, several as `a1-3`, nacks as `n3`. */
function run(script: (confirms: Confirms) => void): { lines: string[]; told: Map<number, string> } {
  const lines: string[] = [];
  const told = new Map<number, string>();
  let highest = 0;
  const confirms = new Confirms({
    ack: (tag, count) => {
      const multiple = count > 1;
      lines.push(multiple ? `a-${tag}` : `a${tag}`);
      if (!multiple) {
        if (told.has(tag)) throw new Error(`${tag} told twice`);
        told.set(tag, 'ack');
        return;
      }
      for (let each = 1; each <= tag; each++) if (!told.has(each)) told.set(each, 'ack');
      highest = Math.max(highest, tag);
    },
    nack: (tag) => {
      if (told.has(tag)) throw new Error(`${tag} told twice`);
      lines.push(`n${tag}`);
      told.set(tag, 'nack');
    },
    waiting: () => lines.push('waiting'),
  });
  script(confirms);
  return { lines, told };
}

test('publishes that settle in order are confirmed together', () => {
  const { lines } = run((confirms) => {
    for (let tag = 1; tag <= 3; tag++) confirms.settled(tag, Fate.CONFIRMED);
    confirms.flush();
    confirms.settled(4, Fate.UNROUTABLE);
    confirms.flush();
    confirms.flush();
  });
  expect(lines).toEqual(['waiting', 'a-3', 'waiting', 'a4']);
});

test('a gap is not waited for', () => {
  const { lines } = run((confirms) => {
    for (const tag of [1, 3, 4]) confirms.settled(tag, Fate.CONFIRMED);
    confirms.flush();
    confirms.settled(2, Fate.CONFIRMED);
    confirms.settled(5, Fate.CONFIRMED);
    confirms.flush();
  });
  expect(lines).toEqual(['waiting', 'a1', 'a3', 'a4', 'waiting', 'a-5']);
});

test('a refusal is told alone, after the acks before it', () => {
  const { lines } = run((confirms) => {
    confirms.settled(1, Fate.CONFIRMED);
    confirms.settled(2, Fate.CONFIRMED);
    confirms.settled(3, Fate.REFUSED);
    confirms.settled(4, Fate.CONFIRMED);
    confirms.settled(5, Fate.FAILED);
    confirms.flush();
  });
  expect(lines).toEqual(['waiting', 'a-2', 'n3', 'waiting', 'a4', 'n5']);
});

test('whatever the order, every publish is told once and as it was', () => {
  const publishes = fc.array(fc.record({ refused: fc.boolean(), flush: fc.boolean() }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(publishes, fc.infiniteStream(fc.nat()), (list, draws) => {
      const order = list.map((_, index) => index);
      for (let i = order.length - 1; i > 0; i--) {
        const j = draws.next().value % (i + 1);
        [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
      }
      const settled = new Set<number>();
      const { told } = run((confirms) => {
        for (const index of order) {
          const { refused = false, flush = false } = list[index] ?? {};
          confirms.settled(index + 1, refused ? Fate.REFUSED : Fate.CONFIRMED);
          settled.add(index + 1);
          if (flush) confirms.flush();
        }
        confirms.flush();
      });
      expect(told.size).toBe(list.length);
      for (const [tag, what] of told) {
        expect(what).toBe(list[tag - 1]?.refused === true ? 'nack' : 'ack');
      }
    }),
  );
});

test('nothing is confirmed before it is settled', () => {
  const order = fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 30 });
  fc.assert(
    fc.property(order, (tags) => {
      const { told } = run((confirms) => {
        for (const tag of tags) {
          confirms.settled(tag, Fate.CONFIRMED);
          confirms.flush();
        }
      });
      expect([...told.keys()].sort((a, b) => a - b)).toEqual([...tags].sort((a, b) => a - b));
    }),
  );
});
