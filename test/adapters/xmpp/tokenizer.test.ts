import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  childOf,
  element,
  namespaceOf,
  serialize,
  standalone,
} from '../../../adapters/xmpp/element.ts';
import {
  NO_PREFIXES,
  parseElement,
  parseStartTag,
  XmlError,
} from '../../../adapters/xmpp/tokenizer.ts';

function conditionOf(xml: string): string {
  try {
    parseElement(xml, NO_PREFIXES);
  } catch (error) {
    if (error instanceof XmlError) return error.condition;
    throw error;
  }
  return 'accepted';
}

describe('what is refused', () => {
  test.each([
    ['<a', 'not-well-formed'],
    ['<a>', 'not-well-formed'],
    ['<a></b>', 'not-well-formed'],
    ['<a><b></a></b>', 'not-well-formed'],
    ['<a/><b/>', 'not-well-formed'],
    ["<a x='1' x='2'/>", 'not-well-formed'],
    ["<a x='1'y='2'/>", 'not-well-formed'],
    ['<a x=1/>', 'not-well-formed'],
    ["<a x='<'/>", 'not-well-formed'],
    ['<a b/>', 'not-well-formed'],
    ['<p:a/>', 'not-well-formed'],
    ["<a p:x='1'/>", 'not-well-formed'],
    ["<a xmlns:p=''/>", 'not-well-formed'],
    ["<a xmlns:xml='urn:x'/>", 'not-well-formed'],
    ["<a xmlns:xmlns='urn:x'/>", 'not-well-formed'],
    ["<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>", 'not-well-formed'],
    ['<a:b:c/>', 'not-well-formed'],
    ['<1a/>', 'not-well-formed'],
    ['<a>]]></a>', 'not-well-formed'],
    ['<a>\u0001</a>', 'not-well-formed'],
    ['<a>\uffff</a>', 'not-well-formed'],
    ['<a>&#0;</a>', 'not-well-formed'],
    ['<a>&#xD800;</a>', 'not-well-formed'],
    ['<a>&#x110000;</a>', 'not-well-formed'],
    ['<a>& </a>', 'not-well-formed'],
    ['<a>&amp</a>', 'restricted-xml'],
    ['<a>&lol;</a>', 'restricted-xml'],
    ["<a x='&nbsp;'/>", 'restricted-xml'],
    ['<a><!-- c --></a>', 'restricted-xml'],
    ['<a><?pi?></a>', 'restricted-xml'],
    ['<a><!DOCTYPE b></a>', 'restricted-xml'],
  ])('%j is %s', (xml, condition) => {
    expect(conditionOf(xml)).toBe(condition);
  });
});

test('references, CDATA and line ends are read as XML says', () => {
  const node = parseElement(
    "<a ver='&lt;&#65;\t\n\"'>x&amp;&#x1F600;\r\ny\rz<![CDATA[<&>]]>!</a>",
    NO_PREFIXES,
  );
  expect(node.attrs.ver).toBe('<A  "');
  expect(node.getText()).toBe('x&\u{1F600}\ny\nz<&>!');
});

test('a prefix of the stream header is declared on the element that uses it', () => {
  const node = parseElement('<s:a><s:b/></s:a>', new Map([['s', 'urn:s']]));
  expect(serialize(node)).toBe('<s:a xmlns:s="urn:s"><s:b/></s:a>');
  expect(namespaceOf(node)).toBe('urn:s');
});

test('an element taken out of its tree keeps its namespace', () => {
  const tree = parseElement(
    "<a xmlns='urn:a' xmlns:p='urn:p'><b p:x='1'><c xmlns='urn:c'/></b></a>",
    NO_PREFIXES,
  );
  const inner = childOf(tree, 'b', 'urn:a');
  if (inner === undefined) throw new Error('no b');
  const copy = standalone(inner);
  expect(namespaceOf(copy)).toBe('urn:a');
  expect(parseElement(serialize(copy), NO_PREFIXES).attrs['p:x']).toBe('1');
});

test('a start tag alone is a stream header', () => {
  expect(parseStartTag("<stream:stream xmlns:stream='urn:s' to='x'>").attrs.to).toBe('x');
  expect(() => parseStartTag("<a x='1'> ")).toThrow(XmlError);
});

const text = fc
  .string({ unit: 'grapheme' })
  .filter((value) => !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(value));

test('what is serialized is read back', () => {
  fc.assert(
    fc.property(text, text, (attribute, content) => {
      const node = element(
        'a',
        { ver: attribute, xmlns: 'urn:x' },
        element('b', {}, content),
        'tail',
      );
      const read = parseElement(serialize(node), NO_PREFIXES);
      expect(read.attrs.ver).toBe(attribute);
      expect(childOf(read, 'b', 'urn:x')?.getText()).toBe(content);
      expect(serialize(read)).toBe(serialize(node));
    }),
  );
});

test('an attribute named like a property of objects does no harm', () => {
  const node = parseElement("<a constructor='1' toString='2'><hasOwnProperty/></a>", NO_PREFIXES);
  expect(node.attrs.toString).toBe('2');
  expect(serialize(node)).toContain('constructor="1"');
});
