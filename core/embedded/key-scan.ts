/**
 * Keys of last values, found by topic pattern among keys in order without looking at all of them.
 *
 * They are stored with '\0' between their words instead of '.': it is below every other character,
 * so that keys that begin with the same words are together. A pattern's first words say where to
 * begin; `*` is tried word by word, going to the next possible key each time; what is behind a
 * first `#` is compared with every key that is left.
 */
import { words } from '../address.ts';

const SEPARATOR = '\0';
/** Above every key that begins with the words in front of it, and below all others behind them. */
const BEHIND = '\x01';
/** Behind every word that begins with `$`. */
const BEHIND_SYSTEM = '%';
/** Keys that are walked over before a seek is worth it. */
const STEPS_MAX = 8;
/** Among keys of such a length a store may have to look at all to find one. */
const LONG_KEY = 900;

/** A routing key as it is stored, and back: '.' and '\0' change places. */
export function swapSeparator(key: string): string {
  if (!key.includes(SEPARATOR)) return key.replaceAll('.', SEPARATOR);
  return key.replace(/[.\0]/g, (character) => (character === '.' ? SEPARATOR : '.'));
}

/**
 * Stored keys that match a topic pattern, in their order; a leading wildcard passes over `$…`.
 * `keys` answers those from a place on.
 */
export function* scanKeys(
  keys: (from: string) => Iterable<string>,
  pattern: string,
): Iterable<string> {
  const scan = new Scan(pattern);
  let from: string | null = scan.start;
  while (from !== null) {
    let [walked, sought]: [number, boolean] = [0, false];
    for (const key of keys(from)) {
      if (from !== null && key < from) {
        if (++walked <= STEPS_MAX || key.length >= LONG_KEY) continue;
        sought = true;
        break;
      }
      walked = 0;
      if (scan.look(key)) yield key;
      from = scan.next;
      if (from === null) return;
    }
    if (!sought) return;
  }
}

class Scan {
  readonly #steps: readonly string[];
  /** Steps before the first `#`. */
  readonly #fixed: number;
  /** Where the next key is that may match, after a look; null: there is none. */
  next: string | null = null;

  constructor(pattern: string) {
    // One '#' says all that several say.
    const steps = words(pattern).filter((step, at, all) => step !== '#' || all[at - 1] !== '#');
    this.#steps = steps.map(swapSeparator);
    const open = this.#steps.indexOf('#');
    this.#fixed = open === -1 ? this.#steps.length : open;
  }

  /** Where the first key may be. */
  get start(): string {
    return this.#reach([], 0);
  }

  /** Whether a key matches. */
  look(key: string): boolean {
    const found = key === '' ? [] : key.split(SEPARATOR);
    const [head] = this.#steps;
    if ((head === '*' || head === '#') && key.startsWith('$')) {
      this.next = BEHIND_SYSTEM;
      return false;
    }
    for (let at = 0; at < this.#fixed; at++) {
      const [step, word] = [this.#steps[at] ?? '', found[at]];
      if (word === undefined || (step !== '*' && word < step)) {
        this.next = this.#reach(found, at);
        return false;
      }
      if (step === '*' || word === step) continue;
      this.next = this.#behind(key, found, at);
      return false;
    }
    if (this.#fixed < this.#steps.length) {
      this.next = key + SEPARATOR;
      return fits(this.#steps, this.#fixed, found);
    }
    this.next = this.#behind(key, found, this.#fixed);
    return found.length === this.#fixed;
  }

  /** The first possible key that begins with the first `count` words found. */
  #reach(found: readonly string[], count: number): string {
    let end = count;
    while (end < this.#fixed && this.#steps[end] !== '*') end++;
    const begun = [...found.slice(0, count), ...this.#steps.slice(count, end)].join(SEPARATOR);
    return end === count && count > 0 ? begun + SEPARATOR : begun;
  }

  /** The first possible key that has another word for a `*` among the first `count`. */
  #behind(key: string, found: readonly string[], count: number): string | null {
    for (let at = count - 1; at >= 0; at--) {
      if (this.#steps[at] !== '*') continue;
      let length = at;
      for (let word = 0; word <= at; word++) length += found[word]?.length ?? 0;
      return key.slice(0, length) + BEHIND;
    }
    return null;
  }
}

/** Whether words fit the steps, both from `from` on, in time of one times the other. */
function fits(steps: readonly string[], from: number, found: readonly string[]): boolean {
  const end = steps.length;
  if (end === from + 1) return true;
  // Where in the steps the words so far lead to.
  let reached = new Set(passing(steps, from));
  for (const word of found.slice(from)) {
    const next = new Set<number>();
    for (const at of reached) {
      const step = steps[at];
      const further = step === '#' ? at : at + 1;
      if (step !== '#' && step !== '*' && step !== word) continue;
      for (const each of passing(steps, further)) next.add(each);
    }
    reached = next;
  }
  return reached.has(end);
}

/** A step, and those behind it that are reached by no word. */
function passing(steps: readonly string[], step: number): number[] {
  const passed = [step];
  for (let at = step; steps[at] === '#'; at++) passed.push(at + 1);
  return passed;
}
