import fc from 'fast-check';
import { letterOf } from '../../../core/envelope.ts';
import { type HeaderValue, Typed } from '../../../core/message.ts';

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const integer = (letter: string, min: number, max: number): fc.Arbitrary<HeaderValue> =>
  fc.integer({ min, max }).map((value) => new Typed(letter, value));

const plainValue: fc.Arbitrary<HeaderValue> = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.boolean(),
  fc.integer(),
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }).map((date) => {
    return new Date(Math.floor(date.getTime() / 1000) * 1000);
  }),
  bytes,
  fc
    .double({ noNaN: true })
    .map((value) => (letterOf(value) === 'd' ? value : new Typed('d', value))),
);

const typedValue: fc.Arbitrary<HeaderValue> = fc.oneof(
  integer('b', -128, 127),
  integer('B', 0, 255),
  integer('s', -32_768, 32_767),
  integer('u', 0, 65_535),
  integer('i', 0, 2 ** 32 - 1),
  fc.float({ noNaN: true }).map((value) => new Typed('f', value)),
  fc.uint8Array({ minLength: 5, maxLength: 5 }).map((array) => new Typed('D', Buffer.from(array))),
  bytes
    .filter((each) => each.toString('utf8').includes('\ufffd'))
    .map((each) => new Typed('S', each)),
  fc.constant(new Typed('T', 2n ** 64n - 1n)),
);

/** Any value of a header table, in the form in which decoding makes it. */
export const headerValue: fc.Arbitrary<HeaderValue> = fc.letrec<{ value: HeaderValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    plainValue,
    typedValue,
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .array(fc.tuple(fc.string({ maxLength: 10 }), tie('value')), { maxLength: 4 })
      .map((entries) => new Map(entries)),
  ),
})).value;

export const headers: fc.Arbitrary<[string, HeaderValue][]> = fc.array(
  fc.tuple(fc.string({ unit: 'grapheme', maxLength: 20 }), headerValue),
  { maxLength: 6 },
);
