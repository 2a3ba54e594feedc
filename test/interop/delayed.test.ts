/** Messages that wait, sent on each protocol that has a word for it: none is early, and none lost by a restart. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import amqplib from 'amqplib';
import mqtt from 'mqtt';
import { expect, test } from 'vitest';
import type { Gateway } from '../../main.ts';
import { startGateway } from '../support/gateway.ts';
import { connect } from '../support/raw-client.ts';

const DELAY_MS = 2000;
const QUEUE = 'late';

async function channelOf(gateway: Gateway) {
  const url = `amqp://guest:guest@127.0.0.1:${gateway.port('amqp')}/`;
  const connection = await amqplib.connect(url, { noDelay: true });
  return { connection, channel: await connection.createConfirmChannel() };
}

async function declare(gateway: Gateway): Promise<void> {
  const { connection, channel } = await channelOf(gateway);
  await channel.assertQueue(QUEUE, { durable: true });
  const type = { arguments: { 'x-delayed-type': 'fanout' } };
  await channel.assertExchange('delayed', 'x-delayed-message', type);
  await channel.bindQueue(QUEUE, 'delayed', '');
  await channel.bindQueue(QUEUE, 'amq.topic', 'from.mqtt');
  await connection.close();
}

/** Each is confirmed in its protocol's own way. */
async function send(gateway: Gateway): Promise<void> {
  const { connection, channel } = await channelOf(gateway);
  const options = { persistent: true, headers: { 'x-delay': DELAY_MS } };
  channel.publish('delayed', '', Buffer.from('amqp'), options);
  await channel.waitForConfirms();
  await connection.close();
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
    username: 'guest',
    password: 'guest',
  });
  await client.publishAsync(`$delayed/${DELAY_MS / 1000}/from/mqtt`, 'mqtt', { qos: 1 });
  await client.endAsync();
  const stomp = await connect(gateway.port('stomp'));
  stomp.send('CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0');
  await stomp.readText('\0');
  stomp.send(
    `SEND\ndestination:/amq/queue/${QUEUE}\npersistent:true\nAMQ_SCHEDULED_DELAY:${DELAY_MS}\n` +
      'receipt:r\n\nstomp\0',
  );
  expect(await stomp.readText('\0')).toContain('receipt-id:r');
  stomp.destroy();
}

test('a delayed message of any protocol waits on over a restart', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  const stored = { store: 'lmdb', data_dir: directory };
  try {
    const before = await startGateway(stored);
    await declare(before);
    const sentAt = Date.now();
    await send(before);
    await before.stop();
    const after = await startGateway(stored);
    const { connection, channel } = await channelOf(after);
    const taken: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const got = (message: amqplib.ConsumeMessage | null): void => {
        taken.push(message?.content.toString() ?? 'cancelled');
        if (taken.length === 3) resolve();
      };
      channel.consume(QUEUE, got, { noAck: true }).catch(reject);
    });
    expect(Date.now() - sentAt).toBeGreaterThanOrEqual(DELAY_MS);
    expect(taken.sort()).toEqual(['amqp', 'mqtt', 'stomp']);
    await connection.close();
    await after.stop();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);
