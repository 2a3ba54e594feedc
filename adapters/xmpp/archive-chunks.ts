/**
 * Archives' messages in the store. A chunk is one message a record while it is added to, so that
 * none is lost, and one record when it is full, with what is known without reading it beside it:
 *
 *     xmpp.archive          OWNER "\n" FIRST ID "\n" ID  →  { id, at, with, xml }
 *     xmpp.archive          OWNER "\n" FIRST ID          →  [{ id, at, with, xml }, …]
 *     xmpp.archive.chunks   OWNER "\n" FIRST ID          →  { last: ID, sizes: [BYTES, …] }
 */
import type { Engine, Table } from '../../core/engine.ts';
import { JsonTable } from './json-table.ts';

export interface Stored {
  readonly id: string;
  readonly at: number;
  /** The other side's JID. */
  readonly with: string;
  readonly xml: string;
}

export interface Chunk {
  /** The id of its first message. */
  readonly first: string;
  /** Of its messages, in bytes. */
  readonly sizes: number[];
  /** Full: no more is added. */
  sealed: boolean;
}

interface Summary {
  readonly last: string;
  readonly sizes: number[];
}

/** Chunks that were read lately, in bytes of their messages. */
const CACHE_BYTES = 8 * 1024 * 1024;

export class ArchiveChunks {
  readonly #table: Table;
  readonly #summaries: JsonTable<Summary>;
  /** By key; those read last are last. */
  readonly #cache = new Map<string, Stored[]>();
  #cachedBytes = 0;

  constructor(engine: Pick<Engine, 'table'>) {
    this.#table = engine.table('xmpp.archive');
    this.#summaries = new JsonTable(engine.table('xmpp.archive.chunks'));
  }

  append(owner: string, chunk: Chunk, stored: Stored): void {
    const key = keyOf(owner, chunk);
    const { length } = stored.xml;
    chunk.sizes.push(length);
    this.#table.set(`${key}\n${stored.id}`, encode(stored));
    const cached = this.#cache.get(key);
    if (cached === undefined) return;
    cached.push(stored);
    this.#cachedBytes += length;
  }

  /** A chunk is full: it is written as one. */
  seal(owner: string, chunk: Chunk): void {
    const key = keyOf(owner, chunk);
    const messages = this.#readOpen(key);
    chunk.sealed = true;
    this.#write(key, messages);
    for (const { id } of messages) this.#table.delete(`${key}\n${id}`);
  }

  /** Its messages, oldest first. */
  read(owner: string, chunk: Chunk): readonly Stored[] {
    const key = keyOf(owner, chunk);
    const cached = this.#cache.get(key);
    const messages = cached ?? (chunk.sealed ? this.#readSealed(key) : this.#readOpen(key));
    this.#cache.delete(key);
    this.#cache.set(key, messages);
    if (cached === undefined) this.#cachedBytes += bytesOf(messages);
    for (const oldest of this.#cache.keys()) {
      if (this.#cachedBytes <= CACHE_BYTES) break;
      this.#forget(oldest);
    }
    return messages;
  }

  drop(owner: string, chunk: Chunk): void {
    const key = keyOf(owner, chunk);
    this.#forget(key);
    this.#table.delete(key);
    this.#summaries.delete(key);
    if (chunk.sealed) return;
    for (const [single] of this.#table.entries(`${key}\n`)) this.#table.delete(single);
  }

  /** What is stored, oldest first, with the newest id; what a kill left half done is put right. */
  load(): { readonly chunks: readonly (readonly [string, Chunk])[]; readonly newest: string } {
    const found = new Map<string, Chunk>();
    let newest = '';
    const add = (key: string, { last, sizes }: Summary, sealed: boolean): void => {
      found.set(key, { first: key.slice(key.indexOf('\n') + 1), sizes, sealed });
      if (last > newest) newest = last;
    };
    for (const [key, summary] of this.#summaries.entries()) add(key, summary, true);
    for (const name of this.#table.keys()) {
      const [owner, first, id] = name.split('\n');
      const key = `${owner}\n${first}`;
      const chunk = found.get(key);
      if (id === undefined) {
        if (chunk === undefined) add(key, this.#write(key, this.#readSealed(key)), true);
      } else if (chunk?.sealed === true) this.#table.delete(name);
      else if (chunk === undefined) add(key, summaryOf(this.#readOpen(key)), false);
    }
    const chunks = [...found].map(([key, chunk]) => [ownerOf(key), chunk] as const);
    chunks.sort(([, one], [, other]) => (one.first < other.first ? -1 : 1));
    return { chunks, newest };
  }

  #readOpen(key: string): Stored[] {
    return [...this.#table.entries(`${key}\n`)].map(([, bytes]) => JSON.parse(bytes.toString()));
  }

  #readSealed(key: string): Stored[] {
    const bytes = this.#table.get(key);
    return bytes === null ? [] : (JSON.parse(bytes.toString()) as Stored[]);
  }

  #write(key: string, messages: readonly Stored[]): Summary {
    const summary = summaryOf(messages);
    this.#table.set(key, encode(messages));
    this.#summaries.set(key, summary);
    return summary;
  }

  #forget(key: string): void {
    this.#cachedBytes -= bytesOf(this.#cache.get(key) ?? []);
    this.#cache.delete(key);
  }
}

function keyOf(owner: string, { first }: Chunk): string {
  return `${owner}\n${first}`;
}

function ownerOf(key: string): string {
  return key.slice(0, key.indexOf('\n'));
}

function summaryOf(messages: readonly Stored[]): Summary {
  return { last: messages.at(-1)?.id ?? '', sizes: messages.map(({ xml }) => xml.length) };
}

function bytesOf(messages: readonly Stored[]): number {
  return messages.reduce((sum, { xml }) => sum + xml.length, 0);
}

function encode(value: Stored | readonly Stored[]): Buffer {
  return Buffer.from(JSON.stringify(value));
}
