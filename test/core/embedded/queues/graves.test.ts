/** Dead letters that stay in their queue until they have arrived: `at-least-once`. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Credit, Outcome, type Session } from '../../../../core/engine.ts';
import type { HeaderValue } from '../../../../core/message.ts';
import { LateStore } from '../../../support/late-store.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld, type World } from '../../../support/world.ts';
import { args, binding, exchangeSpec, queueSpec } from '../../engine-contract.ts';

const AT_LEAST_ONCE = {
  'x-queue-type': 'quorum',
  'x-dead-letter-strategy': 'at-least-once',
  'x-overflow': 'reject-publish',
  'x-dead-letter-exchange': 'dlx',
};

let store: LateStore;
let clock: ManualClock;
let world: World;
let session: Session;

function start(limits = {}): void {
  clock = new ManualClock(clock.now());
  world = createWorld({ store, clock, limits });
  session = world.engine.open('/', world.principal('guest'));
}

/** What was written is safe; then the process dies, and the next one begins. */
function kill(limits = {}): void {
  store.answer();
  store.crash();
  start(limits);
}

function declare(name: string, values: Readonly<Record<string, HeaderValue>> = {}): void {
  const spec = queueSpec(name, { durable: true, arguments: args(values) });
  void session.declareQueue(spec, false);
}

/** Where dead letters of `q` go. */
function open(...targets: readonly string[]): void {
  void session.declareExchange(exchangeSpec('dlx', 'fanout', { durable: true }), false);
  for (const target of targets) void session.bind(binding('dlx', target, ''));
}

function publish(queue: string, ...bodies: readonly string[]): string[] {
  const outbox = new Outbox();
  const publisher = session.publisher(outbox);
  for (const [n, body] of bodies.entries()) {
    publisher.publish(message({ key: queue, body, durable: true }), n + 1, false);
  }
  store.answer();
  return outbox.events;
}

function consume(queue: string, prefetch = 0): Inbox {
  const inbox = new Inbox();
  void session.consume(consumeSpec(queue, { credits: [new Credit(prefetch)] }), inbox);
  return inbox;
}

async function reject(queue: string): Promise<void> {
  for (let next = await session.get(queue, true); next; next = await session.get(queue, true)) {
    next.delivery.settle(Outcome.REJECT);
  }
  store.answer();
}

function counts(name: string): readonly (number | undefined)[] {
  const view = [...world.engine.admin.queues('/')].find((queue) => queue.name === name);
  return [view?.ready, view?.unacknowledged];
}

beforeEach(() => {
  store = new LateStore();
  clock = new ManualClock();
  start();
});

describe('a dead letter of a queue that keeps them until they arrive', () => {
  it('waits for an exchange, and for a queue, and goes there', async () => {
    declare('q', AT_LEAST_ONCE);
    publish('q', 'a', 'b');
    await reject('q');
    expect(counts('q')).toEqual([0, 2]);
    open();
    clock.advance(1000);
    expect(counts('q')).toEqual([0, 2]);
    declare('dead');
    open('dead');
    clock.advance(1999);
    expect(counts('dead')).toEqual([0, 0]);
    clock.advance(1);
    expect([counts('q'), counts('dead')]).toEqual([
      [0, 2],
      [2, 0],
    ]);
    store.answer();
    expect(counts('q')).toEqual([0, 0]);
    expect(consume('dead').deliveries[0]?.message.trail?.deaths).toMatchObject([
      { queue: 'q', reason: 'rejected', count: 1 },
    ]);
  });

  it('goes at once where it can', async () => {
    declare('dead');
    open('dead');
    declare('q', { ...AT_LEAST_ONCE, 'x-message-ttl': 100 });
    publish('q', 'late');
    clock.advance(100);
    expect([counts('q'), counts('dead')]).toEqual([
      [0, 1],
      [1, 0],
    ]);
    store.answer();
    expect(counts('q')).toEqual([0, 0]);
  });

  it('comes to each queue once, however long another refuses it', async () => {
    declare('roomy');
    declare('full', { 'x-max-length': 1, 'x-overflow': 'reject-publish' });
    open('roomy', 'full');
    declare('q', AT_LEAST_ONCE);
    publish('full', 'stuck');
    publish('q', 'a');
    await reject('q');
    for (let second = 0; second < 10; second++) clock.advance(1000);
    expect([counts('q'), counts('roomy'), counts('full')]).toEqual([
      [0, 1],
      [1, 0],
      [1, 0],
    ]);
    void session.purgeQueue('full');
    clock.advance(60_000);
    store.answer();
    expect([counts('q'), counts('roomy'), counts('full')]).toEqual([
      [0, 0],
      [1, 0],
      [1, 0],
    ]);
  });

  it('is tried again after 1, 2, 4 … 60 seconds, from 1 again when one got through', async () => {
    declare('q', AT_LEAST_ONCE);
    publish('q', 'a');
    await reject('q');
    const before = world.meter.core.deadLettered;
    for (const seconds of [1, 2, 4, 8, 16, 32, 60]) clock.advance(seconds * 1000);
    declare('dead');
    open('dead');
    clock.advance(59_999);
    expect(world.meter.core.deadLettered).toBe(before);
    clock.advance(1);
    expect(counts('dead')).toEqual([1, 0]);
    void session.deleteExchange('dlx', false);
    publish('q', 'b');
    await reject('q');
    open('dead');
    clock.advance(1000);
    expect(counts('dead')).toEqual([2, 0]);
  });

  it('counts for the length and the size of its queue: publishers are told', async () => {
    declare('q', { ...AT_LEAST_ONCE, 'x-max-length': 3 });
    publish('q', 'a', 'b');
    await reject('q');
    expect(publish('q', 'c', 'd')).toEqual(['2 REFUSED', '1 CONFIRMED']);
    declare('sized', { ...AT_LEAST_ONCE, 'x-max-length-bytes': 10 });
    publish('sized', '123456');
    await reject('sized');
    expect(publish('sized', '1234', '1')).toEqual(['2 REFUSED', '1 CONFIRMED']);
  });

  it('stays dead over a kill, and goes on where it was, however many there are', async () => {
    declare('q', AT_LEAST_ONCE);
    const bodies = Array.from({ length: 3000 }, (_, n) => String(n));
    publish('q', ...bodies);
    const inbox = consume('q');
    for (let turn = 0; turn < 12; turn++) clock.advance(0);
    for (const delivery of inbox.deliveries) delivery.settle(Outcome.REJECT);
    kill({ queueWindowBytes: 1000 });
    expect([counts('q'), consume('q').bodies]).toEqual([[0, 3000], []]);
    declare('dead');
    open('dead');
    for (let turn = 0; turn < 200; turn++) {
      clock.advance(1000);
      store.answer();
    }
    expect([counts('q'), counts('dead')]).toEqual([
      [0, 0],
      [3000, 0],
    ]);
    expect(store.queue('/\0q').count).toBe(0);
    const dead = consume('dead');
    for (let turn = 0; turn < 12; turn++) clock.advance(0);
    expect(dead.bodies).toEqual(bodies);
    kill();
    expect(counts('q')).toEqual([0, 0]);
  });

  it('is not purged with its queue, and gone with it', async () => {
    declare('q', AT_LEAST_ONCE);
    publish('q', 'dead');
    await reject('q');
    kill();
    publish('q', 'alive');
    expect([session.purgeQueue('q'), counts('q')]).toEqual([1, [0, 1]]);
    void session.deleteQueue('q', false, false);
    declare('q', AT_LEAST_ONCE);
    publish('q', 'new');
    kill();
    expect([counts('q'), consume('q').bodies]).toEqual([[1, 0], ['new']]);
  });

  it('of a queue that a crash deleted by half means nothing to the next of its name', () => {
    store.table('graves\0/\0q').set('1', Buffer.from('rejected 5'));
    declare('q', AT_LEAST_ONCE);
    publish('q', 'alive');
    kill();
    expect([counts('q'), consume('q').bodies]).toEqual([[1, 0], ['alive']]);
  });

  it('is dropped where it would go round for ever', async () => {
    declare('q', { ...AT_LEAST_ONCE, 'x-message-ttl': 10 });
    open('q');
    publish('q', 'round');
    clock.advance(10);
    store.answer();
    expect(counts('q')).toEqual([0, 0]);
  });

  it('may be a duplicate of what comes after it', async () => {
    declare('q', { ...AT_LEAST_ONCE, 'x-message-deduplication': true });
    const headers = { 'x-deduplication-header': '1' };
    const send = (body: string): unknown =>
      session
        .publisher(new Outbox())
        .publish(message({ key: 'q', body, durable: true, headers }), 0, false);
    send('first');
    await reject('q');
    kill();
    send('second');
    send('third');
    expect(consume('q').bodies).toEqual(['second']);
  });

  it('of other queues goes as it can', async () => {
    declare('head', { ...AT_LEAST_ONCE, 'x-overflow': 'drop-head' });
    publish('head', 'a');
    await reject('head');
    expect(counts('head')).toEqual([0, 0]);
  });
});
