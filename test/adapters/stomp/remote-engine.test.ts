/** The adapter on an engine whose control calls take time: frames keep the order of a local one. */
import { describe, expect, test } from 'vitest';
import { stomp } from '../../../adapters/stomp/adapter.ts';
import type { Engine, Session } from '../../../core/engine.ts';
import { PipeTransport } from '../../support/pipe-transport.ts';
import { createWorld, PEER } from '../../support/world.ts';
import { Client, frame } from './script.ts';

const SLOW = new Set([
  'declareQueue',
  'temporaryQueue',
  'deleteQueue',
  'bind',
  'hasQueue',
  'consume',
  'commit',
  'retained',
]);

/** Every control call answers a few microtasks later. */
function slow<T extends object>(
  target: T,
  names: ReadonlySet<string>,
  wrap: (v: unknown) => unknown,
): T {
  return new Proxy(target, {
    get(object, name) {
      const member = Reflect.get(object, name, object) as unknown;
      if (typeof member !== 'function') return member;
      const call = (...given: unknown[]): unknown =>
        Reflect.apply(member, object, given) as unknown;
      if (!names.has(String(name))) return call;
      return async (...given: unknown[]) => {
        for (let turn = 0; turn < 3; turn++) await null;
        return wrap(call(...given));
      };
    },
  });
}

function createSlowBroker() {
  const world = createWorld();
  const engine: Engine = slow<Engine>(world.engine, new Set(['open']), (session) =>
    slow(session as Session, SLOW, (value) => value),
  );
  const gate = stomp.start({ ...world.context, engine }, stomp.options(undefined));
  if (gate instanceof Promise) throw new Error('the adapter starts at once');
  return {
    world,
    dial(): Client {
      const transport = new PipeTransport();
      return new Client(gate.accept(transport, PEER, { protocol: 'stomp' }), transport);
    },
  };
}

const LOGIN = { 'accept-version': '1.2', host: '/', login: 'guest', passcode: 'guest' };

/** Lets every promise that is under way settle. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 1000; turn++) await null;
}

describe('an engine that takes its time', () => {
  const script = Buffer.concat([
    frame('CONNECT', LOGIN),
    frame('SUBSCRIBE', { destination: '/queue/a', id: '1', ack: 'client', receipt: '1' }),
    frame('SEND', { destination: '/queue/a', receipt: '2', 'reply-to': '/temp-queue/r' }, 'x'),
    frame('SUBSCRIBE', { destination: '/topic/t', id: '2', receipt: '3' }),
    frame('SEND', { destination: '/topic/t', receipt: '4' }, 'y'),
    frame('BEGIN', { transaction: 't', receipt: '5' }),
    frame('SEND', { destination: '/queue/new', transaction: 't' }, 'z'),
    frame('COMMIT', { transaction: 't', receipt: '6' }),
    frame('UNSUBSCRIBE', { id: '2', receipt: '7' }),
    frame('DISCONNECT', { receipt: '8' }),
  ]);

  test.each([script.length, 50, 7, 1])('answers in order, fed %i bytes at a time', async (size) => {
    const client = createSlowBroker().dial();
    for (let at = 0; at < script.length; at += size) {
      const chunk = Buffer.from(script.subarray(at, at + size));
      client.connection.receive(chunk);
      // The adapter may not count on it any longer.
      chunk.fill(0x58);
    }
    await settle();
    const told = client.frames().map((each) => each.headers['receipt-id'] ?? each.body);
    expect(told).toEqual(['', '1', '2', 'x', '3', '4', 'y', '5', '6', '7', '8']);
    expect(client.transport.ended).toBe('end');
    expect(client.transport.held).toBe(0);
  });

  test('a session that opens too late is closed again', async () => {
    const { world, dial } = createSlowBroker();
    const client = dial();
    client.send('CONNECT', LOGIN);
    client.lose();
    await settle();
    expect(world.engine.admin.totals().sessions).toBe(0);
    expect(client.frames()).toEqual([]);
  });

  test('an error that comes late names its frame, and ends what follows', async () => {
    const client = createSlowBroker().dial();
    client.raw(
      Buffer.concat([
        frame('CONNECT', LOGIN),
        frame('SUBSCRIBE', { destination: '/exchange/none', id: '1', receipt: 'bad' }),
        frame('SEND', { destination: '/queue/a', receipt: 'never' }),
      ]),
    );
    await settle();
    const [, error, ...rest] = client.frames();
    expect(error?.headers).toMatchObject({ message: 'not_found', 'receipt-id': 'bad' });
    expect(rest).toEqual([]);
  });
});
