/** What policies mean for the queues of MQTT sessions. */
import { describe, expect, it } from 'vitest';
import type { PolicyDefinition } from '../../../core/policy.ts';
import { MemoryStore } from '../../../core/store/memory.ts';
import { TestGateway } from './client.ts';

const LASTING = { clean: false, properties: { sessionExpiryInterval: 100_000 } };

function set({ world }: TestGateway, definition: PolicyDefinition): void {
  const policy = { name: 'p', pattern: '^mqtt-subscription-', applyTo: 'queues', priority: 0 };
  world.engine.admin.setPolicy('/', 'operator', { ...policy, definition });
}

function away(gateway: TestGateway): void {
  const client = gateway.connect('c', 5, LASTING);
  client.subscribe('t', 1);
  client.disconnect();
}

describe('policies on the queues of sessions', () => {
  it('bound how much waits for a client that is away, and how long', () => {
    const gateway = new TestGateway();
    away(gateway);
    const sender = gateway.connect('s', 5);
    for (const body of ['1', '2', '3']) sender.publish('t', body, 1);
    set(gateway, { 'max-length': 2, 'message-ttl': 1000 });
    sender.publish('t', '4', 1);
    expect(gateway.connect('c', 5, LASTING).texts()).toEqual(['t 3', 't 4']);
    away(gateway);
    sender.publish('t', 'late', 1);
    gateway.world.clock.advance(1000);
    expect(gateway.connect('c', 5, LASTING).texts()).toEqual([]);
  });

  it('do not take a session its queue while it lasts, over a restart either', () => {
    const store = new MemoryStore();
    const before = new TestGateway({}, { store });
    away(before);
    set(before, { expires: 1000 });
    before.world.clock.advance(60_000);
    before.gate.stop();
    const after = new TestGateway({}, { store });
    after.world.clock.advance(60_000);
    after.connect('s', 5).publish('t', 'x', 1);
    const client = after.client(5);
    expect(client.connect('c', LASTING)).toMatchObject({ sessionPresent: true });
    expect(client.texts()).toEqual(['t x']);
  });
});
