/**
 * The journal's records on disk, format version 2.
 *
 *     segment = 'RMQJ' · version u32 · batches
 *     record  = length u32 · crc32 u32 · type u8 · payload        length and crc cover type and
 * payload
 *     MESSAGE = durable u8 · count u16 · count × (queue u32 · position f64) · message
 *     REMOVED = queue u32 · count u32 · count × (first position f64 · number u32)
 *     LENT    = queue u32 · position f64                          delivered at least up to here
 *     QUEUE   = queue u32 · name                                  a log begins
 *     DROPPED = queue u32                                         a log ends
 *     DEFINE  = kind · key · record, or UNDEFINE = kind · key
 *     SET     = table · key · value bytes, or UNSET = table · key
 *     BATCH   = magic · offset f64 · length f64                   everything before `offset` in this
 *                                                                 segment is safe; `length` with it
 *     DELIVERED = queue u32 · count u32 · count × (position f64 · times u32)
 *     END                                                         the next segment goes on
 *
 * Texts are u32 length and UTF-8. Integers are big-endian. A segment's checksums begin with its
 * number: what an earlier one left in a file that is used again is no record of it.
 *
 * In version 1 checksums began with 0, batches told no length, and a segment ended with its file.
 */
import { crc32 } from 'node:zlib';
import { type Format, Message, type Trail } from '../message.ts';
import type { Registry } from '../registry.ts';

export const FORMAT_VERSION = 2;
/** Segments up to this version end with their file, and are never used again. */
const UNSEEDED_VERSION = 1;

export const RecordType = {
  MESSAGE: 1,
  REMOVED: 2,
  LENT: 3,
  QUEUE: 4,
  DROPPED: 5,
  DEFINE: 6,
  UNDEFINE: 7,
  SET: 8,
  UNSET: 9,
  BATCH: 10,
  END: 11,
  DELIVERED: 12,
} as const;
export type RecordType = (typeof RecordType)[keyof typeof RecordType];

/** Length and checksum in front of each record. */
export const RECORD_HEAD_BYTES = 8;
/** Marks the beginning of a batch, to be found again behind a damaged place. */
export const BATCH_MAGIC = Buffer.from('\u00abRMQ-BATCH\u00bb', 'latin1');
/** A BATCH as a whole. */
export const BATCH_BYTES = RECORD_HEAD_BYTES + 1 + BATCH_MAGIC.length + 8 + 8;
/** Bodies from here on are written from where they are, without a copy. */
const PASS_BYTES = 8192;
export const BLOCK_BYTES = 64 * 1024;
/** Texts up to so many characters are written in JavaScript where they are ASCII. */
const SHORT_TEXT = 64;
const NOTHING = Buffer.alloc(0);

/** What the checksums of a segment of this version begin with. */
export function seedOf(segment: number, version: number): number {
  return version <= UNSEEDED_VERSION ? 0 : segment;
}

/** What a batch of so many bytes, this record's included, begins with. */
export function batchMark(segment: number, offset: number, length: number): Buffer[] {
  const writer = new RecordWriter(segment, Buffer.allocUnsafe(BATCH_BYTES));
  writer.begin(RecordType.BATCH);
  writer.raw(BATCH_MAGIC);
  writer.f64(offset);
  writer.f64(length);
  writer.end();
  return writer.take();
}

/** Encodes the records of one batch, one after the other. */
export class RecordWriter {
  readonly #seed: number;
  #buffer: Buffer;
  /** Of `#buffer`: what is not yet a piece, the record being written, the next byte. */
  #from = 0;
  #record = 0;
  #at = 0;
  readonly #pieces: Buffer[] = [];
  #bytes = 0;

  /**
   * `seed` is what checksums begin with: the segment's number. `block` is written first: it is free
   * again when what `take` gave is done with.
   */
  constructor(seed: number, block: Buffer) {
    this.#seed = seed;
    this.#buffer = block;
  }

  /** Bytes of the records so far. */
  get length(): number {
    return this.#bytes + this.#at - this.#from;
  }

  begin(type: RecordType): void {
    this.#record = this.#at;
    this.#reserve(RECORD_HEAD_BYTES + 1);
    this.#at += RECORD_HEAD_BYTES;
    this.u8(type);
  }

  /** Ends the record with `tail`, which is passed on uncopied where it is large. */
  end(tail: Buffer = NOTHING): void {
    const small = tail.length < PASS_BYTES;
    if (small) this.raw(tail);
    const start = this.#record + RECORD_HEAD_BYTES;
    const head = crc32(this.#buffer.subarray(start, this.#at), this.#seed);
    const length = this.#at - start + (small ? 0 : tail.length);
    putLong(this.#buffer, this.#record, length);
    putLong(this.#buffer, this.#record + 4, small ? head : crc32(tail, head));
    this.#record = this.#at;
    if (small) return;
    this.#cut();
    this.#pieces.push(tail);
    this.#bytes += tail.length;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#at++] = value;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#buffer[this.#at++] = value >>> 8;
    this.#buffer[this.#at++] = value & 0xff;
  }

  u32(value: number): void {
    this.#reserve(4);
    putLong(this.#buffer, this.#at, value);
    this.#at += 4;
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#at = this.#buffer.writeDoubleBE(value, this.#at);
  }

  text(value: string): void {
    // Three bytes are the most that one UTF-16 unit takes.
    this.#reserve(4 + 3 * value.length);
    const start = this.#at + 4;
    const end = start + this.#putText(value, start);
    putLong(this.#buffer, this.#at, end - start);
    this.#at = end;
  }

  raw(bytes: Buffer): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Returns how many bytes it took. A name is short and ASCII: not worth a call into C++. */
  #putText(value: string, start: number): number {
    const { length } = value;
    if (length <= SHORT_TEXT) {
      let i = 0;
      for (; i < length; i++) {
        const code = value.charCodeAt(i);
        if (code > 0x7f) break;
        this.#buffer[start + i] = code;
      }
      if (i === length) return length;
    }
    return this.#buffer.write(value, start, 'utf8');
  }

  /** Everything written, in order. */
  take(): Buffer[] {
    this.#cut();
    return this.#pieces;
  }

  #cut(): void {
    if (this.#at === this.#from) return;
    this.#pieces.push(this.#buffer.subarray(this.#from, this.#at));
    this.#bytes += this.#at - this.#from;
    this.#from = this.#at;
  }

  /** Makes room; a record that does not fit moves to a larger block as a whole. */
  #reserve(size: number): void {
    if (this.#at + size <= this.#buffer.length) return;
    const begun = this.#buffer.subarray(this.#record, this.#at);
    if (this.#record > this.#from) {
      this.#pieces.push(this.#buffer.subarray(this.#from, this.#record));
      this.#bytes += this.#record - this.#from;
    }
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES, 2 * (begun.length + size)));
    this.#buffer.set(begun, 0);
    this.#from = 0;
    this.#record = 0;
    this.#at = begun.length;
  }
}

function putLong(buffer: Buffer, at: number, value: number): void {
  buffer[at] = value >>> 24;
  buffer[at + 1] = (value >>> 16) & 0xff;
  buffer[at + 2] = (value >>> 8) & 0xff;
  buffer[at + 3] = value & 0xff;
}

/** Reads the payload of one record; the caller has checked its checksum. */
export class RecordReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#skip(1));
  }

  u16(): number {
    return this.#bytes.readUInt16BE(this.#skip(2));
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#skip(4));
  }

  f64(): number {
    return this.#bytes.readDoubleBE(this.#skip(8));
  }

  text(): string {
    const length = this.u32();
    const start = this.#skip(length);
    return this.#bytes.toString('utf8', start, start + length);
  }

  raw(length: number): Buffer {
    const start = this.#skip(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Passes over so many bytes. */
  skip(length: number): void {
    this.#skip(length);
  }

  /** Bytes that were not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at);
  }

  #skip(length: number): number {
    const start = this.#at;
    this.#at += length;
    return start;
  }
}

const DURABLE = 1;
const RETAIN = 2;

/** Writes a message up to its body, which ends the record. */
export function writeMessage(writer: RecordWriter, message: Message): void {
  writer.text(message.format.name);
  writer.text(message.exchange);
  writer.text(message.routingKey);
  writer.u8((message.durable ? DURABLE : 0) | (message.retain ? RETAIN : 0));
  writer.u8(message.priority);
  writer.f64(message.expiresAt);
  writer.f64(message.receivedAt);
  writer.u16(message.copies?.length ?? 0);
  for (const copy of message.copies ?? []) writer.text(copy);
  writer.text(message.trail === null ? '' : JSON.stringify(message.trail));
  writer.u32(message.native.length);
  writer.raw(message.native);
}

/** The inverse of `writeMessage` and body. Throws where nobody knows the message's format. */
export function readMessage(reader: RecordReader, formats: Registry<Format>): Message {
  const name = reader.text();
  const format = formats.find(name);
  if (format === undefined) throw new Error(`a message is stored in the unknown format '${name}'`);
  const exchange = reader.text();
  const routingKey = reader.text();
  const flags = reader.u8();
  const priority = reader.u8();
  const expiresAt = reader.f64();
  const receivedAt = reader.f64();
  const copies = Array.from({ length: reader.u16() }, () => reader.text());
  const trail = reader.text();
  const native = reader.raw(reader.u32());
  return new Message(
    format,
    native,
    reader.rest(),
    exchange,
    routingKey,
    (flags & DURABLE) !== 0,
    priority,
    expiresAt,
    receivedAt,
    (flags & RETAIN) !== 0,
    copies.length === 0 ? null : copies,
    trail === '' ? null : (JSON.parse(trail) as Trail),
  );
}

/** Where values are written before they are copied as they are. */
const SCRATCH = Buffer.allocUnsafeSlow(BLOCK_BYTES);

/** A message as the value of a table. */
export function encodeMessage(message: Message): Buffer {
  const writer = new RecordWriter(0, SCRATCH);
  writeMessage(writer, message);
  writer.raw(message.body);
  return Buffer.concat(writer.take());
}
