import type { Definitions, MessageTable, QueueLog, Store } from '../store.ts';
import { MemoryTable, type Table } from '../table.ts';

/** A store that keeps nothing beyond the process: durable queues live as long as it does. */
export class MemoryStore implements Store {
  readonly name = 'memory';
  readonly durable = false;
  readonly definitions: Definitions = new MemoryDefinitions();
  readonly #tables = new Map<string, Table>();

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

  onward(step: () => void): void {
    step();
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
