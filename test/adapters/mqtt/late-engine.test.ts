import type { Packet } from 'mqtt-packet';
import { generate } from 'mqtt-packet';
import { expect, it } from 'vitest';
import { mqtt } from '../../../adapters/mqtt/adapter.ts';
import type { Engine } from '../../../core/engine.ts';
import { createWorld } from '../../support/world.ts';
import { TestClient } from './client.ts';

/** Control calls that an engine elsewhere answers later. */
const LATE = new Set([
  ...['open', 'declareQueue', 'deleteQueue', 'bind', 'unbind', 'hasQueue', 'consume', 'retained'],
  'close',
]);

/** The same object, whose control calls answer with promises, and whose sessions do too. */
function late<T extends object>(target: T): T {
  return new Proxy(target, {
    get(_, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const call = value.bind(target) as (...args: unknown[]) => unknown;
      if (typeof name !== 'string' || !LATE.has(name)) return call;
      return async (...args: unknown[]) => {
        await Promise.resolve();
        const answer = call(...args);
        return name === 'open' ? late(answer as object) : answer;
      };
    },
  });
}

/** Lets everything that waits come to its end. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
}

const CONNECT: Packet = {
  ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: false, clientId: 'c' },
  ...{ keepalive: 0, username: 'alice', password: Buffer.from('secret') },
  properties: { sessionExpiryInterval: 100 },
};

function stream(...packets: Packet[]): Buffer {
  return Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: 5 })));
}

it('keeps the order of what a client sends while the engine owes an answer', async () => {
  const { context, engine } = createWorld();
  const gate = await mqtt.start(
    { ...context, engine: late<Engine>(engine) },
    mqtt.options({ sys_interval: 0 }),
  );
  const client = new TestClient(gate, 5);
  const publish = (topic: string, payload: string): Packet => ({
    ...{ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false },
  });
  client.raw(
    stream(
      CONNECT,
      publish('t', 'too early'),
      { ...{ cmd: 'publish', topic: 'kept', payload: 'v', qos: 0, dup: false }, retain: true },
      { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 1 }] },
      publish('t', 'one'),
      {
        ...{ cmd: 'subscribe', messageId: 2 },
        subscriptions: [
          { topic: 'kept', qos: 1 },
          { topic: 'bad#', qos: 1 },
          { topic: '$queue/q', qos: 1 },
          { topic: '$share/g/s', qos: 1 },
        ],
      },
      publish('$queue/q', 'two'),
      publish('s', 'three'),
      { cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['t', '$share/g/s'] },
      publish('t', 'too late'),
      { cmd: 'pingreq' },
    ),
  );
  expect(client.take()).toEqual([]);
  expect(client.transport.held).toBe(1);
  await settle();
  expect(client.transport.held).toBe(0);
  const seen = client
    .take()
    .map((packet) => (packet.cmd === 'publish' ? String(packet.payload) : packet.cmd));
  expect(seen).toEqual([
    ...['connack', 'suback', 'one', 'suback', 'v', 'two', 'three', 'unsuback', 'pingresp'],
  ]);
  client.lose();
  await settle();
  const again = new TestClient(gate, 5);
  again.raw(stream(CONNECT));
  await settle();
  expect(again.one('connack')).toMatchObject({ sessionPresent: true });
  again.raw(stream(publish('kept', 'live')));
  await settle();
  expect(again.texts()).toEqual(['kept live']);
});

it('refuses what the engine refuses later', async () => {
  const { context, engine } = createWorld();
  const gate = await mqtt.start({ ...context, engine: late<Engine>(engine) }, mqtt.options({}));
  const client = new TestClient(gate, 5);
  client.raw(stream({ ...CONNECT, username: 'other:alice' }));
  await settle();
  expect(client.one('connack').reasonCode).toBe(0x87);
  expect(client.transport.ended).toBe('end');
});
