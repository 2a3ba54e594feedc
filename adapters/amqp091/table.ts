/**
 * Field tables, as RabbitMQ writes them (AMQP 4.2.5.5 and RabbitMQ's errata):
 *
 *     t boolean   b B int8 s u int16 I i int32 (lower case unsigned, but b and s signed)   l int64
 *     f d float   D decimal   S text   x bytes   A array   F table   T seconds   V nothing
 *
 * Every value decodes to something that encodes to the same bytes again: what JavaScript has one
 * type for stays plain, the rest is `Typed`. The bytes are checked before they are decoded
 * (`scanTable`).
 */
import { isUtf8 } from 'node:buffer';
import { letterOf } from '../../core/envelope.ts';
import { type Headers, type HeaderTable, type HeaderValue, Typed } from '../../core/message.ts';
import { syntaxError } from './errors.ts';

/** Header names that mean something to the broker itself, as bits of what `scanTable` answers. */
export const Notable = { NONE: 0, CC: 1, BCC: 2, RETAIN: 4 } as const;

const NOTABLE_NAMES = new Map<string, number>([
  ['CC', Notable.CC],
  ['BCC', Notable.BCC],
  ['x-retain', Notable.RETAIN],
]);
const NOTABLE_LENGTHS = new Set([...NOTABLE_NAMES.keys()].map((name) => name.length));

const code = (letter: string): number => letter.charCodeAt(0);

/** Bytes of the types of one size; 255 for those that carry their own. */
const CARRIES_SIZE = 255;
const SIZES = new Map<number, number>([
  ...[...'tbB'].map((letter) => [code(letter), 1] as const),
  ...[...'su'].map((letter) => [code(letter), 2] as const),
  ...[...'Iif'].map((letter) => [code(letter), 4] as const),
  ...[...'lLdT'].map((letter) => [code(letter), 8] as const),
  [code('D'), 5],
  [code('V'), 0],
  ...[...'SxAF'].map((letter) => [code(letter), CARRIES_SIZE] as const),
]);
const TABLE = code('F');
const ARRAY = code('A');

/**
 * Checks the entries from `start` to `end` without building anything; answers which notable names
 * are there.
 */
export function scanTable(buffer: Buffer, start: number, end: number, depthMax: number): number {
  let found: number = Notable.NONE;
  let offset = start;
  while (offset < end) {
    const length = buffer[offset] as number;
    const name = offset + 1;
    offset = name + length;
    if (offset >= end) throw syntaxError('table entry is cut short');
    if (NOTABLE_LENGTHS.has(length)) {
      found |= NOTABLE_NAMES.get(buffer.toString('latin1', name, offset)) ?? Notable.NONE;
    }
    offset = skipValue(buffer, offset, end, depthMax);
  }
  return found;
}

/** Checks the value at `offset`, its letter first; answers where it ends. */
function skipValue(buffer: Buffer, offset: number, end: number, depthLeft: number): number {
  const letter = buffer[offset] as number;
  const size = SIZES.get(letter);
  if (size === undefined) throw syntaxError(`unknown field type ${letter} in table`);
  const start = offset + 1;
  if (size !== CARRIES_SIZE) {
    if (size > end - start) throw syntaxError('table value is cut short');
    return start + size;
  }
  if (end - start < 4) throw syntaxError('table value is cut short');
  const inner = start + 4;
  const length = buffer.readUInt32BE(start);
  if (length > end - inner) throw syntaxError('table value is cut short');
  const innerEnd = inner + length;
  if (letter !== TABLE && letter !== ARRAY) return innerEnd;
  if (depthLeft === 0) throw syntaxError('tables are nested too deeply');
  if (letter === TABLE) {
    scanTable(buffer, inner, innerEnd, depthLeft - 1);
    return innerEnd;
  }
  let item = inner;
  while (item < innerEnd) item = skipValue(buffer, item, innerEnd, depthLeft - 1);
  return innerEnd;
}

/** A table that came as a method's field. */
export function decodeTable(bytes: Buffer, depthMax: number): HeaderTable {
  scanTable(bytes, 0, bytes.length, depthMax);
  return new Map(decodeEntries(bytes, 0, bytes.length));
}

/** The entries of a checked table, in order, repeated names included. */
export function decodeEntries(buffer: Buffer, start: number, end: number): Headers {
  const entries: [string, HeaderValue][] = [];
  const cursor = { offset: start };
  while (cursor.offset < end) {
    const length = buffer[cursor.offset] as number;
    const name = buffer.toString('utf8', cursor.offset + 1, cursor.offset + 1 + length);
    cursor.offset += 1 + length;
    entries.push([name, decodeValue(buffer, cursor)]);
  }
  return entries;
}

function decodeValue(buffer: Buffer, cursor: { offset: number }): HeaderValue {
  const letter = String.fromCharCode(buffer[cursor.offset] as number);
  const start = cursor.offset + 1;
  const size = SIZES.get(letter.charCodeAt(0)) ?? 0;
  if (size !== CARRIES_SIZE) {
    cursor.offset = start + size;
    return decodeFixed(letter, buffer, start);
  }
  const inner = start + 4;
  const end = inner + buffer.readUInt32BE(start);
  cursor.offset = end;
  if (letter === 'F') return new Map(decodeEntries(buffer, inner, end));
  if (letter === 'A') {
    const items: HeaderValue[] = [];
    const item = { offset: inner };
    while (item.offset < end) items.push(decodeValue(buffer, item));
    return items;
  }
  const bytes = Buffer.from(buffer.subarray(inner, end));
  if (letter === 'x') return bytes;
  return isUtf8(bytes) ? bytes.toString('utf8') : new Typed('S', bytes);
}

function decodeFixed(letter: string, buffer: Buffer, offset: number): HeaderValue {
  switch (letter) {
    case 't':
      return buffer[offset] !== 0;
    case 'b':
      return new Typed('b', buffer.readInt8(offset));
    case 'B':
      return new Typed('B', buffer.readUInt8(offset));
    case 's':
      return new Typed('s', buffer.readInt16BE(offset));
    case 'u':
      return new Typed('u', buffer.readUInt16BE(offset));
    case 'I':
      return buffer.readInt32BE(offset);
    case 'i':
      return new Typed('i', buffer.readUInt32BE(offset));
    case 'l':
      return buffer.readBigInt64BE(offset);
    case 'L':
      // The letter of AMQP 4.2.1 that py-amqp writes, and signed, as RabbitMQ takes it too.
      return new Typed('L', buffer.readBigInt64BE(offset));
    case 'f':
      return new Typed('f', buffer.readFloatBE(offset));
    case 'd':
      return double(buffer.readDoubleBE(offset));
    case 'D':
      return new Typed('D', Buffer.from(buffer.subarray(offset, offset + 5)));
    case 'T':
      return timestamp(buffer.readBigUInt64BE(offset));
    default:
      return null;
  }
}

/** A double whose value an integer type would claim must say that it is one. */
function double(value: number): HeaderValue {
  return letterOf(value) === 'd' ? value : new Typed('d', value);
}

/** Seconds that a Date can hold, otherwise the number itself. */
function timestamp(seconds: bigint): HeaderValue {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? new Typed('T', seconds) : date;
}

/** Bytes of the entries, the table's own length not counted. Names must be short strings. */
export function entriesBytes(entries: Iterable<readonly [string, HeaderValue]>): number {
  let bytes = 0;
  for (const [name, value] of entries) bytes += 1 + Buffer.byteLength(name) + valueBytes(value);
  return bytes;
}

function valueBytes(value: HeaderValue): number {
  const letter = letterOf(value);
  const size = SIZES.get(letter.charCodeAt(0)) ?? 0;
  if (size !== CARRIES_SIZE) return 1 + size;
  if (typeof value === 'string') return 5 + Buffer.byteLength(value);
  const bytes = value instanceof Typed ? value.value : value;
  if (Buffer.isBuffer(bytes)) return 5 + bytes.length;
  if (isArray(value)) return value.reduce<number>((sum, item) => sum + valueBytes(item), 5);
  return 5 + entriesBytes(value as HeaderTable);
}

/** Writes the entries at `offset`; answers where they end. */
export function writeEntries(
  entries: Iterable<readonly [string, HeaderValue]>,
  into: Buffer,
  offset: number,
): number {
  let at = offset;
  for (const [name, value] of entries) {
    const length = into.write(name, at + 1, 'utf8');
    into[at] = length;
    at = writeValue(value, into, at + 1 + length);
  }
  return at;
}

/** A whole table, its length in front. */
export function encodeTable(entries: Iterable<readonly [string, HeaderValue]>): Buffer {
  const held = [...entries];
  const bytes = entriesBytes(held);
  const table = Buffer.allocUnsafe(4 + bytes);
  table.writeUInt32BE(bytes, 0);
  writeEntries(held, table, 4);
  return table;
}

function writeValue(value: HeaderValue, into: Buffer, offset: number): number {
  const letter = letterOf(value);
  into[offset] = code(letter);
  const start = offset + 1;
  const size = SIZES.get(code(letter)) ?? 0;
  if (size !== CARRIES_SIZE) {
    writeFixed(letter, value, into, start);
    return start + size;
  }
  const inner = start + 4;
  const end = writeSized(value, into, inner);
  into.writeUInt32BE(end - inner, start);
  return end;
}

function writeSized(value: HeaderValue, into: Buffer, offset: number): number {
  if (typeof value === 'string') return offset + into.write(value, offset, 'utf8');
  const bytes = value instanceof Typed ? value.value : value;
  if (Buffer.isBuffer(bytes)) {
    into.set(bytes, offset);
    return offset + bytes.length;
  }
  if (!isArray(value)) return writeEntries(value as HeaderTable, into, offset);
  let at = offset;
  for (const item of value) at = writeValue(item, into, at);
  return at;
}

/** Numbers that do not fit their type (a foreign protocol's text may name any) wrap, as in C. */
function writeFixed(letter: string, value: HeaderValue, into: Buffer, offset: number): void {
  const view = new DataView(into.buffer, into.byteOffset + offset);
  switch (letter) {
    case 't':
      view.setUint8(0, value === true ? 1 : 0);
      break;
    case 'b':
    case 'B':
      view.setUint8(0, numberOf(value));
      break;
    case 's':
    case 'u':
      view.setUint16(0, numberOf(value));
      break;
    case 'I':
    case 'i':
      view.setUint32(0, numberOf(value));
      break;
    case 'l':
    case 'L':
    case 'T':
      view.setBigUint64(0, BigInt.asUintN(64, bigintOf(value)));
      break;
    case 'f':
      view.setFloat32(0, numberOf(value));
      break;
    case 'd':
      view.setFloat64(0, numberOf(value));
      break;
    case 'D':
      into.set(decimalOf(value), offset);
      break;
  }
}

function bare(value: HeaderValue): HeaderValue {
  return value instanceof Typed ? value.value : value;
}

function numberOf(value: HeaderValue): number {
  return Number(bare(value));
}

function bigintOf(value: HeaderValue): bigint {
  const held = bare(value);
  if (typeof held === 'bigint') return held;
  const number = held instanceof Date ? Math.floor(held.getTime() / 1000) : Number(held);
  return Number.isFinite(number) ? BigInt(Math.trunc(number)) : 0n;
}

function decimalOf(value: HeaderValue): Buffer {
  const held = bare(value);
  return Buffer.isBuffer(held) && held.length === 5 ? held : Buffer.alloc(5);
}

function isArray(value: HeaderValue): value is readonly HeaderValue[] {
  return Array.isArray(value);
}
