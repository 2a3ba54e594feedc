/**
 * A set that takes hardly any memory while it is empty: for what each of many thousand connections
 * may have, and most have not.
 */
export class LazySet<T> implements Iterable<T> {
  #members: Set<T> | null = null;

  get size(): number {
    return this.#members === null ? 0 : this.#members.size;
  }

  has(member: T): boolean {
    return this.#members?.has(member) === true;
  }

  add(member: T): void {
    this.#members ??= new Set();
    this.#members.add(member);
  }

  /** Whether it was a member. */
  delete(member: T): boolean {
    return this.#members?.delete(member) === true;
  }

  clear(): void {
    this.#members?.clear();
  }

  [Symbol.iterator](): Iterator<T> {
    return (this.#members ?? NOBODY)[Symbol.iterator]() as Iterator<T>;
  }
}

const NOBODY: ReadonlySet<unknown> = new Set();
