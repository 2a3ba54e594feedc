/** Configuration of a personal node (XEP-0163 5, XEP-0060 8.2). */
import type { Element } from './element.ts';
import { type Field, flag, form } from './form.ts';

export interface PersonalConfig {
  accessModel: 'presence' | 'open' | 'whitelist';
  persistItems: boolean;
  maxItems: number;
  /** A client that comes gets the last item. */
  sendLast: boolean;
  notifyRetract: boolean;
}

export const PERSONAL_DEFAULTS: PersonalConfig = {
  accessModel: 'presence',
  persistItems: true,
  maxItems: 1,
  sendLast: true,
  notifyRetract: false,
};

const ITEMS_MAX = 1000;
const FORM_TYPE = 'http://jabber.org/protocol/pubsub#node_config';

/** Takes over what was filled in; false where a value is not possible. */
export function applyPersonalForm(
  config: PersonalConfig,
  values: ReadonlyMap<string, string>,
): boolean {
  const value = (name: string): string | undefined => values.get(`pubsub#${name}`);
  const access = value('access_model') ?? config.accessModel;
  if (access !== 'presence' && access !== 'open' && access !== 'whitelist') return false;
  const max = value('max_items') ?? String(config.maxItems);
  if (max !== 'max' && !/^[1-9]\d{0,8}$/.test(max)) return false;
  const [persist, last, retract] = [
    value('persist_items'),
    value('send_last_published_item'),
    value('notify_retract'),
  ];
  config.accessModel = access;
  config.maxItems = max === 'max' ? ITEMS_MAX : Math.min(Number(max), ITEMS_MAX);
  config.persistItems = persist === undefined ? config.persistItems : flag(persist);
  config.sendLast = last === undefined ? config.sendLast : last !== 'never';
  config.notifyRetract = retract === undefined ? config.notifyRetract : flag(retract);
  return true;
}

export function personalForm(config: PersonalConfig): Element {
  const bool = (name: string, label: string, value: boolean): Field => ({
    name: `pubsub#${name}`,
    type: 'boolean',
    label,
    value: value ? '1' : '0',
  });
  return form('form', FORM_TYPE, [
    {
      name: 'pubsub#access_model',
      type: 'list-single',
      label: 'Who may read',
      value: config.accessModel,
      options: ['presence', 'open', 'whitelist'],
    },
    {
      name: 'pubsub#max_items',
      type: 'text-single',
      label: 'Items kept',
      value: String(config.maxItems),
    },
    bool('persist_items', 'Items are kept', config.persistItems),
    {
      name: 'pubsub#send_last_published_item',
      type: 'list-single',
      label: 'When the last item is sent',
      value: config.sendLast ? 'on_sub_and_presence' : 'never',
      options: ['never', 'on_sub_and_presence'],
    },
    bool('notify_retract', 'Tell of deleted items', config.notifyRetract),
  ]);
}
