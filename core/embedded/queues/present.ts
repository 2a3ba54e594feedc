/**
 * Which messages a queue has that have duplicates: as long as one is there, be it with a consumer,
 * the next is not taken (`x-message-deduplication`). After a restart they are read from the log.
 */
import type { Message } from '../../message.ts';
import type { QueueLog } from '../../store.ts';
import { duplicateKey } from '../duplicates.ts';

const READ_MESSAGES = 1024;
const READ_BYTES = 4 * 1024 * 1024;

export class Present {
  /** By which duplicates are known. */
  readonly header: string;
  readonly #keys = new Set<string>();

  /** `isDead`: what is at this place in the log is not in the queue any more. */
  constructor(header: string, log: QueueLog | null, isDead: (position: number) => boolean) {
    this.header = header;
    for (let after = -1; log !== null; ) {
      const { messages } = log.read(after, READ_MESSAGES, READ_BYTES);
      for (const { position, message } of messages) if (!isDead(position)) this.add(message);
      const last = messages.at(-1);
      if (last === undefined) break;
      after = last.position;
    }
  }

  has(message: Message): boolean {
    const key = duplicateKey(message, this.header);
    return key !== null && this.#keys.has(key);
  }

  add(message: Message): void {
    const key = duplicateKey(message, this.header);
    if (key !== null) this.#keys.add(key);
  }

  delete(message: Message): void {
    const key = duplicateKey(message, this.header);
    if (key !== null) this.#keys.delete(key);
  }

  /** Only these are left. */
  reset(messages: Iterable<Message>): void {
    this.#keys.clear();
    for (const message of messages) this.add(message);
  }
}
