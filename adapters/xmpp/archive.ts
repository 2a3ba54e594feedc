/**
 * Message archives (XEP-0313) of people and rooms, with ids (XEP-0359) that sort as the messages
 * came. Memory has of a chunk of messages what they are called and how large they are; the oldest
 * go where an archive is full, or all of them together are, and a chunk with its last.
 */
import { ArchiveChunks, type Chunk, type Stored } from './archive-chunks.ts';
import { childOf, childrenOf, type Element, element, elementsOf, namespaceOf } from './element.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';

interface Archive {
  /** Oldest first; of the first one some messages may be gone. */
  readonly chunks: Chunk[];
  gone: number;
  count: number;
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

export interface Archived {
  readonly id: string;
  readonly at: number;
  /** The stanza, serialized with its addresses. */
  readonly xml: string;
}

/** Messages in one chunk. */
const CHUNK_MESSAGES = 64;
const ID_DIGITS = 9;
const COUNT_DIGITS = 4;
const COUNT_MAX = 36 ** COUNT_DIGITS;

export class Archives {
  readonly #host: Host;
  readonly #chunks: ArchiveChunks;
  /** By owner; null until the table was read. */
  #index: Map<string, Archive> | null = null;
  /** Whose archive each chunk is in, by its first id, oldest first. */
  readonly #owners = new Map<string, string>();
  #bytes = 0;
  #last = 0;
  #count = 0;

  constructor(host: Host) {
    this.#host = host;
    this.#chunks = new ArchiveChunks(host.context.engine);
  }

  /** Keeps a message that `owner` sent to or got from `other`; answers its id. */
  keep(owner: string, other: string, xml: string): string {
    const at = this.#host.context.clock.now();
    const archive = this.#archive(owner);
    const id = this.#nextId(at);
    let chunk = archive.chunks.at(-1);
    if (chunk === undefined || chunk.sealed) {
      chunk = { first: id, sizes: [], sealed: false };
      this.#add(owner, archive, chunk);
    }
    this.#chunks.append(owner, chunk, { id, at, with: other, xml });
    this.#grow(archive, 1, xml.length);
    if (chunk.sizes.length >= CHUNK_MESSAGES) this.#chunks.seal(owner, chunk);
    const { xmppArchiveMessagesMax, xmppArchiveBytesMax, xmppArchivesBytesMax } = this.#host.limits;
    while (archive.count > xmppArchiveMessagesMax || archive.bytes > xmppArchiveBytesMax) {
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
    const named = [filter.after, filter.before, ...(filter.ids ?? [])];
    if (named.some((id) => id !== null && this.read(owner, id) === null)) return null;
    const wanted = filter.ids === null ? null : new Set(filter.ids);
    const found: { readonly id: string }[] = [];
    for (const [at, chunk] of archive.chunks.entries()) {
      const next = archive.chunks[at + 1]?.first;
      if (next !== undefined && filter.after !== null && next <= filter.after) continue;
      if (filter.before !== null && chunk.first >= filter.before) break;
      for (const each of this.#messages(owner, archive, chunk)) {
        if (!takes(filter, each) || (wanted !== null && !wanted.has(each.id))) continue;
        found.push({ id: each.id });
      }
    }
    return found;
  }

  /** The newest of `owner`, oldest first. */
  last(owner: string, count: number): readonly Archived[] {
    const archive = this.#archive(owner);
    let newest: Stored[] = [];
    for (const chunk of [...archive.chunks].reverse()) {
      if (newest.length >= count) break;
      newest = [...this.#messages(owner, archive, chunk), ...newest];
    }
    return newest.slice(Math.max(0, newest.length - count));
  }

  read(owner: string, id: string): Archived | null {
    const archive = this.#archive(owner);
    const chunk = archive.chunks.findLast(({ first }) => first <= id);
    if (chunk === undefined) return null;
    return this.#messages(owner, archive, chunk).find((each) => each.id === id) ?? null;
  }

  /** The room is gone. */
  drop(owner: string): void {
    const archive = this.#archive(owner);
    while (archive.count > 0) this.#forget(owner, archive);
    this.#index?.delete(owner);
  }

  /** A chunk's messages without those that are gone. */
  #messages(owner: string, archive: Archive, chunk: Chunk): readonly Stored[] {
    const stored = this.#chunks.read(owner, chunk);
    return chunk === archive.chunks[0] ? stored.slice(archive.gone) : stored;
  }

  #add(owner: string, archive: Archive, chunk: Chunk): void {
    archive.chunks.push(chunk);
    this.#owners.set(chunk.first, owner);
  }

  #grow(archive: Archive, count: number, bytes: number): void {
    archive.count += count;
    archive.bytes += bytes;
    this.#bytes += bytes;
  }

  /** The oldest of one archive goes. */
  #forget(owner: string, archive: Archive): void {
    const [chunk] = archive.chunks;
    if (chunk === undefined) return;
    this.#grow(archive, -1, -(chunk.sizes[archive.gone] ?? 0));
    if (++archive.gone < chunk.sizes.length) return;
    archive.gone = 0;
    archive.chunks.shift();
    this.#owners.delete(chunk.first);
    this.#chunks.drop(owner, chunk);
  }

  #archive(owner: string): Archive {
    const index = this.#index ?? this.#load();
    let archive = index.get(owner);
    if (archive === undefined) {
      archive = { chunks: [], gone: 0, count: 0, bytes: 0 };
      index.set(owner, archive);
    }
    return archive;
  }

  #load(): Map<string, Archive> {
    const index = new Map<string, Archive>();
    this.#index = index;
    const { chunks, newest } = this.#chunks.load();
    for (const [owner, chunk] of chunks) {
      const archive = this.#archive(owner);
      this.#add(owner, archive, chunk);
      const bytes = chunk.sizes.reduce((sum, size) => sum + size, 0);
      this.#grow(archive, chunk.sizes.length, bytes);
    }
    // Ids go on from there, even where the clock went back.
    this.#last = Number.parseInt(newest.slice(0, ID_DIGITS), 36) || 0;
    this.#count = Number.parseInt(newest.slice(ID_DIGITS), 36) || 0;
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

function takes(filter: Filter, { id, at, with: other }: Stored): boolean {
  return (
    at >= filter.start &&
    at <= filter.end &&
    (filter.after === null || id > filter.after) &&
    (filter.before === null || id < filter.before) &&
    (filter.with === null || isWith(other, filter.with))
  );
}

function isWith(full: string, jid: Jid): boolean {
  return jid.resource === '' ? (parseJid(full)?.bare ?? full) === jid.bare : full === jid.full;
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
