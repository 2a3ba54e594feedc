/**
 * The state of a store at one place of its journal, in LMDB: definitions, tables, and for each
 * queue its index. A restart reads it and replays the journal from that place on.
 */
import { accessSync, constants, rmSync, statSync, writeFileSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { open, type RootDatabase } from 'lmdb';
import { breakSeal, brokenSeal, seal } from './checkpoint-seal.ts';
import { systemError } from './refusal.ts';
import { StoreDamage } from './replay.ts';
import { storedKey, storedValue, type TableKey } from './table-key.ts';

export type Key = readonly (string | number)[];

/** Null removes. */
export type Change = readonly [key: Key | TableKey, value: Buffer | null];

/** What one checkpoint changes. */
export type Changes = readonly Change[];

/** Where the journal stands. */
export interface Place {
  readonly segment: number;
  readonly offset: number;
}

const META: Key = ['meta'];
/** More than LMDB's lock file takes. */
const LOCK_BYTES = 16 * 1024;
/** What stat(2) counts in. */
const BLOCK_BYTES = 512;

/**
 * Since 3 tables' entries have keys of their own, and queue indexes are pages and summaries. Older
 * ones are read.
 */
const CHECKPOINT_VERSION = 3;

/** Names tables some of whose entries are newer than the rest of the checkpoint. */
export const UNFINISHED = 'unfinished';
/** Entries of tables that are written in one turn; a busy process has few turns a second. */
const SLICE_CHANGES = 16_384;
const NOTHING = Buffer.alloc(0);

interface Meta extends Place {
  readonly version: number;
}

export class CheckpointFile {
  readonly #path: string;
  readonly #database: RootDatabase<Buffer, (string | number)[] | Buffer>;
  #closed = false;

  /**
   * Throws StoreDamage where it is damaged, of a newer version, or not a store, and what the system
   * throws where it cannot be used. `makeRoom` is called on a full disk; false: it has made none.
   */
  constructor(path: string, makeRoom: () => boolean) {
    this.#path = path;
    prepare(path, makeRoom);
    const broken = brokenSeal(path);
    if (broken !== null) throw new StoreDamage(broken);
    try {
      this.#database = open({
        path,
        encoding: 'binary',
        noSubdir: true,
        compression: false,
        // Batches of its own have a promise that nobody is given, which a failed commit rejects.
        eventTurnBatching: false,
      });
    } catch (error) {
      const { code } = error as { readonly code?: unknown };
      if (typeof code === 'number' && code > 0)
        throw systemError(getSystemErrorName(-code), 'open', path);
      throw new StoreDamage(`${path} cannot be opened: ${String(error)}`);
    }
    const version = this.#meta()?.version ?? CHECKPOINT_VERSION;
    if (version > CHECKPOINT_VERSION) {
      throw new StoreDamage(
        `${path} has format ${version}, written by a newer version; this one knows ${CHECKPOINT_VERSION}`,
      );
    }
  }

  /** Where to replay from; null: there was no checkpoint yet. */
  get place(): Place | null {
    const meta = this.#meta();
    return meta === null ? null : { segment: meta.segment, offset: meta.offset };
  }

  /** Keys that begin with `prefix`, in order. */
  *keysOf(prefix: string): Iterable<Key> {
    for (const key of this.#database.getKeys({ start: [prefix], end: [prefix, END] })) {
      if (!Buffer.isBuffer(key)) yield key;
    }
  }

  /** Entries whose key begins with `prefix`. */
  *entries(...prefix: string[]): Iterable<readonly [key: Key, value: Buffer]> {
    const range = { start: prefix, end: [...prefix, END] };
    for (const { key, value } of this.#database.getRange(range)) {
      if (!Buffer.isBuffer(key)) yield [key, Buffer.from(value)];
    }
  }

  /** As the last checkpoint has it, or the one that is being written; null: not at all. */
  get(key: Key | TableKey | Buffer): Buffer | null {
    if (this.#closed) return null;
    const bytes = this.#database.getBinary(lmdbKey(key));
    return bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  has(key: TableKey): boolean {
    return !this.#closed && this.#database.getBinaryFast(lmdbKey(key)) !== undefined;
  }

  /** Keys that are bytes, in order from `start` up to `end`, at most so many. */
  keys(start: Buffer, end: Buffer, most: number): Buffer[] {
    if (this.#closed) return [];
    const keys = this.#database.getKeys({ start, end, limit: most });
    return [...keys].filter((key) => Buffer.isBuffer(key));
  }

  /** How many keys that are bytes there are from `start` up to `end`. */
  count(start: Buffer, end: Buffer): number {
    return this.#database.getKeysCount({ start, end });
  }

  /** Changes and place as one; resolved when they are on the disk. */
  async write(changes: Changes, place: Place): Promise<void> {
    await breakSeal(this.#path);
    const later = await this.#writeAhead(changes);
    const finished = [...this.keysOf(UNFINISHED)].map((key): Change => [key, null]);
    const meta = Buffer.from(JSON.stringify({ version: CHECKPOINT_VERSION, ...place }));
    await this.#commit([...later, ...finished, [META, meta]]);
    await this.#database.flushed;
    await seal(this.#path);
  }

  /**
   * Tables' entries may be written bit by bit, so that others get their turn: the journal from the
   * former place on has all of them. Only their counts are wrong until everything is written, which
   * is noted. Returns what is to be written as one.
   */
  async #writeAhead(changes: Changes): Promise<Changes> {
    const entries = changes.filter(([key]) => isTableKey(key));
    if (entries.length <= SLICE_CHANGES) return changes;
    const tables = new Set<number>();
    for (const [key] of entries) if (isTableKey(key)) tables.add(key.table);
    await this.#commit([...tables].map((table) => [[UNFINISHED, table], NOTHING]));
    for (let at = 0; at < entries.length; at += SLICE_CHANGES) {
      await this.#commit(entries.slice(at, at + SLICE_CHANGES));
    }
    return changes.filter(([key]) => !isTableKey(key));
  }

  async #commit(changes: Changes): Promise<void> {
    const transaction = this.#database.transaction(() => {
      for (const [key, value] of changes) {
        if (value === null) void this.#database.remove(lmdbKey(key));
        else
          void this.#database.put(
            lmdbKey(key),
            isTableKey(key) ? storedValue(key.key, value) : value,
          );
      }
    });
    await transaction.catch(async (error: unknown) => {
      throw await commitError(error);
    });
    // What is read from here on has it.
    this.#database.resetReadTxn();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#database.close();
  }

  #meta(): Meta | null {
    const bytes = this.#database.get([...META]);
    return bytes === undefined ? null : JSON.parse(bytes.toString());
  }
}

function isTableKey(key: Key | TableKey | Buffer): key is TableKey {
  return 'table' in key;
}

function lmdbKey(key: Key | TableKey | Buffer): (string | number)[] | Buffer {
  if (Buffer.isBuffer(key)) return key;
  return isTableKey(key) ? storedKey(key) : [...key];
}

/** Finds out what the system would refuse, where LMDB would say less of it, or die of it. */
function prepare(path: string, makeRoom: () => boolean): void {
  const lock = `${path}-lock`;
  for (const file of [path, lock, `${path}.seal`]) {
    const stats = statSync(file, { throwIfNoEntry: false });
    if (stats?.isDirectory() === true) throw systemError('EISDIR', 'open', file);
    if (stats !== undefined) accessSync(file, constants.R_OK | constants.W_OK);
  }
  // LMDB maps it into memory: a disk without room for it there would end the process.
  const blocks = statSync(lock, { throwIfNoEntry: false })?.blocks ?? 0;
  if (blocks * BLOCK_BYTES < LOCK_BYTES) writeWhole(lock, Buffer.alloc(LOCK_BYTES), makeRoom);
}

function writeWhole(file: string, bytes: Buffer, makeRoom: () => boolean): void {
  for (;;) {
    try {
      writeFileSync(file, bytes);
      return;
    } catch (error) {
      rmSync(file, { force: true });
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC' || !makeRoom()) throw error;
    }
  }
}

/** What LMDB says of a failed commit, which it tells later than that it failed. */
async function commitError(error: unknown): Promise<unknown> {
  const { commitError } = error as { readonly commitError?: Promise<never> };
  return (await commitError?.catch((reason: unknown) => reason)) ?? error;
}

/** Above every key element that we use. */
const END = '\uffff';
