/**
 * Which deliveries an ACK or NACK means. A message-id (in 1.2 the ack header too) ends in
 * `SUBSCRIPTION.DELIVERY`, two numbers that are never used twice in a connection.
 */
import { type Delivery, Outcome } from '../../core/engine.ts';
import type { Message } from '../../core/message.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import { booleanHeader, DURABLE_QUEUE } from './arguments.ts';
import { invalidHeader, missingHeader, StompError } from './errors.ts';
import type { Frame } from './frame.ts';
import type { Link } from './link.ts';
import * as names from './names.ts';
import type { Subscription } from './subscription.ts';
import type { Subscriptions } from './subscriptions.ts';

/** Deliveries that one ACK or NACK settles. */
export interface Settlement {
  readonly subscription: Subscription;
  readonly numbers: readonly number[];
  readonly deliveries: readonly Delivery[];
  readonly outcome: Outcome;
}

export class Settling {
  readonly #link: Link;
  readonly #subscriptions: Subscriptions;
  readonly #counters: ProtocolCounters;

  constructor(link: Link, subscriptions: Subscriptions) {
    this.#link = link;
    this.#subscriptions = subscriptions;
    this.#counters = link.context.meter.protocol('stomp');
  }

  /**
   * What an ACK or NACK settles; it counts as settled from now on, until `restore`. `earlier` are
   * those of its transaction: a delivery that a cumulative one of them includes may be named again.
   */
  settlement(frame: Frame, earlier: readonly Settlement[] = []): Settlement {
    const [subscription, number] = this.#find(frame);
    const outcome = frame.command === 'ACK' ? Outcome.ACCEPT : this.#refusal(frame);
    const numbers: number[] = [];
    const deliveries: Delivery[] = [];
    const { unsettled, spec } = subscription;
    const named = unsettled.get(number);
    const settlement = { subscription, numbers, deliveries, outcome };
    if (named === undefined) {
      if (earlier.some((each) => includes(each, subscription, number))) return settlement;
      throw new StompError('Message not found', `unknown delivery tag ${number}\n`);
    }
    const take = (each: number, delivery: Delivery): void => {
      numbers.push(each);
      deliveries.push(delivery);
      unsettled.delete(each);
    };
    // STOMP 1.1, SUBSCRIBE: `client` is cumulative, for NACK too.
    if (spec.mode === 'client') {
      for (const [each, delivery] of unsettled) {
        if (each > number) break;
        take(each, delivery);
      }
    } else take(number, named);
    this.#subscriptions.settled(subscription);
    return settlement;
  }

  /**
   * As ActiveMQ, keeps what is refused for good in a queue of its own, unless the queue says where
   * it goes. Calls `done` with the messages to be published there as the settlement is done.
   */
  bury({ deliveries, outcome }: Settlement, done: (buried: readonly Message[]) => void): void {
    const { dialect, session, run, context } = this.#link;
    const refused = dialect === 'activemq' && outcome === Outcome.REJECT;
    const kept = ({ message, queue }: Delivery): boolean =>
      refused && message.durable && queue !== '' && queue !== DEAD_LETTERS;
    const candidates = deliveries.filter(kept);
    const queues = [...new Set(candidates.map(({ queue }) => queue))];
    const elsewhere = new Set<string>();
    const next = (index: number): void => {
      const queue = queues[index];
      if (queue === undefined) {
        const now = context.clock.now();
        const buried = candidates.filter((each) => !elsewhere.has(each.queue));
        const messages = buried.map((each) => deadLetter(each, now));
        if (messages.length === 0) done(messages);
        else this.#digGrave(() => done(messages));
        return;
      }
      run(
        () => session.deadLetters(queue),
        (led) => {
          if (led) elsewhere.add(queue);
          next(index + 1);
        },
      );
    };
    next(0);
  }

  #digGrave(done: () => void): void {
    const { session, run } = this.#link;
    run(
      () => session.hasQueue(DEAD_LETTERS),
      (there) => {
        if (there) done();
        else run(() => session.declareQueue({ ...DURABLE_QUEUE, name: DEAD_LETTERS }, false), done);
      },
    );
  }

  settle({ deliveries, outcome }: Settlement): void {
    if (outcome === Outcome.ACCEPT) this.#counters.acknowledged += deliveries.length;
    for (const delivery of deliveries) delivery.settle(outcome);
  }

  /** Takes a settlement back: its transaction was aborted. */
  restore({ subscription, numbers, deliveries }: Settlement): void {
    const { unsettled } = subscription;
    const all = [...unsettled];
    for (const [at, number] of numbers.entries()) {
      const delivery = deliveries[at];
      if (delivery !== undefined) all.push([number, delivery]);
    }
    all.sort(([a], [b]) => a - b);
    unsettled.clear();
    for (const [number, delivery] of all) unsettled.set(number, delivery);
    this.#subscriptions.revived(subscription);
  }

  /** The delivery that an ACK or NACK names: by `id` in 1.2, by `message-id` before. */
  #find(frame: Frame): [subscription: Subscription, number: number] {
    const { version, name } = this.#link;
    const header = version === 2 ? names.ID : names.MESSAGE_ID;
    const text = frame.get(header);
    if (text === undefined) throw missingHeader(frame.command, header.text);
    const numbers = /@@(\d{1,15})\.(\d{1,15})$/.exec(text);
    const issuer = numbers === null ? '' : text.slice(0, numbers.index);
    if (numbers === null || !issuer.endsWith(`@@${name}`)) {
      throw invalidHeader(frame.command, header.text);
    }
    const subscription = this.#subscriptions.numbered(Number(numbers[1]));
    const number = Number(numbers[2]);
    if (subscription === undefined) {
      throw new StompError('Message not found', `unknown delivery tag ${number}\n`);
    }
    const given = version === 1 ? frame.get(names.SUBSCRIPTION) : undefined;
    if (given !== undefined && given !== subscription.spec.id) {
      throw invalidHeader(frame.command, 'subscription');
    }
    return [subscription, number];
  }

  /** RabbitMQ puts a refused message back unless told otherwise; ActiveMQ dead-letters it. */
  #refusal(frame: Frame): Outcome {
    const requeue = booleanHeader(frame, names.REQUEUE, this.#link.dialect === 'rabbitmq');
    return requeue ? Outcome.REQUEUE : Outcome.REJECT;
  }
}

/** ActiveMQ's name for it. */
const DEAD_LETTERS = 'ActiveMQ.DLQ';

function deadLetter({ message, queue }: Delivery, now: number): Message {
  const { exchange, routingKey, trail } = message;
  const death = {
    queue,
    reason: 'rejected',
    count: 1,
    time: now,
    exchange,
    routingKeys: [routingKey],
    originalExpiration: null,
  } as const;
  const deaths = [death, ...(trail?.deaths ?? [])];
  return message.rerouted('', DEAD_LETTERS, null, { hidden: [], ...trail, deaths });
}

/** Whether a settlement has this delivery among those before the one that it named. */
function includes(settlement: Settlement, subscription: Subscription, number: number): boolean {
  const { numbers } = settlement;
  if (settlement.subscription !== subscription || numbers[numbers.length - 1] === number) {
    return false;
  }
  return numbers.includes(number);
}
