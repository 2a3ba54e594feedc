/**
 * `SIMULATION_ROUNDS=100000 npx vitest run … test/simulation` runs longer, `SIMULATION_SEED=7` one seed.
 */
import { describe, expect, it } from 'vitest';
import type { Store } from '../../core/store.ts';
import { LateStore } from '../support/late-store.ts';
import { Simulation } from './simulation.ts';

const STEPS = 120;
const { SIMULATION_SEED: seed, SIMULATION_ROUNDS: wanted } = process.env;
const rounds = seed === undefined ? Number(wanted ?? 600) : 1;
const first = seed === undefined ? 1 : Number(seed);

function simulate(create: () => { store: Store | null; flush: () => void }): number {
  let passed = 0;
  for (let round = 0; round < rounds; round++) {
    const { store, flush } = create();
    try {
      new Simulation(first + round, store, flush).run(STEPS);
      passed++;
    } catch (error) {
      throw new Error(`SIMULATION_SEED=${first + round} fails`, { cause: error });
    }
  }
  return passed;
}

describe(`random clients of the embedded engine, with ${rounds} seeds from ${first}`, () => {
  it('see what a model broker allows, messages in memory', () => {
    expect(simulate(() => ({ store: null, flush: () => {} }))).toBe(rounds);
  });

  it('see what a model broker allows, with a store that answers late', () => {
    const late = (): { store: LateStore; flush: () => void } => {
      const store = new LateStore();
      return { store, flush: () => store.answer() };
    };
    expect(simulate(late)).toBe(rounds);
  });
});
