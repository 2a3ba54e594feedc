/**
 * Queues and exchanges as addresses (mapping, section 3): `q@queues.DOMAIN`,
 * `x%key@exchanges.DOMAIN`.
 *
 * A message to one is published there. Available presence sent to one (or `subscribe`) consumes it,
 * competitively for a queue, through a queue of one's own for an exchange; unavailable presence
 * ends that. Deliveries come from the place's JID; where the message wants an answer, the resource
 * of that JID spells where to, and a message sent there goes there.
 */
import {
  type Consumer,
  Credit,
  type Delivery,
  NO_ARGUMENTS,
  Outcome,
  type Subscription,
} from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Address } from '../../core/message.ts';
import { addressOfJid, jidOfAddress } from './address.ts';
import { infoResult, itemsResult } from './disco.ts';
import {
  type Element,
  element,
  firstElement,
  localName,
  namespaceOf,
  serialize,
} from './element.ts';
import type { Entity, Service } from './entity.ts';
import type { Host } from './host.ts';
import { bareOf, type Jid, parseJid, withResource } from './jid.ts';
import { isStorable } from './messages.ts';
import { NS } from './namespaces.ts';
import { quietly } from './quietly.ts';
import { conditionOf, errorReply, resultReply } from './stanza-error.ts';
import { delay, messageWire, senderOf, wireOf } from './wire.ts';

/** Deliveries that wait for an acknowledgement of the client (XEP-0198). */
const WINDOW = 256;

export class Places implements Service {
  readonly domain: string;
  readonly #host: Host;
  /** By the consumer's full JID and the place's bare JID. */
  readonly #consumers = new Map<string, PlaceConsumer>();

  constructor(host: Host, domain: string) {
    this.#host = host;
    this.domain = domain;
  }

  handle(sender: Entity, stanza: Element, to: Jid): void {
    const kind = localName(stanza);
    const address = addressOfJid(to, this.#host.domains);
    if (kind === 'iq') this.#iq(sender, stanza, address);
    else if (address === null) this.#host.router.bounce(sender, stanza, 'service-unavailable');
    else if (kind === 'message') this.#publish(sender, stanza, to, address);
    else this.#presence(sender, stanza, to, address);
  }

  left(entity: Entity): void {
    for (const consumer of [...this.#consumers.values()]) {
      if (consumer.entity === entity) consumer.stop();
    }
  }

  #publish(sender: Entity, stanza: Element, to: Jid, address: Address): void {
    // An error that comes back from a consumer is no message.
    if (stanza.attrs.type === 'error') return;
    const forward = to.resource === '' ? null : parseJid(to.resource);
    if (forward !== null && this.#isOurs(forward)) {
      stanza.attrs.to = forward.full;
      this.#host.router.route(sender, stanza, forward);
      return;
    }
    const publish = (): void => {
      const from = stanza.attrs.from ?? sender.jid.full;
      const { exchange, routingKey } = address;
      const message = this.#host.messages.build(
        stanza,
        from,
        exchange,
        routingKey,
        isStorable(stanza),
      );
      sender.publish(message, stanza, true);
    };
    if (address.exchange === '') this.#declared(sender, stanza, address.routingKey, publish);
    else publish();
  }

  /** A queue that nobody declared comes to be, as with `/queue/q` in STOMP. */
  #declared(sender: Entity, stanza: Element, queue: string, done: () => void): void {
    sender.hold();
    const failed = (error: unknown): void => {
      this.#host.router.bounce(sender, stanza, conditionOf(error), reasonOf(error));
      sender.release();
    };
    const finished = (): void => {
      done();
      sender.release();
    };
    const declare = (exists: boolean): void => {
      if (exists) finished();
      else after(() => declareQueue(sender, queue), finished, failed);
    };
    after(() => sender.engine.hasQueue(queue), declare, failed);
  }

  #presence(sender: Entity, stanza: Element, to: Jid, address: Address): void {
    const from = parseJid(stanza.attrs.from ?? '') ?? sender.jid;
    const place = bareOf(to);
    const key = `${from.full} ${place.bare}`;
    const { type } = stanza.attrs;
    const consumer = this.#consumers.get(key);
    if (type === undefined || type === 'subscribe') {
      // A subscription is made in the name of the bare JID, and consumed by the resource that asks.
      const who = from.resource === '' ? sender.jid : from;
      if (type === 'subscribe') this.#answer(place, from, 'subscribed');
      const known = this.#consumers.get(`${who.full} ${place.bare}`);
      if (known?.entity === sender) return;
      known?.stop();
      this.#consume(sender, stanza, who, place, address);
    } else if (type === 'unavailable') consumer?.stop();
    else if (type === 'unsubscribe') {
      const who = from.resource === '' ? sender.jid : from;
      this.#consumers.get(`${who.full} ${place.bare}`)?.stop();
    }
  }

  /** Through the router, so that the subscriber's roster learns of it. */
  #answer(place: Jid, to: Jid, type: string): void {
    this.#host.router.send(element('presence', { from: place.bare, to: to.bare, type }));
  }

  #consume(sender: Entity, stanza: Element, who: Jid, place: Jid, address: Address): void {
    const key = `${who.full} ${place.bare}`;
    const consumer = new PlaceConsumer(this.#host, sender, who, place, () => {
      this.#consumers.delete(key);
    });
    this.#consumers.set(key, consumer);
    const failed = (error: unknown): void => {
      consumer.stop();
      this.#host.router.bounce(sender, stanza, conditionOf(error), reasonOf(error));
      sender.release();
    };
    const ready = (queue: string): void => {
      after(
        () => consumer.start(queue),
        () => {
          const { full } = who;
          sender.send(wireOf(element('presence', { from: place.bare, to: full })), null);
          sender.release();
        },
        failed,
      );
    };
    sender.hold();
    if (address.exchange === '') this.#queueFor(sender, address.routingKey, ready, failed);
    else this.#boundQueue(sender, address, ready, failed);
  }

  #queueFor(
    sender: Entity,
    queue: string,
    ready: (queue: string) => void,
    failed: (error: unknown) => void,
  ): void {
    after(
      () => sender.engine.hasQueue(queue),
      (exists) => {
        if (exists) ready(queue);
        else
          after(
            () => declareQueue(sender, queue),
            () => ready(queue),
            failed,
          );
      },
      failed,
    );
  }

  #boundQueue(
    sender: Entity,
    address: Address,
    ready: (queue: string) => void,
    failed: (error: unknown) => void,
  ): void {
    after(
      () => sender.engine.temporaryQueue('xmpp-'),
      (queue) => {
        const binding = {
          source: address.exchange,
          destination: queue,
          toExchange: false,
          routingKey: address.routingKey,
          arguments: NO_ARGUMENTS,
        };
        after(
          () => sender.engine.bind(binding),
          () => ready(queue),
          failed,
        );
      },
      failed,
    );
  }

  #iq(sender: Entity, iq: Element, address: Address | null): void {
    const payload = firstElement(iq);
    if (iq.attrs.type !== 'get' && iq.attrs.type !== 'set') return;
    const namespace = payload === undefined ? '' : namespaceOf(payload);
    const queues = this.domain === this.#host.domains.queues;
    if (payload !== undefined && namespace === NS.RPC && address !== null) {
      this.#host.rpc.call(sender, iq, payload, address);
    } else if (namespace === NS.PING && address === null) {
      sender.send(wireOf(resultReply(iq)), null);
    } else if (namespace === NS.DISCO_INFO && iq.attrs.type === 'get') {
      const type = queues ? 'queue' : 'exchange';
      const name = queues ? 'Queues' : 'Exchanges';
      const identity = { category: 'component', type, name };
      const features = [NS.DISCO_INFO, NS.DISCO_ITEMS, NS.PING, NS.SHIM, NS.RPC];
      sender.send(wireOf(infoResult(iq, payload?.attrs.node, identity, features)), null);
    } else if (namespace === NS.DISCO_ITEMS && iq.attrs.type === 'get') {
      sender.send(wireOf(itemsResult(iq, payload?.attrs.node, this.#items(sender, address))), null);
    } else sender.send(wireOf(errorReply(iq, 'service-unavailable')), null);
  }

  /** The queues that the user may read. */
  #items(sender: Entity, address: Address | null): Element[] {
    if (address !== null || this.domain !== this.#host.domains.queues) return [];
    const items: Element[] = [];
    for (const { name } of this.#host.context.engine.admin.queues(this.#host.options.vhost)) {
      if (items.length === ITEMS_MAX) break;
      if (name.startsWith('xmpp-') || !this.#host.allows(sender.engine, 'read', name)) continue;
      const jid = jidOfAddress({ exchange: '', routingKey: name }, this.#host.domains);
      if (jid !== null) items.push(element('item', { jid: jid.bare, name }));
    }
    return items;
  }

  #isOurs(jid: Jid): boolean {
    if (jid.local === '') return false;
    return jid.domain === this.#host.domains.host || this.#host.services.has(jid.domain);
  }
}

const ITEMS_MAX = 1000;
/** Error conditions that say that a consumer of another server is not there any more. */
const GONE = new Set([
  'gone',
  'item-not-found',
  'recipient-unavailable',
  'remote-server-not-found',
  'remote-server-timeout',
  'service-unavailable',
]);

function declareQueue(sender: Entity, name: string): ReturnType<Entity['engine']['declareQueue']> {
  return sender.engine.declareQueue(
    { name, durable: true, exclusive: false, autoDelete: false, arguments: NO_ARGUMENTS },
    false,
  );
}

/** One resource that consumes one place. */
class PlaceConsumer implements Consumer {
  readonly #host: Host;
  readonly entity: Entity;
  readonly #who: Jid;
  readonly #place: Jid;
  readonly #forget: () => void;
  #subscription: Subscription | null = null;
  #stopped = false;
  #openedAt = 0;

  constructor(host: Host, entity: Entity, who: Jid, place: Jid, forget: () => void) {
    this.#host = host;
    this.entity = entity;
    this.#who = who;
    this.#place = place;
    this.#forget = forget;
  }

  start(queue: string): void | Promise<void> {
    this.#openedAt = this.#host.context.clock.now();
    const answer = this.entity.engine.consume(
      {
        queue,
        tag: `${this.#who.full} ${this.#host.nextId()}`,
        acknowledge: true,
        exclusive: false,
        priority: 0,
        credits: [new Credit(WINDOW)],
        arguments: NO_ARGUMENTS,
      },
      this,
    );
    if (answer instanceof Promise) return answer.then((subscription) => this.#began(subscription));
    this.#began(answer);
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#forget();
    if (this.#subscription === null) return;
    this.entity.subscriptions.delete(this.#subscription);
    this.#cancel(this.#subscription);
  }

  deliver(delivery: Delivery): void {
    if (this.#stopped) {
      delivery.settle(Outcome.REQUEUE);
      return;
    }
    const { message } = delivery;
    const { format, context, counters } = this.#host;
    const native = message.as(format, context.clock.now());
    const from = this.#from(delivery, native);
    const waited = delivery.attempts > 0 || message.receivedAt < this.#openedAt;
    const extra = waited ? serialize(delay(message, this.#place.bare)) : '';
    counters.delivered++;
    if (delivery.attempts > 0) counters.redelivered++;
    this.entity.send(messageWire(native, from, this.#who.full, extra), {
      acknowledged: () => delivery.settle(Outcome.ACCEPT),
      lost: () => delivery.settle(Outcome.REQUEUE),
      refused: (condition) => this.#refused(delivery, condition),
    });
    if (this.entity.congested) this.#subscription?.pause();
  }

  /** The queue was deleted under the consumer: told as the place going away. */
  cancelled(): void {
    this.#subscription = null;
    this.stop();
    const gone = element('presence', {
      from: this.#place.bare,
      to: this.#who.full,
      type: 'unavailable',
    });
    this.entity.send(wireOf(gone), null);
  }

  /** What comes back since nobody is there is for another consumer; anything else is not wanted. */
  #refused(delivery: Delivery, condition: string): void {
    if (!GONE.has(condition)) {
      delivery.settle(Outcome.REJECT);
      return;
    }
    this.stop();
    delivery.settle(Outcome.REQUEUE);
  }

  /** The place, with where an answer goes as its resource. */
  #from(delivery: Delivery, native: Buffer): string {
    const { message } = delivery;
    const written = senderOf(native, this.#host.format);
    if (written !== '' && !native.includes('name="Reply-To"')) {
      return withResource(this.#place, written).full;
    }
    const { replyTo } = message.properties;
    const reply = replyTo === undefined ? null : jidOfAddress(replyTo, this.#host.domains);
    return reply === null ? this.#place.bare : withResource(this.#place, reply.full).full;
  }

  #cancel(subscription: Subscription): void {
    quietly(this.#host.log, 'leaving a queue', () => subscription.cancel());
  }

  #began(subscription: Subscription): void {
    if (this.#stopped) {
      this.#cancel(subscription);
      return;
    }
    this.#subscription = subscription;
    this.entity.subscriptions.add(subscription);
    if (this.entity.congested) subscription.pause();
  }
}
