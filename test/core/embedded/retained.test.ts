import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HotMessages } from '../../../core/embedded/hot-messages.ts';
import { MemoryGauge } from '../../../core/embedded/memory-gauge.ts';
import { Retained } from '../../../core/embedded/retained.ts';
import { SILENT_LOG } from '../../../core/log.ts';
import type { Format, Message } from '../../../core/message.ts';
import { Registry } from '../../../core/registry.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import type { MessageTable } from '../../../core/store.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type MessageParts, message, PLAIN_FORMAT } from '../../support/messages.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { createWorld } from '../../support/world.ts';

let directory: string;
const left: string[] = [];
let store: LmdbStore;
let clock: ManualClock;
let memory: MemoryGauge;
let hot: HotMessages;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  left.push(directory);
  open();
});

afterEach(async () => {
  await close();
  for (const each of left.splice(0)) rmSync(each, { recursive: true, force: true });
});

function open(formats: readonly Format[] = [PLAIN_FORMAT]): void {
  clock = new ManualClock();
  store = new LmdbStore({
    directory,
    clock,
    log: SILENT_LOG,
    formats: new Registry('format', formats),
    segmentBytes: 1e6,
    checkpointBytes: 1e9,
  });
  memory = new MemoryGauge(1e9, () => {});
  hot = new HotMessages(10_000, memory);
}

async function close(): Promise<void> {
  const closed = store.close();
  clock.advance(0);
  await closed;
}

/** The next process after a stop. */
async function restart(formats?: readonly Format[]): Promise<void> {
  await close();
  open(formats);
}

/** The next process after a kill: what was flushed, and no checkpoint of it. */
async function kill(): Promise<void> {
  await new Promise<void>((resolve) => {
    store.flush(resolve);
    clock.advance(0);
  });
  const copy = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  left.push(copy);
  cpSync(directory, copy, { recursive: true });
  rmSync(join(copy, 'lock'), { force: true });
  await close();
  directory = copy;
  open();
}

function table(name = 'values'): MessageTable {
  return store.messages(name);
}

function retained(max = 1000, cachedKeysMax = 3): Retained {
  const former = store.messages('former');
  return new Retained({ name: 'x', table: table(), former, hot, memory, max, cachedKeysMax });
}

function value(key: string, body: string, parts: MessageParts = {}): Message {
  return message({ exchange: 'x', key, body, retain: true, ...parts });
}

function bodies(found: readonly Message[]): string[] {
  return found.map(({ routingKey, body }) => `${routingKey}=${body.toString()}`);
}

describe('last values on the disk', () => {
  it('are there again after a kill and after a stop, with what changed in between', async () => {
    let values = retained();
    for (let n = 0; n < 100; n++) values.keep(value(`a.${n}`, 'one'));
    await restart();
    values = retained();
    expect(values.size).toBe(100);
    values.keep(value('a.7', 'two'));
    values.keep(value('a.8', ''));
    values.keep(value('b', 'new'));
    await kill();
    values = retained();
    expect(values.size).toBe(100);
    expect(bodies(values.find('a.7', 0))).toEqual(['a.7=two']);
    expect(values.find('a.8', 0)).toEqual([]);
    expect(values.find('*.*', 0).length).toBe(99);
    await restart();
    expect(bodies(retained().find('b.#', 0))).toEqual(['b=new']);
    expect(retained().find('a.#', 0).length).toBe(99);
  });

  it('count against their limit after a restart, and make room when one goes', async () => {
    for (const key of ['a', 'b', 'c']) expect(retained(3).keep(value(key, '1'))).toBe(true);
    await restart();
    const values = retained(3);
    expect(values.keep(value('d', '1'))).toBe(false);
    expect(values.keep(value('c', '2'))).toBe(true);
    values.keep(value('a', ''));
    expect(values.keep(value('d', '1'))).toBe(true);
    expect(bodies(values.find('#', 0))).toEqual(['b=1', 'c=2', 'd=1']);
  });

  it('that have expired are dropped when somebody looks', async () => {
    retained().keep(value('a', 'old', { expiresAt: 10 }));
    retained().keep(value('b', 'young', { expiresAt: 1000 }));
    await restart();
    const values = retained();
    expect(bodies(values.find('#', 500))).toEqual(['b=young']);
    expect(values.size).toBe(1);
  });

  it('take memory only as far as they were asked for lately', async () => {
    const size = value('key100', 'x'.repeat(1000)).size;
    for (let n = 100; n < 200; n++) retained().keep(value(`key${n}`, 'x'.repeat(1000)));
    expect(memory.bytes).toBe(0);
    await restart();
    const values = retained();
    const [first] = values.find('key100', 0);
    expect(memory.bytes).toBe(size);
    expect(values.find('key100', 0)[0]).toBe(first);
    values.keep(value('key100', 'changed'));
    expect(memory.bytes).toBe(0);
    expect(bodies(values.find('key100', 0))).toEqual(['key100=changed']);
    expect(values.find('#', 0).length).toBe(100);
    expect(memory.bytes).toBeGreaterThan(0);
    expect(memory.bytes).toBeLessThanOrEqual(10_000);
    values.clear();
    expect(memory.bytes).toBe(0);
    expect(values.size).toBe(0);
    await restart();
    expect(retained().find('#', 0)).toEqual([]);
  });

  it('are found alike with all keys in memory, none, and now these, now those', () => {
    const random = new SeededRandom(7);
    const pick = (most: number): number => random.below(most);
    const all = [0, 5, 1000].map(
      (cachedKeysMax) =>
        new Retained({
          ...{ name: `${cachedKeysMax}`, table: table(`values${cachedKeysMax}`), former: null },
          ...{ hot, memory, max: 1000, cachedKeysMax },
        }),
    );
    for (let step = 0; step < 500; step++) {
      const [key, body] = [`${pick(4)}.${pick(4)}`, pick(3) === 0 ? '' : `${step}`];
      const expiresAt = pick(4) === 0 ? step + 10 : 0;
      for (const values of all) values.keep(value(key, body, { expiresAt }));
      const pattern = ['#', '*.1', '2.*', '3.#'][pick(4)] ?? '#';
      const [none, some, every] = all.map((values) => bodies(values.find(pattern, step)));
      expect(some).toEqual(none);
      expect(every).toEqual(none);
    }
  });

  it('whose format nobody knows are passed over and stay', async () => {
    retained().keep(value('a', '1'));
    await restart([]);
    expect(retained().find('#', 0)).toEqual([]);
    await restart();
    expect(bodies(retained().find('#', 0))).toEqual(['a=1']);
  });

  it('of a store of version 2 are taken over', async () => {
    for (const key of ['a.b', 'a.c', 'd']) store.messages('former').set(key, value(key, '1'));
    await restart();
    expect(bodies(retained().find('a.*', 0))).toEqual(['a.b=1', 'a.c=1']);
    expect(store.messages('former').size).toBe(0);
    await restart();
    expect(bodies(retained().find('#', 0))).toEqual(['a.b=1', 'a.c=1', 'd=1']);
  });

  it('go with their exchange, and none of another one of that name have them', async () => {
    const { engine, principal } = createWorld({ store, clock });
    const session = engine.open('/', principal('guest'));
    const spec = { name: 'x', type: 'topic', durable: true, autoDelete: false, internal: false };
    await session.declareExchange({ ...spec, arguments: new Map() }, false);
    const publisher = session.publisher({ settled() {}, returned() {}, writable() {} });
    publisher.publish(value('k', '1'), 0, false);
    expect(bodies((await session.retained('x', '#')) as readonly Message[])).toEqual(['k=1']);
    await session.deleteExchange('x', false);
    await session.declareExchange({ ...spec, arguments: new Map() }, false);
    expect(await session.retained('x', '#')).toEqual([]);
  });
});

describe('last values in memory', () => {
  it('are counted, one by one', () => {
    const nowhere = { table: null, former: null, cachedKeysMax: 0 };
    const values = new Retained({ name: 'x', ...nowhere, hot, memory, max: 10 });
    const one = value('a', 'x'.repeat(100));
    values.keep(one);
    values.keep(value('b', 'y'));
    values.keep(value('b', ''));
    expect(memory.bytes).toBe(one.size);
    values.keep(value('a', 'x'.repeat(50)));
    expect(memory.bytes).toBe(one.size - 50);
    expect(bodies(values.find('*', 0))).toEqual([`a=${'x'.repeat(50)}`]);
    values.clear();
    expect(memory.bytes).toBe(0);
    expect(hot.bytes).toBe(0);
  });
});
