import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Change, CheckpointFile, UNFINISHED } from '../../../core/store/checkpoint.ts';
import { RecordWriter } from '../../../core/store/records.ts';
import { Space } from '../../../core/store/space.ts';
import type { Table } from '../../../core/table.ts';

const PLACE = { segment: 1, offset: 0 };
const LONG = 'x'.repeat(1500);

let directory: string;
let checkpoint: CheckpointFile;
let space: Space;

function open(): void {
  checkpoint = new CheckpointFile(join(directory, 'state.mdb'), () => false);
  space = new Space(() => {});
  space.load(checkpoint);
}

async function write(): Promise<void> {
  await checkpoint.write(space.takeChanges(), PLACE);
  space.written();
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  open();
});

afterEach(async () => {
  await checkpoint.close();
  rmSync(directory, { recursive: true, force: true });
});

async function reopen(): Promise<void> {
  await checkpoint.close();
  open();
}

function bytes(text: string): Buffer {
  return Buffer.from(text);
}

function contents(table: Table, prefix?: string): [string, string][] {
  return [...table.entries(prefix)].map(([key, value]) => [key, value.toString()]);
}

const word = fc.constantFrom('a', 'b', 'A', '\0', '\x01', 'é', '\ud7ff', '\ue000', '😀', '\ud83d');
const key = fc.oneof(
  fc.string({ unit: word, maxLength: 3 }),
  // The same 960 units in front, and one that is as long as that.
  fc.string({ unit: word, maxLength: 2 }).map((end) => LONG + end),
  fc.constantFrom('x'.repeat(959), 'x'.repeat(960), 'x'.repeat(961), 'y'),
);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('set'), key }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete'), key }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('begin', 'end', 'fail', 'reopen'), key }),
  },
);

describe('a table on the disk', () => {
  it('is a sorted map, whatever checkpoints are written, under way or fail', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), key, async (steps, from) => {
        for (const old of space.table('t').keys()) space.table('t').delete(old);
        const known = new Map<string, string>();
        /** What the next checkpoint that is written has to have. */
        let taken: Change[] = [];
        for (const [n, each] of steps.entries()) {
          const table = space.table('t');
          if (each.kind === 'set') {
            table.set(each.key, bytes(String(n)));
            known.set(each.key, String(n));
          } else if (each.kind === 'delete') {
            table.delete(each.key);
            known.delete(each.key);
          } else if (each.kind === 'begin' || each.kind === 'fail') {
            taken = [...taken, ...space.takeChanges()];
          } else {
            taken = [...taken, ...space.takeChanges()];
            await checkpoint.write(taken, PLACE);
            taken = [];
            space.written();
            if (each.kind === 'reopen') await reopen();
          }
          expect(space.table('t').size).toBe(known.size);
          expect(space.table('t').has(each.key)).toBe(known.has(each.key));
        }
        const table = space.table('t');
        const sorted = [...known].sort(([one], [other]) => (one < other ? -1 : 1));
        expect(contents(table)).toEqual(sorted);
        expect([...table.keys(from)]).toEqual(sorted.map(([k]) => k).filter((k) => k >= from));
        expect(contents(table, from)).toEqual(sorted.filter(([k]) => k.startsWith(from)));
        await checkpoint.write([...taken, ...space.takeChanges()], PLACE);
        space.written();
      }),
      { numRuns: 60 },
    );
  });

  it('has what is written while a checkpoint is under way, and what that one has', async () => {
    const table = space.table('t');
    for (const each of ['a', 'b', 'c']) table.set(each, bytes(`${each}1`));
    const writing = checkpoint.write(space.takeChanges(), PLACE);
    table.set('b', bytes('b2'));
    table.delete('c');
    table.set('d', bytes('d1'));
    const expected = [
      ['a', 'a1'],
      ['b', 'b2'],
      ['d', 'd1'],
    ];
    expect(contents(table)).toEqual(expected);
    await writing;
    expect(contents(table)).toEqual(expected);
    space.written();
    expect(contents(table)).toEqual(expected);
    await write();
    await reopen();
    expect(contents(space.table('t'))).toEqual(expected);
  });

  it('is walked by the page while everything in it goes, and others come', async () => {
    const table = space.table('t');
    for (let n = 0; n < 5000; n++) table.set(`k${n}`, bytes(''));
    await write();
    for (let n = 5000; n < 6000; n++) table.set(`k${n}`, bytes(''));
    let seen = 0;
    for (const each of table.keys()) {
      table.delete(each);
      if (seen++ % 10 === 0) table.set(`a${seen}`, bytes(''));
    }
    expect(seen).toBe(6000);
    expect(table.size).toBe(600);
    await write();
    await reopen();
    expect([...space.table('t').keys()].length).toBe(600);
  });

  it('does not hold what other tables have, whatever their names', async () => {
    const names = ['a', 'a\0b', `n${'\0'.repeat(80)}`, 'x'.repeat(600)];
    for (const name of names) space.table(name).set('key', bytes(name));
    await write();
    await reopen();
    for (const name of names) expect(contents(space.table(name))).toEqual([['key', name]]);
    space.table('a').delete('key');
    await write();
    await reopen();
    expect(space.table('a').size).toBe(0);
    expect(space.table('a\0b').size).toBe(1);
  });

  it('counts and finds all when the process died in the middle of a checkpoint', async () => {
    const fill = (name: string, from: number): void => {
      for (let n = from; n < from + 10_000; n++) space.table(name).set(`k${n}`, bytes(String(n)));
    };
    fill('old', 0);
    await write();
    fill('old', 1000);
    fill('new', 0);
    for (let n = 0; n < 500; n++) space.table('old').delete(`k${n}`);
    // LMDB refuses so long a key, when the tables' entries have been written.
    const refused: Change = [[''.padEnd(3000, 'x')], bytes('')];
    await expect(checkpoint.write([...space.takeChanges(), refused], PLACE)).rejects.toThrow();
    await reopen();
    expect([...checkpoint.keysOf(UNFINISHED)].length).toBe(2);
    // What the journal has is there again.
    fill('old', 1000);
    fill('new', 0);
    for (let n = 0; n < 500; n++) space.table('old').delete(`k${n}`);
    const check = (): void => {
      for (const [name, size] of [
        ['old', 10_500],
        ['new', 10_000],
      ] as const) {
        expect(space.table(name).size).toBe(size);
        expect([...space.table(name).keys()].length).toBe(size);
      }
    };
    check();
    await write();
    await reopen();
    check();
    expect([...checkpoint.keysOf(UNFINISHED)]).toEqual([]);
  });

  it('answers nothing, and does not fail, when the store is closed', async () => {
    const table = space.table('t');
    table.set('a', bytes('1'));
    await write();
    await checkpoint.close();
    expect(table.get('a')).toBe(null);
    expect([...table.keys()]).toEqual([]);
    open();
  });

  it('is taken over from a checkpoint of version 2', async () => {
    const longName = `retained\0/\0${'exchange'.repeat(10)}`;
    const former: Change[] = [
      [['table', 'sessions', 'a\0b'], former2('a\0b', '1')],
      [['table', 'sessions', ''], former2('', '2')],
      [['table', longName, 'some.key'], former2('some.key', '3')],
      [['definition', 'queue', 'q'], former2('q', '{}')],
    ];
    await checkpoint.write(former, PLACE);
    await reopen();
    const check = (): void => {
      expect(contents(space.table('sessions'))).toEqual([
        ['', '2'],
        ['a\0b', '1'],
      ]);
      expect(contents(space.table(longName))).toEqual([['some.key', '3']]);
      expect([...space.entries('queue')]).toEqual([['q', '{}']]);
    };
    check();
    await write();
    check();
    await reopen();
    check();
    expect([...checkpoint.entries('table')]).toEqual([]);
  });
});

/** As version 2 wrote values: with their keys. */
function former2(name: string, value: string): Buffer {
  const writer = new RecordWriter(0, Buffer.alloc(1024));
  writer.text(name);
  writer.raw(bytes(value));
  return Buffer.concat(writer.take());
}
