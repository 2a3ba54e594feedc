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
import { itemsResult } from './disco.ts';
import {
  childOf,
  childrenOf,
  type Element,
  element,
  elementsOf,
  firstElement,
  localName,
  namespaceOf,
} from './element.ts';
import type { Entity, Service } from './entity.ts';
import { submitted } from './form.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid } from './jid.ts';
import { JsonTable } from './json-table.ts';
import { NS } from './namespaces.ts';
import { keepsMany, PubsubHistory } from './pubsub-history.ts';
import { isRetraction, itemContent, itemElement, itemId } from './pubsub-items.ts';
import { answerAffiliations, answerSubscriptions, pubsubInfo } from './pubsub-lists.ts';
import { applyNodeForm, hasConfig, nodeForm, PubsubNode, type StoredNode } from './pubsub-node.ts';
import { ownerAnswer } from './pubsub-owner.ts';
import {
  items,
  ownJid,
  type PubsubRequest,
  reply,
  specific,
  subscription,
  unsupported,
} from './pubsub-request.ts';
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
    );
    for (const [name, stored] of this.#stored.entries()) this.#add(new PubsubNode(name, stored));
    for (const node of this.nodes.values()) {
      if (node.subscribers.size > 0 || keepsMany(node)) this.#listen(node, NOTHING, NOTHING);
    }
  }

  handle(sender: Entity, stanza: Element, to: Jid): void {
    if (localName(stanza) !== 'iq') {
      if (stanza.attrs.type !== 'error' && localName(stanza) === 'message') {
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
        this.#list(request, payload.attrs.node);
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
      this.history.add(node, this.#idOf(message), itemElement(message, format, now, '', true));
    }
    if (node.subscribers.size === 0) return;
    if (isRetraction(message)) {
      if (!node.config.notifyRetract) return;
      const { stanza } = format.parse(message.as(format, now));
      this.notify(node, items(node, element('retract', { id: itemId(message, stanza) })));
      return;
    }
    const { deliverPayloads } = node.config;
    this.notify(
      node,
      items(node, itemElement(message, format, now, NS.PUBSUB_EVENT, deliverPayloads)),
    );
    this.host.counters.delivered += node.subscribers.size;
  }

  cancelled(reason: BrokerError): void {
    this.#queue = null;
    for (const node of this.nodes.values()) node.bound = false;
    this.host.log.error({ reason: reason.message }, 'pubsub queue is gone');
  }

  /** An event to all subscribers of a node. */
  notify(node: PubsubNode, what: Element): void {
    for (const jid of node.subscribers.keys()) this.#event(jid, what);
  }

  save(node: PubsubNode): void {
    this.#stored.set(node.name, node.stored());
    this.history.trim(node);
    if (keepsMany(node)) this.#listen(node, NOTHING, NOTHING);
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
        this.#subscribe(request, action);
        break;
      case 'set unsubscribe':
        this.#unsubscribe(request, action);
        break;
      case 'set create':
        this.#create(request, payload, action);
        break;
      case 'get items':
        this.#items(request, action);
        break;
      case 'get subscriptions':
        answerSubscriptions(this.nodes, request, action);
        break;
      case 'get affiliations':
        answerAffiliations(this.nodes, request, action);
        break;
      case 'get default':
        reply(
          request,
          resultReply(
            iq,
            element(
              'pubsub',
              { xmlns: NS.PUBSUB },
              element('default', {}, nodeForm(new PubsubNode('', null).config)),
            ),
          ),
        );
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
    const node = this.#nodeFor(request, action.attrs.node);
    if (node === null) return;
    const options = childOf(payload, 'publish-options', NS.PUBSUB);
    const wanted = options === undefined ? null : submitted(options);
    if (wanted instanceof Map && !hasConfig(node, wanted)) {
      reply(request, errorReply(iq, 'conflict', specific('precondition-not-met')));
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
    const payloadElement = item === undefined ? undefined : firstElement(item);
    const content = itemContent(payloadElement, id, from.full);
    const published = element('publish', { node: node.name }, element('item', { id }));
    const done = resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, published));
    if (this.#publishTo(request, node, content.native, content.body, node.config.persistItems)) {
      reply(request, done);
    }
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
    const message = new Message(
      host.format,
      native,
      body,
      node.exchange,
      node.key,
      true,
      0,
      0,
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
    const node = this.#existing(request, action.attrs.node);
    if (node === null) return;
    const id = childOf(action, 'item', NS.PUBSUB)?.attrs.id;
    if (id === undefined) reply(request, errorReply(iq, 'bad-request', specific('item-required')));
    else if (!node.mayPublish(from)) reply(request, errorReply(iq, 'forbidden'));
    else if (!node.config.persistItems) {
      reply(request, errorReply(iq, 'feature-not-implemented', unsupported('persistent-items')));
    } else {
      this.#last(request, node, (message) => {
        const kept = message === null ? null : this.#idOf(message);
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

  #subscribe(request: PubsubRequest, action: Element): void {
    const { iq, from, sender } = request;
    const jid = ownJid(request, action);
    if (jid === null) return;
    const node = this.#nodeFor(request, action.attrs.node);
    if (node === null) return;
    if (!node.mayRead(from) || !this.host.allows(sender.engine, 'read', node.exchange)) {
      const closed =
        node.affiliation(from) !== 'outcast' && node.config.accessModel === 'whitelist';
      reply(
        request,
        closed
          ? errorReply(iq, 'not-allowed', specific('closed-node'))
          : errorReply(iq, 'forbidden'),
      );
      return;
    }
    if (node.subscribers.size >= this.host.limits.xmppNodeSubscribersMax) {
      reply(request, errorReply(iq, 'policy-violation', specific('too-many-subscriptions')));
      return;
    }
    const listening = (): void => {
      const known = node.subscribers.get(jid.full);
      const id = known ?? this.host.nextId();
      node.subscribers.set(jid.full, id);
      this.save(node);
      const answer = subscription(node, jid.full, id);
      reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, answer)));
      if (node.config.sendLast) this.#sendLast(request, node, jid.full);
      sender.release();
    };
    sender.hold();
    this.#listen(node, listening, (error) => {
      reply(request, errorReply(iq, conditionOf(error), { text: reasonOf(error) }));
      sender.release();
    });
  }

  #sendLast(request: PubsubRequest, node: PubsubNode, jid: string): void {
    this.#last(request, node, (message) => {
      if (message === null) return;
      const now = this.host.context.clock.now();
      const item = itemElement(message, this.host.format, now, NS.PUBSUB_EVENT, true);
      this.#event(jid, items(node, item));
    });
  }

  #unsubscribe(request: PubsubRequest, action: Element): void {
    const jid = ownJid(request, action);
    const node = jid === null ? null : this.#existing(request, action.attrs.node);
    if (jid === null || node === null) return;
    const id = node.subscribers.get(jid.full);
    if (id === undefined) {
      reply(request, errorReply(request.iq, 'unexpected-request', specific('not-subscribed')));
      return;
    }
    if (action.attrs.subid !== undefined && action.attrs.subid !== id) {
      reply(request, errorReply(request.iq, 'not-acceptable', specific('invalid-subid')));
      return;
    }
    this.unsubscribe(node, jid.full);
    reply(request, resultReply(request.iq));
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
    const values = configure === undefined ? null : submitted(configure);
    if (values instanceof Map && !applyNodeForm(node.config, values)) {
      this.remove(node);
      reply(request, errorReply(iq, 'not-acceptable'));
      return;
    }
    this.save(node);
    const created = element('create', { node: name });
    reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, created)));
  }

  /** XEP-0060 6.5: the last value of the topic, whoever published it. */
  #items(request: PubsubRequest, action: Element): void {
    const { iq, from } = request;
    const name = action.attrs.node;
    if (name === undefined || name === '') {
      reply(request, errorReply(iq, 'bad-request', specific('nodeid-required')));
      return;
    }
    // A topic that nobody made a node of yet has its last value all the same.
    const node = this.nodes.get(name) ?? new PubsubNode(name, null);
    if (!node.mayRead(from)) {
      reply(request, errorReply(iq, 'forbidden'));
      return;
    }
    if (keepsMany(node)) {
      const answer = this.history.answer(node, action);
      reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, answer)));
      return;
    }
    this.#last(request, node, (message) => {
      if (message === null && !this.nodes.has(name)) {
        reply(request, errorReply(iq, 'item-not-found'));
        return;
      }
      const wanted = childrenOf(action, 'item', NS.PUBSUB).map((item) => item.attrs.id);
      const now = this.host.context.clock.now();
      const found =
        message === null ? [] : [itemElement(message, this.host.format, now, NS.PUBSUB, true)];
      const chosen = found.filter((item) => wanted.length === 0 || wanted.includes(item.attrs.id));
      const answer = element('items', { node: name }, ...chosen);
      reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, answer)));
    });
  }

  #list(request: PubsubRequest, name: string | undefined): void {
    const { iq, from } = request;
    if (name === undefined) {
      const open = [...this.nodes.values()].filter((node) => node.mayRead(from));
      const found = open.map((node) =>
        element('item', {
          jid: this.domain,
          node: node.name,
          name: node.config.title || node.name,
        }),
      );
      reply(request, itemsResult(iq, undefined, found));
      return;
    }
    const node = this.#existing(request, name);
    if (node === null) return;
    const ids = this.history.ids(node);
    if (ids.length > 0) {
      const found = ids.map((id) => element('item', { jid: this.domain, name: id }));
      reply(request, itemsResult(iq, name, found));
      return;
    }
    this.#last(request, node, (message) => {
      const found =
        message === null ? [] : [element('item', { jid: this.domain, name: this.#idOf(message) })];
      reply(request, itemsResult(iq, name, found));
    });
  }

  /** The retained message of the node's topic. */
  #last(request: PubsubRequest, node: PubsubNode, done: (message: Message | null) => void): void {
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

  #idOf(message: Message): string {
    const { format, context } = this.host;
    return itemId(message, format.parse(message.as(format, context.clock.now())).stanza);
  }

  #existing(request: PubsubRequest, name: string | undefined): PubsubNode | null {
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

  #nodeFor(request: PubsubRequest, name: string | undefined): PubsubNode | null {
    if (name === undefined || name === '') return this.#existing(request, name);
    return this.nodes.get(name) ?? this.#make(request, name);
  }

  #make(request: PubsubRequest, name: string): PubsubNode | null {
    const refusal = this.#mayMake(name);
    if (refusal !== null) {
      reply(request, errorReply(request.iq, refusal));
      return null;
    }
    const node = new PubsubNode(name, null);
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

  #listen(node: PubsubNode, done: () => void, failed: (error: unknown) => void): void {
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

  #event(jid: string, what: Element): void {
    const event = element('event', { xmlns: NS.PUBSUB_EVENT }, what);
    this.host.router.send(
      element('message', { from: this.domain, to: jid, id: this.host.nextId() }, event),
    );
  }
}
