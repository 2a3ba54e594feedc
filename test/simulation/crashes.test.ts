/** `CRASH_ROUNDS=2000 npx vitest run … test/simulation` runs longer, `CRASH_SEED=7` one seed. */
import { expect, it } from 'vitest';
import { CrashSimulation } from './crashes.ts';

const { CRASH_SEED: seed, CRASH_ROUNDS: wanted } = process.env;
const rounds = seed === undefined ? Number(wanted ?? 40) : 1;
const first = seed === undefined ? 1 : Number(seed);

it(
  `nothing that was confirmed is lost in any crash of ${rounds} seeds from ${first}`,
  async () => {
    let restarts = 0;
    for (let round = 0; round < rounds; round++) {
      try {
        restarts += await new CrashSimulation(first + round).run(200);
      } catch (error) {
        throw new Error(`CRASH_SEED=${first + round} fails`, { cause: error });
      }
    }
    expect(restarts).toBeGreaterThan(rounds);
  },
  60_000 + 3000 * rounds,
);
