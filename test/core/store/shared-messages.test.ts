import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SILENT_LOG } from '../../../core/log.ts';
import { Registry } from '../../../core/registry.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import { SharedMessages } from '../../../core/store/shared-messages.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { message, PLAIN_FORMAT } from '../../support/messages.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('knows messages by their place, and forgets the oldest', () => {
  const shared = new SharedMessages();
  const at = (offset: number) => ({ segment: 1, offset, length: 100 });
  for (let offset = 0; offset < 1100; offset++) shared.add(at(offset), message({ body: 'x' }));
  expect(shared.get(at(0))).toBeUndefined();
  expect(shared.get(at(1099))?.body.toString()).toBe('x');
  shared.add(at(2000), message({ body: 'x'.repeat(7_999_000) }));
  shared.add(at(2001), message({ body: 'y'.repeat(7_999_000) }));
  expect([shared.get(at(1099)), shared.get(at(2000))]).toEqual([undefined, undefined]);
  expect(shared.get(at(2001))?.body.length).toBe(7_999_000);
});

it('is where queues find what many of them hold, among their own, after a restart', () => {
  const disk = new MemoryDisk();
  const open = (): { store: LmdbStore; clock: ManualClock } => {
    rmSync(join(directory, 'lock'), { force: true });
    const clock = new ManualClock();
    const formats = new Registry('format', [PLAIN_FORMAT]);
    const store = new LmdbStore({
      ...{ directory, clock, formats, disk, log: SILENT_LOG },
      ...{ segmentBytes: 1e6, checkpointBytes: 1e9 },
    });
    return { store, clock };
  };
  const before = open();
  const logs = Array.from({ length: 100 }, (_, i) => before.store.queue(`q${i}`));
  for (let position = 1; position <= 6; position++) {
    const all = message({ body: `all ${position}`, durable: true });
    for (const [i, log] of logs.entries()) {
      log.append(
        position,
        position % 2 === 0 ? all : message({ body: `${i} ${position}`, durable: true }),
      );
    }
  }
  before.clock.advance(0);

  const after = open();
  for (let i = 0; i < 100; i++) {
    const { messages, unreadable } = after.store.queue(`q${i}`).read(0, 100, 1e6);
    expect(unreadable).toBe(0);
    const bodies = messages.map((each) => String(each.message.body));
    expect(bodies).toEqual([`${i} 1`, 'all 2', `${i} 3`, 'all 4', `${i} 5`, 'all 6']);
  }
});
