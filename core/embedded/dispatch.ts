import { BrokerError } from '../errors.ts';
import type { Message } from '../message.ts';
import { Groups } from './groups.ts';
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
 * that is paused or out of credit is passed over. With a single active consumer, or one that wants
 * to be alone, only the first such is asked, and the next takes over when it leaves.
 */
export class Dispatcher {
  readonly #single: boolean;
  readonly #wake: () => void;
  #filtering = false;
  #members: readonly Member[] = [];
  /** Highest priority first. With a single active consumer one rank, in order of succession. */
  readonly #ranks: Rank[] = [];
  /** Null: nobody heeds them. */
  #groups: Groups | null = null;
  /** The only one who is asked, if there is such a one. */
  #active: Member | null = null;

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
    if (this.#active !== null) return this.#canTake(this.#active);
    return this.#members.filter((member) => this.#canTake(member)).length > 0;
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
    // The active one of a single-active queue stays so, whoever comes.
    const kept = this.#single ? 1 : 0;
    const lower = this.#members.findIndex(
      (other, at) => at >= kept && other.spec.priority < priority,
    );
    const place = lower === -1 ? this.#members.length : lower;
    this.#members = this.#members.toSpliced(place, 0, member);
    this.#changed();
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
    this.#groups?.left(member);
    this.#changed();
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
    const active = this.#active;
    if (active !== null) {
      return wants?.(active) === false || !this.#canTake(active) ? null : active;
    }
    for (const rank of this.#ranks) {
      const chosen = this.#turn(rank, wants);
      if (chosen !== null) return chosen;
    }
    return null;
  }

  /** Those that want the message, and may have it. */
  takers(message: Message): readonly Member[] {
    return this.#members.filter((member) => this.takes(member, message));
  }

  takes(member: Member, message: Message): boolean {
    if (!member.takes(message)) return false;
    return this.#active !== null || this.#groups?.allow(member, message) !== false;
  }

  /** It was handed the message. True: others may take now what only this one could. */
  given(member: Member, message: Message): boolean {
    if (member.spec.groupOf === undefined) return false;
    this.#groups ??= new Groups();
    return this.#groups.given(member, message);
  }

  #changed(): void {
    const members = this.#members;
    this.#filtering = members.some(({ filter }) => filter !== undefined);
    const alone = members.find(({ spec }) => spec.alone === true);
    this.#active = (this.#single ? members[0] : alone) ?? null;
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
