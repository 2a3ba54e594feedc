/**
 * One list of what was written to since the event loop's last round. It is flushed in the check
 * phase, after everything that one poll brought in was handled: one write per touched socket, over
 * all of the sockets that were read, instead of one per frame.
 */
export interface Flushable {
  /** Must not throw. */
  flush(): void;
}

export class Flusher {
  #touched: Flushable[] = [];
  #scheduled = false;

  add(item: Flushable): void {
    this.#touched.push(item);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  readonly #run = (): void => {
    const touched = this.#touched;
    this.#touched = [];
    this.#scheduled = false;
    for (const item of touched) item.flush();
  };
}
