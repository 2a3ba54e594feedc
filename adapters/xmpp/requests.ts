/** Requests that the gateway answers itself: as the host, and on behalf of its accounts. */
import type { Eventually } from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import { archiveAnswer } from './archive-query.ts';
import { accountInfo, discoItems, hostInfo } from './disco.ts';
import {
  type Element,
  element,
  firstElement,
  is,
  localName,
  namespaceOf,
  serialize,
  standalone,
} from './element.ts';
import type { Entity } from './entity.ts';
import { endAccount } from './erasure.ts';
import type { Host } from './host.ts';
import type { Jid } from './jid.ts';
import { NS } from './namespaces.ts';
import { rosterRequest } from './roster-iq.ts';
import { ClientSession } from './session.ts';
import { errorReply, resultReply } from './stanza-error.ts';
import { NO_PREFIXES, parseElement } from './tokenizer.ts';
import { stampOf, wireOf } from './wire.ts';

const PRIVATE_BYTES_MAX = 256 * 1024;
const PRIVATE_KEYS_MAX = 1000;

export class Requests {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  /** To the host's own address. */
  host(sender: Entity, iq: Element): void {
    if (!isRequest(iq)) {
      if (this.#host.rpc.answered(sender, iq)) return;
      if (sender instanceof ClientSession) this.#host.caps.answered(sender, iq);
      return;
    }
    const payload = firstElement(iq);
    if (payload === undefined) reply(sender, errorReply(iq, 'bad-request'));
    else if (is(payload, 'command', NS.COMMANDS)) {
      this.#later(sender, iq, () => this.#host.commands.request(sender, iq, payload));
    } else if (is(payload, 'query', NS.REGISTER) && sender instanceof ClientSession) {
      this.#register(sender, iq, payload);
    } else reply(sender, this.#answerHost(sender, iq, payload));
  }

  /** To a bare JID, which its server answers for (RFC 6121 8.5.2.1.3). */
  account(sender: Entity, iq: Element, to: Jid): void {
    if (!isRequest(iq)) {
      if (sender instanceof ClientSession) this.#host.caps.answered(sender, iq);
      return;
    }
    const payload = firstElement(iq);
    if (payload === undefined) {
      reply(sender, errorReply(iq, 'bad-request'));
      return;
    }
    if (sender instanceof ClientSession && sender.account.jid.bare === to.bare) {
      if (is(payload, 'query', NS.REGISTER)) this.#register(sender, iq, payload);
      else if (is(payload, 'command', NS.COMMANDS)) {
        this.#later(sender, iq, () => this.#host.commands.request(sender, iq, payload));
      } else reply(sender, this.#answerOwn(sender, iq, payload));
      return;
    }
    sender.hold();
    after(
      () => this.#host.accounts.exists(to.local),
      (exists) => {
        reply(sender, exists ? this.#answerOther(sender, iq, payload, to) : unavailable(iq));
        sender.release();
      },
      () => {
        reply(sender, errorReply(iq, 'internal-server-error'));
        sender.release();
      },
    );
  }

  /** Answers once the answer is known, unless that is null; what the sender says next waits for it. */
  #later(sender: Entity, iq: Element, answer: () => Eventually<Element | null>): void {
    sender.hold();
    after(
      answer,
      (said) => {
        if (said !== null) reply(sender, said);
        sender.release();
      },
      (error) => {
        this.#host.log.error({ reason: reasonOf(error) }, 'a request failed');
        reply(sender, errorReply(iq, 'internal-server-error'));
        sender.release();
      },
    );
  }

  #register(session: ClientSession, iq: Element, query: Element): void {
    this.#later(session, iq, async () => {
      const { answer, removed } = await this.#host.registration.own(session, iq, query);
      if (!removed) return answer;
      // The answer goes first: the stream ends with the account.
      reply(session, answer);
      endAccount(this.#host, session.account.jid);
      return null;
    });
  }

  #answerHost(sender: Entity, iq: Element, payload: Element): Element {
    const { product, clock } = this.#host.context;
    const get = iq.attrs.type === 'get';
    switch (namespaceOf(payload)) {
      case NS.PING:
        return resultReply(iq);
      case NS.DISCO_INFO:
        if (!get) return notAllowed(iq);
        return this.#commandInfo(sender, iq, payload) ?? hostInfo(this.#host, iq, payload);
      case NS.DISCO_ITEMS:
        if (payload.attrs.node === NS.COMMANDS) return this.#host.commands.items(sender, iq);
        return get ? discoItems(this.#host, iq, payload) : notAllowed(iq);
      case NS.VERSION:
        return resultReply(
          iq,
          element(
            'query',
            { xmlns: NS.VERSION },
            element('name', {}, product.name),
            element('version', {}, product.version),
          ),
        );
      case NS.TIME:
        return resultReply(
          iq,
          element(
            'time',
            { xmlns: NS.TIME },
            element('tzo', {}, '+00:00'),
            element('utc', {}, stampOf(clock)),
          ),
        );
      case NS.LAST:
        return resultReply(iq, lastActivity(clock.now() - this.#host.startedAt));
      case NS.SESSION:
      case NS.ROSTER:
      case NS.PRIVATE:
      case NS.CARBONS:
      case NS.BLOCKING:
        // Some clients address their server for what is their account's.
        return sender instanceof ClientSession
          ? this.#answerOwn(sender, iq, payload)
          : unavailable(iq);
      default:
        return unavailable(iq);
    }
  }

  /** Null where no command, nor their list, is asked about. */
  #commandInfo(sender: Entity, iq: Element, { attrs }: Element): Element | null {
    return attrs.node === undefined ? null : this.#host.commands.info(sender, iq, attrs.node);
  }

  #answerOwn(session: ClientSession, iq: Element, payload: Element): Element {
    switch (namespaceOf(payload)) {
      case NS.ROSTER:
        return rosterRequest(this.#host, session, iq);
      case NS.SESSION:
        // RFC 3921 3; since RFC 6121 there is nothing to it.
        return resultReply(iq);
      case NS.PRIVATE:
        return this.#private(session, iq, payload);
      case NS.VCARD:
        return this.#ownCard(session, iq, payload);
      case NS.CARBONS:
        if (iq.attrs.type !== 'set') return notAllowed(iq);
        session.carbons = localName(payload) === 'enable';
        return resultReply(iq);
      case NS.PUBSUB:
      case NS.PUBSUB_OWNER:
        this.#migrateBookmarks(session, payload);
        return this.#host.personal.request(session, iq, payload, session.account.jid);
      case NS.ARCHIVE:
        return archiveAnswer(this.#host.archives, session.jid.bare, session, iq, payload);
      case NS.BLOCKING:
        return this.#host.blocking.request(session, iq, payload);
      case NS.PING:
        return resultReply(iq);
      case NS.LAST:
        return resultReply(iq, lastActivity(0));
      case NS.DISCO_INFO:
        return this.#commandInfo(session, iq, payload) ?? accountInfo(iq, payload);
      case NS.DISCO_ITEMS:
        if (payload.attrs.node === NS.COMMANDS) return this.#host.commands.items(session, iq);
        return this.#personalItems(session, iq, session.account.jid);
      default:
        return unavailable(iq);
    }
  }

  /** What others may know of an account. */
  #answerOther(sender: Entity, iq: Element, payload: Element, to: Jid): Element {
    const trusted = this.#host.accounts.peek(to.local).roster.shows(sender.jid.bare);
    const get = iq.attrs.type === 'get';
    switch (namespaceOf(payload)) {
      case NS.VCARD: {
        if (!get) return errorReply(iq, 'forbidden');
        const card = this.#host.cards.get(to.bare);
        // The same as where nobody is: who asks cannot find out names (XEP-0054 3.3).
        return card === null
          ? unavailable(iq)
          : resultReply(iq, parseElement(card.toString('utf8'), NO_PREFIXES));
      }
      case NS.DISCO_INFO:
        return get && trusted ? accountInfo(iq, payload) : unavailable(iq);
      case NS.DISCO_ITEMS:
        return get && trusted ? this.#personalItems(sender, iq, to) : unavailable(iq);
      case NS.PUBSUB:
      case NS.PUBSUB_OWNER:
        return this.#host.personal.request(sender, iq, payload, to);
      case NS.LAST:
        // XEP-0012 section 8: for those only who see the presence.
        return get && trusted ? this.#lastOf(iq, to) : errorReply(iq, 'forbidden');
      case NS.PING:
        return resultReply(iq);
      case NS.ROSTER:
      case NS.PRIVATE:
      case NS.ARCHIVE:
        return errorReply(iq, 'forbidden');
      default:
        return unavailable(iq);
    }
  }

  #personalItems(viewer: Entity, iq: Element, owner: Jid): Element {
    const names = this.#host.personal.names(owner.bare, viewer.jid);
    const items = names.map((node) => element('item', { jid: owner.bare, node }));
    return resultReply(iq, element('query', { xmlns: NS.DISCO_ITEMS }, ...items));
  }

  #lastOf(iq: Element, to: Jid): Element {
    if ((this.#host.accounts.online(to.local)?.available().length ?? 0) > 0) {
      return resultReply(iq, lastActivity(0));
    }
    const left = this.#host.lastSeen.get(to.bare);
    if (left === null) return errorReply(iq, 'item-not-found');
    return resultReply(iq, lastActivity(this.#host.context.clock.now() - left));
  }

  /** Before a client of XEP-0402 asks for bookmarks, or adds one, that others stored otherwise. */
  #migrateBookmarks(session: ClientSession, payload: Element): void {
    if (firstElement(payload)?.attrs.node !== NS.BOOKMARKS) return;
    const text = this.#host.privates.get(session.jid.bare)?.[`${NS.BOOKMARKS_OLD} storage`];
    if (text === undefined) return;
    this.#host.bookmarks.migrate(session, parseElement(text, NO_PREFIXES));
  }

  /** XEP-0049. */
  #private(session: ClientSession, iq: Element, query: Element): Element {
    const elements = query.children.filter((child): child is Element => typeof child !== 'string');
    const [first] = elements;
    if (first === undefined) return errorReply(iq, 'bad-request');
    if (elements.some((child) => ['', NS.PRIVATE].includes(namespaceOf(child)))) {
      return errorReply(iq, 'not-acceptable');
    }
    const stored = this.#host.privates.get(session.jid.bare) ?? {};
    if (iq.attrs.type === 'get') {
      if (elements.length !== 1) return errorReply(iq, 'bad-request');
      const text = stored[keyOf(first)];
      let found = text === undefined ? first : parseElement(text, NO_PREFIXES);
      if (this.#host.bookmarks.isList(first)) {
        found = this.#host.bookmarks.read(session, text === undefined ? null : found);
      }
      return resultReply(iq, element('query', { xmlns: NS.PRIVATE }, found));
    }
    for (const child of elements) stored[keyOf(child)] = serialize(standalone(child));
    const texts = Object.values(stored);
    const bytes = texts.reduce((sum, text) => sum + text.length, 0);
    if (texts.length > PRIVATE_KEYS_MAX || bytes > PRIVATE_BYTES_MAX) {
      return errorReply(iq, 'resource-constraint');
    }
    this.#host.privates.set(session.jid.bare, stored);
    for (const child of elements) {
      if (this.#host.bookmarks.isList(child)) this.#host.bookmarks.write(session, child);
    }
    return resultReply(iq);
  }

  /** XEP-0054. */
  #ownCard(session: ClientSession, iq: Element, payload: Element): Element {
    const { bare } = session.jid;
    if (iq.attrs.type === 'get') {
      const card = this.#host.cards.get(bare);
      return resultReply(
        iq,
        card === null
          ? element('vCard', { xmlns: NS.VCARD })
          : parseElement(card.toString('utf8'), NO_PREFIXES),
      );
    }
    const card = serialize(standalone(payload));
    if (card.length > PRIVATE_BYTES_MAX) return errorReply(iq, 'resource-constraint');
    this.#host.cards.set(bare, Buffer.from(card));
    return resultReply(iq);
  }
}

function isRequest(iq: Element): boolean {
  return iq.attrs.type === 'get' || iq.attrs.type === 'set';
}

function reply(sender: Entity, answer: Element): void {
  sender.send(wireOf(answer), null);
}

function keyOf(of: Element): string {
  return `${namespaceOf(of)} ${localName(of)}`;
}

/** RFC 6120 8.4: also for a namespace that is not understood. */
function unavailable(iq: Element): Element {
  return errorReply(iq, 'service-unavailable');
}

function notAllowed(iq: Element): Element {
  return errorReply(iq, 'feature-not-implemented');
}

function lastActivity(elapsedMs: number): Element {
  const seconds = Math.max(0, Math.floor(elapsedMs / 1000));
  return element('query', { xmlns: NS.LAST, seconds: String(seconds) });
}
