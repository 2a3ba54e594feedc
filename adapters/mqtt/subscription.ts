/**
 * What a client asked for with one subscription, and how it is kept with the binding that stands
 * for it: so that each delivery of the session's queue says which subscriptions it is for, also
 * after a restart.
 */
import type { BindingSpec } from '../../core/engine.ts';
import type { HeaderTable, HeaderValue } from '../../core/message.ts';
import type { Qos, SubscriptionRequest } from './packet.ts';
import type { PatternTarget } from './topic.ts';

export interface SubscriptionOptions {
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** The subscription identifier, or none: a list, as PUBLISH has it. */
  readonly ids: readonly number[];
}

/** Options of a delivery that no subscription accounts for, such as one by the queue's own name. */
export const PLAIN_OPTIONS: SubscriptionOptions = {
  qos: 2,
  noLocal: false,
  retainAsPublished: false,
  ids: [],
};

export function optionsOf(request: SubscriptionRequest, id: number): SubscriptionOptions {
  const { qos, noLocal, retainAsPublished } = request;
  return { qos, noLocal, retainAsPublished, ids: id === 0 ? [] : [id] };
}

const OPTIONS = 'x-mqtt-options';
const ID = 'x-mqtt-subscription-id';
const known = new WeakMap<BindingSpec, SubscriptionOptions>();

/** The binding of `queue` for a subscription of its session's own. */
export function bindingOf(
  target: PatternTarget,
  queue: string,
  options: SubscriptionOptions,
): BindingSpec {
  const { qos, noLocal, retainAsPublished, ids } = options;
  const packed = qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0);
  const table = new Map<string, HeaderValue>([[OPTIONS, packed]]);
  const id = ids[0];
  if (id !== undefined) table.set(ID, id);
  if (qos === 0) table.set('x-bypass', true);
  const binding = routeOf(target, queue, table);
  known.set(binding, options);
  return binding;
}

/** A binding that says nothing but where messages go. */
export function routeOf(
  target: PatternTarget,
  queue: string,
  table: ReadonlyMap<string, HeaderValue> = new Map(),
): BindingSpec {
  const whole = new Map(table);
  if (target.hidesSystem) whole.set('x-hide-system', true);
  return {
    source: target.exchange,
    destination: queue,
    toExchange: false,
    routingKey: target.pattern,
    arguments: whole,
  };
}

/** What the client asked for with the subscription that a binding stands for. */
export function optionsOfBinding(binding: BindingSpec): SubscriptionOptions {
  let options = known.get(binding);
  if (options === undefined) {
    options = unpack(binding.arguments);
    known.set(binding, options);
  }
  return options;
}

function unpack(table: HeaderTable): SubscriptionOptions {
  const packed = Number(table.get(OPTIONS) ?? Number.NaN);
  if (Number.isNaN(packed)) return PLAIN_OPTIONS;
  const id = Number(table.get(ID) ?? 0);
  return {
    qos: Math.min(packed & 3, 2) as Qos,
    noLocal: (packed & 4) !== 0,
    retainAsPublished: (packed & 8) !== 0,
    ids: id === 0 ? [] : [id],
  };
}

/**
 * The subscriptions that one message matched, as one [MQTT-3.3.4-2]: the highest QoS, all
 * identifiers. `own`: this session published it; null where nothing is left without those that are
 * No Local [MQTT-3.8.3-3].
 */
export function optionsOfBindings(
  bindings: readonly BindingSpec[],
  own: boolean,
): SubscriptionOptions | null {
  let merged: SubscriptionOptions | null = null;
  for (const binding of bindings) {
    const options = optionsOfBinding(binding);
    if (own && options.noLocal) continue;
    merged = merged === null ? options : union(merged, options);
  }
  return merged;
}

function union(one: SubscriptionOptions, other: SubscriptionOptions): SubscriptionOptions {
  return {
    qos: Math.max(one.qos, other.qos) as Qos,
    noLocal: false,
    retainAsPublished: one.retainAsPublished || other.retainAsPublished,
    ids: [...one.ids, ...other.ids],
  };
}

export function sameOptions(one: SubscriptionOptions, other: SubscriptionOptions): boolean {
  return (
    one.qos === other.qos &&
    one.noLocal === other.noLocal &&
    one.retainAsPublished === other.retainAsPublished &&
    one.ids[0] === other.ids[0]
  );
}
