import { describe, expect, test } from 'vitest';
import { ArchiveChunks, type Chunk, type Stored } from '../../../adapters/xmpp/archive-chunks.ts';
import { MemoryStore } from '../../../core/store/memory.ts';

const OWNER = 'alice@localhost';

function stored(n: number): Stored {
  return {
    id: `id${String(n).padStart(4, '0')}`,
    at: n,
    with: 'bob@localhost',
    xml: 'x'.repeat(n),
  };
}

/** Chunks of so many messages each, the last one still open. */
function fill(chunks: ArchiveChunks, lengths: readonly number[]): Chunk[] {
  let n = 0;
  return lengths.map((length, at) => {
    const chunk: Chunk = { first: stored(n).id, sizes: [], sealed: false };
    for (let i = 0; i < length; i++) chunks.append(OWNER, chunk, stored(n++));
    if (at < lengths.length - 1) chunks.seal(OWNER, chunk);
    return chunk;
  });
}

describe('chunks of an archive', () => {
  test('are found again as they were', () => {
    const store = new MemoryStore();
    const made = fill(new ArchiveChunks(store), [3, 2, 4]);
    const again = new ArchiveChunks(store);
    const { chunks, newest } = again.load();
    expect(chunks).toEqual(made.map((chunk) => [OWNER, chunk]));
    expect(newest).toBe('id0008');
    const messages = chunks.flatMap(([owner, chunk]) => again.read(owner, chunk));
    expect(messages).toEqual(Array.from({ length: 9 }, (_, n) => stored(n)));
  });

  test('are added to after they were read', () => {
    const chunks = new ArchiveChunks(new MemoryStore());
    const [chunk] = fill(chunks, [2]);
    if (chunk === undefined) throw new Error('no chunk');
    expect(chunks.read(OWNER, chunk).length).toBe(2);
    chunks.append(OWNER, chunk, stored(2));
    expect(chunks.read(OWNER, chunk)).toEqual([stored(0), stored(1), stored(2)]);
    chunks.seal(OWNER, chunk);
    expect(chunks.read(OWNER, chunk)).toEqual([stored(0), stored(1), stored(2)]);
    expect(chunk.sizes).toEqual([0, 1, 2]);
  });

  test('leave nothing when they are dropped', () => {
    const store = new MemoryStore();
    const chunks = new ArchiveChunks(store);
    for (const chunk of fill(chunks, [3, 3])) chunks.drop(OWNER, chunk);
    expect(store.table('xmpp.archive').size).toBe(0);
    expect(store.table('xmpp.archive.chunks').size).toBe(0);
    expect(new ArchiveChunks(store).load()).toEqual({ chunks: [], newest: '' });
  });

  test('that a kill left while they were sealed are put right', () => {
    const store = new MemoryStore();
    fill(new ArchiveChunks(store), [3, 1]);
    const table = store.table('xmpp.archive');
    // The chunk was written, its messages one by one are still there.
    table.set(`${OWNER}\nid0000\nid0001`, Buffer.from(JSON.stringify(stored(1))));
    const { chunks } = new ArchiveChunks(store).load();
    expect(chunks.map(([, { sizes, sealed }]) => [sizes, sealed])).toEqual([
      [[0, 1, 2], true],
      [[3], false],
    ]);
    expect([...table.keys()]).toEqual([`${OWNER}\nid0000`, `${OWNER}\nid0003\nid0003`]);
  });

  test('of a store that has no summaries of them get theirs', () => {
    const store = new MemoryStore();
    fill(new ArchiveChunks(store), [3, 1]);
    const summaries = store.table('xmpp.archive.chunks');
    for (const key of summaries.keys()) summaries.delete(key);
    const { chunks, newest } = new ArchiveChunks(store).load();
    expect(chunks.map(([, { sizes, sealed }]) => [sizes, sealed])).toEqual([
      [[0, 1, 2], true],
      [[3], false],
    ]);
    expect(newest).toBe('id0003');
    expect([...summaries.keys()]).toEqual([`${OWNER}\nid0000`]);
  });
});
