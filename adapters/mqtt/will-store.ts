/**
 * Wills of clients that are connected, and those that wait for their delay, by session: what a
 * crash must not swallow.
 */
import type { Table } from '../../core/engine.ts';
import type { Log } from '../../core/log.ts';
import type { WillFields } from './packet.ts';
import type { Will } from './will.ts';

/** A will as it was stored. */
export interface KeptWill {
  readonly vhost: string;
  /** In whose name it is published. */
  readonly user: string;
  readonly fields: WillFields;
  /** When it is to be published, in ms since the epoch; 0: its client was connected. */
  readonly dueAt: number;
}

/** Bytes are base64. */
interface StoredWill extends Omit<KeptWill, 'fields'> {
  readonly fields: Omit<WillFields, 'native' | 'body'> & {
    readonly native: string;
    readonly body: string;
  };
}

export class WillStore {
  readonly #table: Table;
  readonly #log: Log;
  /** Keys of what is stored: most clients have no will to be forgotten. */
  readonly #kept = new Set<string>();

  constructor(table: Table, log: Log) {
    this.#table = table;
    this.#log = log;
  }

  /** `dueAt` as in `KeptWill`. */
  keep(key: string, { vhost, principal, fields }: Will, dueAt: number): void {
    const { native, body, ...others } = fields;
    const bytes = { native: native.toString('base64'), body: body.toString('base64') };
    const user = principal.name;
    const stored: StoredWill = { vhost, user, fields: { ...others, ...bytes }, dueAt };
    this.#kept.add(key);
    this.#table.set(key, Buffer.from(JSON.stringify(stored)));
  }

  forget(key: string): void {
    if (this.#kept.delete(key)) this.#table.delete(key);
  }

  /** Everything that was kept. */
  load(): Map<string, KeptWill> {
    const wills = new Map<string, KeptWill>();
    for (const [key, value] of [...this.#table.entries()]) {
      this.#kept.add(key);
      const will = parse(value);
      if (will !== null) wills.set(key, will);
      else {
        this.#log.warn({ session: key }, 'stored will not readable');
        this.forget(key);
      }
    }
    return wills;
  }
}

function parse(value: Buffer): KeptWill | null {
  try {
    const stored = JSON.parse(value.toString()) as StoredWill;
    const native = Buffer.from(stored.fields.native, 'base64');
    const body = Buffer.from(stored.fields.body, 'base64');
    return { ...stored, fields: { ...stored.fields, native, body } };
  } catch {
    return null;
  }
}
