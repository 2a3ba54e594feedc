/**
 * Administration of a chat room: roles and affiliations (XEP-0045 8, 9), configuration and end
 * (10).
 */
import { childOf, childrenOf, childText, type Element, element, firstElement } from './element.ts';
import { submitted } from './form.ts';
import { bareOf, type Jid, parseJid } from './jid.ts';
import type { Muc } from './muc.ts';
import { applyConfig, configForm } from './muc-config.ts';
import { type Affiliation, type Occupant, type Role, type Room, roleFor } from './muc-room.ts';
import { NS } from './namespaces.ts';
import { type Condition, errorReply, resultReply } from './stanza-error.ts';

const RANK: Readonly<Record<Affiliation, number>> = {
  outcast: 0,
  none: 1,
  member: 2,
  admin: 3,
  owner: 4,
};

export function adminRequest(
  muc: Muc,
  room: Room,
  from: Jid,
  iq: Element,
  query: Element,
): Element {
  const items = childrenOf(query, 'item', NS.MUC_ADMIN);
  if (items.length === 0) return errorReply(iq, 'bad-request');
  if (iq.attrs.type === 'get') return list(room, from, iq, items[0] ?? query);
  for (const item of items) {
    const refusal = change(muc, room, from, item);
    if (refusal !== null) return errorReply(iq, refusal);
  }
  return resultReply(iq);
}

export function ownerRequest(
  muc: Muc,
  room: Room,
  from: Jid,
  iq: Element,
  query: Element,
): Element {
  if (room.affiliation(from) !== 'owner') return errorReply(iq, 'forbidden');
  if (iq.attrs.type === 'get') {
    return resultReply(iq, element('query', { xmlns: NS.MUC_OWNER }, configForm(room.config)));
  }
  const destroy = childOf(query, 'destroy', NS.MUC_OWNER);
  if (destroy !== undefined) {
    muc.destroy(room, destroy);
    return resultReply(iq);
  }
  const values = submitted(query);
  if (values === 'cancel') return resultReply(iq);
  // An empty query accepts the defaults (XEP-0045 10.1.2).
  if (values === null) {
    return firstElement(query) === undefined ? resultReply(iq) : errorReply(iq, 'bad-request');
  }
  if (!applyConfig(room.config, values)) return errorReply(iq, 'not-acceptable');
  muc.save(room);
  const changed = element('x', { xmlns: NS.MUC_USER }, element('status', { code: '104' }));
  room.announce(element('message', { from: room.jid.bare, type: 'groupchat' }, changed));
  if (room.config.membersOnly) expelStrangers(room);
  return resultReply(iq);
}

/** XEP-0045 9.3, 10.2: nobody stays who could not enter. */
function expelStrangers(room: Room): void {
  for (const occupant of [...room.occupants.values()]) {
    if (room.affiliation(occupant.jid) === 'none') room.leave(occupant, ['322']);
  }
}

function list(room: Room, from: Jid, iq: Element, item: Element): Element {
  const { affiliation, role } = item.attrs;
  const viewer = room.occupantOf(from);
  const admin = RANK[room.affiliation(from)] >= RANK.admin;
  if (role !== undefined) {
    if (viewer?.role !== 'moderator') return errorReply(iq, 'forbidden');
    const found = [...room.occupants.values()].filter((occupant) => occupant.role === role);
    return result(
      iq,
      found.map((occupant) => describe(room, occupant)),
    );
  }
  if (!isAffiliation(affiliation)) return errorReply(iq, 'bad-request');
  if (!admin) return errorReply(iq, 'forbidden');
  const found = [...room.affiliations].filter(([, held]) => held === affiliation);
  return result(
    iq,
    found.map(([jid]) => element('item', { affiliation, jid })),
  );
}

function result(iq: Element, items: readonly Element[]): Element {
  return resultReply(iq, element('query', { xmlns: NS.MUC_ADMIN }, ...items));
}

function describe(room: Room, occupant: Occupant): Element {
  return element('item', {
    affiliation: room.affiliation(occupant.jid),
    role: occupant.role,
    nick: occupant.nick,
    jid: occupant.jid.full,
  });
}

function change(muc: Muc, room: Room, from: Jid, item: Element): Condition | null {
  const { role, affiliation, nick, jid } = item.attrs;
  const target = nick === undefined ? undefined : room.occupants.get(nick);
  if (role !== undefined) {
    if (!isRole(role)) return 'bad-request';
    if (target === undefined) return 'item-not-found';
    return changeRole(room, from, target, role, item);
  }
  if (!isAffiliation(affiliation)) return 'bad-request';
  const who = jid === undefined ? target?.jid : parseJid(jid);
  if (who === null) return 'jid-malformed';
  if (who === undefined) return 'item-not-found';
  return changeAffiliation(muc, room, from, bareOf(who), affiliation, item);
}

/** XEP-0045 8.2 to 8.4, 9.6, 9.7. */
function changeRole(
  room: Room,
  from: Jid,
  target: Occupant,
  role: Role,
  item: Element,
): Condition | null {
  const actor = room.occupantOf(from);
  if (actor?.role !== 'moderator') return 'forbidden';
  const own = RANK[room.affiliation(from)];
  const other = RANK[room.affiliation(target.jid)];
  if (other >= RANK.admin && other >= own && target !== actor) return 'not-allowed';
  if ((role === 'moderator' || target.role === 'moderator') && own < RANK.admin)
    return 'not-allowed';
  if (role === 'none') {
    room.leave(target, ['307'], details(actor, item));
    return null;
  }
  target.role = role;
  room.update(target, details(actor, item));
  return null;
}

/** XEP-0045 9.1 to 9.5, 10.3 to 10.8. */
function changeAffiliation(
  muc: Muc,
  room: Room,
  from: Jid,
  who: Jid,
  affiliation: Affiliation,
  item: Element,
): Condition | null {
  const own = RANK[room.affiliation(from)];
  const before = RANK[room.affiliation(who)];
  if (own < RANK.admin) return 'forbidden';
  const touchesHigh = RANK[affiliation] >= RANK.admin || before >= RANK.admin;
  if (touchesHigh && own < RANK.owner) return 'not-allowed';
  const owners = [...room.affiliations.values()].filter((held) => held === 'owner').length;
  // XEP-0045 10.6: a room is never without an owner.
  if (before === RANK.owner && affiliation !== 'owner' && owners === 1) return 'conflict';
  if (affiliation === 'none') room.affiliations.delete(who.bare);
  else room.affiliations.set(who.bare, affiliation);
  muc.save(room);
  const actor = room.occupantOf(from);
  for (const occupant of [...room.occupants.values()]) {
    if (occupant.jid.bare !== who.bare) continue;
    if (affiliation === 'outcast') room.leave(occupant, ['301'], details(actor, item));
    else if (affiliation === 'none' && room.config.membersOnly)
      room.leave(occupant, ['321'], details(actor, item));
    else {
      occupant.role = roleFor(room, occupant.jid);
      room.update(occupant, details(actor, item));
    }
  }
  return null;
}

function details(actor: Occupant | undefined, item: Element): Element[] {
  const reason = childText(item, 'reason', NS.MUC_ADMIN);
  const told: Element[] = [];
  if (actor !== undefined) told.push(element('actor', { nick: actor.nick }));
  if (reason !== null) told.push(element('reason', {}, reason));
  return told;
}

function isRole(text: string): text is Role {
  return /^(moderator|participant|visitor|none)$/.test(text);
}

function isAffiliation(text: string | undefined): text is Affiliation {
  return text !== undefined && Object.hasOwn(RANK, text);
}
