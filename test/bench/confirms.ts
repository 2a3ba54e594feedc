/** So many messages are confirmed, from `first` on where the protocol tells which. */
export type Confirmed = (count: number, first?: number) => void;

/** Follows AMQP's confirms, which may come one by one and out of order, or for all up to a tag. */
export class Confirms {
  readonly #confirmed: Confirmed;
  /** Everything up to here, and these beyond. */
  #all = 0;
  readonly #beyond = new Set<number>();

  constructor(confirmed: Confirmed) {
    this.#confirmed = confirmed;
  }

  take(tag: number, multiple: boolean): void {
    if (!multiple) {
      this.#confirmed(1, tag);
      this.#beyond.add(tag);
    } else {
      for (let next = this.#all + 1; next <= tag; ) next = this.#run(next, tag);
      this.#all = Math.max(this.#all, tag);
    }
    while (this.#beyond.delete(this.#all + 1)) this.#all++;
  }

  /** Confirms neighbours from `first` on, and passes over one that was. Returns the next. */
  #run(first: number, last: number): number {
    let end = first;
    while (end <= last && !this.#beyond.delete(end)) end++;
    if (end > first) this.#confirmed(end - first, first);
    return end + 1;
  }
}
