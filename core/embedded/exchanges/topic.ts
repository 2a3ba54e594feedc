/**
 * To every binding whose pattern matches the key: `*` is one word, `#` any number (AMQP 0-9-1
 * section 3.1.3.3).
 *
 * Patterns stand in a tree of words, walked as a set of nodes so that many `#` cost no more than
 * their number, and without recursion, since a key may have thousands of words. In front of it the
 * routes of recent keys are remembered until a binding changes.
 */
import { words } from '../../address.ts';
import { BrokerError } from '../../errors.ts';
import type { Message } from '../../message.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router } from '../types.ts';

export const topic: ExchangeType = {
  name: 'topic',
  create: (_spec, { limits }) => new TopicRouter(limits.routeCacheEntries),
};

/** Most nodes have one child, or one binding: a Map of its own costs 200 bytes. */
interface Node {
  /** The first child. */
  word: string | null;
  child: Node | null;
  /** Where there are several, all of them. */
  children: Map<string, Node> | null;
  star: Node | null;
  hash: Node | null;
  /** It stands for a '#': it takes any further word. */
  readonly isHash: boolean;
  bindings: Binding | Set<Binding> | null;
}

/** Each '#' costs every key that it meets all of the key's words. */
const HASHES_MAX = 16;

/** A remembered route counts as its bindings, an eighth of its key's length, and this many more. */
const ROUTE_COST = 8;

function node(isHash: boolean): Node {
  return {
    word: null,
    child: null,
    children: null,
    star: null,
    hash: null,
    isHash,
    bindings: null,
  };
}

export class TopicRouter implements Router {
  readonly #root = node(false);
  readonly #routes = new Map<string, readonly Binding[]>();
  /** What the remembered routes hold altogether, as long ones are many bindings. */
  readonly #costMax: number;
  #cost = 0;

  /** `routesMax`: routes of common size that are remembered; of larger ones fewer. */
  constructor(routesMax: number) {
    this.#costMax = routesMax * 2 * ROUTE_COST;
  }

  add(binding: Binding): void {
    const steps = words(binding.spec.routingKey);
    const hashes = steps.reduce((count, step) => (step === '#' ? count + 1 : count), 0);
    if (hashes > HASHES_MAX) {
      throw new BrokerError(
        'precondition-failed',
        `a pattern with more than ${HASHES_MAX} '#' is not taken`,
      );
    }
    const at = this.#descend(steps);
    if (at.bindings === null) at.bindings = binding;
    else if (at.bindings instanceof Set) at.bindings.add(binding);
    else if (at.bindings !== binding) at.bindings = new Set([at.bindings, binding]);
    this.#forget();
  }

  remove(binding: Binding): void {
    const path: { readonly at: Node; readonly step: string }[] = [];
    let at = this.#root;
    for (const step of words(binding.spec.routingKey)) {
      const next = childOf(at, step);
      if (next === undefined) return;
      path.push({ at, step });
      at = next;
    }
    if (at.bindings === binding) at.bindings = null;
    else if (at.bindings instanceof Set) at.bindings.delete(binding);
    // The branch that leads to nothing else is cut.
    for (const parent of path.reverse()) {
      if (!isEmpty(at)) break;
      cut(parent.at, parent.step);
      at = parent.at;
    }
    this.#forget();
  }

  route(_message: Message, routingKey: string, matches: Matches): void {
    let bound = this.#routes.get(routingKey);
    if (bound === undefined) {
      bound = this.#find(routingKey);
      this.#remember(routingKey, bound);
    }
    for (const binding of bound) matches.add(binding);
  }

  #remember(routingKey: string, bound: readonly Binding[]): void {
    const cost = bound.length + (routingKey.length >> 3) + ROUTE_COST;
    if (this.#cost + cost > this.#costMax) this.#forget();
    this.#cost += cost;
    this.#routes.set(routingKey, bound);
  }

  #forget(): void {
    if (this.#cost === 0) return;
    this.#routes.clear();
    this.#cost = 0;
  }

  #descend(steps: readonly string[]): Node {
    let at = this.#root;
    for (const step of steps) {
      const next = childOf(at, step) ?? node(step === '#');
      if (step === '*') at.star = next;
      else if (step === '#') at.hash = next;
      else addChild(at, step, next);
      at = next;
    }
    return at;
  }

  #find(routingKey: string): readonly Binding[] {
    let level = new Set<Node>();
    reach(this.#root, level);
    for (const word of words(routingKey)) {
      const next = new Set<Node>();
      for (const at of level) {
        if (at.isHash) reach(at, next);
        const literal = literalOf(at, word);
        if (literal !== undefined) reach(literal, next);
        if (at.star !== null) reach(at.star, next);
      }
      level = next;
    }
    const found: Binding[] = [];
    const system = routingKey.startsWith('$');
    for (const at of level) {
      for (const binding of bindingsOf(at)) {
        if (!(system && binding.hidesSystem)) found.push(binding);
      }
    }
    return found;
  }
}

/** A node, and those behind a '#' that takes no word at all. */
function reach(from: Node, level: Set<Node>): void {
  for (let at: Node | null = from; at !== null && !level.has(at); at = at.hash) level.add(at);
}

function childOf(at: Node, step: string): Node | undefined {
  if (step === '*') return at.star ?? undefined;
  if (step === '#') return at.hash ?? undefined;
  return literalOf(at, step);
}

function literalOf({ word, child, children }: Node, step: string): Node | undefined {
  if (children !== null) return children.get(step);
  return word === step && child !== null ? child : undefined;
}

function addChild(at: Node, step: string, next: Node): void {
  if (at.children !== null) {
    at.children.set(step, next);
  } else if (at.word === null || at.child === null || at.word === step) {
    at.word = step;
    at.child = next;
  } else {
    at.children = new Map([
      [at.word, at.child],
      [step, next],
    ]);
    at.word = null;
    at.child = null;
  }
}

function bindingsOf({ bindings }: Node): Iterable<Binding> {
  if (bindings instanceof Set) return bindings;
  return bindings === null ? [] : [bindings];
}

function cut(at: Node, step: string): void {
  if (step === '*') at.star = null;
  else if (step === '#') at.hash = null;
  else if (at.children !== null) at.children.delete(step);
  else if (at.word === step) {
    at.word = null;
    at.child = null;
  }
}

function isEmpty(at: Node): boolean {
  if (at.star !== null || at.hash !== null) return false;
  const bound = at.bindings instanceof Set ? at.bindings.size > 0 : at.bindings !== null;
  return !bound && at.word === null && (at.children?.size ?? 0) === 0;
}
