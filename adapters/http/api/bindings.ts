import { createHash } from 'node:crypto';
import { bindingJson, tableOf } from '../../../core/definitions.ts';
import type { BindingSpec } from '../../../core/engine.ts';
import { NO_ARGUMENTS } from '../../../core/engine.ts';
import { listed, shown } from './listing.ts';
import { type Answer, type Call, DONE, NOT_FOUND, type Route } from './route.ts';

export const BINDING_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/bindings',
    needs: 'anybody',
    answer: (call) =>
      listed(
        call,
        call.visibleVhosts().flatMap((vhost) => bindingsWhere(call, () => true, vhost)),
      ),
  },
  {
    method: 'GET',
    path: '/bindings/:vhost',
    needs: 'anybody',
    answer: (call) =>
      listed(
        call,
        bindingsWhere(call, () => true),
      ),
  },
  ...routesBetween('q', false),
  ...routesBetween('e', true),
];

/** Between an exchange and a queue, or an exchange. */
function routesBetween(letter: 'q' | 'e', toExchange: boolean): Route[] {
  const pair = `/bindings/:vhost/e/:source/${letter}/:destination`;
  const one = `${pair}/:props`;
  const between = (call: Call) => (spec: BindingSpec) =>
    spec.toExchange === toExchange &&
    spec.source === call.exchange('source') &&
    spec.destination === call.param('destination');
  return [
    {
      method: 'GET',
      path: pair,
      needs: 'anybody',
      answer: (call) =>
        areThere(call, toExchange) ? listed(call, bindingsWhere(call, between(call))) : NOT_FOUND,
    },
    {
      method: 'POST',
      path: pair,
      needs: 'anybody',
      answer: (call) => bind(call, toExchange),
    },
    {
      method: 'GET',
      path: one,
      needs: 'anybody',
      answer: (call) => {
        const [binding] = bindingsWhere(
          call,
          (spec) => between(call)(spec) && keyOf(spec) === call.param('props'),
        );
        return binding === undefined ? NOT_FOUND : shown(call, binding);
      },
    },
    {
      method: 'DELETE',
      path: one,
      needs: 'anybody',
      answer: async (call) => {
        const binding = specsOf(call, call.param('vhost')).find(
          (spec) => between(call)(spec) && keyOf(spec) === call.param('props'),
        );
        if (binding === undefined) return NOT_FOUND;
        await call.inVhost((session) => session.unbind(binding));
        return DONE;
      },
    },
  ];
}

/** Of the vhost that the path names, where no other is meant. */
export function bindingsWhere(
  call: Call,
  wanted: (spec: BindingSpec) => boolean,
  vhost: string = call.param('vhost'),
) {
  return specsOf(call, vhost)
    .filter(wanted)
    .map((spec) => ({ vhost, ...bindingJson(spec), properties_key: keyOf(spec) }));
}

/** With those of the default exchange, which every queue has. */
function specsOf({ api }: Call, vhost: string): BindingSpec[] {
  const { admin } = api.context.engine;
  const byName = Array.from(admin.queues(vhost), ({ name }) => ({
    ...{ source: '', destination: name, toExchange: false, routingKey: name },
    arguments: NO_ARGUMENTS,
  }));
  return [...byName, ...admin.bindings(vhost)];
}

function areThere(call: Call, toExchange: boolean): boolean {
  const { admin } = call.api.context.engine;
  const vhost = call.param('vhost');
  const has = (list: Iterable<{ readonly name: string }>, name: string): boolean =>
    [...list].some((each) => each.name === name);
  const destinations = toExchange ? admin.exchanges(vhost) : admin.queues(vhost);
  return (
    has(admin.exchanges(vhost), call.exchange('source')) &&
    has(destinations, call.param('destination'))
  );
}

async function bind(call: Call, toExchange: boolean): Promise<Answer> {
  const binding: BindingSpec = {
    source: call.exchange('source'),
    destination: call.param('destination'),
    toExchange,
    ...call.read([], (fields) => ({
      routingKey: fields.optionalText('routing_key') ?? '',
      arguments: tableOf(fields.json('arguments')),
    })),
  };
  await call.inVhost((session) => session.bind(binding));
  const location = `${encodeURIComponent(binding.destination)}/${encodeURIComponent(keyOf(binding))}`;
  return { status: 201, location };
}

/** What tells the bindings between two ends apart: the routing key, and a hash of arguments. */
function keyOf(spec: BindingSpec): string {
  const key = quoted(spec.routingKey);
  if (spec.arguments.size === 0) return key === '' ? '~' : key;
  const text = JSON.stringify(bindingJson(spec)['arguments']);
  const hash = createHash('sha256').update(text).digest('base64url').slice(0, 8);
  return `${key}~${hash}`;
}

/** As forms are encoded, `~` too. */
function quoted(text: string): string {
  return encodeURIComponent(text)
    .replaceAll('%20', '+')
    .replace(/[!'()*~]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}
