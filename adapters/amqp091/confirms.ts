/**
 * Publisher confirms of one channel: fates come in any order and one by one, acks leave in as few
 * frames as possible at the end of a turn.
 *
 *     1 … told | told+1 … settled | settled+1 …
 *              └ one ack, multiple └ some of these may be settled too (`ahead`): an ack each
 *
 * A nack is told at once, after the acks that wait, so an ack with `multiple` never covers a
 * publish that was not yet nacked.
 */
import { Fate } from '../../core/engine.ts';

/** Writes confirms to the client. */
export interface ConfirmSink {
  /** `count` > 1: this tag and everything below it. */
  ack(tag: number, count: number): void;
  nack(tag: number): void;
  /** There is something to `flush` now. */
  waiting(): void;
}

export class Confirms {
  readonly #sink: ConfirmSink;
  /** Every tag up to here is settled. */
  #settled = 0;
  /** Of these, how many the client was not told of, and the highest. */
  #untold = 0;
  #highestUntold = 0;
  /** Settled beyond a gap; true once the client was told. */
  readonly #ahead = new Map<number, boolean>();
  #aheadUntold: number[] = [];
  #waiting = false;

  constructor(sink: ConfirmSink) {
    this.#sink = sink;
  }

  settled(tag: number, fate: Fate): void {
    const confirmed = fate === Fate.CONFIRMED || fate === Fate.UNROUTABLE;
    if (!confirmed) {
      this.flush();
      this.#sink.nack(tag);
    }
    if (tag === this.#settled + 1) {
      this.#settled = tag;
      if (confirmed) this.#owe(tag);
      if (this.#ahead.size > 0) this.#catchUp();
    } else {
      this.#ahead.set(tag, !confirmed);
      if (confirmed) this.#aheadUntold.push(tag);
    }
    if (this.#waiting || !confirmed) return;
    this.#waiting = true;
    this.#sink.waiting();
  }

  /** Tells the client everything that it was not told. */
  flush(): void {
    this.#waiting = false;
    if (this.#untold > 0) {
      this.#sink.ack(this.#highestUntold, this.#untold);
      this.#untold = 0;
    }
    if (this.#aheadUntold.length === 0) return;
    for (const tag of this.#aheadUntold) {
      // Those that the gap before them closed for are covered by the ack above.
      if (this.#ahead.get(tag) !== false) continue;
      this.#ahead.set(tag, true);
      this.#sink.ack(tag, 1);
    }
    this.#aheadUntold = [];
  }

  #owe(tag: number): void {
    this.#untold++;
    this.#highestUntold = tag;
  }

  /** The gap is closed: what stood beyond it joins. */
  #catchUp(): void {
    for (;;) {
      const tag = this.#settled + 1;
      const told = this.#ahead.get(tag);
      if (told === undefined) return;
      this.#ahead.delete(tag);
      this.#settled = tag;
      if (!told) this.#owe(tag);
    }
  }
}
