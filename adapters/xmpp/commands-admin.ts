/** Service administration (XEP-0133): accounts, who is there, a word to everybody. */
import type { AccountChange } from '../../core/auth.ts';
import type { Command, CommandResult, Values } from './commands.ts';
import { element, serialize, withAttributes } from './element.ts';
import { endAccount, endSessions } from './erasure.ts';
import { type Field, form } from './form.ts';
import type { Host } from './host.ts';
import { type Jid, parseJid, unescapeLocal } from './jid.ts';
import { NS } from './namespaces.ts';
import { addAccount } from './registration.ts';
import { contactItem, rosterQuery } from './roster.ts';
import type { ClientSession } from './session.ts';
import { stampAt } from './wire.ts';

/** JIDs that one list shows where nobody says how many. */
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
const MAX_ITEMS: Field = {
  name: 'max_items',
  type: 'list-single',
  label: 'How many at most',
  value: 'none',
  options: ['25', '50', '75', '100', '150', '200', 'none'],
};

export const ADMIN_COMMANDS: readonly Command[] = [
  command('add-user', 'Add a user', addUser, [
    ACCOUNT,
    PASSWORD,
    { ...PASSWORD, name: 'password-verify', label: 'Once more' },
  ]),
  command('delete-user', 'Delete users', deleteUsers, [ACCOUNTS]),
  command('change-user-password', "Change a user's password", changePassword, [ACCOUNT, PASSWORD]),
  command('authenticate-user', "Check a user's password", authenticate, [ACCOUNT, PASSWORD]),
  command('end-user-session', 'End the sessions of users', endUserSessions, [ACCOUNTS]),
  command('get-user-roster', "Show a user's roster", showRoster, [ACCOUNTS]),
  command('get-user-lastlogin', 'When was a user last here?', lastLogin, [ACCOUNTS]),
  command('user-stats', 'Statistics of a user', userStatistics, [ACCOUNTS]),
  command('get-registered-users-num', 'How many users are there?', (host) =>
    shown({ registeredusersnum: [String(host.context.accounts.names().length)] }),
  ),
  command('get-registered-users-list', 'List the users', listRegistered, [MAX_ITEMS]),
  command('get-online-users-num', 'How many users are online?', (host) =>
    shown({ onlineusersnum: [String(usersOf(sessionsOf(host)).length)] }),
  ),
  command(
    'get-online-users-list',
    'List the users online',
    (host, _session, values) =>
      shown({ onlineuserjids: usersOf(sessionsOf(host)).slice(0, most(values)) }),
    [MAX_ITEMS],
  ),
  command('get-active-users-num', 'How many users are available?', (host) =>
    shown({ activeusersnum: [String(usersOf(activeOf(host)).length)] }),
  ),
  command(
    'get-active-users',
    'List the users that are available',
    (host, _session, values) =>
      shown({ activeuserjids: usersOf(activeOf(host)).slice(0, most(values)) }),
    [MAX_ITEMS],
  ),
  command('get-active-presences', 'Show the presence of all', presences, [MAX_ITEMS]),
  command('get-idle-users-num', 'How many users are online, and not available?', (host) =>
    shown({
      idleusersnum: [String(usersOf(sessionsOf(host)).length - usersOf(activeOf(host)).length)],
    }),
  ),
  command('get-sessions-num', 'How many sessions are there?', (host) =>
    shown({ onlineuserssessionsnum: [String(sessionsOf(host).length)] }),
  ),
  command('get-server-stats', 'Statistics of the server', serverStatistics),
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
  const jid = accountIn(host, first(values, 'accountjid'), 'create');
  if (isResult(jid)) return jid;
  const password = first(values, 'password');
  if (password !== first(values, 'password-verify')) return failure('Passwords do not match');
  return told(await addAccount(host, unescapeLocal(jid.local), password), jid);
}

function deleteUsers(host: Host, session: ClientSession, values: Values): CommandResult {
  for (const text of values.get('accountjids') ?? []) {
    const jid = accountIn(host, text, 'delete');
    if (isResult(jid)) return jid;
    // The answer would not arrive.
    if (jid.bare === session.jid.bare) return failure('Nobody deletes their own account here');
    const change = host.context.accounts.remove(unescapeLocal(jid.local));
    if (change !== 'done') return told(change, jid);
    endAccount(host, jid);
  }
  return success();
}

async function changePassword(
  host: Host,
  _session: ClientSession,
  values: Values,
): Promise<CommandResult> {
  const jid = accountIn(host, first(values, 'accountjid'), 'change');
  if (isResult(jid)) return jid;
  const user = unescapeLocal(jid.local);
  return told(await host.context.accounts.setPassword(user, first(values, 'password')), jid);
}

async function authenticate(
  host: Host,
  _session: ClientSession,
  values: Values,
): Promise<CommandResult> {
  const jid = accountIn(host, first(values, 'accountjid'), 'authenticate');
  if (isResult(jid)) return jid;
  const { authenticator } = host.context;
  const user = unescapeLocal(jid.local);
  if (!(await authenticator.exists(user))) return told('unknown', jid);
  const password = first(values, 'password');
  const answer = await authenticator.authenticate({ kind: 'password', user, password }, host.peer);
  return typeof answer === 'string' ? failure('Authentication failed') : success();
}

function endUserSessions(host: Host, session: ClientSession, values: Values): CommandResult {
  let ended = 0;
  for (const text of values.get('accountjids') ?? []) {
    const jid = accountIn(host, text, 'end sessions of');
    if (isResult(jid)) return jid;
    ended += endSessions(host, jid, 'policy-violation', session);
  }
  return success(`${ended} sessions ended`);
}

function showRoster(host: Host, _session: ClientSession, values: Values): CommandResult {
  const jid = accountIn(host, first(values, 'accountjids'), 'show the roster of');
  if (isResult(jid)) return jid;
  const contacts = Array.from(host.accounts.peek(jid.local).roster.contacts(), contactItem);
  return { ...shown({ accountjids: [jid.bare] }), more: rosterQuery(null, contacts) };
}

function lastLogin(host: Host, _session: ClientSession, values: Values): CommandResult {
  const jid = accountIn(host, first(values, 'accountjids'), 'know of');
  if (isResult(jid)) return jid;
  const online = host.accounts.online(jid.local) !== undefined;
  const left = online ? host.context.clock.now() : host.lastSeen.get(jid.bare);
  if (left === null) return failure(`${jid.bare} was never here`);
  return shown({ accountjids: [jid.bare], lastlogin: [stampAt(left)] });
}

function userStatistics(host: Host, _session: ClientSession, values: Values): CommandResult {
  const jid = accountIn(host, first(values, 'accountjids'), 'know of');
  if (isResult(jid)) return jid;
  const sessions = host.accounts.online(jid.local)?.sessions.keys() ?? [];
  return shown({
    accountjids: [jid.bare],
    rostersize: [String(host.accounts.peek(jid.local).roster.size)],
    onlineresources: [...sessions],
  });
}

function listRegistered(host: Host, _session: ClientSession, values: Values): CommandResult {
  const names = host.context.accounts.names().slice(0, most(values));
  return shown({ registereduserjids: names.map((name) => host.accounts.jidOfUser(name).bare) });
}

function presences(host: Host, _session: ClientSession, values: Values): CommandResult {
  const found = activeOf(host).slice(0, most(values));
  const texts = found.map(({ jid, presence }) =>
    presence.current === null
      ? ''
      : serialize(withAttributes(presence.current, { xmlns: NS.CLIENT, from: jid.full })),
  );
  return shown({ activeuserpresences: texts });
}

/** The product, who is there, and what the broker holds. */
function serverStatistics(host: Host): CommandResult {
  const { product, clock, engine } = host.context;
  const seconds = Math.floor((clock.now() - host.startedAt) / 1000);
  const totals = Object.entries(engine.admin.totals());
  return shown({
    name: [product.name],
    version: [product.version],
    domain: [host.domains.host],
    os: [process.platform],
    uptime: [String(seconds)],
    activeusersnum: [String(usersOf(activeOf(host)).length)],
    sessionsnum: [String(sessionsOf(host).length)],
    ...Object.fromEntries(totals.map(([name, value]) => [name, [String(value)]])),
  });
}

function announce(host: Host, _session: ClientSession, values: Values): CommandResult {
  const subject = first(values, 'subject');
  const body = (values.get('announcement') ?? []).join('\n');
  const online = activeOf(host);
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

/** Those of available resources. */
function activeOf(host: Host): ClientSession[] {
  return sessionsOf(host).filter(({ presence }) => presence.available);
}

/** Bare JIDs, each once. */
function usersOf(sessions: readonly ClientSession[]): string[] {
  return [...new Set(sessions.map(({ jid }) => jid.bare))];
}

function most(values: Values): number {
  const said = first(values, 'max_items');
  return /^\d{1,6}$/.test(said) ? Math.min(Number(said), LISTED_MAX) : LISTED_MAX;
}

/** The account that is meant, or what is wrong with its address. */
function accountIn(host: Host, text: string, what: string): Jid | CommandResult {
  const jid = parseJid(text.trim());
  if (jid === null || jid.local === '') return failure('Please provide a valid JID');
  return jid.domain === host.domains.host
    ? jid
    : failure(`Cannot ${what} remote user: ${jid.bare}`);
}

function isResult(found: Jid | CommandResult): found is CommandResult {
  return !('bare' in found);
}

function first(values: Values, name: string): string {
  return values.get(name)?.[0] ?? '';
}

function told(change: AccountChange, jid: Jid): CommandResult {
  switch (change) {
    case 'done':
      return success();
    case 'exists':
      return failure(`User already exists: ${jid.bare}`);
    case 'unknown':
      return failure(`User does not exist: ${jid.bare}`);
    case 'configured':
      return failure(`${jid.bare} stands in the configuration file, which is where it is changed`);
  }
}

/** In the words that other servers' administrators' tools look for. */
function success(detail?: string): CommandResult {
  const text = 'Operation finished successfully';
  return { note: { type: 'info', text: detail === undefined ? text : `${text}: ${detail}` } };
}

function failure(text: string): CommandResult {
  return { note: { type: 'error', text } };
}

/** XEP-0133: each answer is a form with its fields, for machines as well. */
function shown(values: Readonly<Record<string, readonly string[]>>): CommandResult {
  const fields = Object.entries(values).map(
    ([name, value]): Field => ({ name, type: 'text-multi', label: '', value }),
  );
  return { form: form('result', NS.ADMIN, fields) };
}
