/** Policies after a stop and after a kill -9: set over HTTP, felt over AMQP. */
import { type ConfirmChannel, connect } from 'amqplib';
import { describe, expect } from 'vitest';
import { type ApiAnswer, apiOf } from '../support/api-client.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { type Story, tell } from './stories.ts';

async function set(gateway: GatewayProcess, name: string, definition: unknown): Promise<void> {
  const policy = { pattern: `^${name}`, definition, 'apply-to': 'all' };
  const { status } = await ask(gateway, 'PUT', name, policy);
  expect(status).toBeLessThan(300);
}

function ask(
  gateway: GatewayProcess,
  method: string,
  name: string,
  body?: unknown,
): Promise<ApiAnswer> {
  return apiOf(gateway.port('http'))(method, `/policies/%2f/${name}`, body);
}

/** Publishes so many messages with confirms, declared first, and tells how many are left. */
async function left(gateway: GatewayProcess, queue: string, count: number): Promise<number> {
  const port = gateway.port('amqp');
  const connection = await connect(`amqp://guest:guest@127.0.0.1:${port}`, { noDelay: true });
  const channel: ConfirmChannel = await connection.createConfirmChannel();
  await channel.assertQueue(queue);
  for (let n = 0; n < count; n++)
    channel.sendToQueue(queue, Buffer.from('m'), { persistent: true });
  await channel.waitForConfirms();
  const { messageCount } = await channel.checkQueue(queue);
  await connection.close();
  return messageCount;
}

const STORIES: Readonly<Record<string, Story>> = {
  'one that was set is there': async function* (gateway) {
    await set(gateway(), 'set', { 'max-length': 2 });
    expect(await left(gateway(), 'set-queue', 3)).toBe(2);
    yield;
    expect(await left(gateway(), 'set-queue', 3)).toBe(2);
    expect(await ask(gateway(), 'GET', 'set')).toMatchObject({ status: 200 });
  },

  'one that was changed is as it was changed': async function* (gateway) {
    await set(gateway(), 'changed', { 'max-length': 2 });
    await set(gateway(), 'changed', { 'max-length': 5 });
    yield;
    expect(await left(gateway(), 'changed-queue', 9)).toBe(5);
    await set(gateway(), 'changed', { 'max-length': 3 });
    yield;
    expect(await left(gateway(), 'changed-queue', 0)).toBe(3);
  },

  'one that was cleared is gone': async function* (gateway) {
    await set(gateway(), 'cleared', { 'max-length': 1 });
    yield;
    expect(await ask(gateway(), 'DELETE', 'cleared')).toMatchObject({ status: 204 });
    yield;
    expect(await left(gateway(), 'cleared-queue', 4)).toBe(4);
    expect(await ask(gateway(), 'GET', 'cleared')).toMatchObject({ status: 404 });
  },

  'a time limit counts for what came under it': async function* (gateway) {
    expect(await left(gateway(), 'limited', 2)).toBe(2);
    await set(gateway(), 'limited', { 'message-ttl': 1 });
    yield;
    expect(await left(gateway(), 'limited', 0)).toBe(2);
  },
};

describe.each(['stop', 'kill'] as const)('policies after a %s', (way) => tell(way, {}, STORIES));
