/** What a restart of the gateway leaves of STOMP's messages, queues and subscriptions. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { RawClient } from '../../support/raw-client.ts';
import { frame, parseFrames, type Received } from './script.ts';

let folder = '';
let gateway: Gateway;

async function start(): Promise<void> {
  gateway = await startGateway({ store: 'lmdb', data_dir: folder });
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stomp-'));
  await start();
});
afterEach(async () => {
  await gateway.stop();
  await rm(folder, { recursive: true });
});

/** Logs in, sends `frames`, and answers what came once `count` frames did. */
async function exchange(frames: readonly Buffer[], count: number): Promise<Received[]> {
  const client = new RawClient(createConnection(gateway.port('stomp'), '127.0.0.1'));
  const login = { 'accept-version': '1.2', host: '/', login: 'guest', passcode: 'guest' };
  client.send(Buffer.concat([frame('CONNECT', login), ...frames]));
  const received = await client.readUntil((bytes) => {
    let ends = 0;
    for (const byte of bytes) if (byte === 0) ends++;
    return ends > count;
  });
  client.socket.destroy();
  return parseFrames(received).slice(1);
}

test('a persistent message whose receipt came is there again, as it was sent', async () => {
  const [receipt] = await exchange(
    [
      frame('SEND', { destination: '/queue/r', kind: 'transient' }, 'gone'),
      frame(
        'SEND',
        {
          destination: '/queue/r',
          persistent: 'true',
          kind: 'a\\cb',
          'correlation-id': 'c',
          receipt: 'r',
        },
        'kept',
      ),
    ],
    1,
  );
  expect(receipt?.headers['receipt-id']).toBe('r');
  await gateway.stop();
  await start();
  const [message] = await exchange([frame('SUBSCRIBE', { destination: '/queue/r', id: '1' })], 1);
  expect(message).toMatchObject({
    body: 'kept',
    headers: { kind: 'a:b', 'correlation-id': 'c', persistent: 'true', destination: '/queue/r' },
  });
});

test('a durable subscription goes on', async () => {
  const subscribe = frame('SUBSCRIBE', {
    destination: '/topic/d.*',
    id: 'mine',
    durable: 'true',
    'auto-delete': 'false',
    receipt: 's',
  });
  await exchange([subscribe], 1);
  await gateway.stop();
  await start();
  await exchange(
    [frame('SEND', { destination: '/topic/d.x', persistent: 'true', receipt: 'r' }, 'm')],
    1,
  );
  const frames = await exchange([subscribe], 2);
  expect(frames.map(({ body, headers }) => headers['receipt-id'] ?? body)).toEqual(['s', 'm']);
});
