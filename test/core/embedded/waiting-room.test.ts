/** Messages that wait for their time: by exchange, and by their publishers. */
import { beforeEach, describe, expect, it } from 'vitest';
import { DueHeap } from '../../../core/embedded/due-heap.ts';
import { Outcome, type Session } from '../../../core/engine.ts';
import type { HeaderValue } from '../../../core/message.ts';
import { LateStore } from '../../support/late-store.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type MessageParts, message } from '../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../support/recorder.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { createWorld, type World } from '../../support/world.ts';
import { args, binding, exchangeSpec, queueSpec } from '../engine-contract.ts';

type Values = Readonly<Record<string, HeaderValue>>;

let world: World;
let session: Session;

function start(store: LateStore | null = null, limits = {}): void {
  world = createWorld({ ...(store && { store }), limits });
  session = world.engine.open('/', world.principal('guest'));
}

beforeEach(() => start());

function declare(values: Values = { 'x-delayed-type': 'direct' }): void {
  const spec = exchangeSpec('x', 'x-delayed-message', { durable: true, arguments: args(values) });
  void session.declareExchange(spec, false);
}

function bound(queue = 'q', values: Values = {}): Inbox {
  const spec = queueSpec(queue, { durable: true, arguments: args(values) });
  void session.declareQueue(spec, false);
  void session.bind(binding('x', queue, 'k'));
  return consumed(queue);
}

function consumed(queue: string): Inbox {
  const inbox = new Inbox();
  void session.consume(consumeSpec(queue), inbox);
  return inbox;
}

function publish(delayMs: number | string, parts: MessageParts = {}, tag = 0): Outbox {
  const outbox = new Outbox();
  const headers = { 'x-delay': String(delayMs) };
  const sent = message({ exchange: 'x', key: 'k', durable: true, headers, ...parts });
  session.publisher(outbox).publish(sent, tag, true);
  return outbox;
}

describe('an x-delayed-message exchange', () => {
  it('tells how many wait in it, and no more when it is gone', () => {
    declare();
    publish(1000);
    publish(1000);
    const read = (): number[] => [
      world.engine.admin.totals().delayed,
      world.engine.admin.route('/', { exchange: 'x', routingKey: 'k' }).delayed,
    ];
    expect(read()).toEqual([2, 2]);
    void session.deleteExchange('x', false);
    expect(read()).toEqual([0, 0]);
  });

  it('routes a message when its delay is over, in the order of the times', () => {
    declare();
    const inbox = bound();
    publish(300, { body: 'third' });
    publish(100, { body: 'first' });
    publish(100, { body: 'second' });
    publish(0, { body: 'at once' });
    expect(inbox.take()).toEqual(['at once']);
    world.clock.advance(99);
    expect(inbox.bodies).toEqual([]);
    world.clock.advance(1);
    expect(inbox.take()).toEqual(['first', 'second']);
    world.clock.advance(200);
    expect(inbox.take()).toEqual(['third']);
  });

  it('needs one timer, however many wait', () => {
    declare();
    bound();
    const before = world.clock.pending;
    for (let n = 1000; n > 0; n--) publish(n * 10);
    expect(world.clock.pending - before).toBe(1);
  });

  it('routes as its inner type does, by the bindings of the time', () => {
    declare({ 'x-delayed-type': 'topic' });
    void session.declareQueue(queueSpec('q'), false);
    publish(100, { key: 'a.b', body: 'late bound' });
    void session.bind(binding('x', 'q', 'a.*'));
    const inbox = consumed('q');
    world.clock.advance(100);
    expect(inbox.bodies).toEqual(['late bound']);
  });

  it('shows the delay negated, and does not delay again', () => {
    declare();
    const inbox = bound();
    publish(100);
    world.clock.advance(100);
    const passed = inbox.deliveries[0]?.message;
    expect(passed?.properties.headers).toEqual([['x-delay', -100]]);
    void session.declareExchange(exchangeSpec('again', 'fanout'), false);
    void session.bind({ ...binding('again', 'x', ''), toExchange: true });
    if (passed === undefined) throw new Error('nothing came');
    session.publisher(new Outbox()).publish(passed.redirected('again', 'k'), 0, false);
    expect(inbox.deliveries.length).toBe(2);
  });

  it('delays what comes from another exchange, or from a queue that gave it up', () => {
    declare();
    const inbox = bound();
    const values = { 'x-dead-letter-exchange': 'x', 'x-dead-letter-routing-key': 'k' };
    void session.declareQueue(queueSpec('work', { arguments: args(values) }), false);
    const work = consumed('work');
    publish(100, { exchange: '', key: 'work', body: 'retry' });
    work.deliveries[0]?.settle(Outcome.REJECT);
    expect(inbox.bodies).toEqual([]);
    world.clock.advance(100);
    expect(inbox.bodies).toEqual(['retry']);
  });

  it('lets the life of a message begin when its delay is over', () => {
    declare();
    const inbox = bound();
    const sent = publish(1000, { body: 'alive', expiresAt: world.clock.now() + 500 }, 1);
    world.clock.advance(1000);
    expect(inbox.bodies).toEqual(['alive']);
    expect(inbox.deliveries[0]?.message.expiresAt).toBe(world.clock.now() + 500);
    expect(sent.events).toEqual(['1 CONFIRMED']);
  });

  it('forgets what waits when it is deleted', () => {
    declare();
    const inbox = bound();
    publish(100);
    void session.deleteExchange('x', false);
    declare();
    void session.bind(binding('x', 'q', 'k'));
    world.clock.advance(1000);
    expect(inbox.bodies).toEqual([]);
    expect(world.engine.admin.totals().bytes).toBe(0);
  });

  it('refuses what is beyond its limit', () => {
    start(null, { delayedMax: 2 });
    declare();
    bound();
    const events = [1, 2, 3].map((tag) => publish(100, {}, tag).events[0]);
    expect(events).toEqual(['1 CONFIRMED', '2 CONFIRMED', '3 REFUSED']);
  });

  it.each<[Values]>([
    [{}],
    [{ 'x-delayed-type': 5 }],
    [{ 'x-delayed-type': 'unheard' }],
    [{ 'x-delayed-type': 'x-delayed-message' }],
  ])('refuses %j', (values) => {
    expect(() => declare(values)).toThrow(
      "Invalid argument, 'x-delayed-type' must be an existing exchange type",
    );
  });

  it.each(['-5', 'soon', '1e3', ''])('routes at once with x-delay %j', (delay) => {
    declare();
    const inbox = bound();
    publish(delay, { body: 'now' });
    expect(inbox.bodies).toEqual(['now']);
  });
});

describe('a delayed message in a durable store', () => {
  let store: LateStore;

  beforeEach(() => {
    store = new LateStore();
    start(store);
    declare();
  });

  /** The process dies, and another takes over after so long. */
  function restart(afterMs: number): void {
    store.crash();
    world = createWorld({ store, clock: new ManualClock(world.clock.now() + afterMs) });
    session = world.engine.open('/', world.principal('guest'));
  }

  it('is confirmed when it is safe, and waits without memory', () => {
    bound();
    const outbox = publish(100, {}, 1);
    expect(outbox.events).toEqual([]);
    expect(world.engine.admin.totals().bytes).toBe(0);
    store.answer();
    expect(outbox.events).toEqual(['1 CONFIRMED']);
  });

  it('waits on after the process died, and goes at once if it is due', () => {
    bound();
    publish(100, { body: 'soon' });
    publish(5000, { body: 'later' });
    publish(200, { body: 'volatile', durable: false });
    store.answer();
    publish(100, { body: 'not safe' });
    restart(1000);
    const inbox = consumed('q');
    world.clock.advance(0);
    expect(inbox.take()).toContain('soon');
    world.clock.advance(4000);
    expect(inbox.take()).toEqual(['later']);
  });

  it('is there once where the process dies after its time', () => {
    void session.declareQueue(queueSpec('q', { durable: true }), false);
    void session.bind(binding('x', 'q', 'k'));
    publish(100, { body: 'once' });
    store.answer();
    world.clock.advance(100);
    store.answer();
    restart(0);
    const inbox = consumed('q');
    world.clock.advance(1000);
    expect(inbox.bodies).toEqual(['once']);
  });

  it('stays where it is while publishers are held', () => {
    const inbox = bound();
    publish(100, { body: 'held' });
    store.trouble(new Error('no space left on device'));
    world.clock.advance(1000);
    expect(inbox.bodies).toEqual([]);
    store.trouble(null);
    expect(inbox.bodies).toEqual(['held']);
  });
});

describe('a message that its publisher postpones', () => {
  it('is published later, as it was', () => {
    void session.declareQueue(queueSpec('q'), false);
    const inbox = consumed('q');
    const until = world.clock.now() + 100;
    const sent = message({ key: 'q', body: 'later' }).postponed({ ms: 100, until });
    const outbox = new Outbox();
    session.publisher(outbox).publish(sent, 1, true);
    expect([outbox.events, inbox.bodies]).toEqual([['1 CONFIRMED'], []]);
    world.clock.advance(100);
    expect(inbox.bodies).toEqual(['later']);
    expect(inbox.deliveries[0]?.message.trail).toBeNull();
  });

  it('is kept as a last value when it is published', () => {
    const until = world.clock.now() + 100;
    const parts = { exchange: 'amq.topic', key: 'k', body: 'last', retain: true };
    const sent = message(parts).postponed({ ms: 100, until });
    session.publisher(new Outbox()).publish(sent, 0, false);
    expect(session.retained('amq.topic', 'k')).toEqual([]);
    world.clock.advance(100);
    expect(session.retained('amq.topic', 'k')).toMatchObject([{ routingKey: 'k' }]);
  });

  it('needs an exchange, then and when it is due', () => {
    const until = world.clock.now() + 100;
    const sent = message({ exchange: 'x', key: 'k' }).postponed({ ms: 100, until });
    const publisher = session.publisher(new Outbox());
    expect(() => publisher.publish(sent, 0, false)).toThrow("no exchange 'x'");
    void session.declareExchange(exchangeSpec('x', 'fanout'), false);
    publisher.publish(sent, 0, false);
    void session.deleteExchange('x', false);
    expect(() => world.clock.advance(100)).not.toThrow();
  });
});

describe('the heap of times', () => {
  it('gives positions by time, then by position', () => {
    const heap = new DueHeap();
    const random = new SeededRandom(7);
    const added = Array.from({ length: 500 }, (_, n) => [random.bytes(1).readUInt8(), n] as const);
    for (const [time, position] of added) heap.add(time, position);
    const sorted = added.toSorted(([a, i], [b, j]) => a - b || i - j);
    expect(heap.first).toBe(sorted[0]?.[0]);
    const taken = Array.from({ length: 500 }, () => heap.shift());
    expect(taken).toEqual(sorted.map(([, position]) => position));
    expect([heap.shift(), heap.length, heap.first]).toEqual([
      undefined,
      0,
      Number.POSITIVE_INFINITY,
    ]);
  });
});
