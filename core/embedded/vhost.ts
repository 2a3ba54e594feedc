/**
 * A virtual host: what sessions may do to its topology, with RabbitMQ's rules and words for what
 * they may not.
 */
import type { Clock } from '../clock.ts';
import type {
  BindingSpec,
  Consumer,
  ConsumeSpec,
  ExchangeSpec,
  Proposal,
  Pulled,
  QueueSpec,
  QueueStatus,
  Subscription,
} from '../engine.ts';
import { typeNameOf } from '../envelope.ts';
import { BrokerError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Message } from '../message.ts';
import type { CoreCounters } from '../meter.ts';
import type { ConfiguredPolicy, PolicyKind, PolicyRequest } from '../policy.ts';
import { type Random, randomName } from '../random.ts';
import type { Registry } from '../registry.ts';
import type { QueueLog, Store } from '../store.ts';
import {
  lockedQueue,
  requireAlternate,
  requireSameExchange,
  requireSameQueue,
} from './equivalence.ts';
import { HotMessages } from './hot-messages.ts';
import type { MemoryGauge } from './memory-gauge.ts';
import type { Owner } from './owner.ts';
import { Policies } from './policy.ts';
import { QueueHome, type QueueSurroundings } from './queue-home.ts';
import { queueOptions } from './queues/arguments.ts';
import { Retained } from './retained.ts';
import { Routing } from './routing.ts';
import { Topology } from './topology.ts';
import { Turn } from './turn.ts';
import type { ExchangeType, Queue, QueueType } from './types.ts';
import type { VhostSettings } from './vhosts.ts';

export interface VirtualHostContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly log: Log;
  readonly counters: CoreCounters;
  readonly memory: MemoryGauge;
  readonly store: Store;
  readonly exchangeTypes: Registry<ExchangeType>;
  readonly queueTypes: Registry<QueueType>;
  /** Of the configuration, for every vhost. */
  readonly policies?: readonly ConfiguredPolicy[];
  readonly settings: VhostSettings;
}

const QUEUE_TYPE = 'x-queue-type';

export class VirtualHost {
  readonly name: string;
  readonly policies: Policies;
  readonly topology: Topology;
  readonly routing: Routing;
  readonly turn = new Turn();
  readonly #context: VirtualHostContext;
  /** Last values that were asked for. */
  readonly #hot: HotMessages;
  #surroundings: QueueSurroundings | null = null;
  /** Whose each exclusive queue is. */
  readonly #owners = new Map<Queue, Owner>();

  constructor(name: string, context: VirtualHostContext) {
    this.name = name;
    this.#context = context;
    this.#hot = new HotMessages(context.limits.retainedCacheBytes, context.memory);
    this.policies = new Policies({
      vhost: name,
      definitions: context.store.definitions,
      limits: context.limits,
      configured: context.policies ?? [],
    });
    this.topology = new Topology({
      policies: this.policies,
      vhost: name,
      definitions: context.store.definitions,
      exchangeTypes: context.exchangeTypes,
      routers: {
        ...context,
        table: ({ name: exchange, durable }, table) =>
          durable && context.store.durable
            ? context.store.table(`${table}\0${name}\0${exchange}`)
            : null,
        history: ({ name: exchange, durable }) =>
          durable ? context.store.messages(`history\0${name}\0${exchange}`) : null,
        waitingRoom: ({ name: exchange, durable }) =>
          this.routing.waitingRoom(exchange, durable, (message) => {
            const target = this.topology.findExchange(exchange);
            if (target !== undefined) this.routing.resume(message.due(true), target);
          }),
      },
      makeQueue: (spec, recovering) => this.#makeQueue(spec, recovering),
      effective: (spec) => this.policies.argumentsOf(spec, this.#typeOf(spec)),
      makeRetained: (exchange) => this.#makeRetained(exchange),
    });
    this.routing = new Routing({ ...context, vhost: name }, this.topology);
    this.topology.recover();
  }

  /** Throws what making it would throw; `fresh`: where nothing is yet. */
  check(proposal: Proposal, fresh: boolean): void {
    if ('policy' in proposal) this.policies.check(proposal.kind, proposal.policy, fresh);
    else if ('exchange' in proposal) this.#checkExchange(proposal.exchange, fresh);
    else {
      const { queue: spec } = proposal;
      const current = fresh ? undefined : this.topology.queues.get(spec.name);
      if (current !== undefined) {
        requireSameQueue(current.spec, spec, this.#typeOf(spec).accepts, this.name);
        return;
      }
      this.#checkName('queue', spec.name, false);
      this.#checkArguments(spec);
      queueOptions(spec, this.name);
    }
  }

  #checkExchange(spec: ExchangeSpec, fresh: boolean): void {
    const current = fresh ? undefined : this.topology.findExchange(spec.name);
    if (current !== undefined) {
      requireSameExchange(current.spec, spec, this.name);
      return;
    }
    this.#checkName('exchange', spec.name, false);
    requireAlternate(spec, this.name);
    if (this.#context.exchangeTypes.find(spec.type) !== undefined) return;
    throw new BrokerError('precondition-failed', `unknown exchange type '${spec.type}'`);
  }

  setPolicy(kind: PolicyKind, request: PolicyRequest): void {
    this.topology.govern(this.policies.set(kind, request));
  }

  clearPolicy(kind: PolicyKind, name: string): void {
    this.topology.govern(this.policies.clear(kind, name));
  }

  declareExchange(spec: ExchangeSpec, passive: boolean, trusted: boolean): void {
    this.#refuseDefault(spec.name);
    if (passive) {
      this.topology.exchange(spec.name);
      return;
    }
    const current = this.topology.findExchange(spec.name);
    if (current !== undefined) {
      requireSameExchange(current.spec, spec, this.name);
      return;
    }
    this.#checkName('exchange', spec.name, trusted);
    requireAlternate(spec, this.name);
    this.topology.addExchange(spec);
  }

  deleteExchange(name: string, ifUnused: boolean): void {
    this.#refuseDefault(name);
    this.#checkName('exchange', name, false);
    const exchange = this.topology.findExchange(name);
    if (exchange === undefined) return;
    if (ifUnused && exchange.bindings.size > 0) {
      throw new BrokerError(
        'precondition-failed',
        `exchange '${name}' in vhost '${this.name}' in use`,
      );
    }
    this.topology.removeExchange(exchange);
  }

  declareQueue(given: QueueSpec, passive: boolean, owner: Owner, trusted: boolean): QueueStatus {
    const current = this.topology.queues.get(given.name);
    const ours = trusted && !given.name.startsWith('amq.gen-');
    const spec = ours ? given : this.#typed(given, current);
    if (passive || current !== undefined) {
      const queue = this.usableQueue(spec.name, owner);
      if (!passive) requireSameQueue(queue.spec, spec, this.#typeOf(spec).accepts, this.name);
      queue.touch();
      return { name: queue.spec.name, messages: queue.ready, consumers: queue.consumers };
    }
    this.#checkName('queue', spec.name, trusted);
    if (!ours) this.#checkRoom(spec.name);
    return this.#addQueue(spec, owner);
  }

  /** A name for a queue that is declared without one. */
  drawName(spec: QueueSpec): string {
    const { name, namedOnly } = this.#typeOf(spec);
    if (namedOnly !== true) return `amq.gen-${randomName(this.#context.random)}`;
    const reason = `Cannot declare a server-named queue for type rabbit_${name}_queue`;
    throw new BrokerError('precondition-failed', reason);
  }

  temporaryQueue(prefix: string, owner: Owner): string {
    const name = `${prefix}${randomName(this.#context.random)}`;
    const spec = { name, durable: false, exclusive: true, autoDelete: false, arguments: new Map() };
    return this.#addQueue(spec, owner).name;
  }

  /** A queue that is gone counts as deleted. */
  deleteQueue(name: string, ifUnused: boolean, ifEmpty: boolean, owner: Owner): number {
    if (!this.topology.queues.has(name)) return 0;
    const queue = this.usableQueue(name, owner);
    const where = `queue '${name}' in vhost '${this.name}'`;
    if (ifUnused && queue.consumers > 0) {
      throw new BrokerError('precondition-failed', `${where} in use`);
    }
    if (ifEmpty && queue.ready > 0) {
      throw new BrokerError('precondition-failed', `${where} not empty`);
    }
    const messages = queue.ready;
    this.remove(queue);
    return messages;
  }

  bind(spec: BindingSpec, owner: Owner): void {
    this.#checkBinding(spec, owner);
    const binding = this.topology.addBinding(spec);
    if (binding === null) return;
    const exchange = this.topology.exchange(spec.source);
    const history = exchange.router.history ?? [];
    if (history.length > 0) this.routing.replay(history, binding, exchange);
  }

  /** What is not there, be it an end of the binding, counts as unbound. */
  unbind(spec: BindingSpec, owner: Owner): void {
    this.#refuseDefault(spec.source);
    if (spec.toExchange) this.#refuseDefault(spec.destination);
    if (!this.topology.hasBinding(spec)) return;
    this.#checkBinding(spec, owner);
    this.topology.dropBinding(spec);
  }

  consume(spec: ConsumeSpec, consumer: Consumer, owner: Owner): Subscription {
    const queue = this.usableQueue(spec.queue, owner);
    this.#hold(queue, owner);
    return queue.consume(spec, consumer, owner);
  }

  get(name: string, acknowledge: boolean, owner: Owner): Pulled | null {
    const queue = this.usableQueue(name, owner);
    if (acknowledge) this.#hold(queue, owner);
    return queue.get(acknowledge, owner);
  }

  browse(name: string, owner: Owner): readonly Message[] {
    const queue = this.usableQueue(name, owner);
    if (queue.browse !== undefined) return queue.browse();
    throw new BrokerError('not-implemented', `queue '${name}' cannot be browsed`);
  }

  retained(exchange: string, pattern: string): readonly Message[] {
    return this.topology
      .retained(this.topology.exchange(exchange))
      .find(pattern, this.#context.clock.now());
  }

  /** Throws `not-found`, or `resource-locked` for another's exclusive queue. */
  usableQueue(name: string, owner: Owner): Queue {
    const queue = this.topology.queue(name);
    const holder = this.#owners.get(queue);
    if (holder === undefined || holder === owner) return queue;
    throw lockedQueue(name, this.name);
  }

  /** Whether it is the owner's own exclusive queue. */
  owns(name: string, owner: Owner): boolean {
    const queue = this.topology.queues.get(name);
    return queue !== undefined && this.#owners.get(queue) === owner;
  }

  /** Gives back what a session held; its exclusive queues go with it. */
  release(owner: Owner): void {
    for (const queue of owner.holding) queue.leave(owner);
    for (const queue of owner.holding) if (this.#owners.get(queue) !== owner) queue.release(owner);
    owner.holding.clear();
    for (const queue of owner.exclusive) this.remove(queue);
    owner.exclusive.clear();
  }

  /** Deletes everything in it, its predeclared exchanges too. */
  clear(): void {
    for (const queue of [...this.topology.queues.values()]) this.remove(queue);
    this.topology.clear();
    this.routing.close(true);
    this.policies.drop();
  }

  /** Stops everything without deleting anything. */
  close(): void {
    this.routing.close(false);
    this.topology.close();
  }

  remove(queue: Queue): void {
    // A queue that decided to go may have been replaced by another of its name meanwhile.
    if (this.topology.queues.get(queue.spec.name) !== queue) return;
    this.topology.removeQueue(queue);
    this.#owners.get(queue)?.exclusive.delete(queue);
    this.#owners.delete(queue);
    queue.close(true);
  }

  /**
   * Notes that `owner` uses a queue; queues that were deleted meanwhile are forgotten now and then.
   */
  #hold(queue: Queue, owner: Owner): void {
    owner.holding.add(queue);
    if (owner.holding.size < owner.sweepAt) return;
    for (const held of owner.holding) {
      if (this.topology.queues.get(held.spec.name) !== held) owner.holding.delete(held);
    }
    owner.sweepAt = 2 * owner.holding.size + 64;
  }

  #addQueue(spec: QueueSpec, owner: Owner): QueueStatus {
    this.#checkArguments(spec);
    const queue = this.topology.addQueue(spec);
    if (spec.exclusive) {
      this.#owners.set(queue, owner);
      owner.exclusive.add(queue);
    }
    return { name: spec.name, messages: queue.ready, consumers: queue.consumers };
  }

  #checkRoom(queue: string): void {
    const { queuesMax } = this.#context.settings;
    if (this.topology.queues.size < queuesMax) return;
    const reason = `queue limit in vhost '${this.name}' (${queuesMax}) is reached`;
    throw new BrokerError('precondition-failed', `cannot declare queue '${queue}': ${reason}`);
  }

  #checkArguments(spec: QueueSpec): void {
    const { name: vhost } = this;
    const type = this.#typeOf(spec);
    const unknown = [...spec.arguments.keys()].filter((name) => !type.accepts.includes(name));
    if (unknown.length > 0) {
      const { queueTypes, log } = this.#context;
      const foreign = unknown.find((name) =>
        queueTypes.values().some(({ accepts }) => accepts.includes(name)),
      );
      if (foreign !== undefined) {
        const where = `queue '${spec.name}' in vhost '${vhost}' of queue type rabbit_${type.name}_queue`;
        throw new BrokerError('precondition-failed', `invalid arg '${foreign}' for ${where}`);
      }
      log.warn({ vhost, queue: spec.name, ignored: unknown }, 'queue arguments ignored');
    }
    type.check?.(spec, vhost);
  }

  #makeRetained(exchange: string): Retained {
    const { memory, limits, store } = this.#context;
    return new Retained({
      name: exchange,
      table: store.messages(`values\0${this.name}\0${exchange}`),
      former: store.messages(`retained\0${this.name}\0${exchange}`),
      hot: this.#hot,
      memory,
      max: limits.retainedMax,
      cachedKeysMax: limits.retainedCachedKeysMax,
    });
  }

  #makeQueue(spec: QueueSpec, recovering: boolean): Queue {
    const type = this.#typeOf(spec);
    const effective = this.policies.argumentsOf(spec, type);
    const durable = spec.durable && !spec.exclusive;
    const log = durable ? this.#logOf(spec.name, recovering) : null;
    this.#surroundings ??= this.#makeSurroundings();
    return type.create(spec, new QueueHome(this.#surroundings, effective, log));
  }

  #makeSurroundings(): QueueSurroundings {
    const { clock, limits, counters, memory, store } = this.#context;
    return {
      vhost: this.name,
      clock,
      limits,
      counters,
      memory,
      turn: this.turn,
      table: (name) => (store.durable ? store.table(name) : null),
      deadLetter: (message, queue, reason, letter) =>
        this.routing.bury(message, queue, reason, letter),
      bindingsOf: (message, queue) => this.routing.bindingsOf(message, queue),
      unwanted: (queue) => this.remove(queue),
    };
  }

  /**
   * With the vhost's default type, where that is for such a queue. One that was there before the
   * default is what it is.
   */
  #typed(spec: QueueSpec, current: Queue | undefined): QueueSpec {
    const type = this.#context.settings.defaultQueueType;
    if (type === '' || spec.arguments.has(QUEUE_TYPE)) return spec;
    if (!spec.durable || spec.exclusive || spec.autoDelete) return spec;
    if (current !== undefined && !current.spec.arguments.has(QUEUE_TYPE)) return spec;
    return { ...spec, arguments: new Map([...spec.arguments, [QUEUE_TYPE, type]]) };
  }

  /** A queue that is declared begins empty, even if a crash cut off how an older one was deleted. */
  #logOf(name: string, recovering: boolean): QueueLog | null {
    const id = `${this.name}\0${name}`;
    const log = this.#context.store.queue(id);
    if (recovering || log === null || log.count === 0) return log;
    log.drop();
    return this.#context.store.queue(id);
  }

  #typeOf(spec: QueueSpec): QueueType {
    const name = spec.arguments.get(QUEUE_TYPE) ?? 'classic';
    const type = typeof name === 'string' ? this.#context.queueTypes.find(name) : undefined;
    if (type !== undefined) return type;
    const reason =
      typeof name === 'string'
        ? `"unsupported queue type '${name}'"`
        : `{unacceptable_type,${typeNameOf(name)}}`;
    throw new BrokerError(
      'precondition-failed',
      `invalid arg 'x-queue-type' for queue '${spec.name}' in vhost '${this.name}': ${reason}`,
    );
  }

  #checkBinding(spec: BindingSpec, owner: Owner): void {
    this.#refuseDefault(spec.source);
    if (spec.toExchange) this.#refuseDefault(spec.destination);
    // Of two ends that are missing RabbitMQ names the source.
    this.topology.exchange(spec.source);
    if (!spec.toExchange) this.usableQueue(spec.destination, owner);
  }

  #refuseDefault(exchange: string): void {
    if (exchange !== '') return;
    throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
  }

  #checkName(kind: string, name: string, trusted: boolean): void {
    if (name.startsWith('amq.') && !trusted) {
      throw new BrokerError(
        'access-refused',
        `${kind} name '${name}' contains reserved prefix 'amq.*'`,
      );
    }
    if (Buffer.byteLength(name) > this.#context.limits.nameBytesMax) {
      throw new BrokerError('precondition-failed', `${kind} name is longer than 255 bytes`);
    }
  }
}
