/** Definitions in RabbitMQ's form: out, in again, and what is refused. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { exportDefinitions, type JsonObject } from '../../core/definitions.ts';
import {
  DefinitionsError,
  type ImportTarget,
  importDefinitions,
} from '../../core/definitions-import.ts';
import { MemoryStore } from '../../core/store/memory.ts';
import { createWorld, PEER, type World } from '../support/world.ts';
import { args, binding, exchangeSpec, queueSpec } from './engine-contract.ts';

const ALL = { configure: '.*', write: '.*', read: '.*' };
/** Exported by RabbitMQ 3.10.8: `rabbitmqctl export_definitions`. */
const RABBITMQ = JSON.parse(
  readFileSync(new URL('fixtures/rabbitmq-3.10.json', import.meta.url), 'utf8'),
) as JsonObject;

let world: World;

function target(of: World = world): ImportTarget {
  const { engine, context } = of;
  return { engine, admin: engine.admin, accounts: context.accounts, version: '0.1.0' };
}

async function problemsOf(document: unknown, only: string | null = null): Promise<string[]> {
  const error: unknown = await importDefinitions(target(), document, only).catch((why) => why);
  if (!(error instanceof DefinitionsError)) throw new Error(`not refused: ${String(error)}`);
  return [...error.problems];
}

beforeEach(() => {
  world = createWorld();
});

describe('an export', () => {
  beforeEach(async () => {
    const { admin } = world.engine;
    const { accounts } = world.context;
    admin.putVhost('shop', { description: 'Orders', tags: ['a', 'b'] });
    admin.setVhostLimits('shop', { connectionsMax: undefined, queuesMax: 9 });
    await accounts.put('eve', { password: 'pw' }, ['monitoring']);
    accounts.setLimits('eve', { connectionsMax: 3 });
    accounts.setPermission('eve', 'shop', ALL);
    accounts.setTopicPermission('eve', 'shop', 'amq.topic', { write: '^a', read: '.*' });
    const policy = { pattern: '^o', applyTo: 'queues', priority: 1, definition: {} };
    admin.setPolicy('shop', 'user', { ...policy, name: 'p', definition: { 'max-length': 5 } });
    admin.setPolicy('shop', 'operator', { ...policy, name: 'op', definition: { expires: 9000 } });
    const session = world.engine.open('shop', world.principal('eve'));
    const bound = { durable: true, arguments: args({ 'x-max-length': 7 }) };
    session.declareQueue(queueSpec('orders', bound), false);
    session.declareQueue(queueSpec('fleeting'), false);
    session.declareExchange(exchangeSpec('in', 'topic', { durable: true }), false);
    session.bind({ ...binding('in', 'orders', 'a.#'), arguments: args({ n: 5 }) });
    session.bind(binding('in', 'fleeting', 'a.#'));
  });

  it('has what outlives a restart, in the form of RabbitMQ', () => {
    const document = exportDefinitions(target());
    expect(document['rabbit_version']).toBe('3.10.8');
    expect(document['queues']).toEqual([
      {
        name: 'orders',
        vhost: 'shop',
        durable: true,
        auto_delete: false,
        arguments: { 'x-max-length': 7 },
      },
    ]);
    expect(document['bindings']).toMatchObject([
      { source: 'in', destination: 'orders', routing_key: 'a.#', arguments: { n: 5 } },
    ]);
    expect(document['parameters']).toEqual([
      {
        value: { 'max-queues': 9 },
        vhost: 'shop',
        component: 'vhost-limits',
        name: 'limits',
      },
      {
        value: { pattern: '^o', 'apply-to': 'queues', priority: 1, definition: { expires: 9000 } },
        vhost: 'shop',
        component: 'operator_policy',
        name: 'op',
      },
    ]);
    expect(document['users']).toContainEqual(
      expect.objectContaining({
        name: 'eve',
        tags: ['monitoring'],
        limits: { 'max-connections': 3 },
      }),
    );
  });

  it('makes the same in another gateway, and nothing in its own', async () => {
    const document = exportDefinitions(target());
    const text = JSON.stringify(document);
    await importDefinitions(target(), JSON.parse(text));
    expect(JSON.stringify(exportDefinitions(target()))).toBe(text);
    const other = createWorld();
    await importDefinitions(target(other), JSON.parse(text));
    expect(exportDefinitions(target(other))).toEqual(document);
    const login = { kind: 'password', user: 'eve', password: 'pw' } as const;
    expect(await other.context.authenticator.authenticate(login, PEER)).toMatchObject({
      name: 'eve',
      connectionsMax: 3,
    });
  });

  it('of one vhost goes into another', async () => {
    const document = exportDefinitions(target(), 'shop');
    expect(document['users']).toBeUndefined();
    world.engine.admin.putVhost('copy', {});
    await importDefinitions(target(), document, 'copy');
    expect(exportDefinitions(target(), 'copy')['queues']).toEqual(document['queues']);
    expect(world.engine.admin.vhost('copy')?.limits.queuesMax).toBe(9);
  });
});

describe('a file that RabbitMQ exported', () => {
  beforeEach(() => {
    // As by default: guest stands for the accounts that are not configured.
    world = createWorld({ users: [] });
  });

  it('is taken whole, and its users come in with their passwords', async () => {
    await importDefinitions(target(), RABBITMQ);
    const { engine, context } = world;
    expect([...engine.admin.vhosts()].sort()).toEqual(['/', 'other', 'shop']);
    const queues = [...engine.admin.queues('shop')];
    expect(queues.map(({ name, type, policy }) => [name, type, policy])).toEqual([
      ['q1', 'quorum', 'dlx'],
      ['q2', 'classic', 'dlx'],
      ['dead-letters', 'classic', null],
    ]);
    for (const [user, password] of [
      ['ada', 'p'],
      ['guest', 'guest'],
    ] as const) {
      const login = { kind: 'password', user, password } as const;
      expect(await context.authenticator.authenticate(login, PEER)).toMatchObject({ name: user });
    }
    const again = exportDefinitions(target());
    for (const section of ['users', 'permissions', 'topic_permissions', 'policies', 'queues']) {
      const sorted = (list: unknown): string[] =>
        (list as JsonObject[])
          .map((each) =>
            JSON.stringify(Object.entries(each).sort(([one], [other]) => (one < other ? -1 : 1))),
          )
          .sort();
      expect(sorted(again[section])).toEqual(sorted(RABBITMQ[section]));
    }
  });
});

describe('a document that cannot be imported', () => {
  it('is refused as a whole, with all that is wrong by its place', async () => {
    const before = exportDefinitions(target());
    const problems = await problemsOf({
      vhosts: [{ name: 'new' }],
      users: [
        { name: 'x', password_hash: 'no hash', tags: '' },
        { name: 'y', password_hash: 'AAAA', hashing_algorithm: 'rabbit_password_hashing_rot13' },
        { name: 'alice', password: 'other', tags: 'administrator' },
      ],
      permissions: [
        { user: 'nobody', vhost: '/', configure: '(', write: '', read: '' },
        { user: 'alice', vhost: '/', configure: '', write: '', read: '' },
      ],
      queues: [
        { name: 'ok', vhost: 'new', durable: true },
        { name: 'bad', vhost: 'new', arguments: { 'x-message-ttl': -1 } },
        { name: 'lost', vhost: 'none' },
      ],
      exchanges: [{ name: 'e', vhost: 'new', type: 'x-strange' }],
      bindings: [
        { source: 'missing', vhost: 'new', destination: 'ok', destination_type: 'queue' },
        { source: 'amq.direct', vhost: 'new', destination: 'gone', destination_type: 'queue' },
      ],
      policies: [{ name: 'p', vhost: 'new', pattern: '(', definition: {} }],
      parameters: [{ component: 'shovel', name: 's', vhost: '/', value: {} }],
      global_parameters: [
        { name: 'mine', value: 1 },
        { name: 'internal_cluster_id', value: 'a' },
      ],
    });
    expect(problems).toEqual([
      'global_parameters[0]: there are no global parameters here',
      "parameters[0].component: there are no parameters of 'shovel' here",
      'users[0].password_hash: expected a hash, in base64',
      "users[1].hashing_algorithm: there is no 'rabbit_password_hashing_rot13' here",
      expect.stringMatching(/^permissions\[0\]\.configure: /),
      "users[2]: user 'alice' stands in the configuration file, otherwise than here",
      "permissions[0]: there is no user 'nobody'",
      "permissions[1]: permissions of 'alice' in '/' stand in the configuration file",
      "exchanges[0]: unknown exchange type 'x-strange'",
      expect.stringMatching(/^queues\[1\]: invalid arg 'x-message-ttl'/),
      "queues[2]: there is no vhost 'none'",
      expect.stringMatching(/^policies\[0\]: Validation failed/),
      "bindings[0]: no exchange 'missing' in vhost 'new'",
      "bindings[1]: no queue 'gone' in vhost 'new'",
    ]);
    expect(exportDefinitions(target())).toEqual(before);
  });

  it('differs from a queue that is there', async () => {
    const session = world.engine.open('/', world.principal('guest'));
    session.declareQueue(queueSpec('q', { durable: true }), false);
    const queue = { name: 'q', vhost: '/', durable: true, arguments: { 'x-max-length': 5 } };
    expect(await problemsOf({ queues: [queue] })).toEqual([
      expect.stringMatching(/^queues\[0\]: inequivalent arg 'x-max-length' for queue 'q'/),
    ]);
  });

  it('is no document', async () => {
    expect(await problemsOf([])).toEqual(['expected a JSON object']);
    expect(await problemsOf({ queues: {} })).toEqual(['queues: expected a list']);
    expect(await problemsOf({ queues: [7] })).toEqual(['queues[0]: expected an object']);
    expect(await problemsOf({}, 'none')).toEqual(["there is no vhost 'none'"]);
  });
});

describe('queues that the broker has named', () => {
  it('are neither exported nor imported', async () => {
    const session = world.engine.open('/', world.principal('guest'));
    const { name } = session.declareQueue(queueSpec('', { durable: true }), false);
    session.bind(binding('amq.direct', name, 'k'));
    expect(exportDefinitions(target())).toMatchObject({ queues: [], bindings: [] });
    const ends = { source: 'amq.direct', destination: 'amq.gen-1', destination_type: 'queue' };
    await importDefinitions(target(), {
      queues: [{ name: 'amq.gen-1', vhost: '/', durable: true }],
      bindings: [{ ...ends, vhost: '/', routing_key: 'k' }],
    });
    expect([...world.engine.admin.queues('/')].map((queue) => queue.name)).toEqual([name]);
  });
});

describe('password hashes', () => {
  // Of 'p', as RabbitMQ makes them: a salt, and the digest of it and the password.
  const hashes = { md5: '', sha256: '', sha512: '' };
  for (const hash of ['md5', 'sha256', 'sha512'] as const) {
    const salt = Buffer.from([1, 2, 3, 4]);
    const digest = createHash(hash).update(salt).update('p').digest();
    hashes[hash] = Buffer.concat([salt, digest]).toString('base64');
  }
  const comesIn = async (name: string, password: string): Promise<boolean> => {
    const login = { kind: 'password', user: name, password } as const;
    const answer = await world.context.authenticator.authenticate(login, PEER);
    return typeof answer !== 'string';
  };

  it.each(['md5', 'sha256', 'sha512'] as const)('of %s let their users in', async (hash) => {
    const hashing_algorithm = `rabbit_password_hashing_${hash}`;
    const user = { name: 'u', password_hash: hashes[hash], hashing_algorithm, tags: '' };
    await importDefinitions(target(), { users: [user] });
    expect([await comesIn('u', 'p'), await comesIn('u', 'q')]).toEqual([true, false]);
    expect(exportDefinitions(target())['users']).toContainEqual(
      expect.objectContaining({ name: 'u', password_hash: hashes[hash], hashing_algorithm }),
    );
  });

  it('of before RabbitMQ 3.6 are MD5, later ones SHA-256 where nothing is said', async () => {
    const users = [{ name: 'old', password_hash: hashes.md5, tags: '' }];
    await importDefinitions(target(), { rabbit_version: '3.5.4', users });
    expect(await comesIn('old', 'p')).toBe(true);
    await importDefinitions(target(), { rabbit_version: '3.6.0', users });
    expect(await comesIn('old', 'p')).toBe(false);
  });

  it('that are empty, as empty passwords, let nobody in', async () => {
    const users = [
      { name: 'none', password_hash: '', tags: '' },
      { name: 'blank', password: '', tags: '' },
    ];
    await importDefinitions(target(), { users });
    expect([await comesIn('none', ''), await comesIn('blank', '')]).toEqual([false, false]);
    expect(world.context.accounts.view('blank')?.passwordHash).toBe('');
  });
});

describe('bindings', () => {
  it('that look the same are the same, whatever type a client gave their numbers', async () => {
    const store = new MemoryStore();
    world = createWorld({ store });
    const session = world.engine.open('/', world.principal('guest'));
    session.declareQueue(queueSpec('q', { durable: true }), false);
    session.bind({ ...binding('amq.headers', 'q', ''), arguments: args({ n: 5n }) });
    await importDefinitions(target(), JSON.parse(JSON.stringify(exportDefinitions(target()))));
    expect([...world.engine.admin.bindings('/')].length).toBe(1);
  });
});
