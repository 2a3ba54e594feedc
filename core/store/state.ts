/**
 * What a store knows: definitions, tables, and where each queue's messages are. Loaded from a
 * checkpoint, brought up to date by the journal's records, changed by the running engine.
 */
import type { Message } from '../message.ts';
import type { Changes, CheckpointFile } from './checkpoint.ts';
import type { Placed } from './compaction.ts';
import { readTimes } from './delivery-counts.ts';
import type { Journal } from './journal.ts';
import { type Location, QueueIndex } from './queue-index.ts';
import { JournalQueueLog } from './queue-log.ts';
import { type RecordReader, RecordType } from './records.ts';
import type { Replayed } from './replay.ts';
import { Space } from './space.ts';

export class StoreState {
  readonly space: Space;
  readonly #journal: Journal;
  /** Null where the journal is damaged there. */
  readonly readMessages: (locations: readonly Location[]) => (Message | null)[];
  readonly #logs = new Map<string, JournalQueueLog>();
  readonly #logsById = new Map<number, JournalQueueLog>();
  /** Blocks that the last checkpoint has, by log: to be removed with it. */
  readonly #blocks = new Map<number, Set<number>>();
  readonly #dropped = new Set<number>();
  /** Parts of their counts that the last checkpoint has, by log and part. */
  readonly #droppedCounts: (readonly [id: number, part: number])[] = [];
  /** What is still wanted of each segment. */
  readonly #uses = new Map<number, Use>();
  /** Segments that had something wanted, and have nothing now. */
  readonly #emptied = new Set<number>();
  /** Bytes that became unwanted; whoever looks sets it back. */
  freedBytes = 0;
  #lastId = 0;

  constructor(
    journal: Journal,
    readMessages: (locations: readonly Location[]) => (Message | null)[],
  ) {
    this.#journal = journal;
    this.readMessages = readMessages;
    this.space = new Space((item) => journal.write(item));
  }

  queue(name: string): JournalQueueLog {
    const known = this.#logs.get(name);
    if (known !== undefined) return known;
    const id = this.#lastId + 1;
    this.#journal.write((writer) => {
      writer.begin(RecordType.QUEUE);
      writer.u32(id);
      writer.text(name);
      writer.end();
    });
    return this.#add(id, name, new QueueIndex(), 0, 0, true);
  }

  /** Whether a message in this segment is still wanted. */
  isLive(segment: number): boolean {
    return this.#uses.has(segment);
  }

  /** Segments with what is still wanted of them. */
  uses(): Iterable<readonly [segment: number, use: Readonly<Use>]> {
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
    for (const log of this.#logsById.values()) {
      log.index.walk(-1, (position, location) => {
        if (segments.has(location.segment)) found.push({ log, position, location });
        return found.length < most;
      });
      if (found.length >= most) break;
    }
    return found;
  }

  load(checkpoint: CheckpointFile): void {
    this.space.load(checkpoint);
    for (const [[, id], value] of checkpoint.entries('queue')) {
      const { name, lentTo, last } = JSON.parse(value.toString()) as LogRecord;
      this.#add(Number(id), name, new QueueIndex(), lentTo, last, false);
    }
    for (const [[, id, base], bytes] of checkpoint.entries('block')) {
      const log = this.#logsById.get(Number(id));
      log?.index.load(Number(base), bytes, (segment, length) => {
        this.#count({ segment, offset: 0, length }, 1);
      });
      this.#blocksOf(Number(id)).add(Number(base));
    }
    for (const [[, id, part], bytes] of checkpoint.entries('count')) {
      this.#logsById.get(Number(id))?.counts.load(Number(part), bytes);
    }
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
        if (!this.#logsById.has(id)) this.#add(id, reader.text(), new QueueIndex(), 0, 0, true);
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
    const changes: [(string | number)[], Buffer | null][] = [];
    for (const id of this.#dropped) {
      changes.push([['queue', id], null]);
      for (const base of this.#blocks.get(id) ?? []) changes.push([['block', id, base], null]);
      this.#blocks.delete(id);
    }
    this.#dropped.clear();
    for (const [id, part] of this.#droppedCounts.splice(0))
      changes.push([['count', id, part], null]);
    for (const log of this.#logsById.values()) {
      const { id, name, index, lentTo, last } = log;
      const dirty = index.takeDirty();
      for (const [part, bytes] of log.takeCounts()) changes.push([['count', id, part], bytes]);
      const record: LogRecord = { name, lentTo, last };
      if (log.takeChanged()) changes.push([['queue', id], Buffer.from(JSON.stringify(record))]);
      if (dirty.length === 0) continue;
      const blocks = this.#blocksOf(id);
      for (const [base, block] of dirty) {
        if (block === null) blocks.delete(base);
        else blocks.add(base);
        changes.push([['block', id, base], block]);
      }
    }
    return [...changes, ...this.space.takeChanges()];
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
      const end = first + reader.u32();
      for (let position = first; log !== undefined && position < end; position++) {
        log.forgetCount(position);
        const was = log.index.delete(position);
        if (was !== null) this.#count(was, -1);
      }
    }
  }

  #applyDelivered(reader: RecordReader): void {
    const log = this.#logsById.get(reader.u32());
    for (const [position, times] of readTimes(reader)) {
      // What was transient is not there any more.
      if (log?.index.get(position) != null) log.counts.note(position, times, false);
    }
  }

  #add(
    id: number,
    name: string,
    index: QueueIndex,
    lentTo: number,
    last: number,
    changed: boolean,
  ): JournalQueueLog {
    const log = new JournalQueueLog(id, name, {
      changed,
      journal: this.#journal,
      index,
      lentTo,
      last,
      readMessages: this.readMessages,
      counted: (location, change) => this.#count(location, change),
      gone: (counted) => {
        for (const part of counted) this.#droppedCounts.push([id, part]);
        this.#logs.delete(name);
        this.#logsById.delete(id);
        this.#dropped.add(id);
      },
    });
    this.#logs.set(name, log);
    this.#logsById.set(id, log);
    this.#lastId = Math.max(this.#lastId, id);
    return log;
  }

  #blocksOf(id: number): Set<number> {
    let blocks = this.#blocks.get(id);
    if (blocks === undefined) {
      blocks = new Set();
      this.#blocks.set(id, blocks);
    }
    return blocks;
  }

  #count({ segment, length }: Location, change: 1 | -1): void {
    let use = this.#uses.get(segment);
    if (use === undefined) {
      use = { messages: 0, bytes: 0 };
      this.#uses.set(segment, use);
      this.#emptied.delete(segment);
    }
    use.messages += change;
    use.bytes += change * length;
    if (change < 0) this.freedBytes += length;
    if (use.messages > 0) return;
    this.#uses.delete(segment);
    this.#emptied.add(segment);
  }
}

/** Messages, and bytes of them. One that is in several queues counts in each. */
interface Use {
  messages: number;
  bytes: number;
}

interface LogRecord {
  readonly name: string;
  readonly lentTo: number;
  readonly last: number;
}
