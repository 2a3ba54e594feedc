import { exchangeJson } from '../../../core/definitions.ts';
import { exchangeSpecOf } from '../../../core/definitions-document.ts';
import type { ExchangeView } from '../../../core/engine.ts';
import { bindingsWhere } from './bindings.ts';
import { listed, shown } from './listing.ts';
import { publish } from './messages.ts';
import { type Call, CREATED, DONE, LARGE_BODY_BYTES_MAX, NOT_FOUND, type Route } from './route.ts';

const ONE = '/exchanges/:vhost/:name';

export const EXCHANGE_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/exchanges',
    needs: 'anybody',
    answer: (call) =>
      listed(
        call,
        call.visibleVhosts().flatMap((vhost) => exchangesOf(call, vhost)),
      ),
  },
  {
    method: 'GET',
    path: '/exchanges/:vhost',
    needs: 'anybody',
    answer: (call) => listed(call, exchangesOf(call, call.param('vhost'))),
  },
  {
    method: 'GET',
    path: ONE,
    needs: 'anybody',
    answer: (call) => {
      const exchange = find(call);
      return exchange === undefined ? NOT_FOUND : shown(call, exchange);
    },
  },
  { method: 'PUT', path: ONE, needs: 'anybody', answer: put },
  {
    method: 'DELETE',
    path: ONE,
    needs: 'anybody',
    answer: async (call) => {
      if (find(call) === undefined) return NOT_FOUND;
      const unused = call.flag('if-unused');
      await call.inVhost((session) => session.deleteExchange(call.exchange('name'), unused));
      return DONE;
    },
  },
  {
    method: 'GET',
    path: `${ONE}/bindings/source`,
    needs: 'anybody',
    answer: (call) =>
      find(call) === undefined
        ? NOT_FOUND
        : listed(
            call,
            bindingsWhere(call, ({ source }) => source === call.exchange('name')),
          ),
  },
  {
    method: 'GET',
    path: `${ONE}/bindings/destination`,
    needs: 'anybody',
    answer: (call) =>
      find(call) === undefined
        ? NOT_FOUND
        : listed(
            call,
            bindingsWhere(
              call,
              (each) => each.toExchange && each.destination === call.exchange('name'),
            ),
          ),
  },
  {
    method: 'POST',
    path: `${ONE}/publish`,
    needs: 'anybody',
    bodyBytesMax: LARGE_BODY_BYTES_MAX,
    answer: publish,
  },
];

async function put(call: Call) {
  const name = call.param('name');
  const spec = { name, ...call.read([], exchangeSpecOf) };
  const existed = find(call) !== undefined;
  await call.inVhost((session) => session.declareExchange(spec, false));
  return existed ? DONE : CREATED;
}

function exchangesOf({ api }: Call, vhost: string) {
  return Array.from(api.context.engine.admin.exchanges(vhost), (view) => viewJson(view, vhost));
}

function find(call: Call) {
  return exchangesOf(call, call.param('vhost')).find(({ name }) => name === call.exchange('name'));
}

function viewJson(view: ExchangeView, vhost: string) {
  return {
    ...exchangeJson(view),
    name: view.name,
    vhost,
    ...(view.policy === null ? {} : { policy: view.policy }),
    // What users see of who made it is not kept.
    user_who_performed_action: '',
  };
}
