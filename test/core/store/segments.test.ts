import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SILENT_LOG } from '../../../core/log.ts';
import { Registry } from '../../../core/registry.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import { FileDisk, type Segment } from '../../../core/store/segment.ts';
import type { QueueLog } from '../../../core/store.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { message, PLAIN_FORMAT } from '../../support/messages.ts';

const SEGMENT_BYTES = 4096;

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

/** What a killed process leaves; the next one is free to write on it. */
function kill(): void {
  const copy = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  cpSync(directory, copy, { recursive: true });
  rmSync(directory, { recursive: true, force: true });
  directory = copy;
  disk = disk.copy();
}

function queueOf(store: LmdbStore): QueueLog {
  const log = store.queue('q');
  if (log === null) throw new Error('a durable store keeps messages');
  return log;
}

function bodies(store: LmdbStore): string[] {
  const { messages } = queueOf(store).read(0, 1e6, 1e9);
  return messages.map(({ message }) => message.body.toString());
}

/** Bodies of one length: records of one segment lie where those of another lay. */
function bodyOf(n: number): string {
  return String(n).padStart(100, '.');
}

/** Appends messages as a batch. */
function append(log: QueueLog, count = 3): void {
  for (let n = 0; n < count; n++) {
    const position = log.last + 1;
    log.append(position, message({ key: 'q', body: bodyOf(position), durable: true }));
  }
  clock.advance(0);
}

function allOf(last: number): string[] {
  return Array.from({ length: last }, (_, n) => bodyOf(n + 1));
}

/** Appends three messages as a batch, and removes what is more than ten behind. */
async function step(log: QueueLog): Promise<void> {
  for (let n = 0; n < 3; n++) {
    const position = log.last + 1;
    log.append(position, message({ key: 'q', body: bodyOf(position), durable: true }));
    if (position > 10) log.remove(position - 10);
  }
  clock.advance(0);
  // Checkpoints are made beside this.
  for (let n = 0; n < 5; n++) await turn();
}

function lastOnes(last: number): string[] {
  const first = Math.max(1, last - 9);
  return Array.from({ length: last - first + 1 }, (_, n) => bodyOf(first + n));
}

/** Fills segments until files of removed ones are used again. */
async function wornStore(): Promise<LmdbStore> {
  const store = openStore();
  const log = queueOf(store);
  while (disk.reused < 4) await step(log);
  return store;
}

describe('a file that had another segment before', () => {
  it('brings back nothing of it, wherever the process is killed', async () => {
    let store = await wornStore();
    for (let killed = 0; killed < 25; killed++) {
      const { last } = queueOf(store);
      kill();
      store = openStore();
      expect(bodies(store)).toEqual(lastOnes(last));
      await step(queueOf(store));
    }
  });

  it('may have any part of the last batch', () => {
    const old = queueOf(openStore());
    while (disk.segments().length < 12) append(old);
    const worn = [...disk.files.values()].slice(-7, -2);
    rmSync(directory, { recursive: true });
    directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
    disk = new MemoryDisk();
    for (const bytes of worn) disk.keep(bytes);
    const log = queueOf(openStore());
    while (disk.lastWrite.id < 3 || disk.lastWrite.offset < SEGMENT_BYTES / 2) append(log);
    const { last } = log;
    const { id, offset, length } = disk.lastWrite;
    const before = disk.beforeLastWrite;
    const whole = Buffer.from(disk.files.get(id) ?? '');
    for (let cut = 0; cut < length; cut += 23) {
      kill();
      const torn = Buffer.from(whole);
      before.copy(torn, offset + cut, offset + cut, offset + length);
      disk.files.set(id, torn);
      const store = openStore();
      const found = bodies(store);
      expect(found).toEqual(allOf(found.length));
      expect(found.length).toBeGreaterThanOrEqual(last - 3);
      // What the torn batch left must not come up behind the next ones.
      append(queueOf(store), 1);
      kill();
      expect(bodies(openStore())).toEqual(allOf(found.length + 1));
    }
  });

  it('is refused where its end is damaged and the journal went on in the next', async () => {
    const log = queueOf(openStore());
    while (disk.segments().length < 5) append(log, 1);
    kill();
    const id = 2;
    const damaged = Buffer.from(disk.files.get(id) ?? '');
    const end = Buffer.alloc(9);
    end.writeUInt32BE(1);
    end.writeUInt32BE(crc32(Buffer.from([11]), id), 4);
    end[8] = 11;
    const at = damaged.indexOf(end);
    expect(at).toBeGreaterThan(0);
    damaged[at + 8] = 12;
    disk.files.set(id, damaged);
    expect(() => openStore()).toThrow(`journal segment ${id} is damaged at byte ${at}`);
  });
});

it('a segment that cannot be made is tried again, and nothing is confirmed meanwhile', async () => {
  const store = openStore();
  const told: (string | null)[] = [];
  store.onTrouble((error) => told.push(error?.message ?? null));
  const log = queueOf(store);
  disk.createFault = new Error('EMFILE: too many open files');
  while (told.length === 0) await step(log);
  let safe = false;
  store.flush(() => {
    safe = true;
  });
  clock.advance(5000);
  expect([safe, ...told]).toEqual([false, 'EMFILE: too many open files']);
  disk.createFault = null;
  clock.advance(1000);
  clock.advance(0);
  expect([safe, ...told]).toEqual([true, 'EMFILE: too many open files', null]);
  kill();
  expect(bodies(openStore())).toEqual(lastOnes(log.last));
});

describe('a store of format version 1', () => {
  /** As version 1 wrote it: checksums from 0, batches without a length, no end but the file's. */
  function asVersion1(bytes: Buffer): Buffer {
    const head = Buffer.from(bytes.subarray(0, 8));
    head.writeUInt32BE(1, 4);
    const records = [head];
    let written = head.length;
    for (let at = 8; at + 8 < bytes.length; at += 8 + bytes.readUInt32BE(at)) {
      const length = bytes.readUInt32BE(at);
      if (length === 0 || bytes[at + 8] === 11) break;
      const isBatch = bytes[at + 8] === 10;
      const content = Buffer.from(bytes.subarray(at + 8, at + 8 + length - (isBatch ? 8 : 0)));
      if (isBatch) content.writeDoubleBE(written, content.length - 8);
      const front = Buffer.alloc(8);
      front.writeUInt32BE(content.length);
      front.writeUInt32BE(crc32(content), 4);
      records.push(front, content);
      written += 8 + content.length;
    }
    return Buffer.concat(records);
  }

  it('is read, and goes on in segments of this version', async () => {
    const log = queueOf(openStore());
    while (disk.segments().length < 4) append(log, 1);
    const { last } = log;
    // Without the checkpoint, whose places are those of this version.
    directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
    for (const [id, bytes] of disk.files) {
      if (bytes.length > 0) disk.files.set(id, asVersion1(bytes));
      else disk.files.delete(id);
    }
    const store = openStore();
    expect(bodies(store)).toEqual(allOf(last));
    append(queueOf(store), 1);
    kill();
    expect(bodies(openStore())).toEqual(allOf(last + 1));
  });
});

describe('files on a real disk', () => {
  const write = (segment: Segment, pieces: Buffer[], offset: number): Promise<void> =>
    new Promise((resolve, reject) => {
      segment.write(pieces, offset, (error) => (error === null ? resolve() : reject(error)));
    });
  const opened = (): FileDisk => new FileDisk(join(directory, 'journal'));
  const names = (): string[] => readdirSync(join(directory, 'journal')).sort();
  const create = (files: FileDisk, id: number): Promise<Segment> =>
    promisify((done: (error: Error | null, segment: Segment | null) => void) =>
      files.create(id, done),
    )() as Promise<Segment>;

  it('are used again, two of them at most, behind a head of zeros', async () => {
    const files = opened();
    for (const id of [1, 2, 3]) {
      const segment = await create(files, id);
      await write(segment, [Buffer.alloc(100, id)], 0);
      segment.close();
    }
    for (const id of [1, 2, 3]) files.remove(id);
    expect(files.segments()).toEqual([]);
    await files.close();
    expect(names()).toEqual(['0000000001.spare', '0000000002.spare']);
    const { ino } = statSync(join(directory, 'journal', '0000000001.spare'));
    // The next process knows them too.
    const segment = await create(opened(), 4);
    expect(names()).toEqual(['0000000002.spare', '0000000004.journal']);
    expect(statSync(join(directory, 'journal', '0000000004.journal')).ino).toBe(ino);
    expect(segment.read(0, 200)).toEqual(Buffer.concat([Buffer.alloc(8), Buffer.alloc(92, 1)]));
    segment.close();
  });

  it('take a batch of more pieces than one system call', async () => {
    const segment = await create(opened(), 1);
    const pieces = Array.from({ length: 2500 }, (_, n) => Buffer.from(String(n).padStart(4)));
    await write(segment, pieces, 10);
    const bytes = readFileSync(join(directory, 'journal', '0000000001.journal'));
    expect(bytes.subarray(10).equals(Buffer.concat(pieces))).toBe(true);
    segment.close();
  });

  it('that cannot be made are told of, and do not hold up what follows', async () => {
    const files = opened();
    const journal = join(directory, 'journal');
    rmSync(journal, { recursive: true });
    await expect(create(files, 1)).rejects.toThrow('ENOENT');
    cpSync(mkdtempSync(join(tmpdir(), 'rosettamq-')), journal, { recursive: true });
    (await create(files, 1)).close();
    expect(files.segments()).toEqual([1]);
  });
});
