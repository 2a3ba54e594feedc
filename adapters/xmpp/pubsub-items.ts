/**
 * Items of pubsub nodes as messages, and back (mapping, section 4). An item that holds
 * `<message xmlns='jabber:client'>` is that message; any other payload is a body of that XML with
 * the content type `application/xml`, and goes out again as the element it was.
 */
import type { Message } from '../../core/message.ts';
import { childOf, Element, element, elementsOf, is, serialize, standalone } from './element.ts';
import { bodyOf, nativeOf, type XmppFormat } from './format.ts';
import { NS } from './namespaces.ts';
import { senderOf } from './wire.ts';

const XML_TYPE = 'application/xml';

/** The property bytes and the body of a published item. */
export function itemContent(
  payload: Element | undefined,
  id: string,
  from: string,
): { readonly native: Buffer; readonly body: Buffer; readonly stanza: Element } {
  if (payload !== undefined && is(payload, 'message', '')) {
    const stanza = standalone(payload);
    stanza.attrs.id = id;
    return { native: nativeOf(stanza, from), body: bodyOf(stanza), stanza };
  }
  const stanza = element('message', { id });
  if (payload === undefined)
    return { native: nativeOf(stanza, from), body: Buffer.alloc(0), stanza };
  const alone = standalone(payload);
  stanza.append(
    alone,
    element('headers', { xmlns: NS.SHIM }, element('header', { name: 'Content-Type' }, XML_TYPE)),
  );
  return { native: nativeOf(stanza, from), body: Buffer.from(serialize(alone)), stanza };
}

/** Stands for the payload of an item that has none: a body of nothing would be a retraction. */
export function emptyItem(id: string): Element {
  return element('item', { xmlns: NS.PUBSUB, id });
}

/** The item that a message is, with its payload where that is wanted. */
export function itemElement(
  message: Message,
  format: XmppFormat,
  now: number,
  namespace: string,
  withPayload: boolean,
): Element {
  const native = message.as(format, now);
  const { stanza } = format.parse(native);
  const publisher = senderOf(native, format);
  const item = new Element('item', { id: itemId(message, stanza) });
  // XEP-0060 7.1.2.3; only what XMPP wrote names a JID that may be trusted.
  if (namespace === NS.PUBSUB_EVENT && publisher !== '') item.attrs.publisher = publisher;
  const payload = withPayload ? payloadOf(message, stanza, publisher) : null;
  if (payload !== null && !is(payload, 'item', NS.PUBSUB)) item.append(payload);
  return item;
}

export function itemId(message: Message, stanza: Element): string {
  return stanza.attrs.id ?? `at-${message.receivedAt.toString(36)}`;
}

function payloadOf(message: Message, stanza: Element, publisher: string): Element {
  if (childOf(stanza, 'body', '') === undefined && message.properties.contentType === XML_TYPE) {
    const found = elementsOf(stanza).find((child) => !is(child, 'headers', NS.SHIM));
    if (found !== undefined) return standalone(found);
  }
  const copy = new Element('message', { ...stanza.attrs, xmlns: NS.CLIENT });
  if (publisher !== '') copy.attrs.from = publisher;
  copy.children = stanza.children;
  return copy;
}

/** What a topic keeps nothing of any more: an empty retained message. */
export function isRetraction(message: Message): boolean {
  return message.retain && message.body.length === 0;
}
