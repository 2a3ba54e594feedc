import { words } from '../address.ts';

interface Node<T> {
  readonly children: Map<string, Node<T>>;
  value: T | undefined;
}

function node<T>(): Node<T> {
  return { children: new Map(), value: undefined };
}

/** Values by routing key, found by topic pattern: a tree of words. */
export class KeyTree<T> {
  readonly #root: Node<T> = node();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): T | undefined {
    let at: Node<T> | undefined = this.#root;
    for (const word of words(key)) at = at?.children.get(word);
    return at?.value;
  }

  /** Returns what was there. */
  set(key: string, value: T): T | undefined {
    let at = this.#root;
    for (const word of words(key)) {
      let next = at.children.get(word);
      if (next === undefined) {
        next = node();
        at.children.set(word, next);
      }
      at = next;
    }
    const former = at.value;
    if (former === undefined) this.#size++;
    at.value = value;
    return former;
  }

  /** Returns what was there; branches that it leaves empty are cut. */
  delete(key: string): T | undefined {
    const path: { at: Node<T>; word: string }[] = [];
    let at = this.#root;
    for (const word of words(key)) {
      const next = at.children.get(word);
      if (next === undefined) return undefined;
      path.push({ at, word });
      at = next;
    }
    const former = at.value;
    if (former === undefined) return undefined;
    at.value = undefined;
    this.#size--;
    for (const step of path.reverse()) {
      const child = step.at.children.get(step.word);
      if (child === undefined || child.value !== undefined || child.children.size > 0) break;
      step.at.children.delete(step.word);
    }
    return former;
  }

  /**
   * Calls `visit` once for each value whose key matches `pattern`; a leading wildcard passes over
   * `$…`.
   */
  match(pattern: string, visit: (value: T) => void): void {
    const steps = words(pattern);
    // Each level is the set of nodes reached: '#' reaches all below, however often it occurs.
    let level = new Set<Node<T>>([this.#root]);
    for (const [index, step] of steps.entries()) {
      const next = new Set<Node<T>>();
      for (const at of level) {
        if (step === '#') reachAll(at, next, index === 0);
        else if (step === '*') {
          for (const [word, child] of at.children) {
            if (index > 0 || !word.startsWith('$')) next.add(child);
          }
        } else {
          const child = at.children.get(step);
          if (child !== undefined) next.add(child);
        }
      }
      level = next;
    }
    for (const at of level) if (at.value !== undefined) visit(at.value);
  }

  *values(): Iterable<T> {
    const stack = [this.#root];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (at.value !== undefined) yield at.value;
      stack.push(...at.children.values());
    }
  }
}

/** Adds a node and everything below it. */
function reachAll<T>(from: Node<T>, reached: Set<Node<T>>, hideSystem: boolean): void {
  const stack = [from];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    if (reached.has(at)) continue;
    reached.add(at);
    for (const [word, child] of at.children) {
      if (!(hideSystem && at === from && word.startsWith('$'))) stack.push(child);
    }
  }
}
