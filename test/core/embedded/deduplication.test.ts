/** Duplicates that exchanges route once and queues take once, also across a restart. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Outcome, type Session } from '../../../core/engine.ts';
import type { HeaderValue } from '../../../core/message.ts';
import { LateStore } from '../../support/late-store.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type MessageParts, message } from '../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../support/recorder.ts';
import { createWorld } from '../../support/world.ts';
import { args, binding, exchangeSpec, queueSpec } from '../engine-contract.ts';

type Values = Readonly<Record<string, HeaderValue>>;

const HEADER = 'x-deduplication-header';

let store: LateStore;
let clock: ManualClock;
let session: Session;

/** The next process on the same store. */
function restart(limits = {}): void {
  const world = createWorld({ store, clock, limits });
  session = world.engine.open('/', world.principal('guest'));
}

beforeEach(() => {
  store = new LateStore();
  clock = new ManualClock();
  restart();
});

function declareExchange(values: Values, type = 'x-message-deduplication', durable = false): void {
  const spec = exchangeSpec('x', type, { durable, arguments: args(values) });
  void session.declareExchange(spec, false);
  void session.declareQueue(queueSpec('q', { durable: true }), false);
  void session.bind(binding('x', 'q', 'k'));
}

function declareQueue(values: Values = {}, durable = false): void {
  const given = args({ 'x-message-deduplication': true, ...values });
  void session.declareQueue(queueSpec('u', { durable, arguments: given }), false);
}

/** Publishes a body that is its own key, and answers what its publisher is told. */
function publish(body: string, parts: MessageParts = {}, header = HEADER): string[] {
  const told = new Outbox();
  const headers = { [header]: body, ...parts.headers };
  session.publisher(told).publish(message({ body, ...parts, headers }), 1, true);
  return told.events;
}

/** To the exchange; then what its queue got. */
function routed(...bodies: readonly string[]): string[] {
  for (const body of bodies) publish(body, { exchange: 'x', key: 'k' });
  return taken('q');
}

function enqueue(body: string, parts: MessageParts = {}): string[] {
  return publish(body, { key: 'u', ...parts });
}

function taken(queue: string): string[] {
  const bodies: string[] = [];
  for (;;) {
    const pulled = session.get(queue, false);
    if (pulled === null || pulled instanceof Promise) return bodies;
    bodies.push(pulled.delivery.message.body.toString());
  }
}

describe('an exchange', () => {
  it('routes a value once, and what has none always', () => {
    declareExchange({ 'x-cache-size': 10 });
    expect(routed('a', 'b', 'a', 'a')).toEqual(['a', 'b']);
    expect(routed('b', 'c')).toEqual(['c']);
    for (let n = 0; n < 2; n++)
      session.publisher(new Outbox()).publish(message({ exchange: 'x' }), 0, false);
    expect(taken('q')).toEqual(['', '']);
  });

  it('returns a duplicate that must be routed, and confirms it', () => {
    declareExchange({ 'x-cache-size': 10 });
    expect(publish('a', { exchange: 'x' })).toEqual(['1 CONFIRMED']);
    expect(publish('a', { exchange: 'x' })).toEqual(['returned a', '1 UNROUTABLE']);
  });

  it('forgets after its time, or the message’s own, and the oldest where it is full', () => {
    declareExchange({ 'x-cache-size': 2, 'x-cache-ttl': '1000' });
    expect(routed('a', 'a')).toEqual(['a']);
    publish('b', { exchange: 'x', headers: { 'x-cache-ttl': '5000' } });
    clock.advance(1001);
    expect(routed('a', 'b')).toEqual(['b', 'a']);
    expect(routed('c', 'd', 'a', 'd')).toEqual(['c', 'd', 'a']);
  });

  it('of any type does so with an argument, by a header of its own', () => {
    const values = { 'x-message-deduplication': true, 'x-cache-size': 5, [HEADER]: 'id' };
    declareExchange(values, 'direct');
    publish('a', { exchange: 'x', key: 'other' }, 'id');
    publish('b', { exchange: 'x', key: 'k' }, 'id');
    publish('b', { exchange: 'x', key: 'k' }, 'id');
    expect(taken('q')).toEqual(['b']);
  });

  it('sends duplicates to its alternate', () => {
    void session.declareExchange(exchangeSpec('spare', 'fanout'), false);
    void session.declareQueue(queueSpec('dup'), false);
    void session.bind(binding('spare', 'dup', ''));
    declareExchange({ 'x-cache-size': 5, 'alternate-exchange': 'spare' });
    expect(routed('a', 'a')).toEqual(['a']);
    expect(taken('dup')).toEqual(['a']);
  });

  it('remembers over a restart where it is durable, and its memory is not to be in memory', () => {
    declareExchange({ 'x-cache-size': 5, 'x-cache-ttl': 1000 }, undefined, true);
    expect(routed('a')).toEqual(['a']);
    store.answer();
    restart();
    expect(routed('a', 'b')).toEqual(['b']);
    clock.advance(1001);
    restart();
    expect(routed('a')).toEqual(['a']);
    void session.deleteExchange('x', false);
    declareExchange({ 'x-cache-size': 5, 'x-cache-persistence': 'memory' }, undefined, true);
    expect(routed('a')).toEqual(['a']);
    store.answer();
    restart();
    expect(routed('a')).toEqual(['a']);
  });

  it('that is deleted leaves nothing for the next of its name', () => {
    declareExchange({ 'x-cache-size': 5 }, undefined, true);
    expect(routed('a')).toEqual(['a']);
    void session.deleteExchange('x', false);
    declareExchange({ 'x-cache-size': 5 }, undefined, true);
    expect(routed('a')).toEqual(['a']);
  });

  it.each<[Values, string]>([
    [{}, "'x-cache-size' must be an integer greater than 0"],
    [{ 'x-cache-size': 0 }, "'x-cache-size' must be"],
    [{ 'x-cache-size': 'many' }, "'x-cache-size' must be"],
    [{ 'x-cache-size': 1_000_001 }, 'and at most 1000000'],
    [{ 'x-cache-size': 1, 'x-cache-ttl': -1 }, "'x-cache-ttl' must be"],
    [{ 'x-cache-size': 1, 'x-cache-persistence': 'tape' }, "must be either 'disk' or 'memory'"],
  ])('is refused with %j', (values, text) => {
    expect(() => declareExchange(values)).toThrow(text);
  });
});

describe('a queue', () => {
  it('takes a value once while it is there, and confirms what it has already', () => {
    declareQueue();
    expect(enqueue('a')).toEqual(['1 CONFIRMED']);
    expect(enqueue('a')).toEqual(['1 CONFIRMED']);
    enqueue('b');
    expect(taken('u')).toEqual(['a', 'b']);
    enqueue('a');
    expect(taken('u')).toEqual(['a']);
  });

  it.each([
    [Outcome.ACCEPT, ['a']],
    [Outcome.REJECT, ['a']],
    [Outcome.REQUEUE, ['a']],
  ])('has what a consumer holds until it is settled: %s', (outcome, after) => {
    declareQueue();
    const inbox = new Inbox();
    enqueue('a');
    const subscription = session.consume(consumeSpec('u', { acknowledge: true }), inbox);
    enqueue('a');
    expect(inbox.bodies).toEqual(['a']);
    if (!(subscription instanceof Promise)) void subscription.cancel();
    inbox.deliveries[0]?.settle(outcome);
    enqueue('a');
    expect(taken('u')).toEqual(after);
  });

  it('takes again what expired, was pushed out, purged or dead-lettered to itself', () => {
    declareQueue({
      'x-max-length': 2,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'u',
    });
    enqueue('a', { expiresAt: clock.now() + 10 });
    clock.advance(20);
    enqueue('a');
    enqueue('b');
    enqueue('c');
    enqueue('a');
    expect(taken('u')).toEqual(['c', 'a']);
    enqueue('c');
    void session.purgeQueue('u');
    enqueue('c');
    const pulled = session.get('u', true);
    if (pulled !== null && !(pulled instanceof Promise)) pulled.delivery.settle(Outcome.REJECT);
    expect(taken('u')).toEqual(['c']);
  });

  it('knows what it has after a restart, also what is on the disk only', () => {
    restart({ queueWindowBytes: 1 });
    declareQueue({}, true);
    for (const body of ['a', 'b', 'c', 'b']) enqueue(body, { durable: true });
    store.answer();
    restart({ queueWindowBytes: 1 });
    for (const body of ['c', 'd', 'a']) enqueue(body, { durable: true });
    expect(taken('u')).toEqual(['a', 'b', 'c', 'd']);
  });

  it('confirms a duplicate no sooner than the original is safe', () => {
    declareQueue({}, true);
    const original = enqueue('a', { durable: true });
    const duplicate = enqueue('a', { durable: true });
    expect([original, duplicate]).toEqual([[], []]);
    store.answer();
    expect([original, duplicate]).toEqual([['1 CONFIRMED'], ['1 CONFIRMED']]);
  });
});
