/**
 * Measures what crosses between protocols and writes the table of docs/fidelity.md:
 * `npm run fidelity -- --seed 7 --rounds 20`. Ends with code 1 where anything is lost.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { losses, measure, table, withTable } from './report.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '10' },
  },
});
const [seed, rounds] = [Number(values.seed), Number(values.rounds)];
if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(rounds)) {
  throw new Error('--seed and --rounds are integers');
}

const PAGE = 'docs/fidelity.md';
const cells = await measure(seed, rounds);
writeFileSync(PAGE, withTable(readFileSync(PAGE, 'utf8'), cells));
const lost = losses(cells);
process.stdout.write(`${table(cells)}\n`);
process.stdout.write(`${cells.length} cells of ${rounds} messages, ${lost.length} lost\n`);
for (const line of lost) process.stdout.write(`LOST ${line}\n`);
process.exit(lost.length === 0 ? 0 : 1);
