/**
 * What a store knows: definitions, tables, and where each queue's messages are. Loaded from a
 * checkpoint, brought up to date by the journal's records, changed by the running engine.
 */
import type { Message } from '../message.ts';
import { BlockCache } from './block-cache.ts';
import type { Change, Changes, CheckpointFile, Key } from './checkpoint.ts';
import type { Placed } from './compaction.ts';
import { readTimes } from './delivery-counts.ts';
import { BLOCK_POSITIONS, type Location, type Use } from './index-block.ts';
import type { Journal } from './journal.ts';
import { QueueIndex } from './queue-index.ts';
import { JournalQueueLog } from './queue-log.ts';
import { type RecordReader, RecordType } from './records.ts';
import { type Replayed, StoreDamage } from './replay.ts';
import { Space } from './space.ts';

/** Keys of a checkpoint, each with a log's id and the first position of a block. */
const PAGE = 'page';
const SUMMARY = 'summary';
/** Of version 2: a block's cells as they are in memory. */
const CELLS = 'block';

export interface StoreStateParts {
  readonly journal: Journal;
  readonly checkpoint: CheckpointFile;
  /** Blocks of queue indexes in memory, in bytes. */
  readonly indexBytesMax: number;
  /** Null where the journal is damaged there. */
  readMessages(locations: readonly Location[]): (Message | null)[];
  /** A part of an index is damaged. Where this returns it is passed over. */
  damaged(error: StoreDamage): void;
}

export class StoreState {
  readonly space: Space;
  readonly #parts: StoreStateParts;
  readonly #cache: BlockCache;
  readonly #logs = new Map<string, JournalQueueLog>();
  readonly #logsById = new Map<number, JournalQueueLog>();
  /** Logs that are gone, whose blocks the last checkpoint may have. */
  readonly #dropped = new Map<number, QueueIndex>();
  /** Parts of their counts that the last checkpoint has, by log and part. */
  readonly #droppedCounts: (readonly [id: number, part: number])[] = [];
  /** What the last checkpoint has as version 2 had it: to be removed with the next. */
  readonly #outdated: Key[] = [];
  /** What is still wanted of each segment. */
  readonly #uses = new Map<number, Wanted>();
  /** Segments that had something wanted, and have nothing now. */
  readonly #emptied = new Set<number>();
  /** Bytes that became unwanted; whoever looks sets it back. */
  freedBytes = 0;
  #lastId = 0;

  constructor(parts: StoreStateParts) {
    const { journal, checkpoint, indexBytesMax } = parts;
    this.#parts = parts;
    this.space = new Space((item) => journal.write(item));
    this.#cache = new BlockCache({
      bytesMax: indexBytesMax,
      page: (queue, base) => checkpoint.get([PAGE, queue, base]),
      damaged: (queue, base) => parts.damaged(this.#damage(queue, base)),
    });
  }

  /** So much of the indexes has changed that they want a checkpoint. */
  get full(): boolean {
    return this.#cache.full;
  }

  /** Null where the journal is damaged there. */
  readMessages(locations: readonly Location[]): (Message | null)[] {
    return this.#parts.readMessages(locations);
  }

  queue(name: string): JournalQueueLog {
    const known = this.#logs.get(name);
    if (known !== undefined) return known;
    const id = this.#lastId + 1;
    this.#parts.journal.write((writer) => {
      writer.begin(RecordType.QUEUE);
      writer.u32(id);
      writer.text(name);
      writer.end();
    });
    return this.#add(id, name, 0, 0, true);
  }

  /** Whether a message in this segment is still wanted. */
  isLive(segment: number): boolean {
    return this.#uses.has(segment);
  }

  /** Segments with what is still wanted of them. */
  uses(): Iterable<readonly [segment: number, use: Readonly<Wanted>]> {
    return this.#uses;
  }

  /** Whether a segment before `current` has become empty since the last checkpoint. */
  hasEmptied(current: number): boolean {
    for (const segment of this.#emptied) if (segment < current) return true;
    return false;
  }

  /** Messages in `segments`, at most so many. */
  placedIn(segments: ReadonlySet<number>, most: number): Placed[] {
    const found: Placed[] = [];
    let all = 0;
    for (const segment of segments) all += this.#uses.get(segment)?.messages ?? 0;
    const enough = Math.min(all, most);
    for (const log of this.#logsById.values()) {
      if (found.length >= enough) break;
      log.index.walkSegments(segments, (position, location) => {
        found.push({ log, position, location });
        return found.length < enough;
      });
    }
    return found;
  }

  /** What the checkpoint has, but for what is read when it is wanted. Throws StoreDamage. */
  load(): void {
    const { checkpoint } = this.#parts;
    this.space.load(checkpoint);
    for (const [[, id], value] of checkpoint.entries('queue')) {
      const { name, lentTo, last } = JSON.parse(value.toString()) as LogRecord;
      this.#add(Number(id), name, lentTo, last, false);
    }
    this.#loadBlocks();
    for (const [[, id, base], bytes] of checkpoint.entries(CELLS)) {
      this.#outdated.push([CELLS, Number(id), Number(base)]);
      this.#logsById.get(Number(id))?.index.restoreCells(Number(base), bytes, this.#used);
    }
    for (const [[, id, part], bytes] of checkpoint.entries('count')) {
      this.#logsById.get(Number(id))?.counts.load(Number(part), bytes);
    }
  }

  /** Each page has its summary, and each summary its page. */
  #loadBlocks(): void {
    const { checkpoint } = this.#parts;
    const pages = checkpoint.keysOf(PAGE)[Symbol.iterator]();
    for (const [[, id, base], summary] of checkpoint.entries(SUMMARY)) {
      const page: Key = pages.next().value ?? [];
      if (page[1] !== id || page[2] !== base) throw this.#damage(Number(id), Number(base));
      this.#logsById.get(Number(id))?.index.restore(Number(base), summary, this.#used);
    }
    const [, id, base]: Key = pages.next().value ?? [];
    if (id !== undefined) throw this.#damage(Number(id), Number(base));
  }

  apply({ type, reader, segment, offset, length }: Replayed): void {
    switch (type) {
      case RecordType.MESSAGE:
        this.#applyMessage(reader, { segment, offset, length });
        return;
      case RecordType.REMOVED:
        this.#applyRemoved(reader);
        return;
      case RecordType.LENT: {
        const log = this.#logsById.get(reader.u32());
        if (log !== undefined) log.lentTo = reader.f64();
        return;
      }
      case RecordType.DELIVERED:
        this.#applyDelivered(reader);
        return;
      case RecordType.QUEUE: {
        // A checkpoint may be ahead of the journal: then it has the log already.
        const id = reader.u32();
        if (!this.#logsById.has(id)) this.#add(id, reader.text(), 0, 0, true);
        return;
      }
      case RecordType.DROPPED:
        this.#logsById.get(reader.u32())?.discard();
        return;
      default:
        this.space.apply(type, reader);
    }
  }

  /** What changed since the last call, for a checkpoint; segments before `current` go with it. */
  takeChanges(current: number): Changes {
    for (const segment of this.#emptied) if (segment < current) this.#emptied.delete(segment);
    const changes: Change[] = [];
    for (const key of this.#outdated.splice(0)) changes.push([key, null]);
    for (const [id, index] of this.#dropped) {
      changes.push([['queue', id], null]);
      takeBlocks(id, index, changes);
    }
    this.#dropped.clear();
    for (const [id, part] of this.#droppedCounts.splice(0))
      changes.push([['count', id, part], null]);
    for (const log of this.#logsById.values()) {
      const { id, name, index } = log;
      for (const [part, bytes] of log.takeCounts()) changes.push([['count', id, part], bytes]);
      const record = log.takeChanged();
      if (record !== null)
        changes.push([['queue', id], Buffer.from(JSON.stringify({ name, ...record }))]);
      takeBlocks(id, index, changes);
    }
    for (const change of this.space.takeChanges()) changes.push(change);
    return changes;
  }

  /** A checkpoint is safe, and with it all that was taken. */
  written(): void {
    this.#cache.written();
    this.space.written();
  }

  #applyMessage(reader: RecordReader, { segment, offset, length }: Location): void {
    // What was only there for want of memory does not survive the process.
    const durable = reader.u8() === 1;
    for (let left = reader.u16(); left > 0; left--) {
      const log = this.#logsById.get(reader.u32());
      const position = reader.f64();
      if (log === undefined) continue;
      log.last = Math.max(log.last, position);
      if (!durable) continue;
      // It may be there already: compaction moved it.
      const was = log.index.get(position);
      if (was !== null) this.#count(was, -1);
      log.index.set(position, segment, offset, length, false);
      this.#count({ segment, offset, length }, 1);
    }
  }

  #applyRemoved(reader: RecordReader): void {
    const log = this.#logsById.get(reader.u32());
    for (let left = reader.u32(); left > 0; left--) {
      const first = reader.f64();
      log?.applyRemoved(first, first + reader.u32());
    }
  }

  #applyDelivered(reader: RecordReader): void {
    const log = this.#logsById.get(reader.u32());
    for (const [position, times] of readTimes(reader)) {
      // What was transient is not there any more.
      if (log?.index.get(position) != null) log.counts.note(position, times, false);
    }
  }

  #add(id: number, name: string, lentTo: number, last: number, changed: boolean): JournalQueueLog {
    const { journal, checkpoint, readMessages } = this.#parts;
    const index = new QueueIndex({
      id,
      cache: this.#cache,
      summary: (base) => checkpoint.get([SUMMARY, id, base]),
    });
    const log = new JournalQueueLog(id, name, {
      changed,
      journal,
      index,
      lentTo,
      last,
      readMessages,
      counted: (location, change) => this.#count(location, change),
      uncounted: this.#unused,
      gone: (counted) => {
        for (const part of counted) this.#droppedCounts.push([id, part]);
        this.#logs.delete(name);
        this.#logsById.delete(id);
        this.#dropped.set(id, index);
      },
    });
    this.#logs.set(name, log);
    this.#logsById.set(id, log);
    this.#lastId = Math.max(this.#lastId, id);
    return log;
  }

  #count({ segment, length }: Location, change: 1 | -1): void {
    if (change > 0) this.#used(segment, 1, length);
    else this.#unused(segment, 1, length);
  }

  readonly #used: Use = (segment, messages, bytes) => {
    const use = this.#uses.get(segment);
    if (use === undefined) {
      this.#uses.set(segment, { messages, bytes });
      this.#emptied.delete(segment);
      return;
    }
    use.messages += messages;
    use.bytes += bytes;
  };

  readonly #unused: Use = (segment, messages, bytes) => {
    this.freedBytes += bytes;
    const use = this.#uses.get(segment);
    if (use === undefined) return;
    use.messages -= messages;
    use.bytes -= bytes;
    if (use.messages > 0) return;
    this.#uses.delete(segment);
    this.#emptied.add(segment);
  };

  #damage(id: number, base: number): StoreDamage {
    const name = this.#logsById.get(id)?.name ?? '';
    const positions = `${base} to ${base + BLOCK_POSITIONS - 1}`;
    return new StoreDamage(
      `the index of queue ${name} is damaged: its positions ${positions} are not as they were written`,
    );
  }
}

/** A queue's blocks that changed, with their summaries. */
function takeBlocks(id: number, index: QueueIndex, changes: Change[]): void {
  for (const [base, block] of index.takeDirty()) {
    if (block?.page !== null) changes.push([[PAGE, id, base], block?.page ?? null]);
    changes.push([[SUMMARY, id, base], block?.summary ?? null]);
  }
}

/** Messages, and bytes of them. One that is in several queues counts in each. */
interface Wanted {
  messages: number;
  bytes: number;
}

interface LogRecord {
  readonly name: string;
  readonly lentTo: number;
  readonly last: number;
}
