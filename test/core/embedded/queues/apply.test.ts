/** Settings of a queue that change while it runs. */
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryGauge } from '../../../../core/embedded/memory-gauge.ts';
import { Owner } from '../../../../core/embedded/owner.ts';
import { classic } from '../../../../core/embedded/queues/classic-type.ts';
import { session } from '../../../../core/embedded/queues/session.ts';
import { stream } from '../../../../core/embedded/queues/stream.ts';
import { Turn } from '../../../../core/embedded/turn.ts';
import { type Queue, type QueueType, Taken } from '../../../../core/embedded/types.ts';
import { Credit, Outcome, type Table } from '../../../../core/engine.ts';
import { DEFAULT_LIMITS } from '../../../../core/limits.ts';
import type { HeaderValue } from '../../../../core/message.ts';
import { CoreCounters } from '../../../../core/meter.ts';
import { MemoryStore } from '../../../../core/store/memory.ts';
import { LateLog } from '../../../support/late-store.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { type MessageParts, message } from '../../../support/messages.ts';
import { consumeSpec, Inbox } from '../../../support/recorder.ts';
import { args, queueSpec } from '../../engine-contract.ts';

type Settings = Readonly<Record<string, HeaderValue>>;

const owner = new Owner('guest');
let clock: ManualClock;
let log: LateLog | null;
let windowBytes: number;
let buried: string[];
let unwanted: boolean;

beforeEach(() => {
  clock = new ManualClock();
  log = null;
  windowBytes = DEFAULT_LIMITS.queueWindowBytes;
  buried = [];
  unwanted = false;
});

function create(
  type: QueueType = classic,
  declared: Settings = {},
  effective: Settings = declared,
  table: Table | null = null,
): Queue {
  const spec = queueSpec('q', { durable: true, arguments: args(declared) });
  return type.create(spec, {
    vhost: '/',
    effective: args(effective),
    clock,
    limits: { ...DEFAULT_LIMITS, queueWindowBytes: windowBytes },
    counters: new CoreCounters(),
    memory: new MemoryGauge(1e9, () => {}),
    log,
    turn: new Turn(),
    table: () => table,
    deadLetter: ({ body }, queue, reason) => {
      const { exchange } = queue.deadLetters ?? { exchange: 'nowhere' };
      buried.push(`${body.toString()} ${reason} to ${exchange}`);
    },
    bindingsOf: () => null,
    unwanted: () => {
      unwanted = true;
    },
  });
}

function publish(queue: Queue, body: string, parts: MessageParts = {}): Taken {
  const fresh = message({ body, durable: true, receivedAt: clock.now(), ...parts });
  return queue.publish(fresh, null, null, fresh.size);
}

function consume(queue: Queue, prefetch = 0): Inbox {
  const inbox = new Inbox();
  queue.consume(consumeSpec('q', { credits: [new Credit(prefetch)] }), inbox, owner);
  return inbox;
}

function bodies(queue: Queue): string[] {
  return queue.browse?.().map(({ body }) => body.toString()) ?? [];
}

describe('a queue whose settings change', () => {
  it('is cut to its new length at once, from its head, to where dead letters go now', () => {
    const queue = create();
    for (const body of ['a', 'b', 'c', 'd']) publish(queue, body);
    queue.apply(args({ 'x-max-length': 2, 'x-dead-letter-exchange': 'dlx' }));
    expect([bodies(queue), buried]).toEqual([
      ['c', 'd'],
      ['a maxlen to dlx', 'b maxlen to dlx'],
    ]);
    queue.apply(args({}));
    publish(queue, 'e');
    expect(bodies(queue)).toEqual(['c', 'd', 'e']);
  });

  it('keeps what it has, and refuses more, where publishers are to be told', () => {
    const queue = create();
    for (const body of ['a', 'b', 'c']) publish(queue, body);
    queue.apply(args({ 'x-max-length': 2, 'x-overflow': 'reject-publish' }));
    expect([publish(queue, 'd'), bodies(queue)]).toEqual([Taken.REFUSED, ['a', 'b', 'c']]);
    queue.apply(args({ 'x-max-length': 4, 'x-overflow': 'reject-publish' }));
    expect([publish(queue, 'd'), bodies(queue)]).toEqual([Taken.DONE, ['a', 'b', 'c', 'd']]);
  });

  it('is cut to its new size, what waits on the disk included', () => {
    log = new LateLog();
    windowBytes = 1;
    const queue = create();
    for (let n = 0; n < 3000; n++) publish(queue, String(n).padStart(4, '0'));
    queue.apply(args({ 'x-max-length-bytes': 10_000 }));
    expect([queue.ready, bodies(queue)[0]]).toEqual([2500, '0500']);
    publish(queue, 'last');
    expect([queue.ready, bodies(queue)[0]]).toEqual([2500, '0501']);
  });

  it('counts what waits on the disk after a restart too', () => {
    log = new LateLog();
    windowBytes = 1;
    const limited: Settings = { 'x-max-length-bytes': 8000 };
    const before = create(classic, limited);
    for (let n = 0; n < 1500; n++) publish(before, 'four');
    before.close(false);
    const queue = create(classic, limited);
    for (let n = 0; n < 1000; n++) publish(queue, 'more');
    expect(queue.ready).toBe(2000);
  });

  it('has a new time limit for what comes, and not for what it has already', () => {
    const queue = create();
    const inbox = consume(queue, 1);
    publish(queue, 'lent');
    publish(queue, 'waits');
    clock.advance(5000);
    queue.apply(args({ 'x-message-ttl': 1000, 'x-dead-letter-exchange': 'dlx' }));
    publish(queue, 'new');
    clock.advance(60_000);
    expect([queue.ready, buried]).toEqual([2, []]);
    inbox.deliveries.pop()?.settle(Outcome.ACCEPT);
    inbox.deliveries.pop()?.settle(Outcome.ACCEPT);
    expect([inbox.bodies, buried]).toEqual([[], ['new expired to dlx']]);
    publish(queue, 'short');
    publish(queue, 'shorter');
    inbox.deliveries.pop()?.settle(Outcome.REQUEUE);
    queue.apply(args({}));
    publish(queue, 'for ever');
    inbox.deliveries.pop()?.settle(Outcome.REQUEUE);
    queue.leave(owner);
    queue.release(owner);
    clock.advance(1000);
    expect(bodies(queue)).toEqual(['for ever']);
  });

  it('knows after a restart which time limit what it has came under', () => {
    const kept = new MemoryStore().table('');
    log = new LateLog();
    const start = (ttl: Settings): Queue => create(classic, {}, ttl, kept);
    let queue = start({});
    publish(queue, 'none');
    queue.apply(args({ 'x-message-ttl': 9000 }));
    publish(queue, 'long');
    queue.apply(args({ 'x-message-ttl': 1000 }));
    publish(queue, 'short');
    queue.close(false);
    queue = start({ 'x-message-ttl': 500 });
    publish(queue, 'shortest');
    clock.advance(999);
    expect(queue.ready).toBe(4);
    queue.get(false, owner);
    expect([queue.ready, bodies(queue)]).toEqual([3, ['long', 'short']]);
    clock.advance(8000);
    expect([queue.ready, bodies(queue)]).toEqual([3, ['long']]);
    clock.advance(1);
    expect(queue.ready).toBe(0);
    expect([...kept.entries()]).toHaveLength(1);
    queue.apply(args({ 'x-message-ttl': 700 }));
    expect([...kept.entries()]).toEqual([]);
  });

  it('begins its new lease, and none while somebody consumes', () => {
    const queue = create(classic, { 'x-expires': 10_000 });
    clock.advance(9000);
    queue.apply(args({ 'x-expires': 5000 }));
    clock.advance(4999);
    expect(unwanted).toBe(false);
    const inbox = consume(queue);
    queue.apply(args({ 'x-expires': 1000 }));
    clock.advance(2000);
    expect([unwanted, inbox.cancellations]).toEqual([false, []]);
    queue.leave(owner);
    queue.release(owner);
    clock.advance(999);
    expect(unwanted).toBe(false);
    clock.advance(1);
    expect(unwanted).toBe(true);
  });

  it('is for ever where its lease is taken away, and not begun anew where it stays', () => {
    const queue = create(classic, { 'x-expires': 1000 });
    clock.advance(900);
    queue.apply(args({ 'x-expires': 1000, 'x-max-length': 1 }));
    clock.advance(100);
    expect(unwanted).toBe(true);
    unwanted = false;
    const other = create(classic, { 'x-expires': 1000 });
    other.apply(args({}));
    clock.advance(60_000);
    expect(unwanted).toBe(false);
  });

  it('gives up after as many deliveries as it says now', () => {
    const queue = create();
    const inbox = consume(queue);
    publish(queue, 'poison');
    inbox.deliveries.pop()?.settle(Outcome.REQUEUE);
    inbox.deliveries.pop()?.settle(Outcome.REQUEUE);
    queue.apply(args({ 'x-delivery-limit': 1 }));
    inbox.deliveries.pop()?.settle(Outcome.REQUEUE);
    expect([inbox.deliveries, buried]).toEqual([[], ['poison delivery_limit to nowhere']]);
  });

  it('waits between attempts as it says now', () => {
    const queue = create();
    const inbox = consume(queue);
    publish(queue, 'm');
    queue.apply(args({ 'x-delayed-retry-min': 100 }));
    inbox.deliveries.pop()?.settle(Outcome.REQUEUE);
    expect(inbox.bodies).toEqual([]);
    clock.advance(100);
    expect(inbox.bodies).toEqual(['m']);
  });

  it('tells consumers that are there its time-out', () => {
    const queue = create(classic, { 'x-consumer-timeout': 1000 });
    const subscription = queue.consume(consumeSpec('q'), new Inbox(), owner);
    expect(subscription.timeoutMs).toBe(1000);
    queue.apply(args({ 'x-consumer-timeout': 2000 }));
    expect(subscription.timeoutMs).toBe(2000);
    queue.apply(args({}));
    expect(subscription.timeoutMs).toBe(0);
  });

  it.each([null, new LateLog()])('knows duplicates of what it has already (log %#)', (kept) => {
    log = kept;
    const queue = create();
    const headers = { 'x-deduplication-header': '1' };
    const inbox = consume(queue, 1);
    publish(queue, 'lent', { headers });
    publish(queue, 'waits', { headers: { 'x-deduplication-header': '2' } });
    queue.apply(args({ 'x-message-deduplication': true }));
    publish(queue, 'double', { headers });
    publish(queue, 'double', { headers: { 'x-deduplication-header': '2' } });
    expect(bodies(queue)).toEqual(['lent', 'waits']);
    inbox.deliveries[0]?.settle(Outcome.ACCEPT);
    publish(queue, 'new', { headers });
    queue.apply(args({}));
    publish(queue, 'double', { headers });
    expect(bodies(queue)).toEqual(['waits', 'new', 'double']);
  });

  it('passes over a dead-letter key without an exchange', () => {
    const queue = create();
    queue.apply(args({ 'x-dead-letter-routing-key': 'why' }));
    expect(queue.deadLetters).toBeNull();
    queue.apply(args({ 'x-dead-letter-routing-key': 'why', 'x-dead-letter-exchange': 'dlx' }));
    expect(queue.deadLetters).toEqual({ exchange: 'dlx', routingKey: 'why' });
  });

  it('changes nothing for a value that cannot be', () => {
    const queue = create(classic, { 'x-max-length': 2 });
    const wrong = args({ 'x-max-length': 1, 'x-message-ttl': -1 });
    expect(() => queue.apply(wrong)).toThrow("invalid arg 'x-message-ttl'");
    for (const body of ['a', 'b']) publish(queue, body);
    expect(queue.ready).toBe(2);
  });

  it('keeps its priorities', () => {
    const queue = create(classic, { 'x-max-priority': 5 });
    queue.apply(args({ 'x-max-priority': 5, 'x-max-length': 2 }));
    for (const priority of [1, 5, 3]) publish(queue, String(priority), { priority });
    expect(consume(queue).bodies).toEqual(['5', '3']);
  });
});

describe('a session whose settings change', () => {
  it('is cut, and sends dead letters elsewhere', () => {
    const queue = create(session);
    for (const body of ['a', 'b']) publish(queue, body);
    queue.apply(args({ 'x-max-length': 1, 'x-dead-letter-exchange': 'dlx' }));
    expect([queue.ready, buried]).toEqual([1, ['a maxlen to dlx']]);
  });
});

describe('a stream whose retention changes', () => {
  it('gives up at once what is no longer to be kept', () => {
    const segments = { 'x-stream-max-segment-size-bytes': 10 };
    const queue = create(stream, segments);
    for (let n = 0; n < 10; n++) publish(queue, '0123456789');
    expect(queue.ready).toBe(10);
    queue.apply(args({ ...segments, 'x-max-length-bytes': 60 }));
    expect(queue.ready).toBeLessThan(10);
    clock.advance(10_000);
    publish(queue, '0123456789');
    queue.apply(args({ ...segments, 'x-max-age': '5s' }));
    expect(queue.ready).toBe(1);
  });
});
