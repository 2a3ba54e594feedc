/**
 * Message archives (XEP-0313) of people and rooms. Each archive is a run of chunks in one table,
 *
 *     OWNER-BARE-JID "\n" ID OF THE FIRST             →  [{ id, at, with, xml }, …]
 *     OWNER-BARE-JID "\n" ID OF THE FIRST "\n" ID     →  { id, at, with, xml }
 *
 * with ids (XEP-0359) that sort as the messages came. Each message is written by itself as it
 * comes, so that it is as safe as the message that was archived, and with its chunk once that is
 * full. The oldest go where an archive is full, or all of them together are; a chunk goes with its
 * last.
 */
import type { Table } from '../../core/engine.ts';
import { childOf, childrenOf, type Element, element, elementsOf, namespaceOf } from './element.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';

interface Entry {
  readonly id: string;
  /** The id of its chunk's first. */
  readonly chunk: string;
  readonly at: number;
  readonly bytes: number;
  /** The other side's bare and full JID. */
  readonly bare: string;
  readonly full: string;
}

interface Archive {
  /** What is still added to, whose messages are written one by one, by the id of its first. */
  readonly chunks: Map<string, Stored[]>;
  /** The chunk that is added to. */
  open: string;
  /** Oldest first, behind some that are gone already: taking each from the front would move all. */
  readonly entries: Entry[];
  gone: number;
  bytes: number;
}

export interface Filter {
  readonly with: Jid | null;
  readonly start: number;
  readonly end: number;
  readonly after: string | null;
  readonly before: string | null;
  readonly ids: readonly string[] | null;
}

interface Stored {
  readonly id: string;
  readonly at: number;
  readonly with: string;
  readonly xml: string;
}

export interface Archived {
  readonly id: string;
  readonly at: number;
  /** The stanza, serialized with its addresses. */
  readonly xml: string;
}

/** Entries that are gone before the others move up. */
const GONE_MAX = 1024;
/** Messages in one chunk. */
const CHUNK_MESSAGES = 64;
const ID_DIGITS = 9;
const COUNT_DIGITS = 4;
const COUNT_MAX = 36 ** COUNT_DIGITS;

export class Archives {
  readonly #host: Host;
  readonly #table: Table;
  /** By owner; null until the table was read. */
  #index: Map<string, Archive> | null = null;
  /** Whose archive each message is in, oldest first. */
  readonly #owners = new Map<string, string>();
  #bytes = 0;
  #last = 0;
  #count = 0;

  constructor(host: Host) {
    this.#host = host;
    this.#table = host.context.engine.table('xmpp.archive');
  }

  /** Keeps a message that `owner` sent to or got from `other`; answers its id. */
  keep(owner: string, other: string, xml: string): string {
    const at = this.#host.context.clock.now();
    const archive = this.#archive(owner);
    const id = this.#nextId(at);
    const stored: Stored = { id, at, with: other, xml };
    let chunk = archive.chunks.get(archive.open);
    if (chunk === undefined) {
      archive.open = id;
      chunk = [];
      archive.chunks.set(id, chunk);
    }
    chunk.push(stored);
    this.#add(owner, archive, entryOf(archive.open, stored));
    this.#table.set(`${owner}\n${archive.open}\n${id}`, Buffer.from(JSON.stringify(stored)));
    if (chunk.length >= CHUNK_MESSAGES) this.#seal(owner, archive, archive.open, chunk);
    const { xmppArchiveMessagesMax, xmppArchiveBytesMax, xmppArchivesBytesMax } = this.#host.limits;
    while (sizeOf(archive) > xmppArchiveMessagesMax || archive.bytes > xmppArchiveBytesMax) {
      this.#forget(owner, archive);
    }
    while (this.#bytes > xmppArchivesBytesMax) {
      const [oldest] = this.#owners.values();
      if (oldest === undefined) break;
      this.#forget(oldest, this.#archive(oldest));
    }
    return id;
  }

  /** Everything of `owner` that the filter takes, oldest first; null where it names an unknown id. */
  find(owner: string, filter: Filter): readonly { readonly id: string }[] | null {
    const archive = this.#archive(owner);
    const entries = archive.entries.slice(archive.gone);
    const known = new Set(entries.map(({ id }) => id));
    const named = [filter.after, filter.before, ...(filter.ids ?? [])];
    if (named.some((id) => id !== null && !known.has(id))) return null;
    const wanted = filter.ids === null ? null : new Set(filter.ids);
    return entries.filter(
      (entry) =>
        entry.at >= filter.start &&
        entry.at <= filter.end &&
        (filter.after === null || entry.id > filter.after) &&
        (filter.before === null || entry.id < filter.before) &&
        (wanted === null || wanted.has(entry.id)) &&
        isWith(entry, filter.with),
    );
  }

  /** The newest of `owner`, oldest first. */
  last(owner: string, count: number): readonly Archived[] {
    const { entries, gone } = this.#archive(owner);
    const newest = entries.slice(Math.max(gone, entries.length - count));
    return newest.map(({ id }) => this.read(owner, id)).filter((each) => each !== null);
  }

  read(owner: string, id: string): Archived | null {
    const archive = this.#archive(owner);
    const chunk = archive.entries.find((entry) => entry.id === id)?.chunk;
    if (chunk === undefined) return null;
    const stored = archive.chunks.get(chunk) ?? this.#readChunk(owner, chunk);
    return stored.find((each) => each.id === id) ?? null;
  }

  /** The room is gone. */
  drop(owner: string): void {
    const archive = this.#archive(owner);
    while (sizeOf(archive) > 0) this.#forget(owner, archive);
    this.#index?.delete(owner);
  }

  /** A chunk is full: it is written as one. */
  #seal(owner: string, archive: Archive, first: string, chunk: readonly Stored[]): void {
    archive.chunks.delete(first);
    this.#table.set(`${owner}\n${first}`, Buffer.from(JSON.stringify(chunk)));
    for (const { id } of chunk) this.#table.delete(`${owner}\n${first}\n${id}`);
  }

  #readChunk(owner: string, first: string): readonly Stored[] {
    const bytes = this.#table.get(`${owner}\n${first}`);
    return bytes === null ? [] : (JSON.parse(bytes.toString('utf8')) as Stored[]);
  }

  #add(owner: string, archive: Archive, entry: Entry): void {
    archive.entries.push(entry);
    archive.bytes += entry.bytes;
    this.#bytes += entry.bytes;
    this.#owners.set(entry.id, owner);
  }

  /** The oldest of one archive goes. */
  #forget(owner: string, archive: Archive): void {
    const entry = archive.entries[archive.gone];
    if (entry === undefined) return;
    archive.gone++;
    if (archive.gone === archive.entries.length || archive.gone >= GONE_MAX) {
      archive.entries.splice(0, archive.gone);
      archive.gone = 0;
    }
    archive.bytes -= entry.bytes;
    this.#bytes -= entry.bytes;
    this.#owners.delete(entry.id);
    if (archive.entries[archive.gone]?.chunk === entry.chunk) return;
    const open = archive.chunks.get(entry.chunk);
    archive.chunks.delete(entry.chunk);
    if (open === undefined) this.#table.delete(`${owner}\n${entry.chunk}`);
    else for (const { id } of open) this.#table.delete(`${owner}\n${entry.chunk}\n${id}`);
  }

  #archive(owner: string): Archive {
    const index = this.#index ?? this.#load();
    let archive = index.get(owner);
    if (archive === undefined) {
      archive = { chunks: new Map(), open: '', entries: [], gone: 0, bytes: 0 };
      index.set(owner, archive);
    }
    return archive;
  }

  #load(): Map<string, Archive> {
    const index = new Map<string, Archive>();
    this.#index = index;
    const found: (readonly [owner: string, entry: Entry])[] = [];
    const single: (readonly [owner: string, chunk: string, stored: Stored])[] = [];
    for (const [key, bytes] of this.#table.entries()) {
      const [owner = '', chunk = '', id] = key.split('\n');
      const stored = JSON.parse(bytes.toString('utf8')) as Stored | Stored[];
      if (Array.isArray(stored)) {
        for (const each of stored) found.push([owner, entryOf(chunk, each)]);
      } else if (id !== undefined) single.push([owner, chunk, stored]);
    }
    this.#loadOpen(single, found);
    found.sort(([, one], [, other]) => (one.id < other.id ? -1 : 1));
    for (const [owner, entry] of found) this.#add(owner, this.#archive(owner), entry);
    // Ids go on from there, even where the clock went back.
    const newest = found.at(-1)?.[1].id ?? '';
    this.#last = Number.parseInt(newest.slice(0, ID_DIGITS), 36) || 0;
    this.#count = Number.parseInt(newest.slice(ID_DIGITS), 36) || 0;
    return index;
  }

  /** Chunks that are still added to; what a crash left of one that was full is in it, too. */
  #loadOpen(
    single: (readonly [owner: string, chunk: string, stored: Stored])[],
    found: (readonly [owner: string, entry: Entry])[],
  ): void {
    const full = new Set(found.map(([owner, { chunk }]) => `${owner}\n${chunk}`));
    single.sort(([, , one], [, , other]) => (one.id < other.id ? -1 : 1));
    for (const [owner, chunk, stored] of single) {
      if (full.has(`${owner}\n${chunk}`)) {
        this.#table.delete(`${owner}\n${chunk}\n${stored.id}`);
        continue;
      }
      const archive = this.#archive(owner);
      const open = archive.chunks.get(chunk) ?? [];
      open.push(stored);
      archive.chunks.set(chunk, open);
      archive.open = chunk;
      found.push([owner, entryOf(chunk, stored)]);
    }
  }

  #nextId(now: number): string {
    const at = Math.max(now, this.#last);
    this.#count = at === this.#last ? this.#count + 1 : 0;
    this.#last = this.#count < COUNT_MAX ? at : at + 1;
    this.#count %= COUNT_MAX;
    const time = this.#last.toString(36).padStart(ID_DIGITS, '0');
    return time + this.#count.toString(36).padStart(COUNT_DIGITS, '0');
  }
}

function sizeOf({ entries, gone }: Archive): number {
  return entries.length - gone;
}

function entryOf(chunk: string, { id, at, with: full, xml }: Stored): Entry {
  const jid = parseJid(full);
  return { id, chunk, at, bytes: xml.length, full, bare: jid === null ? full : jid.bare };
}

function isWith(entry: Entry, jid: Jid | null): boolean {
  if (jid === null) return true;
  return jid.resource === '' ? entry.bare === jid.bare : entry.full === jid.full;
}

/** XEP-0359 5: an id in our name that somebody else made up goes. */
export function dropStanzaIds(stanza: Element, by: string): void {
  const forged = childrenOf(stanza, 'stanza-id', NS.STANZA_IDS).filter(
    (child) => child.attrs.by === by,
  );
  if (forged.length > 0) {
    stanza.children = stanza.children.filter(
      (child) => typeof child === 'string' || !forged.includes(child),
    );
  }
}

export function stanzaId(id: string, by: string): Element {
  return element('stanza-id', { xmlns: NS.STANZA_IDS, by, id });
}

/** XEP-0313 5.1.1: conversations, and what a client asks to be stored; not what passes. */
export function isArchivable(stanza: Element): boolean {
  const { type } = stanza.attrs;
  if (type !== undefined && type !== 'chat' && type !== 'normal') return false;
  if (childOf(stanza, 'no-store', NS.HINTS) !== undefined) return false;
  if (childOf(stanza, 'no-permanent-store', NS.HINTS) !== undefined) return false;
  if (childOf(stanza, 'store', NS.HINTS) !== undefined) return true;
  return elementsOf(stanza).some(
    (child) =>
      (child.name === 'body' && namespaceOf(child) === '') ||
      /^urn:xmpp:(receipts|chat-markers:0)$/.test(namespaceOf(child)),
  );
}
