import { permissionsJson, topicPermissionsJson } from '../../../core/definitions.ts';
import { permissionSpecOf, topicPermissionSpecOf } from '../../../core/definitions-document.ts';
import { listed, shown } from './listing.ts';
import {
  type Answer,
  badRequest,
  type Call,
  CREATED,
  DONE,
  NOT_FOUND,
  type Route,
} from './route.ts';
import { requireChanged, views } from './users.ts';

export const PERMISSION_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/permissions',
    needs: 'administrator',
    answer: (call) => listed(call, views(call).flatMap(permissionsJson)),
  },
  {
    method: 'GET',
    path: '/permissions/:vhost/:user',
    needs: 'administrator',
    answer: (call) => {
      const [one] = ofBoth(call, permissionsJson);
      return one === undefined ? NOT_FOUND : shown(call, one);
    },
  },
  {
    method: 'PUT',
    path: '/permissions/:vhost/:user',
    ofAnyVhost: true,
    needs: 'administrator',
    answer: put,
  },
  {
    method: 'DELETE',
    path: '/permissions/:vhost/:user',
    needs: 'administrator',
    answer: (call) => {
      if (ofBoth(call, permissionsJson).length === 0) return NOT_FOUND;
      const { user, vhost } = where(call);
      requireChanged(call.api.context.accounts.setPermission(user, vhost, null), user);
      return DONE;
    },
  },
  {
    method: 'GET',
    path: '/topic-permissions',
    needs: 'administrator',
    answer: (call) => listed(call, views(call).flatMap(topicPermissionsJson)),
  },
  {
    method: 'GET',
    path: '/topic-permissions/:vhost/:user',
    needs: 'administrator',
    answer: (call) => {
      const list = ofBoth(call, topicPermissionsJson);
      return list.length === 0 ? NOT_FOUND : listed(call, list);
    },
  },
  {
    method: 'PUT',
    path: '/topic-permissions/:vhost/:user',
    ofAnyVhost: true,
    needs: 'administrator',
    answer: putTopic,
  },
  {
    method: 'DELETE',
    path: '/topic-permissions/:vhost/:user',
    needs: 'administrator',
    answer: (call) => deleteTopic(call, call.query['exchange']),
  },
  {
    method: 'DELETE',
    path: '/topic-permissions/:vhost/:user/:exchange',
    needs: 'administrator',
    answer: (call) => deleteTopic(call, call.exchange('exchange')),
  },
];

function where(call: Call) {
  return { user: call.param('user'), vhost: call.param('vhost') };
}

function ofBoth(call: Call, read: typeof permissionsJson) {
  const { user, vhost } = where(call);
  const view = call.api.context.accounts.view(user);
  return view === undefined ? [] : read(view).filter((each) => each['vhost'] === vhost);
}

function requireBoth(call: Call): void {
  const { accounts, engine } = call.api.context;
  const { user, vhost } = where(call);
  if (accounts.view(user) !== undefined && engine.admin.vhost(vhost) !== undefined) return;
  throw badRequest('vhost_or_user_not_found');
}

function put(call: Call): Answer {
  const permission = call.read(['configure', 'write', 'read'], permissionSpecOf);
  requireBoth(call);
  const { user, vhost } = where(call);
  const existed = ofBoth(call, permissionsJson).length > 0;
  requireChanged(call.api.context.accounts.setPermission(user, vhost, permission), user);
  return existed ? DONE : CREATED;
}

function putTopic(call: Call): Answer {
  const asked = call.read(['exchange', 'write', 'read'], (fields) => ({
    exchange: fields.text('exchange'),
    permission: topicPermissionSpecOf(fields),
  }));
  requireBoth(call);
  const { user, vhost } = where(call);
  const existed = ofBoth(call, topicPermissionsJson).length > 0;
  const { accounts } = call.api.context;
  requireChanged(accounts.setTopicPermission(user, vhost, asked.exchange, asked.permission), user);
  return existed ? DONE : CREATED;
}

/** Of one exchange, or of all where none is `wanted`. */
function deleteTopic(call: Call, wanted: unknown): Answer {
  const { user, vhost } = where(call);
  const list = ofBoth(call, topicPermissionsJson).filter(
    ({ exchange }) => wanted === undefined || exchange === wanted,
  );
  if (list.length === 0) return NOT_FOUND;
  for (const { exchange } of list) {
    const { accounts } = call.api.context;
    requireChanged(accounts.setTopicPermission(user, vhost, String(exchange), null), user);
  }
  return DONE;
}
