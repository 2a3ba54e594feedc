/**
 * Pubsub at `pubsub.DOMAIN` (XEP-0060). A node `a/b` is the topic `a/b`, key `a.b` of `amq.topic`:
 * publishing an item publishes there, retained where the node keeps items, and whatever any
 * protocol publishes there is an event to the node's subscribers. Owner requests are in
 * `pubsub-owner.ts`.
 */
import { type Consumer, type Delivery, NO_ARGUMENTS } from '../../core/engine.ts';
import { type BrokerError, reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import { Message } from '../../core/message.ts';
import {
  childOf,
  childrenOf,
  childText,
  type Element,
  element,
  elementsOf,
  firstElement,
  localName,
  namespaceOf,
} from './element.ts';
import type { Entity, Service } from './entity.ts';
import { submittedLists } from './form.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid } from './jid.ts';
import { JsonTable } from './json-table.ts';
import { NS } from './namespaces.ts';
import { type Access, modelAccess } from './pubsub-access.ts';
import { applyNodeForm, hasConfig, TOPIC_NODE } from './pubsub-config.ts';
import { keepsMany, PubsubHistory } from './pubsub-history.ts';
import { emptyItem, isRetraction, itemContent, itemElement, itemId } from './pubsub-items.ts';
import { answerAffiliations, answerSubscriptions, pubsubInfo } from './pubsub-lists.ts';
import { PubsubNode, type StoredNode } from './pubsub-node.ts';
import { ownerAnswer } from './pubsub-owner.ts';
import { answerItems, answerList } from './pubsub-reading.ts';
import { items, type PubsubRequest, reply, specific, unsupported } from './pubsub-request.ts';
import {
  authorize,
  defaultOptions,
  options,
  subscribe,
  unsubscribe,
} from './pubsub-subscribing.ts';
import { type Condition, conditionOf, errorReply, resultReply } from './stanza-error.ts';

const NODE_BYTES_MAX = 1023;
const NOTHING = (): void => {};

export class Pubsub implements Service, Consumer {
  readonly domain: string;
  readonly host: Host;
  readonly nodes = new Map<string, PubsubNode>();
  readonly history: PubsubHistory;
  /** By exchange and routing key. */
  readonly #byKey = new Map<string, PubsubNode>();
  readonly #stored: JsonTable<StoredNode>;
  /** The queue that all nodes' keys are bound to, once there is a subscriber. */
  #queue: string | null = null;

  constructor(host: Host) {
    this.host = host;
    this.domain = host.domains.pubsub;
    this.#stored = new JsonTable(host.context.engine.table('xmpp.pubsub'));
    this.history = new PubsubHistory(
      host.context.engine.table('xmpp.pubsub.items'),
      host.limits.xmppItemsBytesMax,
      host.context.clock,
    );
    for (const [name, stored] of this.#stored.entries()) this.#add(new PubsubNode(name, stored));
    for (const node of this.nodes.values()) {
      if (node.subscribers.size > 0 || keepsMany(node)) this.listen(node, NOTHING, NOTHING);
    }
  }

  handle(sender: Entity, stanza: Element, to: Jid): void {
    if (localName(stanza) !== 'iq') {
      const message = stanza.attrs.type !== 'error' && localName(stanza) === 'message';
      if (message && !authorize(this, stanza)) {
        this.host.router.bounce(sender, stanza, 'service-unavailable');
      }
      return;
    }
    if (stanza.attrs.type !== 'get' && stanza.attrs.type !== 'set') return;
    const payload = firstElement(stanza);
    if (payload === undefined || to.local !== '') {
      this.host.router.bounce(sender, stanza, payload ? 'item-not-found' : 'bad-request');
      return;
    }
    const request = { sender, iq: stanza, from: parseJid(stanza.attrs.from ?? '') ?? sender.jid };
    switch (namespaceOf(payload)) {
      case NS.PING:
        reply(request, resultReply(stanza));
        break;
      case NS.DISCO_INFO:
        reply(request, pubsubInfo(this.nodes, stanza, payload.attrs.node));
        break;
      case NS.DISCO_ITEMS:
        answerList(this, request, payload.attrs.node);
        break;
      case NS.PUBSUB:
        this.#request(request, payload);
        break;
      case NS.PUBSUB_OWNER:
        reply(request, ownerAnswer(this, request, payload));
        break;
      default:
        reply(request, errorReply(stanza, 'service-unavailable'));
    }
  }

  left(_entity: Entity): void {
    // Subscriptions are the subscriber's until cancelled, whether it is there or not.
  }

  /** Whatever was published on a node's topic (XEP-0060 7.1.2). */
  deliver(delivery: Delivery): void {
    const { message } = delivery;
    const node = this.#byKey.get(`${message.exchange} ${message.routingKey}`);
    if (node === undefined) return;
    const now = this.host.context.clock.now();
    const { format } = this.host;
    if (keepsMany(node) && !isRetraction(message)) {
      const item = itemElement(message, format, now, '', true);
      this.history.add(node, this.idOf(message), item, message.expiresAt);
    }
    if (node.subscribers.size === 0) return;
    if (isRetraction(message)) {
      if (!node.config.notifyRetract) return;
      const { stanza } = format.parse(message.as(format, now));
      this.notify(node, items(node, element('retract', { id: itemId(message, stanza) })));
      return;
    }
    const { deliverPayloads, persistItems } = node.config;
    // Only that something was published: there is no item (XEP-0060 7.1.2.2).
    const bare = !deliverPayloads && !persistItems;
    const item = bare ? [] : [itemElement(message, format, now, NS.PUBSUB_EVENT, deliverPayloads)];
    this.notify(node, items(node, ...item));
    this.host.counters.delivered += node.subscribers.size;
  }

  cancelled(reason: BrokerError): void {
    this.#queue = null;
    for (const node of this.nodes.values()) node.bound = false;
    this.host.log.error({ reason: reason.message }, 'pubsub queue is gone');
  }

  /** An event to all subscribers of a node. */
  notify(node: PubsubNode, what: Element): void {
    if (!node.config.deliverNotifications) return;
    const now = this.host.context.clock.now();
    for (const [jid, held] of node.subscribers) {
      if (held.expireAt !== 0 && held.expireAt <= now) this.unsubscribe(node, jid);
      else if (held.state === 'subscribed' && held.deliver && this.#isShown(jid, held.showValues)) {
        this.event(node, jid, what);
      }
    }
  }

  /** What `viewer` may see of a node (XEP-0060 4.5), affiliations before the access model. */
  accessOf(node: PubsubNode, viewer: Jid): Access {
    const affiliation = node.affiliation(viewer);
    if (affiliation === 'outcast' || affiliation === 'publish-only') return 'outcast';
    if (affiliation !== 'none') return 'granted';
    const access = modelAccess(this.host, node.config, node.owners(), viewer);
    return access === 'pending' && node.isSubscribed(viewer) ? 'granted' : access;
  }

  /** An account is gone: so are its subscriptions and affiliations. */
  erased(jid: Jid): void {
    for (const node of this.nodes.values()) {
      const subscriptions = node.subscriptionsOf(jid);
      if (subscriptions.length === 0 && !node.affiliations.delete(jid.bare)) continue;
      for (const subscriber of subscriptions) node.subscribers.delete(subscriber);
      node.affiliations.delete(jid.bare);
      this.save(node);
    }
  }

  save(node: PubsubNode): void {
    this.#stored.set(node.name, node.stored());
    this.history.trim(node);
    if (keepsMany(node)) this.listen(node, NOTHING, NOTHING);
  }

  remove(node: PubsubNode): void {
    this.nodes.delete(node.name);
    this.history.clear(node);
    this.#byKey.delete(`${node.exchange} ${node.key}`);
    this.#stored.delete(node.name);
    if (node.bound && this.#queue !== null) {
      const binding = this.#binding(node, this.#queue);
      after(
        () => this.host.system.unbind(binding),
        () => {},
        () => {},
      );
    }
  }

  /** Forgets the last item. */
  clear(request: PubsubRequest, node: PubsubNode, id: string): void {
    const { native } = itemContent(undefined, id, request.from.full);
    this.#publishTo(request, node, native, Buffer.alloc(0), true);
  }

  unsubscribe(node: PubsubNode, jid: string): void {
    node.subscribers.delete(jid);
    this.save(node);
  }

  #request(request: PubsubRequest, payload: Element): void {
    const { iq } = request;
    const action = firstElement(payload);
    if (action === undefined) {
      reply(request, errorReply(iq, 'bad-request'));
      return;
    }
    const set = iq.attrs.type === 'set';
    const name = `${set ? 'set' : 'get'} ${localName(action)}`;
    switch (name) {
      case 'set publish':
        this.#publish(request, payload, action);
        break;
      case 'set retract':
        this.#retract(request, action);
        break;
      case 'set subscribe':
        subscribe(this, request, payload, action);
        break;
      case 'set unsubscribe':
        unsubscribe(this, request, action);
        break;
      case 'set create':
        this.#create(request, payload, action);
        break;
      case 'get items':
        answerItems(this, request, action);
        break;
      case 'get subscriptions':
        answerSubscriptions(this.nodes, request, action);
        break;
      case 'get affiliations':
        answerAffiliations(this.nodes, request, action);
        break;
      case 'get options':
      case 'set options':
        options(this, request, action);
        break;
      case 'get default':
        defaultOptions(request, action);
        break;
      default:
        reply(request, errorReply(iq, 'feature-not-implemented', unsupported(localName(action))));
    }
  }

  /** XEP-0060 7.1; a node that is not there is created (auto-create). */
  #publish(request: PubsubRequest, payload: Element, action: Element): void {
    const { iq, from } = request;
    const elements = childrenOf(action, 'item', NS.PUBSUB);
    const [item] = elements;
    if (elements.length > 1 || (item !== undefined && elementsOf(item).length > 1)) {
      reply(request, errorReply(iq, 'bad-request', specific('invalid-payload')));
      return;
    }
    const isNew = !this.nodes.has(action.attrs.node ?? '');
    const node = this.nodeFor(request, action.attrs.node);
    if (node === null) return;
    if (!this.#fits(node, payload, isNew)) {
      if (isNew) this.remove(node);
      reply(request, errorReply(iq, 'conflict', specific('precondition-not-met')));
      return;
    }
    // XEP-0060 7.1.3.6.
    const { persistItems, deliverPayloads } = node.config;
    if (item === undefined && persistItems) {
      reply(request, errorReply(iq, 'bad-request', specific('item-required')));
      return;
    }
    if (item !== undefined && !persistItems && !deliverPayloads) {
      reply(request, errorReply(iq, 'bad-request', specific('item-forbidden')));
      return;
    }
    if (!node.mayPublish(from)) {
      reply(request, errorReply(iq, 'forbidden'));
      return;
    }
    // A node that only subscribers made so far belongs to its first publisher.
    if (node.affiliations.size === 0) {
      node.affiliations.set(from.bare, 'owner');
      this.save(node);
    }
    const id = item?.attrs.id ?? this.host.nextId();
    const inside = item === undefined ? undefined : (firstElement(item) ?? emptyItem(id));
    const content = itemContent(inside, id, from.full);
    const published = element('publish', { node: node.name }, element('item', { id }));
    const done = resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, published));
    if (this.#publishTo(request, node, content.native, content.body, node.config.persistItems)) {
      reply(request, done);
    }
  }

  /** Publish options (XEP-0060 7.1.5): a new node takes them, an old one must have them. */
  #fits(node: PubsubNode, payload: Element, isNew: boolean): boolean {
    const options = childOf(payload, 'publish-options', NS.PUBSUB);
    const wanted = options === undefined ? null : submittedLists(options);
    if (!(wanted instanceof Map)) return true;
    if (!isNew) return hasConfig(TOPIC_NODE, node.config, wanted);
    if (!applyNodeForm(TOPIC_NODE, node.config, wanted)) return false;
    this.save(node);
    return true;
  }

  /** False where the publisher was told of an error. */
  #publishTo(
    request: PubsubRequest,
    node: PubsubNode,
    native: Buffer,
    body: Buffer,
    retain: boolean,
  ): boolean {
    const { host } = this;
    const now = host.context.clock.now();
    const { itemExpire } = node.config;
    const message = new Message(
      host.format,
      native,
      body,
      node.exchange,
      node.key,
      true,
      0,
      itemExpire === 0 ? 0 : now + itemExpire * 1000,
      now,
      retain,
    );
    if (!host.allows(request.sender.engine, 'write', node.exchange)) {
      reply(request, errorReply(request.iq, 'forbidden'));
      return false;
    }
    return request.sender.publish(message, request.iq, false);
  }

  #retract(request: PubsubRequest, action: Element): void {
    const { iq, from } = request;
    const node = this.existing(request, action.attrs.node);
    if (node === null) return;
    const id = childOf(action, 'item', NS.PUBSUB)?.attrs.id;
    if (id === undefined) reply(request, errorReply(iq, 'bad-request', specific('item-required')));
    else if (!node.mayPublish(from)) reply(request, errorReply(iq, 'forbidden'));
    else if (!node.config.persistItems) {
      reply(request, errorReply(iq, 'feature-not-implemented', unsupported('persistent-items')));
    } else {
      this.last(request, node, (message) => {
        const kept = message === null ? null : this.idOf(message);
        const older = this.history.remove(node, id);
        if (kept !== id && older) {
          if (node.config.notifyRetract) this.notify(node, items(node, element('retract', { id })));
          reply(request, resultReply(iq));
        } else if (kept !== id) reply(request, errorReply(iq, 'item-not-found'));
        else {
          this.clear(request, node, id);
          reply(request, resultReply(iq));
        }
      });
    }
  }

  /** To somebody who has just subscribed. */
  sendLast(request: PubsubRequest, node: PubsubNode, jid: string): void {
    this.last(request, node, (message) => {
      if (message === null) return;
      const now = this.host.context.clock.now();
      const item = itemElement(message, this.host.format, now, NS.PUBSUB_EVENT, true);
      this.event(node, jid, items(node, item));
    });
  }

  #create(request: PubsubRequest, payload: Element, action: Element): void {
    const { iq } = request;
    const name = action.attrs.node ?? `instant/${this.host.nextId()}`;
    if (this.nodes.has(name)) {
      reply(request, errorReply(iq, 'conflict'));
      return;
    }
    const node = this.#make(request, name);
    if (node === null) return;
    node.affiliations.set(request.from.bare, 'owner');
    const configure = childOf(payload, 'configure', NS.PUBSUB);
    const values = configure === undefined ? null : submittedLists(configure);
    if (values instanceof Map && !applyNodeForm(TOPIC_NODE, node.config, values)) {
      this.remove(node);
      reply(request, errorReply(iq, 'not-acceptable'));
      return;
    }
    this.save(node);
    const created = element('create', { node: name });
    reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, created)));
  }

  /** The retained message of the node's topic. */
  last(request: PubsubRequest, node: PubsubNode, done: (message: Message | null) => void): void {
    const { sender, iq } = request;
    sender.hold();
    after(
      () => sender.engine.retained(node.exchange, node.key),
      (messages) => {
        done(messages.find((message) => message.routingKey === node.key) ?? null);
        sender.release();
      },
      (error) => {
        reply(request, errorReply(iq, conditionOf(error), { text: reasonOf(error) }));
        sender.release();
      },
    );
  }

  /** The id of the item that a message is. */
  idOf(message: Message): string {
    const { format, context } = this.host;
    return itemId(message, format.parse(message.as(format, context.clock.now())).stanza);
  }

  /** The node; null where the sender was told that there is none. */
  existing(request: PubsubRequest, name: string | undefined): PubsubNode | null {
    const node = name === undefined ? undefined : this.nodes.get(name);
    if (node !== undefined) return node;
    const { iq } = request;
    reply(
      request,
      name === undefined || name === ''
        ? errorReply(iq, 'bad-request', specific('nodeid-required'))
        : errorReply(iq, 'item-not-found'),
    );
    return null;
  }

  /** The node, made where there is none. */
  nodeFor(request: PubsubRequest, name: string | undefined): PubsubNode | null {
    if (name === undefined || name === '') return this.existing(request, name);
    return this.nodes.get(name) ?? this.#make(request, name);
  }

  #make(request: PubsubRequest, name: string): PubsubNode | null {
    const refusal = this.#mayMake(name);
    if (refusal !== null) {
      reply(request, errorReply(request.iq, refusal));
      return null;
    }
    const node = new PubsubNode(name, null, this.host.context.clock.now());
    this.#add(node);
    this.save(node);
    return node;
  }

  /** A node is a topic: wildcards have no place in its name. */
  #mayMake(name: string): Condition | null {
    if (name === '' || Buffer.byteLength(name) > NODE_BYTES_MAX) return 'not-acceptable';
    if (/[#+]/.test(name)) return 'not-acceptable';
    return this.nodes.size >= this.host.limits.xmppNodesMax ? 'resource-constraint' : null;
  }

  #add(node: PubsubNode): void {
    this.nodes.set(node.name, node);
    this.#byKey.set(`${node.exchange} ${node.key}`, node);
  }

  /** Binds the node's key, if it is not bound yet. */
  listen(node: PubsubNode, done: () => void, failed: (error: unknown) => void): void {
    if (node.bound) {
      done();
      return;
    }
    const bind = (queue: string): void => {
      after(
        () => this.host.system.bind(this.#binding(node, queue)),
        () => {
          node.bound = true;
          done();
        },
        failed,
      );
    };
    if (this.#queue === null) this.#open(bind, failed);
    else bind(this.#queue);
  }

  #open(done: (queue: string) => void, failed: (error: unknown) => void): void {
    const { system } = this.host;
    after(
      () => system.temporaryQueue('xmpp-pubsub-'),
      (queue) => {
        const spec = {
          queue,
          tag: this.domain,
          acknowledge: false,
          exclusive: true,
          priority: 0,
          credits: [],
          arguments: NO_ARGUMENTS,
        };
        after(
          () => system.consume(spec, this),
          () => {
            this.#queue = queue;
            done(queue);
          },
          failed,
        );
      },
      failed,
    );
  }

  #binding(node: PubsubNode, queue: string): Parameters<Host['system']['bind']>[0] {
    return {
      source: node.exchange,
      destination: queue,
      toExchange: false,
      routingKey: node.key,
      arguments: NO_ARGUMENTS,
    };
  }

  /** One notification. */
  event(node: PubsubNode, jid: string, what: Element): void {
    const { host, domain } = this;
    const type = node.config.notificationType === 'headline' ? { type: 'headline' } : {};
    const message = { from: domain, to: jid, id: host.nextId(), ...type };
    host.router.send(
      element('message', message, element('event', { xmlns: NS.PUBSUB_EVENT }, what)),
    );
  }

  /** Whether a resource of the subscriber is as the subscriber wants it to be. */
  #isShown(subscriber: string, values: readonly string[]): boolean {
    if (values.length === 0) return true;
    const jid = parseJid(subscriber);
    const account = jid === null ? undefined : this.host.accounts.online(jid.local);
    return (account?.available() ?? []).some(({ presence }) => {
      const show = presence.current === null ? null : childText(presence.current, 'show', '');
      return values.includes(show ?? 'online');
    });
  }
}
