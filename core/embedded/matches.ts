import type { BindingSpec } from '../engine.ts';
import type { Binding } from './binding.ts';
import type { Exchange } from './exchange.ts';
import type { Destination } from './types.ts';

/**
 * Where one publish goes. Reused from publish to publish: a stamp on each queue and exchange tells
 * what was met already, so that nothing is cleared and nothing allocated.
 */
export class Matches {
  readonly queues: Destination[] = [];
  /** Beside each queue that wants to know: the bindings that matched. */
  readonly bindings: (readonly BindingSpec[] | null)[] = [];
  /** Exchanges still to be passed through. */
  readonly pending: Exchange[] = [];
  queueCount = 0;
  pendingCount = 0;
  /** Matches since `begin`, repeated ones included. */
  hits = 0;
  #stamp = 0;

  begin(stamp: number): void {
    this.#stamp = stamp;
    this.queueCount = 0;
    this.pendingCount = 0;
    this.hits = 0;
  }

  add(binding: Binding): void {
    if (binding.queue !== null) this.addQueue(binding.queue, binding);
    else if (binding.exchange !== null) this.addExchange(binding.exchange);
  }

  addQueue(queue: Destination, binding: Binding | null): void {
    this.hits++;
    if (queue.mark !== this.#stamp) {
      queue.mark = this.#stamp;
      queue.markIndex = this.queueCount;
      this.queues[this.queueCount] = queue;
      this.bindings[this.queueCount] = queue.tracksBindings ? (binding?.alone ?? null) : null;
      this.queueCount++;
    } else if (queue.tracksBindings && binding !== null) {
      const met = this.bindings[queue.markIndex] ?? [];
      this.bindings[queue.markIndex] = met.includes(binding.spec) ? met : [...met, binding.spec];
    }
  }

  addExchange(exchange: Exchange): void {
    this.hits++;
    if (exchange.mark === this.#stamp) return;
    exchange.mark = this.#stamp;
    this.pending[this.pendingCount++] = exchange;
  }
}
