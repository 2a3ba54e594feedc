import { type Disk, SEGMENT_HEAD_BYTES, type Segment } from '../../core/store/segment.ts';

/** As the system refuses a write to a full disk. */
export const NO_SPACE = Object.assign(new Error('ENOSPC: no space left on device'), {
  code: 'ENOSPC',
});

/**
 * Segments in memory that survive a "restart" of the store on the same object, with faults on
 * demand. What a removed one had is in the next one, as on a real disk.
 */
export class MemoryDisk implements Disk {
  readonly files = new Map<number, Buffer>();
  readonly #spares: Buffer[] = [];
  /** Writes fail with this while it is set. */
  fault: Error | null = null;
  /** No segment can be made while it is set. */
  createFault: Error | null = null;
  /** Reads fail with what it returns, where it is not null. */
  readFault: (id: number, offset: number, length: number) => Error | null = () => null;
  /** Opening fails with it so often. */
  openFault: { readonly error: Error; times: number } | null = null;
  /** Segments that are open. */
  opened = 0;
  /** Files of removed segments that were used again. */
  reused = 0;
  /** The last write, and its segment before it. */
  lastWrite = { id: 0, offset: 0, length: 0 };
  beforeLastWrite = Buffer.alloc(0);
  /** What is said to be free, where `capacity` does not say less. */
  free = 1e12;
  /** All that fits on it, the reserve included. */
  capacity = Number.POSITIVE_INFINITY;
  readonly reserve = { bytes: 0, missing: 0 };
  /** Parts of the reserve that were given. */
  given = 0;
  /** Writes that were asked for. */
  writes = 0;

  segments(): number[] {
    return [...this.files.keys()].sort((a, b) => a - b);
  }

  open(id: number): Segment {
    if (this.openFault !== null && this.openFault.times-- > 0) throw this.openFault.error;
    this.opened++;
    if (!this.files.has(id)) this.files.set(id, Buffer.alloc(0));
    const bytes = (): Buffer => this.files.get(id) ?? Buffer.alloc(0);
    return {
      id,
      write: (pieces, offset, done) => {
        this.writes++;
        if (this.fault !== null) return done(this.fault);
        this.beforeLastWrite = Buffer.from(bytes());
        const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
        this.lastWrite = { id, offset, length };
        // What does not fit is cut off.
        const room = Math.max(0, bytes().length + this.#room - offset);
        const whole = Buffer.concat(pieces).subarray(0, room);
        const written = Buffer.concat([bytes().subarray(0, offset), whole]);
        this.files.set(id, Buffer.concat([written, bytes().subarray(written.length)]));
        done(whole.length === length ? null : NO_SPACE);
      },
      read: (offset, length) => {
        const fault = this.readFault(id, offset, length);
        if (fault !== null) throw fault;
        return bytes().subarray(offset, offset + length);
      },
      size: () => bytes().length,
      truncate: (length) => void this.files.set(id, bytes().subarray(0, length)),
      close: () => {
        this.opened--;
      },
    };
  }

  create(id: number, done: (error: Error | null, segment: Segment | null) => void): void {
    const fault = this.fault ?? this.createFault;
    if (fault !== null) {
      done(fault, null);
      return;
    }
    const spare = this.#spares.shift();
    if (spare !== undefined) this.reused++;
    this.files.set(id, spare ?? Buffer.alloc(0));
    done(null, this.open(id));
  }

  remove(id: number): void {
    const bytes = this.files.get(id) ?? Buffer.alloc(0);
    if (this.capacity === Number.POSITIVE_INFINITY) this.keep(bytes);
    this.files.delete(id);
  }

  makeRoom(spared: boolean): boolean {
    const { bytes, missing } = this.reserve;
    if (spared || missing === bytes) return false;
    this.reserve.missing = Math.min(bytes, missing + Math.ceil(bytes / 4));
    this.given++;
    return true;
  }

  restore(done: (error: Error | null) => void): void {
    const room = this.#room >= this.reserve.missing;
    if (room) this.reserve.missing = 0;
    done(room ? null : NO_SPACE);
  }

  get #room(): number {
    let used = this.reserve.bytes - this.reserve.missing;
    for (const { length } of this.files.values()) used += length;
    return this.capacity - used;
  }

  /** The file of a removed segment, for the next one. */
  keep(bytes: Buffer): void {
    this.#spares.push(Buffer.from(bytes).fill(0, 0, SEGMENT_HEAD_BYTES));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  freeBytes(): number {
    return Math.min(this.free, this.#room);
  }

  /** As it is now, for a next process: what the one before still does is not seen on it. */
  copy(): MemoryDisk {
    const other = new MemoryDisk();
    for (const [id, bytes] of this.files) other.files.set(id, Buffer.from(bytes));
    for (const spare of this.#spares) other.keep(spare);
    other.capacity = this.capacity;
    Object.assign(other.reserve, this.reserve);
    return other;
  }

  /** All that is written, as text, for looking into. */
  get text(): string {
    return Buffer.concat([...this.files.values()]).toString('latin1');
  }
}
