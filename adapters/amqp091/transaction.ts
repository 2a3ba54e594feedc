/**
 * A channel's transaction (tx class): publishes and settles wait here until commit, which hands
 * them to the engine as one. Commit-ok is due when the queues took responsibility for every
 * message, as for publisher confirms.
 */
import {
  type Delivery,
  type Eventually,
  Fate,
  NO_ARGUMENTS,
  type Outcome,
  type TransactedPublish,
  type TransactedSettle,
} from '../../core/engine.ts';
import { isPending } from '../../core/eventually.ts';
import type { Message } from '../../core/message.ts';
import { preconditionFailed } from './errors.ts';
import type { ChannelPort } from './link.ts';

interface TaggedSettle extends TransactedSettle {
  readonly deliveryTag: number;
}

export class Transaction {
  readonly #channel: ChannelPort;
  readonly #returned: (message: Message) => void;
  selected = false;
  #publishes: TransactedPublish[] = [];
  #settles: TaggedSettle[] = [];

  constructor(channel: ChannelPort, returned: (message: Message) => void) {
    this.#channel = channel;
    this.#returned = returned;
  }

  publish(message: Message, mandatory: boolean): void {
    this.#checkRoom();
    // A missing exchange is told at the publish, not at the commit, as in RabbitMQ.
    if (message.exchange !== '') this.#checkExchange(message.exchange);
    const tag = this.#publishes.length + 1;
    this.#publishes.push({ message: message.own(), tag, mandatory });
  }

  settle(deliveryTag: number, delivery: Delivery, outcome: Outcome): void {
    this.#checkRoom();
    this.#settles.push({ deliveryTag, delivery, outcome });
  }

  commit(): Eventually<void> {
    const publishes = this.#publishes;
    const settles = this.#settles;
    this.clear();
    const fates = new Fates(publishes.length);
    const answer = this.#channel.link.session.commit(publishes, settles, {
      settled: (_tag, fate) => fates.settled(fate),
      returned: this.#returned,
      writable: () => {},
    });
    return isPending(answer) ? answer.then(() => fates.all()) : fates.all();
  }

  /**
   * Forgets the publishes; answers the settles, which never happened, in the order of their tags.
   */
  rollback(): [deliveryTag: number, delivery: Delivery][] {
    const undone = this.#settles.map(({ deliveryTag, delivery }): [number, Delivery] => [
      deliveryTag,
      delivery,
    ]);
    this.clear();
    return undone.sort(([a], [b]) => a - b);
  }

  clear(): void {
    this.#publishes = [];
    this.#settles = [];
  }

  #checkRoom(): void {
    const max = this.#channel.link.context.limits.transactionFramesMax;
    if (this.#publishes.length + this.#settles.length < max) return;
    throw preconditionFailed(`transaction holds more than ${max} publishes and settlements`);
  }

  #checkExchange(name: string): void {
    const { session } = this.#channel.link;
    const spec = {
      name,
      type: '',
      durable: false,
      autoDelete: false,
      internal: false,
      arguments: NO_ARGUMENTS,
    };
    this.#channel.ask(
      () => session.declareExchange(spec, true),
      () => {},
    );
  }
}

/** Waits until every publish of a commit has met its fate. */
class Fates {
  #owed: number;
  #refused = false;
  #wake: (() => void) | null = null;

  constructor(owed: number) {
    this.#owed = owed;
  }

  settled(fate: Fate): void {
    if (fate === Fate.REFUSED || fate === Fate.FAILED) this.#refused = true;
    if (--this.#owed === 0) this.#wake?.();
  }

  all(): Eventually<void> {
    if (this.#owed === 0) return this.#judge();
    return new Promise<void>((resolve) => {
      this.#wake = resolve;
    }).then(() => this.#judge());
  }

  #judge(): void {
    if (this.#refused) throw preconditionFailed('partial tx completion');
  }
}
