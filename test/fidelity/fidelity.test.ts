import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { ownGround } from './ground.ts';
import { type Cell, ENDS, measure } from './report.ts';
import { losses, Mark, table, withText } from './table.ts';
import { TRAITS } from './traits.ts';

it('loses nothing between any two protocols, as docs/fidelity.md says', async () => {
  const cells = await measure(await ownGround(ENDS), 1, 1);
  expect(losses(cells)).toEqual([]);
  const page = readFileSync(new URL('../../docs/fidelity.md', import.meta.url), 'utf8');
  expect(withText(page, Mark.OWN, table(cells))).toBe(page);
}, 60_000);

it('says what is lost, and does not hide what was not measured', () => {
  const [trait] = TRAITS;
  if (trait === undefined) throw new Error('there are no traits');
  const cell: Cell = { trait, from: 'amqp', to: 'mqtt', lost: '1 became 2' };
  expect(losses([cell])).toEqual([`${trait.name}, amqp to mqtt: 1 became 2`]);
  const cells = 16 * TRAITS.length;
  expect(table([cell]).split('**lost**')).toHaveLength(cells + 1);
  expect(table([{ ...cell, lost: null }]).split('**lost**')).toHaveLength(cells);
});
