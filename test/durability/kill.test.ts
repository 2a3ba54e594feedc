/**
 * Publishers with confirms on every protocol, the process killed at random moments: what was confirmed
 * is there, whole and in order, and what was acknowledged is not.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { client, xml } from '@xmpp/client';
import type { Element } from '@xmpp/xml';
import { connect as connectAmqp } from 'amqplib';
import { connectAsync as connectMqtt } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConfigFile } from '../../core/config.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway-process.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const ROUNDS = Number(process.env['KILL_ROUNDS'] ?? 4);
const WINDOW = 50;

/** One publisher: numbers its messages, and knows which were confirmed. */
interface Publisher {
  readonly queue: string;
  readonly confirmed: Set<number>;
  sent: number;
}

/** The number, and a checksum that a damaged body does not have. */
function bodyOf(queue: string, number: number): string {
  const padding = 'x'.repeat((number * 37) % 2000);
  const sum = createHash('sha1').update(`${queue} ${number} ${padding}`).digest('hex');
  return `${number} ${sum} ${padding}`;
}

function urlOf(gateway: GatewayProcess): string {
  return `amqp://guest:guest@127.0.0.1:${gateway.port('amqp')}`;
}

/** A publisher that is connected begins to send: all at once, so that none is far ahead of the others. */
type Begin = () => void;

/** Keeps `WINDOW` messages under way until the connection breaks. */
function keepSending(
  publisher: Publisher,
  send: (body: string, number: number) => Promise<void>,
): void {
  const next = (): void => {
    const number = ++publisher.sent;
    send(bodyOf(publisher.queue, number), number).then(
      () => {
        publisher.confirmed.add(number);
        next();
      },
      () => {},
    );
  };
  for (let i = 0; i < WINDOW; i++) next();
}

async function publishAmqp(port: number, publisher: Publisher): Promise<Begin> {
  const connection = await connectAmqp(`amqp://guest:guest@127.0.0.1:${port}`, { noDelay: true });
  connection.on('error', () => {});
  const channel = await connection.createConfirmChannel();
  channel.on('error', () => {});
  return () =>
    keepSending(
      publisher,
      (body) =>
        new Promise((resolve, reject) => {
          channel.sendToQueue(publisher.queue, Buffer.from(body), { persistent: true }, (error) =>
            error === null ? resolve() : reject(error),
          );
        }),
    );
}

async function publishMqtt(port: number, publisher: Publisher): Promise<Begin> {
  const client = await connectMqtt(`mqtt://127.0.0.1:${port}`, {
    username: 'guest',
    password: 'guest',
    reconnectPeriod: 0,
    protocolVersion: 5,
  });
  client.on('error', () => {});
  return () =>
    keepSending(publisher, async (body) => {
      await client.publishAsync(`$queue/${publisher.queue}`, body, { qos: 1 });
    });
}

/** STOMP by hand: frames and receipts, so that the window is ours. */
async function publishStomp(port: number, publisher: Publisher): Promise<Begin> {
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('error', () => {});
  const waiting = new Map<string, () => void>();
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    const frames = text.split('\0');
    text = frames.pop() ?? '';
    for (const frame of frames) {
      const id = /^\n*RECEIPT\n(?:.*\n)*?receipt-id:(\d+)/.exec(frame)?.[1] ?? '';
      waiting.get(id)?.();
      waiting.delete(id);
    }
  });
  socket.write('CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\n\n\0');
  return () =>
    keepSending(
      publisher,
      (body, number) =>
        new Promise((resolve) => {
          waiting.set(String(number), resolve);
          const head = `destination:/queue/${publisher.queue}\npersistent:true\nreceipt:${number}`;
          socket.write(`SEND\n${head}\ncontent-length:${body.length}\n\n${body}\0`);
        }),
    );
}

/** XMPP confirms by XEP-0198: the server counts what it has taken responsibility for. */
async function publishXmpp(port: number, publisher: Publisher): Promise<Begin> {
  const login = { domain: 'localhost', username: 'guest', password: 'guest' };
  const xmpp = client({ service: `xmpp://127.0.0.1:${port}`, ...login });
  xmpp.on('error', () => {});
  xmpp.reconnect.stop();
  xmpp.streamManagement.requestAckDebounce = 1;
  const waiting = new Map<string, () => void>();
  xmpp.streamManagement.on('ack', (stanza: Element) => waiting.get(stanza.attrs['id'] ?? '')?.());
  // Only what is sent after <enabled/> is counted.
  const enabled = new Promise<void>((resolve) => {
    xmpp.on('element', (element: Element) => element.name === 'enabled' && resolve());
  });
  await xmpp.start();
  await enabled;
  const to = `${publisher.queue}@queues.localhost`;
  return () =>
    keepSending(
      publisher,
      (body, number) =>
        new Promise((resolve, reject) => {
          waiting.set(String(number), resolve);
          const stanza = xml('message', { to, id: String(number) }, xml('body', {}, body));
          xmpp.send(stanza).catch(reject);
        }),
    );
}

/** Everything goes through the disk: queues, their indexes, and a checkpoint every other moment. */
const SMALL: ConfigFile = {
  limits: {
    queue_window_bytes: 20_000,
    store_index_bytes_max: 0,
    store_checkpoint_bytes: 200_000,
    store_segment_bytes: 500_000,
  },
};

describe.each([
  ['', {}],
  [', with nothing in memory', SMALL],
])('a gateway that is killed%s', (_, config) => {
  let directory: string;
  let gateway: GatewayProcess;
  const random = new SeededRandom(Number(process.env['KILL_SEED'] ?? 1));
  const publishers: Record<string, Publisher> = {};

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'rosettamq-kill-'));
    gateway = await startGatewayProcess(directory, config);
  });

  afterAll(async () => {
    await gateway.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const publisherOf = (name: string): Publisher => {
    publishers[name] ??= { queue: `orders-${name}`, confirmed: new Set(), sent: 0 };
    return publishers[name];
  };

  /** Kills when about so many confirms came in all, and some to each: by what happened, not by the clock. */
  const killAfter = async (confirms: number): Promise<void> => {
    const counts = (): number[] => Object.values(publishers).map((each) => each.confirmed.size);
    const before = counts();
    const enough = (now: readonly number[]): boolean =>
      now.every((count, at) => count > (before[at] ?? 0)) && sum(now) >= sum(before) + confirms;
    while (!enough(counts())) await new Promise((resolve) => setImmediate(resolve));
    await gateway.kill();
  };

  it(`has what it confirmed, after each of ${ROUNDS} kills`, { timeout: 120_000 }, async () => {
    const connection = await connectAmqp(urlOf(gateway), { noDelay: true });
    connection.on('error', () => {});
    const channel = await connection.createChannel();
    for (const name of ['amqp', 'mqtt', 'stomp', 'xmpp']) {
      await channel.assertQueue(publisherOf(name).queue, { durable: true });
    }
    for (let round = 0; round < ROUNDS; round++) {
      const ready = await Promise.all([
        publishAmqp(gateway.port('amqp'), publisherOf('amqp')),
        publishMqtt(gateway.port('mqtt'), publisherOf('mqtt')),
        publishStomp(gateway.port('stomp'), publisherOf('stomp')),
        publishXmpp(gateway.port('xmpp'), publisherOf('xmpp')),
      ]);
      for (const begin of ready) begin();
      await killAfter(100 + random.below(1500));
      gateway = await startGatewayProcess(directory, config);
    }
    for (const publisher of Object.values(publishers)) await requireAll(gateway, publisher);
  });

  it('does not bring back what was acknowledged', { timeout: 60_000 }, async () => {
    const connection = await connectAmqp(urlOf(gateway), { noDelay: true });
    connection.on('error', () => {});
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue('jobs', { durable: true });
    for (let number = 0; number < 200; number++) {
      channel.sendToQueue('jobs', Buffer.from(String(number)), { persistent: true });
    }
    await channel.waitForConfirms();
    for (let number = 0; number < 100; number++) {
      const job = await channel.get('jobs', { noAck: false });
      if (job === false) throw new Error('the queue is empty');
      channel.ack(job);
    }
    // A confirm that was asked for after the acknowledgements says that they are safe too.
    channel.sendToQueue('jobs', Buffer.from('200'), { persistent: true });
    await channel.waitForConfirms();
    await gateway.kill();
    gateway = await startGatewayProcess(directory, config);
    const bodies = await drain(gateway, 'jobs');
    expect(bodies).toEqual(Array.from({ length: 101 }, (_, index) => String(index + 100)));
  });
});

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

async function drain(gateway: GatewayProcess, queue: string): Promise<string[]> {
  const connection = await connectAmqp(urlOf(gateway), { noDelay: true });
  connection.on('error', () => {});
  const channel = await connection.createChannel();
  const bodies: string[] = [];
  for (let got = await channel.get(queue); got !== false; got = await channel.get(queue)) {
    bodies.push(got.content.toString());
    channel.ack(got);
  }
  await connection.close();
  return bodies;
}

/** Every confirmed message is there, none is damaged, and first copies are in the order of sending. */
async function requireAll(gateway: GatewayProcess, publisher: Publisher): Promise<void> {
  const bodies = await drain(gateway, publisher.queue);
  const numbers = bodies.map((body) => Number(body.split(' ')[0]));
  const damaged = bodies.filter((body, at) => body !== bodyOf(publisher.queue, numbers[at] ?? 0));
  expect(damaged).toEqual([]);
  const there = new Set(numbers);
  expect([...publisher.confirmed].filter((number) => !there.has(number))).toEqual([]);
  expect([...there]).toEqual([...there].sort((a, b) => a - b));
  expect(publisher.confirmed.size).toBeGreaterThan(0);
}
