/**
 * Presence of one resource (RFC 6121 4): what it said last, who is told, and who is told that it
 * left.
 */
import { childText, type Element, element, withAttributes } from './element.ts';
import type { Host } from './host.ts';
import { type Jid, makeJid, parseJid } from './jid.ts';
import type { ClientSession } from './session.ts';
import { isSubscriptionType } from './subscriptions.ts';
import { NO_PREFIXES, parseElement } from './tokenizer.ts';
import { wireOf } from './wire.ts';

export class PresenceState {
  readonly #host: Host;
  readonly #session: ClientSession;
  #current: Element | null = null;
  #priority = 0;
  /** Who got presence directly, and must hear of the end (RFC 6121 4.6.3). */
  readonly #directed = new Map<string, Jid>();

  constructor(host: Host, session: ClientSession) {
    this.#host = host;
    this.#session = session;
  }

  get available(): boolean {
    return this.#current !== null;
  }

  get priority(): number {
    return this.#priority;
  }

  /** The last presence that was broadcast. */
  get current(): Element | null {
    return this.#current;
  }

  /** A presence stanza of the client's. */
  sent(stanza: Element, to: Jid | null): void {
    const { type } = stanza.attrs;
    if (type !== undefined && !/^(unavailable|probe|error|(un)?subscribed?)$/.test(type)) {
      this.#session.bounce(stanza, 'bad-request');
    } else if (isSubscriptionType(type)) {
      if (to !== null) this.#host.subscriptions.sent(this.#session, stanza, to, type);
    } else if (to !== null) this.#direct(stanza, to);
    else if (type === undefined) this.#broadcast(stanza);
    else if (type === 'unavailable') this.#leave(stanza);
  }

  /** Tells one contact how things are. */
  showTo(contact: Jid, gone: boolean): void {
    const stanza = gone ? unavailable(this.#session.jid) : this.#current;
    if (stanza !== null) this.#host.router.send(withAttributes(stanza, { to: contact.full }));
  }

  /** The people of these domains can be reached: they are told, and asked. */
  meet(domains: ReadonlySet<string>): void {
    for (const [contact, jid] of this.#contactsOf(domains)) {
      if (this.#session.account.roster.shows(contact)) this.showTo(jid, false);
      if (this.#session.account.roster.sees(contact)) this.#probe(contact);
    }
  }

  /** The people of these domains cannot be reached any more. */
  miss(domains: ReadonlySet<string>): void {
    for (const [contact, jid] of this.#contactsOf(domains)) {
      if (this.#session.account.roster.sees(contact)) this.#receive(unavailable(jid));
    }
  }

  *#contactsOf(domains: ReadonlySet<string>): Iterable<readonly [string, Jid]> {
    for (const { jid: contact } of this.#session.account.roster.contacts()) {
      const jid = parseJid(contact);
      if (jid !== null && domains.has(jid.domain)) yield [contact, jid];
    }
  }

  /** The session is over. */
  ended(): void {
    this.#leave(unavailable(this.#session.jid));
  }

  #direct(stanza: Element, to: Jid): void {
    if (stanza.attrs.type === undefined) {
      if (this.#directed.size >= this.#host.limits.xmppDirectedPresenceMax) {
        this.#session.bounce(stanza, 'resource-constraint');
        return;
      }
      this.#directed.set(to.full, to);
    } else if (stanza.attrs.type === 'unavailable') this.#directed.delete(to.full);
    this.#host.router.route(this.#session, stanza, to);
  }

  /** RFC 6121 4.2 for the first, 4.4 for those that follow. */
  #broadcast(stanza: Element): void {
    const said = childText(stanza, 'priority', '')?.trim() ?? '0';
    const priority = /^[+-]?\d{1,3}$/.test(said) ? Number(said) : Number.NaN;
    if (!(priority >= -128 && priority <= 127)) {
      this.#session.bounce(stanza, 'bad-request');
      return;
    }
    const initial = this.#current === null;
    this.#current = stanza;
    this.#priority = priority;
    this.#tellAll(stanza);
    if (initial) this.#enter();
    this.#host.caps.seen(this.#session, stanza);
    this.#session.account.inbox.update();
  }

  #leave(stanza: Element): void {
    if (this.#current !== null) {
      // RFC 6121 4.5.2: the resource that leaves is told too.
      this.#tellAll(stanza);
      this.#current = null;
    }
    for (const to of this.#directed.values()) {
      this.#host.router.route(this.#session, withAttributes(stanza, { to: to.full }), to);
    }
    this.#directed.clear();
    this.#session.account.inbox.update();
  }

  /** Contacts that may see it, and the person's other resources. */
  #tellAll(stanza: Element): void {
    const { account } = this.#session;
    for (const contact of account.roster.contacts()) {
      if (account.roster.shows(contact.jid) && !this.#blocks(contact.jid)) {
        this.#host.router.send(withAttributes(stanza, { to: contact.jid }));
      }
    }
    for (const other of account.available()) {
      other.send(wireOf(withAttributes(stanza, { to: account.jid.bare })), null);
    }
  }

  /** XEP-0191 3.3: who is blocked sees nothing. */
  #blocks(contact: string): boolean {
    const jid = parseJid(contact);
    return jid !== null && this.#host.blocking.blocks(this.#session.jid.bare, jid);
  }

  /** What an arriving resource is told: contacts' presence, its siblings', requests that wait. */
  #enter(): void {
    const { account } = this.#session;
    for (const other of account.available()) {
      const { current } = other.presence;
      if (other !== this.#session && current !== null) this.#receive(current);
    }
    for (const contact of account.roster.contacts()) {
      if (account.roster.sees(contact.jid)) this.#probe(contact.jid);
    }
    for (const request of account.roster.requests()) {
      this.#session.send(wireOf(parseElement(request, NO_PREFIXES)), null);
    }
  }

  /** RFC 6121 4.3; the server of most contacts is this one, so the question answers itself. */
  #probe(contact: string): void {
    const jid = parseJid(contact);
    if (jid === null) return;
    if (jid.domain !== this.#host.domains.host || jid.local === '') {
      const { full } = this.#session.jid;
      this.#host.router.send(element('presence', { type: 'probe', from: full, to: contact }));
      return;
    }
    for (const other of this.#host.accounts.online(jid.local)?.available() ?? []) {
      const { current } = other.presence;
      if (current !== null && other.account.roster.shows(this.#session.jid.bare)) {
        this.#receive(current);
      }
    }
  }

  #receive(presence: Element): void {
    this.#session.send(wireOf(withAttributes(presence, { to: this.#session.jid.full })), null);
  }
}

export function unavailable(from: Jid): Element {
  return element('presence', { type: 'unavailable', from: from.full });
}

/** Presence to a user of this domain (RFC 6121 8.5.2.1.2, 8.5.3.1). */
export function receivePresence(host: Host, stanza: Element, from: Jid, to: Jid): void {
  const { type } = stanza.attrs;
  if (isSubscriptionType(type)) {
    host.subscriptions.received(stanza, from, to, type);
    return;
  }
  const account = host.accounts.online(to.local);
  if (type === 'probe') {
    answerProbe(host, from, makeJid(to.local, to.domain, ''));
    return;
  }
  if (account === undefined) return;
  if (to.resource !== '') {
    account.sessions.get(to.resource)?.send(wireOf(stanza), null);
    return;
  }
  for (const session of account.available()) session.send(wireOf(stanza), null);
}

function answerProbe(host: Host, from: Jid, to: Jid): void {
  const account = host.accounts.peek(to.local);
  if (!account.roster.shows(from.bare)) {
    host.router.send(element('presence', { type: 'unsubscribed', from: to.bare, to: from.full }));
    return;
  }
  for (const session of account.available()) session.presence.showTo(from, false);
}
