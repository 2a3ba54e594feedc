/**
 * One pubsub node (XEP-0060): a topic of `amq.topic` with subscribers, rights and a configuration.
 */
import { addressOfNode } from './address.ts';
import type { Jid } from './jid.ts';
import { configOf, type NodeConfig, TOPIC_NODE } from './pubsub-config.ts';
import {
  type NodeSubscription,
  type StoredSubscription,
  subscriptionOf,
} from './pubsub-subscription.ts';

export type NodeAffiliation =
  | 'owner'
  | 'publisher'
  | 'publish-only'
  | 'member'
  | 'outcast'
  | 'none';
export interface StoredNode {
  config: NodeConfig;
  affiliations: Record<string, NodeAffiliation>;
  /** By the JID that is notified. */
  subscribers: Record<string, StoredSubscription>;
  /** When it was made; missing where an earlier version did not say. */
  created?: number;
}

export class PubsubNode {
  readonly name: string;
  readonly exchange: string;
  readonly key: string;
  readonly config: NodeConfig;
  readonly affiliations: Map<string, NodeAffiliation>;
  /** By JID. */
  readonly subscribers: Map<string, NodeSubscription>;
  /** 0: not known. */
  readonly created: number;
  /** Its key is bound to the queue that is listened on. */
  bound = false;

  constructor(name: string, stored: StoredNode | null, created: number = 0) {
    this.name = name;
    const { exchange, routingKey } = addressOfNode(name);
    this.exchange = exchange;
    this.key = routingKey;
    this.config = configOf(TOPIC_NODE, stored?.config);
    this.affiliations = new Map(Object.entries(stored?.affiliations ?? {}));
    const subscribers = Object.entries(stored?.subscribers ?? {});
    this.subscribers = new Map(subscribers.map(([jid, held]) => [jid, subscriptionOf(held)]));
    this.created = stored?.created ?? created;
  }

  stored(): StoredNode {
    return {
      config: this.config,
      affiliations: Object.fromEntries(this.affiliations),
      subscribers: Object.fromEntries(this.subscribers),
      created: this.created,
    };
  }

  affiliation(jid: Jid): NodeAffiliation {
    return this.affiliations.get(jid.bare) ?? 'none';
  }

  /** Bare JIDs. */
  owners(): string[] {
    return [...this.affiliations].flatMap(([jid, held]) => (held === 'owner' ? [jid] : []));
  }

  isSubscribed(jid: Jid): boolean {
    return this.subscriptionsOf(jid).some(
      (subscriber) => this.subscribers.get(subscriber)?.state === 'subscribed',
    );
  }

  mayPublish(jid: Jid): boolean {
    const affiliation = this.affiliation(jid);
    if (affiliation === 'outcast') return false;
    if (/^(owner|publisher|publish-only)$/.test(affiliation)) return true;
    if (this.config.publishModel === 'open') return true;
    return this.config.publishModel === 'subscribers' && this.isSubscribed(jid);
  }

  /** JIDs of one account, bare and full. */
  subscriptionsOf(jid: Jid): string[] {
    return [...this.subscribers.keys()].filter(
      (subscriber) => subscriber === jid.bare || subscriber.startsWith(`${jid.bare}/`),
    );
  }
}
