import type { Message } from '../message.ts';
import type { MessageTable } from '../store.ts';
import { KeyTree } from './key-tree.ts';
import type { MemoryGauge } from './memory-gauge.ts';

/** Last values of one exchange: at most one message per routing key. */
export class Retained {
  readonly #tree = new KeyTree<Message>();
  readonly #memory: MemoryGauge;
  readonly #max: number;
  readonly #table: MessageTable | null;

  /** `max`: keys at most. What `table` holds from before is there again. */
  constructor(memory: MemoryGauge, max: number, table: MessageTable | null) {
    this.#memory = memory;
    this.#max = max;
    this.#table = table;
    for (const [key, message] of table?.entries() ?? []) {
      memory.add(message.size);
      this.#tree.set(key, message);
    }
  }

  get size(): number {
    return this.#tree.size;
  }

  /**
   * Takes a message as the last value of its key; an empty body deletes it. False: full, not kept.
   */
  keep(message: Message): boolean {
    if (message.body.length === 0) {
      this.#forget(this.#tree.delete(message.routingKey));
      this.#table?.delete(message.routingKey);
      return true;
    }
    if (this.#tree.size >= this.#max && this.#tree.get(message.routingKey) === undefined)
      return false;
    const kept = message.own();
    this.#memory.add(kept.size);
    this.#forget(this.#tree.set(message.routingKey, kept));
    this.#table?.set(message.routingKey, kept);
    return true;
  }

  /** What matches and has not expired by `now`; what has is dropped. */
  find(pattern: string, now: number): readonly Message[] {
    const found: Message[] = [];
    const expired: Message[] = [];
    this.#tree.match(pattern, (message) => {
      (message.expiresAt !== 0 && message.expiresAt <= now ? expired : found).push(message);
    });
    for (const { routingKey } of expired) {
      this.#forget(this.#tree.delete(routingKey));
      this.#table?.delete(routingKey);
    }
    return found;
  }

  /** The exchange is deleted. */
  clear(): void {
    for (const message of this.#tree.values()) {
      this.#memory.remove(message.size);
      this.#table?.delete(message.routingKey);
    }
  }

  #forget(message: Message | undefined): void {
    if (message !== undefined) this.#memory.remove(message.size);
  }
}
