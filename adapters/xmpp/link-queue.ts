/**
 * What waits for the people of another server: everything that is published to their addresses in
 * `amq.xmpp`, by whatever protocol, in one durable queue. A message leaves it when that server has
 * taken it; one that comes back with an error goes to the queue of refused ones, with the error's
 * condition in the header `x-xmpp-error`.
 */
import { XMPP_EXCHANGE } from '../../core/address.ts';
import {
  type Consumer,
  Credit,
  type Delivery,
  type Eventually,
  NO_ARGUMENTS,
  Outcome,
  type QueueSpec,
  type Subscription,
} from '../../core/engine.ts';
import { BrokerError } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import { type HeaderValue, Message } from '../../core/message.ts';
import { childOf, type Element, element } from './element.ts';
import { nativeOf } from './format.ts';
import type { Host } from './host.ts';
import { parseJid } from './jid.ts';
import type { LinkOptions } from './link-options.ts';
import { NS } from './namespaces.ts';
import { delay, type Receipt } from './wire.ts';

/** Messages on their way to the other server. */
const WINDOW = 256;
const ERROR_HEADER = 'x-xmpp-error';
const QUIET = { settled: () => {}, returned: () => {}, writable: () => {} };

/** Writes a stanza to the other server; `receipt` is told what became of it. */
export type WriteStanza = (stanza: Element, receipt: Receipt) => void;

export class LinkQueue implements Consumer {
  readonly #host: Host;
  readonly #options: LinkOptions;
  readonly #write: WriteStanza;
  #subscription: Subscription | null = null;
  #paused = true;
  /** Since when the link is up: what came before was delayed. */
  #openedAt = 0;

  constructor(host: Host, options: LinkOptions, write: WriteStanza) {
    this.#host = host;
    this.#options = options;
    this.#write = write;
  }

  get name(): string {
    return `xmpp-link-${this.#options.domain}`;
  }

  /** Where what the other server refused is kept. */
  get refusedName(): string {
    return `${this.name}-refused`;
  }

  /** Makes sure of the queues, and begins to consume, paused. */
  async start(): Promise<void> {
    const { system, limits } = this.#host;
    const length: HeaderValue = limits.xmppLinkMessagesMax;
    await this.#declare(this.name, [
      ['x-max-length', length],
      ['x-overflow', 'reject-publish'],
    ]);
    await this.#declare(this.refusedName, [['x-max-length', length]]);
    for (const domain of this.#options.domains) {
      await system.bind({
        source: XMPP_EXCHANGE,
        destination: this.name,
        toExchange: false,
        routingKey: `@${domain}`,
        arguments: NO_ARGUMENTS,
      });
    }
    const subscription = await system.consume(
      {
        queue: this.name,
        tag: this.#options.domain,
        acknowledge: true,
        exclusive: false,
        priority: 0,
        credits: [new Credit(WINDOW)],
        arguments: NO_ARGUMENTS,
      },
      this,
    );
    this.#subscription = subscription;
    if (this.#paused) subscription.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#openedAt === 0) this.#openedAt = this.#host.context.clock.now();
    this.#subscription?.resume();
  }

  pause(): void {
    this.#paused = true;
    this.#subscription?.pause();
  }

  /** The link is down. */
  interrupt(): void {
    this.#openedAt = 0;
    this.pause();
  }

  deliver(delivery: Delivery): void {
    if (this.#paused) {
      delivery.settle(Outcome.REQUEUE);
      return;
    }
    const { message } = delivery;
    const { counters, messages } = this.#host;
    if (parseJid(message.routingKey) === null) {
      this.#refuse(delivery, 'jid-malformed');
      return;
    }
    const { stanza, native } = this.#stanzaOf(message);
    stanza.attrs.from = messages.senderOf(message, native);
    stanza.attrs.to = message.routingKey;
    if (delivery.attempts > 0 || message.receivedAt < this.#openedAt) {
      stanza.append(delay(message, this.#options.domain));
    }
    counters.delivered++;
    if (delivery.attempts > 0) counters.redelivered++;
    this.#write(stanza, {
      acknowledged: () => delivery.settle(Outcome.ACCEPT),
      lost: () => delivery.settle(Outcome.REQUEUE),
      refused: (condition) => this.#refuse(delivery, condition),
    });
  }

  /** The queue was deleted under us: it comes back, as it is the only way to that server. */
  cancelled(): void {
    this.#subscription = null;
    this.#host.log.warn({ queue: this.name }, 'the queue of a link was deleted; declared again');
    this.#host.context.clock.after(0, () => {
      after(
        () => this.start(),
        () => {},
        (error) => this.#host.log.error({ queue: this.name, error }, 'no queue for a link'),
      );
    });
  }

  #stanzaOf(message: Message): { readonly stanza: Element; readonly native: Buffer } {
    const { format, context } = this.#host;
    const native = message.as(format, context.clock.now());
    return { stanza: format.parse(native).stanza, native };
  }

  /** From one durable queue to the other in one step, so that a crash leaves it in one of them. */
  #refuse(delivery: Delivery, condition: string): void {
    const { message } = delivery;
    const { stanza, native } = this.#stanzaOf(message);
    const { context, format, log, messages, system } = this.#host;
    const header = element('header', { name: ERROR_HEADER }, condition);
    const headers = childOf(stanza, 'headers', NS.SHIM);
    if (headers === undefined) stanza.append(element('headers', { xmlns: NS.SHIM }, header));
    else headers.append(header);
    const refused = new Message(
      format,
      nativeOf(stanza, messages.senderOf(message, native)),
      message.body,
      '',
      this.refusedName,
      message.durable,
      message.priority,
      0,
      context.clock.now(),
    );
    log.info({ to: message.routingKey, condition }, 'refused by the other server');
    const publish = { message: refused, tag: 0, mandatory: false };
    after(
      () => system.commit([publish], [{ delivery, outcome: Outcome.ACCEPT }], QUIET),
      () => {},
      () => delivery.settle(Outcome.REJECT),
    );
  }

  #declare(name: string, bounds: readonly (readonly [string, HeaderValue])[]): Eventually<unknown> {
    const spec: QueueSpec = {
      name,
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: new Map(bounds),
    };
    try {
      return this.#host.system.declareQueue(spec, false);
    } catch (error) {
      // From before, under another limit of the configuration: it stays as it is.
      if (error instanceof BrokerError && error.code === 'precondition-failed') return null;
      throw error;
    }
  }
}
