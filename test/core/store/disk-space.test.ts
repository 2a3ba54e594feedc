import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Publisher } from '../../../core/engine.ts';
import { createLog } from '../../../core/log.ts';
import { Registry } from '../../../core/registry.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import { FileDisk } from '../../../core/store/segment.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { message, PLAIN_FORMAT } from '../../support/messages.ts';
import { Outbox } from '../../support/recorder.ts';
import { createWorld } from '../../support/world.ts';

const MARK = 1000;

let directory: string;
let disk: MemoryDisk;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  disk = new MemoryDisk();
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Running {
  readonly clock: ManualClock;
  readonly store: LmdbStore;
  readonly publisher: Publisher;
  readonly outbox: Outbox;
  readonly lines: string[];
}

function start(): Running {
  const clock = new ManualClock();
  const lines: string[] = [];
  const store = new LmdbStore({
    directory,
    clock,
    log: createLog('info', { write: (line: string) => void lines.push(line) }),
    formats: new Registry('format', [PLAIN_FORMAT]),
    segmentBytes: 64 * 1024,
    checkpointBytes: 1e9,
    freeBytesMin: MARK,
    disk,
  });
  const world = createWorld({ store, clock });
  const session = world.engine.open('/', world.principal('guest'));
  const outbox = new Outbox();
  return { clock, store, outbox, lines, publisher: session.publisher(outbox) };
}

/** Whether the publisher may go on. */
function publish({ publisher }: Running): boolean {
  return publisher.publish(message({ key: 'nowhere', body: 'x' }), 0, false);
}

describe('a disk with too little free space', () => {
  it('holds publishers until there is room, and says so', async () => {
    const running = start();
    expect(publish(running)).toBe(true);
    disk.free = MARK - 1;
    running.clock.advance(1000);
    expect(publish(running)).toBe(false);
    disk.free = MARK;
    running.clock.advance(1000);
    expect(running.outbox.events).toEqual([]);
    disk.free = 2 * MARK;
    running.clock.advance(1000);
    expect(running.outbox.events).toEqual(['writable']);
    expect(publish(running)).toBe(true);
    const said = running.lines.filter((line) => line.includes('free disk space'));
    expect(said.map((line) => JSON.parse(line))).toMatchObject([
      { level: 'warn', free: MARK - 1, mark: MARK, directory },
      { level: 'info', free: 2 * MARK },
    ]);
    await running.store.close();
  });

  it('holds them from the start', () => {
    disk.free = 0;
    expect(publish(start())).toBe(false);
  });

  it('still holds them when writes go again', () => {
    const running = start();
    disk.fault = new Error('ENOSPC: no space left on device');
    running.store.definitions.put('kind', 'key', 'record');
    running.clock.advance(0);
    disk.free = 0;
    expect(publish(running)).toBe(false);
    running.clock.advance(1000);
    disk.fault = null;
    running.clock.advance(1000);
    expect(running.outbox.events).toEqual([]);
    disk.free = 2 * MARK;
    running.clock.advance(1000);
    expect(running.outbox.events).toEqual(['writable']);
  });
});

it('a real disk says what is free', () => {
  expect(new FileDisk(join(directory, 'journal')).freeBytes()).toBeGreaterThan(0);
});
