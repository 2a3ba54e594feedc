import { queueJson } from '../../../core/definitions.ts';
import { queueSpecOf } from '../../../core/definitions-document.ts';
import type { QueueView } from '../../../core/engine.ts';
import { bindingsWhere } from './bindings.ts';
import { listed, shown } from './listing.ts';
import { pull } from './messages.ts';
import { NODE } from './node.ts';
import { type Call, CREATED, DONE, NOT_FOUND, type Route } from './route.ts';

const ONE = '/queues/:vhost/:name';

export const QUEUE_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/queues',
    needs: 'anybody',
    answer: (call) =>
      listed(
        call,
        call.visibleVhosts().flatMap((vhost) => queuesOf(call, vhost)),
      ),
  },
  {
    method: 'GET',
    path: '/queues/:vhost',
    needs: 'anybody',
    answer: (call) => listed(call, queuesOf(call, call.param('vhost'))),
  },
  {
    method: 'GET',
    path: ONE,
    needs: 'anybody',
    answer: (call) => {
      const queue = find(call);
      return queue === undefined ? NOT_FOUND : shown(call, viewJson(queue, call.param('vhost')));
    },
  },
  { method: 'PUT', path: ONE, needs: 'anybody', answer: put },
  { method: 'DELETE', path: ONE, needs: 'anybody', answer: remove },
  {
    method: 'DELETE',
    path: `${ONE}/contents`,
    needs: 'anybody',
    answer: async (call) => {
      if (find(call) === undefined) return NOT_FOUND;
      await call.inVhost((session) => session.purgeQueue(call.param('name')));
      return DONE;
    },
  },
  {
    method: 'GET',
    path: `${ONE}/bindings`,
    needs: 'anybody',
    answer: (call) =>
      find(call) === undefined
        ? NOT_FOUND
        : listed(
            call,
            bindingsWhere(
              call,
              (each) => !each.toExchange && each.destination === call.param('name'),
            ),
          ),
  },
  { method: 'POST', path: `${ONE}/get`, needs: 'anybody', answer: pull },
];

async function put(call: Call) {
  const name = call.param('name');
  const spec = { name, ...call.read([], queueSpecOf) };
  const existed = find(call) !== undefined;
  await call.inVhost((session) => session.declareQueue(spec, false));
  return existed ? DONE : CREATED;
}

async function remove(call: Call) {
  if (find(call) === undefined) return NOT_FOUND;
  const [unused, empty] = [call.flag('if-unused'), call.flag('if-empty')];
  await call.inVhost((session) => session.deleteQueue(call.param('name'), unused, empty));
  return DONE;
}

function queuesOf({ api }: Call, vhost: string) {
  return Array.from(api.context.engine.admin.queues(vhost), (view) => viewJson(view, vhost));
}

function find(call: Call): QueueView | undefined {
  for (const view of call.api.context.engine.admin.queues(call.param('vhost'))) {
    if (view.name === call.param('name')) return view;
  }
  return undefined;
}

function viewJson(view: QueueView, vhost: string) {
  const { name, type, ready, unacknowledged, consumers, bytes, exclusive } = view;
  return {
    ...queueJson(view),
    name,
    vhost,
    type,
    exclusive,
    node: NODE,
    state: 'running',
    consumers,
    messages: ready + unacknowledged,
    messages_ready: ready,
    messages_unacknowledged: unacknowledged,
    message_bytes: bytes,
    memory: bytes,
    policy: view.policy,
    operator_policy: view.operatorPolicy,
    effective_policy_definition: view.effectivePolicyDefinition,
  };
}
