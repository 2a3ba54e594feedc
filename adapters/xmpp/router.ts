/**
 * Where a stanza goes (RFC 6120 10): to a person of the host's domain, the host itself, one of the
 * gateway's services, a component, or somebody of a server that a link leads to.
 *
 * The host's own address with a resource stands for the address that the resource spells: so a
 * person can answer what came from there (`Messages.senderOf`).
 */
import { after } from '../../core/eventually.ts';
import { type Element, elementsOf, localName } from './element.ts';
import type { Entity } from './entity.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid } from './jid.ts';
import { receivePresence } from './presence.ts';
import { type Condition, errorReply, isAnswerable } from './stanza-error.ts';
import { isSubscriptionType } from './subscriptions.ts';
import { wireOf } from './wire.ts';

export class Router {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  /** A client's request or answer. Without `to` it is for the account. */
  iq(sender: Entity, stanza: Element, to: Jid, own: boolean): void {
    const { type, id } = stanza.attrs;
    const request = type === 'get' || type === 'set';
    const wellFormed =
      id !== undefined &&
      (request ? elementsOf(stanza).length === 1 : type === 'result' || type === 'error');
    if (!wellFormed) {
      this.bounce(sender, stanza, 'bad-request');
      return;
    }
    if (own) this.#host.requests.account(sender, stanza, to);
    else this.route(sender, stanza, to);
  }

  /** A stanza that somebody sends; `to` is its address. */
  route(sender: Entity, stanza: Element, to: Jid): void {
    if (to.domain === this.#host.domains.host) {
      if (to.local === '') this.#toHost(sender, stanza, to);
      else this.#toPerson(sender, stanza, to);
      return;
    }
    const service = this.#host.services.get(to.domain);
    if (service !== undefined) {
      service.handle(sender, stanza, to);
      return;
    }
    const link = this.#host.links.get(to.domain);
    if (link !== undefined) {
      link.take(sender, stanza, to);
      return;
    }
    const component = this.#host.components.get(to.domain);
    if (component !== undefined) component.send(wireOf(stanza), null);
    else {
      const known = this.#host.options.components.some(({ domain }) => domain === to.domain);
      this.bounce(sender, stanza, known ? 'service-unavailable' : 'remote-server-not-found');
    }
  }

  /** A stanza of the gateway's own: to whom it may concern, or nowhere. */
  send(stanza: Element): void {
    const to = parseJid(stanza.attrs.to ?? '');
    const from = parseJid(stanza.attrs.from ?? '');
    if (to === null || from === null) return;
    if (to.domain !== this.#host.domains.host) {
      this.#elsewhere(to)?.send(wireOf(stanza), null);
      return;
    }
    if (this.#isBlocked(from, to)) return;
    if (localName(stanza) === 'presence') {
      receivePresence(this.#host, stanza, from, to);
      return;
    }
    const account = this.#host.accounts.online(to.local);
    if (account === undefined) return;
    const recipients =
      to.resource === '' ? account.reachable() : [account.sessions.get(to.resource)];
    for (const session of recipients) session?.send(wireOf(stanza), null);
  }

  /** Who is at a full address now. */
  entity(jid: Jid): Entity | undefined {
    if (jid.domain !== this.#host.domains.host) return this.#elsewhere(jid);
    return this.#host.accounts.online(jid.local)?.sessions.get(jid.resource);
  }

  /** The stanza comes back to its sender with an error, where errors may be answered. */
  bounce(sender: Entity, stanza: Element, condition: Condition, text?: string): void {
    // RFC 6120 8.3.1; and presence that nobody takes is not worth an answer but to a subscription.
    if (!isAnswerable(stanza)) return;
    if (localName(stanza) === 'presence' && stanza.attrs.type === 'unavailable') return;
    sender.send(wireOf(errorReply(stanza, condition, { text })), null);
  }

  /** Who stands for everybody of another domain. */
  #elsewhere({ domain }: Jid): Entity | undefined {
    return this.#host.components.get(domain) ?? this.#host.links.get(domain);
  }

  #toHost(sender: Entity, stanza: Element, to: Jid): void {
    const forward = to.resource === '' ? null : parseJid(to.resource);
    const name = localName(stanza);
    if (name === 'iq') this.#host.requests.host(sender, stanza);
    else if (forward !== null && this.#isOurs(forward)) {
      stanza.attrs.to = forward.full;
      this.route(sender, stanza, forward);
    } else if (name === 'message' && stanza.attrs.type !== 'headline') {
      this.bounce(sender, stanza, 'service-unavailable');
    }
  }

  #isOurs(jid: Jid): boolean {
    return (
      jid.local !== '' &&
      (jid.domain === this.#host.domains.host || this.#host.services.has(jid.domain))
    );
  }

  #toPerson(sender: Entity, stanza: Element, to: Jid): void {
    const name = localName(stanza);
    const from = parseJid(stanza.attrs.from ?? '') ?? sender.jid;
    if (this.#isBlocked(from, to)) {
      // XEP-0191 3.3: as if nobody were there.
      const answered = name === 'iq' || (name === 'message' && stanza.attrs.type !== 'groupchat');
      if (answered) this.bounce(sender, stanza, 'service-unavailable');
      return;
    }
    if (name === 'message') this.#host.messages.route(sender, stanza, to);
    else if (name === 'presence') this.#presence(sender, stanza, to);
    else this.#iqToPerson(sender, stanza, to);
  }

  #isBlocked(from: Jid, to: Jid): boolean {
    return this.#host.blocking.blocks(`${to.local}@${to.domain}`, from);
  }

  #presence(sender: Entity, stanza: Element, to: Jid): void {
    const from = parseJid(stanza.attrs.from ?? '') ?? sender.jid;
    if (stanza.attrs.type === 'probe' && sender.jid.local !== '') return;
    if (!isSubscriptionType(stanza.attrs.type) || this.#host.accounts.online(to.local)) {
      receivePresence(this.#host, stanza, from, to);
      return;
    }
    // A subscription is kept for somebody who is away, if there is such a person at all.
    sender.hold();
    after(
      () => this.#host.accounts.exists(to.local),
      (exists) => {
        if (exists) receivePresence(this.#host, stanza, from, to);
        sender.release();
      },
      () => sender.release(),
    );
  }

  /** RFC 6121 8.5.1, 8.5.2.1.3, 8.5.3.1. */
  #iqToPerson(sender: Entity, stanza: Element, to: Jid): void {
    if (to.resource === '') {
      this.#host.requests.account(sender, stanza, to);
      return;
    }
    const session = this.#host.accounts.online(to.local)?.sessions.get(to.resource);
    if (session !== undefined) session.send(wireOf(stanza), null);
    else this.bounce(sender, stanza, 'service-unavailable');
  }
}
