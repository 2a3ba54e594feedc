/**
 * Whether the disk has room for what publishers send: less than a mark is free, or a write was
 * refused for want of room. Looks every second; when there is room again the reserve is made whole
 * first, and then publishers go on.
 */
import type { Clock, Timer } from '../clock.ts';
import { reasonOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Disk } from './segment.ts';

/** How often somebody looks at what is free. */
const LOOK_MS = 1000;
/** Publishers go on when so much more than the least is free, so that they don't flap. */
const MARGIN = 1.1;

export interface DiskRoomParts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  readonly directory: string;
  /** Publishers are held while less is free. 0: nobody looks. */
  readonly freeBytesMin: number;
  /** Bytes that a full disk has refused; null: it has refused nothing. */
  refusedBytes(): number | null;
  /** There is room for what was refused. */
  resume(): void;
  /** Called every second while there is not. */
  look(): void;
  /** There is less free than the mark (an error), or not (null). */
  changed(error: Error | null): void;
}

export class DiskRoom {
  readonly #parts: DiskRoomParts;
  #below = false;
  #restoring = false;
  #timer: Timer | null = null;

  constructor(parts: DiskRoomParts) {
    this.#parts = parts;
  }

  /** Looks now, and from then on every second. */
  watch(): void {
    const { disk, clock, log, directory } = this.#parts;
    try {
      const free = disk.freeBytes();
      this.#compare(free);
      this.#restore(free);
    } catch (error) {
      // Nothing is known: what counted goes on counting.
      log.debug({ directory, reason: reasonOf(error) }, 'free disk space is not told');
    }
    this.#timer = clock.after(LOOK_MS, () => this.watch());
  }

  close(): void {
    this.#timer?.cancel();
  }

  #compare(free: number): void {
    const { freeBytesMin: mark, log, directory, changed } = this.#parts;
    const fields = { directory, free, mark };
    if (!this.#below && free < mark) {
      this.#below = true;
      log.warn(fields, 'free disk space below its mark: publishers are held');
      changed(new Error(`only ${free} bytes are free on the disk`));
    } else if (this.#below && free >= mark * MARGIN) {
      this.#below = false;
      log.info(fields, 'free disk space above its mark: publishers go on');
      changed(null);
    }
  }

  /** Takes the reserve back where there is room for it, and for what was refused, twice. */
  #restore(free: number): void {
    const { disk, refusedBytes, resume, look } = this.#parts;
    const refused = refusedBytes();
    const { bytes, missing } = disk.reserve;
    if (refused !== null) look();
    if (this.#restoring || (refused === null && missing === 0)) return;
    if (free < missing + bytes + (refused ?? 0)) return;
    this.#restoring = true;
    disk.restore((error) => {
      this.#restoring = false;
      // Somebody else took it: there will be another look.
      if (error === null && refused !== null) resume();
    });
  }
}
