import { BrokerError } from '../errors.ts';
import type { Member } from './queues/member.ts';

/** Members of one priority, who take turns. */
interface Rank {
  readonly priority: number;
  readonly members: Member[];
  /** Whose turn it is. */
  cursor: number;
}

/**
 * Whose turn it is. Members of higher priority go first; those of equal priority take turns; one
 * that is paused or out of credit is passed over. With a single active consumer only the first is
 * asked, and the next takes over when it leaves.
 */
export class Dispatcher {
  readonly #single: boolean;
  readonly #wake: () => void;
  #filtering = false;
  #members: readonly Member[] = [];
  /** Highest priority first. With a single active consumer one rank, in order of succession. */
  readonly #ranks: Rank[] = [];

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

  /** A member wants some messages only. */
  get filtering(): boolean {
    return this.#filtering;
  }

  /** Some member could take more; those that could not are waited for. */
  get able(): boolean {
    if (!this.#single) return this.#members.filter((member) => this.#canTake(member)).length > 0;
    const active = this.#members[0];
    return active !== undefined && this.#canTake(active);
  }

  /** A consumer could take more, were its socket not full. */
  get choked(): boolean {
    return this.#members.some((member) => member.paused && member.hasCredit);
  }

  /** Throws `access-refused` where this one or another wants the queue for itself. */
  add(member: Member, queue: string, vhost: string): void {
    const { exclusive, priority } = member.spec;
    const taken = this.#members.some((other) => other.spec.exclusive);
    // Neither does a queue with a single active consumer have exclusive ones (as RabbitMQ has it).
    if (taken || (exclusive && (this.#single || this.#members.length > 0))) {
      throw new BrokerError(
        'access-refused',
        `queue '${queue}' in vhost '${vhost}' in exclusive use`,
      );
    }
    const lower = this.#members.findIndex((other) => other.spec.priority < priority);
    // The active one of a single-active queue stays so, whoever comes.
    const place = lower === -1 ? this.#members.length : this.#single ? Math.max(1, lower) : lower;
    this.#members = this.#members.toSpliced(place, 0, member);
    this.#filtering ||= member.spec.filter !== undefined;
    if (this.#single) return;
    const rank = this.#ranks.find((other) => other.priority === priority);
    if (rank !== undefined) {
      rank.members.push(member);
      return;
    }
    const below = this.#ranks.findIndex((other) => other.priority < priority);
    const at = below === -1 ? this.#ranks.length : below;
    this.#ranks.splice(at, 0, { priority, members: [member], cursor: 0 });
  }

  remove(member: Member): void {
    this.#members = this.#members.filter((other) => other !== member);
    this.#filtering = this.#members.some(({ spec }) => spec.filter !== undefined);
    for (const [index, rank] of this.#ranks.entries()) {
      const place = rank.members.indexOf(member);
      if (place === -1) continue;
      rank.members.splice(place, 1);
      if (rank.members.length === 0) this.#ranks.splice(index, 1);
      // The turn stays with who had it.
      else if (place < rank.cursor) rank.cursor--;
      else if (rank.cursor === rank.members.length) rank.cursor = 0;
      return;
    }
  }

  /**
   * The member that takes the next message, or null where nobody can: of all, or of those that want
   * it.
   */
  next(wants: ((member: Member) => boolean) | null = null): Member | null {
    if (this.#single) {
      const active = this.#members[0];
      if (active === undefined || wants?.(active) === false) return null;
      return this.#canTake(active) ? active : null;
    }
    for (const rank of this.#ranks) {
      const chosen = this.#turn(rank, wants);
      if (chosen !== null) return chosen;
    }
    return null;
  }

  #turn(rank: Rank, wants: ((member: Member) => boolean) | null): Member | null {
    const { members } = rank;
    const width = members.length;
    for (let step = 0; step < width; step++) {
      const at = rank.cursor + step < width ? rank.cursor + step : rank.cursor + step - width;
      const member = members[at];
      if (member === undefined || wants?.(member) === false || !this.#canTake(member)) continue;
      rank.cursor = at + 1 === width ? 0 : at + 1;
      return member;
    }
    return null;
  }

  #canTake(member: Member): boolean {
    if (member.paused) return false;
    if (member.hasCredit) return true;
    for (const credit of member.spec.credits) {
      if (!credit.available) credit.onAvailable(this.#wake);
    }
    return false;
  }
}
