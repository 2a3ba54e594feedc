import { expect, it } from 'vitest';
import { type Delivery, Outcome } from '../../../../core/engine.ts';
import { Typed } from '../../../../core/message.ts';
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
