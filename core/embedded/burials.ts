/** Sends on what queues gave up: to the dead-letter exchange, and from there as any message goes. */
import type { Death, Message } from '../message.ts';
import type { CoreCounters } from '../meter.ts';
import { buried, cycles } from './deadletter.ts';
import type { Exchange } from './exchange.ts';
import type { Matches } from './matches.ts';
import { type Destination, type Letter, type Queue, type Receipt, Taken } from './types.ts';

export interface BurialParts {
  readonly counters: CoreCounters;
  /** Milliseconds since the Unix epoch. */
  now(): number;
  exchange(name: string): Exchange | undefined;
  route(exchange: Exchange, message: Message): Matches;
  /** Hands a routed message to its queues; `attempt` is told what each of them says. */
  enqueue(message: Message, matches: Matches, attempt: Attempt | null): void;
}

interface Burial {
  readonly message: Message;
  readonly queue: Queue;
  readonly reason: Death['reason'];
  readonly letter: Letter | null;
}

export class Burials {
  readonly #parts: BurialParts;
  readonly #waiting: Burial[] = [];
  #busy = false;

  constructor(parts: BurialParts) {
    this.#parts = parts;
  }

  /** One after the other: what is buried on the way of another waits for it. */
  bury(burial: Burial): void {
    this.#waiting.push(burial);
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#rise(next);
    }
    this.#busy = false;
  }

  #rise({ message, queue, reason, letter }: Burial): void {
    const { spec, deadLetters } = queue;
    if (deadLetters === null) {
      // There is nowhere that it could be missed.
      letter?.tried(true);
      return;
    }
    const exchange = this.#parts.exchange(deadLetters.exchange);
    if (exchange === undefined) {
      letter?.tried(false);
      return;
    }
    const history = buried(message, spec.name, reason, this.#parts.now());
    const { routingKey: key } = deadLetters;
    const routingKey = key ?? message.routingKey;
    const copies = key === null ? message.copies : null;
    // CC would tell of copies that the queue's own key stands in for now.
    const spent = copies === null && message.copies !== null;
    const trail = spent ? { ...history, hidden: [...history.hidden, 'CC'] } : history;
    const risen = message.rerouted(exchange.spec.name, routingKey, copies, trail);
    const matches = this.#parts.route(exchange, risen);
    const found = matches.queueCount;
    const left = keepOnly(matches, ({ spec: { name } }) => {
      return !cycles(trail.deaths, name) && letter?.arrived.has(name) !== true;
    });
    if (left === 0) {
      letter?.tried(found > 0);
      return;
    }
    if (letter === null || letter.arrived.size === 0) this.#parts.counters.deadLettered++;
    this.#parts.enqueue(risen, matches, letter && new Attempt(letter));
  }
}

/** Leaves those queues out that are not to have it. Returns how many are left. */
function keepOnly(matches: Matches, wanted: (queue: Destination) => boolean): number {
  let count = 0;
  for (let i = 0; i < matches.queueCount; i++) {
    const target = matches.queues[i];
    if (target === undefined || !wanted(target)) continue;
    matches.queues[count] = target;
    matches.bindings[count] = matches.bindings[i] ?? null;
    count++;
  }
  matches.queueCount = count;
  return count;
}

/** What the queues say that a letter came to; it is told when all of them have. */
export class Attempt {
  readonly #letter: Letter;
  /** Answers to come; one for the routing itself. */
  #owed = 1;
  #refused = false;

  constructor(letter: Letter) {
    this.#letter = letter;
  }

  /** For one more queue. */
  receipt(queue: string): Receipt {
    this.#owed++;
    return { safe: () => this.#arrived(queue) };
  }

  answered(queue: string, taken: Taken): void {
    if (taken === Taken.PENDING) return;
    if (taken !== Taken.REFUSED) {
      this.#arrived(queue);
      return;
    }
    this.#refused = true;
    this.#less();
  }

  /** Every queue was asked. */
  routed(): void {
    this.#less();
  }

  #arrived(queue: string): void {
    this.#letter.arrived.add(queue);
    this.#less();
  }

  #less(): void {
    if (--this.#owed === 0) this.#letter.tried(!this.#refused);
  }
}
