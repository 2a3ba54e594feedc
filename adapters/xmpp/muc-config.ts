/** Configuration of a chat room, and its form (XEP-0045 10.2). */
import type { Element } from './element.ts';
import { type Field, flag, form } from './form.ts';

export interface RoomConfig {
  name: string;
  description: string;
  persistent: boolean;
  public: boolean;
  membersOnly: boolean;
  moderated: boolean;
  /** Everybody sees everybody's real address. */
  nonAnonymous: boolean;
  /** Empty: none. */
  password: string;
  /** Participants may set the subject. */
  changeSubject: boolean;
  /** Messages that a newcomer is shown. */
  historyLength: number;
}

export const DEFAULT_CONFIG: RoomConfig = {
  name: '',
  description: '',
  persistent: false,
  public: true,
  membersOnly: false,
  moderated: false,
  nonAnonymous: false,
  password: '',
  changeSubject: false,
  historyLength: 20,
};

const FORM_TYPE = 'http://jabber.org/protocol/muc#roomconfig';
const INFO_TYPE = 'http://jabber.org/protocol/muc#roominfo';
const HISTORY_MAX = 100;

export function configForm(config: RoomConfig): Element {
  const bool = (name: string, label: string, value: boolean): Field => ({
    name: `muc#roomconfig_${name}`,
    type: 'boolean',
    label,
    value: value ? '1' : '0',
  });
  const text = (name: string, label: string, value: string): Field => ({
    name: `muc#roomconfig_${name}`,
    type: name === 'roomsecret' ? 'text-private' : 'text-single',
    label,
    value,
  });
  return form('form', FORM_TYPE, [
    text('roomname', 'Name', config.name),
    text('roomdesc', 'Description', config.description),
    bool('persistentroom', 'Stays when everybody has left', config.persistent),
    bool('publicroom', 'Listed', config.public),
    bool('membersonly', 'Members only', config.membersOnly),
    bool('moderatedroom', 'Only who has voice may speak', config.moderated),
    bool('changesubject', 'Participants may change the subject', config.changeSubject),
    bool('passwordprotectedroom', 'Password required', config.password !== ''),
    text('roomsecret', 'Password', config.password),
    {
      name: 'muc#roomconfig_whois',
      type: 'list-single',
      label: 'Who sees real addresses',
      value: config.nonAnonymous ? 'anyone' : 'moderators',
      options: ['moderators', 'anyone'],
    },
    text('historylength', 'Messages shown to newcomers', String(config.historyLength)),
  ]);
}

/** Takes over what was filled in. False where a value is not possible. */
export function applyConfig(config: RoomConfig, values: ReadonlyMap<string, string>): boolean {
  const value = (name: string): string | undefined => values.get(`muc#roomconfig_${name}`);
  const flagOr = (name: string, otherwise: boolean): boolean => {
    const said = value(name);
    return said === undefined ? otherwise : flag(said);
  };
  const secret = value('roomsecret') ?? config.password;
  const isProtected = flagOr('passwordprotectedroom', config.password !== '');
  const history = Number(value('historylength') ?? config.historyLength);
  if (isProtected && secret === '') return false;
  if (!Number.isInteger(history) || history < 0) return false;
  config.name = value('roomname') ?? config.name;
  config.description = value('roomdesc') ?? config.description;
  config.persistent = flagOr('persistentroom', config.persistent);
  config.public = flagOr('publicroom', config.public);
  config.membersOnly = flagOr('membersonly', config.membersOnly);
  config.moderated = flagOr('moderatedroom', config.moderated);
  config.changeSubject = flagOr('changesubject', config.changeSubject);
  config.nonAnonymous = (value('whois') ?? (config.nonAnonymous ? 'anyone' : '')) === 'anyone';
  config.password = isProtected ? secret : '';
  config.historyLength = Math.min(history, HISTORY_MAX);
  return true;
}

/** Features of a room in disco#info (XEP-0045 6.4). */
export function roomFeatures(config: RoomConfig): string[] {
  return [
    config.public ? 'muc_public' : 'muc_hidden',
    config.persistent ? 'muc_persistent' : 'muc_temporary',
    config.membersOnly ? 'muc_membersonly' : 'muc_open',
    config.moderated ? 'muc_moderated' : 'muc_unmoderated',
    config.nonAnonymous ? 'muc_nonanonymous' : 'muc_semianonymous',
    config.password === '' ? 'muc_unsecured' : 'muc_passwordprotected',
  ];
}

export function roomInfo(config: RoomConfig, occupants: number, subject: string): Element {
  const field = (name: string, value: string): Field => ({
    name: `muc#roominfo_${name}`,
    type: 'text-single',
    label: '',
    value,
  });
  return form('result', INFO_TYPE, [
    field('description', config.description),
    field('occupants', String(occupants)),
    field('subject', subject),
  ]);
}
