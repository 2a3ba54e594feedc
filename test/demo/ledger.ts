/** What every side of the story saw, how long it took, and what is missing. */

export class Ledger {
  readonly #rows = new Map<string, { seen: number; expected: number; latenciesMs: number[] }>();
  #changed: (() => void) | null = null;

  /** A side that must see `expected` things, as far as is known now. */
  expect(side: string, expected: number): void {
    this.#row(side).expected += expected;
  }

  /** `sentAt` in milliseconds of `performance.now()`. */
  saw(side: string, sentAt: number): void {
    const row = this.#row(side);
    row.seen++;
    row.latenciesMs.push(performance.now() - sentAt);
    this.#changed?.();
  }

  seen(side: string): number {
    return this.#row(side).seen;
  }

  /** Every shortfall (or surplus), in words. */
  get missing(): string[] {
    return [...this.#rows]
      .filter(([, { seen, expected }]) => seen !== expected)
      .map(([side, { seen, expected }]) => `${side}: ${seen} of ${expected}`);
  }

  /** Resolves when nothing is missing, or `patienceMs` later. */
  complete(patienceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#changed = null;
        resolve();
      };
      const timer = setTimeout(done, patienceMs);
      this.#changed = () => {
        if (this.missing.length === 0) done();
      };
      this.#changed();
    });
  }

  /** A table for people. */
  get table(): string {
    const head = ['what', 'expected', 'seen', 'p50', 'p99'];
    const rows = [...this.#rows].map(([side, { seen, expected, latenciesMs }]) => [
      side,
      String(expected),
      String(seen),
      percentile(latenciesMs, 0.5),
      percentile(latenciesMs, 0.99),
    ]);
    const widths = head.map((_, column) =>
      Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)),
    );
    const line = (row: readonly string[]): string =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  ');
    return [
      line(head),
      widths.map((width) => '─'.repeat(width)).join('  '),
      ...rows.map(line),
    ].join('\n');
  }

  #row(side: string): { seen: number; expected: number; latenciesMs: number[] } {
    const row = this.#rows.get(side) ?? { seen: 0, expected: 0, latenciesMs: [] };
    this.#rows.set(side, row);
    return row;
  }
}

function percentile(values: readonly number[], share: number): string {
  if (values.length === 0) return '–';
  const sorted = [...values].sort((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.floor(share * sorted.length));
  return `${(sorted[index] ?? 0).toFixed(1)} ms`;
}
