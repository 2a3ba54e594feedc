/**
 * Why a message goes where it goes: the way that a publish would take now, through the exchanges'
 * own routers, noting the binding at each step.
 */
import type { BindingView, QueueView, RoutedQueue, RouteView } from '../engine.ts';
import { type Address, Message, SILENT_FORMAT } from '../message.ts';
import type { Governed } from '../policy.ts';
import type { Binding } from './binding.ts';
import type { Exchange } from './exchange.ts';
import { Matches } from './matches.ts';
import type { Topology } from './topology.ts';
import type { Queue } from './types.ts';

/** The route of a message without properties; lists have `most` entries. */
export function routeView(
  topology: Topology,
  address: Address,
  most: number,
): Omit<RouteView, 'delayed'> {
  const source = topology.findExchange(address.exchange);
  if (source === undefined) {
    const verdict = `is refused: there is no exchange '${address.exchange}'`;
    return { exchangeType: null, bindingsTotal: 0, bindings: [], queues: [], verdict };
  }
  const walk = new Walk(topology, address, most);
  walk.follow(source);
  const queues = walk.routed();
  return {
    exchangeType: source.spec.type,
    bindingsTotal: source.bindings.size,
    bindings: walk.bindingsOf(source),
    queues,
    verdict: source.spec.internal
      ? `is refused: exchange '${address.exchange}' takes messages from other exchanges only`
      : verdictOf(source, address.routingKey, walk.queueCount),
  };
}

export function queueView(queue: Queue, governed: Governed): QueueView {
  const { spec, type, ready, unacknowledged, consumers, bytes, groups } = queue;
  const view = { ...spec, type, ready, unacknowledged, consumers, bytes, ...governed };
  return groups === undefined ? view : { ...view, groups };
}

/** One way through the exchanges. */
class Walk {
  readonly #topology: Topology;
  readonly #message: Message;
  readonly #most: number;
  readonly #taken = new Set<Binding>();
  /** By queue: why it gets the message. */
  readonly #reasons = new Map<string, string[]>();
  readonly #exchanges = new Set<Exchange>();
  /** Of those that were reached as another's alternate: how. */
  readonly #alternates = new Map<Exchange, string>();

  constructor(topology: Topology, { exchange, routingKey }: Address, most: number) {
    this.#topology = topology;
    this.#most = most;
    const none = Buffer.alloc(0);
    this.#message = new Message(SILENT_FORMAT, none, none, exchange, routingKey, false, 0, 0, 0);
  }

  get queueCount(): number {
    return this.#reasons.size;
  }

  /** From `source` through every exchange that is reached. */
  follow(source: Exchange): void {
    this.#exchanges.add(source);
    // What is added on the way is visited too.
    for (const exchange of this.#exchanges) this.#pass(exchange);
  }

  routed(): RoutedQueue[] {
    const views: RoutedQueue[] = [];
    for (const [name, because] of this.#reasons) {
      const queue = this.#topology.queues.get(name);
      if (queue === undefined || views.length === this.#most) continue;
      views.push({ ...queueView(queue, this.#topology.governed(queue)), because });
    }
    return views;
  }

  bindingsOf(exchange: Exchange): BindingView[] {
    const views: BindingView[] = [];
    for (const matches of [true, false]) {
      for (const binding of exchange.bindings.values()) {
        if (views.length === this.#most) return views;
        if (this.#taken.has(binding) === matches) views.push(viewOf(binding, matches));
      }
    }
    return views;
  }

  #pass(exchange: Exchange): void {
    const { name } = exchange.spec;
    let hits = 0;
    const matches = new Matches();
    matches.begin(0);
    matches.add = (binding) => {
      hits++;
      this.#take(binding, exchange);
    };
    matches.addQueue = ({ spec }) => {
      hits++;
      this.#note(spec.name, 'the default exchange takes it to the queue that the key names');
    };
    exchange.router.route(this.#message, this.#message.routingKey, matches);
    const { alternate } = exchange;
    const next = alternate === null ? undefined : this.#topology.findExchange(alternate);
    if (hits === 0 && next !== undefined) {
      this.#exchanges.add(next);
      this.#alternates.set(
        next,
        `nothing in '${name}' takes it, and '${alternate}' is its alternate`,
      );
    }
  }

  #take(binding: Binding, exchange: Exchange): void {
    this.#taken.add(binding);
    if (binding.exchange !== null) this.#exchanges.add(binding.exchange);
    if (binding.queue === null) return;
    const { name, type } = exchange.spec;
    const { routingKey, destination } = binding.spec;
    const before = this.#alternates.get(exchange);
    if (before !== undefined) this.#note(destination, before);
    this.#note(destination, `the binding '${routingKey}' of ${type} exchange '${name}' takes it`);
  }

  #note(queue: string, reason: string): void {
    const known = this.#reasons.get(queue);
    if (known === undefined) this.#reasons.set(queue, [reason]);
    else if (known.length < this.#most) known.push(reason);
  }
}

function viewOf({ spec }: Binding, matches: boolean): BindingView {
  const { destination, toExchange, routingKey } = spec;
  return { destination, toExchange, routingKey, matches };
}

function verdictOf({ spec, bindings }: Exchange, routingKey: string, queues: number): string {
  if (queues > 0) return `goes to ${queues} ${queues === 1 ? 'queue' : 'queues'}`;
  if (spec.name === '') return `goes nowhere: there is no queue '${routingKey}'`;
  if (bindings.size === 0) return `goes nowhere: nothing is bound to '${spec.name}'`;
  return `goes nowhere: none of the ${bindings.size} bindings of '${spec.name}' takes it`;
}
