/** Reads a journal back after a restart, and tells a torn end from damage. */
import { crc32 } from 'node:zlib';
import {
  BATCH_MAGIC,
  FORMAT_VERSION,
  RECORD_HEAD_BYTES,
  RecordReader,
  RecordType,
  seedOf,
} from './records.ts';
import { type Disk, SEGMENT_HEAD_BYTES, type Segment } from './segment.ts';

/** The store cannot be used as it is; says what and where. */
export class StoreDamage extends Error {
  override readonly name = 'StoreDamage';
}

/** One record, with its place as an index keeps it. */
export interface Replayed {
  readonly type: RecordType;
  readonly reader: RecordReader;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
}

export interface ReplayEnd {
  readonly segment: number;
  readonly offset: number;
  /** Bytes of the last batch that are not whole, and are cut off. */
  readonly torn: number;
}

/** How far a segment reads. */
interface Extent {
  /** Where the first record begins that is not whole. */
  readonly offset: number;
  /** What the batch that it is in was to reach to. */
  readonly batchEnd: number;
  /** Ended by the journal, which goes on in the next one. */
  readonly ended: boolean;
}
const NOTHING: Extent = { offset: 0, batchEnd: 0, ended: false };

/**
 * Visits every record from a place on. The last segment may end in a batch that was under way when
 * the process died: what is behind the last whole record is cut. Anything else that does not check
 * is damage, and nothing is changed. Throws StoreDamage.
 */
export function replay(
  disk: Disk,
  from: { readonly segment: number; readonly offset: number },
  visit: (record: Replayed) => void,
): ReplayEnd {
  const ids = disk.segments().filter((id) => id >= from.segment);
  while (ids.length > 1 && !hasBegun(disk, ids.at(-1) ?? 0)) ids.pop();
  let end: ReplayEnd = { ...from, torn: 0 };
  for (const [index, id] of ids.entries()) {
    const segment = disk.open(id);
    try {
      const start = Math.max(id === from.segment ? from.offset : 0, SEGMENT_HEAD_BYTES);
      end = readSegment(segment, start, index === ids.length - 1, visit);
    } finally {
      segment.close();
    }
  }
  return end;
}

/** Returns where the journal goes on, as far as this segment says. */
function readSegment(
  segment: Segment,
  start: number,
  last: boolean,
  visit: (record: Replayed) => void,
): ReplayEnd {
  const { id } = segment;
  const bytes = segment.read(0, segment.size());
  const version = versionOf(bytes, id);
  const seed = seedOf(id, version);
  const extent = version === 0 ? NOTHING : readRecords(bytes, start, id, seed, visit);
  const next = { segment: id + 1, offset: 0, torn: 0 };
  // What follows is of a segment that had this file before.
  if (extent.ended) return next;
  const { offset } = extent;
  const endsWithFile = version > 0 && seed === 0;
  if (!last) {
    if (endsWithFile && offset === bytes.length) return next;
    throw damage(id, offset);
  }
  requireTorn(bytes, Math.max(offset, SEGMENT_HEAD_BYTES), id, seed);
  if (offset < bytes.length) segment.truncate(offset);
  if (endsWithFile) return { ...next, torn: bytes.length - offset };
  return { segment: id, offset, torn: Math.max(0, extent.batchEnd - offset) };
}

function readRecords(
  bytes: Buffer,
  start: number,
  segment: number,
  seed: number,
  visit: (record: Replayed) => void,
): Extent {
  let offset = start;
  let batchEnd = start;
  for (;;) {
    const length = wholeRecord(bytes, offset, seed);
    if (length === 0) return { offset, batchEnd, ended: false };
    const type = bytes[offset + RECORD_HEAD_BYTES] as RecordType;
    // Left over from a batch that was taken back, and written over in part.
    const outside = seed !== 0 && offset >= batchEnd && type !== RecordType.BATCH;
    if (outside) return { offset, batchEnd, ended: false };
    const reader = bounded(bytes, offset, length);
    if (type === RecordType.BATCH) batchEnd = batchIn(reader).end;
    else if (type !== RecordType.END) visit({ type, reader, segment, offset, length });
    offset += length;
    if (type === RecordType.END) return { offset, batchEnd, ended: true };
  }
}

/** Where a batch says that it begins and ends; version 1 does not say the end. */
function batchIn(reader: RecordReader): { readonly start: number; readonly end: number } {
  reader.raw(BATCH_MAGIC.length);
  const start = reader.f64();
  return { start, end: reader.left === 0 ? start : start + reader.f64() };
}

/** A reader of one record's payload, behind its type. */
function bounded(bytes: Buffer, offset: number, length: number): RecordReader {
  return new RecordReader(bytes.subarray(0, offset + length), offset + RECORD_HEAD_BYTES + 1);
}

/**
 * The length of the record at `offset` with its head, or 0 where there is none that checks in a
 * segment with this seed.
 */
export function wholeRecord(bytes: Buffer, offset: number, seed: number): number {
  const start = offset + RECORD_HEAD_BYTES;
  if (start >= bytes.length) return 0;
  const length = bytes.readUInt32BE(offset);
  if (length === 0 || start + length > bytes.length) return 0;
  const sum = crc32(bytes.subarray(start, start + length), seed);
  return sum === bytes.readUInt32BE(offset + 4) ? RECORD_HEAD_BYTES + length : 0;
}

function hasBegun(disk: Disk, id: number): boolean {
  const segment = disk.open(id);
  try {
    return versionOf(segment.read(0, SEGMENT_HEAD_BYTES), id) > 0;
  } finally {
    segment.close();
  }
}

/** The version in a segment's head; 0: nothing was written there yet. Throws StoreDamage. */
export function versionOf(bytes: Buffer, segment: number): number {
  const head = bytes.subarray(0, SEGMENT_HEAD_BYTES);
  if (head.length < SEGMENT_HEAD_BYTES || head.every((byte) => byte === 0)) return 0;
  if (head.toString('latin1', 0, 4) !== 'RMQJ') {
    throw new StoreDamage(`journal segment ${segment} does not begin as one`);
  }
  const version = head.readUInt32BE(4);
  if (version > FORMAT_VERSION) {
    throw new StoreDamage(
      `journal segment ${segment} has format ${version}, written by a newer version; this one knows ${FORMAT_VERSION}`,
    );
  }
  return version;
}

/**
 * A batch is written only when the one before it is safe: one that begins behind the broken place
 * says that the broken place had been safe.
 */
function requireTorn(bytes: Buffer, broken: number, segment: number, seed: number): void {
  for (
    let at = bytes.indexOf(BATCH_MAGIC, broken);
    at !== -1;
    at = bytes.indexOf(BATCH_MAGIC, at + 1)
  ) {
    const offset = at - RECORD_HEAD_BYTES - 1;
    const length = offset <= broken ? 0 : wholeRecord(bytes, offset, seed);
    if (length === 0 || bytes[offset + RECORD_HEAD_BYTES] !== RecordType.BATCH) continue;
    // What a publisher wrote into a body cannot know where it came to be.
    if (batchIn(bounded(bytes, offset, length)).start === offset) throw damage(segment, broken);
  }
}

function damage(segment: number, offset: number): StoreDamage {
  return new StoreDamage(
    `journal segment ${segment} is damaged at byte ${offset}: it was written there and does not check`,
  );
}
