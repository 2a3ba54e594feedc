import { describe, expect, it } from 'vitest';
import { compilePattern } from '../../core/pattern.ts';

describe('a pattern as Perl has it', () => {
  it.each([
    ['^orders\\.', 'orders.new', true],
    ['^orders\\.', 'ordersnew', false],
    ['', 'anything', true],
    ['(?i)^ORDERS$', 'orders', true],
    ['\\Aa\\z', 'a', true],
    ['\\Aa\\z', 'ab', false],
    ['^[[:alnum:]_]+$', 'a_1', true],
    ['^[^[:digit:]]+$', 'a1', false],
    ['(?P<who>a)\\-b', 'a-b', true],
    ['a\\\\Ab', 'a\\Ab', true],
    ['^\\p{L}+$', 'été', true],
  ])('%s on %s: %s', (pattern, name, found) => {
    expect(compilePattern(pattern).test(name)).toBe(found);
  });

  it.each(['(', '[', 'a**', '(?x) a', 'a\\hb', '\\Qa.b\\E', '(?>a)', 'a++'])(
    '%s is none',
    (pattern) => {
      expect(() => compilePattern(pattern)).toThrow(SyntaxError);
    },
  );
});
