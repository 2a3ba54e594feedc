/**
 * The journal: everything that must survive is appended to one file after the other and made safe
 * in batches. What comes while one batch is on its way to the disk makes the next; one sync answers
 * all who wait for it.
 *
 *     append … append   write and sync                 next batch
 *     ──── open ──────▶ in flight ───────▶ safe        a message removed while its batch is open is
 *                                                      never written
 *
 * A batch that cannot be written is tried again until it can; meanwhile nothing is answered, and
 * `troubled` says so. Where the disk is full its messages come back to be held, and everything else
 * goes on into the room that `makeRoom` gives: what is removed must not wait, since it is what
 * makes room.
 */
import assert from 'node:assert/strict';
import type { Clock } from '../clock.ts';
import type { Message } from '../message.ts';
import {
  BATCH_BYTES,
  BLOCK_BYTES,
  batchMark,
  FORMAT_VERSION,
  RecordType,
  RecordWriter,
  writeMessage,
} from './records.ts';
import { type Disk, SEGMENT_HEAD_BYTES, type Segment } from './segment.ts';

/** In front of each segment. */
const SEGMENT_HEAD = Buffer.concat([Buffer.from('RMQJ'), Buffer.from([0, 0, 0, FORMAT_VERSION])]);
const RETRY_MS = 1000;
/** On a full disk a segment of so much is ended, so that it can go when it has been consumed. */
const TURN_BYTES = 256 * 1024;
/** MESSAGE counts its queues in 16 bits. */
const TARGETS_MAX = 65_535;

/** Who a message is written for: one queue's log. */
export interface Target {
  readonly id: number;
  /** The batch is being written: from now on the message is at this place. */
  placed(position: number, segment: number, offset: number, length: number): void;
  /** The batch came back: the message has no place until a later batch is written. */
  unplaced(position: number): void;
  /** The batch is safe: the message can be read from its place. */
  readable(position: number): void;
  /** Writes what changed since the last batch beside messages. */
  writeChanges(writer: RecordWriter): void;
}

/** One message in an open batch, and the queues that it is written for. */
export interface Put {
  readonly message: Message;
  readonly targets: Targets;
  /** What it goes on from is removed with it, so that it cannot wait for room. */
  readonly onward: boolean;
  /** It is somewhere already, and makes room by leaving. */
  readonly moves: boolean;
}

/** The queues that a message is written for, with its position in each: nearly always one. */
class Targets {
  #first: Target | null = null;
  #firstPosition = 0;
  #others: Map<Target, number> | null = null;

  get size(): number {
    return (this.#first === null ? 0 : 1) + (this.#others?.size ?? 0);
  }

  /** For a target that is not in it. */
  add(target: Target, position: number): void {
    if (this.#first === null) {
      this.#first = target;
      this.#firstPosition = position;
    } else {
      this.#others ??= new Map();
      this.#others.set(target, position);
    }
  }

  delete(target: Target): void {
    if (this.#first === target) this.#first = null;
    else this.#others?.delete(target);
  }

  each(visit: (target: Target, position: number) => void): void {
    if (this.#first !== null) visit(this.#first, this.#firstPosition);
    if (this.#others === null) return;
    for (const [target, position] of this.#others) visit(target, position);
  }
}

type Item = Put | ((writer: RecordWriter) => void);

class Batch {
  readonly items: Item[] = [];
  readonly changed = new Set<Target>();
  readonly waiting: (() => void)[] = [];
  /** It ends its segment. */
  ends = false;
  /** Where in its bytes the changes of its targets are, which they give only once. */
  changesFrom = 0;
  changesTo = 0;

  get empty(): boolean {
    return this.items.length === 0 && this.changed.size === 0 && this.waiting.length === 0;
  }

  /** Takes over what another one has, behind its own. */
  add(other: Batch): void {
    for (const item of other.items) this.items.push(item);
    for (const target of other.changed) this.changed.add(target);
    for (const done of other.waiting) this.waiting.push(done);
  }
}

export interface JournalParts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly segmentBytesMax: number;
  /**
   * The disk is full. Returns whether it has room now, so that writing is tried again at once. The
   * reserve is `spared` where some was found already.
   */
  makeRoom(spared: boolean): boolean;
  /** The disk refuses (an error) or takes writes again (null). */
  troubled(error: Error | null): void;
  /** What is on its way is refused, and there is no knowing for how long. */
  refused(): void;
  /** A batch is safe and no other is on its way. */
  settled(): void;
}

export class Journal {
  readonly #parts: JournalParts;
  #segment: Segment | null = null;
  #offset = 0;
  #open = new Batch();
  #writing = false;
  #scheduled = false;
  #closed = false;
  #troubled = false;
  #refusing = false;
  #onward = false;
  /** The disk is full: messages that wait for room, and whoever waits for something with them. */
  #held: Batch | null = null;
  /** The next batch ends its segment, so that it can go when nothing in it is wanted. */
  #turnNext = false;
  /** The segment behind this one, made while this one is filled; nobody waits for it then. */
  #next: Segment | null = null;
  #creating = false;
  /** This segment has its END, and the next one is waited for. */
  #turning = false;
  /** Each batch begins in it; there is never more than one on its way. */
  readonly #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  /** Bytes written since the start, for deciding on checkpoints. */
  #written = 0;

  /** Takes records at once; they leave when it is open. */
  constructor(parts: JournalParts) {
    this.#parts = parts;
  }

  /** Goes on behind `offset` in a segment; 0 is a new one. */
  open(segment: number, offset: number): void {
    this.#segment = this.#parts.disk.open(segment, true);
    this.#offset = offset;
  }

  /** Where the next batch begins. */
  get end(): { readonly segment: number; readonly offset: number } {
    return { segment: this.#file.id, offset: this.#offset };
  }

  get #file(): Segment {
    assert(this.#segment !== null, 'the journal is open');
    return this.#segment;
  }

  get written(): number {
    return this.#written;
  }

  /** A batch is on its way to the disk. */
  get writing(): boolean {
    return this.#writing;
  }

  get idle(): boolean {
    return this.quiet && this.#held === null;
  }

  /** Nothing is on its way, or could be. */
  get quiet(): boolean {
    return !this.#writing && this.#open.empty;
  }

  /** What goes on from somewhere is to be written next; the indexes are without it already. */
  get departing(): boolean {
    return this.#open.items.some((item) => typeof item === 'object' && item.onward);
  }

  /** What is on its way is tried again later: the disk refuses it. */
  get refusing(): boolean {
    return this.#refusing;
  }

  /** Messages wait for room on a full disk; everything else is written. */
  get holding(): boolean {
    return this.#held !== null;
  }

  /** Bytes that wait for room on a full disk. */
  get heldBytes(): number {
    let bytes = 0;
    for (const item of this.#held?.items ?? []) {
      if (typeof item === 'object' && item.targets.size > 0) bytes += item.message.size;
    }
    return bytes;
  }

  /** Adds a message for one queue; the same message for the next queue shares the record. */
  put(message: Message, target: Target, position: number): Put {
    return this.#put(message, target, position, false);
  }

  /** Adds a message again that is in an older segment, which is to go. */
  move(message: Message, target: Target, position: number): Put {
    return this.#put(message, target, position, true);
  }

  /** Runs a step whose messages are written even where others wait for room. */
  onward(step: () => void): void {
    const before = this.#onward;
    this.#onward = true;
    try {
      step();
    } finally {
      this.#onward = before;
    }
  }

  #put(message: Message, target: Target, position: number, moves: boolean): Put {
    const last = this.#open.items.at(-1);
    const onward = this.#onward;
    const shared =
      typeof last === 'object' &&
      last.message === message &&
      last.onward === onward &&
      last.targets.size < TARGETS_MAX;
    const put = shared ? last : { message, targets: new Targets(), onward, moves };
    if (!shared) this.#open.items.push(put);
    put.targets.add(target, position);
    this.#schedule();
    return put;
  }

  /** Adds a record. */
  write(item: (writer: RecordWriter) => void): void {
    this.#open.items.push(item);
    this.#schedule();
  }

  /** Asks a target for its changes when the batch leaves. */
  changed(target: Target): void {
    this.#open.changed.add(target);
    this.#schedule();
  }

  forget(target: Target): void {
    this.#open.changed.delete(target);
  }

  /** Calls `done` when everything added so far is safe; never within this call. */
  flush(done: () => void): void {
    this.#open.waiting.push(done);
    this.#schedule();
  }

  /** There is room again: what was held leaves with the next batch. */
  resume(): void {
    if (this.#held === null) return;
    const held = this.#held;
    this.#held = null;
    held.add(this.#open);
    this.#open = held;
    // A batch with nothing in it, too, shows that writing goes.
    this.write(() => {});
  }

  /** Answers those who waited with messages that nobody wants any more. */
  review(): void {
    if (this.#held === null || this.heldBytes > 0) return;
    const { waiting } = this.#held;
    this.#held = new Batch();
    this.#open.waiting.unshift(...waiting);
    if (waiting.length > 0) this.#schedule();
  }

  close(): void {
    assert(this.quiet, 'a journal is closed when everything is safe');
    this.#closed = true;
    this.#file.close();
    this.#closeNext();
  }

  /** Writes nothing any more, whatever waits: the disk refuses. */
  abandon(): void {
    this.#closed = true;
  }

  #schedule(): void {
    if (this.#scheduled || this.#writing) return;
    this.#scheduled = true;
    this.#parts.clock.soon(() => {
      this.#scheduled = false;
      this.#writeOpen();
    });
  }

  #writeOpen(): void {
    if (this.#writing || this.#closed || this.#open.empty) return;
    const batch = this.#takeOpen();
    if (batch.items.length === 0 && batch.changed.size === 0) {
      // Everything is safe already, or held.
      for (const done of batch.waiting) done();
      this.#parts.settled();
      return;
    }
    this.#writing = true;
    const pieces = this.#encode(batch);
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#send(batch, pieces, length);
  }

  #takeOpen(): Batch {
    const batch = this.#open;
    this.#open = new Batch();
    if (this.#held === null) return batch;
    const lean = new Batch();
    for (const item of batch.items) {
      if (!waitsForRoom(item) || item.moves) lean.items.push(item);
      else if (item.targets.size > 0) this.#held.items.push(item);
    }
    for (const target of batch.changed) lean.changed.add(target);
    const waits = this.#held.items.length > 0 ? this.#held : lean;
    for (const done of batch.waiting) waits.waiting.push(done);
    return lean;
  }

  #encode(batch: Batch): Buffer[] {
    const { id } = this.#file;
    const fresh = this.#offset === 0;
    const start = fresh ? SEGMENT_HEAD_BYTES : this.#offset;
    const writer = new RecordWriter(id, this.#block);
    for (const item of batch.items) {
      if (typeof item === 'function') item(writer);
      else if (item.targets.size > 0) this.#encodePut(writer, item, start + BATCH_BYTES);
    }
    const before = (fresh ? SEGMENT_HEAD_BYTES : 0) + BATCH_BYTES;
    batch.changesFrom = before + writer.length;
    for (const target of batch.changed) target.writeChanges(writer);
    batch.changesTo = before + writer.length;
    const end = start + BATCH_BYTES + writer.length;
    batch.ends = this.#turnNext || end >= this.#parts.segmentBytesMax;
    this.#turnNext = false;
    if (batch.ends) {
      writer.begin(RecordType.END);
      writer.end();
    }
    const mark = batchMark(id, start, BATCH_BYTES + writer.length);
    return [...(fresh ? [SEGMENT_HEAD] : []), ...mark, ...writer.take()];
  }

  #encodePut(writer: RecordWriter, put: Put, start: number): void {
    const from = writer.length;
    writer.begin(RecordType.MESSAGE);
    writer.u8(put.message.durable ? 1 : 0);
    writer.u16(put.targets.size);
    put.targets.each((target, position) => {
      writer.u32(target.id);
      writer.f64(position);
    });
    writeMessage(writer, put.message);
    writer.end(put.message.body);
    const length = writer.length - from;
    put.targets.each((target, position) =>
      target.placed(position, this.#file.id, start + from, length),
    );
  }

  #send(batch: Batch, pieces: readonly Buffer[], length: number): void {
    if (this.#closed) return;
    this.#file.write(pieces, this.#offset, (error) => {
      if (error !== null) {
        this.#refused(error, batch, pieces, length);
        return;
      }
      this.#accepted();
      this.#offset += length;
      this.#written += length;
      for (const item of batch.items) {
        if (typeof item === 'function') continue;
        item.targets.each((target, position) => target.readable(position));
      }
      for (const done of batch.waiting) done();
      this.#turning = batch.ends && this.#next === null;
      if (!this.#turning) this.#goOn(batch.ends);
      if (this.#turning || this.#offset >= this.#parts.segmentBytesMax / 2) this.#createNext();
    });
  }

  #refused(error: Error, batch: Batch, pieces: readonly Buffer[], length: number): void {
    const returns = isFull(error) && batch.items.some(waitsForRoom);
    const cut = returns && this.#held === null && this.#cutEnds();
    const room = isFull(error) && this.#parts.makeRoom(cut);
    if (returns) {
      this.#takeBack(batch, pieces);
      this.#trouble(error);
    } else this.#again(error, room, () => this.#send(batch, pieces, length));
  }

  /** Files that were used before have more than is written in them. */
  #cutEnds(): boolean {
    const ends = [cutAt(this.#file, this.#offset), this.#next !== null && cutAt(this.#next, 0)];
    return ends.includes(true);
  }

  /** Tries again what was refused: soon where there is room now. */
  #again(error: Error, room: boolean, act: () => void): void {
    this.#parts.clock.after(room ? 0 : RETRY_MS, act);
    this.#trouble(error);
    if (!room) this.#parts.refused();
    this.#refusing = !room;
  }

  /** Takes a batch apart that finds the disk full: its messages are held, the rest is not. */
  #takeBack(batch: Batch, pieces: readonly Buffer[]): void {
    for (const item of batch.items) {
      if (typeof item === 'object') item.targets.each((target, at) => target.unplaced(at));
    }
    const { changesFrom, changesTo } = batch;
    const changes = Buffer.concat(pieces).subarray(changesFrom, changesTo);
    const back = new Batch();
    for (const item of batch.items) {
      if (!waitsForRoom(item) || !item.moves) back.items.push(item);
    }
    if (changes.length > 0) back.items.push((writer) => writer.raw(changes));
    for (const done of batch.waiting) back.waiting.push(done);
    back.add(this.#open);
    this.#open = back;
    this.#turnNext ||= this.#held === null && this.#offset >= TURN_BYTES;
    this.#held ??= new Batch();
    this.#writing = false;
    this.#schedule();
  }

  /** The next batch may leave, in a new segment where this one has ended. */
  #goOn(turn: boolean): void {
    if (turn) {
      this.#file.close();
      this.#segment = this.#next;
      this.#next = null;
      this.#offset = 0;
    }
    this.#writing = false;
    if (!this.#open.empty) this.#schedule();
    this.#parts.settled();
  }

  #createNext(): void {
    if (this.#creating || this.#closed || this.#next !== null) return;
    this.#creating = true;
    this.#parts.disk.create(this.#file.id + 1, (error, segment) => {
      this.#creating = false;
      this.#next = segment;
      if (this.#closed) this.#closeNext();
      if (this.#closed || !this.#turning) return;
      if (error !== null) {
        const room = isFull(error) && this.#parts.makeRoom(false);
        this.#again(error, room, () => this.#createNext());
        return;
      }
      this.#accepted();
      this.#turning = false;
      this.#goOn(true);
    });
  }

  #closeNext(): void {
    this.#next?.close();
    this.#next = null;
  }

  /** The disk takes writes. */
  #accepted(): void {
    this.#refusing = false;
    if (this.#troubled && this.#held === null) this.#trouble(null);
  }

  #trouble(error: Error | null): void {
    if ((error !== null) === this.#troubled) return;
    this.#troubled = error !== null;
    this.#parts.troubled(error);
  }
}

/** A message that is not written while the disk is full, or written again then. */
function waitsForRoom(item: Item): item is Put {
  return typeof item === 'object' && !item.onward;
}

/** Whether a segment became shorter. */
function cutAt(segment: Segment, length: number): boolean {
  try {
    if (segment.size() <= length) return false;
    segment.truncate(length);
    return true;
  } catch {
    // A disk in more trouble than that gives nothing.
    return false;
  }
}

/** Whether a write was refused for want of room. */
function isFull(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
