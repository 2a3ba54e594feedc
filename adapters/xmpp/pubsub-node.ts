/**
 * One pubsub node (XEP-0060): a topic of `amq.topic` with subscribers, rights and a configuration.
 */
import { topicToKey } from '../../core/address.ts';
import type { Element } from './element.ts';
import { type Field, flag, form } from './form.ts';
import type { Jid } from './jid.ts';

export type NodeAffiliation = 'owner' | 'publisher' | 'member' | 'outcast' | 'none';
export type AccessModel = 'open' | 'whitelist';
export type PublishModel = 'open' | 'publishers' | 'subscribers';

export interface NodeConfig {
  title: string;
  deliverPayloads: boolean;
  /** The last item is kept: the topic's retained value. */
  persistItems: boolean;
  /** More than one: the older ones are kept beside the retained value. */
  maxItems: number;
  accessModel: AccessModel;
  publishModel: PublishModel;
  /** Subscribers get the last item when they subscribe. */
  sendLast: boolean;
  /** Subscribers are told that the node was deleted. */
  notifyDelete: boolean;
  notifyRetract: boolean;
}

export interface StoredNode {
  config: NodeConfig;
  affiliations: Record<string, NodeAffiliation>;
  /** JIDs that are notified, with their subscription ids. */
  subscribers: Record<string, string>;
}

export const DEFAULT_NODE: NodeConfig = {
  title: '',
  deliverPayloads: true,
  persistItems: true,
  maxItems: 1,
  accessModel: 'open',
  publishModel: 'open',
  sendLast: true,
  notifyDelete: true,
  notifyRetract: true,
};

/** What `max` means. */
const ITEMS_MAX = 1000;
/** The exchange whose keys are topics. */
export const TOPIC_EXCHANGE = 'amq.topic';
/** A node `$exchange/x/a/b` stands for key `a.b` of the exchange `x`, as the topic does in MQTT. */
const EXCHANGE_NODE = /^\$exchange\/([^/]+)(?:\/(.*))?$/s;

export class PubsubNode {
  readonly name: string;
  readonly exchange: string;
  readonly key: string;
  readonly config: NodeConfig;
  readonly affiliations: Map<string, NodeAffiliation>;
  /** Subscription ids by JID. */
  readonly subscribers: Map<string, string>;
  /** Its key is bound to the queue that is listened on. */
  bound = false;

  constructor(name: string, stored: StoredNode | null) {
    this.name = name;
    const elsewhere = EXCHANGE_NODE.exec(name);
    this.exchange = elsewhere === null ? TOPIC_EXCHANGE : decoded(elsewhere[1] ?? '');
    this.key = topicToKey(elsewhere === null ? name : (elsewhere[2] ?? ''));
    this.config = { ...DEFAULT_NODE, ...stored?.config };
    this.affiliations = new Map(Object.entries(stored?.affiliations ?? {}));
    this.subscribers = new Map(Object.entries(stored?.subscribers ?? {}));
  }

  stored(): StoredNode {
    return {
      config: this.config,
      affiliations: Object.fromEntries(this.affiliations),
      subscribers: Object.fromEntries(this.subscribers),
    };
  }

  affiliation(jid: Jid): NodeAffiliation {
    return this.affiliations.get(jid.bare) ?? 'none';
  }

  /** Who may subscribe and read (XEP-0060 4.5). */
  mayRead(jid: Jid): boolean {
    const affiliation = this.affiliation(jid);
    if (affiliation === 'outcast') return false;
    return this.config.accessModel === 'open' || affiliation !== 'none';
  }

  mayPublish(jid: Jid): boolean {
    const affiliation = this.affiliation(jid);
    if (affiliation === 'outcast') return false;
    if (affiliation === 'owner' || affiliation === 'publisher') return true;
    if (this.config.publishModel === 'open') return true;
    return this.config.publishModel === 'subscribers' && this.subscriptionsOf(jid).length > 0;
  }

  /** JIDs of one account, bare and full. */
  subscriptionsOf(jid: Jid): string[] {
    return [...this.subscribers.keys()].filter(
      (subscriber) => subscriber === jid.bare || subscriber.startsWith(`${jid.bare}/`),
    );
  }
}

/** A slash, or a percent sign itself, is percent-encoded in the exchange's name. */
function decoded(name: string): string {
  return name.replace(/%(2F|25)/gi, (code) => (code === '%25' ? '%' : '/'));
}

const FORM_TYPE = 'http://jabber.org/protocol/pubsub#node_config';

export function nodeForm(config: NodeConfig): Element {
  const bool = (name: string, label: string, value: boolean): Field => ({
    name: `pubsub#${name}`,
    type: 'boolean',
    label,
    value: value ? '1' : '0',
  });
  const choice = (name: string, label: string, value: string, options: string[]): Field => ({
    name: `pubsub#${name}`,
    type: 'list-single',
    label,
    value,
    options,
  });
  return form('form', FORM_TYPE, [
    { name: 'pubsub#title', type: 'text-single', label: 'Name', value: config.title },
    bool('deliver_payloads', 'Notifications carry the item', config.deliverPayloads),
    bool('persist_items', 'The last item is kept', config.persistItems),
    {
      name: 'pubsub#max_items',
      type: 'text-single',
      label: 'Items kept',
      value: String(config.maxItems),
    },
    choice('access_model', 'Who may subscribe', config.accessModel, ['open', 'whitelist']),
    choice('publish_model', 'Who may publish', config.publishModel, [
      'open',
      'publishers',
      'subscribers',
    ]),
    choice('send_last_published_item', 'When the last item is sent', lastItem(config), [
      'never',
      'on_sub',
    ]),
    bool('notify_delete', 'Tell of the end of the node', config.notifyDelete),
    bool('notify_retract', 'Tell of deleted items', config.notifyRetract),
  ]);
}

function lastItem(config: NodeConfig): string {
  return config.sendLast ? 'on_sub' : 'never';
}

/**
 * Takes over what was filled in. False where a value is not possible: what is not kept is not
 * promised.
 */
export function applyNodeForm(config: NodeConfig, values: ReadonlyMap<string, string>): boolean {
  const value = (name: string): string | undefined => values.get(`pubsub#${name}`);
  const flagOr = (name: string, otherwise: boolean): boolean => {
    const said = value(name);
    return said === undefined ? otherwise : flag(said);
  };
  const access = value('access_model') ?? config.accessModel;
  const publish = value('publish_model') ?? config.publishModel;
  const max = value('max_items') ?? String(config.maxItems);
  if (access !== 'open' && access !== 'whitelist') return false;
  if (publish !== 'open' && publish !== 'publishers' && publish !== 'subscribers') return false;
  if (max !== 'max' && !/^[1-9]\d{0,8}$/.test(max)) return false;
  const last = value('send_last_published_item');
  config.title = value('title') ?? config.title;
  config.deliverPayloads = flagOr('deliver_payloads', config.deliverPayloads);
  config.persistItems = flagOr('persist_items', config.persistItems);
  config.maxItems = max === 'max' ? ITEMS_MAX : Math.min(Number(max), ITEMS_MAX);
  config.accessModel = access;
  config.publishModel = publish;
  config.sendLast = last === undefined ? config.sendLast : last !== 'never';
  config.notifyDelete = flagOr('notify_delete', config.notifyDelete);
  config.notifyRetract = flagOr('notify_retract', config.notifyRetract);
  return true;
}

/**
 * Publish options (XEP-0060 7.1.5): whether the node is configured like that already.
 */
export function hasConfig(node: PubsubNode, wanted: ReadonlyMap<string, string>): boolean {
  const probe = { ...node.config };
  return applyNodeForm(probe, wanted) && JSON.stringify(probe) === JSON.stringify(node.config);
}
