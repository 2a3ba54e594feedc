/**
 * How often messages of one queue were handed out, by position: of those only that were more than
 * once. A checkpoint has them in parts of 1024 positions.
 */
import { RecordReader, RecordType, RecordWriter } from './records.ts';

const PART_POSITIONS = 1024;
/** One position with its count, in bytes. */
const ENTRY_BYTES = 12;
const TIMES_MAX = 2 ** 32 - 1;

export class DeliveryCounts {
  readonly #times = new Map<number, number>();
  /** Noted since the last batch. */
  #open: number[] = [];
  /** Parts that differ from what the last checkpoint wrote. */
  readonly #dirty = new Set<number>();
  /** Parts that the last checkpoint has. */
  readonly #written = new Set<number>();

  /** 0: not more than once. */
  get(position: number): number {
    return this.#times.get(position) ?? 0;
  }

  /** To be written with the next batch, where the journal does not have it yet (`fresh`). */
  note(position: number, times: number, fresh: boolean): void {
    this.#times.set(position, Math.min(times, TIMES_MAX));
    this.#dirty.add(partOf(position));
    if (fresh) this.#open.push(position);
  }

  delete(position: number): void {
    if (this.#times.size > 0 && this.#times.delete(position)) this.#dirty.add(partOf(position));
  }

  /** Of positions from `first` up to `end`. */
  deleteRange(first: number, end: number): void {
    if (end - first < this.#times.size) {
      for (let position = first; position < end; position++) this.delete(position);
      return;
    }
    for (const position of this.#times.keys()) {
      if (position >= first && position < end) this.delete(position);
    }
  }

  /** Writes what was noted since the last batch, of the log `id`. */
  writeChanges(writer: RecordWriter, id: number): void {
    const positions = new Set(this.#open.filter((position) => this.#times.has(position)));
    this.#open = [];
    if (positions.size === 0) return;
    writer.begin(RecordType.DELIVERED);
    writer.u32(id);
    this.#writeTimes(writer, [...positions]);
    writer.end();
  }

  /** What changed since the last call: a part's bytes, or null where nothing is left of it. */
  takeDirty(): (readonly [part: number, bytes: Buffer | null])[] {
    const changed: [number, Buffer | null][] = [];
    for (const part of this.#dirty) {
      const positions: number[] = [];
      for (let position = part; position < part + PART_POSITIONS; position++) {
        if (this.#times.has(position)) positions.push(position);
      }
      if (positions.length > 0) this.#written.add(part);
      else if (!this.#written.delete(part)) continue;
      changed.push([part, positions.length > 0 ? this.#bytesOf(positions) : null]);
    }
    this.#dirty.clear();
    return changed;
  }

  /** The log is gone. Returns which parts the last checkpoint has of it. */
  clear(): Iterable<number> {
    this.#times.clear();
    return this.#written;
  }

  /** A part as `takeDirty` gave it. */
  load(part: number, bytes: Buffer): void {
    for (const [position, times] of readTimes(new RecordReader(bytes))) {
      this.#times.set(position, times);
    }
    this.#written.add(part);
  }

  #bytesOf(positions: readonly number[]): Buffer {
    const block = Buffer.allocUnsafeSlow(4 + ENTRY_BYTES * positions.length);
    const writer = new RecordWriter(0, block);
    this.#writeTimes(writer, positions);
    return Buffer.concat(writer.take());
  }

  #writeTimes(writer: RecordWriter, positions: readonly number[]): void {
    writer.u32(positions.length);
    for (const position of positions) {
      writer.f64(position);
      writer.u32(this.get(position));
    }
  }
}

/** As they were written. */
export function* readTimes(reader: RecordReader): Iterable<readonly [number, number]> {
  for (let left = reader.u32(); left > 0; left--) yield [reader.f64(), reader.u32()];
}

function partOf(position: number): number {
  return position - (position % PART_POSITIONS);
}
