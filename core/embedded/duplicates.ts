/**
 * De-duplication by a header, as the plug-in `rabbitmq-message-deduplication` has it: what it is
 * that two messages have in common, and an exchange's memory of what came by.
 */
import { createHash } from 'node:crypto';
import type { Table } from '../engine.ts';
import { plain, toText } from '../envelope.ts';
import { type HeaderTable, header, type Message } from '../message.ts';

/** On an exchange or a queue: it takes no duplicates. The name of an exchange type, too. */
export const DEDUPLICATION = 'x-message-deduplication';
/** The header that is looked at, and the argument that names another one instead. */
export const DEDUPLICATION_HEADER = 'x-deduplication-header';

/** Longer values are remembered by their hash. */
const KEY_CHARACTERS_MAX = 64;

/** The header to look at, by the arguments of an exchange or a queue. */
export function deduplicationHeader(values: HeaderTable): string {
  const name = values.get(DEDUPLICATION_HEADER);
  return typeof name === 'string' && name !== '' ? name : DEDUPLICATION_HEADER;
}

/** The same for two messages that are duplicates; null for one that has no duplicates. */
export function duplicateKey(message: Message, name: string): string | null {
  const value = header(message.properties.headers, name);
  if (value === undefined) return null;
  // 5 and '5' are two.
  const key = `${typeof plain(value)} ${toText(value)}`;
  if (key.length <= KEY_CHARACTERS_MAX) return key;
  return `sha256 ${createHash('sha256').update(key).digest('base64')}`;
}

/**
 * Keys that were seen, as many as there is room for: the oldest go first. On the disk they are too
 * where there is a table.
 */
export class SeenKeys {
  readonly #most: number;
  readonly #table: Table | null;
  /** When each is forgotten, in milliseconds since the Unix epoch; oldest first. */
  readonly #until = new Map<string, number>();

  constructor(most: number, table: Table | null, now: number) {
    this.#most = most;
    this.#table = table;
    const seen: [key: string, until: number][] = [];
    for (const [key, value] of table?.entries() ?? []) {
      const until = Number(value.toString());
      if (until > now) seen.push([key, until]);
      else table?.delete(key);
    }
    seen.sort(([, one], [, other]) => one - other);
    for (const [key, until] of seen) this.#until.set(key, until);
  }

  has(key: string, now: number): boolean {
    const until = this.#until.get(key);
    return until !== undefined && until > now;
  }

  add(key: string, until: number): void {
    // What is seen again after its time is young again.
    this.#until.delete(key);
    for (const oldest of this.#until.keys()) {
      if (this.#until.size < this.#most) break;
      this.#forget(oldest);
    }
    this.#until.set(key, until);
    this.#table?.set(key, Buffer.from(String(until)));
  }

  clear(): void {
    for (const key of [...this.#until.keys()]) this.#forget(key);
  }

  #forget(key: string): void {
    this.#until.delete(key);
    this.#table?.delete(key);
  }
}
