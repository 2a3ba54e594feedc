import { permissionsJson, topicPermissionsJson } from '../../../core/definitions.ts';
import { vhostMetadataOf } from '../../../core/definitions-document.ts';
import type { VhostView } from '../../../core/engine.ts';
import { connectionsWhere } from './connections.ts';
import { listed, shown } from './listing.ts';
import { NODE } from './node.ts';
import {
  type Call,
  CREATED,
  DONE,
  NOT_FOUND,
  NOT_YOURS,
  type Route,
  unauthorized,
} from './route.ts';

export const VHOST_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/vhosts',
    needs: 'anybody',
    answer: (call) =>
      listed(
        call,
        call.visibleVhosts().map((name) => vhostJson(call, name)),
      ),
  },
  {
    method: 'GET',
    path: '/vhosts/:vhost',
    ofAnyVhost: true,
    needs: 'anybody',
    answer: (call) => {
      if (viewOf(call) === undefined) return NOT_FOUND;
      if (call.visibleVhosts().includes(call.param('vhost'))) {
        return shown(call, vhostJson(call, call.param('vhost')));
      }
      throw unauthorized(NOT_YOURS);
    },
  },
  {
    method: 'PUT',
    path: '/vhosts/:vhost',
    ofAnyVhost: true,
    needs: 'administrator',
    answer: putVhost,
  },
  {
    method: 'DELETE',
    path: '/vhosts/:vhost',
    ofAnyVhost: true,
    needs: 'administrator',
    answer: (call) => {
      if (viewOf(call) === undefined) return NOT_FOUND;
      call.api.context.engine.admin.deleteVhost(call.param('vhost'));
      return DONE;
    },
  },
  {
    method: 'GET',
    path: '/vhosts/:vhost/permissions',
    ofAnyVhost: true,
    needs: 'administrator',
    answer: (call) => ofUsers(call, permissionsJson),
  },
  {
    method: 'GET',
    path: '/vhosts/:vhost/topic-permissions',
    ofAnyVhost: true,
    needs: 'administrator',
    answer: (call) => ofUsers(call, topicPermissionsJson),
  },
  {
    method: 'GET',
    path: '/vhosts/:vhost/connections',
    ofAnyVhost: true,
    needs: 'monitoring',
    answer: (call) =>
      viewOf(call) === undefined
        ? NOT_FOUND
        : listed(
            call,
            connectionsWhere(call, ({ vhost }) => vhost === call.param('vhost')),
          ),
  },
];

function putVhost(call: Call) {
  const { admin } = call.api.context.engine;
  const { description, tags, defaultQueueType } = call.read([], (fields) => {
    if (fields.flag('tracing', false)) fields.wrong('tracing', 'there is no tracing here');
    return vhostMetadataOf(fields);
  });
  const name = call.param('vhost');
  const created = admin.putVhost(name, {
    ...(description === undefined ? {} : { description }),
    ...(tags === undefined ? {} : { tags }),
    ...(defaultQueueType === undefined ? {} : { defaultQueueType }),
  });
  if (!created) return DONE;
  // As in RabbitMQ, who makes a vhost may use it.
  const all = { configure: '.*', write: '.*', read: '.*' };
  call.api.context.accounts.setPermission(call.asker.name, name, all);
  return CREATED;
}

function viewOf(call: Call): VhostView | undefined {
  return call.api.context.engine.admin.vhost(call.param('vhost'));
}

function ofUsers(call: Call, read: typeof permissionsJson) {
  if (viewOf(call) === undefined) return NOT_FOUND;
  const { accounts } = call.api.context;
  const all = accounts.names().flatMap((name) => {
    const view = accounts.view(name);
    return view === undefined ? [] : read(view);
  });
  return listed(
    call,
    all.filter(({ vhost }) => vhost === call.param('vhost')),
  );
}

function vhostJson({ api }: Call, name: string) {
  const { admin } = api.context.engine;
  const { description = '', tags = [], defaultQueueType = '' } = admin.vhost(name) ?? {};
  let [ready, unacknowledged] = [0, 0];
  for (const queue of admin.queues(name)) {
    ready += queue.ready;
    unacknowledged += queue.unacknowledged;
  }
  const type = defaultQueueType === '' ? 'undefined' : defaultQueueType;
  return {
    name,
    description,
    tags,
    default_queue_type: type,
    metadata: { description, tags, ...(type === 'undefined' ? {} : { default_queue_type: type }) },
    tracing: false,
    cluster_state: { [NODE]: 'running' },
    messages: ready + unacknowledged,
    messages_ready: ready,
    messages_unacknowledged: unacknowledged,
  };
}
