import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addressFromReplyKey,
  addressToReplyKey,
  fitKey,
  keyToTopic,
  matches,
  patternToFilter,
  topicToKey,
  words,
} from '../../core/address.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 30 });
/** A legal MQTT topic: any text without wildcards. */
const topic = fc
  .string({ unit: fc.constantFrom('a', 'b', '/', '.', '*', 'é', ' ', '%'), maxLength: 20 })
  .filter((each) => each !== '');
const filter = fc
  .array(fc.constantFrom('a', 'b.c', '+', '', 'st*ar', '#'), { minLength: 1, maxLength: 6 })
  .map((levels) => levels.join('/'));
const word = fc.constantFrom('a', 'b', '', 'é');
const key = fc.array(word, { maxLength: 5 });
const pattern = fc.array(fc.oneof(word, fc.constantFrom('*', '#')), { maxLength: 5 });

describe('topics and keys', () => {
  test.each([
    ['sensors/room12', 'sensors.room12'],
    ['a.b/c', 'a/b.c'],
    ['st*ar', 'st+ar'],
    ['/a//b/', '.a..b.'],
    ['$SYS/x', '$SYS.x'],
  ])('%s is %s', (from, to) => {
    expect(topicToKey(from)).toBe(to);
    expect(keyToTopic(to)).toEqual({ topic: from, exact: true });
  });

  test('every topic comes back', () => {
    fc.assert(
      fc.property(topic, (each) => {
        expect(keyToTopic(topicToKey(each))).toEqual({ topic: each, exact: true });
      }),
    );
  });

  test('every filter comes back', () => {
    fc.assert(
      fc.property(filter, (each) => {
        expect(patternToFilter(topicToKey(each))).toBe(each);
      }),
    );
  });

  test('a key with wildcards becomes a topic without any, and says that it is not exact', () => {
    expect(keyToTopic('a.*.#')).toEqual({ topic: 'a/%2A/%23', exact: false });
    fc.assert(
      fc.property(text, (each) => {
        const made = keyToTopic(each);
        expect(made.topic).not.toMatch(/[#+]/.test(each) ? /#/ : /[#+]/);
        expect(made.exact).toBe(!/[*#]/.test(each));
      }),
    );
  });

  test('keys have as many words as dots and one, the empty key none', () => {
    expect(words('')).toEqual([]);
    expect(words('.')).toEqual(['', '']);
    expect(words('a..b')).toEqual(['a', '', 'b']);
  });
});

describe('matching', () => {
  test.each([
    ['a.b', 'a.b', true],
    ['a.b', 'a.c', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a', false],
    ['a.*', 'a.b.c', false],
    ['a.*', 'a.', true],
    ['a.#', 'a', true],
    ['a.#', 'a.b.c', true],
    ['#', '', true],
    ['#.b', 'a.a.b', true],
    ['#.b', 'b', true],
    ['#.b.#', 'a.c', false],
    ['*.#.*', 'a', false],
    ['', '', true],
    ['', 'a', false],
  ])('%j on %j: %s', (each, on, expected) => {
    expect(matches(words(each), words(on))).toBe(expected);
  });

  test('agrees with a regular expression', () => {
    fc.assert(
      fc.property(pattern, key, (parts, on) => {
        // Each word with its dot, so that "any number of words" is a plain repetition.
        const source = parts
          .map((part) =>
            part === '#' ? '(?:[^.]*\\.)*' : part === '*' ? '[^.]*\\.' : `${part}\\.`,
          )
          .join('');
        const expected = new RegExp(`^${source}$`).test(on.map((part) => `${part}.`).join(''));
        expect(matches(parts, on)).toBe(expected);
      }),
    );
  });

  test('a key is matched by itself', () => {
    fc.assert(fc.property(key, (each) => matches(each, each)));
  });
});

describe('keys that must be short', () => {
  test('stay as they are where they fit', () => {
    fc.assert(fc.property(text, (each) => fitKey(each, 200) === each));
  });

  test('are cut between words, never within a character', () => {
    expect(fitKey('alpha.beta.gamma', 12)).toBe('alpha.beta');
    expect(fitKey('alphabet', 5)).toBe('alpha');
    expect(fitKey('ééé', 3)).toBe('é');
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 40 }), (each, maxBytes) => {
        const cut = fitKey(each, maxBytes);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(maxBytes);
        expect(each.startsWith(cut)).toBe(true);
      }),
    );
  });
});

describe('reply keys', () => {
  test.each([
    ['', 'q', 'q'],
    ['amq.topic', 'a.b', 'amq.to:amq.topic/a.b'],
    ['x/y', 'k/z', 'amq.to:x%2Fy/k/z'],
    ['x%2F', '', 'amq.to:x%252F/'],
  ])('%s %s is %s', (exchange, routingKey, reply) => {
    expect(addressToReplyKey({ exchange, routingKey })).toBe(reply);
    expect(addressFromReplyKey(reply)).toEqual({ exchange, routingKey });
  });

  test('every address comes back', () => {
    const exchange = fc.oneof(text, fc.constantFrom('a/b', '%2F', '%25', 'amq.to:'));
    fc.assert(
      fc.property(exchange, text, (name, routingKey) => {
        fc.pre(name !== '' || !routingKey.startsWith('amq.to:'));
        const address = { exchange: name, routingKey };
        expect(addressFromReplyKey(addressToReplyKey(address))).toEqual(address);
      }),
    );
  });

  test('a prefix without an address is a queue of that name', () => {
    expect(addressFromReplyKey('amq.to:nothing')).toEqual({
      exchange: '',
      routingKey: 'amq.to:nothing',
    });
  });
});
