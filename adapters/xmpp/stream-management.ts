/**
 * XEP-0198 counters of one session: what the client has not acknowledged, kept for resending, and
 * how much of its own may be acknowledged. Counters wrap at 2^32.
 */
import type { Receipt, Wire } from './wire.ts';

interface Unacknowledged {
  readonly wire: Wire;
  readonly receipt: Receipt | null;
  readonly bytes: number;
}

export class StreamManagement {
  /** Null: not to be resumed. */
  readonly id: string | null;
  readonly resumeSeconds: number;
  /** Stanzas of the client's since it was enabled. */
  received = 0;
  #acknowledged = 0;
  #waiting: Unacknowledged[] = [];
  #bytes = 0;
  /** An `<r/>` is out and not answered. */
  #asked = false;

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
  }

  /** Whether to ask for an acknowledgement now: one question is out at a time. */
  ask(): boolean {
    if (this.#asked || this.#waiting.length === 0) return false;
    this.#asked = true;
    return true;
  }

  /** The client handled `count` stanzas in all. False where that is more than were sent. */
  acknowledge(count: number): boolean {
    const fresh = (count - this.#acknowledged) >>> 0;
    this.#asked = false;
    if (fresh > this.#waiting.length) return false;
    const done = this.#waiting.splice(0, fresh);
    this.#acknowledged = count >>> 0;
    for (const { bytes, receipt } of done) {
      this.#bytes -= bytes;
      receipt?.acknowledged();
    }
    return true;
  }

  /** What has to be sent again after a resumption. */
  *unacknowledged(): Iterable<Wire> {
    this.#asked = false;
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
