/**
 * XEP-0191: whom an account wants to hear nothing from. Stanzas from them are refused as if nobody
 * were there, and they see the account's resources leave.
 */
import type { Account } from './account.ts';
import { childrenOf, type Element, element, localName } from './element.ts';
import type { Host } from './host.ts';
import { bareOf, type Jid, parseJid } from './jid.ts';
import { JsonTable } from './json-table.ts';
import { NS } from './namespaces.ts';
import type { ClientSession } from './session.ts';
import { errorReply, resultReply } from './stanza-error.ts';
import { wireOf } from './wire.ts';

export class Blocking {
  readonly #host: Host;
  readonly #stored: JsonTable<string[]>;
  /** By bare JID; only accounts that block somebody are in it. */
  readonly #lists = new Map<string, Set<string>>();

  constructor(host: Host) {
    this.#host = host;
    this.#stored = new JsonTable(host.context.engine.table('xmpp.blocked'));
    for (const [bare, list] of this.#stored.entries()) this.#lists.set(bare, new Set(list));
  }

  /** Whether the account with bare JID `owner` blocks `jid`. */
  blocks(owner: string, jid: Jid): boolean {
    const list = this.#lists.get(owner);
    if (list === undefined || jid.bare === owner) return false;
    return list.has(jid.full) || list.has(jid.bare) || list.has(jid.domain);
  }

  /** The account is gone. */
  forget(owner: string): void {
    this.#lists.delete(owner);
    this.#stored.delete(owner);
  }

  request(session: ClientSession, iq: Element, payload: Element): Element {
    const name = localName(payload);
    const list = this.#lists.get(session.jid.bare) ?? new Set<string>();
    if (iq.attrs.type === 'get') {
      if (name !== 'blocklist') return errorReply(iq, 'bad-request');
      const items = [...list].map((jid) => element('item', { jid }));
      session.blockInterested = true;
      return resultReply(iq, element('blocklist', { xmlns: NS.BLOCKING }, ...items));
    }
    const items = childrenOf(payload, 'item', NS.BLOCKING).map((item) =>
      parseJid(item.attrs.jid ?? ''),
    );
    const jids = items.filter((jid): jid is Jid => jid !== null);
    if (jids.length < items.length) return errorReply(iq, 'jid-malformed');
    if (name === 'block') {
      if (jids.length === 0) return errorReply(iq, 'bad-request');
      if (list.size + jids.length > this.#host.limits.xmppBlockedMax) {
        return errorReply(iq, 'resource-constraint');
      }
      // Before they are blocked, or they would not hear of it.
      for (const jid of jids) this.#show(session.account, jid, true);
      for (const jid of jids) list.add(jid.full);
      this.#save(session.jid.bare, list);
    } else if (name === 'unblock') {
      const freed = jids.length === 0 ? [...list] : jids.map((jid) => jid.full);
      for (const jid of freed) list.delete(jid);
      this.#save(session.jid.bare, list);
      for (const text of freed) {
        const jid = parseJid(text);
        if (jid !== null) this.#show(session.account, jid, false);
      }
    } else return errorReply(iq, 'bad-request');
    this.#push(session.account, name, jids);
    return resultReply(iq);
  }

  /** The error for a stanza to somebody whom the sender blocks (XEP-0191 3.3). */
  refusal(stanza: Element): Element {
    const specific = element('blocked', { xmlns: NS.BLOCKING_ERRORS });
    return errorReply(stanza, 'not-acceptable', { specific });
  }

  #save(bare: string, list: Set<string>): void {
    if (list.size === 0) {
      this.#lists.delete(bare);
      this.#stored.delete(bare);
      return;
    }
    this.#lists.set(bare, list);
    this.#stored.set(bare, [...list]);
  }

  #push(account: Account, name: string, jids: readonly Jid[]): void {
    for (const session of account.sessions.values()) {
      if (!session.blockInterested) continue;
      const items = jids.map((jid) => element('item', { jid: jid.full }));
      const push = element(
        'iq',
        { type: 'set', id: this.#host.nextId(), to: session.jid.full },
        element(name, { xmlns: NS.BLOCKING }, ...items),
      );
      session.send(wireOf(push), null);
    }
  }

  /** To a contact that sees the account's presence: that it left, or that it is there. */
  #show(account: Account, jid: Jid, gone: boolean): void {
    if (!account.roster.shows(jid.bare)) return;
    for (const session of account.available()) session.presence.showTo(bareOf(jid), gone);
  }
}
