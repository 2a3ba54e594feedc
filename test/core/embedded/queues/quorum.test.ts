import { beforeEach, describe, expect, it } from 'vitest';
import { Credit, type Delivery, Outcome, type Session } from '../../../../core/engine.ts';
import { type HeaderValue, Typed } from '../../../../core/message.ts';
import { LateStore } from '../../../support/late-store.ts';
import { message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld } from '../../../support/world.ts';
import { args, queueSpec } from '../../engine-contract.ts';

function headersOf(delivery: Delivery | undefined): unknown {
  return delivery?.message.properties.headers;
}

it('a quorum queue tells how often a message was delivered before, up to its limit', () => {
  const world = createWorld();
  const session = world.engine.open('/', world.principal('guest'));
  const values = {
    'x-queue-type': 'quorum',
    'x-delivery-limit': 2,
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': 'dead',
  };
  void session.declareQueue(queueSpec('q', { durable: true, arguments: args(values) }), false);
  void session.declareQueue(queueSpec('dead'), false);
  const [inbox, dead] = [new Inbox(), new Inbox()];
  void session.consume(consumeSpec('q'), inbox);
  void session.consume(consumeSpec('dead'), dead);
  const sent = message({ key: 'q', durable: true, headers: { a: 'b' } });
  session.publisher(new Outbox()).publish(sent, 0, false);
  for (const n of [0, 1, 2]) inbox.deliveries[n]?.settle(Outcome.REQUEUE);
  const own = ['a', 'b'];
  expect(inbox.deliveries.map(headersOf)).toEqual([
    [own],
    [own, ['x-delivery-count', new Typed('l', 1n)]],
    [own, ['x-delivery-count', new Typed('l', 2n)]],
  ]);
  expect(dead.deliveries[0]?.message.trail).toMatchObject({
    deaths: [{ reason: 'delivery_limit' }],
  });
  expect(JSON.stringify(dead.deliveries[0]?.message.trail)).not.toContain('deliveries');
});

describe('how often a message was delivered', () => {
  const dead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' };
  let store: LateStore;
  let session: Session;

  /** What was written is safe; then the process dies, and the next one begins. */
  function kill(): void {
    store.answer();
    store.crash();
    const world = createWorld({ store });
    session = world.engine.open('/', world.principal('guest'));
  }

  function declare(values: Readonly<Record<string, HeaderValue>>, ...bodies: string[]): void {
    void session.declareQueue(queueSpec('dead', { durable: true }), false);
    void session.declareQueue(queueSpec('q', { durable: true, arguments: args(values) }), false);
    const publisher = session.publisher(new Outbox());
    for (const body of bodies)
      publisher.publish(message({ key: 'q', durable: true, body }), 0, false);
  }

  function consume(queue = 'q', prefetch = 0): Inbox {
    const inbox = new Inbox();
    void session.consume(consumeSpec(queue, { credits: [new Credit(prefetch)] }), inbox);
    return inbox;
  }

  beforeEach(() => {
    store = new LateStore();
    kill();
  });

  it('counts on over kills, of which each costs what was delivered one attempt', () => {
    declare({ 'x-queue-type': 'quorum', 'x-delivery-limit': 4, ...dead }, 'poison', 'waits');
    const counts: (number | undefined)[] = [];
    for (const returns of [0, 1, 0]) {
      const inbox = consume('q', 1);
      for (let n = 0; n < returns; n++) inbox.deliveries.at(-1)?.settle(Outcome.REQUEUE);
      counts.push(...inbox.deliveries.map(({ attempts }) => attempts));
      kill();
    }
    expect(counts).toEqual([0, 1, 2, 3]);
    const last = consume();
    expect(last.deliveries.map(({ attempts }) => attempts)).toEqual([4, 0]);
    kill();
    expect(consume().bodies).toEqual(['waits']);
    expect(consume('dead').deliveries[0]?.message.trail?.deaths).toMatchObject([
      { queue: 'q', reason: 'delivery_limit', count: 1 },
    ]);
  });

  it('is no limit where it is negative', () => {
    declare({ 'x-queue-type': 'quorum', 'x-delivery-limit': -1, ...dead }, 'm');
    const inbox = consume();
    for (let n = 0; n < 30; n++) inbox.deliveries.at(-1)?.settle(Outcome.REQUEUE);
    expect(inbox.deliveries.at(-1)?.attempts).toBe(30);
    expect(consume('dead').bodies).toEqual([]);
  });

  it('does not matter, and is not written, where nobody asks', () => {
    declare({}, 'm');
    const inbox = consume();
    for (let n = 0; n < 10; n++) inbox.deliveries.at(-1)?.settle(Outcome.REQUEUE);
    kill();
    expect(consume().deliveries[0]?.attempts).toBe(1);
  });

  it('gives up what exceeded the limit in the last process when it is pulled', async () => {
    declare({ 'x-delivery-limit': 1, ...dead }, 'poison', 'next');
    for (let attempt = 0; attempt < 2; attempt++) {
      await session.get('q', true);
      kill();
    }
    expect((await session.get('q', true))?.delivery.message.body.toString()).toBe('next');
    expect(consume('dead').bodies).toEqual(['poison']);
  });
});
