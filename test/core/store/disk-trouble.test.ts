/** A disk that cannot be read, files that somebody removes or owns: the process goes on, or says why not. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../../../core/log.ts';
import { Registry } from '../../../core/registry.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import { refusal, systemError } from '../../../core/store/refusal.ts';
import { FileDisk, type Segment } from '../../../core/store/segment.ts';
import type { QueueLog } from '../../../core/store.ts';
import { FaultyDisk } from '../../support/faulty-disk.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { message, PLAIN_FORMAT } from '../../support/messages.ts';
import { SeededRandom } from '../../support/seeded-random.ts';

const BROKEN = systemError('EIO', 'read', '/disk');

let directory: string;
let disk: MemoryDisk;
let clock: ManualClock;
let lines: string[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  disk = new MemoryDisk();
  clock = new ManualClock();
  lines = [];
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function start(options: { readonly freeBytesMin?: number } = {}): LmdbStore {
  return new LmdbStore({
    directory,
    clock,
    log: createLog('info', { write: (line: string) => void lines.push(line) }),
    formats: new Registry('format', [PLAIN_FORMAT]),
    segmentBytes: 2000,
    checkpointBytes: 1e9,
    disk,
    ...options,
  });
}

function fill(log: QueueLog, from: number, to: number): void {
  for (const position of range(from, to)) {
    const body = `${position} ${'x'.repeat(200)}`;
    log.append(position, message({ body, durable: true }));
    clock.advance(0);
  }
}

function numbersIn(log: QueueLog): { readonly numbers: number[]; readonly unreadable: number } {
  const { messages, unreadable } = log.read(0, 1000, 1e6);
  return {
    numbers: messages.map(({ message: { body } }) => Number(body.toString().split(' ')[0])),
    unreadable,
  };
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe('reading back', () => {
  it('passes over what the disk does not give, and nothing else', () => {
    const log = start().queue('q');
    fill(log, 1, 50);
    const id = segmentOf('20 x');
    const at = (disk.files.get(id) ?? Buffer.alloc(0)).indexOf('20 x');
    disk.readFault = (segment, offset, length) =>
      segment === id && offset <= at && at < offset + length ? BROKEN : null;
    const expected = range(1, 50).filter((number) => number !== 20);
    expect(numbersIn(log)).toEqual({ numbers: expected, unreadable: 1 });
    const said = lines.filter((line) => line.includes('cannot be read: passed over'));
    expect(said.map((line) => JSON.parse(line))).toMatchObject([{ level: 'error', segment: id }]);
  });

  it('closes other segments where too many files are open', () => {
    const log = start().queue('q');
    fill(log, 1, 50);
    expect(numbersIn(log).numbers).toEqual(range(1, 50));
    const { opened } = disk;
    expect(opened).toBeGreaterThan(3);
    fill(log, 51, 70);
    disk.openFault = { error: systemError('EMFILE', 'open', '/disk'), times: 2 };
    expect(numbersIn(log)).toEqual({ numbers: range(1, 70), unreadable: 0 });
  });

  /** The segment that has this text. */
  function segmentOf(text: string): number {
    for (const [id, bytes] of disk.files) if (bytes.includes(text)) return id;
    throw new Error(`nothing has ${text}`);
  }
});

it('a disk that does not tell what is free does not end the process', () => {
  const store = start({ freeBytesMin: 1000 });
  const told: boolean[] = [];
  store.onTrouble((error) => told.push(error !== null));
  disk.free = 0;
  clock.advance(1000);
  disk.freeBytes = () => {
    throw BROKEN;
  };
  clock.advance(5000);
  expect(told).toEqual([true]);
});

describe('a segment on a real disk', () => {
  const write = (segment: Segment, pieces: Buffer[]): Promise<Error | null> =>
    new Promise((resolve) => segment.write(pieces, 0, resolve));

  it('that was removed while it was in use confirms nothing', async () => {
    const segment = new FileDisk(directory).open(1, true);
    expect(await write(segment, [Buffer.from('one')])).toBe(null);
    unlinkSync(join(directory, '0000000001.journal'));
    for (const pieces of [1, 1500]) {
      const error = await write(segment, Array<Buffer>(pieces).fill(Buffer.from('x')));
      expect(error?.message).toMatch(
        /journal was removed while it was in use: stop the gateway and put the data directory back/,
      );
    }
    segment.close();
  });

  it('that cannot be opened for writing is told of', async () => {
    const segment = new FileDisk(directory).open(1, true);
    unlinkSync(join(directory, '0000000001.journal'));
    expect((await write(segment, [Buffer.from('x')]))?.message).toContain('ENOENT');
    segment.close();
  });

  it('that is gone is not made again by reading it', () => {
    const files = new FileDisk(directory);
    expect(() => files.open(7)).toThrow('ENOENT');
    expect(files.segments()).toEqual([]);
  });
});

describe('what the system refuses at the start', () => {
  const said = (where: string): string => {
    try {
      new LmdbStore({
        directory: where,
        clock,
        log: createLog('silent'),
        formats: new Registry('format', [PLAIN_FORMAT]),
        segmentBytes: 1e6,
        checkpointBytes: 1e9,
      });
    } catch (error) {
      return (error as Error).message;
    }
    return 'started';
  };

  it('names the file and what to do', () => {
    const path = (...parts: string[]): string => join(directory, ...parts);
    writeFileSync(path('file'), '');
    symlinkSync(path('two'), path('one'));
    symlinkSync(path('one'), path('two'));
    for (const name of ['state.mdb', 'lock', 'journal/0000000001.journal']) {
      mkdirSync(path(name.replaceAll(/\W/g, ''), name), { recursive: true });
    }
    mkdirSync(path('flat'));
    writeFileSync(path('flat', 'journal'), '');
    const aFile = 'is not a directory: move it away, or choose another directory';
    const aDirectory = 'is a directory, where a file is expected: move it away';
    expect(said(path('file'))).toBe(`data_dir: ${path('file')} ${aFile}`);
    expect(said(path('file', 'below'))).toBe(`data_dir: ${path('file')} ${aFile}`);
    expect(said(path('one'))).toMatch(/one leads through symbolic links that lead to each other/);
    expect(said(path('statemdb'))).toBe(`data_dir: ${path('statemdb', 'state.mdb')} ${aDirectory}`);
    expect(said(path('lock'))).toBe(`data_dir: ${path('lock', 'lock')} ${aDirectory}`);
    expect(said(path('flat'))).toBe(`data_dir: ${path('flat', 'journal')} ${aFile}`);
    const segment = path('journal0000000001journal', 'journal', '0000000001.journal');
    expect(said(path('journal0000000001journal'))).toBe(`data_dir: ${segment} ${aDirectory}`);
  });

  it.each([
    ['EACCES', /of user \d+, mode 0\d{3}\) is closed to the gateway, which runs as user \d+: /],
    ['EROFS', /is on a file system that is mounted read-only: mount it for writing/],
    ['ENAMETOOLONG', /is too long a name: choose another directory/],
    ['ENOSPC', /there is no room on the disk of .* to start with: make some/],
    ['EMFILE', /cannot be opened, since too many files are open: allow more \(ulimit -n/],
    ['EIO', /its disk has an error there: see what the system's log says/],
    ['EBUSY', /cannot be used: EBUSY: open/],
  ])('of %s says what to do', (code, sentence) => {
    const file = join(directory, 'state.mdb');
    expect(refusal(systemError(code, 'open', file), directory)).toMatch(sentence);
  });

  it('says nothing of what is not the system’s', () => {
    expect(refusal(new Error('checksum'), directory)).toBe(null);
  });
});

it('closing gives up on a disk that does not answer, and says so', async () => {
  const late = new FaultyDisk(new SeededRandom(1));
  disk = late;
  const store = start();
  late.late = true;
  store.definitions.put('kind', 'key', 'record');
  clock.advance(0);
  const closed = expect(store.close()).rejects.toThrow(`the disk of ${directory} does not answer`);
  clock.advance(4000);
  await closed;
});
