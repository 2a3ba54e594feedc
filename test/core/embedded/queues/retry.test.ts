/** Messages that were given back wait before they are handed out again. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Outcome, type Session } from '../../../../core/engine.ts';
import type { HeaderValue } from '../../../../core/message.ts';
import { LateStore } from '../../../support/late-store.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld, type World } from '../../../support/world.ts';
import { args, queueSpec } from '../../engine-contract.ts';

let store: LateStore;
let clock: ManualClock;
let world: World;
let session: Session;

function restart(): void {
  world = createWorld({ store, clock });
  session = world.engine.open('/', world.principal('guest'));
}

beforeEach(() => {
  store = new LateStore();
  clock = new ManualClock();
  restart();
});

function declare(values: Readonly<Record<string, HeaderValue>>): void {
  const type = args({ 'x-queue-type': 'quorum', ...values });
  void session.declareQueue(queueSpec('q', { durable: true, arguments: type }), false);
}

function publish(...bodies: readonly string[]): void {
  const publisher = session.publisher(new Outbox());
  for (const body of bodies)
    publisher.publish(message({ key: 'q', body, durable: true }), 0, false);
}

function consume(): Inbox {
  const inbox = new Inbox();
  void session.consume(consumeSpec('q', { acknowledge: true }), inbox);
  return inbox;
}

/** Gives the newest delivery back; answers after how many milliseconds it comes again. */
function waits(inbox: Inbox): number {
  inbox.deliveries.pop()?.settle(Outcome.REQUEUE);
  for (let ms = 0; ms <= 2000; ms += 10) {
    if (inbox.deliveries.length > 0) return ms;
    clock.advance(10);
  }
  return Number.POSITIVE_INFINITY;
}

describe('a message that is given back', () => {
  it.each<[string, Record<string, HeaderValue>, readonly number[]]>([
    ['linear to its maximum', { type: 'all', min: 100, max: 250 }, [100, 200, 250, 250]],
    ['always the same without a maximum', { type: 'failed', min: 100 }, [100, 100, 100]],
    ['as LavinMQ: without a type linear, and no maximum', { min: 100 }, [100, 200, 300, 400]],
    ['exponential', { min: 100, multiplier: 2, max: 700 }, [100, 200, 400, 700]],
    ['not at all when disabled', { type: 'disabled', min: 100 }, [0, 0]],
    ['not at all without a minimum', { type: 'all' }, [0, 0]],
  ])('waits %s', (_name, values, expected) => {
    const named = Object.entries(values).map(([key, value]) => [`x-delayed-retry-${key}`, value]);
    declare(Object.fromEntries(named) as Record<string, HeaderValue>);
    const inbox = consume();
    publish('a');
    expect(expected.map(() => waits(inbox))).toEqual(expected);
  });

  it('lets others pass, and has its place again afterwards', () => {
    declare({ 'x-delayed-retry-min': 100 });
    publish('a', 'b', 'c');
    const first = session.get('q', true);
    if (first instanceof Promise || first === null) throw new Error('there is one');
    first.delivery.settle(Outcome.REQUEUE);
    const second = session.get('q', true);
    if (second instanceof Promise || second === null) throw new Error('there is one');
    expect(second.delivery.message.body.toString()).toBe('b');
    clock.advance(100);
    expect(consume().bodies).toEqual(['a', 'c']);
  });

  it('does not wait when its consumer went away', () => {
    declare({ 'x-delayed-retry-min': 100 });
    publish('a');
    const other = world.engine.open('/', world.principal('guest'));
    void other.consume(consumeSpec('q', { acknowledge: true }), new Inbox());
    void other.close();
    expect(consume().bodies).toEqual(['a']);
  });

  it('is dead-lettered at the delivery limit, without a further wait', () => {
    declare({
      'x-delayed-retry-min': 100,
      'x-delivery-limit': 1,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    });
    void session.declareQueue(queueSpec('dead'), false);
    publish('a');
    const inbox = consume();
    expect(waits(inbox)).toBe(100);
    inbox.deliveries[0]?.settle(Outcome.REQUEUE);
    expect(session.get('dead', false)).not.toBeNull();
  });

  it('is ready again after a restart', () => {
    declare({ 'x-delayed-retry-min': 100_000 });
    publish('a');
    const inbox = consume();
    inbox.deliveries[0]?.settle(Outcome.REQUEUE);
    store.answer();
    restart();
    expect(consume().bodies).toEqual(['a']);
  });

  it('is purged and deleted with the rest, and counts nowhere then', () => {
    declare({ 'x-delayed-retry-min': 100 });
    publish('a', 'b');
    const inbox = consume();
    for (const delivery of inbox.deliveries) delivery.settle(Outcome.REQUEUE);
    expect(session.purgeQueue('q')).toBe(2);
    expect(world.engine.admin.totals().bytes).toBe(0);
    clock.advance(1000);
    expect(inbox.bodies).toEqual(['a', 'b']);
    publish('c');
    inbox.deliveries[2]?.settle(Outcome.REQUEUE);
    void session.deleteQueue('q', false, false);
    clock.advance(1000);
    expect(inbox.bodies).toEqual(['a', 'b', 'c']);
    expect(world.engine.admin.totals().bytes).toBe(0);
  });
});
