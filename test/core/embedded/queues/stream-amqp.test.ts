import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import amqplib, { type ChannelModel, type ConfirmChannel, type ConsumeMessage } from 'amqplib';
import mqtt from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../../main.ts';
import { startGateway } from '../../../support/gateway.ts';
import { startGatewayProcess } from '../../../support/gateway-process.ts';
import { connect } from '../../../support/raw-client.ts';

const STREAM = { durable: true, arguments: { 'x-queue-type': 'stream' } };

const MQTT_5 = { protocolVersion: 5, username: 'guest', password: 'guest' } as const;

let gateway: Gateway;
const connections: ChannelModel[] = [];

beforeAll(async () => {
  gateway = await startGateway();
});
afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close().catch(() => {});
});
afterAll(() => gateway.stop());

async function open(port = gateway.port('amqp')): Promise<ConfirmChannel> {
  const connection = await amqplib.connect(`amqp://guest:guest@127.0.0.1:${port}/`);
  connections.push(connection);
  connection.on('error', () => {});
  const channel = await connection.createConfirmChannel();
  channel.on('error', () => {});
  return channel;
}

/** Resolves to the first `count` that a reader gets, each acknowledged, and no others. */
async function read(
  channel: ConfirmChannel,
  queue: string,
  offset: unknown,
  count: number,
  more: object = {},
): Promise<ConsumeMessage[]> {
  await channel.prefetch(5);
  const messages: ConsumeMessage[] = [];
  return new Promise((resolve, reject) => {
    const taken = (message: ConsumeMessage | null): void => {
      if (message === null || messages.length === count) return;
      messages.push(message);
      channel.ack(message);
      if (messages.length === count) resolve(messages);
    };
    const options = { arguments: { 'x-stream-offset': offset, ...more } };
    channel.consume(queue, taken, options).catch(reject);
  });
}

function summary(messages: readonly ConsumeMessage[]): [string, unknown][] {
  return messages.map(({ content, properties }) => [
    content.toString(),
    properties.headers?.['x-stream-offset'],
  ]);
}

async function fill(channel: ConfirmChannel, queue: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    channel.sendToQueue(queue, Buffer.from(`m${n}`), { headers: { n }, persistent: n % 2 === 0 });
  }
  await channel.waitForConfirms();
}

describe('a stream over AMQP', () => {
  test('is read again and again, with offsets', async () => {
    const channel = await open();
    await channel.assertQueue('events', STREAM);
    await fill(channel, 'events', 20);
    const whole = Array.from({ length: 20 }, (_, n) => [`m${n}`, n]);
    expect(summary(await read(await open(), 'events', 'first', 20))).toEqual(whole);
    const again = await read(await open(), 'events', 'first', 20);
    expect(summary(again)).toEqual(whole);
    expect(again[7]?.properties.headers).toMatchObject({ n: 7 });
    expect(again[7]?.fields.redelivered).toBe(false);
    expect(summary(await read(await open(), 'events', 17, 3))).toEqual(whole.slice(17));
    expect(summary(await read(await open(), 'events', 'last', 1))).toEqual(whole.slice(19));
    expect(await channel.checkQueue('events')).toMatchObject({ messageCount: 20 });
  });

  test('refuses what streams cannot do in its protocol’s words', async () => {
    const channel = await open();
    await channel.assertQueue('refusing', STREAM);
    await expect(channel.consume('refusing', () => {})).rejects.toThrow(
      "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue 'refusing' in vhost '/''",
    );
    await expect((await open()).get('refusing')).rejects.toThrow(/NOT_IMPLEMENTED|closed|ended/);
    const transient = { ...STREAM, durable: false };
    await expect((await open()).assertQueue('transient', transient)).rejects.toThrow(
      "PRECONDITION_FAILED - invalid property 'non-durable' for queue 'transient'",
    );
  });

  test('goes on for a group where its acknowledgements stood when the process was killed', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
    const group = { 'x-stream-group': 'billing', 'x-stream-offset': 'first' };
    try {
      const killed = await startGatewayProcess(directory);
      const before = await open(killed.port('amqp'));
      await before.assertQueue('shared', STREAM);
      await fill(before, 'shared', 50);
      await read(before, 'shared', 'first', 30, group);
      // Confirmed behind the acknowledgements: these are on the disk too.
      await fill(before, 'shared', 1);
      await fill(before, 'shared', 1);
      await killed.kill();
      const restarted = await startGatewayProcess(directory);
      const rest = await read(await open(restarted.port('amqp')), 'shared', 'next', 10, group);
      expect(rest[0]?.properties.headers?.['x-stream-offset']).toBe(30);
      const stomp = await connect(restarted.port('stomp'));
      stomp.send('CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0');
      await stomp.readText('\0');
      stomp.send(
        'SUBSCRIBE\nid:0\ndestination:/amq/queue/shared\nack:client-individual\n' +
          'prefetch-count:5\nx-stream-group:reports\nx-stream-offset:offset=51\n\n\0',
      );
      expect(await stomp.readText('m0\0')).toContain('x-stream-offset:51\n');
      stomp.destroy();
      await restarted.kill();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }, 60_000);

  test('is shared by MQTT clients as a group that goes on where the last one stopped', async () => {
    const channel = await open();
    await channel.assertQueue('lines', STREAM);
    const taken: string[] = [];
    for (const from of [0, 3]) {
      const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, MQTT_5);
      const third = new Promise<void>((resolve) => {
        client.on('message', (_topic, payload) => {
          taken.push(payload.toString());
          if (taken.length === from + 3) resolve();
        });
      });
      await client.subscribeAsync('$share/desk/$queue/lines', { qos: 1 });
      if (from === 0) await fill(channel, 'lines', 3);
      await third;
      await client.endAsync();
      await fill(channel, 'lines', 3);
    }
    expect(taken).toEqual(['m0', 'm1', 'm2', 'm0', 'm1', 'm2']);
  });

  test('outlives a kill, with its offsets', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
    try {
      const killed = await startGatewayProcess(directory);
      const before = await open(killed.port('amqp'));
      await before.assertQueue('kept', STREAM);
      await fill(before, 'kept', 500);
      await killed.kill();
      const restarted = await startGatewayProcess(directory);
      const after = await open(restarted.port('amqp'));
      await after.assertQueue('kept', STREAM);
      await fill(after, 'kept', 1);
      const messages = await read(after, 'kept', 'first', 501);
      const expected = Array.from({ length: 501 }, (_, n) => [n === 500 ? 'm0' : `m${n}`, n]);
      expect(summary(messages)).toEqual(expected);
      await restarted.kill();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }, 60_000);
});
