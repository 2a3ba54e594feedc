import type { Consumer, ConsumeSpec } from '../../engine.ts';
import { LazySet } from '../../lazy-set.ts';
import type { Owner } from '../owner.ts';
import type { Entry } from './entry.ts';
import { Member } from './member.ts';

/** A consumer that only pulls (`get`): its deliveries are held under it. */
const PULLER: Consumer = { deliver: () => {}, cancelled: () => {} };

const PULL: ConsumeSpec = {
  queue: '',
  tag: '',
  acknowledge: true,
  exclusive: false,
  priority: 0,
  credits: [],
  arguments: new Map(),
};

/** Who consumes from a queue, or still holds something of it. */
export class Members implements Iterable<Member> {
  readonly #members = new LazySet<Member>();
  #pullers: Map<Owner, Member> | null = null;

  [Symbol.iterator](): Iterator<Member> {
    return this.#members[Symbol.iterator]();
  }

  add(member: Member): void {
    this.#members.add(member);
  }

  delete(member: Member): void {
    this.#members.delete(member);
  }

  /** Under whom an owner's pulled deliveries are held. */
  puller(owner: Owner): Member {
    let puller = this.#pullers?.get(owner);
    if (puller === undefined) {
      puller = new Member(PULL, PULLER, owner, { resumed: () => {}, cancelled: () => {} });
      this.#pullers ??= new Map();
      this.#pullers.set(owner, puller);
      this.#members.add(puller);
    }
    return puller;
  }

  of(owner: Owner): Member[] {
    return [...this.#members].filter((member) => member.owner === owner);
  }

  /** Forgets an owner. Returns those of them that consumed until now. */
  forget(owner: Owner): readonly Member[] {
    this.#pullers?.delete(owner);
    const leaving = this.of(owner);
    for (const member of leaving) this.#members.delete(member);
    return leaving.filter((member) => !member.isCancelled && member.consumer !== PULLER);
  }

  /** Everything that is lent. */
  held(): Entry[] {
    return [...this.#members].flatMap((member) => member.held());
  }
}
