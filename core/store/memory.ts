import type { Table } from '../engine.ts';
import type { Definitions, MessageTable, QueueLog, Store } from '../store.ts';

/** A store that keeps nothing beyond the process: durable queues live as long as it does. */
export class MemoryStore implements Store {
  readonly name = 'memory';
  readonly durable = false;
  readonly definitions: Definitions = new MemoryDefinitions();
  readonly #tables = new Map<string, MemoryTable>();

  queue(): QueueLog | null {
    return null;
  }

  table(name: string): Table {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new MemoryTable();
      this.#tables.set(name, table);
    }
    return table;
  }

  messages(): MessageTable | null {
    return null;
  }

  flush(done: () => void): void {
    queueMicrotask(done);
  }

  onTrouble(): void {}

  async close(): Promise<void> {}
}

class MemoryDefinitions implements Definitions {
  readonly #kinds = new Map<string, Map<string, string>>();

  put(kind: string, key: string, record: string): void {
    let records = this.#kinds.get(kind);
    if (records === undefined) {
      records = new Map();
      this.#kinds.set(kind, records);
    }
    records.set(key, record);
  }

  delete(kind: string, key: string): void {
    this.#kinds.get(kind)?.delete(key);
  }

  entries(kind: string): Iterable<readonly [string, string]> {
    return [...(this.#kinds.get(kind) ?? [])];
  }
}

class MemoryTable implements Table {
  readonly #values = new Map<string, Buffer>();

  get(key: string): Buffer | null {
    return this.#values.get(key) ?? null;
  }

  set(key: string, value: Buffer): void {
    this.#values.set(key, value);
  }

  delete(key: string): void {
    this.#values.delete(key);
  }

  entries(): Iterable<readonly [string, Buffer]> {
    return [...this.#values];
  }
}
