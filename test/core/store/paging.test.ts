/** A store whose queue indexes are on the disk: nothing that a checkpoint has stays in memory. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../../../core/errors.ts';
import { type Log, SILENT_LOG } from '../../../core/log.ts';
import { Registry } from '../../../core/registry.ts';
import { CheckpointFile, type Key } from '../../../core/store/checkpoint.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import type { JournalQueueLog } from '../../../core/store/queue-log.ts';
import type { QueueLog } from '../../../core/store.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { message, PLAIN_FORMAT } from '../../support/messages.ts';

const MESSAGES = 5000;

let directory: string;
let disk: MemoryDisk;
let clock: ManualClock;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  disk = new MemoryDisk();
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function openStore(options: { log?: Log; checkpointBytes?: number } = {}): LmdbStore {
  rmSync(join(directory, 'lock'), { force: true });
  clock = new ManualClock();
  return new LmdbStore({
    directory,
    clock,
    log: SILENT_LOG,
    formats: new Registry('format', [PLAIN_FORMAT]),
    segmentBytes: 64 * 1024,
    checkpointBytes: 1e9,
    disk,
    ...options,
  });
}

function shut(store: LmdbStore): Promise<void> {
  const closed = store.close();
  clock.advance(0);
  return closed;
}

/** Appends and makes safe. */
function fill(log: QueueLog, from: number, to: number, durable: (n: number) => boolean): void {
  for (let n = from; n <= to; n++) {
    log.append(n, message({ body: String(n), durable: durable(n) }));
    if (n % 100 === 0) clock.advance(0);
  }
  clock.advance(0);
}

const always = (): boolean => true;

/** What can be read, in order. */
function readAll(log: QueueLog): number[] {
  const found: number[] = [];
  for (let after = 0; ; ) {
    const { messages } = log.read(after, 700, 1e9);
    for (const each of messages) {
      expect(each.message.body.toString()).toBe(String(each.position));
      found.push(each.position);
    }
    const last = messages.at(-1);
    if (last === undefined) return found;
    after = last.position;
  }
}

/** A store that has been closed in order, with so many messages in one queue. */
async function closedStore(durable: (n: number) => boolean = always): Promise<void> {
  const store = openStore();
  fill(store.queue('q'), 1, MESSAGES, durable);
  await shut(store);
}

/** What a killed process leaves. */
function kill(): void {
  const copy = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  cpSync(directory, copy, { recursive: true });
  rmSync(directory, { recursive: true, force: true });
  directory = copy;
}

/** Changes the last checkpoint itself. */
async function change(changes: readonly (readonly [Key, Buffer | null])[]): Promise<void> {
  const checkpoint = new CheckpointFile(join(directory, 'state.mdb'), () => false);
  const { place } = checkpoint;
  if (place === null) throw new Error('no checkpoint');
  await checkpoint.write(changes, place);
  await checkpoint.close();
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

describe('messages whose places are on the disk', () => {
  it('are read, removed one by one and as a whole, and stay so', async () => {
    await closedStore();
    let store = openStore();
    let log = store.queue('q');
    expect([log.count, log.last]).toEqual([MESSAGES, MESSAGES]);
    expect(readAll(log)).toEqual(numbers(1, MESSAGES));
    for (let n = 1; n <= 1500; n++) log.remove(n);
    log.remove(3000);
    expect(log.truncate(4200)).toBe(800);
    const left = numbers(1501, 4200).filter((n) => n !== 3000);
    expect(readAll(log)).toEqual(left);
    clock.advance(0);
    kill();
    store = openStore();
    log = store.queue('q');
    expect([log.count, ...readAll(log)]).toEqual([left.length, ...left]);
    await shut(store);
    store = openStore();
    expect(readAll(store.queue('q'))).toEqual(left);
    await shut(store);
  });

  it('go on behind those that come later', async () => {
    await closedStore();
    const store = openStore();
    fill(store.queue('q'), MESSAGES + 1, MESSAGES + 300, always);
    expect(readAll(store.queue('q'))).toEqual(numbers(1, MESSAGES + 300));
    kill();
    const next = openStore();
    expect(readAll(next.queue('q'))).toEqual(numbers(1, MESSAGES + 300));
    await shut(next);
  });

  it('are there for as long as their process lives when they are not durable', async () => {
    const durable = (n: number): boolean => n % 3 === 0;
    const store = openStore({ checkpointBytes: 1 });
    fill(store.queue('q'), 1, MESSAGES, durable);
    for (let turn = 0; turn < 50; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      store.flush(() => {});
      clock.advance(0);
    }
    expect(readAll(store.queue('q'))).toEqual(numbers(1, MESSAGES));
    await shut(store);
    const next = openStore();
    const log = next.queue('q');
    const kept = numbers(1, MESSAGES).filter(durable);
    expect([log.count, ...readAll(log)]).toEqual([kept.length, ...kept]);
    await shut(next);
    const last = openStore();
    expect(readAll(last.queue('q'))).toEqual(kept);
    await shut(last);
  });

  it('let their segments go when their queue does', async () => {
    await closedStore();
    const before = disk.segments().length;
    const store = openStore();
    store.queue('q').drop();
    fill(store.queue('other'), 1, 1, always);
    await shut(store);
    expect(before).toBeGreaterThan(4);
    expect(disk.segments().length).toBeLessThan(3);
    const next = openStore();
    expect([next.queue('q').count, next.queue('other').count]).toEqual([0, 1]);
    await shut(next);
  });

  it('are told of by size a block at a time, but for the first', async () => {
    await closedStore();
    const store = openStore();
    const log = store.queue('q');
    for (let n = 1; n <= 1500; n++) log.remove(n);
    const sizes = [...log.sizes(0, 1e9)];
    expect(sizes[0]?.[0]).toBe(1501);
    expect(sizes.slice(-3).map(([position]) => position)).toEqual([3071, 4095, MESSAGES]);
    const each = [...log.sizes(0, 0)];
    expect(each.map(([position]) => position)).toEqual(numbers(1501, MESSAGES));
    const sum = (all: typeof each): number => all.reduce((bytes, [, more]) => bytes + more, 0);
    expect(sum(sizes)).toBe(sum(each));
    await shut(store);
  });
});

describe('an index as version 2 wrote it', () => {
  it('is taken over, and written in the new way', async () => {
    await closedStore();
    const checkpoint = new CheckpointFile(join(directory, 'state.mdb'), () => false);
    const pages = [...checkpoint.keysOf('page')];
    const summaries = [...checkpoint.keysOf('summary')];
    await checkpoint.close();
    expect(pages.length).toBe(5);
    const store = openStore();
    const blocks = cellsOf(store, 'q');
    await shut(store);
    await change([...pages, ...summaries].map((key) => [key, null]));
    await change([...blocks].map(([base, cells]) => [['block', 1, base], cells]));
    const upgraded = openStore();
    expect([upgraded.queue('q').count, ...readAll(upgraded.queue('q'))]).toEqual([
      MESSAGES,
      ...numbers(1, MESSAGES),
    ]);
    await shut(upgraded);
    const after = new CheckpointFile(join(directory, 'state.mdb'), () => false);
    expect([...after.keysOf('block')]).toEqual([]);
    expect([...after.keysOf('page')]).toEqual(pages);
    await after.close();
    const next = openStore();
    expect(readAll(next.queue('q'))).toEqual(numbers(1, MESSAGES));
    await shut(next);
  });
});

/** Blocks as version 2 has them: segment, offset and length of each position. */
function cellsOf(store: LmdbStore, name: string): Map<number, Buffer> {
  const blocks = new Map<number, Buffer>();
  const { index } = store.queue(name) as JournalQueueLog;
  index.walk(-1, (position, { segment, offset, length }) => {
    const base = position - (position % 1024);
    const cells = blocks.get(base) ?? Buffer.alloc(1024 * 12);
    const at = (position - base) * 12;
    cells.writeUInt32LE(segment, at);
    cells.writeUInt32LE(offset, at + 4);
    cells.writeUInt32LE(length, at + 8);
    blocks.set(base, cells);
    return true;
  });
  return blocks;
}

describe('a part of an index that', () => {
  it('is missing is refused by its name', async () => {
    await closedStore();
    await change([[['page', 1, 2048], null]]);
    expect(() => openStore()).toThrow(ConfigError);
    expect(() => openStore()).toThrow(/index of queue q is damaged: its positions 2048 to 3071/);
  });

  it.each([0, 2048, 4096])('has no summary is refused by its name, from %i', async (base) => {
    await closedStore();
    await change([[['summary', 1, base], null]]);
    expect(() => openStore()).toThrow(/index of queue q is damaged: its positions/);
  });

  it('does not check is told of when it is read, and everything else is there', async () => {
    await closedStore();
    await change([[['page', 1, 2048], Buffer.from('something else')]]);
    const lines: object[] = [];
    const log: Log = { ...SILENT_LOG, error: (fields) => void lines.push(fields) };
    const store = openStore({ log });
    const rest = numbers(1, MESSAGES).filter((n) => n < 2048 || n > 3071);
    expect(readAll(store.queue('q'))).toEqual(rest);
    expect(readAll(store.queue('q'))).toEqual(rest);
    const reason = expect.stringContaining('its positions 2048 to 3071 are not as they were');
    expect(lines).toEqual([{ reason }]);
    await shut(store);
    expect(disk.segments().length).toBeGreaterThan(4);
  });

  it('does not check is refused where the journal goes on in it', async () => {
    await closedStore();
    const store = openStore();
    store.queue('q').remove(2500);
    clock.advance(0);
    kill();
    await change([[['page', 1, 2048], Buffer.from('something else')]]);
    expect(() => openStore()).toThrow(/index of queue q is damaged: its positions 2048 to 3071/);
    expect(store.queue('q').count).toBe(MESSAGES - 1);
  });
});
