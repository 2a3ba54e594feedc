/**
 * What was written to a component or a server, and whether it was taken. Component streams have no
 * acknowledgements; but stanzas are handled in order there, so the answer to a request that was
 * sent after them says that they were. One request is under way at a time, for all before it.
 */
import type { Clock, Timer } from '../../core/clock.ts';
import type { Jid } from './jid.ts';
import type { Receipt } from './wire.ts';

interface Waiting {
  readonly id: string;
  readonly to: string;
  readonly receipt: Receipt;
}

export interface BarrierOwner {
  /** Writes a request that the other side must answer, if only with an error. */
  ask(id: string): void;
  /** Nothing that comes is read at the moment: an answer may be in it. */
  readonly held: boolean;
  /** There was no answer in time. */
  late(): void;
  nextId(): string;
}

/** How long who is known to answer may take to, in milliseconds. */
export const ANSWER_MS = 30_000;

export class Barrier {
  readonly #clock: Clock;
  readonly #owner: BarrierOwner;
  #waiting: Waiting[] = [];
  /** The request that is out, and how many of those that wait it stands behind. */
  #asked: { readonly id: string; count: number } | null = null;
  #timer: Timer | null = null;
  /** Told when everything before a question was taken. */
  #drained: (() => void)[] = [];

  constructor(clock: Clock, owner: BarrierOwner) {
    this.#clock = clock;
    this.#owner = owner;
  }

  /** A stanza was written to `to` with that id; `patienceMs` is for the answer to the next question. */
  keep(id: string, to: string, receipt: Receipt, patienceMs: number = ANSWER_MS): void {
    this.#waiting.push({ id, to, receipt });
    this.ask(patienceMs);
  }

  /** Asks whether the other side is there and has taken what it was sent. */
  ask(patienceMs: number = ANSWER_MS): void {
    if (this.#asked !== null) return;
    const id = this.#owner.nextId();
    this.#asked = { id, count: this.#waiting.length };
    this.#expect(patienceMs);
    this.#owner.ask(id);
  }

  /** The id of an answer that came. True where it is to a request of ours. */
  answered(id: string | undefined): boolean {
    const asked = this.#asked;
    if (asked === null || asked.id !== id) return false;
    this.#asked = null;
    this.#timer?.cancel();
    for (const { receipt } of this.#waiting.splice(0, asked.count)) receipt.acknowledged();
    if (this.#waiting.length > 0) this.ask();
    else for (const told of this.#drained.splice(0)) told();
    return true;
  }

  /** An error came from `from` to what had that id. False where nothing of that kind waits. */
  refused(id: string | undefined, from: Jid, condition: string): boolean {
    const at = this.#waiting.findIndex(
      (each) => each.id === id && (each.to === from.full || each.to === from.bare),
    );
    const [refused] = at < 0 ? [] : this.#waiting.splice(at, 1);
    if (refused === undefined) return false;
    if (this.#asked !== null && at < this.#asked.count) this.#asked.count--;
    if (refused.receipt.refused === undefined) refused.receipt.lost();
    else refused.receipt.refused(condition);
    return true;
  }

  /** Calls `told` when nothing waits any more, or nothing of it will be known. */
  whenEmpty(told: () => void): void {
    if (this.#waiting.length === 0) told();
    else this.#drained.push(told);
  }

  /** The stream is over: whatever waits counts as lost. */
  abandon(): void {
    this.#asked = null;
    this.#timer?.cancel();
    for (const { receipt } of this.#waiting.splice(0)) receipt.lost();
    for (const told of this.#drained.splice(0)) told();
  }

  /** The other side does not answer such requests: what was written counts as taken. */
  trust(): void {
    this.#asked = null;
    this.#timer?.cancel();
    for (const { receipt } of this.#waiting.splice(0)) receipt.acknowledged();
  }

  #expect(patienceMs: number): void {
    this.#timer = this.#clock.after(patienceMs, () => {
      if (this.#owner.held) this.#expect(patienceMs);
      else this.#owner.late();
    });
  }
}
