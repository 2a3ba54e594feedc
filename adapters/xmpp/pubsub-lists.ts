/**
 * What the pubsub service has: its features, and one's own subscriptions and affiliations (XEP-0060
 * 5).
 */
import { infoResult } from './disco.ts';
import { type Element, element } from './element.ts';
import { NS } from './namespaces.ts';
import { metaForm } from './pubsub-config.ts';
import type { PubsubNode } from './pubsub-node.ts';
import { type PubsubRequest, reply, subscription } from './pubsub-request.ts';
import { errorReply, resultReply } from './stanza-error.ts';

type Nodes = ReadonlyMap<string, PubsubNode>;

const FEATURES = [
  'access-authorize',
  'access-open',
  'access-presence',
  'access-roster',
  'access-whitelist',
  'auto-create',
  'auto-subscribe',
  'config-node',
  'config-node-max',
  'create-and-configure',
  'create-nodes',
  'delete-items',
  'delete-nodes',
  'instant-nodes',
  'item-ids',
  'last-published',
  'member-affiliation',
  'meta-data',
  'manage-subscriptions',
  'modify-affiliations',
  'outcast-affiliation',
  'multi-items',
  'persistent-items',
  'publish',
  'publish-only-affiliation',
  'publish-options',
  'publisher-affiliation',
  'purge-nodes',
  'retract-items',
  'retrieve-affiliations',
  'retrieve-default',
  'retrieve-default-sub',
  'retrieve-items',
  'retrieve-subscriptions',
  'rsm',
  'subscribe',
  'subscription-options',
].map((name) => `${NS.PUBSUB}#${name}`);

export function answerSubscriptions(nodes: Nodes, request: PubsubRequest, action: Element): void {
  const { iq, from } = request;
  const only = action.attrs.node;
  const found: Element[] = [];
  for (const node of nodes.values()) {
    if (only !== undefined && node.name !== only) continue;
    for (const jid of node.subscriptionsOf(from)) {
      const held = node.subscribers.get(jid);
      if (held !== undefined) found.push(subscription(node, jid, held));
    }
  }
  const list = element('subscriptions', only === undefined ? {} : { node: only }, ...found);
  reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, list)));
}

export function answerAffiliations(nodes: Nodes, request: PubsubRequest, action: Element): void {
  const { iq, from } = request;
  const only = action.attrs.node;
  const found: Element[] = [];
  for (const node of nodes.values()) {
    const affiliation = node.affiliation(from);
    if (affiliation === 'none' || (only !== undefined && node.name !== only)) continue;
    found.push(element('affiliation', { node: node.name, affiliation }));
  }
  const list = element('affiliations', only === undefined ? {} : { node: only }, ...found);
  reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, list)));
}

export function pubsubInfo(nodes: Nodes, iq: Element, name: string | undefined): Element {
  if (name === undefined) {
    const service = { category: 'pubsub', type: 'service', name: 'Topics' };
    const features = [NS.DISCO_INFO, NS.DISCO_ITEMS, NS.PING, NS.PUBSUB, ...FEATURES];
    return infoResult(iq, undefined, service, features);
  }
  const node = nodes.get(name);
  if (node === undefined) return errorReply(iq, 'item-not-found');
  const identity = { category: 'pubsub', type: 'leaf', name: node.config.title || name };
  const { created, subscribers } = node;
  const meta = metaForm(node.config, { created, owners: node.owners(), count: subscribers.size });
  return infoResult(iq, name, identity, [NS.PUBSUB], meta);
}
