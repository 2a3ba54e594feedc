/** Virtual hosts and rights that change while clients are connected, and what a restart finds of them. */
import { beforeEach, describe, expect, it } from 'vitest';
import { EmbeddedEngine } from '../../../core/embedded/engine.ts';
import { BrokerError } from '../../../core/errors.ts';
import { LateStore } from '../../support/late-store.ts';
import { message } from '../../support/messages.ts';
import { Outbox } from '../../support/recorder.ts';
import { createWorld, PEER, type World } from '../../support/world.ts';
import { args, binding, exchangeSpec, queueSpec } from '../engine-contract.ts';

const ALL = { configure: '.*', write: '.*', read: '.*' };

let store: LateStore;
let world: World;

function start(): void {
  world = createWorld({ store });
}

/** A queue with a message in it. */
function fill(vhost: string, queue: string): void {
  const session = world.engine.open(vhost, world.principal('bob'));
  session.declareQueue(queueSpec(queue, { durable: true }), false);
  session.publisher(new Outbox()).publish(message({ key: queue, durable: true }), 1, false);
}

beforeEach(() => {
  store = new LateStore();
  start();
});

describe('a vhost that is made at run time', () => {
  beforeEach(() => {
    world.engine.admin.putVhost('shop', { description: 'Orders', tags: ['production'] });
    world.context.accounts.setPermission('bob', 'shop', ALL);
  });

  it('lets in whoever has a permission in it, and outlives a restart with all of that', () => {
    fill('shop', 'orders');
    expect(() => world.engine.open('shop', world.principal('alice'))).toThrow(/refused/);
    start();
    expect(world.engine.admin.vhost('shop')).toMatchObject({
      description: 'Orders',
      tags: ['production'],
      configured: false,
    });
    const again = world.engine.open('shop', world.principal('bob'));
    expect(again.declareQueue(queueSpec('orders'), true).name).toBe('orders');
  });

  it('is changed, but not made, by putting it again', () => {
    expect(world.engine.admin.putVhost('shop', { description: 'More orders' })).toBe(false);
    const view = world.engine.admin.vhost('shop');
    expect(view).toMatchObject({ description: 'More orders', tags: ['production'] });
  });

  it('goes with its queues, messages, permissions and sessions', () => {
    fill('shop', 'orders');
    const evicted: string[] = [];
    const session = world.engine.open('shop', world.principal('bob'), PEER, ({ message: why }) =>
      evicted.push(why),
    );
    world.engine.admin.deleteVhost('shop');
    expect(evicted).toEqual(["vhost 'shop' was deleted"]);
    expect(() => session.temporaryQueue('reply-')).toThrow('the session is closed');
    expect(() => world.engine.open('shop', world.principal('bob'))).toThrow('vhost shop not found');
    start();
    expect(world.engine.admin.vhosts()).toEqual(['/', 'other']);
    world.engine.admin.putVhost('shop', {});
    expect(() => world.engine.open('shop', world.principal('bob'))).toThrow(/refused/);
    expect([...world.engine.admin.queues('shop')]).toEqual([]);
    expect([...world.engine.admin.exchanges('shop')].length).toBe(
      [...world.engine.admin.exchanges('/')].length,
    );
  });

  it('is deleted by the next start where a crash cut the deletion off', () => {
    fill('shop', 'orders');
    const record = { version: 1, description: '', tags: [], defaultQueueType: '', limits: {} };
    store.definitions.put('vhost', 'shop', JSON.stringify({ ...record, deleting: true }));
    start();
    expect(world.engine.admin.vhosts()).toEqual(['/', 'other']);
    expect([...store.definitions.entries('queue')]).toEqual([]);
    expect(world.context.accounts.view('bob')?.permissions).toEqual({ '/': ALL });
  });

  it('that a newer version has written is not guessed at', () => {
    store.definitions.put('vhost', 'later', JSON.stringify({ version: 2 }));
    const engine = new EmbeddedEngine({ ...world.context, store, vhosts: ['/'] });
    return expect(engine.start()).rejects.toThrow("vhost 'later' was written by a newer version");
  });

  it('has limits, which count at once', () => {
    const { admin } = world.engine;
    admin.setVhostLimits('shop', { connectionsMax: 1, queuesMax: 1 });
    const session = world.engine.open('shop', world.principal('bob'));
    expect(() => world.engine.open('shop', world.principal('bob'))).toThrow(
      /connection limit \(1\)/,
    );
    session.declareQueue(queueSpec('one'), false);
    expect(() => session.declareQueue(queueSpec('two'), false)).toThrow(/queue limit/);
    admin.setVhostLimits('shop', { connectionsMax: undefined, queuesMax: undefined });
    expect(session.declareQueue(queueSpec('two'), false).name).toBe('two');
  });

  it('gives durable queues its own type where they ask for none', () => {
    world.engine.admin.putVhost('shop', { defaultQueueType: 'quorum' });
    const session = world.engine.open('shop', world.principal('bob'));
    session.declareQueue(queueSpec('safe', { durable: true }), false);
    session.declareQueue(queueSpec('light'), false);
    session.declareQueue(
      queueSpec('chosen', { durable: true, arguments: args({ 'x-queue-type': 'classic' }) }),
      false,
    );
    const types = [...world.engine.admin.queues('shop')].map(({ name, type }) => [name, type]);
    expect(Object.fromEntries(types)).toEqual({
      safe: 'quorum',
      light: 'classic',
      chosen: 'classic',
    });
    expect(() => world.engine.admin.putVhost('shop', { defaultQueueType: 'quick' })).toThrow(
      "unknown queue type 'quick'",
    );
  });
});

describe('a vhost of the configuration', () => {
  it('cannot be deleted', () => {
    expect(() => world.engine.admin.deleteVhost('/')).toThrow(/stands in the configuration file/);
    expect(() => world.engine.admin.deleteVhost('none')).toThrow('vhost none not found');
  });

  it('keeps the limits that stand there', () => {
    const limits = { connectionsMax: 5, queuesMax: undefined };
    world = createWorld({ store, vhostLimits: { '/': limits } });
    expect(() => world.engine.admin.setVhostLimits('/', limits)).toThrow(
      /configuration file limits/,
    );
    expect(world.engine.admin.vhost('/')?.limits).toEqual(limits);
  });
});

describe('permissions that change', () => {
  const refusal = (step: () => unknown): string => {
    try {
      step();
    } catch (error) {
      return (error as BrokerError).code;
    }
    return 'none';
  };

  it('count at once for clients that are connected', async () => {
    await world.context.accounts.put('eve', { password: 'x' }, []);
    world.context.accounts.setPermission('eve', '/', ALL);
    const session = world.engine.open('/', world.principal('eve'));
    const publisher = session.publisher(new Outbox());
    const publish = (): unknown => publisher.publish(message({ exchange: 'amq.topic' }), 0, false);
    expect(refusal(publish)).toBe('none');
    world.context.accounts.setPermission('eve', '/', { ...ALL, write: '^own$' });
    expect(refusal(publish)).toBe('access-refused');
    expect(refusal(() => session.declareQueue(queueSpec('q'), false))).toBe('none');
    world.context.accounts.setPermission('eve', '/', null);
    expect(refusal(() => session.declareQueue(queueSpec('q2'), false))).toBe('access-refused');
    expect(refusal(() => world.engine.open('/', world.principal('eve')))).toBe('access-refused');
  });

  it('of a configured account stand in the configuration, but for vhosts made since', () => {
    const { accounts } = world.context;
    expect(accounts.setPermission('alice', '/', null)).toBe('configured');
    expect(accounts.setPermission('alice', 'other', ALL)).toBe('done');
    expect(world.principal('alice').permissions.get('other')).toBeDefined();
    start();
    expect(world.principal('alice').permissions.get('other')).toBeDefined();
    expect(world.context.accounts.setPermission('nobody', '/', ALL)).toBe('unknown');
  });
});

describe('topic permissions', () => {
  it('bound the keys that are published to and bound from a topic exchange', () => {
    const { accounts } = world.context;
    accounts.setTopicPermission('bob', '/', 'amq.topic', {
      write: '^own\\.{username}\\.{client_id}\\.',
      read: '^own\\.',
    });
    expect(accounts.view('bob')?.topicPermissions['/']).toBeUndefined();
    accounts.setPermission('bob', 'other', ALL);
    accounts.setTopicPermission('bob', 'other', 'amq.topic', {
      write: '^own\\.{username}\\.{client_id}\\.',
      read: '^own\\.',
    });
    const peer = { ...PEER, clientId: 'meter+1' };
    const session = world.engine.open('other', world.principal('bob'), peer);
    const publisher = session.publisher(new Outbox());
    const publish = (exchange: string, key: string) => () =>
      publisher.publish(message({ exchange, key }), 0, false);
    expect(publish('amq.topic', 'own.bob.meter+1.a')).not.toThrow();
    expect(publish('amq.topic', 'own.bob.meterr1.a')).toThrow(
      "write access to topic 'own.bob.meterr1.a' in exchange 'amq.topic' in vhost 'other' refused",
    );
    session.declareExchange(exchangeSpec('plain', 'direct'), false);
    expect(publish('plain', 'any')).not.toThrow();
    session.declareQueue(queueSpec('q'), false);
    expect(() => session.bind(binding('amq.topic', 'q', 'own.#'))).not.toThrow();
    expect(() => session.bind(binding('amq.topic', 'q', '#'))).toThrow(/read access to topic '#'/);
    accounts.setTopicPermission('bob', 'other', 'amq.topic', null);
    expect(publish('amq.topic', 'anything')).not.toThrow();
  });

  it('with a variable that the client has no value for allow nothing', () => {
    world.context.accounts.setPermission('bob', 'other', ALL);
    const permission = { write: '{client_id}', read: '.*' };
    world.context.accounts.setTopicPermission('bob', 'other', 'amq.topic', permission);
    const session = world.engine.open('other', world.principal('bob'));
    const publisher = session.publisher(new Outbox());
    const parts = message({ exchange: 'amq.topic', key: 'k' });
    expect(() => publisher.publish(parts, 0, false)).toThrow(/write access to topic 'k'/);
  });
});

describe('sessions of clients', () => {
  it('are listed without those of the broker, and ended by name', () => {
    const peer = { ...PEER, listener: 'amqp://127.0.0.1:5672' };
    const reasons: string[] = [];
    world.engine.open('/', world.principal('bob'), peer, (why) => reasons.push(why.message));
    const [view, ...more] = [...world.engine.admin.sessions()];
    expect(more).toEqual([]);
    expect(view).toMatchObject({
      name: '127.0.0.1:50000 -> 127.0.0.1:5672',
      user: 'bob',
      vhost: '/',
    });
    const { admin } = world.engine;
    const reason = new BrokerError('unavailable', 'Closed via management plugin');
    expect(admin.evict(({ name }) => name === 'another', reason)).toBe(0);
    expect(admin.evict(({ name }) => name === view?.name, reason)).toBe(1);
    expect(reasons).toEqual(['Closed via management plugin']);
    expect([...admin.sessions()]).toEqual([]);
  });
});
