/** The tables of docs/fidelity.md. */
import type { End } from '../interop/clients/ends.ts';
import { type Cell, ENDS } from './report.ts';
import { TRAITS, type Trait } from './traits.ts';

/** One table a sender: a row for each trait, a column for each receiver. */
export function table(cells: readonly Cell[]): string {
  return tables(ENDS, TRAITS, cells, verdict);
}

/** As `table`, of another broker: what its clients see, kept or lost. */
export function peerTable(
  ends: readonly End[],
  traits: readonly Trait[],
  cells: readonly Cell[],
): string {
  return tables(ends, traits, cells, (cell) =>
    cell === undefined ? '–' : cell.lost === null ? 'kept' : '**lost**',
  );
}

type Verdict = (cell: Cell | undefined) => string;

function tables(
  ends: readonly End[],
  traits: readonly Trait[],
  cells: readonly Cell[],
  verdict: Verdict,
): string {
  return ends
    .map((from) => {
      const heads = ends.map((to) => `to ${titleOf(to)}`);
      const lines = [
        `### From ${titleOf(from)}`,
        '',
        `| | ${heads.join(' | ')} |`,
        `|---${'|---'.repeat(ends.length)}|`,
      ];
      for (const trait of traits) {
        const row = ends.map(({ protocol: to }) =>
          verdict(cells.find((c) => c.trait === trait && c.from === from.protocol && c.to === to)),
        );
        lines.push(`| ${trait.name} | ${row.join(' | ')} |`);
      }
      return `${lines.join('\n')}\n`;
    })
    .join('\n');
}

function titleOf({ name }: End): string {
  return name.replace(/ \(.*/, '').replace('AMQP', 'AMQP 0-9-1');
}

function verdict(cell: Cell | undefined): string {
  if (cell === undefined || cell.lost !== null) return '**lost**';
  const { kind, where } = cell.trait.homes[cell.to];
  if (cell.from === cell.to) return 'kept';
  if (kind === 'field') return `kept: ${where}`;
  return kind === 'envelope' ? `carried: ${where}` : `not expressible: ${where}`;
}

const END = '<!-- end -->\n';

/** Where the page has the gateway's own table, and that of a peer. */
export const Mark = {
  OWN: '<!-- begin: npm run fidelity -->\n',
  PEER: '<!-- begin: npm run fidelity -- --peer-port -->\n',
} as const;

/** The page with the text behind a mark replaced. */
export function withText(page: string, mark: string, text: string): string {
  const begin = page.indexOf(mark);
  const end = page.indexOf(END, begin);
  if (begin < 0 || end < 0) throw new Error('the page has no place for the table');
  return `${page.slice(0, begin + mark.length)}\n${text}\n${page.slice(end)}`;
}

/** What was lost, a line each. */
export function losses(cells: readonly Cell[]): string[] {
  return cells
    .filter(({ lost }) => lost !== null)
    .map(({ trait, from, to, lost }) => `${trait.name}, ${from} to ${to}: ${lost}`);
}
