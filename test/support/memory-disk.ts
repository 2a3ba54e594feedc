import { type Disk, SEGMENT_HEAD_BYTES, type Segment } from '../../core/store/segment.ts';

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
  /** Files of removed segments that were used again. */
  reused = 0;
  /** The last write, and its segment before it. */
  lastWrite = { id: 0, offset: 0, length: 0 };
  beforeLastWrite = Buffer.alloc(0);
  /** What is said to be free. */
  free = 1e12;
  /** Writes that were asked for. */
  writes = 0;

  segments(): number[] {
    return [...this.files.keys()].sort((a, b) => a - b);
  }

  open(id: number): Segment {
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
        const written = Buffer.concat([bytes().subarray(0, offset), ...pieces]);
        this.files.set(id, Buffer.concat([written, bytes().subarray(written.length)]));
        done(null);
      },
      read: (offset, length) => bytes().subarray(offset, offset + length),
      size: () => bytes().length,
      truncate: (length) => void this.files.set(id, bytes().subarray(0, length)),
      close: () => {},
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
    this.keep(this.files.get(id) ?? Buffer.alloc(0));
    this.files.delete(id);
  }

  /** The file of a removed segment, for the next one. */
  keep(bytes: Buffer): void {
    this.#spares.push(Buffer.from(bytes).fill(0, 0, SEGMENT_HEAD_BYTES));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  freeBytes(): number {
    return this.free;
  }

  /** As it is now, for a next process: what the one before still does is not seen on it. */
  copy(): MemoryDisk {
    const other = new MemoryDisk();
    for (const [id, bytes] of this.files) other.files.set(id, Buffer.from(bytes));
    for (const spare of this.#spares) other.keep(spare);
    return other;
  }

  /** All that is written, as text, for looking into. */
  get text(): string {
    return Buffer.concat([...this.files.values()]).toString('latin1');
  }
}
