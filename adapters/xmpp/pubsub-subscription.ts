/** One subscription to a pubsub node, with its options (XEP-0060 6.3, 16.4.2). */
import type { Element } from './element.ts';
import { flag, form } from './form.ts';

export interface NodeSubscription {
  readonly id: string;
  /** `pending`: an owner has not answered yet. */
  state: 'subscribed' | 'pending';
  deliver: boolean;
  /** When it ends by itself; 0: never. */
  expireAt: number;
  /** Only while a resource of the subscriber shows one of these; empty: always. */
  showValues: readonly string[];
}

/** Once only the id was kept. */
export type StoredSubscription = string | NodeSubscription;

const FORM_TYPE = 'http://jabber.org/protocol/pubsub#subscribe_options';
const AUTHORIZE_TYPE = 'http://jabber.org/protocol/pubsub#subscribe_authorization';
const SHOW_VALUES = ['away', 'chat', 'dnd', 'online', 'xa'];

export function newSubscription(id: string): NodeSubscription {
  return { id, state: 'subscribed', deliver: true, expireAt: 0, showValues: [] };
}

export function subscriptionOf(stored: StoredSubscription): NodeSubscription {
  return typeof stored === 'string' ? newSubscription(stored) : stored;
}

export function optionsForm(options: NodeSubscription): Element {
  const { deliver, expireAt, showValues } = options;
  return form('form', FORM_TYPE, [
    {
      name: 'pubsub#deliver',
      type: 'boolean',
      label: 'Notifications are sent',
      value: deliver ? '1' : '0',
    },
    {
      name: 'pubsub#expire',
      type: 'text-single',
      label: 'When the subscription ends; nothing: never',
      value: expireAt === 0 ? '' : new Date(expireAt).toISOString(),
    },
    {
      name: 'pubsub#show-values',
      type: 'list-multi',
      label: 'Only while a resource is available like that',
      value: showValues.length === 0 ? SHOW_VALUES : showValues,
      options: SHOW_VALUES,
    },
  ]);
}

/** Takes over what was filled in; false where a value is not possible. */
export function applyOptions(
  options: NodeSubscription,
  values: ReadonlyMap<string, readonly string[]>,
  now: number,
): boolean {
  const deliver = values.get('pubsub#deliver')?.[0];
  const expire = values.get('pubsub#expire')?.[0];
  const shown = values.get('pubsub#show-values');
  const expireAt =
    expire === undefined ? options.expireAt : /^(|presence)$/.test(expire) ? 0 : Date.parse(expire);
  // `presence` would end it with the subscriber's presence, which nobody here follows.
  if (expire === 'presence' || Number.isNaN(expireAt)) return false;
  if (expireAt !== 0 && expireAt <= now) return false;
  if (deliver !== undefined && !/^(0|1|true|false)$/.test(deliver)) return false;
  if (shown?.some((value) => !SHOW_VALUES.includes(value)) === true) return false;
  if (/^(1|true)$/.test(values.get('pubsub#digest')?.[0] ?? '')) return false;
  options.deliver = deliver === undefined ? options.deliver : flag(deliver);
  options.expireAt = expireAt;
  if (shown !== undefined) options.showValues = shown.length === SHOW_VALUES.length ? [] : shown;
  return true;
}

/** What an owner is asked (XEP-0060 8.6). */
export function authorizationForm(node: string, jid: string, id: string): Element {
  return form(
    'form',
    AUTHORIZE_TYPE,
    [
      { name: 'pubsub#subid', type: 'hidden', label: '', value: id },
      { name: 'pubsub#node', type: 'text-single', label: 'Node', value: node },
      { name: 'pubsub#subscriber_jid', type: 'jid-single', label: 'Subscriber', value: jid },
      { name: 'pubsub#allow', type: 'boolean', label: 'May subscribe', value: '0' },
    ],
    { title: 'Somebody wants to subscribe', instructions: 'Decide whether they may.' },
  );
}

/** An owner's answer; null where the form is another. */
export function authorizationIn(
  values: ReadonlyMap<string, readonly string[]>,
): { readonly node: string; readonly jid: string; readonly allow: boolean } | null {
  const value = (name: string): string => values.get(name)?.[0] ?? '';
  if (value('FORM_TYPE') !== AUTHORIZE_TYPE) return null;
  const [node, jid] = [value('pubsub#node'), value('pubsub#subscriber_jid')];
  return { node, jid, allow: flag(value('pubsub#allow')) };
}
