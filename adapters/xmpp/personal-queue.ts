/**
 * The queue of one resource: what anybody sends to its full JID (mapping, section 3). It lives as
 * long as the session, and is durable, since a session may wait to be resumed: what is in it when
 * the session or the process ends goes to the inbox.
 */
import { XMPP_EXCHANGE } from '../../core/address.ts';
import {
  type Consumer,
  Credit,
  type Delivery,
  type Eventually,
  NO_ARGUMENTS,
  Outcome,
  type Pulled,
  type Subscription,
} from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import { after, isPending } from '../../core/eventually.ts';
import type { HeaderValue } from '../../core/message.ts';
import type { Host } from './host.ts';
import { bareOf, parseJid } from './jid.ts';
import { quietly } from './quietly.ts';
import type { ClientSession } from './session.ts';

const PREFIX = 'xmpp-resource-';
/** Deliveries that may wait for an acknowledgement of the client (XEP-0198). */
const WINDOW = 512;
const QUIET = { settled: () => {}, returned: () => {}, writable: () => {} };

export class PersonalQueue implements Consumer {
  readonly #host: Host;
  readonly #session: ClientSession;
  readonly #name: string;
  #declared = false;
  #subscription: Subscription | null = null;
  #stopped = false;

  constructor(host: Host, session: ClientSession) {
    this.#host = host;
    this.#session = session;
    this.#name = PREFIX + host.nextId();
  }

  start(): void {
    const { system } = this.#host;
    const name = this.#name;
    this.#session.hold();
    const failed = (error: unknown): void => {
      this.#host.log.error({ jid: this.#session.jid.full, reason: reasonOf(error) }, 'no queue');
      this.#session.release();
    };
    const spec = {
      name,
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: new Map<string, HeaderValue>([
        ['x-max-length', this.#host.limits.xmppOfflineMessagesMax],
        ['x-overflow', 'reject-publish'],
      ]),
    };
    after(
      () => system.declareQueue(spec, false),
      () => {
        this.#declared = true;
        const binding = {
          source: XMPP_EXCHANGE,
          destination: name,
          toExchange: false,
          routingKey: this.#session.jid.full,
          arguments: NO_ARGUMENTS,
        };
        return after(
          () => system.bind(binding),
          () => this.#consume(failed),
          failed,
        );
      },
      failed,
    );
  }

  /** After what was delivered and not acknowledged was given back. */
  stop(): void {
    this.#stopped = true;
    const subscription = this.#subscription;
    this.#subscription = null;
    if (subscription !== null) this.#session.subscriptions.delete(subscription);
    if (!this.#declared) return;
    const empty = (): Eventually<unknown> => emptyInto(this.#host, this.#name);
    quietly(this.#host.log, 'emptying a queue', () => {
      const cancelled = subscription?.cancel();
      return isPending(cancelled) ? cancelled.then(empty) : empty();
    });
  }

  deliver(delivery: Delivery): void {
    if (this.#stopped) {
      delivery.settle(Outcome.REQUEUE);
      return;
    }
    this.#host.messages.deliverFull(this.#session, delivery);
    if (this.#session.congested) this.#subscription?.pause();
  }

  cancelled(): void {
    this.#subscription = null;
  }

  #consume(failed: (error: unknown) => void): void {
    after(
      () =>
        this.#host.system.consume(
          {
            queue: this.#name,
            tag: this.#session.jid.full,
            acknowledge: true,
            exclusive: true,
            priority: 0,
            credits: [new Credit(WINDOW)],
            arguments: NO_ARGUMENTS,
          },
          this,
        ),
      (subscription) => {
        this.#subscription = subscription;
        if (!this.#stopped) this.#session.subscriptions.add(subscription);
        this.#session.release();
      },
      failed,
    );
  }
}

/** Queues of sessions that a crash ended: what waits there goes to the inboxes. */
export function recoverPersonalQueues(host: Host): void {
  const { engine } = host.context;
  const left = [...engine.admin.queues(host.options.vhost)].filter(({ name }) =>
    name.startsWith(PREFIX),
  );
  for (const { name } of left) {
    quietly(host.log, 'emptying a queue', () => emptyInto(host, name));
  }
}

/**
 * Moves what is storable to the inboxes of the people that it was for, and deletes the queue; it
 * stays where something in it could not be moved.
 */
function emptyInto(host: Host, queue: string): Eventually<unknown> {
  for (;;) {
    const moved = moveOne(host, queue);
    if (isPending(moved)) {
      return moved.then((more) => (more ? emptyInto(host, queue) : finish(host, queue)));
    }
    if (!moved) return finish(host, queue);
  }
}

function finish(host: Host, queue: string): Eventually<number> {
  return host.system.deleteQueue(queue, false, false);
}

/** False where nothing is left. */
function moveOne(host: Host, queue: string): Eventually<boolean> {
  const move = (pulled: Pulled | null): Eventually<boolean> => {
    if (pulled === null) return false;
    const given = giveToInbox(host, pulled.delivery);
    return isPending(given) ? given.then(() => true) : true;
  };
  const pulled = host.system.get(queue, true);
  return isPending(pulled) ? pulled.then(move) : move(pulled);
}

/**
 * What a resource was sent and did not take goes to the person instead (XEP-0198 section 5), in one
 * step with its leaving the resource's queue. What is not storable was for that resource alone.
 */
export function giveToInbox(host: Host, delivery: Delivery): Eventually<void> {
  const { message } = delivery;
  const jid = parseJid(message.routingKey);
  const storable = message.format !== host.format || message.durable;
  if (jid === null || jid.local === '' || !storable) {
    delivery.settle(Outcome.ACCEPT);
    return;
  }
  const { bare } = bareOf(jid);
  const publish = { message: message.redirected(XMPP_EXCHANGE, bare), tag: 0, mandatory: false };
  const give = (): Eventually<void> =>
    host.system.commit([publish], [{ delivery, outcome: Outcome.ACCEPT }], QUIET);
  const prepared = host.accounts.prepare(jid.local);
  return isPending(prepared) ? prepared.then(give) : give();
}
