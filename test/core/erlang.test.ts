import { describe, expect, it } from 'vitest';
import { pairsText, termText } from '../../core/erlang.ts';

describe('a value as Erlang prints it', () => {
  it.each([
    ['abc', '<<"abc">>'],
    ['say "a\\b"', '<<"say \\"a\\\\b\\"">>'],
    ['é', '<<"é"/utf8>>'],
    ['a\n', '<<97,10>>'],
    [1, '1'],
    [1.5, '1.5'],
    [true, 'true'],
    [null, 'null'],
    [undefined, 'undefined'],
    [[1, 'a'], '[1,<<"a">>]'],
    [{ a: 1 }, '#{<<"a">> => 1}'],
  ])('%j', (value, text) => {
    expect(termText(value)).toBe(text);
  });

  it('and pairs', () => {
    expect(
      pairsText([
        ['a', 1],
        ['b', ['c']],
      ]),
    ).toBe('[{<<"a">>,1},{<<"b">>,[<<"c">>]}]');
  });
});
