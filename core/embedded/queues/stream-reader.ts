import type { Logged } from '../../store.ts';
import type { Member } from './member.ts';
import type { StreamGroup } from './stream-groups.ts';
import type { StreamLog } from './stream-log.ts';

/** What one reader holds in memory ahead of its consumer. */
const AHEAD_MESSAGES = 256;
const AHEAD_BYTES = 256 * 1024;

/** One consumer's way through a stream. */
export class StreamReader {
  readonly member: Member;
  /** Whose place in the stream it shares; null: it has its own. */
  readonly group: StreamGroup | null;
  readonly #log: StreamLog;
  readonly #wake: () => void;
  /** The position that comes next from the log. */
  #next: number;
  #ahead: readonly Logged[] = [];
  #taken = 0;

  /** `wake` is called when it may have credit again. */
  constructor(
    member: Member,
    group: StreamGroup | null,
    log: StreamLog,
    next: number,
    wake: () => void,
  ) {
    this.member = member;
    this.group = group;
    this.#log = log;
    this.#next = next;
    this.#wake = wake;
  }

  /** Whether its consumer takes more; else it is woken when it may. */
  get ready(): boolean {
    const { member, group } = this;
    if (member.isCancelled || member.paused) return false;
    if (group !== null && group.active !== member) return false;
    if (member.hasCredit) return true;
    for (const credit of member.spec.credits) {
      if (!credit.available) credit.onAvailable(this.#wake);
    }
    return false;
  }

  /** The next message up to `committed`, at `first` or above; null: there is none yet. */
  take(first: number, committed: number): Logged | null {
    const again = this.#takeAgain(first);
    if (again !== null) return again;
    // Another reader of the group may have been further.
    const from = Math.max(first, this.group?.reach ?? 0);
    for (;;) {
      const logged = this.#ahead[this.#taken];
      if (logged === undefined) {
        if (!this.#load(from, committed)) return null;
        continue;
      }
      this.#taken++;
      if (logged.position >= from) return logged;
    }
  }

  /** What its group was given back, as far as it is kept. */
  #takeAgain(first: number): Logged | null {
    const { group } = this;
    if (group === null) return null;
    for (let at = group.takeAgain(); at !== null; at = group.takeAgain()) {
      const [logged] = at < first ? [] : this.#log.read(at - 1, 1, 1).messages;
      if (logged?.position === at) return logged;
      group.passed(at);
    }
    return null;
  }

  #load(from: number, committed: number): boolean {
    this.#next = Math.max(this.#next, from);
    this.#ahead = [];
    this.#taken = 0;
    if (this.#next > committed) return false;
    const back = this.#log.read(this.#next - 1, AHEAD_MESSAGES, AHEAD_BYTES);
    this.#ahead = back.messages.filter(({ position }) => position <= committed);
    const newest = this.#ahead.at(-1)?.position;
    // Damaged messages are passed over: nothing readable is left up to there.
    this.#next = (newest ?? committed) + 1;
    return newest !== undefined;
  }
}
