/**
 * An external component (XEP-0114): a stream in the name of one domain, opened with a shared
 * secret; everything for that domain goes to it, and it may send in the name of everybody there.
 */
import { createHash } from 'node:crypto';
import { SYSTEM } from '../../core/auth.ts';
import type { Peer, Session, Subscription } from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import type { Message } from '../../core/message.ts';
import { randomName } from '../../core/random.ts';
import type { Connection, Transport } from '../adapter.ts';
import { type Element, element, is, localName, namespaceOf } from './element.ts';
import type { Entity } from './entity.ts';
import type { Host } from './host.ts';
import { foldDomain, type Jid, makeJid, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import type { ComponentOptions } from './options.ts';
import { Outbox, type OutboxOwner } from './outbox.ts';
import { quietly } from './quietly.ts';
import { type Condition, errorReply, isAnswerable } from './stanza-error.ts';
import { type StreamCondition, XmlStream } from './stream.ts';
import { type Receipt, type Wire, wireOf } from './wire.ts';

/** The component closed the stream. */
const END = Symbol('end');

export class ComponentConnection implements Connection {
  readonly #host: Host;
  readonly #transport: Transport;
  readonly #peer: Peer;
  readonly #log: Log;
  readonly #stream: XmlStream;
  readonly #forget: () => void;
  #options: ComponentOptions | null = null;
  #streamId = '';
  #component: Component | null = null;
  #holds = 0;
  #waiting: (Element | typeof END)[] = [];

  constructor(host: Host, transport: Transport, peer: Peer, forget: () => void) {
    this.#host = host;
    this.#transport = transport;
    this.#peer = peer;
    this.#forget = forget;
    this.#log = host.context.log.child({ protocol: 'xmpp-component', peer: peer.address });
    this.#stream = new XmlStream(
      transport,
      {
        opened: (header) => this.#opened(header),
        element: (node) => this.#take(node),
        finished: () => this.#take(END),
        failed: (condition, reason) => this.#failed(condition, reason),
      },
      NS.COMPONENT,
      host.domains.host,
      host.limits,
      () => randomName(host.context.random),
    );
  }

  receive(chunk: Buffer): void {
    this.#stream.receive(chunk);
  }

  drained(): void {
    for (const subscription of this.#component?.subscriptions ?? []) subscription.resume();
  }

  closed(_error: Error | null): void {
    this.#left();
    this.#forget();
  }

  shutdown(): void {
    this.#stream.fail('system-shutdown', 'shutting down');
  }

  #opened(header: Element): void {
    const domain = foldDomain(header.attrs.to ?? '');
    this.#options =
      this.#host.options.components.find((component) => component.domain === domain) ?? null;
    if (this.#options === null) {
      this.#stream.fail('host-unknown', header.attrs.to ?? '');
      return;
    }
    // XEP-0114 section 3: `from` is the component's own domain, and there is no version.
    this.#streamId = this.#stream.reply({
      from: this.#options.domain,
      versioned: false,
    });
  }

  #take(next: Element | typeof END): void {
    if (this.#holds > 0) this.#waiting.push(next);
    else if (next === END) {
      this.#stream.close();
      this.#left();
    } else if (this.#stream.ended) return;
    else if (this.#component === null) this.#handshake(next);
    else this.#stanza(this.#component, next);
  }

  #handshake(node: Element): void {
    const options = this.#options;
    if (options === null || !is(node, 'handshake', '')) {
      this.#stream.fail('not-authorized', 'no handshake');
      return;
    }
    const expected = createHash('sha1')
      .update(this.#streamId + options.secret)
      .digest('hex');
    if (node.getText().trim().toLowerCase() !== expected) {
      this.#host.counters.loginsRefused++;
      this.#stream.fail('not-authorized', 'wrong secret');
      return;
    }
    if (this.#host.components.has(options.domain)) {
      this.#stream.fail('conflict', `${options.domain} is connected already`);
      return;
    }
    this.#hold();
    after(
      () => this.#host.context.engine.open(this.#host.options.vhost, SYSTEM, this.#peer),
      (session) => {
        this.#welcome(options, session);
        this.#release();
      },
      (error) => this.#stream.fail('internal-server-error', reasonOf(error)),
    );
  }

  #welcome(options: ComponentOptions, session: Session): void {
    const component = new Component(this.#host, options.domain, session, {
      transport: this.#transport,
      stream: this.#stream,
      hold: () => this.#hold(),
      release: () => this.#release(),
    });
    this.#component = component;
    this.#host.components.set(options.domain, component);
    this.#transport.authenticated();
    this.#stream.stanzaBytesMax = this.#host.limits.xmppStanzaBytesMax;
    this.#stream.writeElement(element('handshake'));
  }

  #stanza(component: Component, node: Element): void {
    const name = localName(node);
    if (namespaceOf(node) !== '' || !/^(message|presence|iq)$/.test(name)) {
      this.#stream.fail('unsupported-stanza-type', name);
      return;
    }
    const from = parseJid(node.attrs.from ?? '');
    const to = parseJid(node.attrs.to ?? '');
    if (from === null || from.domain !== component.jid.domain) {
      this.#stream.fail('invalid-from', node.attrs.from ?? 'none');
      return;
    }
    if (to === null) {
      this.#stream.fail('improper-addressing', node.attrs.to ?? 'none');
      return;
    }
    node.attrs.from = from.full;
    node.attrs.to = to.full;
    if (name === 'iq') this.#host.router.iq(component, node, to, false);
    else this.#host.router.route(component, node, to);
  }

  #hold(): void {
    this.#holds++;
    this.#transport.hold();
  }

  #release(): void {
    this.#holds--;
    this.#transport.release();
    while (this.#holds === 0) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#stream.guard(() => this.#take(next));
    }
  }

  #left(): void {
    const component = this.#component;
    this.#component = null;
    this.#waiting = [];
    if (component === null) return;
    this.#host.components.delete(component.jid.domain);
    for (const service of this.#host.services.values()) service.left(component);
    component.close();
  }

  #failed(condition: StreamCondition, reason: string): void {
    if (condition !== 'system-shutdown') {
      this.#host.counters.protocolErrors++;
      this.#log.info({ reason: `${condition}: ${reason}` }, 'stream ended');
    }
    this.#left();
  }
}

interface ComponentLink {
  readonly transport: Transport;
  readonly stream: XmlStream;
  hold(): void;
  release(): void;
}

/** The component as an entity; the addresses of its domain all lead here. */
class Component implements Entity, OutboxOwner {
  readonly jid: Jid;
  readonly engine: Session;
  readonly subscriptions = new Set<Subscription>();
  readonly #outbox: Outbox;
  readonly #link: ComponentLink;
  readonly #log: Log;

  constructor(host: Host, domain: string, engine: Session, link: ComponentLink) {
    this.jid = makeJid('', domain, '');
    this.engine = engine;
    this.#link = link;
    this.#log = host.log;
    this.#outbox = new Outbox(this, engine, host.counters);
  }

  get congested(): boolean {
    return this.#link.transport.congested;
  }

  send(wire: Wire, receipt: Receipt | null): void {
    if (this.#link.stream.ended) {
      receipt?.lost();
      return;
    }
    this.#link.stream.write(wire);
    receipt?.acknowledged();
  }

  publish(message: Message, stanza: Element, mandatory: boolean, unrouted?: () => void): boolean {
    return this.#outbox.publish(message, stanza, 0, mandatory, unrouted);
  }

  bounce(stanza: Element, condition: Condition): void {
    if (isAnswerable(stanza)) this.send(wireOf(errorReply(stanza, condition)), null);
  }

  hold(): void {
    this.#link.hold();
  }

  release(): void {
    this.#link.release();
  }

  progressed(): void {
    // Components have no acknowledgements.
  }

  close(): void {
    this.#outbox.close();
    quietly(this.#log, 'closing a session', () => this.engine.close());
  }
}
