/**
 * Stanza trees: the element type of `@xmpp/xml`, with strict accessors and our own serializer.
 *
 * The three content namespaces (RFC 6120 4.8.3: `jabber:client` and its likes) are written '' here
 * and stand as no `xmlns` at all in a tree, so that a stanza moves between TCP, WebSocket and
 * component streams without being touched.
 */
import { type Attributes, Element } from '@xmpp/xml';

export { type Attributes, Element };

const CONTENT_NAMESPACES = new Set(['jabber:client', 'jabber:server', 'jabber:component:accept']);

/**
 * An element in content's own namespace, or in the one that `attributes.xmlns` names. Nulls are
 * left out.
 */
export function element(
  name: string,
  attributes: Attributes = {},
  ...children: readonly (Element | string | null)[]
): Element {
  const made = new Element(name, attributes);
  for (const child of children) if (child !== null && child !== '') made.append(child);
  return made;
}

export function localName(of: Element): string {
  const colon = of.name.indexOf(':');
  return colon < 0 ? of.name : of.name.slice(colon + 1);
}

/** The namespace of an element; '' for the stream's content namespace. */
export function namespaceOf(of: Element): string {
  const colon = of.name.indexOf(':');
  const declaration = colon < 0 ? 'xmlns' : `xmlns:${of.name.slice(0, colon)}`;
  for (let at: Element | null = of; at !== null; at = at.parent) {
    const declared = at.attrs[declaration];
    if (declared !== undefined) return CONTENT_NAMESPACES.has(declared) ? '' : declared;
  }
  return '';
}

export function is(node: Element, name: string, namespace: string): boolean {
  return localName(node) === name && namespaceOf(node) === namespace;
}

/** Element children, without text. */
export function elementsOf(of: Element): Element[] {
  return of.children.filter((child): child is Element => typeof child !== 'string');
}

/** The first child of that name and namespace. */
export function childOf(of: Element, name: string, namespace: string): Element | undefined {
  for (const child of of.children) {
    if (typeof child !== 'string' && is(child, name, namespace)) return child;
  }
  return undefined;
}

/** All children of that name and namespace. */
export function childrenOf(of: Element, name: string, namespace: string): Element[] {
  return elementsOf(of).filter((child) => is(child, name, namespace));
}

/** The first child in a namespace, whatever its name: the payload of an iq. */
export function firstElement(of: Element): Element | undefined {
  for (const child of of.children) if (typeof child !== 'string') return child;
  return undefined;
}

/** Text of the first child of that name, or null. */
export function childText(of: Element, name: string, namespace: string): string | null {
  return childOf(of, name, namespace)?.getText() ?? null;
}

/** A copy of one level with other attributes; the children are shared by reference. */
export function withAttributes(of: Element, changes: Attributes): Element {
  const copy = new Element(of.name, of.attrs);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete copy.attrs[name];
    else copy.attrs[name] = value;
  }
  // Not append: that would move the children's parent, and they stay in the original too.
  copy.children = of.children;
  return copy;
}

/** A deep copy that means the same outside of its tree: inherited namespaces are declared on it. */
export function standalone(of: Element): Element {
  const copy = clone(of);
  const missing = new Set<string>();
  collectDeclarations(of, new Set(), missing);
  for (const declaration of missing) {
    for (let at = of.parent; at !== null; at = at.parent) {
      const declared = at.attrs[declaration];
      if (declared === undefined) continue;
      copy.attrs[declaration] = declared;
      break;
    }
  }
  return copy;
}

function clone(of: Element): Element {
  const copy = new Element(of.name, of.attrs);
  for (const child of of.children) copy.append(typeof child === 'string' ? child : clone(child));
  return copy;
}

/** Which `xmlns` declarations a subtree uses without making them itself. */
function collectDeclarations(of: Element, made: ReadonlySet<string>, missing: Set<string>): void {
  const known = new Set(made);
  for (const name of Object.keys(of.attrs)) if (name.startsWith('xmlns')) known.add(name);
  const used = [of.name, ...Object.keys(of.attrs).filter((name) => name.includes(':'))];
  for (const [index, name] of used.entries()) {
    const colon = name.indexOf(':');
    if (name.startsWith('xml') || (colon < 0 && index > 0)) continue;
    const declaration = colon < 0 ? 'xmlns' : `xmlns:${name.slice(0, colon)}`;
    if (!known.has(declaration)) missing.add(declaration);
  }
  for (const child of elementsOf(of)) collectDeclarations(child, known, missing);
}

const TEXT_ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\t': '&#x9;',
  '\n': '&#xA;',
  '\r': '&#xD;',
};

/**
 * Character data. A carriage return is written as a reference, or the reader would take it for a
 * newline (XML 2.11).
 */
export function escapeText(text: string): string {
  return /[&<>\r]/.test(text) ? text.replace(/[&<>\r]/g, (c) => TEXT_ESCAPES[c] ?? c) : text;
}

/** An attribute's value; white space other than the blank would be normalized away (XML 3.3.3). */
export function escapeAttribute(text: string): string {
  return /[&<>"'\t\n\r]/.test(text)
    ? text.replace(/[&<>"'\t\n\r]/g, (c) => TEXT_ESCAPES[c] ?? c)
    : text;
}

// Everything that XML 1.0 (section 2.2) does not allow, lone surrogates included.
const ILLEGAL =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** Whether text can stand in an XML document at all. */
export function isLegalText(text: string): boolean {
  return !ILLEGAL.test(text);
}

export function serialize(of: Element): string {
  const tag = `<${of.name}${serializeAttributes(of.attrs, null)}`;
  return of.children.length === 0 ? `${tag}/>` : `${tag}>${serializeChildren(of)}</${of.name}>`;
}

export function serializeChildren(of: Element): string {
  let text = '';
  for (const child of of.children) {
    text += typeof child === 'string' ? escapeText(child) : serialize(child);
  }
  return text;
}

/** ` a="1" b="2"`, without those named in `except`. */
export function serializeAttributes(
  attributes: Attributes,
  except: ReadonlySet<string> | null,
): string {
  let text = '';
  for (const name in attributes) {
    const value = attributes[name];
    if (value === undefined || except?.has(name) === true) continue;
    text += ` ${name}="${escapeAttribute(value)}"`;
  }
  return text;
}
