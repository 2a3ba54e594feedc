/** Reading nodes: their items (XEP-0060 6.5) and what there is (5.2, 5.5). */
import { itemsResult } from './disco.ts';
import { childOf, childrenOf, type Element, element, firstElement } from './element.ts';
import { NS } from './namespaces.ts';
import type { Pubsub } from './pubsub.ts';
import { refusedAccess } from './pubsub-access.ts';
import { keepsMany } from './pubsub-history.ts';
import { itemElement } from './pubsub-items.ts';
import { PubsubNode } from './pubsub-node.ts';
import { type PubsubRequest, reply, specific } from './pubsub-request.ts';
import { errorReply, resultReply } from './stanza-error.ts';

/** XEP-0060 6.5: the last value of the topic, whoever published it. */
export function answerItems(pubsub: Pubsub, request: PubsubRequest, action: Element): void {
  const { iq, from } = request;
  const name = action.attrs.node;
  if (name === undefined || name === '') {
    reply(request, errorReply(iq, 'bad-request', specific('nodeid-required')));
    return;
  }
  // A topic that nobody made a node of yet has its last value all the same.
  const node = pubsub.nodes.get(name) ?? new PubsubNode(name, null);
  const access = pubsub.accessOf(node, from);
  if (access !== 'granted') {
    reply(request, refusedAccess(iq, access));
    return;
  }
  if (keepsMany(node)) {
    const set = childOf(firstElement(iq) ?? iq, 'set', NS.RESULT_SET);
    const answer = pubsub.history.answer(node, action, set);
    reply(
      request,
      answer === null
        ? errorReply(iq, 'item-not-found')
        : resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, ...answer)),
    );
    return;
  }
  pubsub.last(request, node, (message) => {
    if (message === null && !pubsub.nodes.has(name)) {
      reply(request, errorReply(iq, 'item-not-found'));
      return;
    }
    const wanted = childrenOf(action, 'item', NS.PUBSUB).map((item) => item.attrs.id);
    const now = pubsub.host.context.clock.now();
    const found =
      message === null ? [] : [itemElement(message, pubsub.host.format, now, NS.PUBSUB, true)];
    const chosen = found.filter((item) => wanted.length === 0 || wanted.includes(item.attrs.id));
    const answer = element('items', { node: name }, ...chosen);
    reply(request, resultReply(iq, element('pubsub', { xmlns: NS.PUBSUB }, answer)));
  });
}

export function answerList(pubsub: Pubsub, request: PubsubRequest, name: string | undefined): void {
  const { iq, from } = request;
  if (name === undefined) {
    const open = [...pubsub.nodes.values()].filter(
      (node) => pubsub.accessOf(node, from) === 'granted',
    );
    const found = open.map((node) =>
      element('item', {
        jid: pubsub.domain,
        node: node.name,
        name: node.config.title || node.name,
      }),
    );
    reply(request, itemsResult(iq, undefined, found));
    return;
  }
  const node = pubsub.existing(request, name);
  if (node === null) return;
  const ids = pubsub.history.ids(node);
  if (ids.length > 0) {
    const found = ids.map((id) => element('item', { jid: pubsub.domain, name: id }));
    reply(request, itemsResult(iq, name, found));
    return;
  }
  pubsub.last(request, node, (message) => {
    const found =
      message === null ? [] : [element('item', { jid: pubsub.domain, name: pubsub.idOf(message) })];
    reply(request, itemsResult(iq, name, found));
  });
}
