/**
 * What a broker is, in few words and without any speed: queues are sorted lists, and who may get a
 * message next is asked anew each time. The simulation changes the model first and the engine after it;
 * each delivery of the engine must then be one that the model allows.
 */
import assert from 'node:assert/strict';
import { matches, words } from '../../core/address.ts';
import type { Credit } from '../../core/engine.ts';

export interface ModelQueue {
  readonly name: string;
  readonly owner: number | null;
  readonly autoDelete: boolean;
  readonly durable: boolean;
  readonly ttlMs: number | null;
  readonly maxLength: number | null;
  readonly rejects: boolean;
  readonly priorities: boolean;
  readonly single: boolean;
  /** Gives what it is done with to the queue `dead`. */
  readonly buries: boolean;
  readonly ready: ModelEntry[];
  readonly lent: Set<ModelEntry>;
  /** Single active: in order of succession. */
  readonly consumers: ModelConsumer[];
  deleted: boolean;
}

export interface ModelEntry {
  readonly id: string;
  readonly queue: ModelQueue;
  readonly position: number;
  readonly priority: number;
  readonly expiresAt: number;
  attempts: number;
  holder: ModelConsumer | number | null;
}

export interface ModelConsumer {
  readonly session: number;
  readonly queue: ModelQueue;
  readonly acknowledge: boolean;
  readonly priority: number;
  readonly exclusive: boolean;
  readonly credits: readonly Credit[];
  paused: boolean;
  gone: boolean;
}

export interface ModelBinding {
  readonly exchange: string;
  readonly queue: string;
  readonly key: string;
}

export class Model {
  readonly queues = new Map<string, ModelQueue>();
  bindings: ModelBinding[] = [];
  readonly #now: () => number;
  #position = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Names of the queues that a message goes to. */
  targets(exchange: string, key: string): string[] {
    if (exchange === '') return this.queues.has(key) ? [key] : [];
    const bound = this.bindings.filter(
      (each) =>
        each.exchange === exchange &&
        (exchange === 'amq.fanout' || matches(words(each.key), words(key))),
    );
    return [...new Set(bound.map((each) => each.queue))];
  }

  /** Whether a queue that refuses would refuse now. */
  full(queue: ModelQueue): boolean {
    const { ready, maxLength } = queue;
    if (!queue.rejects || maxLength === null || ready.length < maxLength) return false;
    return ready.length > 0 || this.takers(queue).length === 0;
  }

  add(queue: ModelQueue, id: string, priority: number, expiresAt: number): void {
    const byQueue = queue.ttlMs === null ? 0 : this.#now() + queue.ttlMs;
    const both = [expiresAt, byQueue].filter((time) => time > 0);
    const level = queue.priorities ? Math.min(priority, 3) : 0;
    queue.ready.push({
      id,
      queue,
      position: ++this.#position,
      priority: level,
      expiresAt: both.length === 0 ? 0 : Math.min(...both),
      attempts: 0,
      holder: null,
    });
    sort(queue);
  }

  /** Consumers that could take a message now, the most important ones only. */
  takers(queue: ModelQueue): ModelConsumer[] {
    const asked = queue.single ? queue.consumers.slice(0, 1) : queue.consumers;
    const able = asked.filter(
      (each) => !each.paused && each.credits.every((credit) => credit.available),
    );
    const highest = Math.max(...able.map((each) => each.priority));
    return able.filter((each) => each.priority === highest);
  }

  /** The engine hands a message over: checks that it may, and takes it from ready. */
  deliver(queue: ModelQueue, holder: ModelConsumer | number, id: string, attempts: number): void {
    assert(!queue.deleted, 'nothing is delivered from a deleted queue');
    if (typeof holder !== 'number') {
      assert(!holder.gone && !holder.paused, 'a consumer that is gone or paused gets nothing');
      for (const { limit, outstanding } of holder.credits) {
        assert(limit === 0 || outstanding <= limit, 'outstanding within the limit');
      }
    }
    const entry = this.#claim(queue, id);
    assert.equal(attempts, entry.attempts, `attempts of ${id}`);
    if (typeof holder !== 'number' && !holder.acknowledge) return;
    entry.holder = holder;
    queue.lent.add(entry);
  }

  /** The message must be the next of its queue, but for those that died at a time the model did not see. */
  #claim(queue: ModelQueue, id: string): ModelEntry {
    if (queue.name === 'dead') {
      const at = queue.ready.findIndex((entry) => entry.id === id);
      if (at === -1) this.#justify(id);
      const place = queue.ready.findIndex((each) => each.id === id);
      const [entry] = queue.ready.splice(place, 1);
      // What stood before it can only have expired.
      for (const before of queue.ready.slice(0, place)) {
        if (before.expiresAt !== 0 && before.expiresAt <= this.#now()) {
          queue.ready.splice(queue.ready.indexOf(before), 1);
        }
      }
      assert(entry !== undefined);
      return entry;
    }
    this.expire(queue);
    const entry = queue.ready.shift();
    assert.equal(entry?.id, id, `the next of ${queue.name}`);
    assert(entry !== undefined);
    return entry;
  }

  /** A message turns up among the dead: some queue must have had a reason to give it up. */
  #justify(id: string): void {
    for (const queue of this.queues.values()) {
      if (!queue.ready.some((entry) => entry.id === id)) continue;
      this.expire(queue);
      this.trim(queue);
      if (!queue.ready.some((entry) => entry.id === id)) return;
    }
    assert.fail(`${id} died without a reason`);
  }

  /** Gives up what has expired at the head. */
  expire(queue: ModelQueue): void {
    for (let first = queue.ready[0]; first !== undefined; first = queue.ready[0]) {
      if (first.expiresAt === 0 || first.expiresAt > this.#now()) return;
      queue.ready.shift();
      this.bury(first);
    }
  }

  /** Gives up what a queue has no room for, once nobody takes it. */
  trim(queue: ModelQueue): void {
    if (queue.rejects || queue.maxLength === null || this.takers(queue).length > 0) return;
    while (queue.ready.length > queue.maxLength) {
      const lowest = Math.min(...queue.ready.map((entry) => entry.priority));
      const at = queue.ready.findIndex((entry) => entry.priority === lowest);
      for (const entry of queue.ready.splice(at, 1)) this.bury(entry);
      this.expire(queue);
    }
  }

  bury(entry: ModelEntry): void {
    const dead = this.queues.get('dead');
    if (entry.queue.buries && dead !== undefined) this.add(dead, entry.id, 0, 0);
  }

  requeue(entry: ModelEntry): void {
    entry.queue.lent.delete(entry);
    entry.holder = null;
    entry.attempts++;
    entry.queue.ready.push(entry);
    sort(entry.queue);
  }

  remove(queue: ModelQueue): void {
    queue.deleted = true;
    queue.ready.length = 0;
    queue.lent.clear();
    for (const consumer of queue.consumers) consumer.gone = true;
    queue.consumers.length = 0;
    this.queues.delete(queue.name);
    this.bindings = this.bindings.filter((each) => each.queue !== queue.name);
  }

  leave(consumer: ModelConsumer): void {
    consumer.gone = true;
    const { queue } = consumer;
    const at = queue.consumers.indexOf(consumer);
    if (at !== -1) queue.consumers.splice(at, 1);
  }

  join(consumer: ModelConsumer): void {
    const { consumers, single } = consumer.queue;
    const lower = consumers.findIndex(
      (other, at) => !(single && at === 0) && other.priority < consumer.priority,
    );
    consumers.splice(lower === -1 ? consumers.length : lower, 0, consumer);
  }
}

function sort(queue: ModelQueue): void {
  queue.ready.sort((a, b) => b.priority - a.priority || a.position - b.position);
}
