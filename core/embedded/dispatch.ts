import { BrokerError } from '../errors.ts';
import type { Member } from './queues/member.ts';

/**
 * Whose turn it is. Members stand in order of priority; those of equal priority take turns; one that is
 * paused or out of credit is passed over. With a single active consumer only the first is asked, and
 * the next takes over when it leaves.
 */
export class Dispatcher {
  readonly #single: boolean;
  readonly #wake: () => void;
  #members: Member[] = [];
  #cursor = 0;

  /** `wake` is called when a member that was out of credit may have some again. */
  constructor(singleActive: boolean, wake: () => void) {
    this.#single = singleActive;
    this.#wake = wake;
  }

  get count(): number {
    return this.#members.length;
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  /** A consumer could take more, were its socket not full. */
  get choked(): boolean {
    return this.#members.some((member) => member.paused && member.hasCredit);
  }

  /** Throws `access-refused` where this one or another wants the queue for itself. */
  add(member: Member, queue: string, vhost: string): void {
    const exclusive = this.#members.some((other) => other.spec.exclusive);
    if (exclusive || (member.spec.exclusive && this.#members.length > 0)) {
      throw new BrokerError(
        'access-refused',
        `queue '${queue}' in vhost '${vhost}' in exclusive use`,
      );
    }
    const lower = this.#members.findIndex((other) => other.spec.priority < member.spec.priority);
    // The active one of a single-active queue stays so, whoever comes.
    const place = lower === -1 ? this.#members.length : this.#single ? Math.max(1, lower) : lower;
    this.#members = this.#members.toSpliced(place, 0, member);
  }

  remove(member: Member): void {
    this.#members = this.#members.filter((other) => other !== member);
    this.#cursor = 0;
  }

  /** The member that takes the next message, or null where nobody can. */
  next(): Member | null {
    const members = this.#members;
    const count = this.#single ? Math.min(1, members.length) : members.length;
    for (let start = 0; start < count; ) {
      const end = this.#equals(start, count);
      const chosen = this.#turn(start, end);
      if (chosen !== null) return chosen;
      start = end;
    }
    return null;
  }

  /** Where those of the same priority as `start` end. */
  #equals(start: number, count: number): number {
    const priority = this.#members[start]?.spec.priority;
    let end = start + 1;
    while (end < count && this.#members[end]?.spec.priority === priority) end++;
    return end;
  }

  #turn(start: number, end: number): Member | null {
    const width = end - start;
    for (let step = 0; step < width; step++) {
      const at = start + ((this.#cursor + step) % width);
      const member = this.#members[at];
      if (member === undefined || member.paused) continue;
      if (member.hasCredit) {
        this.#cursor = (at - start + 1) % width;
        return member;
      }
      for (const credit of member.spec.credits) {
        if (!credit.available) credit.onAvailable(this.#wake);
      }
    }
    return null;
  }
}
