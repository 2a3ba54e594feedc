import { describe, expect, it } from 'vitest';
import { MemoryGauge } from '../../../core/embedded/memory-gauge.ts';
import { Outcome } from '../../../core/engine.ts';
import { message } from '../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../support/recorder.ts';
import { createWorld } from '../../support/world.ts';
import { queueSpec } from '../engine-contract.ts';

describe('the memory gauge', () => {
  it('is full past its mark, and has room again at four fifths', () => {
    const changes: [boolean, number][] = [];
    const gauge = new MemoryGauge(100, (full, bytes) => changes.push([full, bytes]));
    const woken: string[] = [];
    gauge.add(100);
    expect(gauge.full).toBe(false);
    gauge.add(1);
    expect(gauge.full).toBe(true);
    gauge.onRoom(() => woken.push('one'));
    const forgotten = (): void => void woken.push('forgotten');
    gauge.onRoom(forgotten);
    gauge.forget(forgotten);
    gauge.remove(20);
    expect([gauge.full, woken]).toEqual([true, []]);
    gauge.remove(1);
    expect([gauge.full, woken]).toEqual([false, ['one']]);
    gauge.add(30);
    gauge.remove(40);
    expect(woken).toEqual(['one']);
    expect(changes).toEqual([
      [true, 101],
      [false, 80],
      [true, 110],
      [false, 70],
    ]);
  });

  it('wakes nobody while the store is blocked too', () => {
    const gauge = new MemoryGauge(100, () => {});
    let woken = 0;
    gauge.add(200);
    gauge.block(true);
    gauge.onRoom(() => {
      woken++;
    });
    gauge.remove(200);
    expect([gauge.full, woken]).toEqual([true, 0]);
    gauge.block(false);
    expect([gauge.full, woken]).toEqual([false, 1]);
  });
});

describe('publishers', () => {
  it('are held while memory is full, and go on once', () => {
    const world = createWorld({ limits: { memoryHighBytes: 1000 } });
    const session = world.engine.open('/', world.principal('guest'));
    session.declareQueue(queueSpec('q'), false);
    const outbox = new Outbox();
    const publisher = session.publisher(outbox);
    const publish = (): boolean => publisher.publish(message({ key: 'q' }), 0, false);
    const answers = [publish(), publish(), publish(), publish()];
    expect(answers).toEqual([true, true, false, false]);
    session.purgeQueue('q');
    expect(outbox.events).toEqual(['writable']);
    expect(publish()).toBe(true);
    session.close();
    expect(outbox.events).toEqual(['writable']);
  });

  it('to a queue whose consumers cannot keep up are slowed, a little at a time', () => {
    const world = createWorld({ limits: { queueSlowBytes: 500, publisherStallMs: 50 } });
    const session = world.engine.open('/', world.principal('guest'));
    session.declareQueue(queueSpec('q'), false);
    const subscription = session.consume(consumeSpec('q'), new Inbox());
    const outbox = new Outbox();
    const publisher = session.publisher(outbox);
    const publish = (): boolean => publisher.publish(message({ key: 'q' }), 0, false);
    subscription.pause();
    expect([publish(), publish()]).toEqual([true, false]);
    world.clock.advance(49);
    expect(outbox.events).toEqual([]);
    world.clock.advance(1);
    expect(outbox.events).toEqual(['writable']);
    expect(publish()).toBe(false);
    world.clock.advance(50);
    subscription.resume();
    expect(publish()).toBe(true);
  });

  it('do not wait for a consumer that takes nothing at all any more', () => {
    const world = createWorld({ limits: { queueSlowBytes: 500, publisherStallMs: 50 } });
    const session = world.engine.open('/', world.principal('guest'));
    session.declareQueue(queueSpec('q'), false);
    const inbox = new Inbox();
    const subscription = session.consume(consumeSpec('q'), inbox);
    const publisher = session.publisher(new Outbox());
    const publish = (): boolean => publisher.publish(message({ key: 'q' }), 0, false);
    publish();
    subscription.pause();
    expect(publish()).toBe(false);
    world.clock.advance(1001);
    expect(publish()).toBe(true);
    // It moves again: it is worth waiting for.
    inbox.deliveries[0]?.settle(Outcome.ACCEPT);
    expect(publish()).toBe(false);
  });

  it('to a queue that nobody consumes are not slowed', () => {
    const world = createWorld({ limits: { queueSlowBytes: 500 } });
    const session = world.engine.open('/', world.principal('guest'));
    session.declareQueue(queueSpec('q'), false);
    const publisher = session.publisher(new Outbox());
    for (let n = 0; n < 10; n++) {
      expect(publisher.publish(message({ key: 'q' }), 0, false)).toBe(true);
    }
  });
});
