/**
 * `x-recent-history`: a fanout that remembers its last messages (`x-recent-history-length`, 20) and
 * sends them along each new binding first. They are in memory; a durable exchange's persistent ones
 * are in the store too, and there again after a restart.
 *
 * A message with the header `x-recent-history-no-store` true is not remembered.
 */
import { plain, toText } from '../../envelope.ts';
import { BrokerError } from '../../errors.ts';
import { type HeaderTable, header, type Message } from '../../message.ts';
import type { MessageTable } from '../../store.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { MemoryGauge } from '../memory-gauge.ts';
import type { ExchangeType, Router } from '../types.ts';

export const recentHistory: ExchangeType = {
  name: 'x-recent-history',
  create: (spec, { limits, memory, history }) =>
    new RecentHistoryRouter({
      most: lengthOf(spec.arguments),
      bytesMax: limits.historyBytesMax,
      memory,
      table: history(spec),
    }),
};

const LENGTH = 'x-recent-history-length';
const NO_STORE = 'x-recent-history-no-store';
const LENGTH_DEFAULT = 20;

interface HistoryParts {
  /** Messages, and bytes of them. */
  readonly most: number;
  readonly bytesMax: number;
  readonly memory: MemoryGauge;
  /** Null: nothing of it outlives the process. */
  readonly table: MessageTable | null;
}

interface Remembered {
  readonly message: Message;
  /** In the table; null: it is not there. */
  readonly key: string | null;
}

class RecentHistoryRouter implements Router {
  readonly #bindings = new Set<Binding>();
  readonly #parts: HistoryParts;
  /** The oldest is at `#first`; what is before it is gone. */
  #messages: Remembered[] = [];
  #first = 0;
  #bytes = 0;
  #number = 0;

  constructor(parts: HistoryParts) {
    this.#parts = parts;
    const kept = [...(parts.table?.entries() ?? [])];
    for (const [key, message] of kept.sort(([one], [other]) => Number(one) - Number(other))) {
      this.#number = Number(key);
      this.#add({ message, key });
    }
    this.#trim();
  }

  get history(): readonly Message[] {
    return this.#messages.slice(this.#first).map(({ message }) => message);
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
    const { table } = this.#parts;
    const kept = message.own();
    const key = table !== null && kept.durable ? String(++this.#number) : null;
    this.#add({ message: kept, key });
    if (key !== null) table?.set(key, kept);
    this.#trim();
  }

  close(deleting: boolean): void {
    this.#parts.memory.remove(this.#bytes);
    const left = this.#messages.slice(this.#first);
    if (deleting) for (const { key } of left) if (key !== null) this.#parts.table?.delete(key);
    this.#messages = [];
    this.#first = 0;
    this.#bytes = 0;
  }

  #add(remembered: Remembered): void {
    this.#messages.push(remembered);
    this.#bytes += remembered.message.size;
    this.#parts.memory.add(remembered.message.size);
  }

  #trim(): void {
    const { most, bytesMax } = this.#parts;
    while (this.#messages.length - this.#first > most || this.#bytes > bytesMax)
      this.#forgetFirst();
  }

  #forgetFirst(): void {
    const oldest = this.#messages[this.#first];
    if (oldest === undefined) return;
    this.#first++;
    this.#bytes -= oldest.message.size;
    this.#parts.memory.remove(oldest.message.size);
    if (oldest.key !== null) this.#parts.table?.delete(oldest.key);
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
