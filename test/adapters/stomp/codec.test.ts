import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Decoder } from '../../../adapters/stomp/codec.ts';
import { StompError } from '../../../adapters/stomp/errors.ts';
import { headerName } from '../../../adapters/stomp/header-name.ts';
import {
  escapeName,
  escapeText,
  unescapeText,
  type Version,
} from '../../../adapters/stomp/text.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../core/limits.ts';

// Names are known from the moment that somebody asks for them.
const A = headerName('a');
const B = headerName('b');

interface Parsed {
  readonly command: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

/** Feeds pieces as a connection does: each only until the next. */
function decode(
  pieces: readonly Buffer[],
  version: Version = 2,
  limits: Partial<Limits> = {},
): Parsed[] {
  const decoder = new Decoder({ ...DEFAULT_LIMITS, ...limits });
  decoder.version = version;
  const parsed: Parsed[] = [];
  for (const piece of pieces) {
    const chunk = Buffer.from(piece);
    decoder.feed(chunk);
    for (let frame = decoder.next(); frame !== null; frame = decoder.next()) {
      const headers: [string, string][] = [];
      for (let index = 0; index < frame.headerCount; index++) {
        headers.push([frame.name(index), frame.value(index)]);
      }
      parsed.push({ command: frame.command, headers, body: frame.body.toString('latin1') });
    }
    decoder.keep();
    // Whatever was not copied would show.
    chunk.fill(0x58);
  }
  return parsed;
}

function refusal(
  text: string | Buffer,
  version: Version = 2,
  limits: Partial<Limits> = {},
): string {
  try {
    decode([Buffer.from(text)], version, limits);
  } catch (error) {
    if (error instanceof StompError) return error.detail.trim();
    throw error;
  }
  return 'none';
}

const STREAM = Buffer.concat([
  Buffer.from('\n\r\n\0CONNECT\naccept-version:1.2\npasscode:a\\nb\n\n\0'),
  Buffer.from('\n\nSEND\r\ndestination:/queue/a\r\ncontent-length:5\r\n\r\na\0b\0c\0\r\n'),
  Buffer.from('SEND\ndestination:/queue/é\nx\\cy:1\\\\2\nx\\cy:twice\nempty:\n\nhello\n\0'),
  Buffer.from('SUBSCRIBE\nid:1\n\n\0DISCONNECT\n\n\0\n'),
]);

const EXPECTED: readonly Parsed[] = [
  {
    command: 'CONNECT',
    headers: [
      ['accept-version', '1.2'],
      ['passcode', 'a\\nb'],
    ],
    body: '',
  },
  {
    command: 'SEND',
    headers: [
      ['destination', '/queue/a'],
      ['content-length', '5'],
    ],
    body: 'a\0b\0c',
  },
  {
    command: 'SEND',
    headers: [
      ['destination', '/queue/é'],
      ['x:y', '1\\2'],
      ['x:y', 'twice'],
      ['empty', ''],
    ],
    body: 'hello\n',
  },
  { command: 'SUBSCRIBE', headers: [['id', '1']], body: '' },
  { command: 'DISCONNECT', headers: [], body: '' },
];

describe('decoding', () => {
  test('reads frames that come together', () => {
    expect(decode([STREAM])).toEqual(EXPECTED);
  });

  test('reads frames that come byte by byte', () => {
    expect(decode([...STREAM].map((byte) => Buffer.from([byte])))).toEqual(EXPECTED);
  });

  test('reads frames in two pieces, wherever they are cut', () => {
    for (let cut = 0; cut <= STREAM.length; cut++) {
      expect(decode([STREAM.subarray(0, cut), STREAM.subarray(cut)])).toEqual(EXPECTED);
    }
  });

  test('reads frames in any pieces', () => {
    const pieces = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(pieces, (sizes) => {
        const cut: Buffer[] = [];
        let at = 0;
        for (const size of sizes) {
          cut.push(STREAM.subarray(at, at + size));
          at += size;
        }
        cut.push(STREAM.subarray(at));
        expect(decode(cut)).toEqual(EXPECTED);
      }),
    );
  });

  test('the first of repeated headers counts', () => {
    const decoder = new Decoder(DEFAULT_LIMITS);
    decoder.feed(Buffer.from('SEND\na:1\na:2\n\n\0'));
    expect(decoder.next()?.get(A)).toBe('1');
  });

  test('a frame that is kept survives its chunk', () => {
    const decoder = new Decoder(DEFAULT_LIMITS);
    const chunk = Buffer.from('SEND\na:1\nb:2\n\nbody\0');
    decoder.feed(chunk);
    const frame = decoder.next();
    frame?.own();
    decoder.keep();
    chunk.fill(0);
    expect(frame?.get(B)).toBe('2');
    expect(frame?.body.toString()).toBe('body');
  });

  test('a large body that arrives in pieces is put together in linear time', () => {
    const body = Buffer.alloc(4 * 1024 * 1024, 0x61);
    const head = Buffer.from(`SEND\ncontent-length:${body.length}\n\n`);
    const whole = Buffer.concat([head, body, Buffer.from([0])]);
    const pieces: Buffer[] = [];
    for (let at = 0; at < whole.length; at += 1000) pieces.push(whole.subarray(at, at + 1000));
    expect(decode(pieces)[0]?.body.length).toBe(body.length);
    const open = Buffer.concat([Buffer.from('SEND\n\n'), body, Buffer.from([0])]);
    const parts: Buffer[] = [];
    for (let at = 0; at < open.length; at += 1000) parts.push(open.subarray(at, at + 1000));
    expect(decode(parts)[0]?.body.length).toBe(body.length);
  });

  test('1.0 has no escapes, and blanks before values are not meant', () => {
    const [frame] = decode([Buffer.from('SEND\na:  x\\n\\q\n\n\0')], 0);
    expect(frame?.headers).toEqual([['a', 'x\\n\\q']]);
  });

  test.each([
    ['an escape of nobody', 'SEND\na:\\t\n\n\0', 2],
    ['an escape of 1.2 in 1.1', 'SEND\na:\\r\n\n\0', 1],
    ['an escape in a name', 'SEND\n\\x:1\n\n\0', 1],
    ['a lone backslash', 'SEND\na:\\\n\n\0', 2],
  ] as const)('refuses %s', (_, text, version) => {
    expect(refusal(text, version)).toBe('Malformed frame: an undefined escape sequence');
  });

  test.each([
    ['a header without a colon', 'SEND\nnonsense\n\n\0', 'a header line without a colon'],
    ['a header without a name', 'SEND\n:x\n\n\0', 'a header without a name'],
    ['a NUL in the headers', 'SEND\na:b\0', 'a NUL within the headers'],
    [
      'a length that is no number',
      'SEND\ncontent-length:-1\n\n\0',
      'content-length is not a number',
    ],
    ['a body longer than it says', 'SEND\ncontent-length:1\n\nab\0', 'no NUL behind the body'],
    ['a command that never ends', 'x'.repeat(100), 'a line is too long'],
    ['a long command', `${'x'.repeat(100)}\n`, 'the command is too long'],
  ])('refuses %s', (_, text, reason) => {
    expect(refusal(text)).toBe(`Malformed frame: ${reason}`);
  });

  test.each([
    ['headers', { stompHeadersMax: 2 }, 'SEND\na:1\nb:2\nc:3\n\n\0', 'too many headers'],
    [
      'a line',
      { stompHeaderBytesMax: 10 },
      `SEND\na:${'x'.repeat(20)}\n\n\0`,
      'a line is too long',
    ],
    [
      'an unfinished line',
      { stompHeaderBytesMax: 10 },
      `SEND\na:${'x'.repeat(20)}`,
      'a line is too long',
    ],
    [
      'all lines',
      { stompHeadBytesMax: 15 },
      'SEND\naaaaa:1\nbbbbb:2\n\n\0',
      'the headers are too long',
    ],
  ])('bounds %s', (_, limits, text, reason) => {
    expect(refusal(text, 2, limits)).toBe(`Malformed frame: ${reason}`);
  });

  test('bounds the body before it is there, and while it has no end', () => {
    const limits = { messageBytesMax: 10 };
    const reason = 'The body is larger than the limit of 10 bytes';
    expect(refusal('SEND\ncontent-length:11\n\n', 2, limits)).toBe(reason);
    expect(refusal(`SEND\n\n${'x'.repeat(11)}`, 2, limits)).toBe(reason);
    expect(refusal('SEND\n\n0123456789\0', 2, limits)).toBe('none');
  });
});

describe('escapes', () => {
  test.each([1, 2] as const)('come back in version 1.%i', (version) => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const sayable = text.replaceAll('\0', '');
        const written = escapeText(sayable, version);
        expect(written).not.toMatch(version === 2 ? /[\n\r:]/ : /[\n:]/);
        expect(unescapeText(written, version)).toBe(sayable);
      }),
    );
  });

  test('never end a header, in any version', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom(0, 1, 2), (text, version) => {
        expect(escapeText(text, version as Version)).not.toMatch(/[\n\0]/);
        expect(escapeName(text, version as Version)).not.toMatch(/[\n:\0]/);
      }),
    );
  });
});
