/**
 * The engine in this process: exchanges, queues and bindings in memory, what is durable in a store.
 */
import { type Authorizer, type Principal, SYSTEM } from '../auth.ts';
import type { Clock } from '../clock.ts';
import type {
  Admin,
  Capabilities,
  Engine,
  Peer,
  QueueView,
  RouteView,
  SessionView,
  Table,
  Totals,
  VhostLimits,
} from '../engine.ts';
import { BrokerError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Address } from '../message.ts';
import type { Meter } from '../meter.ts';
import type { ConfiguredPolicy } from '../policy.ts';
import type { Random } from '../random.ts';
import { Registry } from '../registry.ts';
import type { Store } from '../store.ts';
import { Tally } from '../tally.ts';
import { consistentHash } from './exchanges/consistent-hash.ts';
import { deduplication } from './exchanges/deduplication.ts';
import { delayedMessage } from './exchanges/delayed-message.ts';
import { direct } from './exchanges/direct.ts';
import { fanout } from './exchanges/fanout.ts';
import { headers } from './exchanges/headers.ts';
import { localRandom } from './exchanges/local-random.ts';
import { modulusHash } from './exchanges/modulus-hash.ts';
import { random } from './exchanges/random.ts';
import { recentHistory } from './exchanges/recent-history.ts';
import { topic } from './exchanges/topic.ts';
import { queueView, routeView } from './explaining.ts';
import { MemoryGauge } from './memory-gauge.ts';
import { requirePolicies } from './policy.ts';
import { classic } from './queues/classic-type.ts';
import { quorum } from './queues/quorum.ts';
import { session } from './queues/session.ts';
import { stream } from './queues/stream.ts';
import { EmbeddedSession, type SessionContext } from './session.ts';
import type { ExchangeType, QueueType } from './types.ts';
import { VirtualHost } from './vhost.ts';
import { Vhosts } from './vhosts.ts';

export interface EmbeddedOptions {
  readonly vhosts: readonly string[];
  readonly vhostLimits?: Readonly<Record<string, VhostLimits>>;
  /** Of the configuration, for vhosts that are there or will be. */
  readonly policies?: readonly ConfiguredPolicy[];
  readonly store: Store;
  readonly authorizer: Authorizer;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly log: Log;
  readonly meter: Meter;
}

/** Of sessions that have no client. */
const OWN_PEER: Peer = {
  address: '',
  loopback: true,
  tls: false,
  listener: 'self://',
  protocol: 'self',
};

export class EmbeddedEngine implements Engine {
  readonly name = 'embedded';
  readonly capabilities: Capabilities;
  readonly admin: Admin = {
    vhosts: () => this.#vhosts.names(),
    vhost: (name) => this.#vhosts.view(name),
    putVhost: (name, change) => this.#vhosts.put(name, change),
    setVhostLimits: (name, limits) => this.#vhosts.setLimits(name, limits),
    deleteVhost: (name) => this.#vhosts.delete(name),
    onVhostDeleted: (listener) => this.#vhostDeleted.push(listener),
    sessions: () => this.#clients(),
    evict: (which, reason) => this.#evict(which, reason),
    rightsChanged: (user) => {
      for (const session of this.#sessions) {
        if (session.principal.name === user) session.rightsChanged();
      }
    },
    totals: () => this.#totals(),
    alarms: () => this.#memory.alarms,
    queues: (vhost) => this.#queues(vhost),
    exchanges: (vhost) => this.#vhosts.get(vhost)?.topology.exchanges() ?? [],
    bindings: (vhost) => this.#vhosts.get(vhost)?.topology.bindings() ?? [],
    route: (vhost, address) => this.#routeOf(vhost, address),
    policies: (vhost, kind) => this.#require(vhost).policies.list(kind),
    setPolicy: (vhost, kind, policy) => this.#require(vhost).setPolicy(kind, policy),
    check: (vhost, proposal) => this.#vhosts.check(vhost, proposal),
    clearPolicy: (vhost, kind, name) => this.#require(vhost).clearPolicy(kind, name),
  };
  readonly #options: EmbeddedOptions;
  readonly #memory: MemoryGauge;
  readonly #exchangeTypes = new Registry<ExchangeType>('exchange type', [
    direct,
    fanout,
    topic,
    headers,
    consistentHash,
    deduplication,
    delayedMessage,
    localRandom,
    modulusHash,
    random,
    recentHistory,
  ]);
  readonly #queueTypes = new Registry<QueueType>('queue type', [classic, quorum, session, stream]);
  readonly #vhosts: Vhosts;
  readonly #vhostDeleted: ((name: string) => void)[] = [];
  readonly #sessions = new Set<EmbeddedSession>();
  /** Connections by vhost, and by user; the broker's own do not count. */
  readonly #byVhost = new Tally();
  readonly #byUser = new Tally();
  readonly #sessionContext: SessionContext;

  /** Throws ConfigError for a policy of the configuration that cannot be. */
  constructor(options: EmbeddedOptions) {
    this.#options = options;
    requirePolicies(options.policies ?? []);
    const { log, limits, store } = options;
    this.#memory = new MemoryGauge(limits.memoryHighBytes, (full, bytes) => {
      if (full)
        log.warn(
          { bytes, mark: limits.memoryHighBytes },
          'memory mark passed: publishers are held',
        );
      else
        log.info(
          { bytes, mark: limits.memoryHighBytes },
          'memory below its mark: publishers go on',
        );
    });
    this.#sessionContext = {
      ...options,
      memory: this.#memory,
      ended: (closed) => this.#ended(closed),
    };
    this.#vhosts = this.#makeVhosts();
    store.onTrouble((error) => this.#memory.block(error !== null));
    this.capabilities = {
      exchangeTypes: this.#exchangeTypes.names(),
      queueTypes: this.#queueTypes.names(),
      nameBytesMax: limits.nameBytesMax,
      transactions: true,
      durable: store.durable,
    };
  }

  async start(): Promise<void> {
    this.#vhosts.recover();
  }

  async stop(): Promise<void> {
    for (const session of [...this.#sessions]) session.close();
    this.#vhosts.close();
    await this.#options.store.close();
  }

  open(
    name: string,
    principal: Principal,
    peer: Peer = OWN_PEER,
    evicted?: (reason: BrokerError) => void,
  ): EmbeddedSession {
    const vhost = this.#vhosts.get(name);
    if (vhost === undefined) throw new BrokerError('not-found', `vhost ${name} not found`);
    if (principal.permissions.get(name) === undefined) {
      const reason = `access to vhost '${name}' refused for user '${principal.name}'`;
      throw new BrokerError('access-refused', reason);
    }
    if (principal !== SYSTEM) this.#admit(name, principal);
    const session = new EmbeddedSession(vhost, principal, this.#sessionContext, peer, evicted);
    this.#sessions.add(session);
    return session;
  }

  /** Throws `not-allowed` in RabbitMQ's words where the vhost or the user is at its limit. */
  #admit(vhost: string, { name: user, connectionsMax }: Principal): void {
    const most = this.#vhosts.connectionsMax(vhost);
    if (most !== undefined && this.#byVhost.count(vhost) >= most) {
      const reason = `access to vhost '${vhost}' refused for user '${user}': connection limit (${most}) is reached`;
      throw new BrokerError('not-allowed', reason);
    }
    if (connectionsMax !== undefined && this.#byUser.count(user) >= connectionsMax) {
      const reason = `connection refused for user '${user}': user connection limit (${connectionsMax}) is reached`;
      throw new BrokerError('not-allowed', reason);
    }
    this.#byVhost.add(vhost);
    this.#byUser.add(user);
  }

  #makeVhosts(): Vhosts {
    const { vhosts: names, vhostLimits, meter, ...context } = this.#options;
    return new Vhosts({
      names,
      limits: vhostLimits ?? {},
      nameBytesMax: context.limits.nameBytesMax,
      definitions: context.store.definitions,
      queueTypes: this.#queueTypes.names(),
      make: (name, settings) =>
        new VirtualHost(name, {
          ...context,
          settings,
          counters: meter.core,
          memory: this.#memory,
          exchangeTypes: this.#exchangeTypes,
          queueTypes: this.#queueTypes,
        }),
      leave: (name) => {
        const reason = new BrokerError('unavailable', `vhost '${name}' was deleted`);
        this.#evict((session) => session.vhost === name, reason);
        for (const session of [...this.#sessions]) if (session.vhost === name) session.close();
      },
      deleted: (name) => {
        for (const listener of this.#vhostDeleted) listener(name);
      },
    });
  }

  *#clients(): Iterable<SessionView> {
    for (const session of this.#sessions) if (session.principal !== SYSTEM) yield session.view;
  }

  #evict(which: (session: SessionView) => boolean, reason: BrokerError): number {
    let ended = 0;
    for (const session of [...this.#sessions]) {
      if (session.principal === SYSTEM || !which(session.view)) continue;
      session.evict(reason);
      ended++;
    }
    return ended;
  }

  #ended(session: EmbeddedSession): void {
    this.#sessions.delete(session);
    if (session.principal === SYSTEM) return;
    this.#byVhost.remove(session.vhost);
    this.#byUser.remove(session.principal.name);
  }

  table(name: string): Table {
    return this.#options.store.table(name);
  }

  safe(done: () => void): void {
    const { store } = this.#options;
    if (store.durable) store.flush(done);
    else done();
  }

  #totals(): Totals {
    let [exchanges, queues, bindings, consumers, ready, unacknowledged] = [0, 0, 0, 0, 0, 0];
    let [delayed, streamGroups, streamGroupsBehind] = [0, 0, 0];
    for (const { topology, routing } of this.#vhosts.values()) {
      delayed += routing.delayed;
      exchanges += topology.exchangeCount;
      bindings += topology.bindingCount;
      for (const queue of topology.queues.values()) {
        queues++;
        consumers += queue.consumers;
        ready += queue.ready;
        unacknowledged += queue.unacknowledged;
        for (const { behind } of queue.groups ?? []) {
          streamGroups++;
          streamGroupsBehind += behind;
        }
      }
    }
    const counted = { exchanges, queues, bindings, consumers, ready, unacknowledged };
    const groups = { delayed, streamGroups, streamGroupsBehind };
    const { size: vhosts } = this.#vhosts;
    const sessions = this.#sessions.size;
    return { ...counted, ...groups, vhosts, sessions, bytes: this.#memory.bytes };
  }

  #require(name: string): VirtualHost {
    const vhost = this.#vhosts.get(name);
    if (vhost !== undefined) return vhost;
    throw new BrokerError('not-found', `vhost ${name} not found`);
  }

  #routeOf(name: string, address: Address): RouteView {
    const { topology, routing } = this.#require(name);
    const view = routeView(topology, address, this.#options.limits.explainBindingsMax);
    return { ...view, delayed: routing.delayedIn(address.exchange) };
  }

  *#queues(name: string): Iterable<QueueView> {
    const topology = this.#vhosts.get(name)?.topology;
    if (topology === undefined) return;
    for (const queue of topology.queues.values()) yield queueView(queue, topology.governed(queue));
  }
}
