/**
 * Subscriptions to nodes (XEP-0060 6): who is in at once, who waits for an owner's word, and what
 * each wants to be told.
 */
import { reasonOf } from '../../core/errors.ts';
import { childOf, type Element, element } from './element.ts';
import { submittedLists } from './form.ts';
import { parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import type { Pubsub } from './pubsub.ts';
import { refusedAccess } from './pubsub-access.ts';
import type { PubsubNode } from './pubsub-node.ts';
import { ownJid, type PubsubRequest, reply, specific, subscription } from './pubsub-request.ts';
import {
  applyOptions,
  authorizationForm,
  authorizationIn,
  type NodeSubscription,
  newSubscription,
  optionsForm,
} from './pubsub-subscription.ts';
import { conditionOf, errorReply, resultReply } from './stanza-error.ts';

/** `<subscribe/>`, maybe with `<options/>` beside it (6.1, 6.3.7). */
export function subscribe(
  pubsub: Pubsub,
  request: PubsubRequest,
  payload: Element,
  action: Element,
): void {
  const { iq, sender } = request;
  const { host } = pubsub;
  const jid = ownJid(request, action);
  const node = jid === null ? null : pubsub.nodeFor(request, action.attrs.node);
  if (jid === null || node === null) return;
  const known = node.subscribers.get(jid.full);
  const refusal = refusalOf(pubsub, request, node, known);
  if (refusal !== null) {
    reply(request, refusal);
    return;
  }
  const made = known ?? newSubscription(host.nextId());
  const options = childOf(payload, 'options', NS.PUBSUB);
  const wanted = options === undefined ? null : submittedLists(options);
  if (wanted instanceof Map && !applyOptions(made, wanted, host.context.clock.now())) {
    reply(request, errorReply(iq, 'bad-request', specific('invalid-options')));
    return;
  }
  if (known === undefined && pubsub.accessOf(node, request.from) === 'pending') {
    made.state = 'pending';
  }
  const listening = (): void => {
    node.subscribers.set(jid.full, made);
    pubsub.save(node);
    const answer = subscription(node, jid.full, made);
    reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, answer)));
    if (made.state === 'pending') askOwners(pubsub, node, jid.full, made);
    else if (node.config.sendLast !== 'never') pubsub.sendLast(request, node, jid.full);
    sender.release();
  };
  sender.hold();
  pubsub.listen(node, listening, (error) => {
    reply(request, errorReply(iq, conditionOf(error), { text: reasonOf(error) }));
    sender.release();
  });
}

function refusalOf(
  pubsub: Pubsub,
  { iq, from, sender }: PubsubRequest,
  node: PubsubNode,
  known: NodeSubscription | undefined,
): Element | null {
  const access = pubsub.accessOf(node, from);
  if (access !== 'granted' && access !== 'pending') return refusedAccess(iq, access);
  if (!pubsub.host.allows(sender.engine, 'read', node.exchange)) {
    return errorReply(iq, 'forbidden');
  }
  if (known?.state === 'pending') {
    return errorReply(iq, 'not-authorized', specific('pending-subscription'));
  }
  return known === undefined && node.subscribers.size >= pubsub.host.limits.xmppNodeSubscribersMax
    ? errorReply(iq, 'policy-violation', specific('too-many-subscriptions'))
    : null;
}

export function unsubscribe(pubsub: Pubsub, request: PubsubRequest, action: Element): void {
  const found = subscribed(pubsub, request, action);
  if (found === null) return;
  pubsub.unsubscribe(found.node, found.jid);
  reply(request, resultReply(request.iq));
}

/** `<options/>`: asked for, or filled in (6.3). */
export function options(pubsub: Pubsub, request: PubsubRequest, action: Element): void {
  const found = subscribed(pubsub, request, action);
  if (found === null) return;
  const { node, jid, held } = found;
  const { iq } = request;
  if (iq.attrs.type === 'get') {
    const shown = { node: node.name, jid, subid: held.id };
    const answer = element('options', shown, optionsForm(held));
    reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, answer)));
    return;
  }
  const values = submittedLists(action);
  if (values === null) reply(request, errorReply(iq, 'bad-request', specific('invalid-options')));
  else if (values === 'cancel') reply(request, resultReply(iq));
  else if (!applyOptions(held, values, pubsub.host.context.clock.now())) {
    reply(request, errorReply(iq, 'bad-request', specific('invalid-options')));
  } else {
    pubsub.save(node);
    reply(request, resultReply(iq));
  }
}

/** The options that a subscription has at first (6.4). */
export function defaultOptions(request: PubsubRequest, action: Element): void {
  const { node } = action.attrs;
  const attributes = node === undefined ? {} : { node };
  const answer = element('default', attributes, optionsForm(newSubscription('')));
  reply(request, resultReply(request.iq, element('pubsub', { xmlns: NS.PUBSUB }, answer)));
}

/** A message to the service: an owner's answer to who may subscribe (8.6). False: it is none. */
export function authorize(pubsub: Pubsub, stanza: Element): boolean {
  const values = submittedLists(stanza);
  const answer = values instanceof Map ? authorizationIn(values) : null;
  if (answer === null) return false;
  const from = parseJid(stanza.attrs.from ?? '');
  const node = pubsub.nodes.get(answer.node);
  if (node === undefined || from === null || node.affiliation(from) !== 'owner') return true;
  if (node.subscribers.get(answer.jid)?.state !== 'pending') return true;
  setSubscription(pubsub, node, answer.jid, answer.allow);
  return true;
}

/** An owner lets somebody in, or out (8.8.2). */
export function setSubscription(
  pubsub: Pubsub,
  node: PubsubNode,
  jid: string,
  allowed: boolean,
): void {
  const held = node.subscribers.get(jid) ?? newSubscription(pubsub.host.nextId());
  if (!allowed && !node.subscribers.delete(jid)) return;
  if (allowed) {
    held.state = 'subscribed';
    node.subscribers.set(jid, held);
    pubsub.listen(
      node,
      () => {},
      (error) => pubsub.host.log.error({ node: node.name, reason: reasonOf(error) }, 'no binding'),
    );
  }
  pubsub.save(node);
  // The subscriber is told what became of it.
  const told = subscription(node, jid, held);
  if (!allowed) told.attrs.subscription = 'none';
  pubsub.event(node, jid, told);
}

function askOwners(pubsub: Pubsub, node: PubsubNode, jid: string, held: NodeSubscription): void {
  for (const owner of node.owners()) {
    pubsub.host.router.send(
      element(
        'message',
        { from: pubsub.domain, to: owner, id: pubsub.host.nextId() },
        authorizationForm(node.name, jid, held.id),
      ),
    );
  }
}

interface Found {
  readonly node: PubsubNode;
  readonly jid: string;
  readonly held: NodeSubscription;
}

/** The subscription that a request names; null where the sender was told of an error. */
function subscribed(pubsub: Pubsub, request: PubsubRequest, action: Element): Found | null {
  const jid = ownJid(request, action);
  const node = jid === null ? null : pubsub.existing(request, action.attrs.node);
  if (jid === null || node === null) return null;
  const held = node.subscribers.get(jid.full);
  if (held === undefined) {
    reply(request, errorReply(request.iq, 'unexpected-request', specific('not-subscribed')));
    return null;
  }
  if (action.attrs.subid !== undefined && action.attrs.subid !== held.id) {
    reply(request, errorReply(request.iq, 'not-acceptable', specific('invalid-subid')));
    return null;
  }
  return { node, jid: jid.full, held };
}
