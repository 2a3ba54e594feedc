/** Stanzas ready to be written, and what happens to them afterwards. */
import type { Clock } from '../../core/clock.ts';
import type { Message } from '../../core/message.ts';
import { type Element, element, escapeAttribute, serialize } from './element.ts';
import type { XmppFormat } from './format.ts';
import { NS } from './namespaces.ts';
import { parseStartTag } from './tokenizer.ts';

/**
 * Pieces of one serialized stanza. The first is text that begins `<name `, without an `xmlns` of
 * its own.
 */
export type Wire = readonly [string, ...(string | Buffer)[]];

/**
 * Told exactly once what became of a stanza: XEP-0198's acknowledgement, or the write where there
 * is none.
 */
export interface Receipt {
  acknowledged(): void;
  /** The session ended before the client acknowledged it. */
  lost(): void;
  /** The other server sent it back, with that error condition. Where it is missing: `lost`. */
  refused?(condition: string): void;
}

export function wireOf(stanza: Element): Wire {
  return [serialize(stanza)];
}

/** A message of the engine's as a stanza; `extra` is appended to its children. */
export function messageWire(native: Buffer, from: string, to: string, extra: string): Wire {
  const head = `<message from="${escapeAttribute(from)}" to="${escapeAttribute(to)}"`;
  return [head, native.subarray(native.indexOf(10) + 1), `${extra}</message>`];
}

/** The stanza's own tag, with its attributes. */
export function startOf(wire: Wire): Element {
  let text = '';
  for (const piece of wire) {
    text += typeof piece === 'string' ? piece : piece.toString('utf8');
    // Our serializer escapes it everywhere else.
    const end = text.indexOf('>');
    if (end >= 0) return parseStartTag(text.slice(0, end + 1));
  }
  return parseStartTag(text);
}

/** The escaped sender in native bytes is put back as text. */
export function senderOf(native: Buffer, format: XmppFormat): string {
  const line = native.indexOf(10);
  if (line === 0) return '';
  const escaped = native.toString('utf8', 0, line);
  return escaped.includes('&') ? format.parse(native).from : escaped;
}

/** The stanza's type as it is in the head of the native bytes. */
export function typeOfNative(native: Buffer): string {
  const head = native.toString('utf8', native.indexOf(10) + 1, native.indexOf('>'));
  return / type="([a-z]*)"/.exec(head)?.[1] ?? 'normal';
}

/** XEP-0203: when a message came in that waited. */
export function delay(message: Message, from: string): Element {
  return delayAt(message.receivedAt, from);
}

export function delayAt(at: number, from: string | undefined): Element {
  const by = from === undefined ? {} : { from };
  return element('delay', { xmlns: NS.DELAY, ...by, stamp: new Date(at).toISOString() });
}

/** XEP-0082 date and time in UTC, without fractions. */
export function stampOf(clock: Clock): string {
  return stampAt(clock.now());
}

export function stampAt(at: number): string {
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
}
