import { exportDefinitions, parametersJson } from '../../../core/definitions.ts';
import { DefinitionsError, importDefinitions } from '../../../core/definitions-import.ts';
import { listed } from './listing.ts';
import { type Call, DONE, found, LARGE_BODY_BYTES_MAX, Refusal, type Route } from './route.ts';

export const DEFINITION_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/definitions',
    needs: 'administrator',
    answer: (call) => found(exportDefinitions(targetOf(call))),
  },
  {
    method: 'POST',
    path: '/definitions',
    needs: 'administrator',
    bodyBytesMax: LARGE_BODY_BYTES_MAX,
    answer: (call) => take(call, null),
  },
  {
    method: 'GET',
    path: '/parameters',
    needs: 'policymaker',
    answer: (call) =>
      listed(
        call,
        call.visibleVhosts().flatMap((name) => parametersJson(targetOf(call).admin, name)),
      ),
  },
  { method: 'GET', path: '/global-parameters', needs: 'policymaker', answer: () => found([]) },
  {
    method: 'GET',
    path: '/definitions/:vhost',
    needs: 'administrator',
    answer: (call) => found(exportDefinitions(targetOf(call), call.param('vhost'))),
  },
  {
    method: 'POST',
    path: '/definitions/:vhost',
    needs: 'administrator',
    bodyBytesMax: LARGE_BODY_BYTES_MAX,
    answer: (call) => take(call, call.param('vhost')),
  },
];

function targetOf({ api }: Call) {
  const { engine, accounts, product } = api.context;
  return { engine, admin: engine.admin, accounts, version: product.version };
}

async function take(call: Call, vhost: string | null) {
  try {
    await importDefinitions(targetOf(call), call.json(), vhost);
  } catch (error) {
    if (!(error instanceof DefinitionsError)) throw error;
    throw new Refusal(400, 'bad_request', error.message, { problems: error.problems });
  }
  return DONE;
}
