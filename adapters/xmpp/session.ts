/**
 * A client's resource from bind to its end (RFC 6120 7): it outlives its connection while XEP-0198
 * may resume it.
 *
 *     ATTACHED ──connection lost, resumable──► DETACHED ──resume──► ATTACHED
 *        └──── </stream>, conflict, not resumable ──► ended ◄── time out ──┘
 */
import type { Timer } from '../../core/clock.ts';
import type { Session, Subscription } from '../../core/engine.ts';
import type { Message } from '../../core/message.ts';
import { randomName } from '../../core/random.ts';
import type { Account } from './account.ts';
import { type Element, element, is, localName } from './element.ts';
import type { Entity } from './entity.ts';
import type { Host } from './host.ts';
import { bareOf, type Jid, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import { Outbox, type OutboxOwner } from './outbox.ts';
import { PersonalQueue } from './personal-queue.ts';
import { PresenceState } from './presence.ts';
import { quietly } from './quietly.ts';
import { type Condition, errorReply, isAnswerable } from './stanza-error.ts';
import type { StreamCondition } from './stream.ts';
import { StreamManagement } from './stream-management.ts';
import { type Receipt, type Wire, wireOf } from './wire.ts';

/** The connection that a session has at the moment. */
export interface Link {
  readonly congested: boolean;
  /** Nothing is read at the moment. */
  readonly holding: boolean;
  write(wire: Wire): void;
  writeElement(node: Element): void;
  hold(): void;
  release(): void;
  /** Ends the stream with an error; the session is no longer its concern. */
  end(condition: StreamCondition, reason: string): void;
}

/** How long a client may take to answer `<r/>`, in milliseconds. */
const ANSWER_MS = 60_000;

export class ClientSession implements Entity, OutboxOwner {
  readonly jid: Jid;
  readonly account: Account;
  readonly engine: Session;
  readonly subscriptions = new Set<Subscription>();
  readonly presence: PresenceState;
  /** It asked for the roster, and gets pushes (RFC 6121 2.1.6). */
  interested = false;
  carbons = false;
  /** It asked for the block list, and gets its changes (XEP-0191 3.2). */
  blockInterested = false;
  readonly #host: Host;
  readonly #outbox: Outbox;
  readonly #queue: PersonalQueue;
  #link: Link | null;
  #management: StreamManagement | null = null;
  /** The client asked how much was handled after so many stanzas, and not all of them are safe yet. */
  #askedAt: number | null = null;
  #holds = 0;
  /** Until it is resumed. */
  #timer: Timer | null = null;
  /** Until the client answers `<r/>`. */
  #answer: Timer | null = null;
  #ended = false;

  constructor(host: Host, account: Account, jid: Jid, engine: Session, link: Link) {
    this.#host = host;
    this.account = account;
    this.jid = jid;
    this.engine = engine;
    this.#link = link;
    this.#outbox = new Outbox(this, engine, host.counters);
    this.#queue = new PersonalQueue(host, this);
    this.presence = new PresenceState(host, this);
  }

  get congested(): boolean {
    if (this.#link === null)
      return (this.#management?.bytes ?? 0) > this.#host.limits.outputPauseBytes;
    return this.#link.congested;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Stanzas of the client's since stream management was enabled. */
  get received(): number {
    return this.#management?.received ?? 0;
  }

  /** Where resumption may find it. */
  get resumable(): boolean {
    return this.#management !== null && this.#management.id !== null;
  }

  /** Takes the messages that are sent to its full JID. */
  start(): void {
    this.#queue.start();
  }

  send(wire: Wire, receipt: Receipt | null): void {
    if (this.#ended) {
      receipt?.lost();
      return;
    }
    const management = this.#management;
    if (management === null) {
      this.#link?.write(wire);
      receipt?.acknowledged();
      return;
    }
    management.keep(wire, receipt);
    this.#link?.write(wire);
    this.#ask(management);
    const { xmppUnacknowledgedMax, outputCloseBytes } = this.#host.limits;
    if (management.waiting > xmppUnacknowledgedMax || management.bytes > outputCloseBytes) {
      this.end('resource-constraint', 'too many unacknowledged stanzas');
    }
  }

  /** One stanza of the client's (RFC 6120 8.1). */
  handle(stanza: Element): void {
    if (this.#management !== null) {
      this.#management.received = (this.#management.received + 1) >>> 0;
    }
    const { to: text, from } = stanza.attrs;
    if (from !== undefined && !this.#isOwn(from)) {
      // RFC 6120 8.1.2.1: a stanza in somebody else's name ends the stream.
      this.end('invalid-from', from);
      return;
    }
    stanza.attrs.from = this.jid.full;
    const to = text === undefined ? bareOf(this.jid) : parseJid(text);
    if (to === null) {
      this.bounce(stanza, 'jid-malformed');
      return;
    }
    const kind = localName(stanza);
    if (text !== undefined) stanza.attrs.to = to.full;
    if (this.#host.blocking.blocks(this.jid.bare, to) && kind !== 'presence') {
      if (isAnswerable(stanza)) this.send(wireOf(this.#host.blocking.refusal(stanza)), null);
      return;
    }
    if (kind === 'presence') this.presence.sent(stanza, text === undefined ? null : to);
    else if (kind === 'message') this.#host.messages.sent(this, stanza, to);
    else this.#host.router.iq(this, stanza, to, text === undefined);
  }

  publish(message: Message, stanza: Element, mandatory: boolean, unrouted?: () => void): boolean {
    const sequence = this.#management?.received ?? 0;
    return this.#outbox.publish(message, stanza, sequence, mandatory, unrouted);
  }

  bounce(stanza: Element, condition: Condition): void {
    if (!isAnswerable(stanza)) return;
    this.send(wireOf(errorReply(stanza, condition)), null);
  }

  hold(): void {
    if (++this.#holds === 1) this.#link?.hold();
  }

  release(): void {
    if (--this.#holds === 0) this.#link?.release();
  }

  progressed(): void {
    if (this.#askedAt !== null) this.#acknowledge(this.#askedAt);
  }

  /** The client reads again. */
  drained(): void {
    for (const subscription of this.subscriptions) subscription.resume();
    this.account.inbox.update();
  }

  /** XEP-0198 section 3. Null where it is enabled already. */
  enableManagement(resume: boolean, max: number | null): Element | null {
    if (this.#management !== null) return null;
    const longest = this.#host.limits.xmppResumeSecondsMax;
    const seconds = max === null ? longest : Math.min(max, longest);
    const id = resume && seconds > 0 ? randomName(this.#host.context.random) : null;
    this.#management = new StreamManagement(id, seconds);
    if (id === null) return element('enabled', { xmlns: NS.MANAGEMENT });
    this.#host.resumable.set(id, this);
    return element('enabled', {
      xmlns: NS.MANAGEMENT,
      id,
      resume: 'true',
      max: String(seconds),
    });
  }

  /** `<r/>`, `<a/>`. */
  manage(node: Element): void {
    const management = this.#management;
    if (management === null) {
      this.#link?.writeElement(failed('unexpected-request'));
      return;
    }
    if (is(node, 'r', NS.MANAGEMENT)) {
      this.#askedAt = management.received;
      this.#acknowledge(management.received);
      return;
    }
    const count = Number(node.attrs.h);
    if (!/^\d{1,10}$/.test(node.attrs.h ?? '') || !management.acknowledge(count)) {
      this.end('undefined-condition', `acknowledged ${node.attrs.h} of ${management.sent}`);
      return;
    }
    this.#host.counters.acknowledged++;
    this.#answer?.cancel();
    this.#ask(management);
  }

  /** A new connection takes the session over. */
  attach(link: Link, handled: number): boolean {
    const management = this.#management;
    if (management === null || management.id === null || this.#ended) return false;
    const old = this.#link;
    this.#link = null;
    old?.end('conflict', 'resumed elsewhere');
    this.#timer?.cancel();
    if (!management.resume(handled)) {
      this.end('undefined-condition', 'acknowledged more than was sent');
      return false;
    }
    this.#link = link;
    if (this.#holds > 0) link.hold();
    const safe = this.#safe(management);
    link.writeElement(
      element('resumed', { xmlns: NS.MANAGEMENT, previd: management.id, h: String(safe) }),
    );
    for (const wire of management.unacknowledged()) link.write(wire);
    this.#ask(management);
    this.drained();
    return true;
  }

  /** The connection is gone; `inOrder`: the client closed the stream itself. */
  detach(link: Link, inOrder: boolean): void {
    if (this.#link !== link) return;
    this.#link = null;
    this.#answer?.cancel();
    if (inOrder || !this.resumable) {
      this.end(null, 'closed');
      return;
    }
    const seconds = this.#management?.resumeSeconds ?? 0;
    this.#timer = this.#host.context.clock.after(seconds * 1000, () =>
      this.end(null, 'not resumed'),
    );
  }

  /** Ends the session for good, and its stream with `condition` where it still has one. */
  end(condition: StreamCondition | null, reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#answer?.cancel();
    const link = this.#link;
    this.#link = null;
    const id = this.#management?.id ?? null;
    if (id !== null) this.#host.resumable.delete(id);
    this.account.remove(this);
    this.presence.ended();
    this.#management?.abandon();
    this.#queue.stop();
    this.#outbox.close();
    quietly(this.#host.log, 'closing a session', () => this.engine.close());
    this.account.left();
    if (condition !== null) link?.end(condition, reason);
  }

  /**
   * Answers `<r/>` once everything before it is safe, requests that changed something among it:
   * `<a/>` is the publisher's confirmation.
   */
  #acknowledge(asked: number): void {
    const management = this.#management;
    if (management === null) return;
    const safe = this.#safe(management);
    if (safe < asked) return;
    this.#askedAt = null;
    const answer = element('a', { xmlns: NS.MANAGEMENT, h: String(safe) });
    this.#host.context.engine.safe(() => this.#link?.writeElement(answer));
  }

  /** How many stanzas may be acknowledged: those before the first whose message is not safe yet. */
  #safe(management: StreamManagement): number {
    const oldest = this.#outbox.oldestPending;
    return oldest === null ? management.received : Math.max(0, oldest - 1);
  }

  #ask(management: StreamManagement): void {
    const link = this.#link;
    if (link === null || !management.ask()) return;
    link.writeElement(element('r', { xmlns: NS.MANAGEMENT }));
    this.#expectAnswer(link);
  }

  #expectAnswer(link: Link): void {
    this.#answer?.cancel();
    this.#answer = this.#host.context.clock.after(ANSWER_MS, () => {
      // While its input is held, an answer may be in there.
      if (link.holding) {
        this.#expectAnswer(link);
        return;
      }
      // Nobody is at the other end: what waits is for the resumption, or the inbox.
      this.detach(link, false);
      link.end('connection-timeout', 'no acknowledgement');
    });
  }

  #isOwn(from: string): boolean {
    const jid = parseJid(from);
    return jid !== null && (jid.full === this.jid.full || jid.full === this.jid.bare);
  }
}

/** XEP-0198 section 3. */
export function failed(condition: string, handled: number | null = null): Element {
  const attributes = handled === null ? {} : { h: String(handled) };
  return element(
    'failed',
    { xmlns: NS.MANAGEMENT, ...attributes },
    element(condition, { xmlns: NS.STANZA_ERRORS }),
  );
}
