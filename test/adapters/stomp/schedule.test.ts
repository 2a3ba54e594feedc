/** Messages that are sent later, and again, by ActiveMQ's headers. */
import { expect, test } from 'vitest';
import { LateStore } from '../../support/late-store.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import type { WorldOptions } from '../../support/world.ts';
import { type Broker, type Client, createBroker } from './script.ts';

function start(options: WorldOptions = {}): Broker {
  return createBroker({ dialect: 'activemq' }, options);
}

function subscribed(broker: Broker): Client {
  const client = broker.connect();
  client.send('SUBSCRIBE', { destination: '/queue/a', id: '1' });
  return client;
}

function send(client: Client, body: string, headers: Record<string, string>): void {
  client.send('SEND', { destination: '/queue/a', ...headers }, body);
}

function bodies(client: Client): string[] {
  return client.frames().map((frame) => frame.body);
}

test('AMQ_SCHEDULED_DELAY keeps a message back, in a transaction too', () => {
  const broker = start();
  const client = subscribed(broker);
  const later = { AMQ_SCHEDULED_DELAY: '1000' };
  send(client, 'later', { ...later, receipt: 'r' });
  expect(client.frame().headers['receipt-id']).toBe('r');
  client.send('BEGIN', { transaction: 't' });
  send(client, 'transacted', { ...later, transaction: 't' });
  client.send('COMMIT', { transaction: 't' });
  send(client, 'now', { AMQ_SCHEDULED_DELAY: '0' });
  expect(bodies(client)).toEqual(['now']);
  broker.world.clock.advance(1000);
  const [first, second] = client.frames();
  expect([first?.body, second?.body]).toEqual(['later', 'transacted']);
  expect(Object.keys(first?.headers ?? {})).not.toContain('AMQ_SCHEDULED_DELAY');
});

test('AMQ_SCHEDULED_PERIOD and _REPEAT send it again, so many times', () => {
  const broker = start();
  const client = subscribed(broker);
  const { clock } = broker.world;
  send(client, 'x', {
    AMQ_SCHEDULED_DELAY: '500',
    AMQ_SCHEDULED_PERIOD: '400',
    AMQ_SCHEDULED_REPEAT: '2',
    expires: String(clock.now() + 100),
  });
  const arrivals: number[] = [];
  const begin = clock.now();
  for (let step = 0; step < 30; step++) {
    clock.advance(100);
    for (const _ of client.frames()) arrivals.push(clock.now() - begin);
  }
  expect(arrivals).toEqual([500, 900, 1300]);
});

test('a period without a delay begins with it; repeating alone is nothing', () => {
  const broker = start();
  const client = subscribed(broker);
  send(client, 'at once', { AMQ_SCHEDULED_REPEAT: '3' });
  send(client, 'periodic', { AMQ_SCHEDULED_PERIOD: '1000', AMQ_SCHEDULED_REPEAT: '-1' });
  expect(bodies(client)).toEqual(['at once']);
  broker.world.clock.advance(5500);
  expect(bodies(client)).toEqual(Array(5).fill('periodic'));
});

test('AMQ_SCHEDULED_CRON sends it at every time that it names', () => {
  const clock = new ManualClock(new Date(2026, 0, 1, 0, 30).getTime());
  const broker = start({ clock });
  const client = subscribed(broker);
  send(client, 'hourly', { AMQ_SCHEDULED_CRON: '0 * * * *' });
  clock.advance(29 * 60_000);
  expect(bodies(client)).toEqual([]);
  clock.advance(60_000);
  expect(bodies(client)).toEqual(['hourly']);
  clock.advance(2 * 3_600_000);
  expect(bodies(client)).toEqual(['hourly', 'hourly']);
});

test('cron with a period begins a series each time', () => {
  const clock = new ManualClock(new Date(2026, 0, 1, 0, 30).getTime());
  const broker = start({ clock });
  const client = subscribed(broker);
  send(client, 'x', {
    AMQ_SCHEDULED_CRON: '0 * * * *',
    AMQ_SCHEDULED_DELAY: '1000',
    AMQ_SCHEDULED_PERIOD: '2000',
    AMQ_SCHEDULED_REPEAT: '1',
  });
  clock.advance(30 * 60_000);
  expect(bodies(client)).toEqual([]);
  clock.advance(10_000);
  expect(bodies(client)).toEqual(['x', 'x']);
  clock.advance(3_600_000);
  expect(bodies(client)).toEqual(['x', 'x']);
});

test.each([
  { AMQ_SCHEDULED_DELAY: 'soon' },
  { AMQ_SCHEDULED_DELAY: '-5' },
  { AMQ_SCHEDULED_REPEAT: '-2' },
  { AMQ_SCHEDULED_DELAY: '10', AMQ_SCHEDULED_REPEAT: '1' },
  { AMQ_SCHEDULED_CRON: 'rubbish' },
  { AMQ_SCHEDULED_CRON: '0 0 30 2 *' },
])('%j is an error', (headers) => {
  const client = subscribed(start());
  send(client, 'x', headers);
  expect(client.frame().command).toBe('ERROR');
});

test('a persistent series goes on after a restart, without what was missed', () => {
  const store = new LateStore();
  const clock = new ManualClock();
  const client = subscribed(start({ store, clock }));
  const series = { AMQ_SCHEDULED_PERIOD: '1000', AMQ_SCHEDULED_REPEAT: '5' };
  send(client, 'x', { ...series, persistent: 'true', receipt: 'r' });
  store.answer();
  expect(client.frame().headers['receipt-id']).toBe('r');
  clock.advance(1000);
  expect(bodies(client)).toEqual(['x']);
  store.answer();
  store.crash();
  const again = new ManualClock(clock.now() + 10_500);
  const broker = start({ store, clock: again });
  const other = subscribed(broker);
  again.advance(0);
  expect(bodies(other)).toEqual(['x']);
  again.advance(499);
  expect(bodies(other)).toEqual([]);
  again.advance(1);
  expect(bodies(other)).toEqual(['x']);
  again.advance(10_000);
  expect(bodies(other)).toEqual(['x', 'x', 'x']);
});
