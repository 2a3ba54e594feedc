/**
 * `x-recent-history`: a fanout that remembers its last messages (`x-recent-history-length`, 20) and
 * sends them along each new binding first. They are in memory, and gone with the process.
 *
 * A message with the header `x-recent-history-no-store` true is not remembered.
 */
import { plain, toText } from '../../envelope.ts';
import { BrokerError } from '../../errors.ts';
import { type HeaderTable, header, type Message } from '../../message.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { MemoryGauge } from '../memory-gauge.ts';
import type { ExchangeType, Router } from '../types.ts';

export const recentHistory: ExchangeType = {
  name: 'x-recent-history',
  create: (spec, { limits, memory }) =>
    new RecentHistoryRouter(lengthOf(spec.arguments), limits.historyBytesMax, memory),
};

const LENGTH = 'x-recent-history-length';
const NO_STORE = 'x-recent-history-no-store';
const LENGTH_DEFAULT = 20;

class RecentHistoryRouter implements Router {
  readonly #bindings = new Set<Binding>();
  readonly #most: number;
  readonly #bytesMax: number;
  readonly #memory: MemoryGauge;
  /** The oldest is at `#first`; what is before it is gone. */
  #messages: Message[] = [];
  #first = 0;
  #bytes = 0;

  constructor(most: number, bytesMax: number, memory: MemoryGauge) {
    this.#most = most;
    this.#bytesMax = bytesMax;
    this.#memory = memory;
  }

  get history(): readonly Message[] {
    return this.#messages.slice(this.#first);
  }

  add(binding: Binding): void {
    this.#bindings.add(binding);
  }

  remove(binding: Binding): void {
    this.#bindings.delete(binding);
  }

  route(_message: Message, _routingKey: string, matches: Matches): void {
    for (const binding of this.#bindings) matches.add(binding);
  }

  passed(message: Message): void {
    if (toText(header(message.properties.headers, NO_STORE) ?? null) === 'true') return;
    const kept = message.own();
    this.#messages.push(kept);
    this.#bytes += kept.size;
    this.#memory.add(kept.size);
    const most = this.#most;
    while (this.#messages.length - this.#first > most || this.#bytes > this.#bytesMax) {
      this.#forgetFirst();
    }
  }

  close(): void {
    this.#memory.remove(this.#bytes);
    this.#messages = [];
    this.#first = 0;
    this.#bytes = 0;
  }

  #forgetFirst(): void {
    const size = this.#messages[this.#first]?.size ?? 0;
    this.#first++;
    this.#bytes -= size;
    this.#memory.remove(size);
    // The forgotten part is cut off when it is as long as the rest: a constant cost for each.
    if (this.#first * 2 < this.#messages.length) return;
    this.#messages = this.#messages.slice(this.#first);
    this.#first = 0;
  }
}

function lengthOf(values: HeaderTable): number {
  const given = values.get(LENGTH);
  if (given === undefined) return LENGTH_DEFAULT;
  const length = plain(given);
  if (typeof length === 'number' && Number.isInteger(length) && length > 0) return length;
  throw new BrokerError(
    'precondition-failed',
    `Invalid argument ${typeof given === 'string' ? `<<"${given}">>` : toText(given)}, '${LENGTH}' must be a positive integer`,
  );
}
