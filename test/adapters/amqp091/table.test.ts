import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decodeEntries,
  decodeTable,
  encodeTable,
  Notable,
  scanTable,
} from '../../../adapters/amqp091/table.ts';
import { Typed } from '../../../core/message.ts';
import { headers } from './values.ts';

test('every table is what it was after a round trip', () => {
  fc.assert(
    fc.property(headers, (entries) => {
      const bytes = encodeTable(entries);
      expect(bytes.readUInt32BE(0)).toBe(bytes.length - 4);
      scanTable(bytes, 4, bytes.length, 64);
      expect(decodeEntries(bytes, 4, bytes.length)).toEqual(entries);
    }),
  );
});

test('any bytes are either a table, which encodes to the same bytes, or an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), (array) => {
      const bytes = Buffer.from(array);
      try {
        scanTable(bytes, 0, bytes.length, 4);
      } catch (error) {
        expect(String(error)).toContain('AmqpError');
        return;
      }
      decodeEntries(bytes, 0, bytes.length);
    }),
    { numRuns: 2000 },
  );
});

const hex = (text: string): Buffer => Buffer.from(text.replace(/ /g, ''), 'hex');

test.each([
  ['t', '01', true],
  ['b', 'ff', new Typed('b', -1)],
  ['B', 'ff', new Typed('B', 255)],
  ['s', 'fffe', new Typed('s', -2)],
  ['u', 'fffe', new Typed('u', 65_534)],
  ['I', 'fffffffd', -3],
  ['i', 'fffffffd', new Typed('i', 4_294_967_293)],
  ['l', 'fffffffffffffffc', -4n],
  ['L', 'fffffffffffffffb', new Typed('L', -5n)],
  ['f', '3fc00000', new Typed('f', 1.5)],
  ['d', '3ff8000000000000', 1.5],
  ['d', '4000000000000000', new Typed('d', 2)],
  ['D', '020000007b', new Typed('D', hex('02 0000007b'))],
  ['S', '00000002 c3bc', 'ü'],
  ['S', '00000001 ff', new Typed('S', hex('ff'))],
  ['A', '00000002 7401', [true]],
  ['T', '0000000065000000', new Date(0x65000000 * 1000)],
  ['T', 'ffffffffffffffff', new Typed('T', 2n ** 64n - 1n)],
  ['F', '00000004 0161 7401', new Map([['a', true]])],
  ['V', '', null],
  ['x', '00000002 00ff', hex('00ff')],
])('%s %s is read for what it is, and written back', (letter, value, expected) => {
  const bytes = Buffer.concat([hex('01 6e'), Buffer.from(letter), hex(value)]);
  const entries = decodeEntries(bytes, 0, bytes.length);
  expect(entries).toEqual([['n', expected]]);
  expect(encodeTable(entries).subarray(4).toString('hex')).toBe(bytes.toString('hex'));
});

test('names that mean something are found, at the top only', () => {
  const scan = (entries: [string, Typed | string | Map<string, string>][]): number => {
    const bytes = encodeTable(entries);
    return scanTable(bytes, 4, bytes.length, 64);
  };
  expect(
    scan([
      ['CC', ''],
      ['BCC', ''],
    ]),
  ).toBe(Notable.CC | Notable.BCC);
  expect(
    scan([
      ['x-retain', ''],
      ['x-death', ''],
    ]),
  ).toBe(Notable.RETAIN);
  expect(
    scan([
      ['cc', ''],
      ['XCC', ''],
      ['inner', new Map([['CC', '']])],
    ]),
  ).toBe(Notable.NONE);
});

test('the last of repeated names counts in the table of a method', () => {
  const bytes = encodeTable([
    ['a', 1],
    ['a', 2],
  ]).subarray(4);
  expect(decodeTable(bytes, 64).get('a')).toBe(2);
});

test('numbers that do not fit their type wrap instead of failing', () => {
  const bytes = encodeTable([
    ['b', new Typed('b', 300)],
    ['u', new Typed('u', -1)],
    ['D', new Typed('D', 5)],
    ['T', new Date(Number.NaN)],
    ['l', 2 ** 60],
  ]);
  expect(decodeTable(bytes.subarray(4), 64)).toEqual(
    new Map<string, unknown>([
      ['b', new Typed('b', 44)],
      ['u', new Typed('u', 65_535)],
      ['D', new Typed('D', Buffer.alloc(5))],
      ['T', new Date(0)],
      ['l', 2 ** 60],
    ]),
  );
});
