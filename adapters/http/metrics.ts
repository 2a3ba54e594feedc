/**
 * GET /metrics: counters and read models in Prometheus' text form, read when it is scraped. Where
 * RabbitMQ has a metric of the same meaning it has the same name, so that existing dashboards work.
 */
import { type CollectFunction, Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Totals } from '../../core/engine.ts';
import type { CoreCounters, Meter, ProtocolCounters } from '../../core/meter.ts';
import type { Context } from '../adapter.ts';

type Reading<T> = readonly [name: string, help: string, read: (from: T) => number];

const TOTALS: readonly Reading<Totals>[] = [
  ['rabbitmq_queues', 'Queues', (totals) => totals.queues],
  ['rabbitmq_consumers', 'Consumers', (totals) => totals.consumers],
  ['rabbitmq_exchanges', 'Exchanges', (totals) => totals.exchanges],
  ['rabbitmq_bindings', 'Bindings', (totals) => totals.bindings],
  ['rabbitmq_vhosts', 'Virtual hosts', (totals) => totals.vhosts],
  [
    'rabbitmq_queue_messages',
    'Messages ready or unacknowledged',
    (totals) => totals.ready + totals.unacknowledged,
  ],
  ['rabbitmq_queue_messages_ready', 'Messages ready to be delivered', (totals) => totals.ready],
  [
    'rabbitmq_queue_messages_unacked',
    'Messages delivered and not acknowledged yet',
    (totals) => totals.unacknowledged,
  ],
  ['rabbitmq_queue_messages_ram_bytes', 'Bytes of messages in memory', (totals) => totals.bytes],
  [
    'rosettamq_delayed_messages',
    'Messages that wait for their time before they are routed',
    (totals) => totals.delayed,
  ],
  [
    'rosettamq_stream_groups',
    'Groups that have a place in a stream',
    (totals) => totals.streamGroups,
  ],
  [
    'rosettamq_stream_groups_behind_messages',
    'Messages that groups have still to be done with, all together',
    (totals) => totals.streamGroupsBehind,
  ],
  ['rosettamq_sessions', 'Open sessions of all protocols', (totals) => totals.sessions],
];

const PROTOCOL: readonly Reading<ProtocolCounters>[] = [
  [
    'rabbitmq_global_messages_received_total',
    'Messages received from publishers',
    (counters) => counters.received,
  ],
  [
    'rabbitmq_global_messages_confirmed_total',
    'Messages confirmed to publishers',
    (counters) => counters.confirmed,
  ],
  [
    'rabbitmq_global_messages_delivered_total',
    'Messages delivered to consumers',
    (counters) => counters.delivered,
  ],
  [
    'rabbitmq_global_messages_redelivered_total',
    'Messages delivered again',
    (counters) => counters.redelivered,
  ],
  [
    'rabbitmq_global_messages_acknowledged_total',
    'Messages acknowledged by consumers',
    (counters) => counters.acknowledged,
  ],
  [
    'rosettamq_messages_dropped_total',
    'Messages dropped because their receiver was too slow',
    (counters) => counters.dropped,
  ],
  [
    'rosettamq_connections_opened_total',
    'Connections opened',
    (counters) => counters.connectionsOpened,
  ],
  [
    'rosettamq_connections_closed_total',
    'Connections closed',
    (counters) => counters.connectionsClosed,
  ],
  ['rosettamq_logins_refused_total', 'Logins refused', (counters) => counters.loginsRefused],
  [
    'rosettamq_protocol_errors_total',
    'Connections ended by a mistake of the client',
    (counters) => counters.protocolErrors,
  ],
  [
    'rosettamq_received_bytes_total',
    'Bytes received from clients',
    (counters) => counters.bytesReceived,
  ],
  ['rosettamq_sent_bytes_total', 'Bytes sent to clients', (counters) => counters.bytesSent],
];

const CORE: readonly Reading<CoreCounters>[] = [
  [
    'rabbitmq_global_messages_routed_total',
    'Messages routed to a queue',
    (counters) => counters.routed,
  ],
  [
    'rabbitmq_global_messages_unroutable_returned_total',
    'Messages that no queue took, returned to their publisher',
    (counters) => counters.returned,
  ],
  [
    'rabbitmq_global_messages_unroutable_dropped_total',
    'Messages that no queue took, dropped',
    (counters) => Math.max(0, counters.unroutable - counters.returned),
  ],
  [
    'rosettamq_messages_dead_lettered_total',
    'Messages dead-lettered',
    (counters) => counters.deadLettered,
  ],
  ['rosettamq_messages_expired_total', 'Messages expired', (counters) => counters.expired],
  [
    'rosettamq_messages_overflowed_total',
    'Messages dropped or refused by a full queue',
    (counters) => counters.overflowed,
  ],
  [
    'rosettamq_messages_missed_total',
    'Messages to be had at most once whose subscriber was away',
    (counters) => counters.missed,
  ],
];

/** The registry of one gateway. */
export class Metrics {
  readonly #registry = new Registry();
  #withProcess = false;

  constructor(context: Context) {
    const { engine, meter } = context;
    for (const [name, help, read] of TOTALS) {
      this.#gauge(name, help, (metric) => metric.set(read(engine.admin.totals())));
    }
    for (const [name, help, read] of CORE) {
      this.#counter(name, help, [], (metric) => metric.inc(read(meter.core)));
    }
    for (const [name, help, read] of PROTOCOL) {
      this.#counter(name, help, ['protocol'], (metric) => {
        for (const [protocol, counters] of meter.protocols())
          metric.inc({ protocol }, read(counters));
      });
    }
    this.#connections(meter);
    this.#build(context);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    // These watch the event loop and the collector from then on: nobody pays who does not scrape.
    if (!this.#withProcess) collectDefaultMetrics({ register: this.#registry });
    this.#withProcess = true;
    return this.#registry.metrics();
  }

  #connections(meter: Meter): void {
    const open = (counters: ProtocolCounters): number =>
      counters.connectionsOpened - counters.connectionsClosed;
    this.#gauge('rabbitmq_connections', 'Connections open, HTTP left out', (metric) => {
      let sum = 0;
      for (const [protocol, counters] of meter.protocols()) {
        if (protocol !== 'http') sum += open(counters);
      }
      metric.set(sum);
    });
    new Gauge({
      name: 'rosettamq_connections',
      help: 'Connections open, by protocol',
      labelNames: ['protocol'],
      registers: [this.#registry],
      collect() {
        for (const [protocol, counters] of meter.protocols()) {
          this.set({ protocol }, open(counters));
        }
      },
    });
    for (const [what, read] of [
      ['opened', (counters: ProtocolCounters) => counters.connectionsOpened],
      ['closed', (counters: ProtocolCounters) => counters.connectionsClosed],
    ] as const) {
      this.#counter(`rabbitmq_connections_${what}_total`, `Connections ${what}`, [], (metric) => {
        for (const [protocol, counters] of meter.protocols()) {
          if (protocol !== 'http') metric.inc(read(counters));
        }
      });
    }
  }

  #build({ product, engine }: Context): void {
    const labels = {
      product: product.name,
      version: product.version,
      engine: engine.name,
      node: process.version,
    };
    new Gauge({
      name: 'rosettamq_build_info',
      help: 'Always 1: what is running here',
      labelNames: Object.keys(labels),
      registers: [this.#registry],
    }).set(labels, 1);
  }

  #gauge(name: string, help: string, collect: (metric: Gauge) => void): void {
    const read: CollectFunction<Gauge> = function () {
      collect(this);
    };
    new Gauge({ name, help, registers: [this.#registry], collect: read });
  }

  /** The totals are kept elsewhere: at each scrape the metric is made to show them. */
  #counter(
    name: string,
    help: string,
    labelNames: string[],
    collect: (metric: Counter) => void,
  ): void {
    const read: CollectFunction<Counter> = function () {
      this.reset();
      collect(this);
    };
    new Counter({ name, help, labelNames, registers: [this.#registry], collect: read });
  }
}
