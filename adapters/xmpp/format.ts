/**
 * How a message's properties are written in XMPP (mapping, section 4, "XMPP in detail").
 *
 *     native = FROM "\\n" ATTRIBUTES ">" CHILDREN
 *
 * is the stanza `<message from=… to=…ATTRIBUTES>CHILDREN</message>` with its addresses cut out:
 * FROM is the escaped sender, empty where the message came from another protocol. A stanza leaves
 * with three writes, its content untouched. The body is inside CHILDREN too, as `<body>` or
 * `<payload>`.
 */
import { XMPP_EXCHANGE } from '../../core/address.ts';
import {
  correlationText,
  fromStrings,
  HEADER_TYPES,
  isText,
  toStrings,
} from '../../core/envelope.ts';
import type { Address, Format, Headers, Message, Properties } from '../../core/message.ts';
import { addressOfJid, type Domains, domainsOf, jidOfAddress } from './address.ts';
import {
  childOf,
  childrenOf,
  childText,
  type Element,
  element,
  escapeAttribute,
  isLegalText,
  serializeAttributes,
  serializeChildren,
} from './element.ts';
import { parseJid, unescapeLocal } from './jid.ts';
import { NS } from './namespaces.ts';
import { NO_PREFIXES, parseElement } from './tokenizer.ts';

/** SHIM headers that stand for a property; a user header of such a name is prefixed. */
const RESERVED = new Set([
  'Content-Type',
  'Content-Encoding',
  'Correlation-ID',
  'Reply-To',
  'Message-ID',
  'Timestamp',
  'Priority',
  'Expiration',
  'TTL',
  'Type',
  'App-ID',
  'User-ID',
  'Retain',
  HEADER_TYPES,
]);
const USER_PREFIX = 'x-user-';
const STANZA_TYPES = new Set(['normal', 'chat', 'headline', 'groupchat']);
const ADDRESSING = new Set(['from', 'to', 'xmlns']);

const formats = new Map<string, XmppFormat>();

/** The format for a domain: always the same object. */
export function xmppFormat(domain: string): XmppFormat {
  let format = formats.get(domain);
  if (format === undefined) {
    format = new XmppFormat(domainsOf(domain));
    formats.set(domain, format);
  }
  return format;
}

export class XmppFormat implements Format {
  readonly name = 'xmpp';
  readonly #domains: Domains;

  constructor(domains: Domains) {
    this.#domains = domains;
  }

  read(message: Message): Properties {
    const { from, stanza } = this.parse(message.native);
    const shim = shimHeaders(stanza);
    const named = new Map(shim.map((header) => [header.name, header.text]));
    const payload = childOf(stanza, 'payload', NS.PAYLOAD);
    const json = childOf(stanza, 'json', NS.JSON);
    return {
      contentType:
        named.get('Content-Type') ??
        payload?.attrs['content-type'] ??
        (json === undefined ? undefined : 'application/json'),
      contentEncoding: named.get('Content-Encoding'),
      text: payload === undefined ? hasText(stanza) : false,
      correlationId: correlationOf(stanza, shim),
      replyTo: this.#replyTo(named.get('Reply-To'), from),
      messageId: named.get('Message-ID') ?? stanza.attrs.id,
      timestamp: timestampOf(stanza, named.get('Timestamp')),
      type: named.get('Type') ?? typeOf(stanza),
      userId: this.#userId(from) ?? named.get('User-ID'),
      appId: named.get('App-ID'),
      headers: userHeaders(stanza, shim),
    };
  }

  write(message: Message, now: number): Buffer {
    const properties = message.properties;
    const { type, messageId } = properties;
    const stanza = element('message');
    const shim = new Shim();
    if (type !== undefined && STANZA_TYPES.has(type)) stanza.attrs.type = type;
    else if (type !== undefined) shim.add('Type', type);
    if (messageId !== undefined) {
      if (messageId !== '' && isLegalText(messageId)) stanza.attrs.id = messageId;
      else shim.add('Message-ID', messageId);
    }
    for (const part of subjectOf(properties.headers)) stanza.append(part);
    writeBody(stanza, message);
    writeCorrelation(stanza, shim, properties.correlationId);
    this.#writeProperties(shim, message, now);
    for (const [name, text] of toStrings(properties.headers)) {
      const collides =
        name !== HEADER_TYPES && (RESERVED.has(name) || name.startsWith(USER_PREFIX));
      shim.add(collides ? USER_PREFIX + name : name, text);
    }
    if (shim.element !== null) stanza.append(shim.element);
    // XEP-0334 is how XMPP says that a message is transient.
    if (!message.durable) stanza.append(element('no-permanent-store', { xmlns: NS.HINTS }));
    return nativeOf(stanza, '');
  }

  /** The stanza in `native`, and who sent it; '' for another protocol. */
  parse(native: Buffer): { readonly from: string; readonly stanza: Element } {
    const text = native.toString('utf8');
    const line = text.indexOf('\n');
    const head = parseElement(`<from jid="${text.slice(0, line)}"/>`, NO_PREFIXES);
    const stanza = parseElement(`<message${text.slice(line + 1)}</message>`, NO_PREFIXES);
    return { from: head.attrs.jid ?? '', stanza };
  }

  #writeProperties(shim: Shim, message: Message, now: number): void {
    const properties = message.properties;
    shim.add('Content-Type', properties.contentType);
    shim.add('Content-Encoding', properties.contentEncoding);
    const reply =
      properties.replyTo === undefined ? null : jidOfAddress(properties.replyTo, this.#domains);
    shim.add('Reply-To', reply?.full);
    shim.add('Timestamp', properties.timestamp?.toString());
    if (message.priority > 0) shim.add('Priority', String(message.priority));
    if (message.expiresAt > 0) shim.add('Expiration', String(Math.max(0, message.expiresAt - now)));
    shim.add('App-ID', properties.appId);
    shim.add('User-ID', properties.userId);
    if (message.retain) shim.add('Retain', 'true');
  }

  /** Where an answer goes: as the sender says, else to the sender. */
  #replyTo(said: string | undefined, from: string): Address | undefined {
    const jid = parseJid(said ?? from);
    if (jid === null) return undefined;
    return addressOfJid(jid, this.#domains) ?? { exchange: XMPP_EXCHANGE, routingKey: jid.full };
  }

  /**
   * An account's name, which its login vouches for: a header of the client's own counts for
   * nothing.
   */
  #userId(from: string): string | undefined {
    const jid = from === '' ? null : parseJid(from);
    if (jid === null || jid.domain !== this.#domains.host || jid.local === '') return undefined;
    return unescapeLocal(jid.local);
  }
}

/** The native bytes of a stanza that `from` sent. */
export function nativeOf(stanza: Element, from: string): Buffer {
  return Buffer.from(
    `${escapeAttribute(from)}\n${serializeAttributes(stanza.attrs, ADDRESSING)}>${serializeChildren(stanza)}`,
  );
}

/** The bytes that other protocols see as the body. */
export function bodyOf(stanza: Element): Buffer {
  const payload = childOf(stanza, 'payload', NS.PAYLOAD);
  if (payload !== undefined && payload.attrs.encoding === 'base64') {
    return Buffer.from(payload.getText(), 'base64');
  }
  const text = childText(stanza, 'json', NS.JSON) ?? childText(stanza, 'body', '');
  return Buffer.from(payload?.getText() ?? text ?? '');
}

/** The value of one SHIM header, or undefined. */
export function shimHeader(stanza: Element, name: string): string | undefined {
  return shimHeaders(stanza).find((header) => header.name === name)?.text;
}

interface ShimHeader {
  readonly name: string;
  readonly text: string;
  readonly encoded: boolean;
}

/** XEP-0131; text that XML cannot carry travels as base64, which an attribute of ours says. */
function shimHeaders(stanza: Element): ShimHeader[] {
  const headers = childOf(stanza, 'headers', NS.SHIM);
  if (headers === undefined) return [];
  return childrenOf(headers, 'header', NS.SHIM).map((header) => {
    const encoded = header.attrs.encoding === 'base64';
    const raw = header.getText();
    const name = header.attrs.name ?? '';
    return {
      name: header.attrs['name-encoding'] === 'base64' ? decode(name) : name,
      text: encoded ? decode(raw) : raw,
      encoded,
    };
  });
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}

function userHeaders(stanza: Element, shim: readonly ShimHeader[]): Headers {
  const texts: [string, string][] = [];
  const subject = childText(stanza, 'subject', '');
  if (subject !== null && !shim.some((header) => header.name === 'subject')) {
    texts.push(['subject', subject]);
  }
  for (const { name, text } of shim) {
    if (name === HEADER_TYPES) texts.push([name, text]);
    else if (name.startsWith(USER_PREFIX)) texts.push([name.slice(USER_PREFIX.length), text]);
    else if (!RESERVED.has(name)) texts.push([name, text]);
  }
  return fromStrings(texts);
}

/**
 * A header `subject` shows as the stanza's subject; where it stood among the others stays in SHIM.
 */
function subjectOf(headers: Headers): Element[] {
  const first = headers.find(([name]) => name === 'subject');
  const text = first?.[1];
  return typeof text === 'string' && isLegalText(text) ? [element('subject', {}, text)] : [];
}

function hasText(stanza: Element): boolean | undefined {
  const found = childOf(stanza, 'body', '') ?? childOf(stanza, 'json', NS.JSON);
  return found === undefined ? undefined : true;
}

function typeOf(stanza: Element): string | undefined {
  const type = stanza.attrs.type;
  return type !== undefined && (STANZA_TYPES.has(type) || type === 'error') ? type : undefined;
}

function correlationOf(stanza: Element, shim: readonly ShimHeader[]): string | Buffer | undefined {
  const header = childOf(stanza, 'headers', NS.SHIM);
  const raw = header === undefined ? undefined : rawHeader(header, 'Correlation-ID');
  if (raw !== undefined && raw.attrs.encoding === 'base64') {
    const bytes = Buffer.from(raw.getText(), 'base64');
    return raw.attrs.kind === 'bytes' ? bytes : bytes.toString('utf8');
  }
  const said = shim.find(({ name }) => name === 'Correlation-ID')?.text;
  return said ?? childText(stanza, 'thread', '') ?? undefined;
}

function rawHeader(headers: Element, name: string): Element | undefined {
  return childrenOf(headers, 'header', NS.SHIM).find((header) => header.attrs.name === name);
}

function writeCorrelation(stanza: Element, shim: Shim, id: string | Buffer | undefined): void {
  if (id === undefined) return;
  const { text, bytes } = correlationText(id);
  if (bytes) shim.addBytes('Correlation-ID', text);
  else if (isLegalText(text)) stanza.append(element('thread', {}, ...(text === '' ? [] : [text])));
  else shim.add('Correlation-ID', text);
}

function writeBody(stanza: Element, message: Message): void {
  if (isText(message)) {
    const text = message.body.toString('utf8');
    if (isLegalText(text)) {
      // No body at all is a message with nothing to show; an empty one of another protocol stays
      // one.
      stanza.append(element('body', {}, ...(text === '' ? [] : [text])));
      return;
    }
  }
  const attributes = { xmlns: NS.PAYLOAD, encoding: 'base64' };
  const { contentType } = message.properties;
  const type = contentType !== undefined && isLegalText(contentType) ? contentType : undefined;
  stanza.append(element('body', {}, `[${message.body.length} bytes of ${type ?? 'data'}]`));
  stanza.append(
    element(
      'payload',
      { ...attributes, ...(type === undefined ? {} : { 'content-type': type }) },
      message.body.toString('base64'),
    ),
  );
}

function timestampOf(stanza: Element, said: string | undefined): number | undefined {
  if (said !== undefined && /^\d{1,15}$/.test(said)) return Number(said);
  const stamp = said ?? childOf(stanza, 'delay', NS.DELAY)?.attrs.stamp;
  const parsed = stamp === undefined ? Number.NaN : Date.parse(stamp);
  return Number.isNaN(parsed) ? undefined : Math.floor(parsed / 1000);
}

/** Collects headers; the element exists once there is one. */
class Shim {
  element: Element | null = null;

  add(name: string, text: string | undefined): void {
    if (text === undefined) return;
    const legal = isLegalText(text);
    this.#header(name, legal ? text : Buffer.from(text).toString('base64'), legal ? {} : ENCODED);
  }

  addBytes(name: string, base64: string): void {
    this.#header(name, base64, { ...ENCODED, kind: 'bytes' });
  }

  #header(name: string, text: string, attributes: Readonly<Record<string, string>>): void {
    this.element ??= element('headers', { xmlns: NS.SHIM });
    const naming = isLegalText(name)
      ? { name }
      : { name: Buffer.from(name).toString('base64'), 'name-encoding': 'base64' };
    this.element.append(
      element('header', { ...naming, ...attributes }, ...(text === '' ? [] : [text])),
    );
  }
}

const ENCODED = { encoding: 'base64' } as const;
