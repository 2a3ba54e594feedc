import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SILENT_LOG } from '../../../core/log.ts';
import { Registry } from '../../../core/registry.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import type { QueueLog } from '../../../core/store.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { message, PLAIN_FORMAT } from '../../support/messages.ts';

const SEGMENT_BYTES = 16 * 1024;

let directory: string;
let disk: MemoryDisk;
let clock: ManualClock;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  disk = new MemoryDisk();
  clock = new ManualClock();
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function openStore(): LmdbStore {
  rmSync(join(directory, 'lock'), { force: true });
  return new LmdbStore({
    directory,
    clock,
    log: SILENT_LOG,
    formats: new Registry('format', [PLAIN_FORMAT]),
    segmentBytes: SEGMENT_BYTES,
    checkpointBytes: 1e9,
    disk,
  });
}

/** What a killed process leaves. */
function kill(): void {
  const copy = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  cpSync(directory, copy, { recursive: true });
  rmSync(directory, { recursive: true, force: true });
  directory = copy;
}

function logOf(store: LmdbStore, name: string): QueueLog {
  const log = store.queue(name);
  if (log === null) throw new Error('a durable store keeps messages');
  return log;
}

/** Lets the journal and the checkpoints write until it is so. */
async function settle(until: () => boolean): Promise<void> {
  while (!until()) {
    clock.advance(0);
    await turn();
  }
}

function append(log: QueueLog, count: number): void {
  for (let n = 0; n < count; n++) {
    const body = `${log.last + 1}`.padStart(100, '.');
    log.append(log.last + 1, message({ key: 'q', body, durable: true }));
    if (n % 50 === 0) clock.advance(0);
  }
  clock.advance(0);
}

function bodies(log: QueueLog): string[] {
  const found: string[] = [];
  for (let after = 0; ; ) {
    const { messages } = log.read(after, 100, 1e6);
    if (messages.length === 0) return found;
    for (const { message } of messages) found.push(message.body.toString().replace(/^\.+/, ''));
    after = messages.at(-1)?.position ?? after;
  }
}

it('reads messages in order that were not written in order', async () => {
  const store = openStore();
  const log = logOf(store, 'q');
  for (const position of [1, 4, 2, 3, 5]) {
    log.append(position, message({ key: 'q', body: `${position}`, durable: true }));
    clock.advance(0);
  }
  await settle(() => log.count === 5);
  expect(bodies(log)).toEqual(['1', '2', '3', '4', '5']);
  await store.close();
});

describe('segments of which only a few messages are wanted', () => {
  /** Twenty segments and more, of which every five hundredth message stays. */
  function scatter(store: LmdbStore): { kept: string[]; segments: number } {
    const log = logOf(store, 'q');
    append(log, 3000);
    const segments = disk.files.size;
    const kept: string[] = [];
    for (let position = 1; position <= 3000; position++) {
      if (position % 500 === 0) kept.push(String(position));
      else log.remove(position);
    }
    clock.advance(0);
    return { kept, segments };
  }

  it('are given back, and the messages are read from the head', async () => {
    const store = openStore();
    const { kept, segments } = scatter(store);
    expect(segments).toBeGreaterThan(20);
    await settle(() => disk.files.size <= 2);
    expect(disk.files.size).toBeLessThanOrEqual(2);
    expect(bodies(logOf(store, 'q'))).toEqual(kept);
    await store.close();
    const next = openStore();
    expect(bodies(logOf(next, 'q'))).toEqual(kept);
    await next.close();
  });

  it('lose nothing when the process is killed at any of their batches', async () => {
    for (let writes = 1; writes <= 6; writes++) {
      disk = new MemoryDisk();
      directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
      const store = openStore();
      const { kept } = scatter(store);
      const end = disk.writes + writes;
      await settle(() => disk.writes >= end || disk.files.size <= 2);
      kill();
      const next = openStore();
      expect(bodies(logOf(next, 'q'))).toEqual(kept);
      expect(logOf(next, 'q').count).toBe(kept.length);
      rmSync(directory, { recursive: true });
    }
  });

  it('forget what is consumed while it moves', async () => {
    const store = openStore();
    const { kept } = scatter(store);
    const log = logOf(store, 'q');
    const [first = '', ...others] = kept;
    log.remove(Number(first));
    await settle(() => disk.files.size <= 2);
    expect(bodies(log)).toEqual(others);
    kill();
    expect(bodies(logOf(openStore(), 'q'))).toEqual(others);
  });

  it('share one record again where several queues have the message', async () => {
    const store = openStore();
    const shared = message({ key: 'q', body: 'shared by two'.repeat(10), durable: true });
    const [one, two] = [logOf(store, 'one'), logOf(store, 'two')];
    one.append(1, shared);
    two.append(1, shared);
    scatter(store);
    await settle(() => disk.files.size <= 2);
    expect(disk.text.split('shared by two'.repeat(10)).length - 1).toBe(1);
    expect([bodies(one), bodies(two)].flat()).toHaveLength(2);
    await store.close();
  });
});

describe('a segment that nothing is wanted of', () => {
  it('goes without waiting for the next checkpoint', async () => {
    const store = openStore();
    const log = logOf(store, 'q');
    append(log, 1000);
    expect(disk.files.size).toBeGreaterThan(5);
    for (let position = 1; position <= 1000; position++) log.remove(position);
    await settle(() => disk.files.size === 1);
    expect(disk.files.size).toBe(1);
    await store.close();
  });
});
