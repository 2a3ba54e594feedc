/**
 * Runs a fuzzer by name: `npm run fuzz -- mqtt --seed 7 --rounds 100000`. Without a seed a new one is
 * drawn, and told first, so that what it finds can be found again.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { reasonOf } from '../../core/errors.ts';

/** Each file of this folder that exports `fuzz(seed, rounds)`. */
const FUZZERS = ['amqp091', 'mqtt', 'stomp', 'xmpp', 'conversions'] as const;

interface Fuzzer {
  fuzz(seed: number, rounds: number): void;
}

async function run(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seed: { type: 'string' },
      rounds: { type: 'string', default: '20000' },
    },
  });
  const chosen = positionals.length === 0 ? FUZZERS : positionals;
  const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
  const rounds = Number(values.rounds);
  if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(rounds)) {
    throw new Error('--seed and --rounds are integers');
  }
  for (const name of chosen) {
    const known = FUZZERS.find((each) => each === name);
    if (known === undefined) throw new Error(`no fuzzer '${name}': ${FUZZERS.join(', ')}`);
    const { fuzz } = (await import(new URL(`./${known}.js`, import.meta.url).href)) as Fuzzer;
    process.stdout.write(`${known}: seed ${seed}, ${rounds} rounds\n`);
    try {
      fuzz(seed, rounds);
    } catch (error) {
      const stack = error instanceof Error ? error.stack : reasonOf(error);
      process.stdout.write(`${known} FAILS with seed ${seed}: ${stack}\n`);
      return 1;
    }
  }
  return 0;
}

process.exitCode = await run(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`fuzz: ${reasonOf(error)}\n`);
  return 2;
});
