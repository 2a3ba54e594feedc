/**
 * Message archives (XEP-0313) of people and rooms. Each archive is a run of chunks in one table,
 *
 *     OWNER-BARE-JID "\n" ID OF THE FIRST  →  [{ id, at, with, xml }, …]
 *
 * with ids (XEP-0359) that sort as the messages came. A chunk is written when it has rested for a
 * moment, not for every message in it. The oldest go where an archive is full, or all of them
 * together are; a chunk goes with its last.
 */
import type { Timer } from '../../core/clock.ts';
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
  /** What is still added to, or not written yet, by the id of its first. */
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
/** How long the newest messages wait to be written, in milliseconds. */
const WRITE_DELAY_MS = 1000;
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
  /** Archives with chunks that are to be written. */
  readonly #unwritten = new Set<string>();
  #writing: Timer | null = null;
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
    const id = this.#nextId(at);
    const archive = this.#archive(owner);
    const stored: Stored = { id, at, with: other, xml };
    const chunk = archive.chunks.get(archive.open);
    if (chunk === undefined || chunk.length >= CHUNK_MESSAGES) {
      archive.open = id;
      archive.chunks.set(id, [stored]);
    } else {
      chunk.push(stored);
    }
    this.#add(owner, archive, entryOf(archive.open, stored));
    this.#writeSoon(owner);
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

  read(owner: string, id: string): Archived | null {
    const archive = this.#archive(owner);
    const chunk = archive.entries.find((entry) => entry.id === id)?.chunk;
    if (chunk === undefined) return null;
    const stored = archive.chunks.get(chunk) ?? this.#readChunk(owner, chunk);
    return stored.find((each) => each.id === id) ?? null;
  }

  /** Writes what waits. */
  flush(): void {
    this.#writing?.cancel();
    this.#writing = null;
    for (const owner of this.#unwritten) {
      const { chunks, open } = this.#archive(owner);
      for (const [first, stored] of chunks) {
        this.#table.set(`${owner}\n${first}`, Buffer.from(JSON.stringify(stored)));
        if (first !== open) chunks.delete(first);
      }
    }
    this.#unwritten.clear();
  }

  /** The room is gone. */
  drop(owner: string): void {
    const archive = this.#archive(owner);
    while (sizeOf(archive) > 0) this.#forget(owner, archive);
    this.#index?.delete(owner);
    this.#unwritten.delete(owner);
  }

  #writeSoon(owner: string): void {
    this.#unwritten.add(owner);
    this.#writing ??= this.#host.context.clock.after(WRITE_DELAY_MS, () => this.flush());
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
    archive.chunks.delete(entry.chunk);
    this.#table.delete(`${owner}\n${entry.chunk}`);
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
    for (const [key, bytes] of this.#table.entries()) {
      const line = key.indexOf('\n');
      const owner = key.slice(0, line);
      const chunk = key.slice(line + 1);
      const stored = JSON.parse(bytes.toString('utf8')) as Stored[];
      for (const each of stored) found.push([owner, entryOf(chunk, each)]);
    }
    found.sort(([, one], [, other]) => (one.id < other.id ? -1 : 1));
    for (const [owner, entry] of found) this.#add(owner, this.#archive(owner), entry);
    return index;
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
