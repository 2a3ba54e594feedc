import type { AccountLimits } from '../../../core/auth.ts';
import { userLimitsJson, vhostLimitsJson } from '../../../core/definitions.ts';
import type { VhostLimits } from '../../../core/engine.ts';
import { listed } from './listing.ts';
import { type Answer, badRequest, type Call, DONE, NOT_FOUND, type Route } from './route.ts';
import { requireChanged, views } from './users.ts';

/** RabbitMQ's names of limits, and ours. */
const VHOST_LIMITS: Readonly<Record<string, keyof VhostLimits>> = {
  'max-connections': 'connectionsMax',
  'max-queues': 'queuesMax',
};
const USER_LIMITS: Readonly<Record<string, keyof AccountLimits>> = {
  'max-connections': 'connectionsMax',
  'max-channels': 'channelsMax',
};

export const LIMIT_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/vhost-limits',
    needs: 'anybody',
    answer: (call) =>
      listed(
        call,
        call.visibleVhosts().flatMap((name) => ofVhost(call, name)),
      ),
  },
  {
    method: 'GET',
    path: '/vhost-limits/:vhost',
    needs: 'anybody',
    answer: (call) => listed(call, ofVhost(call, call.param('vhost'))),
  },
  {
    method: 'PUT',
    path: '/vhost-limits/:vhost/:limit',
    needs: 'administrator',
    answer: (call) => setVhostLimit(call, limitOf(call)),
  },
  {
    method: 'DELETE',
    path: '/vhost-limits/:vhost/:limit',
    needs: 'administrator',
    answer: (call) => setVhostLimit(call, undefined),
  },
  {
    method: 'GET',
    path: '/user-limits',
    needs: 'administrator',
    answer: (call) => listed(call, ofUsers(call)),
  },
  {
    method: 'GET',
    path: '/user-limits/:user',
    needs: 'administrator',
    answer: (call) =>
      call.api.context.accounts.view(call.param('user')) === undefined
        ? NOT_FOUND
        : listed(
            call,
            ofUsers(call).filter(({ user }) => user === call.param('user')),
          ),
  },
  {
    method: 'PUT',
    path: '/user-limits/:user/:limit',
    needs: 'administrator',
    answer: (call) => setUserLimit(call, limitOf(call)),
  },
  {
    method: 'DELETE',
    path: '/user-limits/:user/:limit',
    needs: 'administrator',
    answer: (call) => setUserLimit(call, undefined),
  },
];

function ofVhost({ api }: Call, vhost: string) {
  const limits = api.context.engine.admin.vhost(vhost)?.limits;
  const value = limits === undefined ? {} : vhostLimitsJson(limits);
  return Object.keys(value).length === 0 ? [] : [{ vhost, value }];
}

function ofUsers(call: Call) {
  return views(call)
    .map((view) => ({ user: view.name, value: userLimitsJson(view) }))
    .filter(({ value }) => Object.keys(value).length > 0);
}

/** Negative is none. */
function limitOf(call: Call): number | undefined {
  return call.read(['value'], (fields) => fields.limit('value'));
}

function nameOf<T>(call: Call, names: Readonly<Record<string, T>>): T {
  const limit = call.param('limit');
  const name = Object.hasOwn(names, limit) ? names[limit] : undefined;
  if (name !== undefined) return name;
  throw badRequest(`Validation failed\n\nUnrecognised terms '${limit}' in limits\n`);
}

function setVhostLimit(call: Call, value: number | undefined): Answer {
  const { admin } = call.api.context.engine;
  const vhost = call.param('vhost');
  const limits = admin.vhost(vhost)?.limits;
  if (limits === undefined) return NOT_FOUND;
  admin.setVhostLimits(vhost, { ...limits, [nameOf(call, VHOST_LIMITS)]: value });
  return DONE;
}

function setUserLimit(call: Call, value: number | undefined): Answer {
  const { accounts } = call.api.context;
  const user = call.param('user');
  const view = accounts.view(user);
  if (view === undefined) throw badRequest(`no_such_user: '${user}'`);
  const { connectionsMax, channelsMax } = view;
  const limits = { connectionsMax, channelsMax, [nameOf(call, USER_LIMITS)]: value };
  requireChanged(accounts.setLimits(user, limits), user);
  return DONE;
}
