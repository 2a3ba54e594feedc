import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import {
  consume,
  declareQueue,
  HEADER,
  openChannel,
  openVhost,
  publish,
  readFrames,
  startOk,
  tuneOk,
} from './script.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

test('AMQP is spoken over WebSocket, whole frames to a message', async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.port('http')}/`, 'amqp');
  await once(socket, 'open');
  expect(socket.protocol).toBe('amqp');
  const lines: string[] = [];
  const done = new Promise<void>((resolve) => {
    socket.on('message', (data: Buffer) => {
      lines.push(...readFrames(data));
      if (lines.at(-1) === '1 body hello') resolve();
    });
  });
  socket.send(HEADER);
  // Messages may be cut anywhere on the way in.
  const script = Buffer.concat([
    ...[startOk(), tuneOk(), openVhost(), openChannel(1), declareQueue(1, '', 4)],
    ...[consume(1, '', 'c', 2), publish(1, 'nowhere', 'x')],
  ]);
  for (let at = 0; at < script.length; at += 50) socket.send(script.subarray(at, at + 50));
  while (!lines.includes('1 basic.consume-ok c')) await once(socket, 'message');
  const queue = lines.find((line) => line.includes('declare-ok'))?.split(' ')[2] ?? '';
  socket.send(publish(1, queue, 'hello'));
  await done;
  expect(lines[0]).toBe('0 connection.start');
  socket.close();
  await once(socket, 'close');
});
