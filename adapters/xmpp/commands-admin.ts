/** Service administration (XEP-0133): accounts, who is there, a word to everybody. */
import type { AccountChange } from '../../core/auth.ts';
import type { Command, CommandResult, Values } from './commands.ts';
import { element } from './element.ts';
import { endAccount, endSessions } from './erasure.ts';
import { type Field, form } from './form.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid, unescapeLocal } from './jid.ts';
import { NS } from './namespaces.ts';
import { addAccount } from './registration.ts';
import type { ClientSession } from './session.ts';
import { stampAt } from './wire.ts';

/** JIDs that one list shows. */
const LISTED_MAX = 1000;

const ACCOUNT: Field = {
  name: 'accountjid',
  type: 'jid-single',
  label: 'The account',
  value: '',
  required: true,
};
const ACCOUNTS: Field = {
  name: 'accountjids',
  type: 'jid-multi',
  label: 'The accounts',
  value: [],
  required: true,
};
const PASSWORD: Field = {
  name: 'password',
  type: 'text-private',
  label: 'Its password',
  value: '',
  required: true,
};

export const ADMIN_COMMANDS: readonly Command[] = [
  command('add-user', 'Add a user', addUser, [
    ACCOUNT,
    PASSWORD,
    { ...PASSWORD, name: 'password-verify', label: 'Once more' },
  ]),
  command('delete-user', 'Delete users', deleteUsers, [ACCOUNTS]),
  command('change-user-password', "Change a user's password", changePassword, [ACCOUNT, PASSWORD]),
  command('end-user-session', 'End the sessions of users', endUserSessions, [ACCOUNTS]),
  command('get-user-lastlogin', 'When was a user last here?', lastLogin, [ACCOUNT]),
  command('get-registered-users-num', 'How many users are there?', (host) =>
    shown({
      registeredusersnum: [String(host.context.accounts.names().length)],
    }),
  ),
  command('get-registered-users-list', 'List the users', (host) =>
    shown({
      registereduserjids: host.context.accounts
        .names()
        .slice(0, LISTED_MAX)
        .map((name) => host.accounts.jidOfUser(name).bare),
    }),
  ),
  command('get-online-users-num', 'How many users are online?', (host) =>
    shown({ onlineusersnum: [String(sessionsOf(host).length)] }),
  ),
  command('get-online-users-list', 'List the users online', (host) =>
    shown({
      onlineuserjids: sessionsOf(host)
        .slice(0, LISTED_MAX)
        .map(({ jid }) => jid.full),
    }),
  ),
  command('get-active-users-num', 'How many users are available?', (host) =>
    shown({
      activeusersnum: [String(sessionsOf(host).filter((each) => each.presence.available).length)],
    }),
  ),
  command('announce', 'Tell everybody online', announce, [
    { name: 'subject', type: 'text-single', label: 'Subject', value: '' },
    {
      name: 'announcement',
      type: 'text-multi',
      label: 'Announcement',
      value: [],
      required: true,
    },
  ]),
];

function command(
  name: string,
  label: string,
  run: Command['run'],
  fields: readonly Field[] | null = null,
): Command {
  return {
    node: `${NS.ADMIN}#${name}`,
    name: label,
    administrators: true,
    form: fields === null ? null : () => form('form', NS.ADMIN, fields, { title: label }),
    run,
  };
}

async function addUser(
  host: Host,
  _session: ClientSession,
  values: Values,
): Promise<CommandResult> {
  const jid = accountIn(host, values);
  if (jid === null) return failure('That is no account of this server');
  const password = first(values, 'password');
  if (password !== first(values, 'password-verify')) {
    return failure('The two passwords are not the same');
  }
  return told(await addAccount(host, unescapeLocal(jid.local), password), jid);
}

function deleteUsers(host: Host, session: ClientSession, values: Values): CommandResult {
  const gone: string[] = [];
  for (const text of values.get('accountjids') ?? []) {
    const jid = ownAccount(host, text);
    if (jid === null) return failure(`${text} is no account of this server`);
    // The answer would not arrive.
    if (jid.bare === session.jid.bare) return failure('Nobody deletes their own account here');
    const change = host.context.accounts.remove(unescapeLocal(jid.local));
    if (change !== 'done') return told(change, jid);
    endAccount(host, jid);
    gone.push(jid.bare);
  }
  return success(`Deleted: ${gone.join(', ')}`);
}

async function changePassword(
  host: Host,
  _session: ClientSession,
  values: Values,
): Promise<CommandResult> {
  const jid = accountIn(host, values);
  if (jid === null) return failure('That is no account of this server');
  const user = unescapeLocal(jid.local);
  return told(await host.context.accounts.setPassword(user, first(values, 'password')), jid);
}

function endUserSessions(host: Host, session: ClientSession, values: Values): CommandResult {
  let ended = 0;
  for (const text of values.get('accountjids') ?? []) {
    const jid = ownAccount(host, text);
    if (jid === null) return failure(`${text} is no account of this server`);
    ended += endSessions(host, jid, 'policy-violation', session);
  }
  return success(`${ended} sessions ended`);
}

function lastLogin(host: Host, _session: ClientSession, values: Values): CommandResult {
  const jid = accountIn(host, values);
  if (jid === null) return failure('That is no account of this server');
  const online = host.accounts.online(jid.local) !== undefined;
  const left = online ? host.context.clock.now() : host.lastSeen.get(jid.bare);
  if (left === null) return failure(`${jid.bare} was never here`);
  return shown({ accountjid: [jid.bare], lastlogin: [stampAt(left)] });
}

function announce(host: Host, _session: ClientSession, values: Values): CommandResult {
  const subject = first(values, 'subject');
  const body = (values.get('announcement') ?? []).join('\n');
  const online = sessionsOf(host).filter((each) => each.presence.available);
  for (const { jid } of online) {
    host.router.send(
      element(
        'message',
        { from: host.domains.host, to: jid.full, id: host.nextId() },
        subject === '' ? null : element('subject', {}, subject),
        element('body', {}, body),
      ),
    );
  }
  return success(`${online.length} sessions told`);
}

function sessionsOf(host: Host): ClientSession[] {
  return [...host.accounts.all()].flatMap((account) => [...account.sessions.values()]);
}

function accountIn(host: Host, values: Values): Jid | null {
  return ownAccount(host, first(values, 'accountjid'));
}

function ownAccount(host: Host, text: string): Jid | null {
  const jid = parseJid(text.trim());
  return jid !== null && jid.local !== '' && jid.domain === host.domains.host ? jid : null;
}

function first(values: Values, name: string): string {
  return values.get(name)?.[0] ?? '';
}

function told(change: AccountChange, jid: Jid): CommandResult {
  switch (change) {
    case 'done':
      return success(`${jid.bare}: done`);
    case 'exists':
      return failure(`${jid.bare} exists already`);
    case 'unknown':
      return failure(`There is no ${jid.bare}`);
    case 'configured':
      return failure(`${jid.bare} stands in the configuration file, which is where it is changed`);
  }
}

function success(text: string): CommandResult {
  return { note: { type: 'info', text } };
}

function failure(text: string): CommandResult {
  return { note: { type: 'error', text } };
}

/** XEP-0133: each answer is a form of one field or two, for machines as well. */
function shown(values: Readonly<Record<string, readonly string[]>>): CommandResult {
  const fields = Object.entries(values).map(
    ([name, value]): Field => ({ name, type: 'text-multi', label: '', value }),
  );
  return { form: form('result', NS.ADMIN, fields) };
}
