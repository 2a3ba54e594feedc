import type { Disk, Segment } from '../../core/store/segment.ts';

/** Segments in memory that survive a "restart" of the store on the same object, with faults on demand. */
export class MemoryDisk implements Disk {
  readonly files = new Map<number, Buffer>();
  /** Writes fail with this while it is set. */
  fault: Error | null = null;
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
        this.files.set(id, Buffer.concat([bytes().subarray(0, offset), ...pieces]));
        done(null);
      },
      read: (offset, length) => bytes().subarray(offset, offset + length),
      size: () => bytes().length,
      truncate: (length) => void this.files.set(id, bytes().subarray(0, length)),
      close: () => {},
    };
  }

  remove(id: number): void {
    this.files.delete(id);
  }

  freeBytes(): number {
    return this.free;
  }

  /** All that is written, as text, for looking into. */
  get text(): string {
    return Buffer.concat([...this.files.values()]).toString('latin1');
  }
}
