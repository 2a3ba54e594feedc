/**
 * The durable store: a journal that everything is appended to, and checkpoints of the state in
 * LMDB.
 *
 *     data/lock                 who has the directory
 *     data/journal/*.journal    messages, removals, definitions, tables, in the order they happened
 *     data/state.mdb            definitions, tables and queue indexes as of one place in the
 * journal
 *
 * "Safe" is the journal's synchronous write. A checkpoint is made after so many bytes, and when the
 * store closes; segments that no index names any more go then. Message bodies stay in the journal
 * and are read from there.
 */

import { mkdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { ConfigError, reasonOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Format, Message } from '../message.ts';
import type { Registry } from '../registry.ts';
import type { Definitions, MessageTable, QueueLog, Store } from '../store.ts';
import type { Table } from '../table.ts';
import { type Changes, CheckpointFile } from './checkpoint.ts';
import { Compaction } from './compaction.ts';
import { DirectoryLock } from './directory-lock.ts';
import { DiskRoom } from './disk-room.ts';
import type { Location } from './index-block.ts';
import { Journal } from './journal.ts';
import { StoredMessages } from './message-table.ts';
import { RECORD_HEAD_BYTES, RecordReader, readMessage, seedOf } from './records.ts';
import { refusal } from './refusal.ts';
import { replay, StoreDamage, versionOf, wholeRecord } from './replay.ts';
import { Reserve } from './reserve.ts';
import { type Disk, FileDisk, SEGMENT_HEAD_BYTES, type Segment } from './segment.ts';
import { SHARED_QUEUES_MIN, SharedMessages } from './shared-messages.ts';
import { StoreState } from './state.ts';

export interface LmdbStoreOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly formats: Registry<Format>;
  /** A segment is left for the next one beyond this size. */
  readonly segmentBytes: number;
  /** A checkpoint is made after so many bytes of journal. */
  readonly checkpointBytes: number;
  /**
   * Blocks of queue indexes in memory, in bytes: past it those that the last checkpoint has are
   * read from it when they are wanted. 0 or missing: each time.
   */
  readonly indexBytesMax?: number;
  /** Publishers are held while less is free on the disk. 0 or missing: nobody looks. */
  readonly freeBytesMin?: number;
  /** Kept for a full disk, so that removals can still be written; less on a small one. */
  readonly reserveBytes?: number;
  /** Where segments are; tests put faults there. */
  readonly disk?: Disk;
}

/** How long closing waits for a write that is on its way. */
const ANSWER_MS = 4000;
/** Of the file system, what the reserve may take. */
const RESERVE_PART = 1 / 16;
/**
 * What is read from the disk at once. Messages are parts of it: one that stays keeps all of it in
 * memory.
 */
const RUN_BYTES = 64 * 1024;
/** Segments that stay open for reading back. */
const OPEN_SEGMENTS_MAX = 32;

/** For reading back, with what its checksums begin with. */
interface OpenSegment {
  readonly file: Segment;
  readonly seed: number;
}

/** For so many checkpoints' worth of journal one waits for a batch that moves nothing. */
const POSTPONED_MAX = 8;
/** Behind whatever is wrong with what is stored. */
const REMEDY = 'Nothing was changed: restore a backup, or choose another directory';

export class LmdbStore implements Store {
  readonly name = 'lmdb';
  readonly durable = true;
  readonly #options: LmdbStoreOptions;
  readonly #lock: DirectoryLock;
  readonly #disk: Disk;
  readonly #checkpoint: CheckpointFile;
  readonly #journal: Journal;
  readonly #state: StoreState;
  readonly #compaction: Compaction;
  readonly #room: DiskRoom;
  readonly #open = new Map<number, OpenSegment>();
  readonly #shared = new SharedMessages();
  readonly #listeners: ((error: Error | null) => void)[] = [];
  /** Why no writes are taken: they fail, or there is no room for more. */
  #failing: Error | null = null;
  #full: Error | null = null;
  #checkpointedAt = 0;
  #checkpointing: Promise<void> | null = null;
  /** Changes of a checkpoint that failed: the next one must have them too. */
  #unwritten: Changes = [];
  /** It failed: the next one is not to wait for more of the journal. */
  #checkpointFailed = false;
  #closing = false;
  #recovering = true;
  #quiet: ((safe: boolean) => void) | null = null;

  /**
   * Recovers what is there. Throws ConfigError where it is damaged or the directory cannot be used.
   */
  constructor(options: LmdbStoreOptions) {
    const { directory, clock, log, freeBytesMin = 0 } = options;
    this.#options = options;
    let lock: DirectoryLock | null = null;
    try {
      const reserve = reserveOf(options);
      this.#lock = lock = new DirectoryLock(directory, () => reserve.give());
      this.#disk = options.disk ?? new FileDisk(join(directory, 'journal'), reserve);
      this.#checkpoint = new CheckpointFile(join(directory, 'state.mdb'), () => reserve.give());
      this.#journal = new Journal({
        disk: this.#disk,
        clock,
        segmentBytesMax: options.segmentBytes,
        makeRoom: (spared) => this.#disk.makeRoom(spared),
        troubled: (error) => this.#troubled(error),
        refused: () => this.#quiet?.(false),
        settled: () => this.#settled(),
      });
      this.#state = new StoreState({
        journal: this.#journal,
        checkpoint: this.#checkpoint,
        indexBytesMax: options.indexBytesMax ?? 0,
        readMessages: (locations) => this.#read(locations),
        damaged: (error) => this.#indexDamaged(error),
      });
      this.#compaction = new Compaction(this.#state, options.segmentBytes);
      this.#recover();
      this.#room = new DiskRoom({
        disk: this.#disk,
        clock,
        log,
        directory,
        freeBytesMin,
        refusedBytes: () => (this.#journal.holding ? this.#journal.heldBytes : null),
        resume: () => this.#journal.resume(),
        look: () => this.#lookForRoom(),
        changed: (error) => this.#roomChanged(error),
      });
      this.#room.watch();
    } catch (error) {
      lock?.release();
      if (error instanceof ConfigError) throw error;
      throw new ConfigError('data_dir', unusable(error, directory));
    }
  }

  get definitions(): Definitions {
    return this.#state.space;
  }

  queue(name: string): QueueLog {
    return this.#state.queue(name);
  }

  table(name: string): Table {
    return this.#state.space.table(name);
  }

  messages(name: string): MessageTable {
    const { formats, log } = this.#options;
    return new StoredMessages(name, this.#state.space.table(`messages:${name}`), formats, log);
  }

  flush(done: () => void): void {
    this.#journal.flush(done);
  }

  onward(step: () => void): void {
    this.#journal.onward(step);
  }

  onTrouble(listener: (error: Error | null) => void): void {
    this.#listeners.push(listener);
    const trouble = this.#failing ?? this.#full;
    if (trouble !== null) listener(trouble);
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#room.close();
    const { log, directory } = this.#options;
    const { holding } = this.#journal;
    const ended = await this.#drained();
    // Nothing of it may be touched any more: that, too, would hang.
    if (ended === null) throw new Error(`the disk of ${directory} does not answer`);
    if (ended) {
      await this.#checkpointing;
      await this.#writeCheckpoint().catch((error: unknown) =>
        // The next start reads more of the journal for it.
        log.error({ reason: reasonOf(error) }, 'no checkpoint could be made'),
      );
      this.#journal.close();
    } else {
      this.#journal.abandon();
    }
    if (!ended || holding) {
      log.error(
        { directory },
        'closed while the store cannot write: what was not confirmed is lost',
      );
    }
    for (const { file } of this.#open.values()) file.close();
    await this.#disk.close();
    await this.#checkpoint.close();
    this.#lock.release();
  }

  /**
   * Whether everything could be made safe: it is not waited for a disk that refuses. Null: the disk
   * does not answer.
   */
  #drained(): Promise<boolean | null> {
    if (this.#journal.quiet) return Promise.resolve(true);
    if (this.#journal.refusing) return Promise.resolve(false);
    return new Promise((resolve) => {
      const late = this.#options.clock.after(ANSWER_MS, () => resolve(null));
      this.#quiet = (safe) => {
        late.cancel();
        resolve(safe);
      };
    });
  }

  #recover(): void {
    const { log, directory } = this.#options;
    const segments = this.#disk.segments();
    const place = this.#checkpoint.place ?? { segment: 1, offset: 0 };
    if (!segments.includes(place.segment) && (segments.length > 0 || place.offset > 0)) {
      throw new StoreDamage(`journal segment ${place.segment} is missing in ${directory}`);
    }
    this.#state.load();
    const end = replay(this.#disk, place, (record) => this.#state.apply(record));
    if (end.torn > 0) {
      const { segment, offset, torn } = end;
      log.warn(
        { segment, offset, torn },
        'the last batch was not finished when the process died: cut',
      );
    }
    this.#journal.open(end.segment, end.offset);
    this.#recovering = false;
  }

  #indexDamaged(error: StoreDamage): void {
    if (this.#recovering) throw error;
    const { message: reason } = error;
    this.#options.log.error({ reason }, 'stored messages are passed over, left where they are');
  }

  /** Neighbours, as most are, are read as one. */
  #read(locations: readonly Location[]): (Message | null)[] {
    const messages: (Message | null)[] = [];
    const isShared = (location: Location): boolean => this.#shared.get(location) !== undefined;
    for (let at = 0; at < locations.length; ) {
      const run = runOf(locations, at, isShared);
      const [first, last] = [run[0], run.at(-1)];
      if (first === undefined || last === undefined) break;
      at += run.length;
      const shared = this.#shared.get(first);
      if (shared !== undefined) {
        messages.push(shared);
        continue;
      }
      const length = last.offset + last.length - first.offset;
      const read = this.#bytes(first, length, run.length === 1);
      if (read === null) {
        // The bad place may be in one of them only.
        if (run.length === 1) messages.push(null);
        else for (const each of run) for (const one of this.#read([each])) messages.push(one);
        continue;
      }
      const { bytes, seed } = read;
      const used = run.reduce((sum, each) => sum + each.length, 0);
      // A few messages far from one another must not keep all that is between them.
      const isSparse = used * 4 < length;
      for (const each of run) {
        const message = this.#decode(each, bytes, each.offset - first.offset, seed);
        messages.push(isSparse && message !== null ? message.own() : message);
      }
    }
    return messages;
  }

  /** Null where the disk does not give them, which is told where it is the `last` attempt. */
  #bytes({ segment, offset }: Location, length: number, last: boolean) {
    try {
      const { file, seed } = this.#segment(segment);
      return { bytes: file.read(offset, length), seed };
    } catch (error) {
      const where = { segment, offset, length, reason: reasonOf(error) };
      if (last) this.#options.log.error(where, 'a stored message cannot be read: passed over');
      return null;
    }
  }

  #decode(location: Location, bytes: Buffer, at: number, seed: number): Message | null {
    const { segment, offset, length } = location;
    if (wholeRecord(bytes, at, seed) !== length) {
      const where = { segment, offset, length };
      this.#options.log.error(where, 'a stored message is damaged: passed over, left where it is');
      return null;
    }
    const record = bytes.subarray(at, at + length);
    const reader = new RecordReader(record, RECORD_HEAD_BYTES + 1 + 1);
    const targets = reader.u16();
    reader.skip(targets * (4 + 8));
    try {
      const message = readMessage(reader, this.#options.formats);
      if (targets < SHARED_QUEUES_MIN) return message;
      const shared = message.own();
      this.#shared.add(location, shared);
      return shared;
    } catch (error) {
      // Its protocol is an embedder's, who has not brought it this time.
      const where = { segment, offset, reason: reasonOf(error) };
      this.#options.log.error(where, 'a stored message is passed over, left where it is');
      return null;
    }
  }

  #segment(id: number): OpenSegment {
    let segment = this.#open.get(id);
    if (segment === undefined) {
      if (this.#open.size >= OPEN_SEGMENTS_MAX) this.#closeOldest();
      const file = this.#reopen(id);
      try {
        const version = versionOf(file.read(0, SEGMENT_HEAD_BYTES), id);
        segment = { file, seed: seedOf(id, version) };
      } catch (error) {
        file.close();
        throw error;
      }
      this.#open.set(id, segment);
    }
    return segment;
  }

  /** Where too many files are open, others of ours give way. */
  #reopen(id: number): Segment {
    for (;;) {
      try {
        return this.#disk.open(id);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'EMFILE' || this.#open.size === 0) throw error;
        this.#closeOldest();
      }
    }
  }

  #closeOldest(): void {
    for (const [id, { file }] of this.#open) {
      file.close();
      this.#open.delete(id);
      return;
    }
  }

  #troubled(error: Error | null): void {
    const { log, directory } = this.#options;
    if (error === null) log.info({ directory }, 'the store takes writes again');
    else
      log.error(
        { directory, reason: error.message },
        'the store cannot write: nothing is confirmed',
      );
    const before = this.#failing ?? this.#full;
    this.#failing = error;
    this.#tell(before);
  }

  #roomChanged(error: Error | null): void {
    const before = this.#failing ?? this.#full;
    this.#full = error;
    this.#tell(before);
  }

  /** The disk is full: what became empty is given back at once, whatever it takes. */
  #lookForRoom(): void {
    this.#journal.review();
    if (!this.#journal.writing) this.#settled(true);
  }

  /** Tells the listeners when it has become another thing to be told. */
  #tell(before: Error | null): void {
    const trouble = this.#failing ?? this.#full;
    if ((trouble === null) === (before === null)) return;
    for (const listener of this.#listeners) listener(trouble);
  }

  /** `retry`: what a full disk refused is tried again. */
  #settled(retry: boolean = false): void {
    const { checkpointBytes, log } = this.#options;
    if (this.#journal.quiet) this.#quiet?.(true);
    if (this.#checkpointing !== null || this.#closing) return;
    const behind = this.#journal.written - this.#checkpointedAt;
    // A checkpoint now would be without what is to be written elsewhere next: a crash would lose it.
    if (this.#journal.departing && behind < POSTPONED_MAX * checkpointBytes) return;
    const due = behind >= checkpointBytes || this.#state.full;
    const { holding, end } = this.#journal;
    const emptied = retry && holding ? this.#squeeze() : this.#compaction.step(end.segment);
    if (!emptied && !due && !(retry && this.#checkpointFailed)) return;
    this.#checkpointing = this.#writeCheckpoint()
      .catch((error: unknown) => {
        if (!this.#checkpointFailed)
          log.error({ reason: reasonOf(error) }, 'no checkpoint could be made');
        this.#checkpointFailed = true;
        if (holding) this.#disk.makeRoom(false);
      })
      .finally(() => {
        this.#checkpointing = null;
        // What came to be done meanwhile; else the batch on its way calls when it is safe.
        if (!this.#journal.writing) this.#settled();
      });
  }

  /** Moves into the reserve what keeps segments that are nearly empty. */
  #squeeze(): boolean {
    const { bytes, missing } = this.#disk.reserve;
    const { segment } = this.#journal.end;
    return this.#compaction.squeeze(segment, (bytes - missing) / 2, (id) => this.#sizeOf(id));
  }

  /** 0 where the disk does not tell. */
  #sizeOf(segment: number): number {
    try {
      return this.#segment(segment).file.size();
    } catch {
      return 0;
    }
  }

  /** Called while no batch is on its way, so that the state is that of the journal's end. */
  async #writeCheckpoint(): Promise<void> {
    this.#checkpointedAt = this.#journal.written;
    const place = this.#journal.end;
    const unwanted = this.#disk
      .segments()
      .filter((id) => id < place.segment && !this.#state.isLive(id));
    this.#unwritten = [...this.#unwritten, ...this.#state.takeChanges(place.segment)];
    await this.#checkpoint.write(this.#unwritten, place);
    this.#unwritten = [];
    this.#state.written();
    this.#checkpointFailed = false;
    for (const id of unwanted) {
      this.#open.get(id)?.file.close();
      this.#open.delete(id);
      this.#disk.remove(id);
    }
  }
}

/** What is said of a directory that cannot be started with. */
function unusable(error: unknown, directory: string): string {
  // What the system refuses says nothing of what is stored.
  const refused = refusal(error, directory);
  if (refused !== null) return refused;
  const reason = error instanceof StoreDamage ? '' : 'what is stored cannot be read: ';
  return `${reason}${reasonOf(error)} (in ${directory}). ${REMEDY}`;
}

/** Locations from `at` on that one read of the disk covers. */
function runOf(
  locations: readonly Location[],
  at: number,
  isShared: (location: Location) => boolean,
): readonly Location[] {
  const first = locations[at];
  let end = at + 1;
  if (first !== undefined && isShared(first)) return [first];
  let last = first;
  for (let next = locations[end]; first !== undefined && next !== undefined; ) {
    if (isShared(next)) break;
    const reach = next.offset + next.length - first.offset;
    // What was written again, or late, is behind what comes after it.
    const follows = next.segment === first.segment && next.offset > (last?.offset ?? 0);
    if (!follows || reach > RUN_BYTES) break;
    last = next;
    next = locations[++end];
  }
  return locations.slice(at, end);
}

/** What is kept for a full disk: not much of a small one. */
function reserveOf({ directory, reserveBytes = 0 }: LmdbStoreOptions): Reserve {
  mkdirSync(directory, { recursive: true });
  const { blocks, bsize } = statfsSync(directory);
  const bytes = Math.min(reserveBytes, Math.floor(blocks * bsize * RESERVE_PART));
  return new Reserve(join(directory, 'journal', 'reserve'), bytes);
}
