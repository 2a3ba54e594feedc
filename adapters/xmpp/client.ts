/**
 * A client's connection (RFC 6120): stream, TLS, SASL, bind; then its stanzas go to the session.
 *
 *     OPENING ─header─► LOGIN ─success, header─► BINDING ─bind─► BOUND
 *                                                └──── resume ────┘
 */

import type { Principal } from '../../core/auth.ts';
import type { Peer, Session } from '../../core/engine.ts';
import { type BrokerError, reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import { randomName } from '../../core/random.ts';
import type { Connection, Transport } from '../adapter.ts';
import {
  childOf,
  childText,
  type Element,
  element,
  is,
  localName,
  namespaceOf,
} from './element.ts';
import type { Host } from './host.ts';
import { Intake } from './intake.ts';
import { escapeLocal, foldDomain, foldResource, type Jid, makeJid } from './jid.ts';
import { NS } from './namespaces.ts';
import { quietly } from './quietly.ts';
import { Sasl, type SaslFailure } from './sasl.ts';
import { ClientSession, failed, type Link } from './session.ts';
import { conditionOf, errorReply, resultReply } from './stanza-error.ts';
import type { StreamCondition, XmlStream } from './stream.ts';
import { type Wire, wireOf } from './wire.ts';

const State = { OPENING: 0, LOGIN: 1, BINDING: 2, BOUND: 3 } as const;
type State = (typeof State)[keyof typeof State];

const LOGIN_ATTEMPTS_MAX = 5;

export class ClientConnection implements Connection, Link {
  readonly #host: Host;
  readonly #transport: Transport;
  readonly #peer: Peer;
  readonly #log: Log;
  readonly #intake: Intake;
  readonly #sasl: Sasl;
  readonly #forget: () => void;
  #state: State = State.OPENING;
  #principal: Principal | null = null;
  /** An anonymous client. */
  #temporary = false;
  #jid: Jid | null = null;
  #session: ClientSession | null = null;
  #attempts = 0;

  constructor(host: Host, transport: Transport, peer: Peer, forget: () => void) {
    this.#host = host;
    this.#transport = transport;
    this.#peer = peer;
    this.#forget = forget;
    this.#log = host.context.log.child({ protocol: 'xmpp', peer: peer.address });
    const { context } = host;
    this.#intake = new Intake(host, transport, NS.CLIENT, {
      opened: (header) => this.#opened(header),
      element: (node) => this.#element(node),
      finished: () => this.#left(true),
      failed: (condition, reason) => this.#failed(condition, reason),
    });
    this.#sasl = new Sasl(
      {
        authenticator: context.authenticator,
        peer,
        random: context.random,
        domain: host.domains.host,
        decoySecret: host.decoySecret,
        anonymousUser: host.options.anonymousUser,
        channelBinding: (name) => transport.channelBinding(name),
        certified: () => transport.certifiedUser,
      },
      {
        challenge: (data) => this.writeElement(element('challenge', { xmlns: NS.SASL }, data)),
        succeeded: (principal, data, temporary) => this.#loggedIn(principal, data, temporary),
        failed: (failure, user) => this.#refused(failure, user),
      },
    );
  }

  get congested(): boolean {
    return this.#transport.congested;
  }

  get #stream(): XmlStream {
    return this.#intake.stream;
  }

  receive(chunk: Buffer): void {
    this.#stream.receive(chunk);
  }

  drained(): void {
    this.#session?.drained();
  }

  closed(_error: Error | null): void {
    this.#left(false);
    this.#forget();
  }

  write(wire: Wire): void {
    this.#stream.write(wire);
  }

  writeElement(node: Element): void {
    this.#stream.writeElement(node);
  }

  get holding(): boolean {
    return this.#transport.holding;
  }

  hold(): void {
    this.#intake.hold();
  }

  release(): void {
    this.#intake.release();
  }

  end(condition: StreamCondition, reason: string): void {
    this.#session = null;
    this.#stream.fail(condition, reason);
  }

  /** The gateway goes down: RFC 6120 4.9.3.19. The session ends with it. */
  shutdown(): void {
    const session = this.#session;
    if (session === null) this.#stream.fail('system-shutdown', 'shutting down');
    else session.end('system-shutdown', 'shutting down');
  }

  #opened(header: Element): void {
    const { to, version } = header.attrs;
    const domain = to === undefined ? null : foldDomain(to);
    if (to !== undefined && domain !== this.#host.domains.host) {
      this.#stream.fail('host-unknown', to);
      return;
    }
    const major = /^([0-9]+)\.[0-9]+$/.exec(version ?? '')?.[1];
    if (major === undefined || Number(major) < 1) {
      this.#stream.fail('unsupported-version', version ?? 'none');
      return;
    }
    this.#stream.reply({ to: this.#jid?.bare, versioned: true });
    if (this.#principal === null) {
      this.#state = State.LOGIN;
      this.#features(...this.#loginFeatures());
    } else {
      this.#state = State.BINDING;
      this.#features(
        element('bind', { xmlns: NS.BIND }),
        element('session', { xmlns: NS.SESSION }, element('optional')),
        element('sm', { xmlns: NS.MANAGEMENT }),
        element('ver', { xmlns: NS.ROSTER_VERSIONING }),
        element('sub', { xmlns: NS.PRE_APPROVAL }),
        element('csi', { xmlns: NS.CLIENT_STATE }),
      );
    }
  }

  #features(...features: readonly Element[]): void {
    const attributes = this.#transport.framed ? { 'xmlns:stream': NS.STREAM } : {};
    this.writeElement(element('stream:features', attributes, ...features));
  }

  /** Before TLS that is required, nothing else is offered (RFC 6120 5.3.1). */
  #loginFeatures(): Element[] {
    const features: Element[] = [];
    const { requireTls } = this.#host.options;
    const secure = this.#transport.secure;
    if (!secure && this.#transport.startTls !== null) {
      features.push(
        element('starttls', { xmlns: NS.TLS }, requireTls ? element('required') : null),
      );
    }
    if (secure || !requireTls) {
      features.push(
        element(
          'mechanisms',
          { xmlns: NS.SASL },
          ...this.#sasl.mechanisms().map((name) => element('mechanism', {}, name)),
        ),
      );
      const bindings = this.#sasl.bindings();
      if (bindings.length > 0) features.push(channelBindings(bindings));
    }
    if (this.#mayRegister) features.push(element('register', { xmlns: NS.REGISTER_FEATURE }));
    return features;
  }

  #element(node: Element): void {
    if (this.#state === State.BOUND) this.#stanza(node);
    else if (this.#state === State.BINDING) this.#beforeBind(node);
    else this.#login(node);
  }

  #login(node: Element): void {
    const namespace = namespaceOf(node);
    const name = localName(node);
    if (namespace === NS.TLS && name === 'starttls') this.#startTls();
    else if (is(node, 'iq', '') && this.#mayRegister) this.#register(node);
    else if (namespace !== NS.SASL) this.#stream.fail('not-authorized', `${name} before login`);
    else if (this.#host.options.requireTls && !this.#transport.secure) {
      this.#refused('encryption-required', '');
    } else if (name === 'auth') {
      const mechanism = node.attrs.mechanism ?? '';
      this.#await(() => this.#sasl.auth(mechanism, node.getText()));
    } else if (name === 'response') this.#await(() => this.#sasl.response(node.getText()));
    else if (name === 'abort') this.#sasl.abort();
    else this.#refused('malformed-request', '');
  }

  /** In-band registration is offered on this connection. */
  get #mayRegister(): boolean {
    const { allowRegistration, requireTls } = this.#host.options;
    return allowRegistration && (this.#transport.secure || !requireTls);
  }

  /** XEP-0077 3.1: the one request that is answered before the login. */
  #register(iq: Element): void {
    const query = childOf(iq, 'query', NS.REGISTER);
    if (query === undefined || !/^[gs]et$/.test(iq.attrs.type ?? '')) {
      this.write(wireOf(errorReply(iq, 'not-authorized')));
      return;
    }
    this.#await(async () => {
      this.write(wireOf(await this.#host.registration.stranger(iq, query, this.#peer)));
    });
  }

  #startTls(): void {
    if (this.#transport.startTls === null || this.#transport.secure) {
      this.writeElement(element('failure', { xmlns: NS.TLS }));
      this.#stream.close();
      return;
    }
    this.writeElement(element('proceed', { xmlns: NS.TLS }));
    this.#state = State.OPENING;
    this.#stream.startTls();
  }

  /** Holds input while an answer is awaited. */
  #await(call: () => void | Promise<void>): void {
    this.hold();
    after(
      call,
      () => this.release(),
      (error) => {
        this.#log.error({ reason: reasonOf(error) }, 'login failed');
        this.release();
      },
    );
  }

  #loggedIn(principal: Principal, data: string, temporary: boolean): void {
    const local = escapeLocal(principal.name);
    this.#principal = principal;
    this.#temporary = temporary;
    this.#jid = makeJid(local, this.#host.domains.host, '');
    this.#stream.stanzaBytesMax = this.#host.limits.xmppStanzaBytesMax;
    this.writeElement(element('success', { xmlns: NS.SASL }, data));
    this.#stream.restart();
    this.#state = State.OPENING;
    this.#transport.authenticated();
  }

  #refused(failure: SaslFailure, user: string): void {
    this.writeElement(element('failure', { xmlns: NS.SASL }, element(failure, { xmlns: NS.SASL })));
    if (failure === 'aborted') return;
    this.#host.counters.loginsRefused++;
    this.#log.info({ user, reason: failure }, 'login refused');
    if (++this.#attempts >= LOGIN_ATTEMPTS_MAX) {
      this.#stream.fail('policy-violation', 'too many login attempts');
    }
  }

  /** RFC 6120 7.1: nothing but bind, and resumption instead of it, before there is a resource. */
  #beforeBind(node: Element): void {
    if (is(node, 'resume', NS.MANAGEMENT)) {
      this.#resume(node);
      return;
    }
    if (namespaceOf(node) === NS.MANAGEMENT) {
      this.writeElement(failed('unexpected-request'));
      return;
    }
    const bind = is(node, 'iq', '') ? childOf(node, 'bind', NS.BIND) : undefined;
    if (bind !== undefined && node.attrs.type === 'set') this.#bind(node, bind);
    else if (is(node, 'iq', '') && node.attrs.type !== 'result') {
      this.write(wireOf(errorReply(node, 'not-allowed')));
    } else this.#stream.fail('not-authorized', 'not bound');
  }

  #bind(iq: Element, bind: Element): void {
    const asked = childText(bind, 'resource', NS.BIND) ?? '';
    const resource = asked === '' ? randomName(this.#host.context.random) : foldResource(asked);
    const bare = this.#jid;
    const principal = this.#principal;
    if (resource === null || bare === null || principal === null) {
      this.write(wireOf(errorReply(iq, 'bad-request')));
      return;
    }
    const { engine } = this.#host.context;
    const jid = makeJid(bare.local, bare.domain, resource);
    const evicted = ({ message }: BrokerError): void => {
      const session = this.#host.accounts.online(jid.local)?.sessions.get(jid.resource);
      (session ?? this).end('policy-violation', message);
    };
    this.hold();
    after(
      () => engine.open(this.#host.options.vhost, principal, this.#peer, evicted),
      (opened) => {
        this.#prepare(iq, jid, opened);
        this.release();
      },
      (error) => {
        this.#log.info({ user: principal.name, reason: reasonOf(error) }, 'not let in');
        const condition = conditionOf(error);
        this.write(wireOf(errorReply(iq, condition === 'forbidden' ? 'not-allowed' : condition)));
        this.release();
      },
    );
  }

  #prepare(iq: Element, jid: Jid, opened: Session): void {
    this.hold();
    after(
      () =>
        this.#temporary
          ? this.#host.accounts.prepareTemporary(jid.local)
          : this.#host.accounts.prepare(jid.local),
      () => {
        this.#bound(iq, jid, opened);
        this.release();
      },
      (error) => {
        this.#log.error({ jid: jid.full, reason: reasonOf(error) }, 'no inbox');
        this.#discard(opened);
        this.write(wireOf(errorReply(iq, 'internal-server-error')));
        this.release();
      },
    );
  }

  #bound(iq: Element, jid: Jid, opened: Session): void {
    if (this.#stream.ended) {
      this.#discard(opened);
      return;
    }
    const known = this.#host.accounts.online(jid.local);
    // RFC 6120 7.7.2.2: the newcomer wins.
    known?.sessions.get(jid.resource)?.end('conflict', 'replaced by a new connection');
    const account = this.#host.accounts.open(jid.local);
    if (account.sessions.size >= this.#host.limits.xmppResourcesMax) {
      this.#discard(opened);
      this.write(wireOf(errorReply(iq, 'resource-constraint')));
      return;
    }
    const session = new ClientSession(this.#host, account, jid, opened, this);
    account.temporary = this.#temporary;
    account.add(session);
    this.#session = session;
    this.#state = State.BOUND;
    const bound = element('bind', { xmlns: NS.BIND }, element('jid', {}, jid.full));
    this.write(wireOf(resultReply(iq, bound)));
    session.start();
  }

  #discard(opened: Session): void {
    quietly(this.#log, 'closing a session', () => opened.close());
  }

  #stanza(node: Element): void {
    const session = this.#session;
    if (session === null) return;
    const namespace = namespaceOf(node);
    const name = localName(node);
    if (namespace === '' && (name === 'message' || name === 'presence' || name === 'iq')) {
      session.handle(node);
    } else if (namespace === NS.MANAGEMENT) this.#management(session, node, name);
    // XEP-0352: a hint that asks for nothing.
    else if (namespace === NS.CLIENT_STATE && /^(in)?active$/.test(name)) return;
    else this.#stream.fail('unsupported-stanza-type', name);
  }

  #management(session: ClientSession, node: Element, name: string): void {
    if (name === 'r' || name === 'a') {
      session.manage(node);
      return;
    }
    if (name !== 'enable') {
      this.writeElement(failed('unexpected-request'));
      return;
    }
    const wanted = node.attrs.resume;
    const max = /^\d{1,9}$/.test(node.attrs.max ?? '') ? Number(node.attrs.max) : null;
    const answer = session.enableManagement(wanted === 'true' || wanted === '1', max);
    this.writeElement(answer ?? failed('unexpected-request'));
  }

  #resume(node: Element): void {
    const { previd = '', h: handled = '' } = node.attrs;
    const session = this.#host.resumable.get(previd);
    const bare = this.#jid?.bare ?? '';
    if (session === undefined || session.jid.bare !== bare) {
      this.writeElement(failed('item-not-found', this.#host.handled.of(previd, bare)));
      return;
    }
    if (!/^\d{1,10}$/.test(handled)) {
      this.writeElement(failed('bad-request'));
      return;
    }
    this.#state = State.BOUND;
    this.#session = session;
    if (!session.attach(this, Number(handled))) {
      this.#session = null;
      this.#stream.fail('undefined-condition', 'cannot be resumed');
    }
  }

  /** The stream or its transport is over. */
  #left(inOrder: boolean): void {
    const session = this.#session;
    this.#session = null;
    this.#intake.clear();
    session?.detach(this, inOrder);
  }

  #failed(condition: StreamCondition, reason: string): void {
    if (condition !== 'system-shutdown' && condition !== 'conflict') {
      this.#host.counters.protocolErrors++;
      this.#log.info({ jid: this.#jid?.bare, reason: `${condition}: ${reason}` }, 'stream ended');
    }
    this.#left(true);
  }
}

/** XEP-0440. */
function channelBindings(names: readonly string[]): Element {
  const found = names.map((type) => element('channel-binding', { type }));
  return element('sasl-channel-binding', { xmlns: NS.CHANNEL_BINDINGS }, ...found);
}
