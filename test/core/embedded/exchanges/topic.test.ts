import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matches, words } from '../../../../core/address.ts';
import { Binding } from '../../../../core/embedded/binding.ts';
import { Exchange } from '../../../../core/embedded/exchange.ts';
import { TopicRouter } from '../../../../core/embedded/exchanges/topic.ts';
import { Matches } from '../../../../core/embedded/matches.ts';
import { message } from '../../../support/messages.ts';
import { args, binding, exchangeSpec } from '../../engine-contract.ts';

const MESSAGE = message({});
let stamp = 0;

/** A binding that leads to an exchange of its own, so that each is seen. */
function bindingTo(name: string, pattern: string, hidesSystem = false): Binding {
  const target = new Exchange(exchangeSpec(name, 'fanout'), new TopicRouter(0));
  const values = args(hidesSystem ? { 'x-hide-system': true } : {});
  const spec = { ...binding('x', name, pattern), toExchange: true, arguments: values };
  return new Binding(spec, null, target);
}

function routed(router: TopicRouter, key: string): string[] {
  const found = new Matches();
  found.begin(++stamp);
  router.route(MESSAGE, key, found);
  return found.pending
    .slice(0, found.pendingCount)
    .map((exchange) => exchange.spec.name)
    .sort();
}

const word = fc.constantFrom('a', 'b', '', '$s');
const step = fc.constantFrom('a', 'b', '', '*', '#', '#', '$s');
const key = fc.array(word, { maxLength: 5 }).map((parts) => parts.join('.'));
const pattern = fc.array(step, { maxLength: 5 }).map((parts) => parts.join('.'));

describe('a topic router', () => {
  it('finds what a comparison with every pattern finds, while bindings come and go', () => {
    const change = fc.record({ add: fc.boolean(), pattern, key });
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 30 }),
        fc.integer({ min: 0, max: 2 }),
        (changes, remembered) => {
          const router = new TopicRouter(remembered);
          const bound = new Map<string, Binding>();
          for (const each of changes) {
            const known = bound.get(each.pattern);
            if (each.add && known === undefined) {
              const added = bindingTo(each.pattern, each.pattern);
              bound.set(each.pattern, added);
              router.add(added);
            } else if (!each.add && known !== undefined) {
              bound.delete(each.pattern);
              router.remove(known);
            }
            const expected = [...bound.keys()].filter((p) => matches(words(p), words(each.key)));
            // Twice: the second answer is a remembered one.
            expect(routed(router, each.key)).toEqual(expected.sort());
            expect(routed(router, each.key)).toEqual(expected.sort());
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('hides system keys from a leading wildcard, where asked to', () => {
    const router = new TopicRouter(10);
    for (const p of ['#', '*.a', '$s.#', '$s.*']) router.add(bindingTo(p, p, true));
    expect(routed(router, '$s.a')).toEqual(['$s.#', '$s.*']);
    expect(routed(router, 's.a')).toEqual(['#', '*.a']);
  });

  it('keeps two bindings of one pattern apart', () => {
    const router = new TopicRouter(10);
    const [one, two] = [bindingTo('one', 'a.#'), bindingTo('two', 'a.#')];
    router.add(one);
    router.add(two);
    router.remove(one);
    expect(routed(router, 'a.b')).toEqual(['two']);
  });

  it('is not led into exponential work by many hashes', () => {
    const router = new TopicRouter(10);
    router.add(bindingTo('many', `${Array.from({ length: 16 }, () => '#.a').join('.')}.b`));
    expect(routed(router, Array.from({ length: 120 }, () => 'a').join('.'))).toEqual([]);
    expect(routed(router, `${Array.from({ length: 119 }, () => 'a').join('.')}.b`)).toEqual([
      'many',
    ]);
  });

  it('refuses a pattern whose hashes would cost every publisher dearly', () => {
    const router = new TopicRouter(10);
    const many = Array.from({ length: 17 }, () => '#').join('.a.');
    expect(() => router.add(bindingTo('many', many))).toThrow("more than 16 '#'");
    expect(routed(router, 'a')).toEqual([]);
  });

  it('takes patterns and keys of thousands of words', () => {
    const router = new TopicRouter(10);
    for (const letter of ['a', '*']) {
      const long = Array.from({ length: 32_000 }, () => letter).join('.');
      const added = bindingTo(letter, long);
      router.add(added);
      expect(routed(router, Array.from({ length: 32_000 }, () => 'a').join('.'))).toEqual([letter]);
      router.remove(added);
      expect(routed(router, 'a')).toEqual([]);
    }
  });
});
