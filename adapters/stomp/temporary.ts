/**
 * Names that mean something within one connection only: `/temp-queue/x`, and ActiveMQ's `/temp-
 * topic/x`.
 */
import type { Eventually, Session } from '../../core/engine.ts';
import type { Limits } from '../../core/limits.ts';
import { StompError } from './errors.ts';
import type { Temporaries } from './link.ts';

const QUEUE_PREFIX = 'amq.gen-stomp-';

export class TemporaryNames implements Temporaries {
  readonly #session: Session;
  readonly #owner: string;
  readonly #limits: Limits;
  readonly #queues = new Map<string, string>();

  /** `owner` makes topics of this connection unlike those of others. */
  constructor(session: Session, owner: string, limits: Limits) {
    this.#session = session;
    this.#owner = owner;
    this.#limits = limits;
  }

  queue(name: string): Eventually<string> {
    const known = this.#queues.get(name);
    if (known !== undefined) return known;
    if (this.#queues.size >= this.#limits.stompSubscriptionsMax) {
      throw new StompError('Too many subscriptions', 'The limit of temporary queues is reached\n');
    }
    const declared = this.#session.temporaryQueue(QUEUE_PREFIX);
    if (typeof declared !== 'string') {
      return declared.then((queue) => {
        this.#queues.set(name, queue);
        return queue;
      });
    }
    this.#queues.set(name, declared);
    return declared;
  }

  topic(name: string): string {
    return `temp.${this.#owner}.${name}`;
  }
}
