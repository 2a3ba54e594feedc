import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  correlationFrom,
  correlationText,
  fromStrings,
  HEADER_TYPES,
  isText,
  letterOf,
  plain,
  toStrings,
  toText,
} from '../../core/envelope.ts';
import {
  type Format,
  type Headers,
  type HeaderValue,
  Message,
  type Properties,
  Typed,
} from '../../core/message.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 12 });
/** 32-bit and fractional numbers: what AMQP reads other integers as is a bigint or Typed. */
const number = fc.oneof(
  fc.integer(),
  fc.double({ noNaN: true }).filter((each) => letterOf(each) === 'd'),
);
const leaf: fc.Arbitrary<HeaderValue> = fc.oneof(
  text,
  number,
  fc.boolean(),
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.uint8Array({ maxLength: 10 }).map((bytes) => Buffer.from(bytes)),
  fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => new Date(seconds * 1000)),
  fc
    .tuple(fc.constantFrom('b', 'B', 's', 'u', 'i'), fc.integer({ min: 0, max: 127 }))
    .map(([letter, value]) => new Typed(letter, value)),
  fc.float({ noNaN: true }).map((value) => new Typed('f', value)),
  fc
    .tuple(fc.integer({ min: 0, max: 6 }), fc.integer())
    .map(([scale, value]) => decimal(scale, value)),
);
const { value } = fc.letrec<{ value: HeaderValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .uniqueArray(fc.tuple(text, tie('value')), { selector: ([name]) => name, maxLength: 4 })
      .map((entries) => new Map(entries)),
  ),
}));
const headers = fc.uniqueArray(fc.tuple(text, value), {
  selector: ([name]) => name,
  maxLength: 5,
});

function decimal(scale: number, value: number): Typed {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(scale, 0);
  bytes.writeInt32BE(value, 1);
  return new Typed('D', bytes);
}

function back(given: Headers): Headers {
  return fromStrings(toStrings(given));
}

describe('headers as strings', () => {
  test('strings need no types', () => {
    expect(toStrings([['a', 'b']])).toEqual([['a', 'b']]);
  });

  test.each([
    [1, '1', 'I'],
    [1.5, '1.5', 'd'],
    [true, 'true', 't'],
    [null, '', 'V'],
    [5n, '5', 'l'],
    [new Typed('L', -5n), '-5', 'L'],
    [new Typed('b', 5), '5', 'b'],
    [decimal(2, -105), '-1.05', 'D'],
    [Buffer.from('hi'), 'aGk=', 'x'],
    [new Date(5000), '5', 'T'],
    [['a', 1], '["a",1]', 'A'],
    [new Map([['a', 'b']]), '{"a":"b"}', 'F'],
    [new Map([['a', 5n]]), '{"a":5}', { a: 'l' }],
    [[new Date(5000), 'x'], '[5,"x"]', ['T', '']],
  ] satisfies [HeaderValue, string, unknown][])('%s is %s of type %j', (given, written, type) => {
    const [header, types] = toStrings([['h', given]]);
    expect(header).toEqual(['h', written]);
    expect(JSON.parse(types?.[1] ?? '')).toEqual({ h: type });
    expect(back([['h', given]])).toEqual([['h', given]]);
  });

  test('come back exactly, whatever they are', () => {
    fc.assert(
      fc.property(headers, (given) => {
        fc.pre(given.every(([name]) => name !== HEADER_TYPES));
        expect(back(given)).toEqual(given);
      }),
      { numRuns: 500 },
    );
  });

  test('repeated names come back in order', () => {
    const given: Headers = [
      ['a', 1],
      ['b', 'x'],
      ['a', 2],
      ['a', 'text'],
    ];
    expect(back(given)).toEqual(given);
  });

  test('a type that does not fit its text leaves the text', () => {
    const types: [string, string] = [
      HEADER_TYPES,
      '{"a":"I","b":"t","c":"A","d":"D","e":"l","f":"?","g":{"x":"I"},"h":7}',
    ];
    const texts: [string, string][] = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) => [
      name,
      'nonsense',
    ]);
    expect(fromStrings([...texts, types])).toEqual(texts);
  });

  test.each(['nonsense', '[]', 'null', '1', ''])(
    'types of %j are a header like any other',
    (types) => {
      const given: [string, string][] = [
        ['a', '1'],
        [HEADER_TYPES, types],
      ];
      expect(fromStrings(given)).toEqual(given);
    },
  );

  test('names of objects are names', () => {
    const given: Headers = [
      ['__proto__', 1],
      ['constructor', new Map([['__proto__', 5n]])],
      ['toString', 'x'],
    ];
    expect(back(given)).toEqual(given);
  });

  test('anything may come as types without harm', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text)), fc.json(), (texts, types) => {
        const read = fromStrings([...texts, [HEADER_TYPES, types]]);
        expect(read.length).toBeGreaterThanOrEqual(texts.length);
      }),
    );
    const deep = `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`;
    expect(
      fromStrings([
        ['a', '['.repeat(5000) + ']'.repeat(5000)],
        [HEADER_TYPES, deep],
      ]).length,
    ).toBe(1);
  });
});

describe('values', () => {
  test('plain() takes types away', () => {
    expect(plain(new Typed('b', 5))).toBe(5);
    expect(plain(5n)).toBe(5);
    expect(plain(2n ** 60n)).toBe(2n ** 60n);
    expect(plain(decimal(1, 15))).toBe('1.5');
    expect(plain('x')).toBe('x');
  });

  test('toText() is what a person would write', () => {
    expect([1, 'x', true, null, 5n].map((each) => toText(each))).toEqual([
      '1',
      'x',
      'true',
      '',
      '5',
    ]);
  });

  test('letters tell integers by their size and fractions from them', () => {
    expect([1, 2 ** 31, 1.5, Number.NaN, -0, 2 ** 60].map(letterOf)).toEqual([
      'I',
      'l',
      'd',
      'd',
      'd',
      'd',
    ]);
  });
});

describe('correlation ids', () => {
  test('are text where they can be', () => {
    expect(correlationFrom(Buffer.from('é'))).toBe('é');
    const bytes = Buffer.from([0xff, 0xfe]);
    expect(correlationFrom(bytes)).toBe(bytes);
    expect(correlationText('x')).toEqual({ text: 'x', bytes: false });
    expect(correlationText(bytes)).toEqual({ text: '//4=', bytes: true });
  });
});

describe('text', () => {
  function says(body: Buffer | string, properties: Partial<Properties>): boolean {
    const format: Format = {
      name: 'test',
      read: () => ({ headers: [], ...properties }),
      write: () => Buffer.alloc(0),
    };
    return isText(new Message(format, Buffer.alloc(0), Buffer.from(body), '', '', false, 0, 0, 0));
  }

  test.each([
    ['text/plain', true],
    ['TEXT/html', true],
    ['application/json', true],
    ['application/json; charset=utf-8', true],
    ['application/vnd.api+json', true],
    ['application/soap+xml; action=x', true],
    ['image/svg+xml', true],
    ['application/x-thing;charset=UTF-8', true],
    ['application/octet-stream', false],
    ['image/png', false],
    ['application/jsonish', false],
  ])('%s is text: %s', (contentType, expected) => {
    expect(says('x', { contentType })).toBe(expected);
  });

  test('is what the publisher says, and never what is no UTF-8', () => {
    expect(says('x', {})).toBe(true);
    expect(says('x', { text: false })).toBe(false);
    expect(says('x', { text: true, contentType: 'image/png' })).toBe(true);
    expect(says(Buffer.from([0xff]), { text: true, contentType: 'text/plain' })).toBe(false);
  });
});
