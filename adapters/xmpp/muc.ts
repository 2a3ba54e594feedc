/**
 * Chat rooms at `rooms.DOMAIN` (XEP-0045): entering, speaking, leaving; administration is in
 * `muc-admin.ts`.
 */
import { NO_ARGUMENTS } from '../../core/engine.ts';
import { BrokerError } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import { dropStanzaIds } from './archive.ts';
import { archiveAnswer } from './archive-query.ts';
import { infoResult, itemsResult } from './disco.ts';
import {
  childOf,
  childText,
  type Element,
  element,
  firstElement,
  localName,
  namespaceOf,
  withAttributes,
} from './element.ts';
import type { Entity, Service } from './entity.ts';
import type { Host } from './host.ts';
import { bareOf, type Jid, parseJid, withResource } from './jid.ts';
import { JsonTable } from './json-table.ts';
import { adminRequest, ownerRequest } from './muc-admin.ts';
import { roomFeatures, roomInfo } from './muc-config.ts';
import { type HistoryRequest, type Occupant, Room, roleFor, type StoredRoom } from './muc-room.ts';
import { NS } from './namespaces.ts';
import { type Condition, conditionOf, errorReply, resultReply } from './stanza-error.ts';
import { wireOf } from './wire.ts';

const ROOM_FEATURES = [
  NS.MUC,
  NS.DISCO_INFO,
  NS.DISCO_ITEMS,
  NS.PING,
  NS.ARCHIVE,
  `${NS.ARCHIVE}#extended`,
  NS.STANZA_IDS,
];

export class Muc implements Service {
  readonly domain: string;
  readonly #host: Host;
  readonly #rooms = new Map<string, Room>();
  readonly #stored: JsonTable<StoredRoom>;

  constructor(host: Host) {
    this.#host = host;
    this.domain = host.domains.rooms;
    this.#stored = new JsonTable(host.context.engine.table('xmpp.rooms'));
    for (const [bare, stored] of this.#stored.entries()) {
      const jid = parseJid(bare);
      if (jid !== null) this.#rooms.set(bare, new Room(host, jid, stored));
    }
  }

  handle(sender: Entity, stanza: Element, to: Jid): void {
    const kind = localName(stanza);
    if (kind === 'iq') this.#iq(sender, stanza, to);
    else if (to.local === '') this.#bounce(sender, stanza, 'service-unavailable');
    else if (kind === 'presence') this.#presence(sender, stanza, to);
    else this.#message(sender, stanza, to);
  }

  left(entity: Entity): void {
    for (const room of [...this.#rooms.values()]) {
      for (const occupant of [...room.occupants.values()]) {
        if (occupant.entity === entity) room.leave(occupant);
      }
      this.#tidy(room);
    }
  }

  /** An account is gone: so are its affiliations. */
  erased(jid: Jid): void {
    for (const room of this.#rooms.values()) {
      if (room.affiliations.delete(jid.bare)) this.save(room);
    }
  }

  /** Keeps a persistent room's state, forgets a temporary one's. */
  save(room: Room): void {
    if (room.config.persistent) this.#stored.set(room.jid.bare, room.stored());
    else this.#stored.delete(room.jid.bare);
  }

  destroy(room: Room, detail: Element): void {
    room.destroyed(detail);
    this.#stored.delete(room.jid.bare);
    this.#rooms.delete(room.jid.bare);
    this.#host.archives.drop(room.jid.bare);
    room.close();
    this.#deleteExchange(room);
  }

  /** After somebody left: a temporary room ends with its last occupant. */
  #tidy(room: Room): void {
    if (room.occupants.size > 0) return;
    room.close();
    if (room.config.persistent || this.#rooms.get(room.jid.bare) !== room) return;
    this.#rooms.delete(room.jid.bare);
    this.#host.archives.drop(room.jid.bare);
    this.#deleteExchange(room);
  }

  /** Only where nobody else has bound anything to it. */
  #deleteExchange(room: Room): void {
    if (!room.madeExchange) return;
    after(
      () => this.#host.system.deleteExchange(room.exchange, true),
      () => {},
      (error) => this.#host.log.debug({ exchange: room.exchange, error }, 'exchange stays'),
    );
  }

  #presence(sender: Entity, stanza: Element, to: Jid): void {
    const from = this.#from(sender, stanza);
    const room = this.#rooms.get(to.bare);
    const occupant = room?.occupantOf(from);
    const { type } = stanza.attrs;
    if (type === 'unavailable') {
      if (room === undefined || occupant === undefined) return;
      room.leave(occupant, [], [], childOf(stanza, 'status', '') ?? null);
      this.#tidy(room);
    } else if (type === 'error') {
      // XEP-0045 7.14: who cannot be reached any more is no occupant.
      if (room === undefined || occupant === undefined) return;
      room.leave(occupant);
      this.#tidy(room);
    } else if (type !== undefined) return;
    else if (to.resource === '') this.#bounce(sender, stanza, 'jid-malformed');
    else if (room !== undefined && occupant !== undefined)
      this.#changed(sender, stanza, room, occupant, to.resource);
    else this.#enter(sender, stanza, from, to, room);
  }

  #changed(sender: Entity, stanza: Element, room: Room, occupant: Occupant, nick: string): void {
    if (nick !== occupant.nick) {
      if (room.occupants.has(nick)) {
        this.#bounce(sender, stanza, 'conflict');
        return;
      }
      occupant.presence = stanza;
      room.rename(occupant, nick);
      return;
    }
    occupant.presence = stanza;
    // Entering again while inside: a client that lost track gets everything anew.
    if (childOf(stanza, 'x', NS.MUC) === undefined) room.update(occupant);
    else {
      room.occupants.delete(occupant.nick);
      room.enter(occupant, [], historyRequest(stanza, this.#host.context.clock.now()));
    }
  }

  #enter(sender: Entity, stanza: Element, from: Jid, to: Jid, known: Room | undefined): void {
    const refusal =
      known === undefined ? this.#mayCreate() : this.#mayEnter(known, stanza, from, to);
    if (refusal !== null) {
      this.#bounce(sender, stanza, refusal);
      return;
    }
    const room = known ?? new Room(this.#host, bareOf(to), null);
    const created = known === undefined;
    sender.hold();
    const failed = (error: unknown): void => {
      const refused = error instanceof BrokerError && error.code === 'access-refused';
      const condition = refused ? (created ? 'not-allowed' : 'forbidden') : conditionOf(error);
      this.#bounce(sender, stanza, condition);
      this.#tidy(room);
      sender.release();
    };
    const listening = (): void => {
      this.#rooms.set(room.jid.bare, room);
      if (created) {
        room.affiliations.set(from.bare, 'owner');
        // A crash may have left what was said in another room of that name.
        this.#host.archives.drop(room.jid.bare);
      }
      const role = roleFor(room, from);
      const occupant = { nick: to.resource, jid: from, entity: sender, role, presence: stanza };
      const history = historyRequest(stanza, this.#host.context.clock.now());
      room.enter(occupant, created ? ['201'] : [], history);
      sender.release();
    };
    this.#declare(sender, room, () => room.open(listening, failed), failed);
  }

  /**
   * With the permissions of whoever enters: configure to make the room, read to hear what is said.
   */
  #declare(sender: Entity, room: Room, done: () => void, failed: (error: unknown) => void): void {
    if (!this.#host.allows(sender.engine, 'read', room.exchange)) {
      failed(new BrokerError('access-refused', `read access to ${room.exchange} refused`));
      return;
    }
    const spec = {
      name: room.exchange,
      type: 'fanout',
      durable: true,
      autoDelete: false,
      internal: false,
      arguments: NO_ARGUMENTS,
    };
    after(
      () => this.#host.system.declareExchange(spec, true),
      done,
      () => {
        const made = (): void => {
          room.madeExchange = true;
          done();
        };
        after(() => sender.engine.declareExchange(spec, false), made, failed);
      },
    );
  }

  #mayCreate(): Condition | null {
    return this.#rooms.size >= this.#host.limits.xmppRoomsMax ? 'resource-constraint' : null;
  }

  /** XEP-0045 7.2.5 to 7.2.9. */
  #mayEnter(room: Room, stanza: Element, from: Jid, to: Jid): Condition | null {
    const affiliation = room.affiliation(from);
    if (affiliation === 'outcast') return 'forbidden';
    if (room.config.membersOnly && affiliation === 'none') return 'registration-required';
    const joining = childOf(stanza, 'x', NS.MUC);
    const password = joining === undefined ? null : childText(joining, 'password', NS.MUC);
    if (room.config.password !== '' && password !== room.config.password) return 'not-authorized';
    if (room.occupants.has(to.resource)) return 'conflict';
    const full = room.occupants.size >= this.#host.limits.xmppRoomOccupantsMax;
    return full ? 'service-unavailable' : null;
  }

  #message(sender: Entity, stanza: Element, to: Jid): void {
    const from = this.#from(sender, stanza);
    const { type } = stanza.attrs;
    const room = this.#rooms.get(to.bare);
    const occupant = room?.occupantOf(from);
    if (type === 'error') {
      if (room === undefined || occupant === undefined) return;
      room.leave(occupant);
      this.#tidy(room);
    } else if (room === undefined) this.#bounce(sender, stanza, 'item-not-found');
    else if (occupant === undefined) {
      if (!this.#decline(room, stanza, from)) this.#bounce(sender, stanza, 'not-acceptable');
    } else if (to.resource !== '') this.#private(sender, stanza, to, room, occupant);
    else if (type === 'groupchat') this.#said(sender, stanza, room, occupant);
    else if (!this.#invite(sender, stanza, room, occupant)) {
      this.#bounce(sender, stanza, 'bad-request');
    }
  }

  #said(sender: Entity, stanza: Element, room: Room, occupant: Occupant): void {
    const subject = childText(stanza, 'subject', '');
    if (subject !== null && childOf(stanza, 'body', '') === undefined) {
      const may =
        occupant.role === 'moderator' ||
        (room.config.changeSubject && occupant.role === 'participant');
      if (!may) {
        this.#bounce(sender, stanza, 'forbidden');
        return;
      }
      room.setSubject(subject, occupant.nick);
      this.save(room);
      return;
    }
    if (occupant.role === 'visitor') {
      this.#bounce(sender, stanza, 'forbidden');
      return;
    }
    dropStanzaIds(stanza, room.jid.bare);
    const durable = childOf(stanza, 'body', '') !== undefined;
    const { full } = occupant.jid;
    const message = this.#host.messages.build(stanza, full, room.exchange, '', durable);
    sender.publish(message, stanza, false);
  }

  /** XEP-0045 7.5. */
  #private(sender: Entity, stanza: Element, to: Jid, room: Room, occupant: Occupant): void {
    const target = room.occupants.get(to.resource);
    if (stanza.attrs.type === 'groupchat') this.#bounce(sender, stanza, 'bad-request');
    else if (target === undefined) this.#bounce(sender, stanza, 'item-not-found');
    else {
      const copy = this.#relayed(stanza, room, occupant, target);
      if (childOf(stanza, 'x', NS.MUC_USER) === undefined) {
        copy.children = [...stanza.children, element('x', { xmlns: NS.MUC_USER })];
      }
      target.entity.send(wireOf(copy), null);
    }
  }

  /** A stanza between two occupants, under their nicknames. */
  #relayed(stanza: Element, room: Room, from: Occupant, to: Occupant): Element {
    return withAttributes(stanza, {
      from: withResource(room.jid, from.nick).full,
      to: to.jid.full,
    });
  }

  /** XEP-0045 7.8.2. True where the message was one. */
  #invite(sender: Entity, stanza: Element, room: Room, occupant: Occupant): boolean {
    const user = childOf(stanza, 'x', NS.MUC_USER);
    const invite = user === undefined ? undefined : childOf(user, 'invite', NS.MUC_USER);
    if (invite === undefined) return false;
    const to = parseJid(invite.attrs.to ?? '');
    const admin = /^(owner|admin)$/.test(room.affiliation(occupant.jid));
    if (to === null) this.#bounce(sender, stanza, 'jid-malformed');
    else if (room.config.membersOnly && !admin) this.#bounce(sender, stanza, 'forbidden');
    else {
      if (room.config.membersOnly && room.affiliation(to) === 'none') {
        room.affiliations.set(to.bare, 'member');
        this.save(room);
      }
      this.#sendInvitation(sender, room, occupant, to, invite);
    }
    return true;
  }

  #sendInvitation(sender: Entity, room: Room, from: Occupant, to: Jid, invite: Element): void {
    const { password } = room.config;
    const stanza = element(
      'message',
      { from: room.jid.bare, to: to.full },
      element(
        'x',
        { xmlns: NS.MUC_USER },
        withAttributes(invite, { to: undefined, from: from.jid.bare }),
        password === '' ? null : element('password', {}, password),
      ),
      element('x', { xmlns: NS.CONFERENCE, jid: room.jid.bare }),
    );
    this.#host.router.route(sender, stanza, to);
  }

  /** XEP-0045 7.8.2, the answer of somebody who stays outside. */
  #decline(room: Room, stanza: Element, from: Jid): boolean {
    const user = childOf(stanza, 'x', NS.MUC_USER);
    const decline = user === undefined ? undefined : childOf(user, 'decline', NS.MUC_USER);
    const to = parseJid(decline?.attrs.to ?? '');
    if (decline === undefined || to === null) return false;
    for (const { jid, entity } of room.occupants.values()) {
      if (jid.bare !== to.bare) continue;
      const copy = withAttributes(decline, { to: undefined, from: from.bare });
      const told = element(
        'message',
        { from: room.jid.bare, to: jid.full },
        element('x', { xmlns: NS.MUC_USER }, copy),
      );
      entity.send(wireOf(told), null);
    }
    return true;
  }

  #iq(sender: Entity, iq: Element, to: Jid): void {
    const room = this.#rooms.get(to.bare);
    if (to.resource !== '' && room !== undefined) {
      this.#iqToOccupant(sender, iq, to, room);
      return;
    }
    if (iq.attrs.type !== 'get' && iq.attrs.type !== 'set') return;
    const payload = firstElement(iq);
    if (payload === undefined) return;
    const answer =
      to.local === ''
        ? this.#answerService(iq, payload)
        : room === undefined
          ? errorReply(iq, 'item-not-found')
          : this.#answerRoom(sender, iq, payload, room);
    if (answer !== null) sender.send(wireOf(answer), null);
  }

  #answerService(iq: Element, payload: Element): Element {
    switch (namespaceOf(payload)) {
      case NS.PING:
        return resultReply(iq);
      case NS.DISCO_INFO: {
        const identity = { category: 'conference', type: 'text', name: 'Chat rooms' };
        const features = [NS.DISCO_INFO, NS.DISCO_ITEMS, NS.PING, NS.MUC];
        return infoResult(iq, payload.attrs.node, identity, features);
      }
      case NS.DISCO_ITEMS: {
        const open = [...this.#rooms.values()].filter((room) => room.config.public);
        const items = open.map((room) =>
          element('item', { jid: room.jid.bare, name: room.config.name || room.jid.local }),
        );
        return itemsResult(iq, payload.attrs.node, items);
      }
      default:
        return errorReply(iq, 'service-unavailable');
    }
  }

  #answerRoom(sender: Entity, iq: Element, payload: Element, room: Room): Element {
    const from = this.#from(sender, iq);
    switch (namespaceOf(payload)) {
      case NS.PING:
        return resultReply(iq);
      case NS.DISCO_INFO:
        return infoResult(
          iq,
          payload.attrs.node,
          { category: 'conference', type: 'text', name: room.config.name || room.jid.local },
          [...ROOM_FEATURES, ...roomFeatures(room.config)],
          roomInfo(room.config, room.occupants.size, room.subject.text),
        );
      case NS.DISCO_ITEMS: {
        const listed = room.config.public || room.occupantOf(from) !== undefined;
        const jids = listed ? [...room.occupants.keys()] : [];
        const items = jids.map((nick) =>
          element('item', { jid: withResource(room.jid, nick).full }),
        );
        return itemsResult(iq, payload.attrs.node, items);
      }
      case NS.ARCHIVE:
        return this.#mayReadArchive(room, from)
          ? archiveAnswer(this.#host.archives, room.jid.bare, sender, iq, payload)
          : errorReply(iq, 'forbidden');
      case NS.MUC_ADMIN:
        return adminRequest(this, room, from, iq, payload);
      case NS.MUC_OWNER:
        return ownerRequest(this, room, from, iq, payload);
      default:
        return errorReply(iq, 'service-unavailable');
    }
  }

  /** XEP-0313 5.1.2: who may enter, and knows the password where there is one. */
  #mayReadArchive(room: Room, from: Jid): boolean {
    const affiliation = room.affiliation(from);
    if (affiliation === 'outcast') return false;
    if (room.occupantOf(from) !== undefined || affiliation !== 'none') return true;
    return !room.config.membersOnly && room.config.password === '';
  }

  /** Between occupants; to oneself it is XEP-0410's question whether one is inside still. */
  #iqToOccupant(sender: Entity, iq: Element, to: Jid, room: Room): void {
    const from = room.occupantOf(this.#from(sender, iq));
    const target = room.occupants.get(to.resource);
    const ping = childOf(iq, 'ping', NS.PING) !== undefined;
    if (from === undefined) this.#bounce(sender, iq, 'not-acceptable');
    else if (target === undefined) this.#bounce(sender, iq, 'item-not-found');
    else if (target === from && ping && iq.attrs.type === 'get') {
      sender.send(wireOf(resultReply(iq)), null);
    } else target.entity.send(wireOf(this.#relayed(iq, room, from, target)), null);
  }

  #from(sender: Entity, stanza: Element): Jid {
    return parseJid(stanza.attrs.from ?? '') ?? sender.jid;
  }

  #bounce(sender: Entity, stanza: Element, condition: Condition): void {
    this.#host.router.bounce(sender, stanza, condition);
  }
}

/** XEP-0045 7.2.14. */
function historyRequest(stanza: Element, now: number): HistoryRequest {
  const joining = childOf(stanza, 'x', NS.MUC);
  const asked = joining === undefined ? undefined : childOf(joining, 'history', NS.MUC);
  const number = (name: string, otherwise: number): number => {
    const text = asked?.attrs[name];
    return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : otherwise;
  };
  const seconds = number('seconds', Number.POSITIVE_INFINITY);
  const since = Date.parse(asked?.attrs.since ?? '');
  return {
    stanzas: number('maxstanzas', Number.POSITIVE_INFINITY),
    characters: number('maxchars', Number.POSITIVE_INFINITY),
    since: Math.max(now - seconds * 1000, Number.isNaN(since) ? 0 : since),
  };
}
