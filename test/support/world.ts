import type { Context, Dial } from '../../adapters/adapter.ts';
import { PermissionAuthorizer, type Principal } from '../../core/auth.ts';
import { EmbeddedEngine } from '../../core/embedded/engine.ts';
import type { Peer, VhostLimits } from '../../core/engine.ts';
import { DEFAULT_LIMITS, type Limits } from '../../core/limits.ts';
import { SILENT_LOG } from '../../core/log.ts';
import type { Format } from '../../core/message.ts';
import { Meter } from '../../core/meter.ts';
import type { ConfiguredPolicy } from '../../core/policy.ts';
import { RegisteredUsers } from '../../core/registered-users.ts';
import { Registry } from '../../core/registry.ts';
import { MemoryStore } from '../../core/store/memory.ts';
import type { Store } from '../../core/store.ts';
import { UserDirectory, type UserSpec } from '../../core/users.ts';
import { ManualClock } from './manual-clock.ts';
import { SeededRandom } from './seeded-random.ts';

const ALL = { configure: '.*', write: '.*', read: '.*' };

const USERS: readonly UserSpec[] = [
  {
    name: 'guest',
    password: 'guest',
    tags: ['administrator'],
    permissions: { '/': ALL, other: ALL },
  },
  { name: 'alice', password: 'secret', tags: [], permissions: { '/': ALL } },
  { name: 'bob', password: 'secret', tags: [], permissions: { '/': ALL } },
  { name: 'sparing', password: 'secret', tags: [], permissions: { '/': ALL }, channelsMax: 2 },
  {
    name: 'limited',
    password: 'secret',
    tags: [],
    permissions: {
      '/': { configure: '^limited-', write: '^(limited-.*|amq\\.topic)$', read: '^limited-' },
    },
  },
];

/** A peer on this machine. */
export const PEER: Peer = {
  address: '127.0.0.1:50000',
  loopback: true,
  tls: false,
  listener: 'test://pipe',
  protocol: 'test',
};

/** A whole gateway without a network: an engine with a clock that stands still, and what adapters are given. */
export interface World {
  readonly clock: ManualClock;
  readonly random: SeededRandom;
  readonly meter: Meter;
  readonly engine: EmbeddedEngine;
  readonly context: Context;
  /** One of the test users, as if logged in. */
  principal(name: string): Principal;
}

export interface WorldOptions {
  readonly seed?: number;
  readonly store?: Store;
  readonly limits?: Partial<Limits>;
  readonly vhostLimits?: Readonly<Record<string, VhostLimits>>;
  readonly policies?: readonly ConfiguredPolicy[];
  /** Instead of the test users. */
  readonly users?: readonly UserSpec[];
  readonly clock?: ManualClock;
  /** Other servers; without, there are none. */
  readonly dial?: Dial;
}

/** Ready when it returns: the embedded engine starts without waiting. */
export function createWorld(options: WorldOptions = {}): World {
  const clock = options.clock ?? new ManualClock();
  const random = new SeededRandom(options.seed ?? 1);
  const meter = new Meter();
  const limits: Limits = { ...DEFAULT_LIMITS, memoryHighBytes: 1e9, ...options.limits };
  const authorizer = new PermissionAuthorizer();
  const { vhostLimits = {}, policies = [] } = options;
  const log = SILENT_LOG;
  const store = options.store ?? new MemoryStore();
  const shared = { clock, random, meter, limits, authorizer, log };
  const vhosts = ['/', 'other'];
  const engine = new EmbeddedEngine({
    ...{ ...shared, store, vhosts, vhostLimits, policies },
  });
  const authenticator = new RegisteredUsers(
    new UserDirectory(options.users ?? USERS, ['guest']),
    random,
    () => engine.table('accounts'),
    (user) => engine.admin.rightsChanged(user),
  );
  engine.admin.onVhostDeleted((name) => authenticator.forgetVhost(name));
  void engine.start();
  const context: Context = {
    ...shared,
    engine,
    authenticator,
    accounts: authenticator,
    formats: new Registry<Format>('format'),
    dial: options.dial ?? ((_target, _open, failed) => failed(new Error('no network'))),
    product: { name: 'Rosetta MQ', version: '0.0.0' },
  };
  const principal = (name: string): Principal => {
    const found = authenticator.authenticate({ kind: 'trusted', user: name }, PEER);
    if (typeof found === 'string' || found instanceof Promise) throw new Error(`no user ${name}`);
    return found;
  };
  return { clock, random, meter, engine, context, principal };
}
