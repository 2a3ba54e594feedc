/**
 * The consuming side of a channel: consumers, prefetch windows, basic.get, and what clients say of
 * their deliveries.
 *
 * Prefetch is RabbitMQ's reading of AMQP 1.8.3.1: `global` false is the window of each consumer
 * that is started afterwards, true one window that all consumers of the channel share.
 */
import {
  Credit,
  type Delivery,
  type Eventually,
  Outcome,
  type Pulled,
  type Subscription,
} from '../../core/engine.ts';
import { isInteger, plain, typeNameOf } from '../../core/envelope.ts';
import type { BrokerError } from '../../core/errors.ts';
import { after } from '../../core/eventually.ts';
import type { HeaderTable, Message } from '../../core/message.ts';
import { randomName } from '../../core/random.ts';
import { parseSelector, type Selector } from '../../core/selector.ts';
import { AmqpConsumer, type ConsumerOwner } from './consumer.ts';
import { fits, writeContent } from './content.ts';
import { AmqpError, preconditionFailed } from './errors.ts';
import { amqpFormat, shortKey } from './format.ts';
import type { ChannelPort } from './link.ts';
import { DIRECT_REPLY_TO } from './publishing.ts';
import type { Reader } from './reader.ts';
import { writeCancel, writeGetOk, writeMethod, writeNameMethod } from './replies.ts';
import type { Transaction } from './transaction.ts';
import { Unsettled } from './unsettled.ts';
import { Method, Reply } from './wire.ts';

const PRIORITY_ARGUMENT = 'x-priority';
/** A selector, as JMS has them: the consumer gets what it matches. */
const SELECTOR_ARGUMENT = 'x-selector';

/** A consumer as it was asked for. */
interface Wanted {
  readonly queue: string;
  readonly tag: string;
  readonly acknowledge: boolean;
  readonly exclusive: boolean;
  readonly noWait: boolean;
  readonly arguments: HeaderTable;
}

export class Consuming implements ConsumerOwner {
  readonly channel: ChannelPort;
  readonly unsettled = new Unsettled();
  readonly #transaction: Transaction;
  readonly #consumers = new Map<string, AmqpConsumer>();
  /** The window that the consumers share; 0: none. */
  readonly #sharedCredit = new Credit(0);
  #prefetch = 0;
  /** Of direct reply-to: the consumer's tag, and the queue that it stands for. */
  #replyTag: string | null = null;
  #replyQueue: string | null = null;
  /** Since when, and from which delivery tag on, nothing older waited (`checkTimeout`). */
  #marks: { readonly at: number; readonly tag: number }[] = [];
  /** One by queue: it knows the queue's own time-out. */
  readonly #subscriptions = new Map<string, Subscription>();

  constructor(channel: ChannelPort, transaction: Transaction) {
    this.channel = channel;
    this.#transaction = transaction;
  }

  /** The private queue that `amq.rabbitmq.reply-to` stands for here. */
  get replyQueue(): string | null {
    return this.#replyQueue;
  }

  onQos(reader: Reader): void {
    const bytes = reader.long();
    const count = reader.short();
    const global = (reader.octet() & 1) !== 0;
    if (bytes !== 0) throw new AmqpError(Reply.NOT_IMPLEMENTED, `prefetch_size!=0 (${bytes})`);
    if (!global) this.#prefetch = count;
    // First the answer, then what a wider window lets through.
    this.#write(Method.BASIC_QOS_OK);
    this.#sharedCredit.limit = global ? count : 0;
  }

  /** `queueNamed` resolves the empty name. */
  onConsume(reader: Reader, queueNamed: (name: string) => string): void {
    reader.short();
    const queue = queueNamed(reader.shortString());
    const asked = reader.shortString();
    const bits = reader.octet();
    const wanted: Wanted = {
      queue,
      tag: asked === '' ? `amq.ctag-${randomName(this.channel.link.context.random)}` : asked,
      acknowledge: (bits & 2) === 0,
      exclusive: (bits & 4) !== 0,
      noWait: (bits & 8) !== 0,
      arguments: reader.table(),
    };
    if (this.#consumers.has(wanted.tag)) {
      const message = `attempt to reuse consumer tag '${wanted.tag}'`;
      throw new AmqpError(Reply.NOT_ALLOWED, message);
    }
    const { amqpConsumersMax } = this.channel.link.context.limits;
    if (this.#consumers.size >= amqpConsumersMax)
      throw preconditionFailed(`channel has its maximum of ${amqpConsumersMax} consumers`);
    if (queue === DIRECT_REPLY_TO) this.#consumeReplies(wanted);
    else this.#consume(wanted, queue);
  }

  onCancel(reader: Reader): void {
    const tag = reader.shortString();
    const noWait = (reader.octet() & 1) !== 0;
    const consumer = this.#consumers.get(tag);
    this.#consumers.delete(tag);
    const { link, number } = this.channel;
    this.channel.ask(
      () => consumer?.cancel(),
      () => {
        if (this.#replyTag === tag) this.#endReplies();
        if (!noWait) {
          writeNameMethod(link.transport.output, number, Method.BASIC_CANCEL_OK, tag);
        }
      },
    );
  }

  onGet(reader: Reader, queueNamed: (name: string) => string): void {
    reader.short();
    const queue = queueNamed(reader.shortString());
    const acknowledge = (reader.octet() & 1) === 0;
    this.channel.ask(
      () => this.channel.link.session.get(queue, acknowledge),
      (pulled) => this.#got(pulled, acknowledge),
    );
  }

  /** Tag 0 with `multiple` is everything delivered so far (AMQP 1.8.3.13). */
  settle(tag: number, multiple: boolean, outcome: Outcome): void {
    if (!multiple) {
      const delivery = this.unsettled.take(tag);
      if (delivery === null) throw unknownTag(tag);
      this.#settle(tag, delivery, outcome);
      return;
    }
    const taken = tag === 0 ? this.unsettled.takeAll() : this.unsettled.takeThrough(tag);
    if (taken === null) throw unknownTag(tag);
    this.channel.link.session.together(() => {
      for (const [each, delivery] of taken) this.#settle(each, delivery, outcome);
    });
  }

  onRecover(reader: Reader, answer: boolean): void {
    if ((reader.octet() & 1) === 0) throw new AmqpError(Reply.NOT_IMPLEMENTED, 'requeue=false');
    const taken = this.unsettled.takeAll();
    // Before the redeliveries, which may happen within `settle`.
    if (answer) this.#write(Method.BASIC_RECOVER_OK);
    this.#giveBack(taken);
  }

  /** Pauses or resumes the consumers, as the socket has it. */
  regulate(): void {
    const stopped = this.channel.link.congested;
    for (const consumer of this.#consumers.values()) {
      if (stopped) consumer.pause();
      else consumer.resume();
    }
  }

  gone(consumer: AmqpConsumer, _reason: BrokerError): void {
    this.#consumers.delete(consumer.tag);
    if (this.#replyTag === consumer.tag) {
      this.#replyTag = null;
      this.#replyQueue = null;
    }
    const { link, number, open } = this.channel;
    if (!open || !link.cancelNotify) return;
    writeCancel(link.transport.output, number, consumer.tag);
    link.cut();
  }

  /** Deliveries that came back to this client by a rollback. */
  restore(taken: readonly (readonly [tag: number, delivery: Delivery])[]): void {
    this.unsettled.restore(taken);
  }

  /**
   * Called now and then: throws where a delivery has waited for its queue's own time-out, or for
   * `defaultMs` (0: for ever) where the queue has none. Time is noted per call, not per delivery, so
   * a client gets up to one interval longer.
   */
  checkTimeout(now: number, defaultMs: number): void {
    const own = Math.max(0, ...[...this.#subscriptions.values()].map(timeoutOf));
    const longest = Math.max(defaultMs, own);
    if (longest === 0) return;
    const overdue = this.#overdue(now, defaultMs, own > 0);
    if (overdue !== null) {
      this.#marks = [];
      throw preconditionFailed(
        `delivery acknowledgement on channel ${this.channel.number} timed out. ` +
          `Timeout value used: ${overdue} ms. ` +
          'This timeout value can be configured, see consumers doc guide to learn more',
      );
    }
    const { oldest, next } = this.unsettled;
    const useful = this.#marks.findLastIndex((mark) => now - mark.at >= longest);
    this.#marks = this.#marks.slice(Math.max(0, useful)).filter((mark) => mark.tag > oldest);
    if (oldest < next) this.#marks.push({ at: now, tag: next });
  }

  /**
   * The time-out that a delivery has waited for; null: none has. `own`: some queue has one of its
   * own.
   */
  #overdue(now: number, defaultMs: number, own: boolean): number | null {
    const { oldest } = this.unsettled;
    if (!own) return oldest < this.#tagAt(now - defaultMs) ? defaultMs : null;
    for (const [tag, { queue }] of this.unsettled.entries()) {
      const timeoutMs = timeoutOf(this.#subscriptions.get(queue)) || defaultMs;
      if (timeoutMs > 0 && tag < this.#tagAt(now - timeoutMs)) return timeoutMs;
    }
    return null;
  }

  /** Lower tags had been given by that time. */
  #tagAt(time: number): number {
    return this.#marks.findLast(({ at }) => at <= time)?.tag ?? 0;
  }

  /** Gives everything back: consumers first, so that nothing returns to this channel. */
  close(): void {
    const consumers = [...this.#consumers.values()];
    this.#consumers.clear();
    for (const consumer of consumers) attempt(() => consumer.cancel());
    if (this.#replyQueue !== null) this.#endReplies();
    this.#giveBack([...this.#transaction.rollback(), ...this.unsettled.takeAll()]);
  }

  #consume(wanted: Wanted, queue: string): void {
    const { tag, acknowledge, exclusive } = wanted;
    const consumer = new AmqpConsumer(this, tag, acknowledge, !wanted.noWait);
    // Without acknowledgements a consumer takes nothing from the shared window, but waits while it
    // is full.
    const credits: Credit[] = [this.#sharedCredit];
    if (acknowledge && this.#prefetch > 0) credits.push(new Credit(this.#prefetch));
    const priority = this.#priorityOf(wanted);
    const selector = this.#selectorOf(wanted);
    const spec = {
      queue,
      tag,
      acknowledge,
      exclusive,
      priority,
      credits,
      arguments: wanted.arguments,
      ...(selector && { filter: (message: Message) => selector.matches(message) }),
    };
    // A consumer may be delivered to before there is a subscription to pause: a window that is
    // shut.
    const shut = this.channel.link.congested ? new Credit(1) : null;
    if (shut !== null) {
      shut.take();
      credits.push(shut);
      consumer.pause();
    }
    this.channel.ask(
      () => {
        this.#consumers.set(tag, consumer);
        return this.channel.link.session.consume(spec, consumer);
      },
      (subscription) => {
        this.#subscriptions.set(queue, subscription);
        consumer.started(subscription);
        if (shut !== null) shut.limit = 0;
      },
    );
  }

  /**
   * Direct reply-to: as RabbitMQ has it, one such consumer a channel, and without acknowledgements.
   */
  #consumeReplies(wanted: Wanted): void {
    if (wanted.acknowledge) throw preconditionFailed('reply consumer cannot acknowledge');
    if (this.#replyTag !== null) throw preconditionFailed('reply consumer already set');
    this.#replyTag = wanted.tag;
    this.channel.ask(
      () => this.channel.link.session.temporaryQueue(`${DIRECT_REPLY_TO}.`),
      (name) => {
        this.#replyQueue = name;
        this.#consume(wanted, name);
      },
    );
  }

  #endReplies(): void {
    const queue = this.#replyQueue;
    this.#replyTag = null;
    this.#replyQueue = null;
    if (queue === null) return;
    attempt(() => this.channel.link.session.deleteQueue(queue, false, false));
  }

  #priorityOf(wanted: Wanted): number {
    const given = wanted.arguments.get(PRIORITY_ARGUMENT);
    if (given === undefined) return 0;
    if (isInteger(given)) return Number(plain(given));
    const where = `queue '${wanted.queue}' in vhost '${this.channel.link.session.vhost}'`;
    throw preconditionFailed(
      `invalid arg '${PRIORITY_ARGUMENT}' for ${where}: "expected integer, got ${typeNameOf(given)}"`,
    );
  }

  #selectorOf(wanted: Wanted): Selector | null {
    const given = wanted.arguments.get(SELECTOR_ARGUMENT);
    if (given === undefined) return null;
    if (typeof given === 'string') return parseSelector(given);
    const where = `queue '${wanted.queue}' in vhost '${this.channel.link.session.vhost}'`;
    throw preconditionFailed(
      `invalid arg '${SELECTOR_ARGUMENT}' for ${where}: "expected string, got ${typeNameOf(given)}"`,
    );
  }

  #giveBack(taken: readonly (readonly [tag: number, delivery: Delivery])[]): void {
    this.channel.link.session.together(() => {
      for (const [, delivery] of taken) delivery.settle(Outcome.REQUEUE);
    });
  }

  #settle(tag: number, delivery: Delivery, outcome: Outcome): void {
    if (this.#transaction.selected) {
      this.#transaction.settle(tag, delivery, outcome);
      return;
    }
    if (outcome === Outcome.ACCEPT) this.channel.link.counters.acknowledged++;
    delivery.settle(outcome);
  }

  #got(pulled: Pulled | null, acknowledge: boolean): void {
    const { link, number } = this.channel;
    const { output } = link.transport;
    if (pulled === null) {
      // One short string, empty: reserved.
      writeNameMethod(output, number, Method.BASIC_GET_EMPTY, '');
      return;
    }
    const { delivery, remaining } = pulled;
    const { message } = delivery;
    const native = message.as(amqpFormat, link.now);
    if (!fits(native, link.frameBytesMax)) {
      if (acknowledge) delivery.settle(Outcome.REJECT);
      throw preconditionFailed("properties of the message do not fit one of the client's frames");
    }
    const tag = acknowledge ? this.unsettled.add(delivery) : this.unsettled.skip();
    const redelivered = delivery.attempts > 0;
    const key = shortKey(message.routingKey);
    writeGetOk(output, number, tag, redelivered, message.exchange, key, remaining);
    writeContent(output, number, native, message.body, link.frameBytesMax);
    link.counters.delivered++;
    if (redelivered) link.counters.redelivered++;
  }

  #write(method: number): void {
    writeMethod(this.channel.link.transport.output, this.channel.number, method);
  }
}

function timeoutOf(subscription: Subscription | undefined): number {
  return subscription?.timeoutMs ?? 0;
}

function unknownTag(tag: number): AmqpError {
  return preconditionFailed(`unknown delivery tag ${tag}`);
}

/** For what is given up anyway: it may have gone by itself. */
function attempt(call: () => Eventually<unknown>): void {
  after(
    call,
    () => {},
    () => {},
  );
}
