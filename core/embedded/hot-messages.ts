import type { Message } from '../message.ts';
import type { MemoryGauge } from './memory-gauge.ts';

/**
 * Messages of tables on the disk that were asked for lately, so that they are not read and
 * converted anew for everybody: as many bytes as there is room for, those not asked for longest go.
 */
export class HotMessages {
  readonly #bytesMax: number;
  readonly #memory: MemoryGauge;
  /** By table and key; those asked for last are last. */
  readonly #messages = new Map<string, Message>();
  #bytes = 0;

  constructor(bytesMax: number, memory: MemoryGauge) {
    this.#bytesMax = bytesMax;
    this.#memory = memory;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(table: string, key: string): Message | undefined {
    const name = nameOf(table, key);
    const message = this.#messages.get(name);
    if (message === undefined) return undefined;
    this.#messages.delete(name);
    this.#messages.set(name, message);
    return message;
  }

  add(table: string, key: string, message: Message): void {
    this.#messages.set(nameOf(table, key), message);
    this.#bytes += message.size;
    this.#memory.add(message.size);
    for (const name of this.#messages.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#drop(name);
    }
  }

  /** It has changed. */
  forget(table: string, key: string): void {
    if (this.#messages.size > 0) this.#drop(nameOf(table, key));
  }

  #drop(name: string): void {
    const message = this.#messages.get(name);
    if (message === undefined) return;
    this.#messages.delete(name);
    this.#bytes -= message.size;
    this.#memory.remove(message.size);
  }
}

function nameOf(table: string, key: string): string {
  return `${table}\0${key}`;
}
