/**
 * Gives the disk back: a segment of the journal lives as long as one message in it is wanted, so
 * that a few that nobody consumes would keep all the others. Those few are written again at the
 * journal's head, and their old segment goes with the next checkpoint.
 */
import type { Location } from './index-block.ts';
import type { JournalQueueLog } from './queue-log.ts';
import type { StoreState } from './state.ts';

/**
 * A segment is emptied when no more than this part of its size is wanted, and so little of all of
 * them together: a queue that is only passing through is left to pass.
 */
const SPARSE_PART = 1 / 4;
/** Segments that may be sparse without being worth it. */
const SPARE_SEGMENTS = 4;
/** What one pass moves at most; the next follows when that is safe. */
const PASS_MESSAGES = 8192;
const PASS_BYTES = 8 * 1024 * 1024;

/** A message and one queue that it is in. */
export interface Placed {
  readonly log: JournalQueueLog;
  readonly position: number;
  readonly location: Location;
}

export class Compaction {
  readonly #state: StoreState;
  readonly #segmentBytes: number;
  /** Segments with damaged messages, which stay where they are. */
  readonly #unmovable = new Set<number>();
  #looking = true;

  constructor(state: StoreState, segmentBytes: number) {
    this.#state = state;
    this.#segmentBytes = segmentBytes;
  }

  /**
   * Called between batches. Looks whenever half a segment's bytes have become unwanted. Returns
   * whether segments before `current` are empty, which a checkpoint removes.
   */
  step(current: number): boolean {
    if (!this.#looking && this.#state.freedBytes < this.#segmentBytes / 2) return false;
    this.#state.freedBytes = 0;
    const sparse = this.#sparse(current);
    this.#looking = sparse.size > 0 && this.#move(sparse);
    return this.#state.hasEmptied(current);
  }

  /**
   * The same on a full disk: every segment counts, and there are no more than `bytes` to move to.
   */
  squeeze(current: number, bytes: number, sizeOf: (segment: number) => number): boolean {
    const sparse = new Set<number>();
    let left = Math.min(bytes, PASS_BYTES);
    for (const [segment, use] of this.#state.uses()) {
      if (segment >= current || use.bytes > left || this.#unmovable.has(segment)) continue;
      if (use.bytes > sizeOf(segment) * SPARSE_PART) continue;
      sparse.add(segment);
      left -= use.bytes;
    }
    this.#looking = sparse.size > 0 && this.#move(sparse);
    return this.#state.hasEmptied(current);
  }

  #sparse(current: number): Set<number> {
    const limit = this.#segmentBytes * SPARSE_PART;
    const found = new Set<number>();
    let [segments, wanted, moving] = [0, 0, 0];
    for (const [segment, { bytes }] of this.#state.uses()) {
      segments++;
      wanted += bytes;
      if (segment >= current || bytes > limit || this.#unmovable.has(segment)) continue;
      if (moving < PASS_BYTES) found.add(segment);
      moving += bytes;
    }
    const kept = (segments - SPARE_SEGMENTS) * this.#segmentBytes;
    return kept * SPARSE_PART > wanted ? found : new Set();
  }

  /** Returns whether there may be more to move. */
  #move(segments: ReadonlySet<number>): boolean {
    const placed = this.#state.placedIn(segments, PASS_MESSAGES);
    // Neighbours of one place share the record again.
    placed.sort(
      (a, b) => a.location.segment - b.location.segment || a.location.offset - b.location.offset,
    );
    const places = placed.map(({ location }) => location);
    const distinct = places.filter((location, at) => !samePlace(location, places[at - 1]));
    const messages = this.#state.readMessages(distinct);
    let next = 0;
    for (const { log, position, location } of placed) {
      if (!samePlace(location, distinct[next])) next++;
      const message = messages[next] ?? null;
      if (message === null) this.#unmovable.add(location.segment);
      else log.move(position, message);
    }
    return placed.length > 0;
  }
}

function samePlace(one: Location, other: Location | undefined): boolean {
  return one.segment === other?.segment && one.offset === other.offset;
}
