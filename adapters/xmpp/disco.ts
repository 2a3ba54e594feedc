/** XEP-0030: what there is, and what it can do. Everything listed works. */
import { type Element, element } from './element.ts';
import type { Host } from './host.ts';
import { NS } from './namespaces.ts';
import { errorReply, resultReply } from './stanza-error.ts';

export interface Identity {
  readonly category: string;
  readonly type: string;
  readonly name: string;
}

const HOST_FEATURES = [
  NS.DISCO_INFO,
  NS.DISCO_ITEMS,
  NS.PING,
  NS.VERSION,
  NS.TIME,
  NS.LAST,
  NS.ROSTER,
  NS.PRIVATE,
  NS.VCARD,
  NS.CARBONS,
  NS.BLOCKING,
  'urn:xmpp:carbons:rules:0',
  'msgoffline',
];

const ACCOUNT_FEATURES = [NS.ARCHIVE, `${NS.ARCHIVE}#extended`, NS.STANZA_IDS];

export function infoResult(
  iq: Element,
  node: string | undefined,
  identity: Identity,
  features: readonly string[],
  ...more: readonly Element[]
): Element {
  const { category, type, name } = identity;
  return resultReply(
    iq,
    element(
      'query',
      { xmlns: NS.DISCO_INFO, ...(node === undefined ? {} : { node }) },
      element('identity', { category, type, name }),
      ...features.map((feature) => element('feature', { var: feature })),
      ...more,
    ),
  );
}

export function itemsResult(
  iq: Element,
  node: string | undefined,
  items: readonly Element[],
): Element {
  return resultReply(
    iq,
    element('query', { xmlns: NS.DISCO_ITEMS, ...(node === undefined ? {} : { node }) }, ...items),
  );
}

export function hostInfo(host: Host, iq: Element, query: Element): Element {
  if (query.attrs.node !== undefined) return errorReply(iq, 'item-not-found');
  const identity = { category: 'server', type: 'im', name: host.context.product.name };
  return infoResult(iq, undefined, identity, HOST_FEATURES);
}

export function discoItems(host: Host, iq: Element, query: Element): Element {
  if (query.attrs.node !== undefined) return errorReply(iq, 'item-not-found');
  const domains = [...host.services.keys(), ...host.components.keys()];
  return itemsResult(
    iq,
    undefined,
    domains.map((jid) => element('item', { jid })),
  );
}

export function accountInfo(iq: Element, query: Element): Element {
  if (query.attrs.node !== undefined) return errorReply(iq, 'item-not-found');
  const identity = { category: 'account', type: 'registered', name: '' };
  return infoResult(iq, undefined, identity, [NS.DISCO_INFO, NS.DISCO_ITEMS, ...ACCOUNT_FEATURES]);
}
