/**
 * The subscription state machine (RFC 6121 3, tables of appendix A). The outbound half runs at the
 * sender's account, the inbound half at the receiver's, which need not be online.
 */
import type { Account } from './account.ts';
import { type Element, element, serialize } from './element.ts';
import type { Host } from './host.ts';
import { bareOf, type Jid } from './jid.ts';
import { type Contact, contactItem, withFrom, withTo } from './roster.ts';
import { pushContact } from './roster-iq.ts';
import type { ClientSession } from './session.ts';
import { wireOf } from './wire.ts';

export type SubscriptionType = 'subscribe' | 'subscribed' | 'unsubscribe' | 'unsubscribed';

export function isSubscriptionType(type: string | undefined): type is SubscriptionType {
  return /^(un)?subscribed?$/.test(type ?? '');
}

export class Subscriptions {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  /** A client's stanza to a contact (appendix A.2). */
  sent(session: ClientSession, stanza: Element, to: Jid, type: SubscriptionType): void {
    const { account } = session;
    const contact = bareOf(to);
    // RFC 6121 3.1.2: from the account, not from the resource.
    stanza.attrs.from = account.jid.bare;
    stanza.attrs.to = contact.bare;
    if (contact.bare === account.jid.bare) {
      session.bounce(stanza, 'bad-request');
      return;
    }
    const { roster } = account;
    if (type === 'subscribe') {
      if (
        roster.find(contact.bare) === undefined &&
        roster.size >= this.#host.limits.xmppRosterMax
      ) {
        session.bounce(stanza, 'resource-constraint');
        return;
      }
      const entry = roster.contact(contact.bare);
      if (!entry.asked && !roster.sees(contact.bare)) {
        entry.asked = true;
        this.#changed(account, entry);
      }
    } else if (type === 'unsubscribe') {
      const entry = roster.find(contact.bare);
      if (entry !== undefined && (entry.asked || roster.sees(contact.bare))) {
        entry.asked = false;
        entry.subscription = withTo(entry.subscription, false);
        this.#changed(account, entry);
      }
    } else if (!this.#answered(account, contact, type)) return;
    this.#host.router.route(session, stanza, contact);
    if (type === 'subscribed') this.#showAll(account, contact, false);
    if (type === 'unsubscribed') this.#showAll(account, contact, true);
  }

  /** A stanza for an account of ours (appendix A.3). */
  received(stanza: Element, from: Jid, to: Jid, type: SubscriptionType): void {
    const account = this.#host.accounts.peek(to.local);
    const sender = bareOf(from);
    const { roster } = account;
    const entry = roster.find(sender.bare);
    if (type === 'subscribe') this.#requested(account, stanza, sender);
    else if (type === 'unsubscribe') {
      const pending = roster.removeRequest(sender.bare);
      const shown = roster.shows(sender.bare);
      if (!pending && !shown) return;
      // RFC 6121 3.3.3: the stanza, the push, and the end of the presence.
      this.#tell(account, stanza);
      if (entry !== undefined && shown) {
        entry.subscription = withFrom(entry.subscription, false);
        this.#changed(account, entry);
        this.#showAll(account, sender, true);
      }
    } else if (entry !== undefined && type === 'subscribed') {
      if (!entry.asked) return;
      entry.asked = false;
      entry.subscription = withTo(entry.subscription, true);
      this.#tell(account, stanza);
      this.#changed(account, entry);
    } else if (entry !== undefined) {
      if (!entry.asked && !roster.sees(sender.bare)) return;
      entry.asked = false;
      entry.subscription = withTo(entry.subscription, false);
      this.#tell(account, stanza);
      this.#changed(account, entry);
    }
  }

  /** Both directions end, since the contact leaves the roster (RFC 6121 2.5.2). */
  cancel(session: ClientSession, jid: Jid, contact: Contact): void {
    const { account } = session;
    const send = (type: SubscriptionType): void => {
      const stanza = element('presence', { type, from: account.jid.bare, to: jid.bare });
      this.#host.router.route(session, stanza, jid);
    };
    const wasShown = account.roster.shows(jid.bare);
    const wasSeen = contact.asked || account.roster.sees(jid.bare);
    if (wasSeen) send('unsubscribe');
    if (wasShown || account.roster.removeRequest(jid.bare)) send('unsubscribed');
    if (wasShown) this.#showAll(account, jid, true);
  }

  #requested(account: Account, stanza: Element, sender: Jid): void {
    const { roster } = account;
    if (roster.shows(sender.bare)) {
      // RFC 6121 3.1.3: answered already, so the server answers.
      this.#host.router.send(
        element('presence', { type: 'subscribed', from: account.jid.bare, to: sender.bare }),
      );
      return;
    }
    const approved = roster.find(sender.bare);
    if (approved?.approved === true) {
      this.#welcome(account, approved, sender);
      return;
    }
    if (roster.hasRequest(sender.bare)) return;
    roster.addRequest(sender.bare, serialize(stanza));
    this.#tell(account, stanza);
  }

  /** False where there is nothing to answer: then it is not routed (appendix A.2.3, A.2.4). */
  #answered(account: Account, contact: Jid, type: 'subscribed' | 'unsubscribed'): boolean {
    const { roster } = account;
    const requested = roster.removeRequest(contact.bare);
    if (type === 'subscribed') {
      if (!requested) {
        this.#approve(account, contact.bare);
        return false;
      }
      const entry = roster.contact(contact.bare);
      entry.subscription = withFrom(entry.subscription, true);
      this.#changed(account, entry);
      return true;
    }
    const entry = roster.find(contact.bare);
    const shown = roster.shows(contact.bare);
    if (entry === undefined || (!shown && entry.approved !== true)) return requested;
    entry.approved = false;
    entry.subscription = withFrom(entry.subscription, false);
    this.#changed(account, entry);
    return requested || shown;
  }

  /** RFC 6121 3.4.1: an answer to a request that may come. */
  #approve(account: Account, contact: string): void {
    const { roster } = account;
    const isNew = roster.find(contact) === undefined;
    if (roster.shows(contact) || (isNew && roster.size >= this.#host.limits.xmppRosterMax)) return;
    const entry = roster.contact(contact);
    if (entry.approved === true) return;
    entry.approved = true;
    this.#changed(account, entry);
  }

  /** RFC 6121 3.4.2: a request that was answered before it came. */
  #welcome(account: Account, entry: Contact, sender: Jid): void {
    entry.subscription = withFrom(entry.subscription, true);
    this.#changed(account, entry);
    this.#host.router.send(
      element('presence', { type: 'subscribed', from: account.jid.bare, to: sender.bare }),
    );
    this.#showAll(account, sender, false);
  }

  /** To every available resource (RFC 6121 3.1.3). */
  #tell(account: Account, stanza: Element): void {
    for (const session of account.available()) session.send(wireOf(stanza), null);
  }

  #changed(account: Account, contact: Contact): void {
    account.roster.save();
    pushContact(this.#host, account, contactItem(contact));
  }

  /** The presence of all resources, or its end, to somebody whose right to it has changed. */
  #showAll(account: Account, contact: Jid, gone: boolean): void {
    for (const session of account.available()) session.presence.showTo(contact, gone);
  }
}
