/**
 * What exists in one virtual host: exchanges, queues and the bindings between them, and what is
 * written of them so that they exist again after a restart.
 */
import { XMPP_EXCHANGE } from '../address.ts';
import type { BindingSpec, ExchangeSpec, ExchangeView, QueueSpec } from '../engine.ts';
import { NO_ARGUMENTS } from '../engine.ts';
import { fromStrings, toStrings } from '../envelope.ts';
import { BrokerError } from '../errors.ts';
import type { HeaderTable } from '../message.ts';
import type { Governed } from '../policy.ts';
import type { Registry } from '../registry.ts';
import type { Definitions } from '../store.ts';
import { Binding } from './binding.ts';
import { Exchange } from './exchange.ts';
import { createRouter } from './exchanges/deduplication.ts';
import { topic } from './exchanges/topic.ts';
import type { Concern, Policies } from './policy.ts';
import type { Retained } from './retained.ts';
import type { ExchangeType, Queue, RouterContext } from './types.ts';

/** Exchanges that every vhost has (RabbitMQ's, and the one that JIDs are keys of). */
const PREDECLARED: readonly (readonly [name: string, type: string, internal: boolean])[] = [
  ['amq.direct', 'direct', false],
  ['amq.fanout', 'fanout', false],
  ['amq.topic', 'topic', false],
  ['amq.headers', 'headers', false],
  ['amq.match', 'headers', false],
  ['amq.rabbitmq.trace', 'topic', true],
  [XMPP_EXCHANGE, 'direct', false],
];

export interface TopologyContext {
  readonly vhost: string;
  readonly definitions: Definitions;
  readonly exchangeTypes: Registry<ExchangeType>;
  readonly policies: Policies;
  readonly routers: RouterContext;
  /** Makes the queue object of a spec: with what its log has from before, or anew. */
  makeQueue(spec: QueueSpec, recovering: boolean): Queue;
  /** The arguments that count for a queue: its own, and those of policies. */
  effective(spec: QueueSpec): HeaderTable;
  /** Makes the last values of an exchange, recovered. */
  makeRetained(exchange: string): Retained;
}

export class Topology {
  readonly #context: TopologyContext;
  readonly #exchanges = new Map<string, Exchange>();
  readonly #queues = new Map<string, Queue>();
  /** Bindings that end in a queue. */
  readonly #incoming = new Map<Queue, Set<Binding>>();
  /** What `narrowed` was asked for last: many messages ask about one queue after the other. */
  #narrow: {
    readonly queue: Queue;
    readonly source: Exchange;
    readonly exchange: Exchange;
  } | null = null;
  #recovering = false;

  constructor(context: TopologyContext) {
    this.#context = context;
    const byName: Exchange = new Exchange(specOf('', 'direct', false), {
      add: refuseDefault,
      remove: refuseDefault,
      route: (_message, routingKey, matches) => {
        const queue = this.#queues.get(routingKey);
        if (queue !== undefined) matches.addQueue(queue, null);
      },
    });
    this.#exchanges.set('', byName);
    context.policies.govern(byName);
    for (const [name, type, internal] of PREDECLARED)
      this.addExchange(specOf(name, type, internal));
  }

  get exchangeCount(): number {
    return this.#exchanges.size;
  }

  *exchanges(): Iterable<ExchangeView> {
    for (const exchange of this.#exchanges.values()) {
      yield { ...exchange.spec, ...this.governed(exchange) };
    }
  }

  /** The policies that count for an exchange or queue. */
  governed(target: Exchange | Queue): Governed {
    return this.#context.policies.governed(target);
  }

  /** Policies have changed for what is `concerned`: what counts now counts at once. */
  govern(concerned: Concern): void {
    const isNew = (target: Exchange | Queue): boolean =>
      concerned(target) && this.#context.policies.govern(target);
    const exchanges = [...this.#exchanges.values()].filter(isNew);
    const queues = [...this.#queues.values()].filter(isNew);
    for (const exchange of exchanges) {
      exchange.apply(this.governed(exchange).effectivePolicyDefinition);
    }
    for (const queue of queues) queue.apply(this.#context.effective(queue.spec));
  }

  *bindings(): Iterable<BindingSpec> {
    for (const { bindings } of this.#exchanges.values()) {
      for (const { spec } of bindings.values()) yield spec;
    }
  }

  get queues(): ReadonlyMap<string, Queue> {
    return this.#queues;
  }

  get bindingCount(): number {
    let count = 0;
    for (const exchange of this.#exchanges.values()) count += exchange.bindings.size;
    return count;
  }

  findExchange(name: string): Exchange | undefined {
    return this.#exchanges.get(name);
  }

  exchange(name: string): Exchange {
    const exchange = this.#exchanges.get(name);
    if (exchange !== undefined) return exchange;
    throw new BrokerError('not-found', `no exchange '${name}' in vhost '${this.#context.vhost}'`);
  }

  queue(name: string): Queue {
    const queue = this.#queues.get(name);
    if (queue !== undefined) return queue;
    throw new BrokerError('not-found', `no queue '${name}' in vhost '${this.#context.vhost}'`);
  }

  /** The last values of an exchange, read when they are first asked for. */
  retained(exchange: Exchange): Retained {
    exchange.retained ??= this.#context.makeRetained(exchange.spec.name);
    return exchange.retained;
  }

  addExchange(spec: ExchangeSpec): void {
    const type = this.#context.exchangeTypes.find(spec.type);
    if (type === undefined) {
      throw new BrokerError('precondition-failed', `unknown exchange type '${spec.type}'`);
    }
    const exchange = new Exchange(spec, createRouter(type, spec, this.#context.routers));
    this.#exchanges.set(spec.name, exchange);
    if (this.#context.policies.govern(exchange)) {
      exchange.apply(this.governed(exchange).effectivePolicyDefinition);
    }
    if (spec.durable) this.#write('exchange', spec.name, spec);
  }

  removeExchange(exchange: Exchange): void {
    this.#exchanges.delete(exchange.spec.name);
    this.retained(exchange).clear();
    exchange.router.close?.(true);
    this.#context.definitions.delete('exchange', this.#key(exchange.spec.name));
    for (const binding of [...exchange.bindings.values(), ...exchange.incoming]) {
      this.#removeBinding(binding);
    }
  }

  addQueue(spec: QueueSpec): Queue {
    const queue = this.#context.makeQueue(spec, this.#recovering);
    this.#queues.set(spec.name, queue);
    this.#context.policies.govern(queue);
    if (spec.durable && !spec.exclusive) this.#write('queue', spec.name, spec);
    return queue;
  }

  removeQueue(queue: Queue): void {
    this.#queues.delete(queue.spec.name);
    this.#context.definitions.delete('queue', this.#key(queue.spec.name));
    for (const binding of this.#incoming.get(queue) ?? []) this.#removeBinding(binding);
    this.#incoming.delete(queue);
  }

  /** Returns the binding, or null where it was there already. */
  addBinding(spec: BindingSpec): Binding | null {
    const source = this.exchange(spec.source);
    const exchange = spec.toExchange ? this.exchange(spec.destination) : null;
    const queue = spec.toExchange ? null : this.queue(spec.destination);
    const key = bindingKey(spec);
    if (source.bindings.has(key)) return null;
    const binding = new Binding(spec, queue, exchange);
    this.#narrow = null;
    source.router.add(binding);
    source.bindings.set(key, binding);
    exchange?.incoming.add(binding);
    if (queue !== null) {
      const incoming = this.#incoming.get(queue) ?? new Set();
      incoming.add(binding);
      this.#incoming.set(queue, incoming);
    }
    const kept =
      queue === null ? exchange?.spec.durable : queue.spec.durable && !queue.spec.exclusive;
    if (kept === true && source.spec.durable)
      this.#write('binding', `${spec.source}\0${key}`, spec);
    return binding;
  }

  /**
   * A topic exchange as it is for one queue: with its bindings only, so that a message finds out
   * about them without being matched for all other queues. Null where other exchanges lead there.
   */
  narrowed(exchange: Exchange, queue: Queue): Exchange | null {
    if (this.#narrow?.queue === queue && this.#narrow.source === exchange) {
      return this.#narrow.exchange;
    }
    const incoming = [...(this.#incoming.get(queue) ?? [])];
    const isOnly = incoming.every(({ spec }) => spec.source === exchange.spec.name);
    if (exchange.spec.type !== topic.name || !isOnly) return null;
    const router = topic.create(exchange.spec, this.#context.routers);
    for (const binding of incoming) router.add(binding);
    this.#narrow = { queue, source: exchange, exchange: new Exchange(exchange.spec, router) };
    return this.#narrow.exchange;
  }

  hasBinding(spec: BindingSpec): boolean {
    return this.#exchanges.get(spec.source)?.bindings.has(bindingKey(spec)) ?? false;
  }

  dropBinding(spec: BindingSpec): void {
    const binding = this.#exchanges.get(spec.source)?.bindings.get(bindingKey(spec));
    if (binding !== undefined) this.#removeBinding(binding);
  }

  /** Makes again what was durable before the restart. Bindings to what is gone are dropped. */
  recover(): void {
    this.#recovering = true;
    for (const spec of this.#read<ExchangeSpec>('exchange')) {
      if (!this.#exchanges.has(spec.name)) this.addExchange(spec);
    }
    for (const spec of this.#read<QueueSpec>('queue')) this.addQueue(spec);
    for (const spec of this.#read<BindingSpec>('binding')) {
      const source = this.#exchanges.get(spec.source)?.spec.name;
      const ends = spec.toExchange ? this.#exchanges : this.#queues;
      const destination = ends.get(spec.destination)?.spec.name;
      if (source === undefined || destination === undefined) continue;
      const { toExchange, routingKey } = spec;
      // Names are shared with what they name: of bindings there are many.
      this.addBinding({ source, destination, toExchange, routingKey, arguments: spec.arguments });
    }
    this.#recovering = false;
  }

  /** Deletes every exchange; the queues are gone by now. */
  clear(): void {
    for (const exchange of [...this.#exchanges.values()]) {
      if (this.#exchanges.get(exchange.spec.name) === exchange) this.removeExchange(exchange);
    }
  }

  /** Stops every queue without deleting anything. */
  close(): void {
    for (const exchange of this.#exchanges.values()) exchange.router.close?.(false);
    for (const queue of this.#queues.values()) queue.close(false);
  }

  #removeBinding(binding: Binding): void {
    const { spec } = binding;
    const key = bindingKey(spec);
    const source = this.#exchanges.get(spec.source);
    this.#narrow = null;
    if (binding.queue !== null) this.#incoming.get(binding.queue)?.delete(binding);
    binding.exchange?.incoming.delete(binding);
    this.#context.definitions.delete('binding', this.#key(`${spec.source}\0${key}`));
    if (source === undefined || !source.bindings.delete(key)) return;
    source.router.remove(binding);
    if (source.spec.autoDelete && source.bindings.size === 0) this.removeExchange(source);
  }

  #key(name: string): string {
    return `${this.#context.vhost}\0${name}`;
  }

  #write(kind: string, name: string, spec: { readonly arguments: HeaderTable }): void {
    // What was just read is written already.
    if (this.#recovering) return;
    const record = { ...spec, arguments: toStrings([...spec.arguments]) };
    this.#context.definitions.put(kind, this.#key(name), JSON.stringify(record));
  }

  *#read<T extends { readonly arguments: HeaderTable }>(kind: string): Iterable<T> {
    const prefix = this.#key('');
    for (const [key, record] of this.#context.definitions.entries(kind)) {
      if (!key.startsWith(prefix)) continue;
      const spec = JSON.parse(record) as { arguments: unknown };
      const own = spec.arguments as [string, string][];
      // Of a hundred thousand bindings nearly all have none.
      spec.arguments = own.length > 0 ? new Map(fromStrings(own)) : NO_ARGUMENTS;
      yield spec as T;
    }
  }
}

function specOf(name: string, type: string, internal: boolean): ExchangeSpec {
  return { name, type, durable: true, autoDelete: false, internal, arguments: NO_ARGUMENTS };
}

function refuseDefault(): never {
  throw new BrokerError('access-refused', 'operation not permitted on the default exchange');
}

/** What makes two bindings of one exchange the same. */
function bindingKey(spec: BindingSpec): string {
  const parts = [spec.toExchange ? 'x' : 'q', spec.destination, spec.routingKey];
  if (spec.arguments.size > 0) parts.push(JSON.stringify(toStrings([...spec.arguments])));
  // Not a template: what is joined is one piece in memory.
  return parts.join('\0');
}
