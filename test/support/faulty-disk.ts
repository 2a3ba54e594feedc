import type { Segment } from '../../core/store/segment.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { SeededRandom } from './seeded-random.ts';

interface Write {
  readonly segment: Segment;
  readonly pieces: readonly Buffer[];
  readonly offset: number;
  readonly done: (error: Error | null) => void;
}

/**
 * A disk that answers late, that fails in the middle of a write, and whose machine may die while one
 * is under way: what was not answered is then there in part, or not at all.
 */
export class FaultyDisk extends MemoryDisk {
  readonly #random: SeededRandom;
  #waiting: Write[] = [];
  /** Writes wait for `answer`. */
  late = false;
  /** Writes fail with this, having written some of it. */
  refusal: Error | null = null;

  constructor(random: SeededRandom) {
    super();
    this.#random = random;
  }

  override open(id: number): Segment {
    const segment = super.open(id);
    return {
      ...segment,
      write: (pieces, offset, done) => {
        this.#waiting.push({ segment, pieces, offset, done });
        if (!this.late) this.answer();
      },
    };
  }

  /** Everything that waits is safe, or refused. */
  answer(): void {
    for (const write of this.#waiting.splice(0)) {
      if (this.refusal === null) {
        write.segment.write(write.pieces, write.offset, write.done);
        continue;
      }
      this.#tear(write);
      write.done(this.refusal);
    }
  }

  /** The machine dies: nobody is told anything any more. Returns the disk as the next one finds it. */
  die(): FaultyDisk {
    for (const write of this.#waiting.splice(0)) this.#tear(write);
    const found = new FaultyDisk(this.#random);
    for (const [id, bytes] of this.files) found.files.set(id, Buffer.from(bytes));
    return found;
  }

  /** Some of it reaches the disk: from the beginning, as of what is behind it later. */
  #tear({ segment, pieces, offset }: Write): void {
    const whole = Buffer.concat(pieces);
    const part = whole.subarray(0, this.#random.below(whole.length + 1));
    if (part.length > 0) segment.write([part], offset, () => {});
  }
}
