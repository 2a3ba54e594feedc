/** Reads a journal back after a restart, and tells a torn end from damage. */
import { crc32 } from 'node:zlib';
import { SEGMENT_HEAD_BYTES } from './journal.ts';
import {
  BATCH_MAGIC,
  FORMAT_VERSION,
  RECORD_HEAD_BYTES,
  RecordReader,
  RecordType,
} from './records.ts';
import type { Disk } from './segment.ts';

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
  /** Bytes behind the end that were never made safe, and are cut off. */
  readonly torn: number;
}

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
  let end: ReplayEnd = { ...from, torn: 0 };
  for (const [index, id] of ids.entries()) {
    const segment = disk.open(id);
    try {
      const bytes = segment.read(0, segment.size());
      if (bytes.length >= SEGMENT_HEAD_BYTES) requireHead(bytes, id);
      const start =
        id === from.segment ? Math.max(from.offset, SEGMENT_HEAD_BYTES) : SEGMENT_HEAD_BYTES;
      // A segment that ends within its own head had nothing in it yet.
      const offset = bytes.length < SEGMENT_HEAD_BYTES ? 0 : readRecords(bytes, start, id, visit);
      const torn = Math.max(0, bytes.length - offset);
      if (torn > 0 && index < ids.length - 1) throw damage(id, offset);
      if (torn > 0) requireTorn(bytes, offset, id);
      if (torn > 0) segment.truncate(offset);
      end = { segment: id, offset: Math.min(offset, bytes.length), torn };
    } finally {
      segment.close();
    }
  }
  return end;
}

/** Returns where the first record begins that is not whole. */
function readRecords(
  bytes: Buffer,
  start: number,
  segment: number,
  visit: (record: Replayed) => void,
): number {
  let offset = start;
  for (let length = wholeRecord(bytes, offset); length > 0; length = wholeRecord(bytes, offset)) {
    const reader = new RecordReader(bytes, offset + RECORD_HEAD_BYTES);
    visit({
      type: reader.u8() as RecordType,
      reader: bounded(bytes, offset, length),
      segment,
      offset,
      length,
    });
    offset += length;
  }
  return offset;
}

/** A reader of one record's payload, behind its type. */
function bounded(bytes: Buffer, offset: number, length: number): RecordReader {
  return new RecordReader(bytes.subarray(0, offset + length), offset + RECORD_HEAD_BYTES + 1);
}

/** The length of the record at `offset` with its head, or 0 where there is none that checks. */
export function wholeRecord(bytes: Buffer, offset: number): number {
  const start = offset + RECORD_HEAD_BYTES;
  if (start >= bytes.length) return 0;
  const length = bytes.readUInt32BE(offset);
  if (length === 0 || start + length > bytes.length) return 0;
  const sum = crc32(bytes.subarray(start, start + length));
  return sum === bytes.readUInt32BE(offset + 4) ? RECORD_HEAD_BYTES + length : 0;
}

function requireHead(bytes: Buffer, segment: number): void {
  const version = bytes.readUInt32BE(4);
  if (bytes.toString('latin1', 0, 4) !== 'RMQJ') {
    throw new StoreDamage(`journal segment ${segment} does not begin as one`);
  }
  if (version > FORMAT_VERSION) {
    throw new StoreDamage(
      `journal segment ${segment} has format ${version}, written by a newer version; this one knows ${FORMAT_VERSION}`,
    );
  }
}

/**
 * A batch is written only when the one before it is safe: one that begins behind the broken place
 * says that the broken place had been safe.
 */
function requireTorn(bytes: Buffer, broken: number, segment: number): void {
  for (
    let at = bytes.indexOf(BATCH_MAGIC, broken);
    at !== -1;
    at = bytes.indexOf(BATCH_MAGIC, at + 1)
  ) {
    const offset = at - RECORD_HEAD_BYTES - 1;
    if (offset <= broken || wholeRecord(bytes, offset) === 0) continue;
    if (bytes[offset + RECORD_HEAD_BYTES] === RecordType.BATCH) throw damage(segment, broken);
  }
}

function damage(segment: number, offset: number): StoreDamage {
  return new StoreDamage(
    `journal segment ${segment} is damaged at byte ${offset}: it was written there and does not check`,
  );
}
