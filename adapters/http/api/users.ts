import type { AccountChange, AccountView } from '../../../core/auth.ts';
import { permissionsJson, topicPermissionsJson, userJson } from '../../../core/definitions.ts';
import { type Fields, permissionSpecOf, secretOf } from '../../../core/definitions-document.ts';
import { isName } from '../../../core/definitions-import.ts';
import { BrokerError } from '../../../core/errors.ts';
import { listed, shown } from './listing.ts';
import { badRequest, type Call, CREATED, DONE, found, NOT_FOUND, type Route } from './route.ts';

export const USER_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/users',
    needs: 'administrator',
    answer: (call) => listed(call, views(call).map(userJson)),
  },
  {
    method: 'GET',
    path: '/users/without-permissions',
    needs: 'administrator',
    answer: (call) => {
      const without = views(call).filter(
        ({ permissions }) => Object.keys(permissions).length === 0,
      );
      return listed(call, without.map(userJson));
    },
  },
  {
    method: 'POST',
    path: '/users/bulk-delete',
    needs: 'administrator',
    answer: (call) => {
      const users = call.read(['users'], (fields) => fields.raw('users'));
      if (!Array.isArray(users)) throw badRequest('users: expected a list of names');
      const names = users.map(String);
      const kept = names.find((name) => accountsOf(call).view(name)?.configured === true);
      if (kept !== undefined) throw configured(kept);
      for (const name of names) remove(call, name);
      return DONE;
    },
  },
  {
    method: 'GET',
    path: '/users/:user',
    needs: 'administrator',
    answer: (call) => {
      const view = viewOf(call);
      return view === undefined ? NOT_FOUND : shown(call, userJson(view));
    },
  },
  { method: 'PUT', path: '/users/:user', needs: 'administrator', answer: put },
  {
    method: 'DELETE',
    path: '/users/:user',
    needs: 'administrator',
    answer: (call) => (remove(call, call.param('user')) === 'unknown' ? NOT_FOUND : DONE),
  },
  {
    method: 'GET',
    path: '/users/:user/permissions',
    needs: 'administrator',
    answer: (call) => {
      const view = viewOf(call);
      return view === undefined ? NOT_FOUND : listed(call, permissionsJson(view));
    },
  },
  {
    method: 'GET',
    path: '/users/:user/topic-permissions',
    needs: 'administrator',
    answer: (call) => {
      const view = viewOf(call);
      return view === undefined ? NOT_FOUND : listed(call, topicPermissionsJson(view));
    },
  },
  {
    method: 'GET',
    path: '/whoami',
    needs: 'anybody',
    answer: ({ asker: { name, tags } }) => found({ name, tags }),
  },
];

export function views(call: Call): AccountView[] {
  const accounts = accountsOf(call);
  return accounts.names().flatMap((name) => accounts.view(name) ?? []);
}

/** Throws Refusal for an account of the configuration file. */
export function requireChanged(change: AccountChange, user: string): AccountChange {
  if (change === 'configured') throw configured(user);
  return change;
}

function configured(user: string) {
  return badRequest(`user '${user}' stands in the configuration file: it is changed there`);
}

function accountsOf(call: Call) {
  return call.api.context.accounts;
}

function viewOf(call: Call): AccountView | undefined {
  return accountsOf(call).view(call.param('user'));
}

async function put(call: Call) {
  const name = call.param('user');
  const { limits } = call.api.context;
  if (!isName(name, limits.nameBytesMax)) {
    throw badRequest(`user name is not 1 to ${limits.nameBytesMax} bytes`);
  }
  const asked = call.read([], (fields) => ({
    secret: secretOf(fields),
    tags: tagsOf(fields),
    permissions: Object.keys(fields.json('permissions')).map((vhost) => ({
      vhost,
      permission: permissionSpecOf(fields.object('permissions').object(vhost)),
    })),
  }));
  const { admin } = call.api.context.engine;
  const missing = asked.permissions.find(({ vhost }) => admin.vhost(vhost) === undefined);
  if (missing !== undefined) throw badRequest(`there is no vhost '${missing.vhost}'`);
  const existed = viewOf(call) !== undefined;
  requireChanged(await accountsOf(call).put(name, asked.secret, asked.tags), name);
  for (const { vhost, permission } of asked.permissions) {
    accountsOf(call).setPermission(name, vhost, permission);
  }
  return existed ? DONE : CREATED;
}

/** Before there were tags, there was `administrator`. */
function tagsOf(fields: Fields): readonly string[] {
  if (fields.raw('tags') !== undefined) return fields.tags('tags');
  if (!fields.has('administrator')) throw badRequest('tags_not_present');
  return fields.flag('administrator', false) ? ['administrator'] : [];
}

/** Ends the account's connections with it, as RabbitMQ does. */
function remove(call: Call, user: string): AccountChange {
  const change = requireChanged(accountsOf(call).remove(user), user);
  if (change !== 'done') return change;
  const reason = new BrokerError('unavailable', `user '${user}' was deleted`);
  call.api.context.engine.admin.evict((session) => session.user === user, reason);
  return change;
}
