import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt, { type IConnackPacket, type MqttClient } from 'mqtt';
import { afterAll, expect, it } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';

const directory = mkdtempSync(join(tmpdir(), 'rosettamq-mqtt-'));

afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Connected {
  readonly client: MqttClient;
  readonly present: boolean;
  /** Properties of the messages, in the order of arrival. */
  readonly properties: unknown[];
  /** Bodies in the order of arrival; resolves when so many are there. */
  next(count: number): Promise<string[]>;
}

function connect(gateway: Gateway, clientId: string): Promise<Connected> {
  const client = mqtt.connect(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
    ...{ protocolVersion: 5, username: 'alice', password: 'secret', clientId, clean: false },
    ...{ properties: { sessionExpiryInterval: 1000 }, reconnectPeriod: 0 },
  });
  const bodies: string[] = [];
  const properties: unknown[] = [];
  let wake = (): void => {};
  client.on('message', (_topic, payload, packet) => {
    bodies.push(String(payload));
    properties.push(packet.properties);
    wake();
  });
  const next = async (count: number): Promise<string[]> => {
    while (bodies.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return bodies.splice(0);
  };
  return new Promise((resolve, reject) => {
    client.once('error', reject);
    client.once('connect', (packet: IConnackPacket) => {
      resolve({ client, present: packet.sessionPresent, properties, next });
    });
  });
}

it('finds sessions, queued messages and last values again after a restart', async () => {
  const before = await startGateway({ store: 'lmdb', data_dir: directory });
  const first = await connect(before, 'c');
  await first.client.subscribeAsync('t/#', { qos: 2 });
  await first.client.endAsync();
  const sender = await connect(before, 's');
  for (const body of ['1', '2', '3']) await sender.client.publishAsync('t/a', body, { qos: 2 });
  await sender.client.publishAsync('kept', 'v', { qos: 1, retain: true });
  await sender.client.endAsync();
  await before.stop();

  const after = await startGateway({ store: 'lmdb', data_dir: directory });
  const again = await connect(after, 'c');
  expect(again.present).toBe(true);
  expect(await again.next(3)).toEqual(['1', '2', '3']);
  await again.client.subscribeAsync('kept', { qos: 1 });
  expect(await again.next(1)).toEqual(['v']);
  await again.client.publishAsync('t/b', '4', { qos: 1 });
  expect(await again.next(1)).toEqual(['4']);
  await again.client.endAsync();
  await after.stop();
});

it('names the subscription identifiers of what was queued before a restart', async () => {
  const data = join(directory, 'identifiers');
  const before = await startGateway({ store: 'lmdb', data_dir: data });
  const first = await connect(before, 'c');
  const properties = { subscriptionIdentifier: 53 };
  await first.client.subscribeAsync('t/a', { qos: 1, properties });
  await first.client.endAsync();
  const sender = await connect(before, 's');
  await sender.client.publishAsync('t/a', '1', { qos: 1 });
  await sender.client.endAsync();
  await before.stop();

  const after = await startGateway({ store: 'lmdb', data_dir: data });
  const again = await connect(after, 'c');
  const [body] = await again.next(1);
  expect(body).toBe('1');
  expect(again.properties[0]).toMatchObject({ subscriptionIdentifier: 53 });
  await again.client.endAsync();
  await after.stop();
});
