/**
 * What a store knows: definitions, tables, and where each queue's messages are. Loaded from a
 * checkpoint, brought up to date by the journal's records, changed by the running engine.
 */
import type { Message } from '../message.ts';
import type { Changes, CheckpointFile } from './checkpoint.ts';
import type { Journal } from './journal.ts';
import { type Location, QueueIndex } from './queue-index.ts';
import { JournalQueueLog } from './queue-log.ts';
import { type RecordReader, RecordType } from './records.ts';
import type { Replayed } from './replay.ts';
import { Space } from './space.ts';

export class StoreState {
  readonly space: Space;
  readonly #journal: Journal;
  readonly #readMessage: (location: Location) => Message | null;
  readonly #logs = new Map<string, JournalQueueLog>();
  readonly #logsById = new Map<number, JournalQueueLog>();
  /** Blocks that the last checkpoint has, by log: to be removed with it. */
  readonly #blocks = new Map<number, Set<number>>();
  readonly #dropped = new Set<number>();
  /** Messages in each segment that are still wanted. */
  readonly #live = new Map<number, number>();
  #lastId = 0;

  constructor(journal: Journal, readMessage: (location: Location) => Message | null) {
    this.#journal = journal;
    this.#readMessage = readMessage;
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
    return this.#add(id, name, new QueueIndex(), 0, 0);
  }

  /** Whether a message in this segment is still wanted. */
  isLive(segment: number): boolean {
    return this.#live.has(segment);
  }

  load(checkpoint: CheckpointFile): void {
    this.space.load(checkpoint);
    for (const [[, id], value] of checkpoint.entries('queue')) {
      const { name, lentTo, last } = JSON.parse(value.toString()) as LogRecord;
      this.#add(Number(id), name, new QueueIndex(), lentTo, last);
    }
    for (const [[, id, base], bytes] of checkpoint.entries('block')) {
      const log = this.#logsById.get(Number(id));
      log?.index.load(Number(base), bytes, (segment) => this.#count(segment, 1));
      this.#blocksOf(Number(id)).add(Number(base));
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
      case RecordType.QUEUE: {
        // A checkpoint may be ahead of the journal: then it has the log already.
        const id = reader.u32();
        if (!this.#logsById.has(id)) this.#add(id, reader.text(), new QueueIndex(), 0, 0);
        return;
      }
      case RecordType.DROPPED:
        this.#logsById.get(reader.u32())?.discard();
        return;
      case RecordType.BATCH:
        return;
      default:
        this.space.apply(type, reader);
    }
  }

  /** What changed since the last call, for a checkpoint. */
  takeChanges(): Changes {
    const changes: [(string | number)[], Buffer | null][] = [];
    for (const id of this.#dropped) {
      changes.push([['queue', id], null]);
      for (const base of this.#blocks.get(id) ?? []) changes.push([['block', id, base], null]);
      this.#blocks.delete(id);
    }
    this.#dropped.clear();
    for (const { id, name, index, lentTo, last } of this.#logsById.values()) {
      const dirty = index.takeDirty();
      const record: LogRecord = { name, lentTo, last };
      changes.push([['queue', id], Buffer.from(JSON.stringify(record))]);
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
      log.index.set(position, segment, offset, length, false);
      this.#count(segment, 1);
    }
  }

  #applyRemoved(reader: RecordReader): void {
    const log = this.#logsById.get(reader.u32());
    for (let left = reader.u32(); left > 0; left--) {
      const first = reader.f64();
      const end = first + reader.u32();
      for (let position = first; log !== undefined && position < end; position++) {
        const segment = log.index.delete(position);
        if (segment !== 0) this.#count(segment, -1);
      }
    }
  }

  #add(id: number, name: string, index: QueueIndex, lentTo: number, last: number): JournalQueueLog {
    const log = new JournalQueueLog(id, name, {
      journal: this.#journal,
      index,
      lentTo,
      last,
      readMessage: this.#readMessage,
      counted: (segment, change) => this.#count(segment, change),
      gone: () => {
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

  #count(segment: number, change: 1 | -1): void {
    const live = (this.#live.get(segment) ?? 0) + change;
    if (live === 0) this.#live.delete(segment);
    else this.#live.set(segment, live);
  }
}

interface LogRecord {
  readonly name: string;
  readonly lentTo: number;
  readonly last: number;
}
