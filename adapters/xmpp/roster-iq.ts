/** Requests about the roster (RFC 6121 2), and the pushes that follow from them. */
import type { Account } from './account.ts';
import { childrenOf, type Element, element, firstElement } from './element.ts';
import type { Host } from './host.ts';
import { bareOf, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import { contactItem, rosterQuery } from './roster.ts';
import type { ClientSession } from './session.ts';
import { errorReply, resultReply } from './stanza-error.ts';
import { wireOf } from './wire.ts';

const NAME_CHARACTERS_MAX = 1023;

/** The answer to a roster get or set. */
export function rosterRequest(host: Host, session: ClientSession, iq: Element): Element {
  const query = firstElement(iq);
  if (query === undefined) return errorReply(iq, 'bad-request');
  return iq.attrs.type === 'get' ? get(session, iq, query) : set(host, session, iq, query);
}

/** RFC 6121 2.1.6: to every resource that asked for the roster. */
export function pushContact(host: Host, account: Account, item: Element): void {
  for (const session of account.sessions.values()) {
    if (!session.interested) continue;
    const push = element(
      'iq',
      { type: 'set', id: host.nextId(), to: session.jid.full, from: account.jid.bare },
      rosterQuery(account.roster.version, [item]),
    );
    session.send(wireOf(push), null);
  }
}

function get(session: ClientSession, iq: Element, query: Element): Element {
  session.interested = true;
  const { roster } = session.account;
  // RFC 6121 2.6: the client's copy is up to date.
  if (query.attrs.ver === roster.version && roster.version !== '0') return resultReply(iq);
  const items = Array.from(roster.contacts(), contactItem);
  const version = query.attrs.ver === undefined ? null : roster.version;
  return resultReply(iq, rosterQuery(version, items));
}

/** RFC 6121 2.3, 2.4, 2.5. */
function set(host: Host, session: ClientSession, iq: Element, query: Element): Element {
  const items = childrenOf(query, 'item', NS.ROSTER);
  const [item] = items;
  if (item === undefined || items.length !== 1) return errorReply(iq, 'bad-request');
  const parsed = item.attrs.jid === undefined ? null : parseJid(item.attrs.jid);
  if (parsed === null) {
    return errorReply(iq, item.attrs.jid === undefined ? 'bad-request' : 'jid-malformed');
  }
  const jid = bareOf(parsed);
  const { account } = session;
  if (jid.bare === account.jid.bare) return errorReply(iq, 'not-allowed');
  if (item.attrs.subscription === 'remove') return remove(host, session, iq, jid.bare);
  const groups = childrenOf(item, 'group', NS.ROSTER).map((group) => group.getText());
  if (new Set(groups).size !== groups.length) return errorReply(iq, 'bad-request');
  const { name } = item.attrs;
  const tooLong = [name ?? '', ...groups].some((text) => text.length > NAME_CHARACTERS_MAX);
  if (tooLong || groups.includes('')) return errorReply(iq, 'not-acceptable');
  const { roster } = account;
  if (roster.find(jid.bare) === undefined && roster.size >= host.limits.xmppRosterMax) {
    return errorReply(iq, 'resource-constraint');
  }
  const contact = roster.contact(jid.bare);
  contact.name = name === undefined || name === '' ? null : name;
  contact.groups = groups;
  roster.save();
  pushContact(host, account, contactItem(contact));
  return resultReply(iq);
}

function remove(host: Host, session: ClientSession, iq: Element, jid: string): Element {
  const { account } = session;
  const contact = account.roster.find(jid);
  if (contact === undefined) return errorReply(iq, 'item-not-found');
  const parsed = parseJid(jid);
  if (parsed !== null) host.subscriptions.cancel(session, parsed, contact);
  account.roster.remove(jid);
  account.roster.save();
  pushContact(host, account, element('item', { jid, subscription: 'remove' }));
  return resultReply(iq);
}
