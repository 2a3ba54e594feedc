/**
 * An external component (XEP-0114): a stream in the name of one domain, opened with a shared
 * secret; everything for that domain goes to it, and it may send in the name of everybody there.
 */
import { createHash } from 'node:crypto';
import { SYSTEM } from '../../core/auth.ts';
import type { Peer, Session } from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import type { Connection, Transport } from '../adapter.ts';
import { Component } from './component-entity.ts';
import { type Element, element, is, localName, namespaceOf } from './element.ts';
import type { Host } from './host.ts';
import { Intake } from './intake.ts';
import { foldDomain, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import type { ComponentOptions } from './options.ts';
import type { StreamCondition, XmlStream } from './stream.ts';

export class ComponentConnection implements Connection {
  readonly #host: Host;
  readonly #transport: Transport;
  readonly #peer: Peer;
  readonly #log: Log;
  readonly #intake: Intake;
  readonly #forget: () => void;
  #options: ComponentOptions | null = null;
  #streamId = '';
  #component: Component | null = null;

  constructor(host: Host, transport: Transport, peer: Peer, forget: () => void) {
    this.#host = host;
    this.#transport = transport;
    this.#peer = peer;
    this.#forget = forget;
    this.#log = host.context.log.child({ protocol: 'xmpp-component', peer: peer.address });
    this.#intake = new Intake(host, transport, NS.COMPONENT, {
      opened: (header) => this.#opened(header),
      element: (node) => this.#element(node),
      finished: () => this.#left(),
      failed: (condition, reason) => this.#failed(condition, reason),
    });
  }

  get #stream(): XmlStream {
    return this.#intake.stream;
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

  #element(node: Element): void {
    if (this.#component === null) this.#handshake(node);
    else this.#stanza(this.#component, node);
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
    this.#intake.hold();
    after(
      () => this.#host.context.engine.open(this.#host.options.vhost, SYSTEM, this.#peer),
      (session) => {
        this.#welcome(options, session);
        this.#intake.release();
      },
      (error) => this.#stream.fail('internal-server-error', reasonOf(error)),
    );
  }

  #welcome(options: ComponentOptions, session: Session): void {
    const component = new Component(this.#host, options.domain, session, {
      transport: this.#transport,
      intake: this.#intake,
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
    if (component.heard(node)) return;
    if (name === 'iq') this.#host.router.iq(component, node, to, false);
    else this.#host.router.route(component, node, to);
  }

  #left(): void {
    const component = this.#component;
    this.#component = null;
    this.#intake.clear();
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
