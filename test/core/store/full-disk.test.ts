/** A disk without a free byte: what waits can be consumed, and that is what makes room. */
import { cpSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../../../core/log.ts';
import { Registry } from '../../../core/registry.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import { Reserve } from '../../../core/store/reserve.ts';
import { FileDisk } from '../../../core/store/segment.ts';
import type { QueueLog } from '../../../core/store.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { message, PLAIN_FORMAT } from '../../support/messages.ts';

const CAPACITY = 512 * 1024;
const BODY = 'x'.repeat(1000);

let directory: string;
let disk: MemoryDisk;
let clock: ManualClock;
let lines: string[];
/** What is said of trouble: true when there is some. */
let told: boolean[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  disk = new MemoryDisk();
  disk.capacity = CAPACITY;
  disk.reserve.bytes = CAPACITY / 16;
  clock = new ManualClock();
  lines = [];
  told = [];
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function start(segmentBytes: number = 1e9): LmdbStore {
  rmSync(join(directory, 'lock'), { force: true });
  const store = new LmdbStore({
    directory,
    clock,
    log: createLog('info', { write: (line: string) => void lines.push(line) }),
    formats: new Registry('format', [PLAIN_FORMAT]),
    segmentBytes,
    checkpointBytes: 1e9,
    disk,
  });
  store.onTrouble((error) => told.push(error !== null));
  return store;
}

/** The process dies: the next one finds the same. */
function kill(): void {
  const copy = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  cpSync(directory, copy, { recursive: true });
  rmSync(directory, { recursive: true, force: true });
  directory = copy;
  disk = disk.copy();
  clock = new ManualClock();
}

function queueOf(store: LmdbStore, name: string = 'q'): QueueLog {
  return store.queue(name);
}

/** Appends one message after the other until the disk is full; returns how many are safe. */
function fill(store: LmdbStore, log: QueueLog): number {
  let safe = log.last;
  while (!told.includes(true)) {
    const position = log.last + 1;
    log.append(position, message({ body: `${position} ${BODY}`, durable: true }));
    store.flush(() => {
      safe = position;
    });
    clock.advance(0);
  }
  return safe;
}

/** Seconds go by until it is so. */
async function untilSo(so: () => boolean): Promise<void> {
  for (let second = 0; second < 500 && !so(); second++) {
    clock.advance(1000);
    await turn();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(so()).toBe(true);
}

function numbers(log: QueueLog): number[] {
  const found: number[] = [];
  for (let after = 0; ; ) {
    const { messages } = log.read(after, 100, 1e6);
    for (const { message } of messages) found.push(Number(message.body.toString().split(' ')[0]));
    if (messages.length === 0) return found;
    after = messages.at(-1)?.position ?? after;
  }
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe('a full disk', () => {
  it('goes on when what was on it is consumed, and has everything that was not', async () => {
    const store = start();
    const log = queueOf(store);
    const safe = fill(store, log);
    expect(numbers(log)).toEqual(range(1, log.last));
    let late = 0;
    for (const position of range(safe + 1, safe + 20)) {
      if (position > log.last) {
        log.append(position, message({ body: `${position} ${BODY}`, durable: true }));
      }
      store.flush(() => {
        late = position;
      });
    }
    clock.advance(0);
    expect(late).toBe(0);
    for (const position of range(1, safe - 5)) log.remove(position);
    await untilSo(() => told.at(-1) === false);
    expect([late, disk.reserve.missing]).toEqual([safe + 20, 0]);
    expect(numbers(log)).toEqual(range(safe - 4, safe + 20));
    kill();
    expect(numbers(queueOf(start()))).toEqual(range(safe - 4, safe + 20));
  });

  it('has after a kill what was confirmed, and not what was removed', () => {
    const store = start();
    const log = queueOf(store);
    const safe = fill(store, log);
    for (const position of range(1, 100)) log.remove(position);
    store.definitions.put('kind', 'key', 'record');
    clock.advance(0);
    kill();
    const again = start();
    expect(numbers(queueOf(again))).toEqual(range(101, safe));
    expect([...again.definitions.entries('kind')]).toEqual([['key', 'record']]);
  });

  it('never writes what is consumed meanwhile, and answers who waited for it', async () => {
    const store = start();
    const log = queueOf(store);
    const safe = fill(store, log);
    const first = log.last + 1;
    log.append(first, message({ body: `${first} secret ${BODY}`, durable: true }));
    let answered = false;
    store.flush(() => {
      answered = true;
    });
    for (const position of range(safe + 1, first)) log.remove(position);
    await untilSo(() => answered);
    expect(disk.text).not.toContain('secret');
    expect(told.at(-1)).toBe(true);
  });

  it('moves the few that keep its segments', async () => {
    const store = start(CAPACITY / 16);
    const log = queueOf(store);
    const safe = fill(store, log);
    const kept = range(1, safe).filter((position) => position % 20 === 0);
    for (const position of range(1, safe)) if (position % 20 !== 0) log.remove(position);
    await untilSo(() => told.at(-1) === false);
    expect(numbers(log)).toEqual([...kept, ...range(safe + 1, log.last)]);
    kill();
    expect(numbers(queueOf(start()))).toEqual([...kept, ...range(safe + 1, log.last)]);
  });

  it('on which nothing can be given waits for somebody to make room', async () => {
    disk.reserve.bytes = 0;
    const store = start();
    const log = queueOf(store);
    const safe = fill(store, log);
    for (const position of range(1, 10)) log.remove(position);
    clock.advance(5000);
    expect(told).toEqual([true]);
    expect(numbers(log)).toEqual(range(11, log.last));
    disk.capacity = 2 * CAPACITY;
    await untilSo(() => told.at(-1) === false);
    expect(log.last).toBeGreaterThan(safe);
    kill();
    expect(numbers(queueOf(start()))).toEqual(range(11, log.last));
  });

  it('has what was acknowledged on it when the gateway is stopped', async () => {
    const store = start();
    const log = queueOf(store);
    const safe = fill(store, log);
    for (const position of range(1, 50)) log.remove(position);
    const closed = store.close();
    clock.advance(0);
    await closed;
    expect(lines.at(-1)).toContain('what was not confirmed is lost');
    expect(numbers(queueOf(start()))).toEqual(range(51, safe));
  });

  it('takes a batch back into the order of the queue', async () => {
    const store = start();
    const [one, two] = [queueOf(store, 'one'), queueOf(store, 'two')];
    fill(store, one);
    for (const log of [one, two]) {
      for (const position of range(log.last + 1, log.last + 3)) {
        log.append(position, message({ body: `${position} ${BODY}`, durable: true }));
      }
    }
    expect(numbers(one)).toEqual(range(1, one.last));
    expect([...one.sizes(0, 1e9)].map(([position]) => position)).toEqual(range(1, one.last));
    expect(numbers(two)).toEqual([1, 2, 3]);
    expect(one.count).toBe(one.last);
    expect(one.truncate(0)).toBe(one.last);
    await untilSo(() => told.at(-1) === false);
    expect([numbers(one), numbers(two)]).toEqual([[], [1, 2, 3]]);
  });
});

describe('the reserve on a real disk', () => {
  const path = (): string => join(directory, 'reserve');
  const size = (): number => statSync(path()).size;

  it('is given in parts, and taken back as a whole', async () => {
    const reserve = new Reserve(path(), 4000);
    expect([reserve.missing, reserve.give()]).toEqual([4000, false]);
    await reserve.fill();
    expect([reserve.missing, size()]).toEqual([0, 4000]);
    expect([reserve.give(), size()]).toEqual([true, 3000]);
    // The next process finds what this one left.
    const next = new Reserve(path(), 4000);
    expect(next.missing).toBe(1000);
    for (let part = 0; part < 3; part++) expect(next.give()).toBe(true);
    expect([next.give(), size()]).toEqual([false, 0]);
    await next.fill();
    expect(size()).toBe(4000);
  });

  it('comes after the files of segments that are gone', async () => {
    const files = new FileDisk(directory, new Reserve(path(), 1000));
    await new Promise((done) => files.restore(done));
    files.open(1, true).close();
    files.remove(1);
    await files.close();
    expect(files.makeRoom(false)).toBe(true);
    expect([existsSync(join(directory, '0000000001.spare')), size()]).toEqual([false, 1000]);
    expect([files.makeRoom(true), size()]).toEqual([false, 1000]);
    expect([files.makeRoom(false), size()]).toEqual([true, 750]);
    // Until there is room for all of it, nothing else is kept.
    files.open(2, true).close();
    files.remove(2);
    await files.close();
    expect(existsSync(join(directory, '0000000002.spare'))).toBe(false);
  });

  it('is no more than a 16th of the file system, and nothing of it without one', () => {
    const reserve = new Reserve(path(), 0);
    expect([reserve.missing, reserve.give()]).toEqual([0, false]);
    writeFileSync(path(), 'x'.repeat(100));
    expect(new Reserve(path(), 0).missing).toBe(0);
  });
});
