import type { Logged } from '../../store.ts';
import type { Member } from './member.ts';
import type { StreamLog } from './stream-log.ts';

/** What one reader holds in memory ahead of its consumer. */
const AHEAD_MESSAGES = 256;
const AHEAD_BYTES = 256 * 1024;

/** One consumer's way through a stream. */
export class StreamReader {
  readonly member: Member;
  readonly #log: StreamLog;
  readonly #wake: () => void;
  /** The position that comes next from the log. */
  #next: number;
  #ahead: readonly Logged[] = [];
  #taken = 0;

  /** `wake` is called when it may have credit again. */
  constructor(member: Member, log: StreamLog, next: number, wake: () => void) {
    this.member = member;
    this.#log = log;
    this.#next = next;
    this.#wake = wake;
  }

  /** Whether its consumer takes more; else it is woken when it may. */
  get ready(): boolean {
    const { member } = this;
    if (member.isCancelled || member.paused) return false;
    if (member.hasCredit) return true;
    for (const credit of member.spec.credits) {
      if (!credit.available) credit.onAvailable(this.#wake);
    }
    return false;
  }

  /** The next message up to `committed`, at `first` or above; null: there is none yet. */
  take(first: number, committed: number): Logged | null {
    for (;;) {
      const logged = this.#ahead[this.#taken];
      if (logged === undefined) {
        if (!this.#load(first, committed)) return null;
        continue;
      }
      this.#taken++;
      if (logged.position >= first) return logged;
    }
  }

  #load(first: number, committed: number): boolean {
    this.#next = Math.max(this.#next, first);
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
