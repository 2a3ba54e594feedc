import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Format, type Headers, Message, type Properties, Typed } from '../../core/message.ts';
import { parseSelector } from '../../core/selector.ts';

function message(headers: Headers, properties: Partial<Properties> = {}): Message {
  const format: Format = {
    name: 'test',
    read: () => ({ ...properties, headers }),
    write: () => Buffer.alloc(0),
  };
  return new Message(format, Buffer.alloc(0), Buffer.alloc(0), 'x', 'the.key', true, 6, 0, 5000);
}

const SAMPLE = message(
  [
    ['colour', 'red'],
    ['size', 12],
    ['weight', '3.5'],
    ['long', 9_007_199_254_740_991n],
    ['small', new Typed('b', 5)],
    ['yes', true],
    ['no', 'false'],
    ['quote', "it's"],
    ['percent', '50%'],
    ['x-dash', 'd'],
    ['bytes', Buffer.from('x')],
  ],
  { type: 'order', correlationId: 'c1', messageId: 'm1', timestamp: 7, contentType: 'text/plain' },
);

function selects(text: string): boolean {
  return parseSelector(text).matches(SAMPLE);
}

describe('selectors', () => {
  test.each([
    "colour = 'red'",
    "colour <> 'blue'",
    "colour != 'blue'",
    "NOT colour = 'blue'",
    'size > 10 AND size < 13',
    'size >= 12 and size <= 12',
    'size = 12.0',
    'size = 0x0C',
    'size BETWEEN 10 AND 12',
    'size NOT BETWEEN 13 AND 20',
    "colour IN ('blue', 'red')",
    "colour NOT IN ('blue', 'green')",
    "colour LIKE 'r%'",
    "colour LIKE 'r_d'",
    "colour NOT LIKE 'b%'",
    "percent LIKE '50!%' ESCAPE '!'",
    "quote = 'it''s'",
    'missing IS NULL',
    'colour IS NOT NULL',
    'size + 2 * 3 = 18',
    '(size + 2) * 3 = 42',
    '-size = -12',
    '- -size = 12',
    'size / 5 = 2.4',
    'size - 2 - 3 = 7',
    'weight > 3',
    'weight = 3.5',
    'long > 1e15',
    'small = 5',
    'yes',
    'yes = TRUE',
    'NOT no',
    'no = false',
    "colour = 'blue' OR size = 12",
    "colour = 'red' OR missing = 1",
    'NOT (missing = 1 AND FALSE)',
    "JMSType = 'order'",
    'JMSPriority = 6',
    "JMSDeliveryMode = 'PERSISTENT'",
    "JMSCorrelationID = 'c1'",
    "JMSMessageID = 'm1'",
    'JMSTimestamp = 7000',
    "JMSDestination = 'the.key'",
    '"content-type" = \'text/plain\'',
    '"x-dash" = \'d\'',
    '\tsize\n=\r\n12 ',
    'TRUE',
    "colour < 'rode'",
    '.5 < 1.5e0d',
  ])('%s selects', (text) => {
    expect(selects(text)).toBe(true);
  });

  test.each([
    "colour = 'RED'",
    'missing = 1',
    'NOT missing = 1',
    'missing <> 1',
    'missing BETWEEN 1 AND 2',
    'NOT missing BETWEEN 1 AND 2',
    "missing LIKE '%'",
    "missing NOT IN ('a')",
    'missing = 1 OR missing = 2',
    'missing + 1 = 1',
    'colour',
    'colour = 1',
    'colour > 1',
    'size',
    "colour LIKE 'r'",
    "colour LIKE 'red_'",
    "percent LIKE '5!%' ESCAPE '!'",
    'bytes IS NOT NULL',
    'FALSE',
    'NULL',
    'no',
  ])('%s does not select', (text) => {
    expect(selects(text)).toBe(false);
  });

  test.each([
    ['', 'it ends too early'],
    ['a =', 'it ends too early'],
    ['a = = b', "unexpected '=' at 5"],
    ['(a = 1', 'it ends too early'],
    ['a = 1)', "unexpected ')' at 6"],
    ['a LIKE 1', "unexpected '1' at 8"],
    ["a LIKE 'x' ESCAPE 'xy'", 'ESCAPE takes one character'],
    ['a IN ()', "unexpected ')' at 7"],
    ['a NOT = 1', "unexpected '=' at 7"],
    ['and', "unexpected 'and' at 1"],
    ["'open", "unexpected ''' at 1"],
    ['a ~ b', "unexpected '~' at 3"],
    [`${'('.repeat(500)}a${')'.repeat(500)}`, 'it is nested too deeply'],
    [`a = ${'1 + '.repeat(1500)}1`, 'it is too long'],
    ['x'.repeat(9000), 'it is too long'],
  ])('%# is refused, and says where', (text, reason) => {
    expect(() => parseSelector(text)).toThrow(reason);
  });

  test('LIKE agrees with a regular expression', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 });
    const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '%', '_'), maxLength: 8 });
    fc.assert(
      fc.property(letters, patterns, (value, pattern) => {
        const expected = new RegExp(`^${pattern.replaceAll('%', '.*').replaceAll('_', '.')}$`).test(
          value,
        );
        const selector = parseSelector(`v LIKE '${pattern}'`);
        expect(selector.matches(message([['v', value]]))).toBe(expected);
      }),
    );
  });

  test('a pattern of many wildcards does not take for ever', () => {
    const selector = parseSelector(`v LIKE '${'%a'.repeat(100)}b'`);
    expect(selector.matches(message([['v', 'a'.repeat(5000)]]))).toBe(false);
  });

  test('whatever is given is read or refused, never worse', () => {
    const parts = fc.constantFrom(
      'a',
      '1',
      "'s'",
      '(',
      ')',
      'AND',
      'OR',
      'NOT',
      'IN',
      'LIKE',
      'IS',
      'NULL',
      'BETWEEN',
      '=',
      '<',
      '-',
      ',',
      '"',
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 12 }), (words) => {
        try {
          expect(typeof parseSelector(words.join(' ')).matches(SAMPLE)).toBe('boolean');
        } catch (error) {
          expect(error).toMatchObject({ code: 'precondition-failed' });
        }
      }),
    );
  });
});
