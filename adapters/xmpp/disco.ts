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
  NS.COMMANDS,
  NS.REGISTER,
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

const PERSONAL_FEATURES = [
  'access-open',
  'access-presence',
  'access-whitelist',
  'auto-create',
  'config-node',
  'config-node-max',
  'create-nodes',
  'delete-items',
  'delete-nodes',
  'filtered-notifications',
  'item-ids',
  'last-published',
  'multi-items',
  'persistent-items',
  'publish',
  'publish-options',
  'purge-nodes',
  'retract-items',
  'retrieve-items',
].map((name) => `${NS.PUBSUB}#${name}`);
const ACCOUNT_FEATURES = [
  NS.BOOKMARKS_CONVERSION,
  `${NS.BOOKMARKS}#compat`,
  NS.ARCHIVE,
  `${NS.ARCHIVE}#extended`,
  NS.STANZA_IDS,
  NS.PUBSUB,
  ...PERSONAL_FEATURES,
];

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
  // XEP-0163 6.1.
  const personal = element('identity', { category: 'pubsub', type: 'pep' });
  const features = [NS.DISCO_INFO, NS.DISCO_ITEMS, ...ACCOUNT_FEATURES];
  return infoResult(iq, undefined, identity, features, personal);
}
