/** A queue's index against a model of it: whatever is in memory, on the disk or on its way there. */
import { describe, expect, it } from 'vitest';
import { BlockCache } from '../../../core/store/block-cache.ts';
import type { Encoded, Location, Use } from '../../../core/store/index-block.ts';
import { QueueIndex } from '../../../core/store/queue-index.ts';
import { SeededRandom } from '../../support/seeded-random.ts';

interface Placed extends Location {
  readonly transient: boolean;
}

type Model = Map<number, Placed>;

/** Bytes of a full block in memory. */
const BLOCK_BYTES = 12 * 1024;

/** One index, with the checkpoints that it is written to and what should be in both. */
class Trial {
  readonly random: SeededRandom;
  readonly bytesMax: number;
  readonly pages = new Map<number, { page: Buffer; summary: Buffer }>();
  /** Taken, and not written yet: a checkpoint failed, or is under way. */
  unwritten = new Map<number, Encoded | null>();
  cache: BlockCache;
  index: QueueIndex;
  model: Model = new Map();
  taken: Model = new Map();
  safe: Model = new Map();
  /** What is in which segment, as the index has told. */
  uses = new Map<number, [messages: number, bytes: number]>();
  damaged: number[] = [];
  last = 0;
  /** The place where the journal goes on. */
  segment = 1;
  offset = 8;

  constructor(seed: number, bytesMax: number) {
    this.random = new SeededRandom(seed);
    this.bytesMax = bytesMax;
    this.cache = this.#cache();
    this.index = this.#index();
  }

  readonly used: Use = (segment, messages, bytes) => {
    const [before, bytesBefore] = this.uses.get(segment) ?? [0, 0];
    this.uses.set(segment, [before + messages, bytesBefore + bytes]);
    if (before + messages === 0) this.uses.delete(segment);
  };

  readonly unused: Use = (segment, messages, bytes) => this.used(segment, -messages, -bytes);

  put(position: number): void {
    const was = this.model.get(position);
    if (was !== undefined) this.unused(was.segment, 1, was.length);
    if (this.random.below(200) === 0) [this.segment, this.offset] = [this.segment + 1, 8];
    if (this.random.below(20) === 0) this.offset += this.random.below(5000);
    const length = this.random.below(10) === 0 ? 20 + this.random.below(1e6) : 200;
    const transient = this.random.below(15) === 0;
    const { segment, offset } = this;
    this.offset += length;
    this.model.set(position, { segment, offset, length, transient });
    this.index.set(position, segment, offset, length, transient);
    this.used(segment, 1, length);
    this.last = Math.max(this.last, position);
  }

  delete(position: number): void {
    const was = this.model.get(position);
    expect(this.index.delete(position)).toEqual(was === undefined ? null : placeOf(was));
    if (was !== undefined) this.unused(was.segment, 1, was.length);
    this.model.delete(position);
  }

  deleteRange(first: number, end: number): void {
    const gone = [...this.model.keys()].filter((position) => position >= first && position < end);
    expect(this.index.deleteRange(first, end, this.unused)).toBe(gone.length);
    for (const position of gone) this.model.delete(position);
  }

  take(): void {
    for (const [base, block] of this.index.takeDirty()) {
      const page = block?.page ?? this.unwritten.get(base)?.page ?? null;
      this.unwritten.set(base, block === null ? null : { ...block, page });
    }
    this.taken = new Map(this.model);
  }

  write(): void {
    for (const [base, block] of this.unwritten) {
      const page = block?.page ?? this.pages.get(base)?.page;
      if (block === null) this.pages.delete(base);
      else this.pages.set(base, { summary: block.summary, page: page ?? Buffer.alloc(0) });
    }
    this.unwritten = new Map();
    this.safe = this.taken;
    this.cache.written();
  }

  /** The next process has what the last checkpoint has. */
  restart(): void {
    this.model = new Map([...this.safe].filter(([, { transient }]) => !transient));
    this.taken = new Map(this.model);
    this.safe = this.taken;
    this.unwritten = new Map();
    this.uses = new Map();
    this.cache = this.#cache();
    this.index = this.#index();
    for (const [base, { summary }] of [...this.pages].sort(([a], [b]) => a - b)) {
      this.index.restore(base, summary, this.used);
    }
  }

  check(): void {
    expect(this.index.count).toBe(this.model.size);
    const uses = new Map<number, [number, number]>();
    for (const { segment, length } of this.model.values()) {
      const [messages, bytes] = uses.get(segment) ?? [0, 0];
      uses.set(segment, [messages + 1, bytes + length]);
    }
    expect(this.uses).toEqual(uses);
    const after = this.random.below(this.last + 2) - 1;
    const most = this.random.below(3000);
    const found: [number, Location][] = [];
    this.index.walk(after, (position, at) => found.push([position, at]) < most);
    expect(found).toEqual(this.#expected(after).slice(0, Math.max(1, most)));
  }

  checkSegments(): void {
    const wanted = new Set(Array.from({ length: 3 }, () => 1 + this.random.below(this.segment)));
    const found: [number, Location][] = [];
    this.index.walkSegments(wanted, (position, at) => found.push([position, at]) > 0);
    expect(found).toEqual(this.#expected(-1).filter(([, { segment }]) => wanted.has(segment)));
  }

  checkSizes(): void {
    const after = this.random.below(this.last + 2) - 1;
    const expected = this.#expected(after);
    const sizes = [...this.index.sizes(after, this.random.pick([0, 150_000, 1e9]))];
    const sum = expected.reduce((bytes, [, { length }]) => bytes + length, 0);
    expect(sizes.reduce((bytes, [, more]) => bytes + more, 0)).toBe(sum);
    expect(sizes[0]?.[0]).toBe(expected[0]?.[0]);
    expect(sizes.map(([position]) => position)).toEqual(
      sizes.map(([position]) => position).toSorted((a, b) => a - b),
    );
  }

  #expected(after: number): [number, Location][] {
    const above = [...this.model].filter(([position]) => position > after);
    return above.sort(([a], [b]) => a - b).map(([position, at]) => [position, placeOf(at)]);
  }

  #cache(): BlockCache {
    return new BlockCache({
      bytesMax: this.bytesMax,
      page: (_queue, base) => this.pages.get(base)?.page ?? null,
      damaged: (_queue, base) => void this.damaged.push(base),
    });
  }

  #index(): QueueIndex {
    const summary = (base: number): Buffer | null => this.pages.get(base)?.summary ?? null;
    return new QueueIndex({ id: 1, cache: this.cache, summary });
  }
}

function placeOf({ segment, offset, length }: Location): Location {
  return { segment, offset, length };
}

function step(trial: Trial): void {
  const { random } = trial;
  const some = (): number => random.below(trial.last + 2);
  const actions: readonly (readonly [weight: number, act: () => void])[] = [
    [30, () => times(random.below(600), () => trial.put(trial.last + 1))],
    [2, () => trial.put(trial.last + random.below(3000))],
    [5, () => times(random.below(50), () => trial.put(random.pick([...trial.model.keys(), 7])))],
    [10, () => times(random.below(50), () => trial.delete(some()))],
    [
      8,
      () =>
        [...trial.model.keys()].slice(0, random.below(1500)).forEach((at) => void trial.delete(at)),
    ],
    [4, () => trial.deleteRange(some(), some() + random.below(3000))],
    [1, () => trial.deleteRange(some(), Number.POSITIVE_INFINITY)],
    [12, () => trial.check()],
    [5, () => trial.checkSegments()],
    [5, () => trial.checkSizes()],
    [6, () => trial.take()],
    [8, () => void [trial.take(), trial.write()]],
    [4, () => trial.restart()],
  ];
  let draw = random.below(100);
  for (const [weight, act] of actions) {
    draw -= weight;
    if (draw >= 0) continue;
    act();
    return;
  }
}

function times(count: number, act: () => void): void {
  for (let left = count; left > 0; left--) act();
}

/** An index of so many messages, checkpointed, and started again with nothing in memory. */
function paged(messages: number, bytesMax: number): Trial {
  const trial = new Trial(1, bytesMax);
  times(messages, () => trial.put(trial.last + 1));
  trial.take();
  trial.write();
  trial.restart();
  return trial;
}

describe('an index', () => {
  it.each([0, BLOCK_BYTES, 4 * BLOCK_BYTES, 1e9])(
    'has what a model has, with blocks of %i bytes in memory',
    (bytesMax) => {
      for (let seed = 1; seed <= 6; seed++) {
        const trial = new Trial(seed, bytesMax);
        times(150, () => step(trial));
        trial.check();
        expect(trial.damaged).toEqual([]);
      }
    },
    120_000,
  );

  it('keeps no more in memory than its limit once a checkpoint has it', () => {
    const trial = new Trial(1, 2 * BLOCK_BYTES);
    times(20_000, () => trial.put(trial.last + 1));
    expect(trial.cache.bytes).toBeGreaterThan(19 * BLOCK_BYTES);
    trial.take();
    expect(trial.cache.bytes).toBeGreaterThan(19 * BLOCK_BYTES);
    trial.write();
    expect(trial.cache.bytes).toBeLessThanOrEqual(2 * BLOCK_BYTES);
    trial.check();
    expect(trial.cache.bytes).toBeLessThanOrEqual(2 * BLOCK_BYTES);
  });

  it('keeps what changed while a checkpoint was under way', () => {
    const trial = new Trial(1, 0);
    times(3000, () => trial.put(trial.last + 1));
    trial.take();
    times(10, () => trial.put(trial.last + 1));
    trial.delete(5);
    trial.write();
    expect(trial.cache.bytes).toBe(2 * BLOCK_BYTES);
    trial.check();
  });

  it('asks for a checkpoint when much has changed, and not again while that fails', () => {
    const trial = new Trial(1, 100 * BLOCK_BYTES);
    times(99 * 1024, () => trial.put(trial.last + 1));
    expect(trial.cache.full).toBe(false);
    times(2 * 1024, () => trial.put(trial.last + 1));
    expect(trial.cache.full).toBe(true);
    trial.take();
    expect(trial.cache.full).toBe(false);
  });

  it('writes no page again, and holds none, for what is removed here and there', () => {
    const trial = paged(20_000, 2 * BLOCK_BYTES);
    for (let base = 1024; base < 19_000; base += 1024) trial.delete(base + 7);
    expect(trial.cache.bytes).toBeLessThanOrEqual(2 * BLOCK_BYTES);
    const changed = [...trial.index.takeDirty()];
    expect(changed.length).toBeGreaterThan(10);
    expect(changed.filter(([, block]) => block?.page !== null)).toEqual([]);
    expect(Math.max(...changed.map(([, block]) => block?.summary.length ?? 0))).toBeLessThan(300);
    trial.check();
  });

  it('reads nothing to start, nor to be emptied', () => {
    const trial = paged(50_000, 1e9);
    expect(trial.index.count).toBe([...trial.model.values()].length);
    trial.deleteRange(0, Number.POSITIVE_INFINITY);
    expect([trial.cache.bytes, trial.uses.size]).toEqual([0, 0]);
  });

  it('reads of old segments the blocks that have some of them', () => {
    const trial = paged(50_000, 1e9);
    const found: number[] = [];
    trial.index.walkSegments(new Set([1]), (position) => found.push(position) > 0);
    expect(found.length).toBeGreaterThan(10);
    expect(trial.cache.bytes).toBeLessThanOrEqual(2 * BLOCK_BYTES);
  });

  it('takes a few bytes a message on the disk', () => {
    const trial = paged(50_000, 0);
    let bytes = 0;
    for (const { page, summary } of trial.pages.values()) bytes += page.length + summary.length;
    expect(bytes / 50_000).toBeLessThan(4);
  });
});

describe('a page that is not as it was written', () => {
  it('is told of once, and everything else is there', () => {
    const trial = paged(5000, 1e9);
    const page = trial.pages.get(2048)?.page;
    page?.writeUInt8(page.readUInt8(99) ^ 1, 99);
    const found: number[] = [];
    trial.index.walk(-1, (position) => found.push(position) > 0);
    const kept = [...trial.model.keys()].filter((at) => at < 2048 || at >= 3072);
    expect(found).toEqual(kept);
    expect(trial.index.count).toBe(kept.length);
    expect([trial.index.get(2050), trial.index.delete(2050)]).toEqual([null, null]);
    expect(trial.damaged).toEqual([2048]);
  });

  it('is not written over', () => {
    const trial = paged(5000, 1e9);
    trial.pages.delete(4096);
    expect(() => trial.index.set(5001, 9, 8, 100, false)).toThrow(/not written over/);
    expect([...trial.index.takeDirty()]).toEqual([]);
  });

  it('frees its segments when the queue goes', () => {
    const trial = paged(5000, 1e9);
    trial.pages.get(1024)?.page.fill(0);
    expect(trial.index.get(1100)).toBeNull();
    trial.index.deleteRange(0, Number.POSITIVE_INFINITY, trial.unused);
    expect(trial.uses.size).toBe(0);
  });
});
