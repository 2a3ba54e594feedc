/**
 * What a checkpoint's file was when it was written: its size and CRC-32, in a small file beside it.
 * LMDB has no checksums. It reads a damaged file as one with less in it, or takes the process down:
 * so the file is held against its seal first. While a checkpoint is written there is none.
 */
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';

interface Seal {
  readonly size: number;
  readonly crc: number;
}

const CHUNK_BYTES = 1024 * 1024;
/** So much is read in one turn. */
const PAUSE_BYTES = 16 * CHUNK_BYTES;
/** Why the file cannot be used; null: it is as it was written, or nothing is known of it. */
export function brokenSeal(path: string): string | null {
  const seal = sealOf(path);
  if (seal === null) return null;
  if (!existsSync(path)) return `${path} is missing`;
  const { size } = statSync(path);
  if (size === seal.size && crcOf(path) === seal.crc) return null;
  return `${path} is damaged: it is not what was written there`;
}

/** Resolved when the file may be changed: its seal is gone, also after a power failure. */
export async function breakSeal(path: string): Promise<void> {
  rmSync(sealPath(path), { force: true });
  const directory = await open(dirname(path));
  await directory.sync().finally(() => directory.close());
}

/**
 * Seals the file of a checkpoint that is on the disk. The seal itself need not be: none, or half of
 * one, says nothing wrong.
 */
export async function seal(path: string): Promise<void> {
  const made: Seal = await digestOf(path, () => stat(path));
  const draft = `${sealPath(path)}.new`;
  writeFileSync(draft, JSON.stringify(made));
  renameSync(draft, sealPath(path));
}

function sealPath(path: string): string {
  return `${path}.seal`;
}

/** Null where there is none, as beside the files of older versions. */
function sealOf(path: string): Seal | null {
  try {
    return JSON.parse(readFileSync(sealPath(path), 'utf8')) as Seal;
  } catch {
    return null;
  }
}

/** `pause` is awaited now and then, so that others get their turn. */
async function digestOf(
  path: string,
  pause: () => Promise<unknown>,
): Promise<{ readonly size: number; readonly crc: number }> {
  let digest = { size: 0, crc: 0 };
  for (digest of digests(path)) if (digest.size % PAUSE_BYTES === 0) await pause();
  return digest;
}

function crcOf(path: string): number {
  let last = 0;
  for (const { crc } of digests(path)) last = crc;
  return last;
}

/** Of more and more of a file, up to all of it. */
function* digests(path: string): Iterable<{ readonly size: number; readonly crc: number }> {
  const descriptor = openSync(path, 'r');
  try {
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    let [size, crc] = [0, 0];
    for (;;) {
      const read = readSync(descriptor, chunk, 0, CHUNK_BYTES, null);
      if (read === 0) return;
      crc = crc32(chunk.subarray(0, read), crc);
      size += read;
      yield { size, crc };
    }
  } finally {
    closeSync(descriptor);
  }
}
