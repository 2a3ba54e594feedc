import assert from 'node:assert/strict';
import { LazyMap } from '../lazy-map.ts';
import type { Message } from '../message.ts';
import type { Logged, QueueLog, ReadBack } from '../store.ts';
import { DeliveryCounts } from './delivery-counts.ts';
import type { Location, Use } from './index-block.ts';
import type { Journal, Put, Target } from './journal.ts';
import type { QueueIndex } from './queue-index.ts';
import { RecordType, type RecordWriter } from './records.ts';

/** What a queue's log is made of, and what it needs of its store. */
export interface QueueLogParts {
  readonly journal: Journal;
  readonly index: QueueIndex;
  readonly lentTo: number;
  readonly last: number;
  /** The last checkpoint does not have it, or not like this. */
  readonly changed: boolean;
  /** Null where the journal is damaged there; the store has said so. */
  readMessages(locations: readonly Location[]): (Message | null)[];
  /** A message was placed in, or removed from, a segment. */
  counted(location: Location, change: 1 | -1): void;
  /** Many were removed from a segment. */
  readonly uncounted: Use;
  /** The log is gone. `counted`: parts of its counts that the last checkpoint has. */
  gone(counted: Iterable<number>): void;
}

/** One queue's messages in the journal, and the changes that its next batch will carry. */
export class JournalQueueLog implements QueueLog, Target {
  readonly id: number;
  readonly name: string;
  readonly index: QueueIndex;
  /** Handed out up to here, as far as written. */
  lentTo: number;
  last: number;
  readonly #parts: QueueLogParts;
  /** Not safe yet, by position: in the open batch (with its put), or on the way. */
  #open = new Map<number, Put>();
  readonly #unsafe = new Map<number, Put>();
  /** Older ones came back behind newer ones in `#open`. */
  #disordered = false;
  /** Written again in the open batch, to leave their segment; on the way, with where they were. */
  readonly #moving = new LazyMap<number, Put>();
  readonly #movedFrom = new LazyMap<number, Location>();
  #removed: number[] = [];
  readonly #truncated: Range[] = [];
  /** Null: nothing was handed out twice. */
  #counts: DeliveryCounts | null = null;
  #lentChanged = false;
  #dropped = false;
  /** What the last checkpoint has. */
  #checkpointed: { lentTo: number; last: number } | null;

  constructor(id: number, name: string, parts: QueueLogParts) {
    this.id = id;
    this.name = name;
    this.index = parts.index;
    this.lentTo = parts.lentTo;
    this.last = parts.last;
    this.#parts = parts;
    const { lentTo, last } = parts;
    this.#checkpointed = parts.changed ? null : { lentTo, last };
  }

  get count(): number {
    return this.index.count + this.#open.size;
  }

  append(position: number, message: Message): void {
    this.last = position;
    this.#open.set(position, this.#parts.journal.put(message, this, position));
  }

  remove(position: number): void {
    this.forgetCount(position);
    const put = this.#open.get(position);
    if (put !== undefined) {
      // Its batch has not left: it is never written.
      put.targets.delete(this);
      this.#open.delete(position);
      return;
    }
    for (const kept of [this.#unsafe, this.#moving]) {
      // A batch that comes back is not written for us again.
      kept.get(position)?.targets.delete(this);
      kept.delete(position);
    }
    this.#movedFrom.delete(position);
    const was = this.index.delete(position);
    if (was === null) return;
    this.#parts.counted(was, -1);
    this.#removed.push(position);
    this.#parts.journal.changed(this);
  }

  /** Writes a message again, which is then read from there. */
  move(position: number, message: Message): void {
    this.#moving.set(position, this.#parts.journal.move(message, this, position));
  }

  /** Made when it is first asked for. */
  get counts(): DeliveryCounts {
    this.#counts ??= new DeliveryCounts();
    return this.#counts;
  }

  forgetCount(position: number): void {
    this.#counts?.delete(position);
  }

  /** Removed from `first` up to `end`, as the journal says. */
  applyRemoved(first: number, end: number): void {
    this.#counts?.deleteRange(first, end);
    this.index.deleteRange(first, end, this.#parts.uncounted);
  }

  lent(position: number, times: number): void {
    if (times > 1) {
      this.counts.note(position, times, true);
      this.#parts.journal.changed(this);
    }
    if (position <= this.lentTo) return;
    this.lentTo = position;
    this.#lentChanged = true;
    this.#parts.journal.changed(this);
  }

  flush(done: () => void): void {
    this.#parts.journal.flush(done);
  }

  read(after: number, most: number, bytes: number): ReadBack {
    const messages: Logged[] = [];
    let [unreadable, passed, from] = [0, 0, after];
    const add = (position: number, message: Message | null): void => {
      if (message === null) {
        passed++;
        return;
      }
      messages.push({ position, message, deliveries: this.#deliveries(position) });
      unreadable += passed;
      passed = 0;
    };
    for (;;) {
      const { places, whole } = this.#placesAbove(from, most, bytes);
      // What is on its way has its place already, but is not to be read there yet.
      const safe = places.filter(({ position }) => !this.#unsafe.has(position));
      const read = this.#parts.readMessages(safe.map(({ location }) => location)).values();
      for (const { position } of places) {
        add(position, this.#unsafe.get(position)?.message ?? read.next().value ?? null);
        from = position;
      }
      // Damaged ones behind the last that is readable are told of when there is no more.
      if (!whole && messages.length > 0) return { messages, unreadable };
      if (whole) break;
    }
    this.#addOpen(after, most, bytes, messages);
    return { messages, unreadable: unreadable + passed };
  }

  #deliveries(position: number): number {
    return Math.max(this.#counts?.get(position) ?? 0, position <= this.lentTo ? 1 : 0);
  }

  /** What is in the open batch comes behind everything that has a place. */
  #addOpen(after: number, most: number, bytes: number, messages: Logged[]): void {
    let left = messages.reduce((rest, { message }) => rest - message.size, bytes);
    for (const [position, { message }] of this.#opened()) {
      if (messages.length >= most || left <= 0) return;
      if (position <= after) continue;
      messages.push({ position, message, deliveries: this.#deliveries(position) });
      left -= message.size;
    }
  }

  /** The next places above `after`; whole where there are no others. */
  #placesAbove(after: number, most: number, bytes: number): { places: Place[]; whole: boolean } {
    const places: Place[] = [];
    let left = bytes;
    let whole = true;
    this.index.walk(after, (position, location) => {
      whole = places.length < most && left > 0;
      if (whole) places.push({ position, location });
      left -= location.length;
      return whole;
    });
    return { places, whole };
  }

  *sizes(after: number, most: number): Iterable<readonly [number, number]> {
    for (const [position, bytes] of this.index.sizes(after, most)) {
      yield [Math.min(position, this.last), bytes];
    }
    for (const [position, { message }] of this.#opened()) {
      if (position > after) yield [position, message.size];
    }
  }

  truncate(after: number): number {
    const before = this.count;
    for (const kept of [this.#open, this.#unsafe, this.#moving]) {
      for (const position of [...kept.keys()]) if (position > after) this.remove(position);
    }
    const { index, last } = this;
    this.#counts?.deleteRange(after + 1, last + 1);
    if (index.deleteRange(after + 1, last + 1, this.#parts.uncounted) > 0) {
      this.#truncated.push([after + 1, last - after]);
      this.#parts.journal.changed(this);
    }
    return before - this.count;
  }

  drop(): void {
    if (this.#dropped) return;
    this.discard();
    this.#parts.journal.write((writer) => {
      writer.begin(RecordType.DROPPED);
      writer.u32(this.id);
      writer.end();
    });
  }

  /** Gone, without a word to the journal. */
  discard(): void {
    this.#dropped = true;
    for (const kept of [this.#open, this.#moving, this.#unsafe]) {
      for (const put of kept.values()) put.targets.delete(this);
      kept.clear();
    }
    this.index.deleteRange(0, Number.POSITIVE_INFINITY, this.#parts.uncounted);
    this.#parts.journal.forget(this);
    this.#parts.gone(this.#counts?.clear() ?? []);
  }

  placed(position: number, segment: number, offset: number, length: number): void {
    const put = this.#open.get(position) ?? this.#moving.get(position);
    this.#open.delete(position);
    if (this.#moving.delete(position)) {
      const was = this.index.get(position);
      if (was !== null) {
        this.#parts.counted(was, -1);
        this.#movedFrom.set(position, was);
      }
    }
    if (put !== undefined) this.#unsafe.set(position, put);
    this.index.set(position, segment, offset, length, put?.message.durable === false);
    this.#parts.counted({ segment, offset, length }, 1);
  }

  unplaced(position: number): void {
    const put = this.#unsafe.get(position);
    const at = this.index.delete(position);
    assert(put !== undefined && at !== null, 'what is on its way has a place');
    this.#unsafe.delete(position);
    this.#parts.counted(at, -1);
    const from = this.#movedFrom.get(position);
    if (from === undefined) {
      this.#disordered ||= this.#open.size > 0;
      this.#open.set(position, put);
      return;
    }
    // It stays where it was: whoever wants it moved looks again.
    put.targets.delete(this);
    this.#movedFrom.delete(position);
    const { segment, offset, length } = from;
    this.index.set(position, segment, offset, length, put.message.durable === false);
    this.#parts.counted(from, 1);
  }

  /** What has no place, in order. */
  #opened(): ReadonlyMap<number, Put> {
    if (this.#disordered) this.#open = new Map([...this.#open].sort(([a], [b]) => a - b));
    this.#disordered = false;
    return this.#open;
  }

  /** What changed of the log itself since the last call, for a checkpoint. */
  takeChanged(): { readonly lentTo: number; readonly last: number } | null {
    const { lentTo } = this;
    // What is not written yet may never be: its positions are not used up.
    const [open = this.last + 1] = this.#opened().keys();
    const last = open - 1;
    const before = this.#checkpointed;
    if (before?.lentTo === lentTo && before.last === last) return null;
    this.#checkpointed = { lentTo, last };
    return this.#checkpointed;
  }

  /** What changed of the counts since the last call, for a checkpoint. */
  takeCounts(): (readonly [part: number, bytes: Buffer | null])[] {
    return this.#counts?.takeDirty() ?? [];
  }

  readable(position: number): void {
    this.#unsafe.delete(position);
    this.#movedFrom.delete(position);
  }

  writeChanges(writer: RecordWriter): void {
    if (this.#lentChanged) {
      writer.begin(RecordType.LENT);
      writer.u32(this.id);
      writer.f64(this.lentTo);
      writer.end();
      this.#lentChanged = false;
    }
    this.#counts?.writeChanges(writer, this.id);
    const ranges = [...rangesOf(this.#removed), ...this.#truncated];
    this.#removed = [];
    this.#truncated.length = 0;
    if (ranges.length === 0) return;
    writer.begin(RecordType.REMOVED);
    writer.u32(this.id);
    writer.u32(ranges.length);
    for (const [first, number] of ranges) {
      writer.f64(first);
      writer.u32(number);
    }
    writer.end();
  }
}

interface Place {
  readonly position: number;
  readonly location: Location;
}

type Range = [first: number, number: number];

/** Runs of neighbouring positions: acknowledgements come nearly in order. */
function rangesOf(positions: number[]): Range[] {
  const ranges: Range[] = [];
  let current: Range | undefined;
  for (const position of positions.sort((a, b) => a - b)) {
    if (current !== undefined && position === current[0] + current[1]) current[1]++;
    else {
      current = [position, 1];
      ranges.push(current);
    }
  }
  return ranges;
}
