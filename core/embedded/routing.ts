/**
 * The way of a message through one virtual host: exchange → (exchanges) → queues, within the
 * publisher's turn.
 *
 * Routing comes first and enqueueing after it, so a consumer that publishes while it is delivered
 * to finds no half-routed message; each level of such nesting has its own `Matches`.
 */
import { addressFromReplyKey, REPLY_PREFIX } from '../address.ts';
import type { Clock } from '../clock.ts';
import { type BindingSpec, Fate, type PublisherEvents } from '../engine.ts';
import { BrokerError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Death, Message } from '../message.ts';
import type { CoreCounters } from '../meter.ts';
import type { Store } from '../store.ts';
import type { Binding } from './binding.ts';
import { type Attempt, Burials } from './burials.ts';
import type { Exchange } from './exchange.ts';
import { Matches } from './matches.ts';
import type { MemoryGauge } from './memory-gauge.ts';
import type { Topology } from './topology.ts';
import { type Letter, type Queue, type Receipt, Taken } from './types.ts';
import { WaitingRoom } from './waiting-room.ts';

/** What one entry in a queue counts in memory beside the message's bytes. */
const ENTRY_BYTES = 128;

export interface RoutingContext {
  readonly vhost: string;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly counters: CoreCounters;
  readonly memory: MemoryGauge;
  readonly store: Store;
}

export class Routing {
  readonly #context: RoutingContext;
  readonly #topology: Topology;
  /** One for each level of publishing within publishing. */
  readonly #levels: Matches[] = [];
  #depth = 0;
  #stamp = 0;
  readonly #burials: Burials;
  /** Messages that their publishers want routed later, whatever the exchange. */
  readonly #room: WaitingRoom;
  /** By the exchange that they are of; empty: of every other one. */
  readonly #rooms = new Map<string, WaitingRoom>();

  constructor(context: RoutingContext, topology: Topology) {
    this.#context = context;
    this.#topology = topology;
    this.#burials = new Burials({
      counters: context.counters,
      now: () => context.clock.now(),
      exchange: (name) => topology.findExchange(name),
      route: (exchange, message) => this.#route(exchange, message, true),
      enqueue: (message, matches, attempt) => {
        if (attempt === null) this.#enqueue(message, matches, 0, NOBODY);
        else this.#offer(message, matches, attempt);
      },
    });
    this.#room = this.waitingRoom('', true, (message) => this.#resume(message.due(false)));
  }

  /** Where messages wait for their time; on disk where it is `durable`. */
  waitingRoom(name: string, durable: boolean, release: (message: Message) => void): WaitingRoom {
    const { vhost, clock, memory, store, limits } = this.#context;
    const room: WaitingRoom = new WaitingRoom({
      name,
      clock,
      memory,
      // No queue's log has such a name.
      log: durable ? store.queue(`${vhost}\0\0delayed\0${name}`) : null,
      most: limits.delayedMax,
      batch: limits.dispatchBatchMax,
      onward: (step) => this.onward(step),
      release,
      closed: () => {
        if (this.#rooms.get(name) === room) this.#rooms.delete(name);
      },
    });
    this.#rooms.set(name, room);
    return room;
  }

  /** Messages that wait for their time. */
  get delayed(): number {
    let count = 0;
    for (const { length } of this.#rooms.values()) count += length;
    return count;
  }

  /** Of these, those that wait in an exchange of the type for it. */
  delayedIn(exchange: string): number {
    return exchange === '' ? 0 : (this.#rooms.get(exchange)?.length ?? 0);
  }

  /** Stops what is under way on its own; with `deleting` it is gone. */
  close(deleting: boolean): void {
    this.#room.close(deleting);
  }

  /**
   * The exchange that a message is published to, which must exist and take messages from
   * publishers. A reply address (`amq.to:…`) in the default exchange stands for another exchange.
   */
  target(message: Message): Message {
    if (
      message.exchange === '' &&
      message.routingKey.startsWith(REPLY_PREFIX) &&
      !this.#topology.queues.has(message.routingKey)
    ) {
      const address = addressFromReplyKey(message.routingKey);
      if (address.exchange !== '') return message.redirected(address.exchange, address.routingKey);
    }
    return message;
  }

  /**
   * The exchange that takes it from its publisher; throws where there is none, or it takes from
   * others only.
   */
  source(message: Message): Exchange {
    const exchange = this.#topology.exchange(message.exchange);
    if (!exchange.spec.internal) return exchange;
    throw new BrokerError(
      'access-refused',
      `cannot publish to internal exchange '${message.exchange}' in vhost '${this.#context.vhost}'`,
    );
  }

  /** Returns whether a queue that it went to wants its publishers slowed. */
  publish(message: Message, tag: number, mandatory: boolean, events: PublisherEvents): boolean {
    const exchange = this.source(message);
    const later = message.trail?.delay?.until ?? 0;
    if (later > 0 && later > this.#context.clock.now()) return this.#postpone(message, tag, events);
    const told = message.retain ? this.#retain(exchange, message, events) : events;
    const matches = this.#route(exchange, message, true);
    if (matches.queueCount === 0) {
      this.#unroutable(message, tag, mandatory, told);
      return false;
    }
    this.#context.counters.routed++;
    return this.#enqueue(message, matches, tag, told);
  }

  /** Takes a message that a queue gave up; goes on with its dead-letter exchange, if it has one. */
  bury(message: Message, queue: Queue, reason: Death['reason'], letter: Letter | null): void {
    this.onward(() => this.#burials.bury({ message, queue, reason, letter }));
  }

  /** Runs a step that publishes what is removed elsewhere next. */
  onward(step: () => void): void {
    this.#context.store.onward(step);
  }

  /** Goes on, from the exchange that a message waited in. */
  resume(message: Message, exchange: Exchange): void {
    const matches = this.#route(exchange, message, true);
    if (matches.queueCount === 0) this.#unroutable(message, 0, false, NOBODY);
    else this.#enqueue(message, matches, 0, NOBODY);
  }

  /** Sends what an exchange remembers along a new binding. */
  replay(messages: readonly Message[], binding: Binding, exchange: Exchange): void {
    for (const message of messages) {
      const matches = this.#begin(exchange);
      matches.add(binding);
      this.#follow(matches, message, true);
      if (matches.queueCount > 0) this.#enqueue(message, matches, 0, NOBODY);
    }
  }

  /** Which bindings of a queue a message matches by the address that it came by. */
  bindingsOf(message: Message, queue: Queue): readonly BindingSpec[] | null {
    const exchange = this.#topology.findExchange(message.exchange);
    if (exchange === undefined) return null;
    const narrowed = this.#topology.narrowed(exchange, queue);
    const matches =
      narrowed === null ? this.#route(exchange, message, false) : this.#begin(exchange);
    narrowed?.route(message, message.routingKey, matches);
    return queue.mark === this.#stamp ? (matches.bindings[queue.markIndex] ?? null) : null;
  }

  /** `now`: the message comes by, it is not only asked where it went. */
  #route(exchange: Exchange, message: Message, now: boolean): Matches {
    const matches = this.#begin(exchange);
    this.#pass(exchange, message, matches, now);
    this.#follow(matches, message, now);
    return matches;
  }

  #begin(exchange: Exchange): Matches {
    let matches = this.#levels[this.#depth];
    if (matches === undefined) {
      matches = new Matches();
      this.#levels.push(matches);
    }
    const stamp = ++this.#stamp;
    matches.begin(stamp);
    exchange.mark = stamp;
    return matches;
  }

  /** Through every exchange that was reached, which may reach more. */
  #follow(matches: Matches, message: Message, now: boolean): void {
    for (let passed = 0; passed < matches.pendingCount; passed++) {
      const next = matches.pending[passed];
      if (next !== undefined) this.#pass(next, message, matches, now);
    }
  }

  #pass(exchange: Exchange, message: Message, matches: Matches, now: boolean): void {
    const found = exchange.route(message, message.routingKey, matches);
    if (now) exchange.router.passed?.(message);
    if (found || exchange.alternate === null) return;
    const alternate = this.#topology.findExchange(exchange.alternate);
    if (alternate !== undefined) matches.addExchange(alternate);
  }

  #postpone(message: Message, tag: number, events: PublisherEvents): boolean {
    const pending = tag > 0 ? new Pending(tag, events) : null;
    pending?.expect();
    const taken = this.#room.publish(message, pending, null, ENTRY_BYTES + message.size);
    if (taken !== Taken.PENDING) pending?.answered(taken);
    pending?.routed();
    return false;
  }

  /** Publishes what has waited, if there is still an exchange that takes it. */
  #resume(message: Message): void {
    try {
      this.publish(message, 0, false, NOBODY);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      const { vhost, log } = this.#context;
      log.warn({ vhost, reason: error.message }, 'a delayed message is dropped');
    }
  }

  #enqueue(message: Message, matches: Matches, tag: number, events: PublisherEvents): boolean {
    const count = matches.queueCount;
    const charge = ENTRY_BYTES + Math.ceil(message.size / count);
    const pending = tag > 0 ? new Pending(tag, events) : null;
    let slow = false;
    this.#depth++;
    try {
      for (let i = 0; i < count; i++) {
        const queue = matches.queues[i];
        if (queue === undefined) break;
        pending?.expect();
        const taken = queue.publish(message, pending, matches.bindings[i] ?? null, charge);
        if (taken !== Taken.PENDING) pending?.answered(taken);
        slow ||= queue.slow;
      }
    } finally {
      this.#depth--;
    }
    pending?.routed();
    return slow;
  }

  /** As `#enqueue`, where somebody wants to know of each queue. */
  #offer(message: Message, matches: Matches, attempt: Attempt): void {
    const charge = ENTRY_BYTES + Math.ceil(message.size / matches.queueCount);
    this.#depth++;
    try {
      for (let i = 0; i < matches.queueCount; i++) {
        const queue = matches.queues[i];
        if (queue === undefined) break;
        const { name } = queue.spec;
        const receipt = attempt.receipt(name);
        attempt.answered(
          name,
          queue.publish(message, receipt, matches.bindings[i] ?? null, charge),
        );
      }
    } finally {
      this.#depth--;
    }
    attempt.routed();
  }

  #unroutable(message: Message, tag: number, mandatory: boolean, events: PublisherEvents): void {
    this.#context.counters.unroutable++;
    if (mandatory) {
      this.#context.counters.returned++;
      events.returned(message);
    }
    if (tag > 0) events.settled(tag, Fate.UNROUTABLE);
  }

  /** Keeps a last value. Returns whom to tell: a durable one is settled only when it is safe. */
  #retain(exchange: Exchange, message: Message, events: PublisherEvents): PublisherEvents {
    const { store, log } = this.#context;
    if (!this.#topology.retained(exchange).keep(message)) {
      const { exchange: name, routingKey } = message;
      log.warn({ exchange: name, routingKey }, 'retained messages are at their limit');
    }
    if (!message.durable || !store.durable) return events;
    return {
      settled: (tag, fate) => store.flush(() => events.settled(tag, fate)),
      returned: (returned) => events.returned(returned),
      writable: () => events.writable(),
    };
  }
}

const NOBODY: PublisherEvents = { settled: () => {}, returned: () => {}, writable: () => {} };

/**
 * Counts the queues that still owe an answer to one publish. The routing itself holds one count, so
 * that an early answer cannot end it.
 */
class Pending implements Receipt {
  readonly #tag: number;
  readonly #events: PublisherEvents;
  #owed = 1;
  #fate: Fate = Fate.CONFIRMED;

  constructor(tag: number, events: PublisherEvents) {
    this.#tag = tag;
    this.#events = events;
  }

  expect(): void {
    this.#owed++;
  }

  answered(taken: Taken): void {
    if (taken === Taken.REFUSED) this.#fate = Fate.REFUSED;
    this.#less();
  }

  routed(): void {
    this.#less();
  }

  safe(): void {
    this.#less();
  }

  #less(): void {
    if (--this.#owed === 0) this.#events.settled(this.#tag, this.#fate);
  }
}
