/**
 * To every binding whose pattern matches the key: `*` is one word, `#` any number (AMQP 0-9-1 section
 * 3.1.3.3).
 *
 * Patterns stand in a tree of words, walked as a set of nodes so that many `#` cost no more than their
 * number. In front of it the routes of recent keys are remembered until a binding changes.
 */
import { words } from '../../address.ts';
import type { Message } from '../../message.ts';
import type { Binding } from '../binding.ts';
import type { Matches } from '../matches.ts';
import type { ExchangeType, Router } from '../types.ts';

export const topic: ExchangeType = {
  name: 'topic',
  create: (_spec, limits) => new TopicRouter(limits.routeCacheEntries),
};

interface Node {
  readonly children: Map<string, Node>;
  star: Node | null;
  hash: Node | null;
  /** It stands for a '#': it takes any further word. */
  readonly isHash: boolean;
  readonly bindings: Set<Binding>;
}

function node(isHash: boolean): Node {
  return { children: new Map(), star: null, hash: null, isHash, bindings: new Set() };
}

export class TopicRouter implements Router {
  readonly #root = node(false);
  readonly #routes = new Map<string, readonly Binding[]>();
  readonly #routesMax: number;

  constructor(routesMax: number) {
    this.#routesMax = routesMax;
  }

  add(binding: Binding): void {
    this.#descend(binding).bindings.add(binding);
    this.#routes.clear();
  }

  remove(binding: Binding): void {
    const steps = words(binding.spec.routingKey);
    remove(this.#root, steps, 0, binding);
    this.#routes.clear();
  }

  route(_message: Message, routingKey: string, matches: Matches): void {
    let bound = this.#routes.get(routingKey);
    if (bound === undefined) {
      bound = this.#find(routingKey);
      if (this.#routes.size >= this.#routesMax) this.#routes.clear();
      this.#routes.set(routingKey, bound);
    }
    for (const binding of bound) matches.add(binding);
  }

  #descend(binding: Binding): Node {
    let at = this.#root;
    for (const step of words(binding.spec.routingKey)) {
      const next = childOf(at, step) ?? node(step === '#');
      if (step === '*') at.star = next;
      else if (step === '#') at.hash = next;
      else at.children.set(step, next);
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
        const literal = at.children.get(word);
        if (literal !== undefined) reach(literal, next);
        if (at.star !== null) reach(at.star, next);
      }
      level = next;
    }
    const found: Binding[] = [];
    const system = routingKey.startsWith('$');
    for (const at of level) {
      for (const binding of at.bindings) if (!(system && binding.hidesSystem)) found.push(binding);
    }
    return found;
  }
}

/** A node, and those behind a '#' that takes no word at all. */
function reach(at: Node, level: Set<Node>): void {
  if (level.has(at)) return;
  level.add(at);
  if (at.hash !== null) reach(at.hash, level);
}

function childOf(at: Node, step: string): Node | undefined {
  if (step === '*') return at.star ?? undefined;
  if (step === '#') return at.hash ?? undefined;
  return at.children.get(step);
}

/** Removes a binding, and the branch that leads to nothing else. Returns whether `at` is now empty. */
function remove(at: Node, steps: readonly string[], index: number, binding: Binding): boolean {
  const step = steps[index];
  if (step === undefined) {
    at.bindings.delete(binding);
  } else {
    const child = childOf(at, step);
    if (child !== undefined && remove(child, steps, index + 1, binding)) {
      if (step === '*') at.star = null;
      else if (step === '#') at.hash = null;
      else at.children.delete(step);
    }
  }
  return at.bindings.size === 0 && at.children.size === 0 && at.star === null && at.hash === null;
}
