import { policyJson } from '../../../core/definitions.ts';
import { policyOf } from '../../../core/definitions-document.ts';
import type { PolicyKind } from '../../../core/policy.ts';
import { listed, shown } from './listing.ts';
import { type Call, CREATED, DONE, NOT_FOUND, type Route } from './route.ts';

export const POLICY_ROUTES: readonly Route[] = [
  ...routesOf('/policies', 'user'),
  ...routesOf('/operator-policies', 'operator'),
];

/** Policies are the policymakers'; those of operators the administrators'. */
function routesOf(base: string, kind: PolicyKind): Route[] {
  const needs = kind === 'user' ? 'policymaker' : 'administrator';
  const one = `${base}/:vhost/:name`;
  return [
    {
      method: 'GET',
      path: base,
      needs: 'anybody',
      answer: (call) =>
        listed(
          call,
          call.visibleVhosts().flatMap((vhost) => policiesOf(call, kind, vhost)),
        ),
    },
    {
      method: 'GET',
      path: `${base}/:vhost`,
      needs: 'anybody',
      answer: (call) => listed(call, policiesOf(call, kind, call.param('vhost'))),
    },
    {
      method: 'GET',
      path: one,
      needs: 'anybody',
      answer: (call) => {
        const policy = find(call, kind);
        return policy === undefined ? NOT_FOUND : shown(call, policy);
      },
    },
    {
      method: 'PUT',
      path: one,
      needs,
      answer: (call) => {
        const name = call.param('name');
        const policy = call.read(['pattern', 'definition'], (fields) => policyOf(fields, name));
        const existed = find(call, kind) !== undefined;
        call.api.context.engine.admin.setPolicy(call.param('vhost'), kind, policy);
        return existed ? DONE : CREATED;
      },
    },
    {
      method: 'DELETE',
      path: one,
      needs,
      answer: (call) => {
        if (find(call, kind) === undefined) return NOT_FOUND;
        call.api.context.engine.admin.clearPolicy(call.param('vhost'), kind, call.param('name'));
        return DONE;
      },
    },
  ];
}

function policiesOf({ api }: Call, kind: PolicyKind, vhost: string) {
  return api.context.engine.admin
    .policies(vhost, kind)
    .map((policy) => ({ vhost, ...policyJson(policy), name: policy.name }));
}

function find(call: Call, kind: PolicyKind) {
  const name = call.param('name');
  return policiesOf(call, kind, call.param('vhost')).find((policy) => policy.name === name);
}
