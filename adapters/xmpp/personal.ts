/**
 * Personal eventing (XEP-0163): pubsub nodes of an account, at its bare JID. Nobody subscribes:
 * the account's own resources and the contacts that see its presence are notified, where their
 * clients ask for the node (XEP-0115). Bookmarks, avatars, moods and keys of encryption live here.
 */
import type { Account } from './account.ts';
import {
  childOf,
  childrenOf,
  type Element,
  element,
  elementsOf,
  firstElement,
  localName,
  namespaceOf,
  serialize,
  standalone,
} from './element.ts';
import type { Entity } from './entity.ts';
import { submittedLists } from './form.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid } from './jid.ts';
import { JsonTable } from './json-table.ts';
import { NS } from './namespaces.ts';
import { modelAccess, refusedAccess } from './pubsub-access.ts';
import {
  applyNodeForm,
  configOf,
  hasConfig,
  type NodeConfig,
  nodeForm,
  PERSONAL_NODE,
} from './pubsub-config.ts';
import { specific, unsupported } from './pubsub-request.ts';
import type { ClientSession } from './session.ts';
import { errorReply, resultReply } from './stanza-error.ts';
import { NO_PREFIXES, parseElement } from './tokenizer.ts';
import { wireOf } from './wire.ts';

interface PersonalItem {
  readonly id: string;
  /** The item element with its payload. */
  readonly xml: string;
}

interface PersonalNode {
  config: NodeConfig;
  /** Oldest first. */
  items: PersonalItem[];
}

type Nodes = Map<string, PersonalNode>;

const NAME_BYTES_MAX = 1023;

export class Personal {
  readonly #host: Host;
  readonly #stored: JsonTable<PersonalNode>;
  /** By bare JID, then by node. */
  readonly #accounts = new Map<string, Nodes>();

  constructor(host: Host) {
    this.#host = host;
    this.#stored = new JsonTable(host.context.engine.table('xmpp.personal'));
    for (const [key, node] of this.#stored.entries()) {
      const line = key.indexOf('\n');
      const { config, items } = node;
      const current = { config: configOf(PERSONAL_NODE, config), items };
      this.#nodes(key.slice(0, line)).set(key.slice(line + 1), current);
    }
  }

  /** A request to the bare JID `owner`. */
  request(sender: Entity, iq: Element, payload: Element, owner: Jid): Element {
    const action = elementsOf(payload).find(
      (child) =>
        !/^(configure|publish-options)$/.test(child.name) || elementsOf(payload).length < 2,
    );
    if (action === undefined) return errorReply(iq, 'bad-request');
    const own = sender.jid.bare === owner.bare;
    const name = `${iq.attrs.type} ${localName(action)}`;
    if (namespaceOf(payload) === NS.PUBSUB && name === 'get items') {
      return this.#items(sender, iq, action, owner);
    }
    if (!own) return errorReply(iq, name === 'set subscribe' ? 'not-allowed' : 'forbidden');
    const node = action.attrs.node ?? '';
    if (node === '' || Buffer.byteLength(node) > NAME_BYTES_MAX) {
      return errorReply(iq, 'bad-request', specific('nodeid-required'));
    }
    if (namespaceOf(payload) === NS.PUBSUB_OWNER) return this.#ownerAnswer(iq, action, owner, node);
    switch (name) {
      case 'set publish':
        return this.#publish(iq, payload, action, owner, node);
      case 'set retract':
        return this.#retract(iq, action, owner, node);
      case 'set create':
        return this.#create(iq, payload, owner, node);
      default:
        return errorReply(iq, 'feature-not-implemented', unsupported(localName(action)));
    }
  }

  /** The account is gone. */
  forget(owner: string): void {
    for (const name of this.#accounts.get(owner)?.keys() ?? []) {
      this.#stored.delete(`${owner}\n${name}`);
    }
    this.#accounts.delete(owner);
  }

  /** Items of a node, oldest first; null where there is no such node. */
  items(owner: string, name: string): readonly PersonalItem[] | null {
    return this.#accounts.get(owner)?.get(name)?.items ?? null;
  }

  /** Names of the nodes that `viewer` may read (XEP-0163 6.2). */
  names(owner: string, viewer: Jid): string[] {
    const nodes = this.#accounts.get(owner) ?? new Map<string, PersonalNode>();
    return [...nodes].flatMap(([name, node]) =>
      this.#mayRead(owner, viewer, node.config) ? [name] : [],
    );
  }

  /** The last items of nodes that a session has just asked for (XEP-0163 4.3.4). */
  welcome(session: ClientSession, nodes: readonly string[]): void {
    const { account } = session;
    const seen = [...account.roster.contacts()].filter(({ jid }) => account.roster.sees(jid));
    for (const owner of [account.jid.bare, ...seen.map(({ jid }) => jid)]) {
      const held = this.#accounts.get(owner);
      for (const name of held === undefined ? [] : nodes) this.#sendLast(session, owner, name);
    }
  }

  #sendLast(session: ClientSession, owner: string, name: string): void {
    const node = this.#accounts.get(owner)?.get(name);
    const last = node?.items.at(-1);
    if (node === undefined || last === undefined || node.config.sendLast === 'never') return;
    if (!this.#mayRead(owner, session.jid, node.config)) return;
    this.#event(session, owner, itemsOf(name, parseElement(last.xml, NO_PREFIXES)));
  }

  #nodes(owner: string): Nodes {
    let nodes = this.#accounts.get(owner);
    if (nodes === undefined) {
      nodes = new Map();
      this.#accounts.set(owner, nodes);
    }
    return nodes;
  }

  #mayRead(owner: string, viewer: Jid, config: NodeConfig): boolean {
    if (viewer.bare === owner) return true;
    return modelAccess(this.#host, config, [owner], viewer) === 'granted';
  }

  #publish(iq: Element, payload: Element, action: Element, owner: Jid, name: string): Element {
    const [item, ...more] = childrenOf(action, 'item', NS.PUBSUB);
    if (more.length > 0 || (item !== undefined && elementsOf(item).length > 1)) {
      return errorReply(iq, 'bad-request', specific('invalid-payload'));
    }
    const options = childOf(payload, 'publish-options', NS.PUBSUB);
    const wanted = options === undefined ? null : submittedLists(options);
    const nodes = this.#nodes(owner.bare);
    const known = nodes.get(name);
    const config = { ...(known?.config ?? PERSONAL_NODE.defaults) };
    if (wanted instanceof Map) {
      // XEP-0060 7.1.5: a new node takes the options, an old one must have them.
      const fits =
        known === undefined
          ? applyNodeForm(PERSONAL_NODE, config, wanted)
          : hasConfig(PERSONAL_NODE, config, wanted);
      if (!fits) return errorReply(iq, 'conflict', specific('precondition-not-met'));
    }
    if (known === undefined && nodes.size >= this.#host.limits.xmppPersonalNodesMax) {
      return errorReply(iq, 'resource-constraint');
    }
    const id = item?.attrs.id ?? this.#host.nextId();
    const content = element('item', { id });
    const inside = item === undefined ? undefined : firstElement(item);
    if (inside !== undefined) content.append(standalone(inside));
    const kept = { id, xml: serialize(content) };
    if (this.#bytes(nodes) + kept.xml.length > this.#host.limits.xmppPersonalBytesMax) {
      return errorReply(iq, 'resource-constraint');
    }
    const node = known ?? { config, items: [] };
    node.items = [...node.items.filter((each) => each.id !== id), kept].slice(-config.maxItems);
    nodes.set(name, node);
    this.#save(owner.bare, name, node);
    this.#notify(owner, node.config, name, itemsOf(name, content));
    if (!config.persistItems) node.items = [];
    const published = element('publish', { node: name }, element('item', { id }));
    return resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, published));
  }

  #bytes(nodes: Nodes): number {
    let bytes = 0;
    for (const { items } of nodes.values()) for (const { xml } of items) bytes += xml.length;
    return bytes;
  }

  #retract(iq: Element, action: Element, owner: Jid, name: string): Element {
    const node = this.#nodes(owner.bare).get(name);
    const id = childOf(action, 'item', NS.PUBSUB)?.attrs.id;
    if (node === undefined) return errorReply(iq, 'item-not-found');
    if (id === undefined) return errorReply(iq, 'bad-request', specific('item-required'));
    if (!node.items.some((item) => item.id === id)) return errorReply(iq, 'item-not-found');
    node.items = node.items.filter((item) => item.id !== id);
    this.#save(owner.bare, name, node);
    const { notify } = action.attrs;
    if (notify === '1' || notify === 'true' || node.config.notifyRetract) {
      this.#notify(owner, node.config, name, itemsOf(name, element('retract', { id })));
    }
    return resultReply(iq);
  }

  #create(iq: Element, payload: Element, owner: Jid, name: string): Element {
    const nodes = this.#nodes(owner.bare);
    if (nodes.has(name)) return errorReply(iq, 'conflict');
    if (nodes.size >= this.#host.limits.xmppPersonalNodesMax) {
      return errorReply(iq, 'resource-constraint');
    }
    const config = { ...PERSONAL_NODE.defaults };
    const configure = childOf(payload, 'configure', NS.PUBSUB);
    const values = configure === undefined ? null : submittedLists(configure);
    if (values instanceof Map && !applyNodeForm(PERSONAL_NODE, config, values)) {
      return errorReply(iq, 'not-acceptable');
    }
    const node = { config, items: [] };
    nodes.set(name, node);
    this.#save(owner.bare, name, node);
    return resultReply(iq);
  }

  #items(sender: Entity, iq: Element, action: Element, owner: Jid): Element {
    const name = action.attrs.node ?? '';
    const node = this.#accounts.get(owner.bare)?.get(name);
    if (node === undefined) return errorReply(iq, 'item-not-found');
    if (!this.#mayRead(owner.bare, sender.jid, node.config)) {
      const access = modelAccess(this.#host, node.config, [owner.bare], sender.jid);
      return refusedAccess(iq, access === 'granted' ? 'closed' : access);
    }
    const wanted = childrenOf(action, 'item', NS.PUBSUB).map((item) => item.attrs.id);
    const max = Number(action.attrs.max_items ?? Number.NaN);
    const chosen =
      wanted.length > 0
        ? node.items.filter(({ id }) => wanted.includes(id))
        : node.items.slice(max > 0 ? -max : 0);
    const found = chosen.map(({ xml }) => parseElement(xml, NO_PREFIXES));
    return resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, itemsOf(name, ...found)));
  }

  #ownerAnswer(iq: Element, action: Element, owner: Jid, name: string): Element {
    const nodes = this.#nodes(owner.bare);
    const node = nodes.get(name);
    if (node === undefined) return errorReply(iq, 'item-not-found');
    switch (`${iq.attrs.type} ${localName(action)}`) {
      case 'get configure': {
        const shown = element('configure', { node: name }, nodeForm(PERSONAL_NODE, node.config));
        return resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB_OWNER }, shown));
      }
      case 'set configure': {
        const values = submittedLists(action);
        const config = { ...node.config };
        if (!(values instanceof Map))
          return values === null ? errorReply(iq, 'bad-request') : resultReply(iq);
        if (!applyNodeForm(PERSONAL_NODE, config, values)) return errorReply(iq, 'not-acceptable');
        node.config = config;
        node.items = node.items.slice(-config.maxItems);
        this.#save(owner.bare, name, node);
        return resultReply(iq);
      }
      case 'set purge':
        node.items = [];
        this.#save(owner.bare, name, node);
        this.#notify(owner, node.config, name, element('purge', { node: name }));
        return resultReply(iq);
      case 'set delete':
        nodes.delete(name);
        this.#stored.delete(`${owner.bare}\n${name}`);
        this.#notify(owner, node.config, name, element('delete', { node: name }));
        return resultReply(iq);
      default:
        return errorReply(iq, 'feature-not-implemented', unsupported(localName(action)));
    }
  }

  #save(owner: string, name: string, node: PersonalNode): void {
    const { config } = node;
    this.#stored.set(`${owner}\n${name}`, config.persistItems ? node : { config, items: [] });
  }

  /** The account's own resources, and those of contacts that may read. */
  #notify(owner: Jid, config: NodeConfig, name: string, what: Element): void {
    const { accounts } = this.#host;
    const { roster } = accounts.peek(owner.local);
    const readers: (Account | undefined)[] = [accounts.online(owner.local)];
    for (const contact of roster.contacts()) {
      const jid = parseJid(contact.jid);
      const ours = jid !== null && jid.domain === this.#host.domains.host;
      if (ours && roster.shows(contact.jid)) readers.push(accounts.online(jid.local));
    }
    for (const reader of readers) {
      for (const session of reader?.available() ?? []) {
        if (!this.#host.caps.wants(session, name)) continue;
        if (this.#mayRead(owner.bare, session.jid, config)) this.#event(session, owner.bare, what);
      }
    }
  }

  #event(session: ClientSession, owner: string, what: Element): void {
    const event = element('event', { xmlns: NS.PUBSUB_EVENT }, standalone(what));
    const id = this.#host.nextId();
    const { full } = session.jid;
    // XEP-0163 4.3: a headline, so that it is never stored.
    const message = element('message', { from: owner, to: full, type: 'headline', id }, event);
    session.send(wireOf(message), null);
  }
}

function itemsOf(name: string, ...items: readonly Element[]): Element {
  return element('items', { node: name }, ...items);
}
