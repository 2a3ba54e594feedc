import { describe, expect, it } from 'vitest';
import { Binding } from '../../../../core/embedded/binding.ts';
import { Exchange } from '../../../../core/embedded/exchange.ts';
import { fanout } from '../../../../core/embedded/exchanges/fanout.ts';
import { headers } from '../../../../core/embedded/exchanges/headers.ts';
import { Matches } from '../../../../core/embedded/matches.ts';
import { DEFAULT_LIMITS } from '../../../../core/limits.ts';
import { type Format, type HeaderValue, Message, Typed } from '../../../../core/message.ts';
import { Registry } from '../../../../core/registry.ts';
import { probing } from '../../../support/probing.ts';
import { args, binding, exchangeSpec } from '../../engine-contract.ts';

type Header = readonly [name: string, value: HeaderValue];
const PROBING = probing(new Registry('exchange type'), DEFAULT_LIMITS);
let stamp = 0;

/** Whether a binding with `wanted` takes a message with `present`. */
function takes(wanted: Readonly<Record<string, HeaderValue>>, present: readonly Header[]): boolean {
  const format: Format = {
    name: 'test',
    read: () => ({ headers: present }),
    write: () => Buffer.alloc(0),
  };
  const none = Buffer.alloc(0);
  const message = new Message(format, none, none, 'x', '', false, 0, 0, 0);
  const target = new Exchange(
    exchangeSpec('y', 'fanout'),
    fanout.create(exchangeSpec('y', 'fanout'), PROBING),
  );
  const router = headers.create(exchangeSpec('x', 'headers'), PROBING);
  const spec = { ...binding('x', 'y', ''), toExchange: true, arguments: args(wanted) };
  router.add(new Binding(spec, null, target));
  const found = new Matches();
  found.begin(++stamp);
  router.route(message, '', found);
  return found.hits > 0;
}

describe('a headers router', () => {
  it.each([
    ['all', [], false],
    ['all', [['a', 1]], false],
    [
      'all',
      [
        ['a', 1],
        ['b', 'x'],
      ],
      true,
    ],
    [
      'all',
      [
        ['a', 1],
        ['b', 'x'],
        ['c', 0],
      ],
      true,
    ],
    ['any', [], false],
    ['any', [['b', 'x']], true],
    ['any', [['b', 'y']], false],
  ] as const)('with x-match %s and %j answers %s', (match, present, expected) => {
    expect(takes({ 'x-match': match, a: 1, b: 'x' }, present)).toBe(expected);
  });

  it('takes all for its default, everything without arguments, nothing of any of none', () => {
    expect(takes({ a: 1, b: 2 }, [['a', 1]])).toBe(false);
    expect(takes({}, [])).toBe(true);
    expect(takes({ 'x-match': 'any' }, [['a', 1]])).toBe(false);
  });

  it('looks at x- headers only where told to', () => {
    expect(takes({ 'x-match': 'all', 'x-a': 1 }, [])).toBe(true);
    expect(takes({ 'x-match': 'all-with-x', 'x-a': 1 }, [])).toBe(false);
    expect(takes({ 'x-match': 'any', 'x-a': 1 }, [['x-a', 1]])).toBe(false);
    expect(takes({ 'x-match': 'any-with-x', 'x-a': 1 }, [['x-a', 1]])).toBe(true);
  });

  it('asks for presence only where the argument has no value', () => {
    expect(takes({ a: null }, [['a', 'whatever']])).toBe(true);
    expect(takes({ a: null }, [['b', 'whatever']])).toBe(false);
  });

  it('compares values, whatever the width of their integers', () => {
    const time = new Date(1000);
    const same: readonly (readonly [HeaderValue, HeaderValue])[] = [
      [5, 5n],
      [new Typed('b', 5), new Typed('l', 5n)],
      [Buffer.from('x'), Buffer.from('x')],
      [time, new Date(1000)],
      [
        [1, 'a'],
        [1n, 'a'],
      ],
      [new Map([['k', 1]]), new Map([['k', 1n]])],
    ];
    for (const [one, other] of same) expect(takes({ a: one }, [['a', other]])).toBe(true);
    const different: readonly (readonly [HeaderValue, HeaderValue])[] = [
      [5, '5'],
      [true, 'true'],
      [time, 1000],
      [[1], [1, 2]],
      [new Map([['k', 1]]), new Map([['l', 1]])],
      [Buffer.from('x'), 'x'],
    ];
    for (const [one, other] of different) expect(takes({ a: one }, [['a', other]])).toBe(false);
  });

  it('takes the first of a repeated header', () => {
    expect(
      takes({ a: 'first' }, [
        ['a', 'first'],
        ['a', 'second'],
      ]),
    ).toBe(true);
    expect(
      takes({ a: 'second' }, [
        ['a', 'first'],
        ['a', 'second'],
      ]),
    ).toBe(false);
  });

  it('refuses another x-match', () => {
    expect(() => takes({ 'x-match': 'some' }, [])).toThrow(
      'Invalid x-match field value <<"some">>',
    );
    expect(() => takes({ 'x-match': 1 }, [])).toThrow('Invalid x-match field type signedint');
  });
});
