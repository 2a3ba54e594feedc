/** A connected component as an entity; the addresses of its domain all lead here. */
import type { Session, Subscription } from '../../core/engine.ts';
import type { Message } from '../../core/message.ts';
import type { Transport } from '../adapter.ts';
import { Barrier } from './barrier.ts';
import { ComponentOutbox } from './component-outbox.ts';
import { type Element, element, localName } from './element.ts';
import type { Entity } from './entity.ts';
import type { Host } from './host.ts';
import type { Intake } from './intake.ts';
import { type Jid, makeJid, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import { quietly } from './quietly.ts';
import { conditionIn } from './stanza-error.ts';
import { type Receipt, startOf, type Wire } from './wire.ts';

/**
 * How long a component that has never answered may take to, in milliseconds; then what is written
 * to it counts as taken.
 */
export const FIRST_ANSWER_MS = 5000;

export interface ComponentLink {
  readonly transport: Transport;
  readonly intake: Intake;
}

export class Component implements Entity {
  readonly jid: Jid;
  readonly engine: Session;
  readonly subscriptions = new Set<Subscription>();
  readonly #host: Host;
  readonly #outbox: ComponentOutbox;
  readonly #barrier: Barrier;
  readonly #link: ComponentLink;
  /** Whether it answers requests, as all should (RFC 6120 8.2.3). */
  #answers: boolean | null = null;

  constructor(host: Host, domain: string, engine: Session, link: ComponentLink) {
    this.jid = makeJid('', domain, '');
    this.engine = engine;
    this.#host = host;
    this.#link = link;
    this.#outbox = new ComponentOutbox(this, engine, host);
    this.#barrier = new Barrier(host.context.clock, {
      get held() {
        return link.transport.holding;
      },
      ask: (id) => this.#ping(id),
      late: () => this.#late(),
      nextId: () => host.nextId(),
    });
  }

  get congested(): boolean {
    return this.#link.transport.congested;
  }

  send(wire: Wire, receipt: Receipt | null): void {
    const { stream } = this.#link.intake;
    if (stream.ended) {
      receipt?.lost();
      return;
    }
    stream.write(wire);
    if (receipt === null) return;
    if (this.#answers === false) {
      receipt.acknowledged();
      return;
    }
    const { id = '', to = '' } = startOf(wire).attrs;
    this.#barrier.keep(id, to, receipt, this.#answers === null ? FIRST_ANSWER_MS : undefined);
  }

  publish(message: Message, stanza: Element, mandatory: boolean, unrouted?: () => void): boolean {
    return this.#outbox.publish(message, stanza, mandatory, unrouted);
  }

  hold(): void {
    this.#link.intake.hold();
  }

  release(): void {
    this.#link.intake.release();
  }

  /** A stanza of the component's. True where it is for nobody else: the answer to our own request. */
  heard(stanza: Element): boolean {
    const { type, id } = stanza.attrs;
    const kind = localName(stanza);
    if (kind === 'iq' && (type === 'result' || type === 'error') && this.#barrier.answered(id)) {
      this.#answers = true;
      return true;
    }
    const from = parseJid(stanza.attrs.from ?? '');
    if (kind === 'message' && type === 'error' && from !== null) {
      this.#barrier.refused(id, from, conditionIn(stanza));
    }
    return false;
  }

  close(): void {
    this.engine.together(() => this.#barrier.abandon());
    this.#outbox.close();
    quietly(this.#host.log, 'closing a session', () => this.engine.close());
  }

  #ping(id: string): void {
    const { host } = this.#host.domains;
    const ping = element('ping', { xmlns: NS.PING });
    const attributes = { type: 'get', id, from: host, to: this.jid.full };
    this.#link.intake.stream.writeElement(element('iq', attributes, ping));
  }

  #late(): void {
    if (this.#answers === null) {
      this.#answers = false;
      this.#barrier.trust();
      return;
    }
    this.#link.intake.stream.fail('connection-timeout', 'no answer');
    this.#link.transport.destroy();
  }
}
