/**
 * Message groups, as ActiveMQ has them: which consumer a group's messages go to. The first one's
 * taker gets the others too, until it leaves or a message ends the group.
 */
import type { Message } from '../message.ts';
import type { Member } from './queues/member.ts';

/** Groups that a queue remembers, as ActiveMQ; beyond, the oldest may go to another consumer. */
const GROUPS_MAX = 1024;

export class Groups {
  readonly #takers = new Map<string, Member>();

  /** Whether `member` may take the message: its group is nobody else's. */
  allow(member: Member, message: Message): boolean {
    const group = member.spec.groupOf?.(message) ?? null;
    if (group === null) return true;
    const taker = this.#takers.get(group.name);
    return taker === undefined || taker === member;
  }

  /** `member` was given the message. True: its group has ended with it. */
  given(member: Member, message: Message): boolean {
    const group = member.spec.groupOf?.(message) ?? null;
    if (group === null) return false;
    if (group.last) return this.#takers.delete(group.name);
    if (!this.#takers.has(group.name) && this.#takers.size >= GROUPS_MAX) this.#forgetOldest();
    this.#takers.set(group.name, member);
    return false;
  }

  /** Its groups are free again. */
  left(member: Member): void {
    for (const [name, taker] of this.#takers) if (taker === member) this.#takers.delete(name);
  }

  #forgetOldest(): void {
    for (const name of this.#takers.keys()) {
      this.#takers.delete(name);
      return;
    }
  }
}
