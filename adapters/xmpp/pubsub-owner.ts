/**
 * What an owner may ask of a node (XEP-0060 8): configuration, affiliations, subscribers, purge,
 * end.
 */
import { childOf, childrenOf, type Element, element, firstElement, localName } from './element.ts';
import { submittedLists } from './form.ts';
import { parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import type { Pubsub } from './pubsub.ts';
import { applyNodeForm, nodeForm, TOPIC_NODE } from './pubsub-config.ts';
import type { NodeAffiliation, PubsubNode } from './pubsub-node.ts';
import { type PubsubRequest, specific, subscription, unsupported } from './pubsub-request.ts';
import { setSubscription } from './pubsub-subscribing.ts';
import { errorReply, resultReply } from './stanza-error.ts';

export function ownerAnswer(pubsub: Pubsub, request: PubsubRequest, payload: Element): Element {
  const { iq, from } = request;
  const action = firstElement(payload);
  if (action === undefined) return errorReply(iq, 'bad-request');
  const name = localName(action);
  if (name === 'default') {
    return result(iq, element('default', {}, nodeForm(TOPIC_NODE, TOPIC_NODE.defaults)));
  }
  if (action.attrs.node === undefined) {
    return errorReply(iq, 'bad-request', specific('nodeid-required'));
  }
  const node = pubsub.nodes.get(action.attrs.node);
  if (node === undefined) return errorReply(iq, 'item-not-found');
  if (node.affiliation(from) !== 'owner') return errorReply(iq, 'forbidden');
  switch (name) {
    case 'configure':
      return configure(pubsub, request, node, action);
    case 'affiliations':
      return affiliations(pubsub, request, node, action);
    case 'subscriptions':
      return subscriptions(pubsub, request, node, action);
    case 'purge':
      if (!node.config.persistItems) {
        return errorReply(iq, 'feature-not-implemented', unsupported('persistent-items'));
      }
      pubsub.history.clear(node);
      pubsub.clear(request, node, 'purged');
      pubsub.notify(node, element('purge', { node: node.name }));
      return resultReply(iq);
    case 'delete':
      if (node.config.notifyDelete) pubsub.notify(node, deletion(node, action));
      pubsub.remove(node);
      return resultReply(iq);
    default:
      return errorReply(iq, 'feature-not-implemented', unsupported(name));
  }
}

/** With where the node went, if the owner says so (8.4.1). */
function deletion(node: PubsubNode, action: Element): Element {
  const uri = childOf(action, 'redirect', NS.PUBSUB_OWNER)?.attrs['uri'];
  const redirect = uri === undefined ? null : element('redirect', { uri });
  return element('delete', { node: node.name }, redirect);
}

function configure(
  pubsub: Pubsub,
  request: PubsubRequest,
  node: PubsubNode,
  action: Element,
): Element {
  const { iq } = request;
  if (iq.attrs.type === 'get') {
    return result(iq, element('configure', { node: node.name }, nodeForm(TOPIC_NODE, node.config)));
  }
  const values = submittedLists(action);
  if (values === 'cancel') return resultReply(iq);
  if (values === null) return errorReply(iq, 'bad-request');
  if (!applyNodeForm(TOPIC_NODE, node.config, values)) return errorReply(iq, 'not-acceptable');
  pubsub.save(node);
  if (node.config.notifyConfig) {
    pubsub.notify(node, element('configuration', { node: node.name }));
  }
  return resultReply(iq);
}

function affiliations(
  pubsub: Pubsub,
  request: PubsubRequest,
  node: PubsubNode,
  action: Element,
): Element {
  const { iq } = request;
  if (iq.attrs.type === 'get') {
    const items = Array.from(node.affiliations, ([jid, affiliation]) =>
      element('affiliation', { jid, affiliation }),
    );
    return result(iq, element('affiliations', { node: node.name }, ...items));
  }
  for (const item of childrenOf(action, 'affiliation', NS.PUBSUB_OWNER)) {
    const jid = parseJid(item.attrs.jid ?? '');
    const affiliation = item.attrs.affiliation;
    if (jid === null || !isAffiliation(affiliation)) return errorReply(iq, 'bad-request');
    const owners = [...node.affiliations.values()].filter((held) => held === 'owner').length;
    const demoted = node.affiliation(jid) === 'owner' && affiliation !== 'owner';
    if (demoted && owners === 1) return errorReply(iq, 'not-acceptable');
    if (affiliation === 'none') node.affiliations.delete(jid.bare);
    else node.affiliations.set(jid.bare, affiliation);
    if (affiliation === 'outcast') {
      for (const subscriber of node.subscriptionsOf(jid)) node.subscribers.delete(subscriber);
    }
  }
  pubsub.save(node);
  return resultReply(iq);
}

function subscriptions(
  pubsub: Pubsub,
  request: PubsubRequest,
  node: PubsubNode,
  action: Element,
): Element {
  const { iq } = request;
  if (iq.attrs.type === 'get') {
    const items = Array.from(node.subscribers, ([jid, held]) => subscription(node, jid, held));
    return result(iq, element('subscriptions', { node: node.name }, ...items));
  }
  for (const item of childrenOf(action, 'subscription', NS.PUBSUB_OWNER)) {
    const jid = parseJid(item.attrs.jid ?? '');
    const wanted = item.attrs.subscription;
    if (jid === null) return errorReply(iq, 'bad-request');
    if (wanted !== 'none' && wanted !== 'subscribed') return errorReply(iq, 'not-acceptable');
    const known = node.subscribers.get(jid.full);
    if (wanted === 'none' && known === undefined) continue;
    if (known === undefined && node.subscribers.size >= pubsub.host.limits.xmppNodeSubscribersMax) {
      return errorReply(iq, 'policy-violation', specific('too-many-subscriptions'));
    }
    if (known?.state !== wanted) setSubscription(pubsub, node, jid.full, wanted === 'subscribed');
  }
  return resultReply(iq);
}

function result(iq: Element, answer: Element): Element {
  return resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB_OWNER }, answer));
}

function isAffiliation(text: string | undefined): text is NodeAffiliation {
  return /^(owner|publisher|publish-only|member|outcast|none)$/.test(text ?? '');
}
