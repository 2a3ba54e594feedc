/** The frames that Spring's STOMP broker relay sends, and what it relies on. */
import { expect, test } from 'vitest';
import { type Broker, type Client, createBroker } from './script.ts';

const HEART_BEAT_MS = 10_000;

/** The relay's CONNECT: any `host`, versions and heart-beats of its own, whoever the session is. */
function relayed(broker: Broker): Client {
  const client = broker.dial();
  client.raw(
    'CONNECT\naccept-version:1.1,1.2\nlogin:guest\npasscode:guest\nhost:localhost\n' +
      'heart-beat:10000,10000\n\n\0',
  );
  expect(client.frame()).toMatchObject({
    command: 'CONNECTED',
    headers: { version: '1.2', 'heart-beat': '10000,10000' },
  });
  return client;
}

test('a session subscribes, and the system connection broadcasts to it and to its user', () => {
  const broker = createBroker();
  const [system, session] = [relayed(broker), relayed(broker)];
  for (const [id, destination] of [
    ['sub-0', '/topic/price/42'],
    ['sub-1', '/queue/errors-user6b7k'],
  ]) {
    session.send('SUBSCRIBE', { id: id ?? '', destination: destination ?? '' });
  }
  const json = { 'content-type': 'application/json;charset=UTF-8', 'content-length': '9' };
  for (const destination of ['/topic/price/42', '/queue/errors-user6b7k']) {
    system.send('SEND', { destination, ...json }, '{"a":"b"}');
  }
  expect(session.frames()).toMatchObject([
    { headers: { subscription: 'sub-0', destination: '/topic/price/42', ...json } },
    { headers: { subscription: 'sub-1', destination: '/queue/errors-user6b7k', ...json } },
  ]);
  session.send('DISCONNECT', { receipt: 'session-1' });
  expect(session.frame()).toMatchObject({ headers: { 'receipt-id': 'session-1' } });
  expect(session.ended).toBe(true);
});

test('heart-beats keep an idle relay; without them it is dropped', () => {
  const broker = createBroker();
  const [alive, dead] = [relayed(broker), relayed(broker)];
  const { clock } = broker.world;
  for (let beat = 0; beat < 6; beat++) {
    clock.advance(HEART_BEAT_MS / 2);
    alive.raw('\n');
  }
  expect(alive.transport.sent().toString()).toMatch(/^\n+$/);
  expect([alive.ended, dead.ended]).toEqual([false, true]);
});
