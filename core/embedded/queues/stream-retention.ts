/**
 * How long a stream keeps what: RabbitMQ's rule. The stream is cut into segments of about
 * `x-stream-max-segment-size-bytes`; whenever a new one is begun the oldest go, as long as all
 * together are larger than `x-max-length-bytes` or their newest message is older than `x-max-age`.
 * The one that is written to always stays.
 */
import type { QueueSpec } from '../../engine.ts';
import { BrokerError } from '../../errors.ts';
import { ArgumentReader } from './arguments.ts';

export const RETENTION_ARGUMENTS = [
  'x-max-length-bytes',
  'x-max-age',
  'x-stream-max-segment-size-bytes',
] as const;

const SEGMENT_BYTES_DEFAULT = 500_000_000;
export const SEGMENT_BYTES_MAX = 3_000_000_000;

/** Parts of a segment that its size is told by. */
const STEPS = 64;

const UNIT_MS: Readonly<Record<string, number>> = {
  Y: 365 * 24 * 3_600_000,
  M: 30 * 24 * 3_600_000,
  D: 24 * 3_600_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
};

/** `7D`, `12h` in milliseconds; null where it is no such text. */
export function intervalMs(text: string): number | null {
  const [, count, unit] = /^(\d{1,9})([YMDhms])$/.exec(text) ?? [];
  const unitMs = UNIT_MS[unit ?? ''];
  return unitMs === undefined ? null : Number(count) * unitMs;
}

export interface RetentionOptions {
  /** -1: any. */
  readonly maxBytes: number;
  /** -1: any. */
  readonly maxAgeMs: number;
  readonly segmentBytes: number;
}

/** Throws `precondition-failed` for a value that cannot be. */
export function retentionOptions(spec: QueueSpec, vhost: string): RetentionOptions {
  const reader = new ArgumentReader(spec, vhost);
  const age = reader.text('x-max-age');
  const maxAgeMs = age === null ? -1 : intervalMs(age);
  if (maxAgeMs === null) return reader.fail('x-max-age', 'invalid_max_age');
  const segmentBytes = reader.integer('x-stream-max-segment-size-bytes', 0);
  if (segmentBytes !== null && segmentBytes > SEGMENT_BYTES_MAX) {
    const reason = 'Exceeded max value for x-stream-max-segment-size-bytes';
    throw new BrokerError('precondition-failed', reason);
  }
  return {
    maxBytes: reader.integer('x-max-length-bytes', 0) ?? -1,
    maxAgeMs,
    segmentBytes: segmentBytes ?? SEGMENT_BYTES_DEFAULT,
  };
}

interface Segment {
  last: number;
  bytes: number;
}

export class StreamRetention {
  #options: RetentionOptions;
  /** Oldest first; the last one is written to. */
  readonly #segments: Segment[] = [];
  #bytes = 0;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  /** Segments that are there already keep their size. */
  apply(options: RetentionOptions): void {
    this.#options = options;
  }

  /** Messages that may be noted as one: a segment is larger by so much at most, in bytes. */
  get stepBytes(): number {
    return this.#options.segmentBytes / STEPS;
  }

  /** Notes the newest message, or several that end there. Returns whether it began a segment. */
  added(position: number, bytes: number): boolean {
    this.#bytes += bytes;
    const current = this.#segments.at(-1);
    if (current !== undefined && current.bytes < this.#options.segmentBytes) {
      current.last = position;
      current.bytes += bytes;
      return false;
    }
    this.#segments.push({ last: position, bytes });
    return this.#segments.length > 1;
  }

  /**
   * The last position that is not kept any more; 0: all is kept. `receivedAt` tells the time of a
   * message.
   */
  expired(now: number, receivedAt: (position: number) => number): number {
    const { maxBytes, maxAgeMs } = this.#options;
    let gone = 0;
    for (let oldest = this.#segments[0]; this.#segments.length > 1; oldest = this.#segments[0]) {
      if (oldest === undefined) break;
      const large = maxBytes !== -1 && this.#bytes > maxBytes;
      if (!large && !(maxAgeMs !== -1 && receivedAt(oldest.last) + maxAgeMs < now)) break;
      gone = oldest.last;
      this.#bytes -= oldest.bytes;
      this.#segments.shift();
    }
    return gone;
  }
}
