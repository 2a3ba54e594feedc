/** Time limits of queues and of what waits in them, across restarts. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Outcome, type QueueSpec, type Session } from '../../../../core/engine.ts';
import type { HeaderValue } from '../../../../core/message.ts';
import { LateStore } from '../../../support/late-store.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { type MessageParts, message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld, type World } from '../../../support/world.ts';
import { args, binding, queueSpec } from '../../engine-contract.ts';

let store: LateStore;
let clock: ManualClock;
let world: World;
let session: Session;

/** The next process on the same store, so much later. */
function restart(downMs = 0, limits = {}): void {
  clock = new ManualClock(clock.now() + downMs);
  world = createWorld({ store, clock, limits });
  session = world.engine.open('/', world.principal('guest'));
}

function declare(name: string, values: Record<string, HeaderValue>, parts = {}): void {
  const spec: QueueSpec = queueSpec(name, { durable: true, arguments: args(values), ...parts });
  void session.declareQueue(spec, false);
}

function publish(parts: MessageParts): void {
  const fresh = { durable: true, receivedAt: clock.now(), ...parts };
  session.publisher(new Outbox()).publish(message(fresh), 0, false);
}

function ready(name: string): number | undefined {
  return [...world.engine.admin.queues('/')].find((queue) => queue.name === name)?.ready;
}

beforeEach(() => {
  store = new LateStore();
  clock = new ManualClock();
  restart();
});

describe("a queue's message TTL", () => {
  it('goes on across a restart, down time included', () => {
    declare('q', { 'x-message-ttl': 1000 });
    publish({ key: 'q', body: 'one' });
    clock.advance(500);
    publish({ key: 'q', body: 'two' });
    store.answer();
    restart(300);
    clock.advance(199);
    expect(ready('q')).toBe(2);
    clock.advance(1);
    expect(ready('q')).toBe(1);
    clock.advance(500);
    expect(ready('q')).toBe(0);
  });

  it('gives up at the next start what fell due meanwhile, to the dead-letter exchange', () => {
    const to = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' };
    declare('dead', {});
    declare('q', { 'x-message-ttl': 1000, ...to });
    for (let n = 0; n < 10_000; n++) publish({ key: 'q', body: String(n) });
    store.answer();
    restart(60_000);
    clock.advance(0);
    expect([ready('q'), ready('dead')]).toEqual([0, 10_000]);
  });

  it('begins when a message came to this queue, not when it was first published', () => {
    const to = { 'x-dead-letter-exchange': 'amq.fanout' };
    declare('first', { 'x-message-ttl': 60_000, ...to });
    declare('again', { 'x-message-ttl': 1000 });
    void session.bind(binding('amq.fanout', 'again', ''));
    publish({ key: 'first', body: 'm' });
    publish({ key: 'again', body: 'late', receivedAt: clock.now() - 60_000 });
    expect(ready('again')).toBe(1);
    clock.advance(1000);
    expect(ready('again')).toBe(0);
    clock.advance(59_000);
    store.answer();
    restart(999);
    clock.advance(0);
    expect(ready('again')).toBe(1);
    clock.advance(1);
    expect(ready('again')).toBe(0);
  });

  it('is not long again for what came back from a consumer', () => {
    declare('q', { 'x-message-ttl': 1000 });
    publish({ key: 'q' });
    const pulled = session.get('q', true);
    clock.advance(900);
    if (pulled !== null && !(pulled instanceof Promise)) pulled.delivery.settle(Outcome.REQUEUE);
    store.answer();
    restart();
    clock.advance(100);
    expect(ready('q')).toBe(0);
  });

  it('holds for what waits on the disk only', () => {
    restart(0, { queueWindowBytes: 2000 });
    declare('q', { 'x-message-ttl': 1000 });
    for (let n = 0; n < 3000; n++) publish({ key: 'q', body: String(n) });
    expect(world.engine.admin.totals().bytes).toBeLessThan(4000);
    clock.advance(500);
    publish({ key: 'q', body: 'younger' });
    clock.advance(499);
    expect(ready('q')).toBe(3001);
    clock.advance(1);
    expect(ready('q')).toBe(1);
  });
});

describe('the time that a queue may be unused', () => {
  const hour = { 'x-expires': 3_600_000 };

  it('counts what was used up before a restart, not the down time', async () => {
    declare('q', hour);
    clock.advance(2_000_000);
    await world.engine.stop();
    restart(86_400_000);
    clock.advance(1_599_999);
    expect(ready('q')).toBe(0);
    clock.advance(1);
    expect(ready('q')).toBeUndefined();
  });

  it('may be an eighth longer after a crash', () => {
    declare('q', hour);
    clock.advance(2_000_000);
    store.answer();
    store.crash();
    restart();
    clock.advance(3_600_000 - 1_800_000 - 1);
    expect(ready('q')).toBe(0);
    clock.advance(1);
    expect(ready('q')).toBeUndefined();
  });

  it('begins anew with whoever looks or consumes, for the next process too', async () => {
    declare('q', hour);
    declare('pulled', hour);
    clock.advance(3_000_000);
    void session.get('pulled', false);
    const inbox = new Inbox();
    const subscription = await session.consume(consumeSpec('q'), inbox);
    clock.advance(9_000_000);
    expect([ready('q'), ready('pulled')]).toEqual([0, undefined]);
    await subscription.cancel();
    await world.engine.stop();
    restart();
    clock.advance(3_599_999);
    expect(ready('q')).toBe(0);
    clock.advance(1);
    expect(ready('q')).toBeUndefined();
  });

  it('leaves nothing behind with the queue', async () => {
    declare('q', hour);
    clock.advance(3_000_000);
    void session.deleteQueue('q', false, false);
    declare('q', hour);
    clock.advance(3_599_999);
    expect(ready('q')).toBe(0);
    await world.engine.stop();
    restart();
    clock.advance(1);
    expect(ready('q')).toBeUndefined();
    expect([...store.table('leases').entries()]).toEqual([]);
  });
});
