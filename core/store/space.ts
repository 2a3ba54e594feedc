/** Definitions and tables: small values by name, in memory, each change in the journal. */
import { createHash } from 'node:crypto';
import type { Table } from '../engine.ts';
import type { Definitions } from '../store.ts';
import type { Changes, CheckpointFile } from './checkpoint.ts';
import { RecordReader, RecordType, type RecordWriter } from './records.ts';

type Write = (item: (writer: RecordWriter) => void) => void;

/** LMDB's keys have a limit; a longer name stands under its hash, and whole in the value. */
const KEY_CHARACTERS_MAX = 400;

/** One kind of definition, or one table. */
class Shelf {
  readonly values = new Map<string, Buffer>();
  readonly dirty = new Set<string>();

  set(key: string, value: Buffer): void {
    this.values.set(key, value);
    this.dirty.add(key);
  }

  delete(key: string): boolean {
    this.dirty.add(key);
    return this.values.delete(key);
  }
}

export class Space implements Definitions {
  readonly #write: Write;
  readonly #kinds = new Map<string, Shelf>();
  readonly #tables = new Map<string, Shelf>();

  constructor(write: Write) {
    this.#write = write;
  }

  put(kind: string, key: string, record: string): void {
    const value = Buffer.from(record);
    if (shelf(this.#kinds, kind).values.get(key)?.equals(value) === true) return;
    shelf(this.#kinds, kind).set(key, value);
    this.#record(RecordType.DEFINE, kind, key, value);
  }

  delete(kind: string, key: string): void {
    if (shelf(this.#kinds, kind).delete(key)) this.#record(RecordType.UNDEFINE, kind, key);
  }

  *entries(kind: string): Iterable<readonly [string, string]> {
    for (const [key, value] of [...shelf(this.#kinds, kind).values]) yield [key, value.toString()];
  }

  table(name: string): Table {
    const kept = shelf(this.#tables, name);
    return {
      get: (key) => kept.values.get(key) ?? null,
      set: (key, value) => {
        kept.set(key, value);
        this.#record(RecordType.SET, name, key, value);
      },
      delete: (key) => {
        if (kept.delete(key)) this.#record(RecordType.UNSET, name, key);
      },
      entries: () => [...kept.values],
    };
  }

  /** A record of the journal, read back. */
  apply(type: RecordType, reader: RecordReader): void {
    const kept =
      type === RecordType.DEFINE || type === RecordType.UNDEFINE ? this.#kinds : this.#tables;
    const on = shelf(kept, reader.text());
    const key = reader.text();
    // Copied: the reader's bytes are a whole segment.
    if (type === RecordType.DEFINE || type === RecordType.SET)
      on.set(key, Buffer.from(reader.rest()));
    else on.delete(key);
  }

  load(checkpoint: CheckpointFile): void {
    for (const [prefix, kept] of this.#kept()) {
      for (const [key, value] of checkpoint.entries(prefix)) {
        const reader = new RecordReader(value);
        shelf(kept, String(key[1])).values.set(reader.text(), reader.rest());
      }
    }
  }

  /** What changed since the last call. */
  takeChanges(): Changes {
    const changes: [(string | number)[], Buffer | null][] = [];
    for (const [prefix, kept] of this.#kept()) {
      for (const [name, { values, dirty }] of kept) {
        for (const key of dirty) {
          const value = values.get(key);
          const whole = value === undefined ? null : Buffer.concat([text(key), value]);
          changes.push([[prefix, name, shortened(key)], whole]);
        }
        dirty.clear();
      }
    }
    return changes;
  }

  #kept(): readonly (readonly [prefix: string, kept: Map<string, Shelf>])[] {
    return [
      ['definition', this.#kinds],
      ['table', this.#tables],
    ];
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

function shelf(kept: Map<string, Shelf>, name: string): Shelf {
  let found = kept.get(name);
  if (found === undefined) {
    found = new Shelf();
    kept.set(name, found);
  }
  return found;
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
