/**
 * Files of the journal: numbered, appended to, read back by offset. The only place that touches
 * them.
 */
import {
  closeSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  statfsSync,
  unlinkSync,
  writev,
} from 'node:fs';
import { join } from 'node:path';

type Done = (error: Error | null) => void;

/** One open file. */
export interface Segment {
  readonly id: number;
  /** Writes `pieces` at `offset` and makes them safe, then calls `done`. */
  write(pieces: readonly Buffer[], offset: number, done: Done): void;
  /** Exactly `length` bytes from `offset`, fewer only at the end of the file. */
  read(offset: number, length: number): Buffer;
  size(): number;
  truncate(length: number): void;
  close(): void;
}

/** A directory of segments. Tests put faults behind the same interface. */
export interface Disk {
  /** Ids that exist, ascending. */
  segments(): number[];
  open(id: number): Segment;
  remove(id: number): void;
  /** Bytes that may still be written. */
  freeBytes(): number;
}

/** Pieces that one system call takes (IOV_MAX is 1024 on Linux). */
const PIECES_MAX = 1000;
const NAME = /^(\d{10})\.journal$/;

export class FileDisk implements Disk {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  segments(): number[] {
    const ids = readdirSync(this.#directory).map((name) => Number(NAME.exec(name)?.[1] ?? 0));
    return ids.filter((id) => id > 0).sort((a, b) => a - b);
  }

  open(id: number): Segment {
    const descriptor = openSync(this.#path(id), 'a+');
    // The name must outlive a crash as well as what is in the file.
    this.#syncDirectory();
    closeSync(descriptor);
    return new FileSegment(id, openSync(this.#path(id), 'r+'));
  }

  remove(id: number): void {
    unlinkSync(this.#path(id));
  }

  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#directory);
    return bavail * bsize;
  }

  #syncDirectory(): void {
    const descriptor = openSync(this.#directory, 'r');
    fsyncSync(descriptor);
    closeSync(descriptor);
  }

  #path(id: number): string {
    return join(this.#directory, `${String(id).padStart(10, '0')}.journal`);
  }
}

class FileSegment implements Segment {
  readonly id: number;
  readonly #descriptor: number;

  constructor(id: number, descriptor: number) {
    this.id = id;
    this.#descriptor = descriptor;
  }

  write(pieces: readonly Buffer[], offset: number, done: Done): void {
    this.#writeFrom(pieces, offset, (error) => {
      if (error === null) fdatasync(this.#descriptor, done);
      else done(error);
    });
  }

  read(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    while (filled < length) {
      const got = readSync(this.#descriptor, bytes, filled, length - filled, offset + filled);
      if (got === 0) break;
      filled += got;
    }
    return filled === length ? bytes : bytes.subarray(0, filled);
  }

  size(): number {
    return fstatSync(this.#descriptor).size;
  }

  truncate(length: number): void {
    ftruncateSync(this.#descriptor, length);
    fsyncSync(this.#descriptor);
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #writeFrom(pieces: readonly Buffer[], offset: number, done: Done): void {
    const now = pieces.slice(0, PIECES_MAX);
    writev(this.#descriptor, now, offset, (error, written) => {
      if (error !== null) return done(error);
      const left = unwritten(pieces, written);
      if (left.length === 0) done(null);
      else this.#writeFrom(left, offset + written, done);
    });
  }
}

function unwritten(pieces: readonly Buffer[], written: number): Buffer[] {
  let skip = written;
  const left: Buffer[] = [];
  for (const piece of pieces) {
    if (skip >= piece.length) skip -= piece.length;
    else {
      left.push(skip === 0 ? piece : piece.subarray(skip));
      skip = 0;
    }
  }
  return left;
}
