/**
 * Definitions and tables: each change is in the journal, and memory has only what changed since the
 * last checkpoint.
 */
import { createHash } from 'node:crypto';
import type { Definitions } from '../store.ts';
import { entriesOf, type Table } from '../table.ts';
import type { Change, Changes, CheckpointFile } from './checkpoint.ts';
import { RecordReader, RecordType, type RecordWriter } from './records.ts';
import { Tables } from './tables.ts';

type Write = (item: (writer: RecordWriter) => void) => void;

/** LMDB's keys have a limit; a longer name stands under its hash, and whole in the value. */
const KEY_CHARACTERS_MAX = 400;

/**
 * One kind of definition: what changed since the last checkpoint began, and what that one is
 * writing, or could not write. Null is what is gone.
 */
interface Kind {
  fresh: Map<string, Buffer | null>;
  frozen: ReadonlyMap<string, Buffer | null>;
}

const NOTHING: ReadonlyMap<string, Buffer | null> = new Map();

export class Space implements Definitions {
  readonly #write: Write;
  readonly #kinds = new Map<string, Kind>();
  readonly #tables = new Tables();
  #checkpoint: CheckpointFile | null = null;
  /** Keys of tables in a checkpoint of version 2, which the next one is without. */
  #former: Change[] = [];

  constructor(write: Write) {
    this.#write = write;
  }

  put(kind: string, key: string, record: string): void {
    const value = Buffer.from(record);
    if (this.#definition(kind, key)?.equals(value) === true) return;
    this.#kind(kind).fresh.set(key, value);
    this.#record(RecordType.DEFINE, kind, key, value);
  }

  delete(kind: string, key: string): void {
    if (this.#definition(kind, key) === null) return;
    this.#kind(kind).fresh.set(key, null);
    this.#record(RecordType.UNDEFINE, kind, key);
  }

  *entries(kind: string): Iterable<readonly [string, string]> {
    const { fresh, frozen } = this.#kind(kind);
    const changed = new Map([...frozen, ...fresh]);
    for (const [, bytes] of this.#checkpoint?.entries('definition', kind) ?? []) {
      const reader = new RecordReader(bytes);
      const key = reader.text();
      if (!changed.has(key)) yield [key, reader.rest().toString()];
    }
    for (const [key, value] of changed) if (value !== null) yield [key, value.toString()];
  }

  table(name: string): Table {
    const tables = this.#tables;
    const table: Table = {
      get size() {
        return tables.size(name);
      },
      has: (key) => tables.has(name, key),
      get: (key) => tables.get(name, key),
      set: (key, value) => {
        tables.set(name, key, value);
        this.#record(RecordType.SET, name, key, value);
      },
      delete: (key) => {
        if (tables.delete(name, key)) this.#record(RecordType.UNSET, name, key);
      },
      keys: (from = '') => tables.keys(name, from),
      entries: (prefix) => entriesOf(table, prefix),
    };
    return table;
  }

  /** A record of the journal, read back. */
  apply(type: RecordType, reader: RecordReader): void {
    const name = reader.text();
    const key = reader.text();
    // Copied: the reader's bytes are a whole segment.
    const value = Buffer.from(reader.rest());
    if (type === RecordType.DEFINE) this.#kind(name).fresh.set(key, value);
    else if (type === RecordType.UNDEFINE) this.#kind(name).fresh.set(key, null);
    else if (type === RecordType.SET) this.#tables.set(name, key, value);
    else this.#tables.delete(name, key);
  }

  load(checkpoint: CheckpointFile): void {
    this.#checkpoint = checkpoint;
    this.#tables.load(checkpoint);
    for (const [stored, value] of checkpoint.entries('table')) {
      const reader = new RecordReader(value);
      const key = reader.text();
      // A long name with zeros in it is several parts by now.
      const whole = stored.slice(1).join('\0');
      const name = whole.slice(0, -shortened(key).length - 1);
      this.#tables.set(name, key, reader.rest());
      this.#former.push([stored, null]);
    }
  }

  /** What changed since the last call. */
  takeChanges(): Changes {
    const changes = this.#former;
    this.#former = [];
    for (const [name, kind] of this.#kinds) {
      if (kind.fresh.size === 0) continue;
      for (const [key, value] of kind.fresh) {
        const whole = value === null ? null : Buffer.concat([text(key), value]);
        changes.push([['definition', name, shortened(key)], whole]);
      }
      kind.frozen = new Map([...kind.frozen, ...kind.fresh]);
      kind.fresh = new Map();
    }
    for (const change of this.#tables.takeChanges()) changes.push(change);
    return changes;
  }

  /** All changes that were taken are on the disk. */
  written(): void {
    for (const kind of this.#kinds.values()) kind.frozen = NOTHING;
    this.#tables.written();
  }

  /** Null: there is none. */
  #definition(kind: string, key: string): Buffer | null {
    const { fresh, frozen } = this.#kind(kind);
    const changed = fresh.has(key) ? fresh.get(key) : frozen.get(key);
    if (changed !== undefined) return changed;
    const stored = this.#checkpoint?.get(['definition', kind, shortened(key)]) ?? null;
    if (stored === null) return null;
    const reader = new RecordReader(stored);
    reader.text();
    return reader.rest();
  }

  #kind(name: string): Kind {
    let kind = this.#kinds.get(name);
    if (kind === undefined) {
      kind = { fresh: new Map(), frozen: NOTHING };
      this.#kinds.set(name, kind);
    }
    return kind;
  }

  #record(type: RecordType, name: string, key: string, value?: Buffer): void {
    this.#write((writer) => {
      writer.begin(type);
      writer.text(name);
      writer.text(key);
      writer.end(value);
    });
  }
}

function text(key: string): Buffer {
  const bytes = Buffer.from(key);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function shortened(key: string): string {
  if (key.length <= KEY_CHARACTERS_MAX) return key;
  return `sha256:${createHash('sha256').update(key).digest('hex')}`;
}
