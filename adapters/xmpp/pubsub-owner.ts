/**
 * What an owner may ask of a node (XEP-0060 8): configuration, affiliations, subscribers, purge,
 * end.
 */
import { childrenOf, type Element, element, firstElement, localName } from './element.ts';
import { submitted } from './form.ts';
import { parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import type { Pubsub } from './pubsub.ts';
import { applyNodeForm, type NodeAffiliation, nodeForm, PubsubNode } from './pubsub-node.ts';
import { type PubsubRequest, specific, subscription, unsupported } from './pubsub-request.ts';
import { errorReply, resultReply } from './stanza-error.ts';

export function ownerAnswer(pubsub: Pubsub, request: PubsubRequest, payload: Element): Element {
  const { iq, from } = request;
  const action = firstElement(payload);
  if (action === undefined) return errorReply(iq, 'bad-request');
  const name = localName(action);
  if (name === 'default') {
    const form = element('default', {}, nodeForm(new PubsubNode('', null).config));
    return result(iq, form);
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
      if (node.config.notifyDelete) pubsub.notify(node, element('delete', { node: node.name }));
      pubsub.remove(node);
      return resultReply(iq);
    default:
      return errorReply(iq, 'feature-not-implemented', unsupported(name));
  }
}

function configure(
  pubsub: Pubsub,
  request: PubsubRequest,
  node: PubsubNode,
  action: Element,
): Element {
  const { iq } = request;
  if (iq.attrs.type === 'get') {
    return result(iq, element('configure', { node: node.name }, nodeForm(node.config)));
  }
  const values = submitted(action);
  if (values === 'cancel') return resultReply(iq);
  if (values === null) return errorReply(iq, 'bad-request');
  if (!applyNodeForm(node.config, values)) return errorReply(iq, 'not-acceptable');
  pubsub.save(node);
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
    const items = Array.from(node.subscribers, ([jid, id]) => subscription(node, jid, id));
    return result(iq, element('subscriptions', { node: node.name }, ...items));
  }
  for (const item of childrenOf(action, 'subscription', NS.PUBSUB_OWNER)) {
    const jid = parseJid(item.attrs.jid ?? '');
    if (jid === null) return errorReply(iq, 'bad-request');
    // Others are only taken out by an owner; who gets in asks for it.
    if (item.attrs.subscription !== 'none') return errorReply(iq, 'not-allowed');
    pubsub.unsubscribe(node, jid.full);
  }
  return resultReply(iq);
}

function result(iq: Element, answer: Element): Element {
  return resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB_OWNER }, answer));
}

function isAffiliation(text: string | undefined): text is NodeAffiliation {
  return /^(owner|publisher|member|outcast|none)$/.test(text ?? '');
}
