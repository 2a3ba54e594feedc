/** XEP-0184 in the name of places: a queue or exchange has got the message. */
import type { Domains } from './address.ts';
import { childOf, type Element, element, localName } from './element.ts';
import { parseJid } from './jid.ts';
import { NS } from './namespaces.ts';

/** The receipt for a message that was published; null where none is due. */
export function receiptOf(stanza: Element, domains: Domains): Element | null {
  const { id, from, to } = stanza.attrs;
  if (localName(stanza) !== 'message' || id === undefined || from === undefined) return null;
  if (childOf(stanza, 'request', NS.RECEIPTS) === undefined) return null;
  const place = parseJid(to ?? '')?.domain;
  if (place !== domains.queues && place !== domains.exchanges) return null;
  const received = element('received', { xmlns: NS.RECEIPTS, id });
  return element('message', { from: to, to: from, id: `received-${id}` }, received);
}
