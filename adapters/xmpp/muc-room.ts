/**
 * One chat room (XEP-0045) and the fan-out exchange behind it: what anybody publishes to `muc.ROOM`
 * is said in the room, and what occupants say is published there.
 */
import { type Delivery, NO_ARGUMENTS, type Subscription } from '../../core/engine.ts';
import { after } from '../../core/eventually.ts';
import type { Message } from '../../core/message.ts';
import { ROOM_PREFIX } from './address.ts';
import { stanzaId } from './archive.ts';
import {
  childrenOf,
  type Element,
  element,
  serialize,
  standalone,
  withAttributes,
} from './element.ts';
import type { Entity } from './entity.ts';
import { nativeOf } from './format.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid, unescapeLocal, withResource } from './jid.ts';
import { DEFAULT_CONFIG, type RoomConfig } from './muc-config.ts';
import { NS } from './namespaces.ts';
import { quietly } from './quietly.ts';
import { NO_PREFIXES, parseElement } from './tokenizer.ts';
import { delayAt, messageWire, senderOf, typeOfNative, wireOf } from './wire.ts';

export type Affiliation = 'owner' | 'admin' | 'member' | 'none' | 'outcast';
export type Role = 'moderator' | 'participant' | 'visitor' | 'none';

export interface Occupant {
  nick: string;
  readonly jid: Jid;
  readonly entity: Entity;
  role: Role;
  presence: Element;
}

interface Said {
  readonly native: Buffer;
  readonly nick: string;
  readonly at: number;
}

export interface StoredRoom {
  config: RoomConfig;
  affiliations: Record<string, Affiliation>;
  subject: Subject;
}

export interface Subject {
  text: string;
  nick: string;
  /** When it was set. */
  at?: number;
}

/** What a newcomer asks to be shown (XEP-0045 7.2.14). */
export interface HistoryRequest {
  readonly stanzas: number;
  readonly characters: number;
  readonly since: number;
}

const HISTORY_KEPT = 100;

export class Room {
  readonly jid: Jid;
  readonly config: RoomConfig;
  readonly affiliations: Map<string, Affiliation>;
  /** By nickname. */
  readonly occupants = new Map<string, Occupant>();
  subject: Subject;
  /** The exchange was declared for this room, not by somebody else before. */
  madeExchange = false;
  readonly #host: Host;
  /** Null: what was said before a restart is still in the archive. */
  #history: Said[] | null;
  #queue: string | null = null;
  #subscription: Subscription | null = null;

  constructor(host: Host, jid: Jid, stored: StoredRoom | null) {
    this.#host = host;
    this.#history = stored === null ? [] : null;
    this.jid = jid;
    this.config = { ...DEFAULT_CONFIG, ...stored?.config };
    this.affiliations = new Map(Object.entries(stored?.affiliations ?? {}));
    this.subject = stored?.subject ?? { text: '', nick: '' };
  }

  get exchange(): string {
    return ROOM_PREFIX + unescapeLocal(this.jid.local);
  }

  stored(): StoredRoom {
    return {
      config: this.config,
      affiliations: Object.fromEntries(this.affiliations),
      subject: this.subject,
    };
  }

  affiliation(jid: Jid): Affiliation {
    return this.affiliations.get(jid.bare) ?? 'none';
  }

  occupantOf(jid: Jid): Occupant | undefined {
    for (const occupant of this.occupants.values()) {
      if (occupant.jid.full === jid.full) return occupant;
    }
    return undefined;
  }

  /** Listens on the exchange, which exists by now. */
  open(done: () => void, failed: (error: unknown) => void): void {
    if (this.#subscription !== null) {
      done();
      return;
    }
    const { system } = this.#host;
    after(
      () => system.temporaryQueue('xmpp-room-'),
      (queue) => {
        this.#queue = queue;
        const binding = {
          source: this.exchange,
          destination: queue,
          toExchange: false,
          routingKey: '',
          arguments: NO_ARGUMENTS,
        };
        after(
          () => system.bind(binding),
          () => this.#listen(queue, done, failed),
          failed,
        );
      },
      failed,
    );
  }

  close(): void {
    this.#subscription = null;
    const queue = this.#queue;
    this.#queue = null;
    if (queue === null) return;
    const { log, system } = this.#host;
    quietly(log, 'deleting a queue', () => system.deleteQueue(queue, false, false));
  }

  /** Everybody sees the newcomer, who sees everybody first (XEP-0045 7.2.2, 7.2.3). */
  enter(occupant: Occupant, codes: readonly string[], history: HistoryRequest): void {
    for (const other of this.occupants.values()) this.#show(other, occupant, []);
    this.occupants.set(occupant.nick, occupant);
    for (const other of this.occupants.values()) {
      if (other !== occupant) this.#show(occupant, other, []);
    }
    const own = this.config.nonAnonymous ? ['100', ...codes] : codes;
    this.#show(occupant, occupant, ['110', ...own]);
    this.#replay(occupant, history);
    this.#sendSubject(occupant, true);
  }

  /** A change of somebody's presence, role or affiliation. */
  update(occupant: Occupant, detail: readonly Element[] = []): void {
    for (const other of this.occupants.values()) {
      this.#show(occupant, other, other === occupant ? ['110'] : [], detail);
    }
  }

  /** XEP-0045 7.6. */
  rename(occupant: Occupant, nick: string): void {
    const old = occupant.nick;
    for (const other of this.occupants.values()) {
      const item = this.#item(occupant, other);
      item.attrs.nick = nick;
      const own = other === occupant ? ['110'] : [];
      this.#send(other, this.#gone(old, other, item, ['303', ...own], null));
    }
    this.occupants.delete(old);
    occupant.nick = nick;
    this.occupants.set(nick, occupant);
    this.update(occupant);
  }

  /** `codes` say why, `detail` is added to the item (reason, actor). */
  leave(
    occupant: Occupant,
    codes: readonly string[] = [],
    detail: readonly Element[] = [],
    status: Element | null = null,
  ): void {
    if (this.occupants.get(occupant.nick) !== occupant) return;
    occupant.role = 'none';
    for (const other of this.occupants.values()) {
      const item = this.#item(occupant, other);
      item.append(...detail.map(standalone));
      const own = other === occupant ? ['110'] : [];
      this.#send(other, this.#gone(occupant.nick, other, item, [...codes, ...own], status));
    }
    this.occupants.delete(occupant.nick);
  }

  /** XEP-0045 10.9. */
  destroyed(destroy: Element): void {
    for (const occupant of [...this.occupants.values()]) {
      const item = element('item', { affiliation: 'none', role: 'none' });
      const stanza = this.#gone(occupant.nick, occupant, item, ['110'], null);
      const [user] = childrenOf(stanza, 'x', NS.MUC_USER);
      user?.append(destroy);
      this.#send(occupant, stanza);
    }
    this.occupants.clear();
  }

  setSubject(text: string, nick: string): void {
    this.subject = { text, nick, at: this.#host.context.clock.now() };
    for (const occupant of this.occupants.values()) this.#sendSubject(occupant, false);
  }

  /** From the room to everybody. */
  announce(stanza: Element): void {
    for (const occupant of this.occupants.values()) {
      this.#send(occupant, withAttributes(stanza, { to: occupant.jid.full }));
    }
  }

  deliver(delivery: Delivery): void {
    const { message } = delivery;
    const nick = this.#nickOf(message);
    const plain = this.#groupchat(message);
    const from = withResource(this.jid, nick).full;
    const native = plain.includes('<body') ? this.#archived(plain, from) : plain;
    for (const { jid, entity } of this.occupants.values()) {
      entity.send(messageWire(native, from, jid.full, ''), null);
    }
    this.#host.counters.delivered += this.occupants.size;
    if (!native.includes('<body')) return;
    // Kept beyond the turn: a copy, so as not to pin a socket's read.
    this.#history?.push({ native: Buffer.from(native), nick, at: message.receivedAt });
    if ((this.#history?.length ?? 0) > HISTORY_KEPT) this.#history?.shift();
  }

  cancelled(): void {
    this.#subscription = null;
    this.#queue = null;
  }

  #listen(queue: string, done: () => void, failed: (error: unknown) => void): void {
    after(
      () =>
        this.#host.system.consume(
          {
            queue,
            tag: this.jid.bare,
            acknowledge: false,
            exclusive: true,
            priority: 0,
            credits: [],
            arguments: NO_ARGUMENTS,
          },
          this,
        ),
      (subscription) => {
        this.#subscription = subscription;
        done();
      },
      failed,
    );
  }

  /**
   * Who said it: an occupant, else whoever the message names, never under an occupant's nickname.
   */
  #nickOf(message: Message): string {
    const written =
      message.format === this.#host.format ? senderOf(message.native, this.#host.format) : '';
    const jid = written === '' ? null : parseJid(written);
    const occupant = jid === null ? undefined : this.occupantOf(jid);
    if (occupant !== undefined) return occupant.nick;
    const { userId, appId } = message.properties;
    const nick = (jid === null ? undefined : unescapeLocal(jid.local)) ?? userId ?? appId;
    const known = nick === undefined || nick === '' ? 'gateway' : nick;
    return this.occupants.has(known) ? `${known}@${message.format.name}` : known;
  }

  #groupchat(message: Message): Buffer {
    const native = message.as(this.#host.format, this.#host.context.clock.now());
    if (typeOfNative(native) === 'groupchat') return native;
    const { from, stanza } = this.#host.format.parse(native);
    stanza.attrs.type = 'groupchat';
    return nativeOf(stanza, from);
  }

  /** With its id in the room's archive (XEP-0313 5.1.2). */
  #archived(native: Buffer, from: string): Buffer {
    const [start, content, end] = messageWire(native, from, this.jid.bare, '');
    const xml = `<message xmlns="${NS.CLIENT}"${start.slice('<message'.length)}${content}${end}`;
    const id = this.#host.archives.keep(this.jid.bare, from, xml);
    return Buffer.concat([native, Buffer.from(serialize(stanzaId(id, this.jid.bare)))]);
  }

  /** What was said last, before a restart too: then it is in the archive. */
  #recalled(): Said[] {
    const { archives } = this.#host;
    const owner = this.jid.bare;
    return archives.last(owner, HISTORY_KEPT).map(({ id, at, xml }) => {
      const stanza = parseElement(xml, NO_PREFIXES);
      const { from = '' } = stanza.attrs;
      stanza.append(stanzaId(id, owner));
      return { native: nativeOf(stanza, from), nick: parseJid(from)?.resource ?? '', at };
    });
  }

  #replay(occupant: Occupant, request: HistoryRequest): void {
    this.#history ??= this.#recalled();
    const wanted = Math.min(request.stanzas, this.config.historyLength);
    const recent = wanted === 0 ? [] : this.#history.slice(-wanted);
    let characters = 0;
    const chosen: Said[] = [];
    for (const said of recent.reverse()) {
      characters += said.native.length;
      if (said.at < request.since || characters > request.characters) break;
      chosen.unshift(said);
    }
    for (const { native, nick, at } of chosen) {
      const from = withResource(this.jid, nick).full;
      const extra = serialize(delayAt(at, this.jid.bare));
      occupant.entity.send(messageWire(native, from, occupant.jid.full, extra), null);
    }
  }

  /** XEP-0045 7.2.15: also where there is none. */
  #sendSubject(occupant: Occupant, late: boolean): void {
    const { text, nick, at } = this.subject;
    const from = nick === '' ? this.jid : withResource(this.jid, nick);
    const stanza = element(
      'message',
      { from: from.full, to: occupant.jid.full, type: 'groupchat' },
      element('subject', {}, ...(text === '' ? [] : [text])),
      late && at !== undefined ? delayAt(at, this.jid.bare) : null,
    );
    this.#send(occupant, stanza);
  }

  #show(
    occupant: Occupant,
    to: Occupant,
    codes: readonly string[],
    detail: readonly Element[] = [],
  ): void {
    const stanza = withAttributes(occupant.presence, {
      from: withResource(this.jid, occupant.nick).full,
      to: to.jid.full,
      type: undefined,
    });
    // What a client says of itself in this namespace is the room's to say.
    const kept = occupant.presence.children.filter(
      (child) =>
        typeof child === 'string' ||
        !/^http:\/\/jabber.org\/protocol\/muc/.test(child.attrs.xmlns ?? ''),
    );
    const item = this.#item(occupant, to);
    item.append(...detail.map(standalone));
    const user = this.#user(item, codes);
    stanza.children = [...kept, user];
    this.#send(to, stanza);
  }

  #gone(
    nick: string,
    to: Occupant,
    item: Element,
    codes: readonly string[],
    status: Element | null,
  ): Element {
    return element(
      'presence',
      { from: withResource(this.jid, nick).full, to: to.jid.full, type: 'unavailable' },
      status,
      this.#user(item, codes),
    );
  }

  #user(item: Element, codes: readonly string[]): Element {
    const statuses = codes.map((code) => element('status', { code }));
    return element('x', { xmlns: NS.MUC_USER }, item, ...statuses);
  }

  #item(occupant: Occupant, to: Occupant): Element {
    const item = element('item', {
      affiliation: this.affiliation(occupant.jid),
      role: occupant.role,
    });
    const shown = this.config.nonAnonymous || to.role === 'moderator' || to === occupant;
    if (shown) item.attrs.jid = occupant.jid.full;
    return item;
  }

  #send(to: Occupant, stanza: Element): void {
    to.entity.send(wireOf(stanza), null);
  }
}

/** XEP-0045 5.1.2. */
export function roleFor(room: Room, jid: Jid): Role {
  const affiliation = room.affiliation(jid);
  if (affiliation === 'owner' || affiliation === 'admin') return 'moderator';
  return room.config.moderated && affiliation === 'none' ? 'visitor' : 'participant';
}
