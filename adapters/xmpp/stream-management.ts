/**
 * XEP-0198 counters of one session: what the client has not acknowledged, kept for resending, and
 * how much of its own may be acknowledged. Counters wrap at 2^32.
 *
 * A widespread library (xmpp.js) leaves out the answers to its own requests, and starts its count
 * anew a moment after `<enabled/>`. Since an `<a/>` that answers `<r/>` speaks of everything before
 * the question, such a shortfall is seen there, and added from then on: otherwise the last
 * deliveries of every session would count as lost, and come again.
 */
import type { Receipt, Wire } from './wire.ts';

/** What had been sent when `<r/>` went out, and how much of that was answers to requests. */
interface Question {
  readonly sent: number;
  readonly replies: number;
}

interface Unacknowledged {
  readonly wire: Wire;
  readonly receipt: Receipt | null;
  readonly bytes: number;
}

/** Of the counters' range: a difference beyond it is a negative one. */
const HALF = 2 ** 31;

export class StreamManagement {
  /** Null: not to be resumed. */
  readonly id: string | null;
  readonly resumeSeconds: number;
  /** Stanzas of the client's since it was enabled. */
  received = 0;
  #acknowledged = 0;
  #waiting: Unacknowledged[] = [];
  #bytes = 0;
  /** The `<r/>` that is out and not answered. */
  #asked: Question | null = null;
  /** Answers to requests sent so far. */
  #replies = 0;
  /** What the client's count falls short by, and the answers among that. */
  #missed = 0;
  #missedReplies = 0;
  /** It counted what came before `<enabled/>`, too: its count is about to begin anew. */
  #restarting = false;
  /** The client turned out to count everything. */
  #precise = false;

  constructor(id: string | null, resumeSeconds: number) {
    this.id = id;
    this.resumeSeconds = resumeSeconds;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** How many stanzas the client acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  get sent(): number {
    return (this.#acknowledged + this.#waiting.length) >>> 0;
  }

  keep(wire: Wire, receipt: Receipt | null): void {
    let bytes = 0;
    for (const piece of wire) bytes += piece.length;
    this.#waiting.push({ wire: owned(wire), receipt, bytes });
    this.#bytes += bytes;
    if (isReply(wire[0])) this.#replies++;
  }

  /** Whether to ask for an acknowledgement now: one question is out at a time. */
  ask(): boolean {
    if (this.#asked !== null || this.#waiting.length === 0) return false;
    this.#asked = { sent: this.sent, replies: this.#replies };
    return true;
  }

  /** The client handled `count` stanzas in all. False where that is more than were sent. */
  acknowledge(count: number): boolean {
    const question = this.#asked;
    this.#asked = null;
    const handled = this.#handled(count, question);
    const fresh = (handled - this.#acknowledged) >>> 0;
    // Less than before: a count that began anew, which the next question settles.
    if (fresh >= HALF) return true;
    if (fresh > this.#waiting.length) return false;
    const done = this.#waiting.splice(0, fresh);
    this.#acknowledged = handled;
    for (const { bytes, receipt } of done) {
      this.#bytes -= bytes;
      receipt?.acknowledged();
    }
    return true;
  }

  /** The same on resumption, where nothing was asked: what was on its way may be lost. */
  resume(count: number): boolean {
    this.#asked = null;
    return this.acknowledge(count);
  }

  /** The client's count as one of ours. */
  #handled(count: number, question: Question | null): number {
    const handled = (count + this.#missed) >>> 0;
    if (this.#missed > 0 && this.#isBeyond(handled) && !this.#isBeyond(count)) {
      this.#missed = 0;
      this.#precise = true;
      return count;
    }
    if (question === null || this.#precise) return handled;
    const short = (question.sent - handled) >>> 0;
    if (this.#acknowledged === 0 && this.#isBeyond(handled)) {
      this.#restarting = true;
      return question.sent;
    }
    const isBehind = this.#restarting || (handled - this.#acknowledged) >>> 0 >= HALF;
    this.#restarting = false;
    if (short === 0 || short >= HALF) return handled;
    if (!isBehind && short !== question.replies - this.#missedReplies) return handled;
    this.#missed += short;
    this.#missedReplies = question.replies;
    return question.sent;
  }

  #isBeyond(count: number): boolean {
    const ahead = (count - this.sent) >>> 0;
    return ahead > 0 && ahead < HALF;
  }

  /** What has to be sent again after a resumption. */
  *unacknowledged(): Iterable<Wire> {
    this.#asked = null;
    for (const { wire } of this.#waiting) yield wire;
  }

  /** The session is over: whoever waits for an acknowledgement is told that none comes. */
  abandon(): void {
    const lost = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    for (const { receipt } of lost) receipt?.lost();
  }
}

/** An `<iq/>` that answers one of the client's. */
function isReply(head: string): boolean {
  return head.startsWith('<iq ') && /^<iq [^>]*\btype="(?:result|error)"/.test(head);
}

/** Kept beyond the turn: pieces must not pin the socket read that they came in. */
function owned(wire: Wire): Wire {
  const [head, ...rest] = wire;
  const copies = rest.map((piece) =>
    typeof piece === 'string' || piece.length * 4 >= piece.buffer.byteLength
      ? piece
      : Buffer.from(piece),
  );
  return [head, ...copies];
}
