import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../core/store/memory.ts';
import { TestGateway } from './client.ts';

const LASTING = { clean: false, properties: { sessionExpiryInterval: 100 } };

/** Everything in a table, as text. */
function tableOf(store: MemoryStore, name: string): Record<string, unknown> {
  return Object.fromEntries(
    [...store.table(name).entries()].map(([key, value]) => [key, JSON.parse(String(value))]),
  );
}

describe('what is stored of a session', () => {
  it('has one entry for each subscription, and none of what is gone', () => {
    const store = new MemoryStore();
    const gateway = new TestGateway({}, { store });
    const client = gateway.connect('c', 5, LASTING);
    client.subscribe('a/#', 1);
    client.subscribe('b', 2, { properties: { subscriptionIdentifier: 9 } });
    client.subscribe('gone', 1);
    client.unsubscribe('gone');
    gateway.connect('passing').subscribe('a', 1);
    expect(tableOf(store, 'mqtt.subscriptions')).toEqual({
      '/\0c\0a/#': ['a/#', 1, false, false, 0],
      '/\0c\0b': ['b', 2, false, false, 9],
    });
    expect(Object.keys(tableOf(store, 'mqtt.sessions'))).toEqual(['/\0c']);
    client.lose();
    gateway.world.clock.advance(100_000);
    expect(tableOf(store, 'mqtt.subscriptions')).toEqual({});
    expect(tableOf(store, 'mqtt.sessions')).toEqual({});
  });

  it('is read as versions before wrote it, once', () => {
    const store = new MemoryStore();
    const subscriptions = [['t/#', 1, false, false, 5]];
    const record = { vhost: '/', clientId: 'c', user: 'alice', tag: '', expirySeconds: 100 };
    store
      .table('mqtt.sessions')
      .set('/\0c', Buffer.from(JSON.stringify({ ...record, leftAt: 0, subscriptions })));
    new TestGateway({}, { store });
    expect(tableOf(store, 'mqtt.sessions')['/\0c']).not.toHaveProperty('subscriptions');
    const gateway = new TestGateway({}, { store });
    gateway.connect('s').publish('t/a', 'x', 1);
    const client = gateway.connect('c', 5, LASTING);
    expect(client.texts()).toEqual(['t/a x']);
    client.unsubscribe('t/#');
    const again = new TestGateway({}, { store });
    again.connect('s').publish('t/a', 'y', 1);
    expect(again.connect('c', 5, LASTING).texts()).toEqual([]);
  });

  it('is forgotten where a crash left no record of its session', () => {
    const store = new MemoryStore();
    store.table('mqtt.subscriptions').set('/\0c\0t', Buffer.from('["t",1,false,false,0]'));
    new TestGateway({}, { store });
    expect(tableOf(store, 'mqtt.subscriptions')).toEqual({});
  });
});
