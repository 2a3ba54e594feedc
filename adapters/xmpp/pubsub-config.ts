/** Configuration of a pubsub node (XEP-0060 8.2, 16.4.4), of a topic or of a person. */
import type { Element } from './element.ts';
import { type Field, type FormHead, flag, form } from './form.ts';

export const ACCESS_MODELS = ['open', 'presence', 'roster', 'authorize', 'whitelist'] as const;
export type AccessModel = (typeof ACCESS_MODELS)[number];
const PUBLISH_MODELS = ['open', 'publishers', 'subscribers'] as const;
export type PublishModel = (typeof PUBLISH_MODELS)[number];
const LAST_ITEM = ['never', 'on_sub', 'on_sub_and_presence'] as const;
const NOTIFICATIONS = ['normal', 'headline'] as const;

export interface NodeConfig {
  title: string;
  description: string;
  /** The namespace of what is published, for people. */
  type: string;
  deliverNotifications: boolean;
  deliverPayloads: boolean;
  /** The last item is kept: the topic's retained value. */
  persistItems: boolean;
  /** More than one: the older ones are kept beside the retained value. */
  maxItems: number;
  /** Items are kept for so long, in seconds; 0: for good. */
  itemExpire: number;
  accessModel: AccessModel;
  /** With the access model `roster`: who is in one of these groups of an owner's roster. */
  rosterGroups: readonly string[];
  publishModel: PublishModel;
  /** When the last item is sent, beside when it is published. */
  sendLast: (typeof LAST_ITEM)[number];
  notificationType: (typeof NOTIFICATIONS)[number];
  notifyConfig: boolean;
  /** Subscribers are told that the node was deleted. */
  notifyDelete: boolean;
  notifyRetract: boolean;
}

/** What one kind of node can be. */
export interface NodeKind {
  readonly defaults: NodeConfig;
  readonly access: readonly AccessModel[];
  readonly publish: readonly PublishModel[];
  readonly last: readonly NodeConfig['sendLast'][];
}

export const TOPIC_NODE: NodeKind = {
  defaults: {
    title: '',
    description: '',
    type: '',
    deliverNotifications: true,
    deliverPayloads: true,
    persistItems: true,
    maxItems: 1,
    itemExpire: 0,
    accessModel: 'open',
    rosterGroups: [],
    publishModel: 'open',
    sendLast: 'on_sub',
    notificationType: 'normal',
    notifyConfig: false,
    notifyDelete: true,
    notifyRetract: true,
  },
  access: ACCESS_MODELS,
  publish: PUBLISH_MODELS,
  last: ['never', 'on_sub'],
};

export const PERSONAL_NODE: NodeKind = {
  defaults: {
    ...TOPIC_NODE.defaults,
    accessModel: 'presence',
    publishModel: 'publishers',
    sendLast: 'on_sub_and_presence',
    notificationType: 'headline',
    notifyDelete: true,
    notifyRetract: false,
  },
  access: ['open', 'presence', 'roster', 'whitelist'],
  publish: ['publishers'],
  last: ['never', 'on_sub_and_presence'],
};

/** What `max` means. */
const ITEMS_MAX = 1000;
const FORM_TYPE = 'http://jabber.org/protocol/pubsub#node_config';
const META_TYPE = 'http://jabber.org/protocol/pubsub#meta-data';
/** Options of XEP-0060 that there is one answer to here. */
const FIXED: Readonly<Record<string, RegExp>> = {
  node_type: /^leaf$/,
  collection: /^$/,
  purge_offline: /^(0|false)$/,
  presence_based_delivery: /^(0|false)$/,
  subscribe: /^(1|true)$/,
  tempsub: /^(0|false)$/,
  notify_sub: /^(0|false)$/,
};

/** What was kept of a node's configuration, by this version or one before. */
export function configOf({ defaults }: NodeKind, stored: object | undefined): NodeConfig {
  const config: NodeConfig = { ...defaults, ...stored };
  // Once it was only whether or not.
  if (typeof config.sendLast === 'boolean') {
    config.sendLast = config.sendLast ? defaults.sendLast : 'never';
  }
  return config;
}

export function nodeForm(kind: NodeKind, config: NodeConfig, head: FormHead = {}): Element {
  return form('form', FORM_TYPE, fieldsOf(kind, config), head);
}

function fieldsOf(kind: NodeKind, config: NodeConfig): Field[] {
  const text = (name: string, label: string, value: string): Field => ({
    name: `pubsub#${name}`,
    type: 'text-single',
    label,
    value,
  });
  const bool = (name: string, label: string, value: boolean): Field => ({
    name: `pubsub#${name}`,
    type: 'boolean',
    label,
    value: value ? '1' : '0',
  });
  const choice = (
    name: string,
    label: string,
    value: string,
    options: readonly string[],
  ): Field => ({ name: `pubsub#${name}`, type: 'list-single', label, value, options });
  return [
    choice('node_type', 'Kind of node', 'leaf', ['leaf']),
    text('title', 'Name', config.title),
    text('description', 'Description', config.description),
    text('type', 'Namespace of the payload', config.type),
    bool('deliver_notifications', 'Subscribers are notified', config.deliverNotifications),
    bool('deliver_payloads', 'Notifications carry the item', config.deliverPayloads),
    choice('notification_type', 'Type of notifications', config.notificationType, NOTIFICATIONS),
    bool('persist_items', 'Items are kept', config.persistItems),
    text('max_items', 'Items kept', String(config.maxItems)),
    text('item_expire', 'Seconds that items are kept; 0: for good', String(config.itemExpire)),
    choice('access_model', 'Who may subscribe and read', config.accessModel, kind.access),
    {
      name: 'pubsub#roster_groups_allowed',
      type: 'list-multi',
      label: 'Roster groups that may, with the access model roster',
      value: config.rosterGroups,
    },
    choice('publish_model', 'Who may publish', config.publishModel, kind.publish),
    choice('send_last_published_item', 'When the last item is sent', config.sendLast, kind.last),
    bool('notify_config', 'Tell of a new configuration', config.notifyConfig),
    bool('notify_delete', 'Tell of the end of the node', config.notifyDelete),
    bool('notify_retract', 'Tell of deleted items', config.notifyRetract),
  ];
}

/**
 * Takes over what was filled in. False where a value is not possible: what is not kept is not
 * promised.
 */
export function applyNodeForm(
  kind: NodeKind,
  config: NodeConfig,
  values: ReadonlyMap<string, readonly string[]>,
): boolean {
  const value = (name: string): string | undefined => values.get(`pubsub#${name}`)?.[0];
  const flagOr = (name: string, otherwise: boolean): boolean => {
    const said = value(name);
    return said === undefined ? otherwise : flag(said);
  };
  const fixed = Object.entries(FIXED).every(
    ([name, possible]) => possible.test(value(name) ?? '') || value(name) === undefined,
  );
  const access = oneOf(kind.access, value('access_model') ?? config.accessModel);
  const publish = oneOf(kind.publish, value('publish_model') ?? config.publishModel);
  const type = oneOf(NOTIFICATIONS, value('notification_type') ?? config.notificationType);
  const last = oneOf(LAST_ITEM, value('send_last_published_item') ?? config.sendLast);
  const max = value('max_items') ?? String(config.maxItems);
  const expire = value('item_expire') ?? String(config.itemExpire);
  if (!fixed || access === null || publish === null || type === null || last === null) return false;
  if (!/^(max|[1-9]\d{0,8})$/.test(max) || !/^(max|\d{1,9})$/.test(expire)) return false;
  config.title = value('title') ?? config.title;
  config.description = value('description') ?? config.description;
  config.type = value('type') ?? config.type;
  config.deliverNotifications = flagOr('deliver_notifications', config.deliverNotifications);
  config.deliverPayloads = flagOr('deliver_payloads', config.deliverPayloads);
  config.notificationType = type;
  config.persistItems = flagOr('persist_items', config.persistItems);
  config.maxItems = max === 'max' ? ITEMS_MAX : Math.min(Number(max), ITEMS_MAX);
  config.itemExpire = expire === 'max' ? 0 : Number(expire);
  config.accessModel = access;
  config.rosterGroups = values.get('pubsub#roster_groups_allowed') ?? config.rosterGroups;
  config.publishModel = publish;
  config.sendLast = kind.last.includes(last) ? last : kind.defaults.sendLast;
  config.notifyConfig = flagOr('notify_config', config.notifyConfig);
  config.notifyDelete = flagOr('notify_delete', config.notifyDelete);
  config.notifyRetract = flagOr('notify_retract', config.notifyRetract);
  return true;
}

/** Publish options (XEP-0060 7.1.5): whether the node is configured like that already. */
export function hasConfig(
  kind: NodeKind,
  config: NodeConfig,
  wanted: ReadonlyMap<string, readonly string[]>,
): boolean {
  const probe = { ...config };
  return applyNodeForm(kind, probe, wanted) && JSON.stringify(probe) === JSON.stringify(config);
}

/** What everybody may know of a node (XEP-0060 5.4). */
export function metaForm(
  config: NodeConfig,
  facts: { readonly created: number; readonly owners: readonly string[]; readonly count: number },
): Element {
  const text = (name: string, value: string): Field => ({
    name: `pubsub#${name}`,
    type: 'text-single',
    label: '',
    value,
  });
  const fields = [
    text('title', config.title),
    text('description', config.description),
    text('type', config.type),
    text('access_model', config.accessModel),
    text('publish_model', config.publishModel),
    text('max_items', String(config.maxItems)),
    text('num_subscribers', String(facts.count)),
    text('creation_date', facts.created === 0 ? '' : new Date(facts.created).toISOString()),
    text('creator', facts.owners[0] ?? ''),
  ].filter(({ value }) => value !== '');
  const owners: Field = {
    name: 'pubsub#owner',
    type: 'jid-multi',
    label: '',
    value: facts.owners,
  };
  return form('result', META_TYPE, facts.owners.length === 0 ? fields : [...fields, owners]);
}

function oneOf<T extends string>(possible: readonly T[], text: string): T | null {
  return possible.find((each) => each === text) ?? null;
}
