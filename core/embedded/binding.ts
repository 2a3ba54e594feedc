import type { BindingSpec } from '../engine.ts';
import type { Exchange } from './exchange.ts';
import type { Queue } from './types.ts';

/** One binding, resolved: its destination is an object, not a name. */
export class Binding {
  readonly spec: BindingSpec;
  readonly queue: Queue | null;
  readonly exchange: Exchange | null;
  #alone: readonly BindingSpec[] | null = null;
  /** A leading wildcard does not match keys that begin with `$`. */
  readonly hidesSystem: boolean;

  constructor(spec: BindingSpec, queue: Queue | null, exchange: Exchange | null) {
    this.spec = spec;
    this.queue = queue;
    this.exchange = exchange;
    this.hidesSystem =
      spec.arguments.get('x-hide-system') === true && /^[*#]/.test(spec.routingKey);
  }

  /** The same as `spec`, as a list that need not be made anew for each message. */
  get alone(): readonly BindingSpec[] {
    this.#alone ??= [this.spec];
    return this.#alone;
  }
}
