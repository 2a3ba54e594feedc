/**
 * Keys of tables' entries in LMDB, in the order that the tables' keys have:
 *
 *     3 · table u32 · key in UTF-16BE                       below KEY_UNITS_MAX units of UTF-16
 *     3 · table u32 · the first of these units · SHA-256    longer; the value begins with the key
 *
 * LMDB takes at most 1978 bytes. UTF-16 with the high byte first sorts as JavaScript's `<` does.
 * What begins with 3 is none of LMDB's own kinds of key, and is left as it is.
 */
import { createHash } from 'node:crypto';
import { RecordReader } from './records.ts';

/** A key of the table with this number. */
export interface TableKey {
  readonly table: number;
  readonly key: string;
}

const MARK = 3;
const HEAD_BYTES = 5;
const KEY_UNITS_MAX = 960;
const HASH_BYTES = 32;
const LONG_BYTES = HEAD_BYTES + 2 * KEY_UNITS_MAX + HASH_BYTES;

function isLong(key: string): boolean {
  return key.length >= KEY_UNITS_MAX;
}

export function storedKey({ table, key }: TableKey): Buffer {
  const start = storedStart(table, key);
  if (!isLong(key)) return start;
  return Buffer.concat([start, createHash('sha256').update(key, 'utf16le').digest()]);
}

/** Nothing below it is of `key` or above. */
export function storedStart(table: number, key: string): Buffer {
  const units = Math.min(key.length, KEY_UNITS_MAX);
  const stored = Buffer.allocUnsafe(HEAD_BYTES + 2 * units);
  stored[0] = MARK;
  stored.writeUInt32BE(table, 1);
  const bytes = stored.subarray(HEAD_BYTES);
  bytes.write(key, 'utf16le');
  bytes.swap16();
  return stored;
}

/** Above every key of the table. */
export function storedEnd(table: number): Buffer {
  return storedStart(table + 1, '');
}

/** The key, for which the bytes are turned around; null: it is long, and begins the value. */
export function keyOf(stored: Buffer): string | null {
  if (stored.length === LONG_BYTES) return null;
  return stored.subarray(HEAD_BYTES).swap16().toString('utf16le');
}

/** Above all long keys that begin as this one does. */
export function groupEnd(stored: Buffer): Buffer {
  return Buffer.concat([stored.subarray(0, LONG_BYTES - HASH_BYTES), ABOVE_HASHES]);
}

/** A value as it is stored: a long key is in front of it. */
export function storedValue(key: string, value: Buffer): Buffer {
  if (!isLong(key)) return value;
  const bytes = Buffer.from(key, 'utf16le');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes, value]);
}

export function bareValue(key: string, stored: Buffer): Buffer {
  return isLong(key) ? longEntry(stored).value : stored;
}

/** The long key that a stored value begins with, and what is behind it. */
export function longEntry(stored: Buffer): { readonly key: string; readonly value: Buffer } {
  const reader = new RecordReader(stored);
  const key = reader.raw(reader.u32()).toString('utf16le');
  return { key, value: reader.rest() };
}

const ABOVE_HASHES = Buffer.alloc(HASH_BYTES, 0xff);
