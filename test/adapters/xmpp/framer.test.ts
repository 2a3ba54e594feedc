import { describe, expect, test } from 'vitest';
import { Framer } from '../../../adapters/xmpp/framer.ts';
import { XmlError } from '../../../adapters/xmpp/tokenizer.ts';
import { SeededRandom } from '../../support/seeded-random.ts';

class Recorder {
  readonly pieces: string[] = [];
  open = true;
  header(text: string): void {
    this.pieces.push(`header ${text}`);
  }
  element(text: string): void {
    this.pieces.push(`element ${text}`);
  }
  footer(): void {
    this.pieces.push('footer');
  }
}

const STREAM =
  '<?xml version="1.0" encoding="UTF-8"?>\n<stream:stream a="<>">'.replace('<>', '>') +
  " \n<iq/><message a='/>\"'><body>é€😀</body><x/></message>\n" +
  '<presence><![CDATA[</presence>]]]]><y></y></presence></stream:stream>';

const PIECES = [
  'header <stream:stream a=">">',
  'element <iq/>',
  "element <message a='/>\"'><body>é€😀</body><x/></message>",
  'element <presence><![CDATA[</presence>]]]]><y></y></presence>',
  'footer',
];

function push(
  chunks: readonly Buffer[],
  framed: boolean = false,
  bytesMax: number = 1000,
): string[] {
  const recorder = new Recorder();
  const framer = new Framer(recorder, framed, bytesMax, 5);
  for (const chunk of chunks) {
    framer.push(chunk);
    // The transport may reuse its buffer.
    chunk.fill(0);
  }
  return recorder.pieces;
}

function conditionOf(text: string, framed: boolean = false, bytesMax: number = 1000): string {
  try {
    push([Buffer.from(text)], framed, bytesMax);
  } catch (error) {
    if (error instanceof XmlError) return error.condition;
    throw error;
  }
  return 'accepted';
}

test('cuts a stream into header, elements and footer', () => {
  expect(push([Buffer.from(STREAM)])).toEqual(PIECES);
});

test('cuts the same wherever the input is split', () => {
  const bytes = Buffer.from(STREAM);
  for (let at = 0; at <= bytes.length; at++) {
    expect(push([Buffer.from(bytes.subarray(0, at)), Buffer.from(bytes.subarray(at))])).toEqual(
      PIECES,
    );
  }
  expect(push(Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(PIECES);
  const random = new SeededRandom(7);
  for (let round = 0; round < 200; round++) {
    const chunks: Buffer[] = [];
    for (let from = 0; from < bytes.length; ) {
      const to = from + 1 + random.below(20);
      chunks.push(Buffer.from(bytes.subarray(from, to)));
      from = to;
    }
    expect(push(chunks)).toEqual(PIECES);
  }
});

test('takes elements one by one where the transport has frames', () => {
  expect(push([Buffer.from('<open/> <a><b/></a>')], true)).toEqual([
    'element <open/>',
    'element <a><b/></a>',
  ]);
});

describe('what is refused', () => {
  test.each([
    ['GET / HTTP/1.1\r\n', 'not-well-formed'],
    ['<s>text', 'bad-format'],
    ['<s><!DOCTYPE x>', 'restricted-xml'],
    ['<!DOCTYPE x><s>', 'restricted-xml'],
    ['<s><a><!-- x --></a>', 'restricted-xml'],
    ['<s><?pi?>', 'restricted-xml'],
    ['<?php echo?><s>', 'restricted-xml'],
    ['<?xml version="1.0" encoding="latin1"?><s>', 'unsupported-encoding'],
    ['</s>', 'not-well-formed'],
    ['<s/>', 'not-well-formed'],
    ['<s><a <b>', 'not-well-formed'],
    ['<s><a><b><c><d><e><f>', 'policy-violation'],
  ])('%j is %s', (text, condition) => {
    expect(conditionOf(text)).toBe(condition);
  });

  test('bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([
      Buffer.from('<s><a>'),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('</a>'),
    ]);
    expect(() => push([bytes])).toThrow('not UTF-8');
  });

  test('an element over the limit, whole or still coming', () => {
    const body = 'x'.repeat(100);
    expect(conditionOf(`<s><a>${body}</a>`, false, 90)).toBe('policy-violation');
    expect(conditionOf(`<s><a>${body}`, false, 90)).toBe('policy-violation');
    expect(conditionOf(`<s>${' '.repeat(200)}<a/>`, false, 90)).toBe('accepted');
  });
});

test('stops in the middle of a chunk once the handler is closed', () => {
  const recorder = new Recorder();
  const framer = new Framer(
    {
      header: () => {},
      element: (text) => {
        recorder.element(text);
        recorder.open = false;
      },
      footer: () => {},
      get open() {
        return recorder.open;
      },
    },
    false,
    1000,
    5,
  );
  framer.push(Buffer.from('<s><a/><b/>'));
  expect(recorder.pieces).toEqual(['element <a/>']);
});

test('a new stream begins after restart', () => {
  const recorder = new Recorder();
  const framer = new Framer(recorder, false, 1000, 5);
  framer.push(Buffer.from('<s><a/>'));
  framer.restart();
  framer.push(Buffer.from("<?xml version='1.0'?><t><b/></t>"));
  expect(recorder.pieces).toEqual([
    'header <s>',
    'element <a/>',
    'header <t>',
    'element <b/>',
    'footer',
  ]);
});
