/**
 * Message stanzas to and from people (RFC 6121 8.5). They all pass the exchange `amq.xmpp`, so
 * other protocols see and send them; this decides which go there, and who gets what comes back.
 *
 *     to           nobody reachable            reachable
 *     full, there                              that resource
 *     bare  chat, normal   inbox               the preferred resources
 *           headline       dropped             all resources
 *           groupchat      service-unavailable service-unavailable
 *           error          dropped             dropped
 */
import { XMPP_EXCHANGE } from '../../core/address.ts';
import { type Delivery, Outcome } from '../../core/engine.ts';
import { after } from '../../core/eventually.ts';
import { Message } from '../../core/message.ts';
import type { Account } from './account.ts';
import { jidOfAddress } from './address.ts';
import { dropStanzaIds, isArchivable, stanzaId } from './archive.ts';
import { carbonCopies } from './carbons.ts';
import {
  childOf,
  childrenOf,
  type Element,
  elementsOf,
  namespaceOf,
  serialize,
  withAttributes,
} from './element.ts';
import type { Entity } from './entity.ts';
import { bodyOf, nativeOf, shimHeader } from './format.ts';
import type { Host } from './host.ts';
import { bareOf, type Jid, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import { giveToInbox } from './personal-queue.ts';
import { quietly } from './quietly.ts';
import type { ClientSession } from './session.ts';
import { delay, messageWire, type Receipt, senderOf, typeOfNative } from './wire.ts';

/** No sender's address: the person answers to the host, or to what the host's resource says. */
const PRIORITY_MAX = 255;

export class Messages {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  /** What a stanza says, as a message for any exchange. */
  build(
    stanza: Element,
    from: string,
    exchange: string,
    routingKey: string,
    durable: boolean,
    retain: boolean = false,
  ): Message {
    const now = this.#host.context.clock.now();
    const shim = childOf(stanza, 'headers', NS.SHIM) !== undefined;
    const life = shim ? Number(shimHeader(stanza, 'Expiration') ?? Number.NaN) : Number.NaN;
    const priority = shim ? Number(shimHeader(stanza, 'Priority') ?? 0) : 0;
    return new Message(
      this.#host.format,
      nativeOf(stanza, from),
      bodyOf(stanza),
      exchange,
      routingKey,
      durable,
      Number.isInteger(priority) && priority >= 0 && priority <= PRIORITY_MAX ? priority : 0,
      Number.isFinite(life) && life >= 0 ? now + life : 0,
      now,
      retain,
    );
  }

  /** A client's own message, to anybody. */
  sent(session: ClientSession, stanza: Element, to: Jid): void {
    // RFC 6121 5.2.2: what is no type is normal.
    if (!isMessageType(stanza.attrs.type)) delete stanza.attrs.type;
    if (stanza.attrs.to === undefined) stanza.attrs.to = to.full;
    if (isArchivable(stanza)) this.#archiveSent(session, stanza, to);
    if (session.account.sessions.size > 1) this.#copySent(session, stanza);
    this.#host.router.route(session, stanza, to);
  }

  /** A message to somebody of this domain. */
  route(sender: Entity, stanza: Element, to: Jid): void {
    const type = stanza.attrs.type ?? 'normal';
    dropStanzaIds(stanza, bareOf(to).bare);
    const account = this.#host.accounts.online(to.local);
    if (to.resource !== '') {
      if (account?.sessions.has(to.resource) === true) {
        const unrouted = (): void => this.#keep(sender, stanza, bareOf(to));
        this.#publish(sender, stanza, to.full, unrouted);
        return;
      }
      // RFC 6121 8.5.3.2: without that resource, a chat goes the way of a bare address.
      if (type === 'error' || type === 'headline') return;
    }
    if (type === 'error') return;
    if (type === 'groupchat') {
      this.#host.router.bounce(sender, stanza, 'service-unavailable');
      return;
    }
    this.#keep(sender, stanza, bareOf(to));
  }

  /** To somebody of another server, whose link has it in its queue until that server has. */
  abroad(sender: Entity, stanza: Element, to: Jid): void {
    const from = stanza.attrs.from ?? sender.jid.full;
    const message = this.build(stanza, from, XMPP_EXCHANGE, to.full, isStorable(stanza));
    sender.publish(message, stanza, true);
  }

  /** A message for one resource. */
  deliverFull(session: ClientSession, delivery: Delivery): void {
    const { message } = delivery;
    if (this.#host.rpc.request(session, message)) {
      delivery.settle(Outcome.ACCEPT);
      return;
    }
    const receipt: Receipt = {
      acknowledged: () => delivery.settle(Outcome.ACCEPT),
      lost: () =>
        quietly(this.#host.log, 'giving to an inbox', () => giveToInbox(this.#host, delivery)),
    };
    this.#count(delivery.attempts > 0);
    const native = message.as(this.#host.format, this.#host.context.clock.now());
    const from = this.senderOf(message, native);
    const extra = this.#archiveForeign(message, native, from, session.jid.bare);
    session.send(messageWire(native, from, session.jid.full, extra), receipt);
    this.#copyReceived(session.account, [session], native, from, session.jid.full);
  }

  /** A message from the inbox. */
  deliverBare(account: Account, delivery: Delivery, delayed: boolean): void {
    const { message } = delivery;
    const native = message.as(this.#host.format, this.#host.context.clock.now());
    const headline = typeOfNative(native) === 'headline';
    const recipients = headline ? account.reachable() : account.preferred();
    const handover = new Handover(delivery, recipients.length);
    const from = this.senderOf(message, native);
    const again = delivery.attempts > 0;
    const extra =
      (delayed ? serialize(delay(message, this.#host.domains.host)) : '') +
      (again ? '' : this.#archiveForeign(message, native, from, account.jid.bare));
    this.#count(again);
    for (const session of recipients) {
      // RFC 6121 8.5.2.1.1: the address stays the one that was written to.
      session.send(messageWire(native, from, account.jid.bare, extra), handover);
    }
    if (!headline) this.#copyReceived(account, recipients, native, from, account.jid.bare);
  }

  /**
   * Who a person sees as the sender. Only what XMPP itself wrote names a person; another protocol's
   * reply address that does stands behind the host's own name, where an answer finds it.
   */
  senderOf(message: Message, native: Buffer): string {
    const written = senderOf(native, this.#host.format);
    if (written !== '') return written;
    const { domains } = this.#host;
    const { replyTo } = message.properties;
    const reply = replyTo === undefined ? null : jidOfAddress(replyTo, domains);
    if (reply === null) return domains.host;
    return reply.domain === domains.queues || reply.domain === domains.exchanges
      ? reply.full
      : `${domains.host}/${reply.full}`;
  }

  /** To the bare address: the inbox decides whether now or later. */
  #keep(sender: Entity, stanza: Element, to: Jid): void {
    const headline = stanza.attrs.type === 'headline';
    const reachable = (this.#host.accounts.online(to.local)?.reachable().length ?? 0) > 0;
    if (reachable) {
      this.#publish(sender, stanza, to.bare, undefined);
      return;
    }
    sender.hold();
    after(
      () => this.#host.accounts.prepare(to.local),
      (exists) => {
        if (!exists) this.#host.router.bounce(sender, stanza, 'service-unavailable');
        else if (!headline && isStorable(stanza)) this.#publish(sender, stanza, to.bare, undefined);
        sender.release();
      },
      () => {
        this.#host.router.bounce(sender, stanza, 'internal-server-error');
        sender.release();
      },
    );
  }

  #publish(sender: Entity, stanza: Element, key: string, unrouted: (() => void) | undefined): void {
    const from = stanza.attrs.from ?? sender.jid.full;
    this.#archiveReceived(stanza, from, key);
    const message = this.build(stanza, from, XMPP_EXCHANGE, key, isStorable(stanza));
    const refuse = (): void => {
      const jid = parseJid(key);
      if (jid !== null) this.#host.accounts.forget(jid.local);
      this.#host.router.bounce(sender, stanza, 'service-unavailable');
    };
    sender.publish(message, stanza, true, unrouted ?? refuse);
  }

  #archiveSent(session: ClientSession, stanza: Element, to: Jid): void {
    // XEP-0313 5.1.1: to oneself is archived once, as what was received.
    if (to.bare === session.jid.bare) return;
    const full = withAttributes(stanza, { xmlns: NS.CLIENT, from: session.jid.full });
    this.#host.archives.keep(session.jid.bare, to.full, serialize(full));
  }

  /** With the id that it gets on the way (XEP-0359). */
  #archiveReceived(stanza: Element, from: string, key: string): void {
    const to = parseJid(key);
    if (to === null || !isArchivable(stanza)) return;
    const ids = childrenOf(stanza, 'stanza-id', NS.STANZA_IDS);
    // It was archived when it was tried at a resource that is gone by now.
    if (ids.some((child) => child.attrs.by === to.bare)) return;
    const whole = withAttributes(stanza, { xmlns: NS.CLIENT, from, to: to.full });
    const id = this.#host.archives.keep(to.bare, from, serialize(whole));
    stanza.append(stanzaId(id, to.bare));
  }

  /** What another protocol sent is archived when it arrives at the person. */
  #archiveForeign(message: Message, native: Buffer, from: string, owner: string): string {
    if (message.format === this.#host.format || !message.durable) return '';
    const [start, content, end] = messageWire(native, from, owner, '');
    const xml = `<message xmlns="${NS.CLIENT}"${start.slice('<message'.length)}${content}${end}`;
    return serialize(stanzaId(this.#host.archives.keep(owner, from, xml), owner));
  }

  #copySent(session: ClientSession, stanza: Element): void {
    const others = [...session.account.sessions.values()].filter(
      (other) => other !== session && other.carbons,
    );
    if (others.length === 0) return;
    const native = nativeOf(stanza, session.jid.full);
    carbonCopies('sent', others, native, session.jid.full, stanza.attrs.to ?? session.jid.bare);
  }

  #copyReceived(
    account: Account,
    recipients: readonly ClientSession[],
    native: Buffer,
    from: string,
    to: string,
  ): void {
    if (account.sessions.size <= recipients.length) return;
    const others = [...account.sessions.values()].filter(
      (other) => other.carbons && !recipients.includes(other),
    );
    if (others.length > 0) carbonCopies('received', others, native, from, to);
  }

  #count(again: boolean): void {
    this.#host.counters.delivered++;
    if (again) this.#host.counters.redelivered++;
  }
}

/**
 * One delivery that several resources get: the first acknowledgement counts; without any it goes
 * back.
 */
class Handover implements Receipt {
  readonly #delivery: Delivery;
  #outstanding: number;
  #done = false;

  constructor(delivery: Delivery, copies: number) {
    this.#delivery = delivery;
    this.#outstanding = copies;
  }

  acknowledged(): void {
    if (this.#done) return;
    this.#done = true;
    this.#delivery.settle(Outcome.ACCEPT);
  }

  lost(): void {
    this.#outstanding--;
    if (this.#done || this.#outstanding > 0) return;
    this.#done = true;
    this.#delivery.settle(Outcome.REQUEUE);
  }
}

function isMessageType(type: string | undefined): boolean {
  return type === undefined || /^(normal|chat|headline|groupchat|error)$/.test(type);
}

/**
 * Whether a message is kept for somebody who is away (XEP-0160 section 3, XEP-0334): not what only
 * says that somebody is typing.
 */
export function isStorable(stanza: Element): boolean {
  const { type } = stanza.attrs;
  if (type !== undefined && type !== 'chat' && type !== 'normal') return false;
  if (childOf(stanza, 'no-store', NS.HINTS) !== undefined) return false;
  if (childOf(stanza, 'no-permanent-store', NS.HINTS) !== undefined) return false;
  if (childOf(stanza, 'store', NS.HINTS) !== undefined) return true;
  return elementsOf(stanza).some(
    (child) => namespaceOf(child) !== NS.CHAT_STATES && child.name !== 'thread',
  );
}
