/**
 * What is due when: positions by time, the earliest first and those of one time by position. Two
 * numbers an entry, in a binary heap: a million cost 16 MB.
 */
export class DueHeap {
  readonly #times: number[] = [];
  readonly #positions: number[] = [];

  get length(): number {
    return this.#times.length;
  }

  /** When the first is due; infinitely late where there is none. */
  get first(): number {
    return this.#times[0] ?? Number.POSITIVE_INFINITY;
  }

  add(time: number, position: number): void {
    let at = this.#times.length;
    this.#times.push(time);
    this.#positions.push(position);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** Takes the first out; undefined where there is none. */
  shift(): number | undefined {
    const position = this.#positions[0];
    const last = this.#times.length - 1;
    if (last > 0) this.#swap(0, last);
    this.#times.pop();
    this.#positions.pop();
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < last && this.#isBefore(child, least)) least = child;
      }
      if (least === at) return position;
      this.#swap(at, least);
      at = least;
    }
  }

  #isBefore(one: number, other: number): boolean {
    const difference = (this.#times[one] ?? 0) - (this.#times[other] ?? 0);
    if (difference !== 0) return difference < 0;
    return (this.#positions[one] ?? 0) < (this.#positions[other] ?? 0);
  }

  #swap(one: number, other: number): void {
    for (const numbers of [this.#times, this.#positions]) {
      const value = numbers[one] ?? 0;
      numbers[one] = numbers[other] ?? 0;
      numbers[other] = value;
    }
  }
}
