/** MQTT 3.1, 3.1.1 and 5: the adapter object, and its connections and sessions while it runs. */
import { SYSTEM } from '../../core/auth.ts';
import type { Timer } from '../../core/clock.ts';
import type { Session as EngineSession, Eventually, Peer, Table } from '../../core/engine.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { Adapter, Connection, Context, Gate, Transport } from '../adapter.ts';
import { type ConnectionOwner, MqttConnection } from './connection.ts';
import { EnvelopeFormat } from './envelope.ts';
import { type MqttFormat, mqttFormat } from './format.ts';
import { type Grants, grantsOf, type MqttOptions, mqttOptions } from './options.ts';
import { SessionRegistry } from './session-registry.ts';
import { SessionStore } from './session-store.ts';
import { ShareGroups } from './share-groups.ts';
import { SystemTopics } from './system-topics.ts';
import { mqttAddresses } from './topic.ts';
import { TopicTable } from './topic-table.ts';
import { BrokerPublisher } from './will.ts';
import { WillStore } from './will-store.ts';

export const mqtt: Adapter<MqttOptions> = {
  protocols: ['mqtt'],
  ports: { mqtt: { plain: 1883, tls: 8883 } },
  subprotocols: ['mqtt', 'mqttv3.1'],
  options: mqttOptions,
  format: (options) => mqttFormat(options.exchange),
  addresses: (options) => mqttAddresses(options.exchange),
  start: (context, options) => new MqttGate(context, options),
};

/** How often silent clients are looked for: keep-alives cost nothing between. */
const SILENCE_CHECK_MS = 500;

/** Who the broker is where it acts by itself. */
const BROKER: Peer = {
  address: 'broker',
  loopback: true,
  tls: false,
  listener: 'internal://mqtt',
  protocol: 'mqtt',
};

class MqttGate implements Gate, ConnectionOwner {
  readonly context: Context;
  readonly options: MqttOptions;
  readonly grants: Grants;
  readonly format: MqttFormat;
  readonly envelope: EnvelopeFormat;
  readonly topics: TopicTable;
  readonly sessions: SessionRegistry;
  readonly counters: ProtocolCounters;
  readonly decoySecret: Buffer;
  readonly #publisher: BrokerPublisher;
  readonly #systemTopics: SystemTopics;
  readonly #connections = new Set<MqttConnection>();
  #sweep: Timer | null = null;

  constructor(context: Context, options: MqttOptions) {
    this.context = context;
    this.options = options;
    const { clock, random, authenticator, authorizer, limits, meter, engine, product } = context;
    const log = context.log.child({ protocol: 'mqtt' });
    this.grants = grantsOf(options, limits);
    this.decoySecret = random.bytes(32);
    this.format = mqttFormat(options.exchange);
    this.envelope = new EnvelopeFormat(options.exchange);
    this.topics = new TopicTable(
      options.exchange,
      limits.routeCacheEntries,
      limits.mqttTopicLevelsMax,
    );
    this.counters = meter.protocol('mqtt');
    const { format, topics, counters } = this;
    const open = (vhost: string): Eventually<EngineSession> => engine.open(vhost, SYSTEM, BROKER);
    this.#publisher = new BrokerPublisher({ format, topics, clock, authorizer, log, open });
    const publisher = this.#publisher;
    const messagesMax = limits.mqttOfflineMessagesMax;
    const table = (name: string): Table => engine.table(name);
    this.sessions = new SessionRegistry({
      session: {
        ...{ format, authorizer, counters, log, messagesMax, open, exchange: options.exchange },
        shares: new ShareGroups(messagesMax),
        subscriptionsMax: limits.mqttSubscriptionsMax,
        waitingBytesMax: limits.mqttWaitingBytesMax,
        levelsMax: limits.mqttTopicLevelsMax,
      },
      store: new SessionStore({ log, table, safe: (done) => engine.safe(done) }),
      wills: new WillStore(table('mqtt.wills'), log),
      outlives: engine.capabilities.durable,
      principalOf: (user) => authenticator.authenticate({ kind: 'trusted', user }, BROKER),
      ...{ publisher, clock, random, log, admin: engine.admin },
      sessionsMax: limits.mqttSessionsMax,
    });
    this.sessions.restore();
    engine.admin.onVhostDeleted((vhost) => {
      this.sessions.forgetVhost(vhost);
      publisher.forgetVhost(vhost);
    });
    this.#systemTopics = new SystemTopics({
      ...{ clock, counters, publisher, vhost: options.vhost },
      version: `${product.name} ${product.version}`,
      intervalMs: options.systemTopicsIntervalMs,
      connections: () => this.#connections.size,
      sessions: () => this.sessions.size,
    });
  }

  accept(transport: Transport, peer: Peer): Connection {
    const connection = new MqttConnection(this, transport, peer);
    this.#connections.add(connection);
    if (this.#sweep === null) this.#watch();
    return connection;
  }

  gone(connection: MqttConnection): void {
    this.#connections.delete(connection);
  }

  async stop(): Promise<void> {
    this.#systemTopics.close();
    this.#sweep?.cancel();
    for (const connection of [...this.#connections]) connection.shutDown();
    this.sessions.close();
    this.#publisher.close();
  }

  #watch(): void {
    this.#sweep = this.context.clock.after(SILENCE_CHECK_MS, () => {
      this.#sweep = null;
      const now = this.context.clock.now();
      for (const connection of this.#connections) connection.checkSilence(now);
      if (this.#connections.size > 0) this.#watch();
    });
  }
}
