/**
 * Which sessions share which queue (`$share/g/filter`): the first to come declares it, the last to
 * leave for good deletes it. Being away is not leaving.
 */
import { type Session as EngineSession, type Eventually, NO_ARGUMENTS } from '../../core/engine.ts';
import type { HeaderValue } from '../../core/message.ts';
import { chain } from './chain.ts';
import { routeOf } from './subscription.ts';
import type { PatternTarget } from './topic.ts';

export class ShareGroups {
  readonly #members = new Map<string, Set<object>>();
  readonly #messagesMax: number;

  /** `messagesMax`: waiting in one group's queue. */
  constructor(messagesMax: number) {
    this.#messagesMax = messagesMax;
  }

  /** Makes `member` one of the group; `engine` may do everything. */
  join(
    engine: EngineSession,
    queue: string,
    target: PatternTarget,
    member: object,
  ): Eventually<void> {
    const key = keyOf(engine.vhost, queue);
    const members = this.#members.get(key);
    if (members !== undefined) {
      members.add(member);
      return;
    }
    const table = new Map<string, HeaderValue>([['x-max-length', this.#messagesMax]]);
    const spec = { name: queue, durable: true, exclusive: false, autoDelete: false };
    const declared = chain(engine.declareQueue({ ...spec, arguments: table }, false), () =>
      engine.bind(routeOf(target, queue, NO_ARGUMENTS)),
    );
    return chain(declared, () => {
      const joined = this.#members.get(key) ?? new Set();
      this.#members.set(key, joined.add(member));
    });
  }

  leave(engine: EngineSession, queue: string, member: object): Eventually<void> {
    const key = keyOf(engine.vhost, queue);
    const members = this.#members.get(key);
    if (members === undefined || !members.delete(member) || members.size > 0) return;
    this.#members.delete(key);
    return chain(engine.deleteQueue(queue, false, false), () => {});
  }
}

function keyOf(vhost: string, queue: string): string {
  return `${vhost}\0${queue}`;
}
