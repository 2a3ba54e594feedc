/**
 * The sending half of a connection: SEND, its receipts, and transactions. A SEND's receipt is
 * sent when the message's fate is known; within a transaction that is after COMMIT, as on
 * RabbitMQ (ActiveMQ answers at once), and ABORT answers what it discards.
 */
import {
  type Eventually,
  Fate,
  Outcome,
  type Publisher,
  type PublisherEvents,
  type TransactedPublish,
  type TransactedSettle,
} from '../../core/engine.ts';
import { BrokerError } from '../../core/errors.ts';
import { Message } from '../../core/message.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import { booleanHeader, DURABLE_QUEUE, describesQueue, queueSpec } from './arguments.ts';
import type { Consuming } from './consuming.ts';
import { missingDestination } from './destination.ts';
import { parse } from './dialect.ts';
import { invalidHeader, StompError, unsupported } from './errors.ts';
import { type Edits, nativeOf, stompFormat } from './format.ts';
import type { Frame } from './frame.ts';
import type { Link } from './link.ts';
import * as names from './names.ts';
import { SCHEDULE_HEADERS, scheduled } from './schedule.ts';
import type { Settlement, Settling } from './settling.ts';
import { type Target, Targets } from './target.ts';
import { escapeText } from './text.ts';

/** What is told when a message's fate is known. */
interface Pending {
  readonly receipt: string | null;
  readonly mandatory: boolean;
  /** What it is one of several messages of: a COMMIT, a SEND to a composite. */
  readonly group: Group | null;
}

/** A receipt that waits for several messages. */
interface Group {
  readonly receipt: string;
  left: number;
  /** What it is known by to those who wait for the receipt. */
  readonly tag: number;
}

interface Transaction {
  readonly publishes: { readonly message: Message; readonly pending: Pending }[];
  readonly settlements: Settlement[];
}

const PRIORITY_MAX = 255;
/** JMS's, of messages whose sender says none. */
const JMS_PRIORITY = 4;
const NOTHING: ReadonlySet<number> = new Set();
const REPLY_TO: ReadonlySet<number> = new Set([names.REPLY_TO.number]);

export class Publishing implements PublisherEvents {
  readonly #link: Link;
  readonly #consuming: Consuming;
  readonly #counters: ProtocolCounters;
  readonly #publisher: Publisher;
  readonly #settling: Settling;
  readonly #targets: Targets;
  readonly #transactions = new Map<string, Transaction>();
  readonly #pending = new Map<number, Pending>();
  #transacted = 0;
  #lastTag = 0;
  #held = false;
  #idle: (() => void) | null = null;

  constructor(link: Link, consuming: Consuming, settling: Settling) {
    this.#link = link;
    this.#consuming = consuming;
    this.#settling = settling;
    this.#targets = new Targets(link);
    this.#counters = link.context.meter.protocol('stomp');
    this.#publisher = link.session.publisher(this);
  }

  send(frame: Frame): void {
    const link = this.#link;
    if (!frame.has(names.DESTINATION)) throw missingDestination('SEND');
    if (link.dialect === 'rabbitmq') this.#check(frame);
    else if (frame.has(names.AMQ_SCHEDULER_ACTION)) {
      throw unsupported(names.AMQ_SCHEDULER_ACTION.text);
    }
    const transaction = this.#transactionOf(frame);
    const reply = frame.get(names.REPLY_TO);
    this.#targets.find(frame, (targets) => {
      // A temporary name is this connection's only: others need the real one.
      if (reply?.startsWith('/temp-')) {
        this.#realReply(reply, (real) => this.#publishAll(frame, targets, transaction, real));
      } else this.#publishAll(frame, targets, transaction, null);
    });
  }

  /** ACK and NACK: at once, or with their transaction. */
  acknowledge(frame: Frame, done: () => void): void {
    const transaction = this.#transactionOf(frame);
    const settlement = this.#settling.settlement(frame, transaction?.settlements);
    this.#settling.bury(settlement, (buried) => {
      const publishes = buried.map((message) => ({ message, pending: NOBODY_WAITS }));
      if (transaction === null) {
        if (buried.length > 0) {
          this.#settleTogether(publishes, [settlement], null, done);
          return;
        }
        this.#settling.settle(settlement);
      } else {
        this.#grow(settlement.numbers.length + buried.length);
        transaction.settlements.push(settlement);
        transaction.publishes.push(...publishes);
      }
      done();
    });
  }

  begin(frame: Frame): void {
    const name = transactionName(frame);
    if (this.#transactions.has(name)) {
      throw new StompError('Bad transaction', `Transaction already begun: ${name}\n`);
    }
    if (this.#transactions.size >= this.#link.context.limits.stompSubscriptionsMax) {
      throw new StompError('Transaction limit exceeded', 'Too many concurrent transactions\n');
    }
    this.#transactions.set(name, { publishes: [], settlements: [] });
  }

  commit(frame: Frame): void {
    const { publishes, settlements } = this.#end(frame);
    const receipt = frame.get(names.RECEIPT);
    const group = receipt === undefined ? null : this.#group(receipt, 1);
    this.#settleTogether(publishes, settlements, group, () => {
      if (group !== null) this.#link.context.engine.safe(() => this.#answer(group));
    });
  }

  #settleTogether(
    held: Transaction['publishes'],
    settlements: readonly Settlement[],
    group: Group | null,
    done: () => void,
  ): void {
    const link = this.#link;
    const publishes: TransactedPublish[] = [];
    for (const { message, pending } of held) {
      if (group !== null) group.left++;
      const each = group === null ? pending : { ...pending, group };
      publishes.push({ message, tag: this.#expect(each), mandatory: pending.mandatory });
    }
    const settles: TransactedSettle[] = [];
    for (const { deliveries, outcome } of settlements) {
      if (outcome === Outcome.ACCEPT) this.#counters.acknowledged += deliveries.length;
      for (const delivery of deliveries) settles.push({ delivery, outcome });
    }
    this.#counters.received += publishes.length;
    const commit = (): Eventually<void> => {
      if (group !== null) this.#consuming.sending(group.tag);
      try {
        return link.session.commit(publishes, settles, this);
      } finally {
        this.#consuming.sent();
      }
    };
    link.run(commit, done);
  }

  abort(frame: Frame): void {
    const transaction = this.#end(frame);
    for (const settlement of transaction.settlements) this.#settling.restore(settlement);
    for (const { pending } of transaction.publishes) {
      if (pending.group !== null) this.#answer(pending.group);
      this.#link.receipt(pending.receipt ?? undefined);
    }
    this.#link.receipt(frame.get(names.RECEIPT));
  }

  /** Calls `done` when nothing is unsettled any more, at once where nothing is. */
  whenIdle(done: () => void): void {
    if (this.#pending.size === 0) done();
    else this.#idle = done;
  }

  close(): void {
    this.#publisher.close();
    this.#pending.clear();
    this.#transactions.clear();
  }

  settled(tag: number, fate: Fate): void {
    const pending = this.#pending.get(tag);
    if (pending === undefined) return;
    this.#pending.delete(tag);
    const failure = failureOf(fate, pending.mandatory);
    if (failure !== null) {
      this.#link.fail(failure, pending.receipt ?? pending.group?.receipt ?? null);
    } else {
      if (pending.receipt !== null) {
        this.#counters.confirmed++;
        this.#link.receipt(pending.receipt);
        this.#consuming.answered(tag);
      }
      if (pending.group !== null) this.#answer(pending.group);
    }
    if (this.#pending.size > 0 || this.#idle === null) return;
    const idle = this.#idle;
    this.#idle = null;
    idle();
  }

  /** Told by its fate too. */
  returned(): void {}

  writable(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#link.transport.release();
  }

  #check(frame: Frame): void {
    if (frame.has(names.MESSAGE_ID)) {
      throw new StompError('Invalid header', "'message-id' is not allowed on 'SEND'.\n");
    }
    const user = frame.get(names.USER_ID);
    const { principal } = this.#link.session;
    if (user === undefined || user === principal.name) return;
    if (principal.tags.includes('impersonator')) return;
    throw new BrokerError(
      'precondition-failed',
      `user_id property set to '${user}' but authenticated user was '${principal.name}'`,
    );
  }

  /** What other connections can answer to; RabbitMQ reads the answers without being asked. */
  #realReply(reply: string, done: (real: string) => void): void {
    const link = this.#link;
    const destination = parse(link.dialect, reply);
    if (destination.kind === 'temporary-topic') {
      done(`/topic/${link.temporary.topic(destination.name)}`);
      return;
    }
    if (destination.kind !== 'temporary-queue') {
      done(reply);
      return;
    }
    const { name } = destination;
    link.run(
      () => link.temporary.queue(name),
      (queue) => {
        const real = `/reply-queue/${queue}`;
        if (link.dialect === 'activemq' || this.#consuming.reads(name)) return done(real);
        this.#consuming.subscribeReplies(name, queue, () => done(real));
      },
    );
  }

  #publishAll(
    frame: Frame,
    targets: readonly Target[],
    transaction: Transaction | null,
    reply: string | null,
  ): void {
    const receipt = frame.get(names.RECEIPT) ?? null;
    const [only] = targets;
    if (targets.length === 1 && only !== undefined) {
      const pending = pendingOf(receipt, frame, null);
      this.#prepare(frame, only, reply, pending, transaction);
    } else {
      const group = receipt === null ? null : this.#group(receipt, targets.length);
      const pending = pendingOf(null, frame, group);
      for (const target of targets) {
        this.#prepare(frame, target, reply, pending, transaction);
      }
    }
    if (transaction !== null && this.#link.dialect === 'activemq')
      this.#link.receipt(receipt ?? undefined);
  }

  /**
   * Builds the message, then sees to its queue: the frame's bytes are not there any more
   * afterwards.
   */
  #prepare(
    frame: Frame,
    target: Target,
    reply: string | null,
    pending: Pending,
    transaction: Transaction | null,
  ): void {
    const message = this.#message(frame, target, reply);
    const { queue } = target;
    if (queue === null) {
      this.#publish(message, pending, transaction);
      return;
    }
    const link = this.#link;
    const spec = describesQueue(frame)
      ? queueSpec(frame, queue, { durable: true, exclusive: false, autoDelete: false })
      : null;
    // The ordinary case: the queue is there, and the engine says so at once.
    if (spec === null && link.session.hasQueue(queue) === true) {
      this.#publish(message, pending, transaction);
      return;
    }
    const missing = spec ?? { ...DURABLE_QUEUE, name: queue };
    const owned = message.own();
    link.run(
      (): Eventually<boolean> => (spec === null ? link.session.hasQueue(queue) : false),
      (there) => {
        if (there) return this.#publish(owned, pending, transaction);
        link.run(
          () => link.session.declareQueue(missing, false),
          () => this.#publish(owned, pending, transaction),
        );
      },
    );
  }

  #message(frame: Frame, target: Target, reply: string | null): Message {
    const now = this.#link.context.clock.now();
    const activemq = this.#link.dialect === 'activemq';
    const delay = activemq ? scheduled(frame, now) : null;
    const message = new Message(
      stompFormat,
      nativeOf(frame, this.#edits(frame, reply, delay !== null, now)),
      frame.body,
      target.exchange,
      target.routingKey,
      isTrue(frame.get(names.PERSISTENT)),
      priorityOf(frame.get(names.PRIORITY), activemq ? JMS_PRIORITY : 0),
      expiresAt(frame, now),
      now,
      isTrue(frame.get(names.RETAIN)),
    );
    const sent = this.#consuming.noLocal ? message.sentBy(this.#link.name) : message;
    return delay === null ? sent : sent.postponed(delay);
  }

  /**
   * What receivers see otherwise than the sender wrote it: in ActiveMQ's dialect every message has a
   * priority, an expiry and a time, and what its schedule was for is done.
   */
  #edits(frame: Frame, reply: string | null, delayed: boolean, now: number): Edits | null {
    const activemq = this.#link.dialect === 'activemq';
    if (reply === null && !activemq) return null;
    const replaced = reply === null ? NOTHING : REPLY_TO;
    const without = delayed ? new Set([...replaced, ...SCHEDULE_HEADERS]) : replaced;
    let added = reply === null ? '' : `reply-to:${escapeText(reply, frame.version)}\n`;
    if (activemq) {
      if (!frame.has(names.EXPIRES) && !frame.has(names.EXPIRATION)) added += 'expires:0\n';
      if (!frame.has(names.PRIORITY)) added += `priority:${JMS_PRIORITY}\n`;
      if (!frame.has(names.TIMESTAMP)) added += `timestamp:${now}\n`;
    }
    return { without, added };
  }

  #publish(message: Message, pending: Pending, transaction: Transaction | null): void {
    if (transaction !== null) {
      this.#grow(1);
      // Held beyond this turn: away from the chunk that it came in.
      const answered = this.#link.dialect === 'activemq';
      const held = answered ? { ...pending, receipt: null, group: null } : pending;
      transaction.publishes.push({ message: message.own(), pending: held });
      return;
    }
    this.#counters.received++;
    const tag = this.#expect(pending);
    let more: boolean;
    if (pending.receipt !== null) this.#consuming.sending(tag);
    else if (pending.group !== null) this.#consuming.sending(pending.group.tag);
    try {
      more = this.#publisher.publish(message, tag, pending.mandatory);
    } catch (error) {
      this.#pending.delete(tag);
      throw error;
    } finally {
      this.#consuming.sent();
    }
    if (more || this.#held) return;
    this.#held = true;
    this.#link.transport.hold();
  }

  /** A tag where somebody waits for the message's fate, else 0. */
  #expect(pending: Pending): number {
    if (pending.receipt === null && pending.group === null && !pending.mandatory) return 0;
    const tag = ++this.#lastTag;
    this.#pending.set(tag, pending);
    return tag;
  }

  #answer(group: Group): void {
    if (--group.left > 0) return;
    this.#counters.confirmed++;
    this.#link.receipt(group.receipt);
    this.#consuming.answered(group.tag);
  }

  #group(receipt: string, left: number): Group {
    return { receipt, left, tag: ++this.#lastTag };
  }

  #transactionOf(frame: Frame): Transaction | null {
    const name = frame.get(names.TRANSACTION);
    if (name === undefined) return null;
    const transaction = this.#transactions.get(name);
    if (transaction === undefined) throw badTransaction(name);
    return transaction;
  }

  #end(frame: Frame): Transaction {
    const name = transactionName(frame);
    const transaction = this.#transactions.get(name);
    if (transaction === undefined) throw badTransaction(name);
    this.#transactions.delete(name);
    this.#transacted -= transaction.publishes.length;
    for (const { numbers } of transaction.settlements) this.#transacted -= numbers.length;
    return transaction;
  }

  #grow(actions: number): void {
    this.#transacted += actions;
    if (this.#transacted <= this.#link.context.limits.transactionFramesMax) return;
    throw new StompError('Transaction too large', 'Too many actions in transactions\n');
  }
}

function pendingOf(receipt: string | null, frame: Frame, group: Group | null): Pending {
  const mandatory = frame.has(names.MANDATORY) && booleanHeader(frame, names.MANDATORY, false);
  return receipt === null && group === null && !mandatory
    ? NOBODY_WAITS
    : { receipt, mandatory, group };
}

const NOBODY_WAITS: Pending = { receipt: null, mandatory: false, group: null };

function failureOf(fate: Fate, mandatory: boolean): StompError | null {
  switch (fate) {
    case Fate.UNROUTABLE:
      return mandatory
        ? new StompError('Message not routed', 'No queue takes messages to this destination\n')
        : null;
    case Fate.REFUSED:
      return new StompError('Message refused', 'A queue refused the message: it is full\n');
    case Fate.FAILED:
      return new StompError('Message lost', 'The message may not have been stored: try again\n');
    default:
      return null;
  }
}

function transactionName(frame: Frame): string {
  const name = frame.get(names.TRANSACTION);
  if (name !== undefined) return name;
  throw new StompError(
    'Missing transaction',
    `"${frame.command}" must include a 'transaction' header\n`,
  );
}

function badTransaction(name: string): StompError {
  return new StompError('Bad transaction', `Invalid transaction identifier: "${name}"\n`);
}

function isTrue(text: string | undefined): boolean {
  return text !== undefined && text.toLowerCase() === 'true';
}

function priorityOf(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  return Math.min(numberOf(text, 'priority'), PRIORITY_MAX);
}

/**
 * RabbitMQ's `expiration` is a span, ActiveMQ's `expires` a time (0: never), both in
 * milliseconds.
 */
function expiresAt(frame: Frame, now: number): number {
  const span = frame.get(names.EXPIRATION);
  if (span !== undefined) return now + numberOf(span, 'expiration');
  const time = frame.get(names.EXPIRES);
  return time === undefined ? 0 : numberOf(time, 'expires');
}

function numberOf(text: string, header: string): number {
  if (!/^\d{1,15}$/.test(text)) throw invalidHeader('SEND', header);
  return Number(text);
}
