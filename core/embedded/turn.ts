/**
 * Holds back handing out while several deliveries are settled as one step, so that all of what
 * returns is back at its place before anybody gets the first of it.
 */
export class Turn {
  #depth = 0;
  #waiting = new Set<() => void>();

  /** Whether `dispatch` has to wait: then it is called when the step is done. */
  defers(dispatch: () => void): boolean {
    if (this.#depth === 0) return false;
    this.#waiting.add(dispatch);
    return true;
  }

  run(step: () => void): void {
    this.#depth++;
    try {
      step();
    } finally {
      this.#depth--;
      if (this.#depth === 0 && this.#waiting.size > 0) {
        const waiting = this.#waiting;
        this.#waiting = new Set();
        for (const dispatch of waiting) dispatch();
      }
    }
  }
}
