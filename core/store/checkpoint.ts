/**
 * The state of a store at one place of its journal, in LMDB: definitions, tables, and for each
 * queue its index. A restart reads it and replays the journal from that place on.
 */
import { open, type RootDatabase } from 'lmdb';
import { breakSeal, brokenSeal, seal } from './checkpoint-seal.ts';
import { StoreDamage } from './replay.ts';

export type Key = readonly (string | number)[];

/** Null removes. Bytes as a key are a table's (`table-key.ts`). */
export type Change = readonly [key: Key | Buffer, value: Buffer | null];

/** What one checkpoint changes. */
export type Changes = readonly Change[];

/** Where the journal stands. */
export interface Place {
  readonly segment: number;
  readonly offset: number;
}

const META: Key = ['meta'];

/**
 * Since 3 tables' entries have keys of their own, and queue indexes are pages and summaries. Older
 * ones are read.
 */
const CHECKPOINT_VERSION = 3;

interface Meta extends Place {
  readonly version: number;
}

export class CheckpointFile {
  readonly #path: string;
  readonly #database: RootDatabase<Buffer, (string | number)[] | Buffer>;
  #closed = false;

  /** Throws StoreDamage where it is damaged, of a newer version, or not a store. */
  constructor(path: string) {
    this.#path = path;
    const broken = brokenSeal(path);
    if (broken !== null) throw new StoreDamage(broken);
    try {
      this.#database = open({ path, encoding: 'binary', noSubdir: true, compression: false });
    } catch (error) {
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
  *entries(prefix: string): Iterable<readonly [key: Key, value: Buffer]> {
    for (const { key, value } of this.#database.getRange({ start: [prefix], end: [prefix, END] })) {
      if (!Buffer.isBuffer(key)) yield [key, Buffer.from(value)];
    }
  }

  /** As the last checkpoint has it, or the one that is being written; null: not at all. */
  get(key: Key | Buffer): Buffer | null {
    if (this.#closed) return null;
    const bytes = this.#database.getBinary(lmdbKey(key));
    return bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  has(key: Buffer): boolean {
    return !this.#closed && this.#database.getBinaryFast(key) !== undefined;
  }

  /** Keys that are bytes, in order from `start` up to `end`, at most so many. */
  keys(start: Buffer, end: Buffer, most: number): Buffer[] {
    if (this.#closed) return [];
    const keys = this.#database.getKeys({ start, end, limit: most });
    return [...keys].filter((key) => Buffer.isBuffer(key));
  }

  /** Changes and place as one; resolved when they are on the disk. */
  async write(changes: Changes, place: Place): Promise<void> {
    const database = this.#database;
    await breakSeal(this.#path);
    await database.transaction(() => {
      for (const [key, value] of changes) {
        if (value === null) void database.remove(lmdbKey(key));
        else void database.put(lmdbKey(key), value);
      }
      const meta = { version: CHECKPOINT_VERSION, ...place };
      void database.put([...META], Buffer.from(JSON.stringify(meta)));
    });
    await database.flushed;
    // What is read from here on is this checkpoint's.
    database.resetReadTxn();
    await seal(this.#path);
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

function lmdbKey(key: Key | Buffer): (string | number)[] | Buffer {
  return Buffer.isBuffer(key) ? key : [...key];
}

/** Above every key element that we use. */
const END = '\uffff';
