/**
 * Messages that many queues hold, as they were read last. Their record begins with all of these
 * queues: each of them would read and check the whole of it for the same message.
 */
import type { Message } from '../message.ts';
import type { Location } from './index-block.ts';

/** Queues from which on a message counts as one of many. */
export const SHARED_QUEUES_MIN = 32;
/** Messages kept, and bytes of them: what a restart's subscribers ask for at the same time. */
const MESSAGES_MAX = 1024;
const BYTES_MAX = 8 * 1024 * 1024;

export class SharedMessages {
  /** By place: the oldest first. */
  readonly #messages = new Map<string, Message>();
  #bytes = 0;

  get({ segment, offset }: Location): Message | undefined {
    if (this.#messages.size === 0) return undefined;
    return this.#messages.get(`${segment} ${offset}`);
  }

  add({ segment, offset }: Location, message: Message): void {
    this.#messages.set(`${segment} ${offset}`, message);
    this.#bytes += message.size;
    for (const [place, oldest] of this.#messages) {
      if (this.#messages.size <= MESSAGES_MAX && this.#bytes <= BYTES_MAX) break;
      this.#messages.delete(place);
      this.#bytes -= oldest.size;
    }
  }
}
