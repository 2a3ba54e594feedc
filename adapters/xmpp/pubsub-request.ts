/** One request to the pubsub service, and the parts of its answers. */
import { type Element, element } from './element.ts';
import type { Entity } from './entity.ts';
import { type Jid, parseJid } from './jid.ts';
import { NS } from './namespaces.ts';
import type { PubsubNode } from './pubsub-node.ts';
import type { NodeSubscription } from './pubsub-subscription.ts';
import { errorReply } from './stanza-error.ts';
import { wireOf } from './wire.ts';

export interface PubsubRequest {
  readonly sender: Entity;
  readonly iq: Element;
  readonly from: Jid;
}

export function reply(request: PubsubRequest, answer: Element): void {
  request.sender.send(wireOf(answer), null);
}

export function items(node: PubsubNode, ...found: readonly Element[]): Element {
  return element('items', { node: node.name }, ...found);
}

export function subscription(node: PubsubNode, jid: string, held: NodeSubscription): Element {
  const { id: subid, state } = held;
  return element('subscription', { node: node.name, jid, subid, subscription: state });
}

export function specific(condition: string): { readonly specific: Element } {
  return { specific: element(condition, { xmlns: NS.PUBSUB_ERRORS }) };
}

export function unsupported(feature: string): { readonly specific: Element } {
  return { specific: element('unsupported', { xmlns: NS.PUBSUB_ERRORS, feature }) };
}

/** XEP-0060 6.1.3.1: nobody subscribes somebody else. Null where the sender was told of that. */
export function ownJid(request: PubsubRequest, action: Element): Jid | null {
  const jid = parseJid(action.attrs.jid ?? '');
  if (jid !== null && jid.bare === request.from.bare) return jid;
  const error = jid === null && action.attrs.jid === undefined ? 'jid-required' : 'invalid-jid';
  reply(request, errorReply(request.iq, 'bad-request', specific(error)));
  return null;
}
