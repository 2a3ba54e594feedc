/** A damaged store is refused with its place, or gives everything that is not damaged: never less in silence. */
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../../../core/errors.ts';
import { type Log, SILENT_LOG } from '../../../core/log.ts';
import { Registry } from '../../../core/registry.ts';
import { brokenSeal } from '../../../core/store/checkpoint-seal.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { message, PLAIN_FORMAT } from '../../support/messages.ts';
import { SeededRandom } from '../../support/seeded-random.ts';

const MESSAGES = 300;
/** Of these, how many the last checkpoint has. */
const CHECKPOINTED = 200;

let root: string;
/** A store as a killed process left it. */
let sound: string;
let directory: string;

function openStore(where: string, log: Log = SILENT_LOG): LmdbStore {
  rmSync(join(where, 'lock'), { force: true });
  return new LmdbStore({
    directory: where,
    clock: clockOf(),
    log,
    formats: new Registry('format', [PLAIN_FORMAT]),
    segmentBytes: 8 * 1024,
    checkpointBytes: 1e9,
  });
}

/** Its timers are never due. What is to be soon is so. */
function clockOf(): ManualClock {
  const clock = new ManualClock();
  clock.soon = (callback) => void setImmediate(callback);
  return clock;
}

async function fill(store: LmdbStore, from: number, to: number): Promise<void> {
  store.definitions.put('queue', 'q', '{}');
  for (let n = from; n <= to; n++) {
    store.queue('q').append(n, message({ body: bodyOf(n), durable: true }));
    store.table('t').set(`k${n}`, Buffer.from(`v${n}`));
    if (n % 25 === 0) await new Promise<void>((done) => store.flush(done));
  }
}

function bodyOf(n: number): string {
  return `<${n}>${'.'.repeat(100)}`;
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  sound = join(root, 'sound');
  const live = join(root, 'live');
  const before = openStore(live);
  await fill(before, 1, CHECKPOINTED);
  await before.close();
  const killed = openStore(live);
  await fill(killed, CHECKPOINTED + 1, MESSAGES);
  cpSync(live, sound, { recursive: true });
  await killed.close();
});

beforeEach(() => {
  directory = mkdtempSync(join(root, 'copy-'));
  cpSync(sound, directory, { recursive: true });
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Found {
  readonly messages: readonly number[];
  readonly table: number;
  readonly lines: readonly string[];
}

/** What a start finds; or why it refused. */
async function find(): Promise<Found | string> {
  const lines: string[] = [];
  const note = (_fields: object, text: string): void => void lines.push(text);
  let store: LmdbStore;
  try {
    store = openStore(directory, { ...SILENT_LOG, warn: note, error: note });
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  const messages: number[] = [];
  for (let after = 0; ; ) {
    const read = store.queue('q').read(after, 1000, 1e9);
    if (read.messages.length === 0) break;
    for (const { position, message: found } of read.messages) {
      expect(found.body.toString()).toBe(bodyOf(position));
      messages.push(position);
      after = position;
    }
  }
  const table = [...store.table('t').entries()];
  for (const [key, value] of table) expect(value.toString()).toBe(`v${key.slice(1)}`);
  await store.close();
  return { messages, table: table.length, lines };
}

type Harm = (bytes: Buffer, at: number, random: SeededRandom) => Buffer;

const HARMS: Readonly<Record<string, Harm>> = {
  'a bit flipped': (bytes, at, random) => {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    return bytes;
  },
  'a block of zeros': (bytes, at) => bytes.fill(0, at, Math.min(bytes.length, at + 512)),
  'a block of junk': (bytes, at, random) => {
    random.bytes(64).copy(bytes, at);
    return bytes;
  },
  'its end cut off': (bytes, at) => bytes.subarray(0, at),
};

/** Somewhere in the file, and not without effect. */
function harm(file: string, how: Harm, random: SeededRandom): void {
  const path = join(directory, file);
  const whole = readFileSync(path);
  for (;;) {
    const harmed = how(Buffer.from(whole), random.below(whole.length), random);
    if (harmed.equals(whole)) continue;
    writeFileSync(path, harmed);
    return;
  }
}

/** Those that something was written to. */
function segments(): string[] {
  const files = readdirSync(join(sound, 'journal')).map((name) => join('journal', name));
  return files.filter((name) => statSync(join(sound, name)).size > 100).sort();
}

describe('a journal segment with', () => {
  it.each(Object.entries(HARMS))('%s', async (name, how) => {
    const random = new SeededRandom(name.length);
    const last = segments().at(-1);
    for (let round = 0; round < 12; round++) {
      rmSync(directory, { recursive: true });
      cpSync(sound, directory, { recursive: true });
      const file = random.pick(segments());
      harm(file, how, random);
      const found = await find();
      if (typeof found === 'string') {
        expect(found).toMatch(/journal segment \d+ (is damaged at byte \d+|does not begin as one)/);
        expect(found).toContain(directory);
        continue;
      }
      const { messages, table, lines } = found;
      expect(messages).toEqual(messages.toSorted((a, b) => a - b));
      // What follows the damage in the last segment looks like what was under way.
      const whole = messages.length === MESSAGES && table === MESSAGES;
      if (!whole) expect(lines.join()).toMatch(file === last ? /cut|damaged/ : /damaged/);
      if (file !== last) expect(table).toBe(MESSAGES);
      else expect(messages.slice(0, CHECKPOINTED)).toHaveLength(CHECKPOINTED);
    }
  });
});

describe('the checkpoint with', () => {
  it.each(Object.entries(HARMS))(
    '%s is refused',
    async (name, how) => {
      const random = new SeededRandom(name.length);
      for (let round = 0; round < 4; round++) {
        copyFileSync(join(sound, 'state.mdb'), join(directory, 'state.mdb'));
        harm('state.mdb', how, random);
        const found = await find();
        expect(found).toMatch(/state\.mdb is damaged: it is not what was written there/);
        expect(found).toContain('restore a backup');
      }
    },
    60_000,
  );

  it('nothing in it, or gone, is refused', async () => {
    truncateSync(join(directory, 'state.mdb'));
    expect(await find()).toContain('state.mdb is damaged');
    rmSync(join(directory, 'state.mdb'));
    expect(await find()).toContain('state.mdb is missing');
    expect(readdirSync(directory)).not.toContain('state.mdb');
  });

  it('no seal is taken as it is, as an older version left it', async () => {
    rmSync(join(directory, 'state.mdb.seal'));
    expect(await find()).toMatchObject({ table: MESSAGES });
  });

  it('half a seal is taken as it is, as a power failure left it', async () => {
    truncateSync(join(directory, 'state.mdb.seal'), 5);
    expect(await find()).toMatchObject({ table: MESSAGES });
  });
});

describe("a checkpoint's seal", () => {
  it('holds when the store is closed and opened again', async () => {
    const path = join(directory, 'state.mdb');
    const before = readFileSync(`${path}.seal`, 'utf8');
    await openStore(directory).close();
    expect(readFileSync(`${path}.seal`, 'utf8')).not.toBe(before);
    expect(brokenSeal(path)).toBeNull();
    expect(await find()).toMatchObject({ table: MESSAGES, lines: [] });
  });

  it('is not there while the next one is written', async () => {
    const store = openStore(directory);
    const closed = store.close();
    while (readdirSync(directory).includes('state.mdb.seal')) await turn();
    const copy = join(root, 'between');
    cpSync(directory, copy, { recursive: true });
    await closed;
    directory = copy;
    expect(await find()).toMatchObject({ table: MESSAGES });
  });
});
