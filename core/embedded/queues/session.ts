/**
 * The queue of a subscriber that may be away: keeps what is worth keeping, and hands the rest over
 * only while somebody is there.
 *
 * A message that is not durable, or that matched only bindings with `x-bypass`, goes straight to
 * the consumer, past whatever waits; without one, or while it is paused, it is dropped ("at most
 * once"). Each delivery names the bindings that matched.
 */
import type {
  BindingSpec,
  Consumer,
  ConsumeSpec,
  Delivery,
  Pulled,
  QueueSpec,
  Subscription,
} from '../../engine.ts';
import type { HeaderTable, Message } from '../../message.ts';
import type { CoreCounters } from '../../meter.ts';
import type { Owner } from '../owner.ts';
import {
  type DeadLetters,
  type Queue,
  type QueueContext,
  type QueueType,
  type Receipt,
  Taken,
} from '../types.ts';
import { KNOWN_ARGUMENTS } from './arguments.ts';
import { ClassicQueue } from './classic.ts';

export const session: QueueType = {
  name: 'session',
  accepts: KNOWN_ARGUMENTS,
  create: (spec, context) => new SessionQueue(spec, context),
};

class SessionQueue implements Queue {
  readonly type = 'session';
  readonly tracksBindings = true;
  /** Its subscriber may be away for days: publishers are not slowed for it. */
  readonly slow = false;
  mark = 0;
  markIndex = 0;
  readonly #kept: ClassicQueue;
  readonly #counters: CoreCounters;

  constructor(spec: QueueSpec, context: QueueContext) {
    this.#counters = context.counters;
    this.#kept = new ClassicQueue(spec, context, 'session', this);
  }

  get spec(): QueueSpec {
    return this.#kept.spec;
  }

  get deadLetters(): DeadLetters | null {
    return this.#kept.deadLetters;
  }

  get ready(): number {
    return this.#kept.ready;
  }

  get unacknowledged(): number {
    return this.#kept.unacknowledged;
  }

  get consumers(): number {
    return this.#kept.consumers;
  }

  get bytes(): number {
    return this.#kept.bytes;
  }

  publish(
    message: Message,
    receipt: Receipt | null,
    bindings: readonly BindingSpec[] | null,
    charge: number,
  ): Taken {
    if (
      message.durable &&
      !(bindings !== null && bindings.length > 0 && bindings.every(bypasses))
    ) {
      return this.#kept.publish(message, receipt, bindings, charge);
    }
    const member = this.#kept.members[0];
    if (member === undefined || member.paused || !member.takes(message)) {
      this.#counters.missed++;
      return Taken.DROPPED;
    }
    member.consumer.deliver(new Passing(message, this.spec.name, bindings));
    return Taken.DONE;
  }

  consume(spec: ConsumeSpec, consumer: Consumer, owner: Owner): Subscription {
    return this.#kept.consume(spec, consumer, owner);
  }

  get(acknowledge: boolean, owner: Owner): Pulled | null {
    return this.#kept.get(acknowledge, owner);
  }

  touch(): void {
    this.#kept.touch();
  }

  purge(): number {
    return this.#kept.purge();
  }

  apply(effective: HeaderTable): void {
    this.#kept.apply(effective);
  }

  leave(owner: Owner): void {
    this.#kept.leave(owner);
  }

  release(owner: Owner): void {
    this.#kept.release(owner);
  }

  close(deleting: boolean): void {
    this.#kept.close(deleting);
  }
}

function bypasses(binding: BindingSpec): boolean {
  return binding.arguments.get('x-bypass') === true;
}

/** A delivery that nobody keeps: there is nothing to settle. */
class Passing implements Delivery {
  readonly message: Message;
  readonly queue: string;
  readonly position = 0;
  readonly attempts = 0;
  readonly bindings: readonly BindingSpec[] | null;

  constructor(message: Message, queue: string, bindings: readonly BindingSpec[] | null) {
    this.message = message;
    this.queue = queue;
    this.bindings = bindings;
  }

  settle(): void {}
}
