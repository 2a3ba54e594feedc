/**
 * A server that the gateway is a component of (XEP-0114): its people reach the gateway's people,
 * queues, rooms and topics under the link's domain (`link-addresses.ts`), and are reached at their
 * own addresses. While that server is away, messages wait in the link's queue, and the places that
 * its people consume keep what they have.
 *
 *     WAITING ──back-off──► CONNECTING ──handshake──► UP
 *        ▲───────────────────────┴──── gone ──────────┘
 */
import type { Timer } from '../../core/clock.ts';
import type { Session, Subscription } from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import type { Message } from '../../core/message.ts';
import { Barrier } from './barrier.ts';
import { ComponentOutbox } from './component-outbox.ts';
import { type Element, element, localName, namespaceOf } from './element.ts';
import type { Entity } from './entity.ts';
import type { Host } from './host.ts';
import { type Jid, makeJid, parseJid } from './jid.ts';
import { LinkAddresses } from './link-addresses.ts';
import type { LinkOptions } from './link-options.ts';
import { LinkQueue } from './link-queue.ts';
import { LinkStream, type LinkStreamOwner } from './link-stream.ts';
import { NS } from './namespaces.ts';
import { quietly } from './quietly.ts';
import { conditionIn, errorReply, isAnswerable } from './stanza-error.ts';
import { NO_PREFIXES, parseElement } from './tokenizer.ts';
import { type Receipt, type Wire, wireOf } from './wire.ts';

const BACKOFF_MS = 1000;
const BACKOFF_MS_MAX = 60_000;
/** How often a silent server is asked whether it is there, in milliseconds. */
const IDLE_MS = 60_000;
/** How long the end waits for what is on its way to be taken, in milliseconds. */
const FAREWELL_MS = 2000;

export class ServerLink implements Entity, LinkStreamOwner {
  readonly jid: Jid;
  readonly engine: Session;
  readonly subscriptions = new Set<Subscription>();
  readonly #host: Host;
  readonly #options: LinkOptions;
  readonly #domains: ReadonlySet<string>;
  readonly #addresses: LinkAddresses;
  readonly #outbox: ComponentOutbox;
  readonly #queue: LinkQueue;
  readonly #barrier: Barrier;
  readonly #log: Log;
  #stream: LinkStream | null = null;
  #up = false;
  /** Connections that failed since the last one that did not. */
  #failures = 0;
  #holds = 0;
  #timer: Timer | null = null;
  #stopped = false;

  constructor(host: Host, options: LinkOptions, engine: Session) {
    this.#host = host;
    this.#options = options;
    this.#domains = new Set(options.domains);
    this.jid = makeJid('', options.domain, '');
    this.engine = engine;
    this.#addresses = new LinkAddresses(host.domains, options.domain);
    this.#outbox = new ComponentOutbox(this, engine, host);
    this.#queue = new LinkQueue(host, options, (stanza, receipt) => this.#write(stanza, receipt));
    const isHeld = (): boolean => this.#stream?.holding === true;
    this.#barrier = new Barrier(host.context.clock, {
      get held() {
        return isHeld();
      },
      ask: (id) => this.#ping(id),
      late: () => this.#stream?.fail('connection-timeout', 'no answer'),
      nextId: () => host.nextId(),
    });
    this.#log = host.log.child({ link: options.domain });
  }

  get congested(): boolean {
    return !this.#up || this.#stream === null || this.#stream.congested;
  }

  start(): void {
    for (const domain of this.#domains) this.#host.links.set(domain, this);
    after(
      () => this.#queue.start(),
      () => this.#connect(),
      (error) => this.#log.error({ reason: reasonOf(error) }, 'no queue for a link'),
    );
  }

  /** Says good-bye once what is on its way was taken, or it takes too long. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#queue.interrupt();
    for (const subscription of this.subscriptions) subscription.pause();
    await new Promise<void>((resolve) => {
      const timer = this.#host.context.clock.after(FAREWELL_MS, resolve);
      this.#barrier.whenEmpty(() => {
        timer.cancel();
        resolve();
      });
    });
    this.#stream?.close();
    this.#barrier.abandon();
    this.#outbox.close();
    quietly(this.#log, 'closing a session', () => this.engine.close());
  }

  /** A stanza to somebody of that server. */
  take(sender: Entity, stanza: Element, to: Jid): void {
    const kind = localName(stanza);
    const { type } = stanza.attrs;
    if (kind === 'message' && (this.#up || isWorthWaiting(type))) {
      this.#host.messages.abroad(sender, stanza, to);
    } else if (this.#up) this.send(wireOf(stanza), null);
    else if (kind !== 'presence' || (type !== undefined && type !== 'unavailable')) {
      this.#host.router.bounce(sender, stanza, 'remote-server-timeout');
    }
  }

  send(wire: Wire, receipt: Receipt | null): void {
    if (!this.#up) {
      receipt?.lost();
      return;
    }
    this.#write(parseElement(wire.join(''), NO_PREFIXES), receipt);
  }

  publish(message: Message, stanza: Element, mandatory: boolean, unrouted?: () => void): boolean {
    return this.#outbox.publish(message, stanza, mandatory, unrouted);
  }

  hold(): void {
    if (++this.#holds === 1) this.#stream?.hold();
  }

  release(): void {
    if (--this.#holds === 0) this.#stream?.release();
  }

  up(): void {
    this.#log.info({}, 'link is up');
    this.#up = true;
    this.#failures = 0;
    this.#watch();
    for (const account of this.#host.accounts.all()) {
      for (const session of account.available()) session.presence.meet(this.#domains);
    }
    this.drained();
  }

  drained(): void {
    if (this.congested) return;
    this.#queue.resume();
    for (const subscription of this.subscriptions) subscription.resume();
  }

  down(reason: string): void {
    const wasUp = this.#up;
    this.#up = false;
    this.#stream = null;
    this.#timer?.cancel();
    this.#queue.interrupt();
    for (const subscription of this.subscriptions) subscription.pause();
    // Back in their order before anything of it is handed out again.
    this.#host.system.together(() => this.engine.together(() => this.#barrier.abandon()));
    if (wasUp) this.#forgetPeople();
    if (this.#stopped) return;
    this.#failures++;
    const longest = Math.min(BACKOFF_MS * 2 ** (this.#failures - 1), BACKOFF_MS_MAX);
    const [chance = 0] = this.#host.context.random.bytes(1);
    const waitMs = Math.round(longest * (0.5 + chance / 510));
    this.#log.warn({ reason, waitMs }, 'link is down');
    this.#timer = this.#host.context.clock.after(waitMs, () => this.#connect());
  }

  /** What somebody of that server, or a server behind it, sends. */
  stanza(node: Element): void {
    const kind = localName(node);
    if (namespaceOf(node) !== '' || !/^(message|presence|iq)$/.test(kind)) return;
    const { id, type } = node.attrs;
    if (kind === 'iq' && (type === 'result' || type === 'error') && this.#barrier.answered(id)) {
      this.drained();
      return;
    }
    const from = parseJid(node.attrs.from ?? '');
    const addressed = parseJid(node.attrs.to ?? '');
    if (from === null || addressed?.domain !== this.jid.domain) {
      this.#log.info({ from: node.attrs.from, to: node.attrs.to }, 'stanza without an address');
      return;
    }
    if (kind === 'message' && type === 'error') {
      this.#barrier.refused(id, from, conditionIn(node));
    }
    if (!this.#domains.has(from.domain)) {
      if (kind !== 'presence' && isAnswerable(node)) {
        this.#write(errorReply(node, 'forbidden'), null);
      }
      return;
    }
    node.attrs.from = from.full;
    this.#addresses.rewrite(node, 'inward');
    const to = this.#addresses.inward(addressed);
    if (kind === 'iq') this.#host.router.iq(this, node, to, false);
    else this.#host.router.route(this, node, to);
  }

  #connect(): void {
    const { host, port } = this.#options;
    this.#host.context.dial(
      { protocol: 'xmpp-component', host, port },
      (transport) => {
        const stream = new LinkStream(this.#host, this.#options, transport, this);
        this.#stream = stream;
        if (this.#holds > 0) stream.hold();
        if (this.#stopped) stream.close();
        return stream;
      },
      (error) => this.down(reasonOf(error)),
    );
  }

  /** Finds out when a silent server is gone. */
  #watch(): void {
    this.#timer?.cancel();
    this.#timer = this.#host.context.clock.after(IDLE_MS, () => {
      this.#barrier.ask();
      this.#watch();
    });
  }

  #ping(id: string): void {
    const [server = ''] = this.#options.domains;
    const ping = element('ping', { xmlns: NS.PING });
    this.#stream?.write(
      element('iq', { type: 'get', id, from: this.#options.domain, to: server }, ping),
    );
  }

  #write(stanza: Element, receipt: Receipt | null): void {
    this.#addresses.rewrite(stanza, 'outward');
    if (receipt !== null) stanza.attrs.id ??= this.#host.nextId();
    this.#stream?.write(stanza);
    const { id = '', to = '' } = stanza.attrs;
    if (receipt !== null) this.#barrier.keep(id, to, receipt);
    if (!this.congested) return;
    this.#queue.pause();
  }

  /** Who is on the other side is not here any more, as far as one can tell. */
  #forgetPeople(): void {
    this.#host.services.get(this.#host.domains.rooms)?.left(this);
    for (const account of this.#host.accounts.all()) {
      for (const session of account.available()) session.presence.miss(this.#domains);
    }
  }
}

/** Chats wait; what says that somebody types, or that something went wrong, does not. */
function isWorthWaiting(type: string | undefined): boolean {
  return type === undefined || type === 'normal' || type === 'chat';
}
