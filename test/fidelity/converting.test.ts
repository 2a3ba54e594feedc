/** A message is converted once for the protocol of its receivers, however many, and never for its own. */
import { afterEach, expect, it, vi } from 'vitest';
import { mqttFormat } from '../../adapters/mqtt/format.ts';
import { TestGateway } from '../adapters/mqtt/client.ts';
import { message } from '../support/messages.ts';

const RECEIVERS = 1000;
const MQTT = mqttFormat('amq.topic');

afterEach(() => vi.restoreAllMocks());

function subscribers(gateway: TestGateway, qos: 0 | 1): (() => number)[] {
  return Array.from({ length: RECEIVERS }, (_, index) => {
    const client = gateway.connect(`receiver-${index}`);
    client.subscribe('a/b', qos);
    return () => client.take().filter(({ cmd }) => cmd === 'publish').length;
  });
}

it.each([
  ['QoS 0', 0, false],
  ['QoS 1', 1, false],
  ['QoS 1, while its life runs out', 1, true],
] as const)('once for a thousand MQTT subscribers, %s', async (_name, qos, expires) => {
  const gateway = new TestGateway();
  const { engine, clock, principal } = gateway.world;
  const received = subscribers(gateway, qos);
  const write = vi.spyOn(MQTT, 'write');
  const session = engine.open('/', principal('guest'));
  const publisher = session.publisher({ settled() {}, returned() {}, writable() {} });
  const parts = { exchange: 'amq.topic', key: 'a.b', durable: qos === 1, headers: { a: 'b' } };
  const expiresAt = expires ? clock.now() + 60_000 : 0;
  // Every look at the clock finds another time.
  let ticks = 0;
  if (expires) vi.spyOn(clock, 'now').mockImplementation(() => expiresAt - ++ticks);
  publisher.publish(message({ ...parts, expiresAt }), 0, false);
  expect(received.map((count) => count())).toEqual(Array(RECEIVERS).fill(1));
  expect(write).toHaveBeenCalledTimes(1);
});

it('not at all where it came by MQTT', () => {
  const gateway = new TestGateway();
  const received = subscribers(gateway, 1);
  const [read, write] = [vi.spyOn(MQTT, 'read'), vi.spyOn(MQTT, 'write')];
  const properties = { contentType: 'text/plain', userProperties: { a: 'b' } };
  gateway.connect('sender').publish('a/b', 'body', 1, { properties });
  expect(received.map((count) => count())).toEqual(Array(RECEIVERS).fill(1));
  expect([read, write].map((spy) => spy.mock.calls.length)).toEqual([0, 0]);
});
