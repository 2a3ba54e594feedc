/**
 * Bookmarks are one list, however a client keeps them: as items of a personal node (XEP-0402), or
 * all in one element of private storage (XEP-0048 over 0049), which is made of these items when it
 * is asked for, and taken apart into them when it is stored (`urn:xmpp:bookmarks-conversion:0`).
 */
import {
  childOf,
  childrenOf,
  childText,
  type Element,
  element,
  elementsOf,
  is,
  serialize,
  standalone,
} from './element.ts';
import type { Host } from './host.ts';
import { bareOf, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import type { ClientSession } from './session.ts';
import { NO_PREFIXES, parseElement } from './tokenizer.ts';

const OPTIONS: Readonly<Record<string, string>> = {
  'pubsub#persist_items': '1',
  'pubsub#max_items': 'max',
  'pubsub#send_last_published_item': 'never',
  'pubsub#access_model': 'whitelist',
};

export class Bookmarks {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Whether an element of private storage is the list of bookmarks. */
  isList(child: Element): boolean {
    return is(child, 'storage', NS.BOOKMARKS_OLD);
  }

  /** The list in the old form: `stored` is what else was kept in it (addresses of pages). */
  read(session: ClientSession, stored: Element | null): Element {
    const items = this.#host.personal.items(session.jid.bare, NS.BOOKMARKS);
    // Nobody of this account has a client of the new form yet.
    if (items === null) return stored ?? element('storage', { xmlns: NS.BOOKMARKS_OLD });
    const list = element('storage', { xmlns: NS.BOOKMARKS_OLD });
    for (const child of stored === null ? [] : elementsOf(stored)) {
      if (!is(child, 'conference', NS.BOOKMARKS_OLD)) list.append(standalone(child));
    }
    for (const { id, xml } of items) {
      const conference = childOf(parseElement(xml, NO_PREFIXES), 'conference', NS.BOOKMARKS);
      if (conference !== undefined) list.append(oldForm(id, conference));
    }
    return list;
  }

  /** The list was stored in the old form: the items become the same. */
  write(session: ClientSession, list: Element): void {
    const wanted = new Map<string, Element>();
    for (const conference of childrenOf(list, 'conference', NS.BOOKMARKS_OLD)) {
      const jid = parseJid(conference.attrs.jid ?? '');
      if (jid !== null) wanted.set(bareOf(jid).bare, conference);
    }
    const held = this.#host.personal.items(session.jid.bare, NS.BOOKMARKS) ?? [];
    const known = new Map(held.map(({ id, xml }) => [id, xml]));
    for (const id of known.keys()) if (!wanted.has(id)) this.#retract(session, id);
    for (const [id, conference] of wanted) {
      const before = known.get(id);
      const old = before === undefined ? undefined : parseElement(before, NO_PREFIXES);
      const item = newForm(id, conference, old);
      if (old === undefined || serialize(item) !== serialize(old)) this.#publish(session, item);
    }
  }

  /** A client of the new form comes for the first time: it finds what others stored. */
  migrate(session: ClientSession, stored: Element | null): void {
    if (stored === null || this.#host.personal.items(session.jid.bare, NS.BOOKMARKS) !== null) {
      return;
    }
    this.write(session, stored);
  }

  #publish(session: ClientSession, item: Element): void {
    const fields = Object.entries(OPTIONS).map(([name, value]) =>
      element('field', { var: name }, element('value', {}, value)),
    );
    this.#ask(
      session,
      element('publish', { node: NS.BOOKMARKS }, item),
      element('publish-options', {}, element('x', { xmlns: NS.DATA, type: 'submit' }, ...fields)),
    );
  }

  #retract(session: ClientSession, id: string): void {
    const retract = { node: NS.BOOKMARKS, notify: 'true' };
    this.#ask(session, element('retract', retract, element('item', { id })));
  }

  /** As if the client had asked itself; one that is refused is one that its own would be too. */
  #ask(session: ClientSession, ...actions: readonly Element[]): void {
    const pubsub = element('pubsub', { xmlns: NS.PUBSUB }, ...actions);
    const iq = element('iq', { type: 'set', id: '' }, pubsub);
    this.#host.personal.request(session, iq, pubsub, session.account.jid);
  }
}

/** XEP-0402 5.1: the same attributes, and what else there is. */
function oldForm(jid: string, conference: Element): Element {
  const { name, autojoin } = conference.attrs;
  const nick = childText(conference, 'nick', NS.BOOKMARKS);
  const password = childText(conference, 'password', NS.BOOKMARKS);
  return element(
    'conference',
    {
      ...(name === undefined ? {} : { name }),
      ...(autojoin === undefined ? {} : { autojoin }),
      jid,
    },
    nick === null ? null : element('nick', {}, nick),
    password === null ? null : element('password', {}, password),
  );
}

/** With the extensions that a client of the new form had put in. */
function newForm(id: string, conference: Element, before: Element | undefined): Element {
  const { name, autojoin } = conference.attrs;
  const nick = childText(conference, 'nick', NS.BOOKMARKS_OLD);
  const password = childText(conference, 'password', NS.BOOKMARKS_OLD);
  const known = before === undefined ? undefined : childOf(before, 'conference', NS.BOOKMARKS);
  const extensions = known === undefined ? undefined : childOf(known, 'extensions', NS.BOOKMARKS);
  const content = element(
    'conference',
    {
      xmlns: NS.BOOKMARKS,
      ...(name === undefined ? {} : { name }),
      ...(autojoin === undefined ? {} : { autojoin }),
    },
    nick === null ? null : element('nick', {}, nick),
    password === null ? null : element('password', {}, password),
    extensions === undefined ? null : standalone(extensions),
  );
  return element('item', { id }, content);
}
