/** Things that are chosen by name: formats, exchange types, queue types. */
export class Registry<T extends { readonly name: string }> {
  readonly #kind: string;
  readonly #entries = new Map<string, T>();

  /** `kind` is what an entry is called in messages: `exchange type`. */
  constructor(kind: string, entries: Iterable<T> = []) {
    this.#kind = kind;
    for (const entry of entries) this.register(entry);
  }

  /** Throws where another entry has the name. */
  register(entry: T): void {
    const known = this.#entries.get(entry.name);
    if (known !== undefined && known !== entry) {
      throw new Error(`two entries for ${this.#kind} '${entry.name}'`);
    }
    this.#entries.set(entry.name, entry);
  }

  find(name: string): T | undefined {
    return this.#entries.get(name);
  }

  values(): T[] {
    return [...this.#entries.values()];
  }

  names(): string[] {
    return [...this.#entries.keys()];
  }
}
