import { RABBITMQ_VERSION } from '../../../core/definitions.ts';
import type { Listening } from '../../../core/welcome.ts';
import { isConnection } from './connections.ts';
import { listed, shown } from './listing.ts';
import { NODE } from './node.ts';
import { type Api, type Call, found, NOT_FOUND, type Route } from './route.ts';

export const OVERVIEW_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/overview',
    needs: 'anybody',
    answer: (call) => shown(call, overviewOf(call)),
  },
  {
    method: 'GET',
    path: '/nodes',
    needs: 'monitoring',
    answer: (call) => listed(call, [nodeOf(call.api)]),
  },
  {
    method: 'GET',
    path: '/nodes/:name',
    needs: 'monitoring',
    answer: (call) => (call.param('name') === NODE ? shown(call, nodeOf(call.api)) : NOT_FOUND),
  },
  {
    method: 'GET',
    path: '/cluster-name',
    needs: 'anybody',
    answer: () => found({ name: NODE }),
  },
  { method: 'GET', path: '/extensions', needs: 'anybody', answer: () => found([]) },
];

/** Only what is known: numbers since the start, and no rates. */
function overviewOf(call: Call) {
  const { engine, product, meter } = call.api.context;
  const totals = engine.admin.totals();
  const { routed, unroutable, returned } = meter.core;
  const counted = { publish: 0, confirm: 0, deliver_get: 0, redeliver: 0, ack: 0 };
  for (const [, counters] of meter.protocols()) {
    counted.publish += counters.received;
    counted.confirm += counters.confirmed;
    counted.deliver_get += counters.delivered;
    counted.redeliver += counters.redelivered;
    counted.ack += counters.acknowledged;
  }
  const { ready, unacknowledged, queues, exchanges, consumers } = totals;
  const connections = [...engine.admin.sessions()].filter(isConnection).length;
  return {
    management_version: RABBITMQ_VERSION,
    rabbitmq_version: RABBITMQ_VERSION,
    product_name: product.name,
    product_version: product.version,
    cluster_name: NODE,
    node: NODE,
    rates_mode: 'none',
    disable_stats: false,
    enable_queue_totals: false,
    exchange_types: exchangeTypesOf(call.api),
    message_stats: {
      ...counted,
      routed,
      return_unroutable: returned,
      drop_unroutable: Math.max(0, unroutable - returned),
    },
    queue_totals: {
      messages: ready + unacknowledged,
      messages_ready: ready,
      messages_unacknowledged: unacknowledged,
    },
    object_totals: { connections, consumers, exchanges, queues },
    listeners: call.api.listening().map(listenerJson),
  };
}

function exchangeTypesOf({ context }: Api) {
  return context.engine.capabilities.exchangeTypes.map((name) => ({
    ...{ name, description: '', enabled: true },
  }));
}

export function listenerJson({ protocol, url, port, tls }: Listening) {
  const host = new URL(url).hostname;
  return { node: NODE, protocol: tls ? `${protocol}/ssl` : protocol, ip_address: host, port };
}

function nodeOf(api: Api) {
  const { engine, limits, product } = api.context;
  const alarms = engine.admin.alarms();
  return {
    name: NODE,
    type: 'disc',
    running: true,
    os_pid: String(process.pid),
    uptime: Math.floor(process.uptime() * 1000),
    mem_used: process.memoryUsage.rss(),
    mem_limit: limits.memoryHighBytes,
    mem_alarm: alarms.includes('memory'),
    disk_free_limit: limits.diskFreeBytesMin,
    disk_free_alarm: alarms.includes('disk'),
    rates_mode: 'none',
    exchange_types: exchangeTypesOf(api),
    applications: [
      { name: 'rosettamq', description: product.name, version: product.version },
      { name: 'node', description: 'Node.js', version: process.version },
    ],
    enabled_plugins: [],
  };
}
