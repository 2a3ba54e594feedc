/**
 * Files of the journal: numbered, appended to, read back by offset. The only place that touches
 * them.
 */
import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  writev,
} from 'node:fs';
import { open, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Reserve } from './reserve.ts';

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
  /** One to be read; or to be gone on with, made where it does not exist. */
  open(id: number, make?: boolean): Segment;
  /**
   * Makes one without holding up anybody. Its name is safe when `done` is called; what it has may
   * be what a removed one left, behind a head of zeros.
   */
  create(id: number, done: (error: Error | null, segment: Segment | null) => void): void;
  /** It is not among the segments any more; its file may be used for another. */
  remove(id: number): void;
  /** Bytes that may still be written. */
  freeBytes(): number;
  /**
   * The disk is full: gives up files that are kept for the next segments, or else, where that is
   * not to be `spared`, a part of the reserve. Returns whether there was something to give. Nothing
   * more is kept until `restore`.
   */
  makeRoom(spared: boolean): boolean;
  /** What is kept for a full disk, in bytes, and how much of it is given away. */
  readonly reserve: { readonly bytes: number; readonly missing: number };
  /** Makes the reserve whole again. */
  restore(done: Done): void;
  /** Resolved when nothing is done on the disk any more. */
  close(): Promise<void>;
}

/** In front of each segment. */
export const SEGMENT_HEAD_BYTES = 8;
/**
 * Removed segments whose files are kept for the next ones: to write over what is there is several
 * times cheaper than to make a file longer, whose blocks and length have to be made safe too.
 */
const SPARES_MAX = 2;

/** Pieces that one system call takes (IOV_MAX is 1024 on Linux). */
const PIECES_MAX = 1000;
const NAME = /^(\d{10})\.journal$/;
const SPARE_NAME = /^\d{10}\.spare$/;

export class FileDisk implements Disk {
  readonly #directory: string;
  /** Files of removed segments, with their sizes. */
  readonly #spares = new Map<string, number>();
  /** Segments on their way to be removed. */
  readonly #leaving = new Set<number>();
  readonly reserve: Reserve;
  /** Room is short: no file is kept for later. */
  #short = false;
  /** One thing after the other, beside everything else. */
  #work: Promise<void> = Promise.resolve();

  constructor(directory: string, reserve: Reserve = new Reserve(join(directory, 'reserve'), 0)) {
    this.#directory = directory;
    this.reserve = reserve;
    mkdirSync(directory, { recursive: true });
    // What a killed process made is there, but perhaps not yet for good.
    this.#syncDirectory();
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      if (SPARE_NAME.test(name)) this.#spares.set(path, statSync(path).size);
    }
  }

  segments(): number[] {
    const ids = readdirSync(this.#directory).map((name) => Number(NAME.exec(name)?.[1] ?? 0));
    return ids.filter((id) => id > 0 && !this.#leaving.has(id)).sort((a, b) => a - b);
  }

  open(id: number, make: boolean = false): Segment {
    const path = this.#path(id, 'journal');
    if (make && !existsSync(path)) {
      closeSync(openSync(path, 'a'));
      // The name must outlive a crash as well as what is in the file.
      this.#syncDirectory();
    }
    return new FileSegment(id, path);
  }

  create(id: number, done: (error: Error | null, segment: Segment | null) => void): void {
    const path = this.#path(id, 'journal');
    this.#after(async () => {
      const [spare] = this.#spares.keys();
      if (spare !== undefined) {
        this.#spares.delete(spare);
        await rename(spare, path);
      }
      await (await open(path, 'a')).close();
      const directory = await open(this.#directory);
      await directory.sync().finally(() => directory.close());
      return new FileSegment(id, path);
    }, done);
  }

  remove(id: number): void {
    this.#leaving.add(id);
    this.#after(
      () => this.#spare(id),
      () => this.#leaving.delete(id),
    );
  }

  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#directory);
    return [...this.#spares.values()].reduce((sum, size) => sum + size, bavail * bsize);
  }

  makeRoom(spared: boolean): boolean {
    this.#short = true;
    const spares = [...this.#spares.keys()];
    this.#spares.clear();
    try {
      for (const spare of spares) rmSync(spare, { force: true });
      return spares.length > 0 || (!spared && this.reserve.give());
    } catch {
      // A disk in more trouble than that gives nothing.
      return false;
    }
  }

  restore(done: Done): void {
    this.#after(async () => {
      await this.reserve.fill();
      this.#short = false;
    }, done);
  }

  close(): Promise<void> {
    return this.#work;
  }

  /** Keeps the file of a segment, or deletes it. */
  async #spare(id: number): Promise<void> {
    const path = this.#path(id, 'journal');
    if (this.#short || this.#spares.size >= SPARES_MAX) return unlink(path);
    const file = await open(path, 'r+');
    try {
      // Before it can be taken for a segment again nothing may look like one in it.
      await file.write(Buffer.alloc(SEGMENT_HEAD_BYTES), 0, SEGMENT_HEAD_BYTES, 0);
      await file.datasync();
    } finally {
      await file.close();
    }
    const spare = this.#path(id, 'spare');
    await rename(path, spare);
    const { size } = await stat(spare);
    // Room may have become short meanwhile.
    if (this.#short) await unlink(spare);
    else this.#spares.set(spare, size);
  }

  #after<Result>(
    act: () => Promise<Result>,
    done: (error: Error | null, result: Result | null) => void,
  ): void {
    // What `done` throws is nobody's to catch.
    this.#work = this.#work.then(act).then(
      (result) => queueMicrotask(() => done(null, result)),
      (error: Error) => queueMicrotask(() => done(error, null)),
    );
  }

  #syncDirectory(): void {
    const descriptor = openSync(this.#directory, 'r');
    fsyncSync(descriptor);
    closeSync(descriptor);
  }

  #path(id: number, kind: 'journal' | 'spare'): string {
    return join(this.#directory, `${String(id).padStart(10, '0')}.${kind}`);
  }
}

class FileSegment implements Segment {
  readonly id: number;
  readonly #path: string;
  readonly #descriptor: number;
  /** On it a write returns when it is safe. */
  #safe: number | null = null;

  constructor(id: number, path: string) {
    this.id = id;
    this.#path = path;
    this.#descriptor = openSync(path, 'r+');
  }

  write(pieces: readonly Buffer[], offset: number, done: Done): void {
    if (pieces.length <= PIECES_MAX) {
      // One way to the disk and back instead of two: confirms are that much sooner.
      const safe = this.#openSafe();
      if (safe instanceof Error) queueMicrotask(() => done(safe));
      else writeFrom(safe, pieces, offset, (error) => done(error ?? this.#gone()));
      return;
    }
    writeFrom(this.#descriptor, pieces, offset, (error) => {
      if (error !== null) done(error);
      else fdatasync(this.#descriptor, (failed) => done(failed ?? this.#gone()));
    });
  }

  #openSafe(): number | Error {
    try {
      this.#safe ??= openSync(this.#path, constants.O_WRONLY | constants.O_DSYNC);
      return this.#safe;
    } catch (error) {
      return error as Error;
    }
  }

  /** A file that somebody removed takes writes, and has them until it is closed. */
  #gone(): Error | null {
    if (fstatSync(this.#descriptor).nlink > 0) return null;
    return new Error(
      `${this.#path} was removed while it was in use: stop the gateway and put the data directory back`,
    );
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
    if (this.#safe !== null) closeSync(this.#safe);
  }
}

function writeFrom(
  descriptor: number,
  pieces: readonly Buffer[],
  offset: number,
  done: Done,
): void {
  const now = pieces.slice(0, PIECES_MAX);
  writev(descriptor, now, offset, (error, written) => {
    if (error !== null) return done(error);
    const left = unwritten(pieces, written);
    if (left.length === 0) done(null);
    else writeFrom(descriptor, left, offset + written, done);
  });
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
