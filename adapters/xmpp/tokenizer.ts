/**
 * Text of one XML element to a tree, as strict as RFC 6120 11 asks: no document type, comment or
 * processing instruction, no entities but the five predefined ones, namespaces well-formed. The
 * framer has found the element's end before; whatever does not fit is an `XmlError` that names the
 * stream error to send.
 */
import { Element } from './element.ts';

/** Stream error conditions that the XML itself can cause (RFC 6120 4.9.3). */
export type XmlCondition =
  | 'bad-format'
  | 'not-well-formed'
  | 'restricted-xml'
  | 'policy-violation'
  | 'unsupported-encoding';

export class XmlError extends Error {
  override readonly name = 'XmlError';
  readonly condition: XmlCondition;

  constructor(condition: XmlCondition, message: string) {
    super(message);
    this.condition = condition;
  }
}

/** Prefixes bound outside of the element: by the stream header. */
export type Prefixes = ReadonlyMap<string, string>;

export const NO_PREFIXES: Prefixes = new Map();

const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace';
const XMLNS_NAMESPACE = 'http://www.w3.org/2000/xmlns/';

// XML 1.0 fifth edition, production 5, with at most one colon (Namespaces in XML, production 7).
const NAME_START =
  'A-Z_a-z\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u02FF\\u0370-\\u037D\\u037F-\\u1FFF\\u200C\\u200D' +
  '\\u2070-\\u218F\\u2C00-\\u2FEF\\u3001-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFFD\\u{10000}-\\u{EFFFF}';
const NC_NAME = `[${NAME_START}][${NAME_START}\\-.0-9\\u00B7\\u0300-\\u036F\\u203F\\u2040]*`;
const NAME = new RegExp(`${NC_NAME}(?::${NC_NAME})?`, 'uy');
const SPACE = /[ \t\r\n]*/y;
const ENTITY = /&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,8})|#x([0-9a-fA-F]{1,8}));/y;
const ILLEGAL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
const PREDEFINED: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

/**
 * A whole element. Prefixes that it uses and `outer` binds are declared on it, so that it stands
 * alone.
 */
export function parseElement(text: string, outer: Prefixes): Element {
  const tokenizer = new Tokenizer(text, outer);
  return tokenizer.document();
}

/** A start tag only: the stream header. */
export function parseStartTag(text: string): Element {
  return new Tokenizer(text, NO_PREFIXES).startTagOnly();
}

class Tokenizer {
  readonly #text: string;
  readonly #outer: Prefixes;
  #at = 0;
  #selfClosed = false;
  #root: Element | null = null;

  constructor(text: string, outer: Prefixes) {
    if (ILLEGAL.test(text)) throw malformed('illegal character');
    this.#text = text;
    this.#outer = outer;
  }

  startTagOnly(): Element {
    const tag = this.#startTag(null);
    if (this.#at !== this.#text.length) throw malformed('data after the start tag');
    return tag;
  }

  document(): Element {
    const root = this.#startTag(null);
    if (!this.#selfClosed) this.#content(root);
    if (this.#at !== this.#text.length) throw malformed('data after the element');
    return root;
  }

  #content(root: Element): void {
    const text = this.#text;
    let open: Element | null = root;
    while (open !== null) {
      const tag = text.indexOf('<', this.#at);
      if (tag < 0) throw malformed('unclosed element');
      if (tag > this.#at) this.#characters(open, text.slice(this.#at, tag));
      this.#at = tag;
      const next = text.charCodeAt(tag + 1);
      if (next === 0x2f) {
        this.#endTag(open);
        open = open.parent;
      } else if (next === 0x21) {
        this.#characterData(open);
      } else {
        const child = this.#startTag(open);
        if (!this.#selfClosed) open = child;
      }
    }
  }

  #characters(parent: Element, raw: string): void {
    if (raw.includes(']]>')) throw malformed(']]> in character data');
    addText(parent, references(endOfLines(raw)));
  }

  #characterData(parent: Element): void {
    if (!this.#text.startsWith('<![CDATA[', this.#at)) throw restricted('markup declaration');
    const end = this.#text.indexOf(']]>', this.#at);
    if (end < 0) throw malformed('unclosed CDATA section');
    addText(parent, endOfLines(this.#text.slice(this.#at + 9, end)));
    this.#at = end + 3;
  }

  #endTag(open: Element): void {
    this.#at += 2;
    if (this.#name() !== open.name) throw malformed(`${open.name} is not closed`);
    this.#space();
    if (this.#text[this.#at] !== '>') throw malformed('end tag');
    this.#at++;
  }

  #startTag(parent: Element | null): Element {
    if (this.#text[this.#at] !== '<') throw malformed('element expected');
    if (this.#text[this.#at + 1] === '?') throw restricted('processing instruction');
    if (this.#text[this.#at + 1] === '!') throw restricted('markup declaration');
    this.#at++;
    const tag = new Element(this.#name());
    this.#root ??= tag;
    let prefixed = false;
    for (;;) {
      const before = this.#at;
      this.#space();
      const character = this.#text[this.#at];
      if (character === '>') break;
      if (character === '/') {
        this.#at++;
        if (this.#text[this.#at] !== '>') throw malformed('tag');
        break;
      }
      if (this.#at === before) throw malformed('white space expected between attributes');
      const name = this.#attribute(tag);
      prefixed ||= name.includes(':');
    }
    this.#selfClosed = this.#text[this.#at - 1] === '/';
    this.#at++;
    if (parent !== null) parent.append(tag);
    if (prefixed || tag.name.includes(':')) this.#checkPrefixes(tag);
    return tag;
  }

  #attribute(tag: Element): string {
    const name = this.#name();
    this.#space();
    if (this.#text[this.#at] !== '=') throw malformed(`value of ${name}`);
    this.#at++;
    this.#space();
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'") throw malformed(`quote around ${name}`);
    const end = this.#text.indexOf(quote, this.#at + 1);
    if (end < 0) throw malformed(`value of ${name}`);
    const raw = this.#text.slice(this.#at + 1, end);
    if (raw.includes('<')) throw malformed('< in an attribute');
    if (Object.hasOwn(tag.attrs, name)) throw malformed(`${name} twice`);
    const value = /[\t\r\n]/.test(raw) ? raw.replace(/\r\n|[\t\r\n]/g, ' ') : raw;
    tag.attrs[name] = references(value);
    this.#at = end + 1;
    return name;
  }

  /** Namespaces in XML, sections 3, 5 and 6.3. */
  #checkPrefixes(tag: Element): void {
    const expanded = new Set<string>();
    for (const name of Object.keys(tag.attrs)) {
      const colon = name.indexOf(':');
      if (colon < 0) continue;
      const prefix = name.slice(0, colon);
      if (prefix === 'xmlns') {
        checkDeclaration(name.slice(6), tag.attrs[name] ?? '');
        continue;
      }
      const full = `${this.#resolve(tag, prefix)} ${name.slice(colon + 1)}`;
      if (expanded.has(full)) throw malformed(`${name} twice`);
      expanded.add(full);
    }
    const colon = tag.name.indexOf(':');
    if (colon >= 0) this.#resolve(tag, tag.name.slice(0, colon));
  }

  #resolve(tag: Element, prefix: string): string {
    if (prefix === 'xml') return XML_NAMESPACE;
    if (prefix === 'xmlns') throw malformed('xmlns is no prefix');
    for (let at: Element | null = tag; at !== null; at = at.parent) {
      const bound = at.attrs[`xmlns:${prefix}`];
      if (bound !== undefined) return bound;
    }
    const outer = this.#outer.get(prefix);
    if (outer === undefined || this.#root === null) throw malformed(`unbound prefix ${prefix}`);
    this.#root.attrs[`xmlns:${prefix}`] = outer;
    return outer;
  }

  #name(): string {
    NAME.lastIndex = this.#at;
    const found = NAME.exec(this.#text);
    if (found === null) throw malformed('name expected');
    this.#at += found[0].length;
    return found[0];
  }

  #space(): void {
    SPACE.lastIndex = this.#at;
    SPACE.exec(this.#text);
    this.#at = SPACE.lastIndex;
  }
}

/** Adjacent pieces (text, CDATA) become one. */
function addText(parent: Element, text: string): void {
  const last = parent.children.length - 1;
  const before = parent.children[last];
  if (typeof before === 'string') parent.children[last] = before + text;
  else if (text !== '') parent.children.push(text);
}

/** XML 2.11. */
function endOfLines(text: string): string {
  return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
}

function references(raw: string): string {
  let from = raw.indexOf('&');
  if (from < 0) return raw;
  let text = '';
  let done = 0;
  for (; from >= 0; from = raw.indexOf('&', done)) {
    ENTITY.lastIndex = from;
    const found = ENTITY.exec(raw);
    if (found === null) {
      // RFC 6120 11.1: a reference to an entity of one's own is restricted, anything else is
      // broken.
      throw /^&[A-Za-z_]/.test(raw.slice(from, from + 2))
        ? restricted('entity reference')
        : malformed('character reference');
    }
    text += raw.slice(done, from) + referenced(found);
    done = ENTITY.lastIndex;
  }
  return text + raw.slice(done);
}

function referenced(found: RegExpExecArray): string {
  const [, name, decimal, hexadecimal] = found;
  if (name !== undefined) return PREDEFINED[name] ?? '';
  const code = decimal === undefined ? Number.parseInt(hexadecimal ?? '', 16) : Number(decimal);
  const legal =
    code === 9 ||
    code === 10 ||
    code === 13 ||
    (code >= 0x20 && code <= 0xd7ff) ||
    (code >= 0xe000 && code <= 0xfffd) ||
    (code >= 0x10000 && code <= 0x10ffff);
  if (!legal) throw malformed('reference to an illegal character');
  return String.fromCodePoint(code);
}

function checkDeclaration(prefix: string, namespace: string): void {
  const wrong =
    prefix === 'xmlns' ||
    namespace === '' ||
    namespace === XMLNS_NAMESPACE ||
    (prefix === 'xml') !== (namespace === XML_NAMESPACE);
  if (wrong) throw malformed(`declaration of prefix ${prefix}`);
}

function malformed(what: string): XmlError {
  return new XmlError('not-well-formed', what);
}

function restricted(what: string): XmlError {
  return new XmlError('restricted-xml', what);
}
