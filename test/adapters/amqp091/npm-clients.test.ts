import {
  AMQPClient,
  type AMQPMessage,
  AMQPSession,
  AMQPWebSocketClient,
} from '@cloudamqp/amqp-client';
import { connect } from 'amqp-connection-manager';
import type { Channel, ConsumeMessage } from 'amqplib';
import { Connection, ConsumerStatus } from 'rabbitmq-client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { Harness } from './amqplib-harness.ts';
import { CuttableWay } from './cut.ts';

const harness = new Harness();
beforeAll(() => harness.start());
afterAll(() => harness.stop());
afterAll(() => vi.unstubAllGlobals());

const MESSAGES = 300;
const WORK_MS = 60_000;
const url = (port: number): string => `amqp://guest:guest@127.0.0.1:${port}`;

/** Resolves once every number below `MESSAGES` was noted; repeats are the price of reconnects. */
class Census {
  readonly seen = new Set<number>();
  readonly complete: Promise<void>;
  #completed: () => void = () => {};

  constructor() {
    this.complete = new Promise((resolve) => {
      this.#completed = resolve;
    });
  }

  note(number: number): void {
    this.seen.add(number);
    if (this.seen.size === MESSAGES) this.#completed();
  }
}

/** Publishes, consumes, and hears of what is returned and refused, whatever is beneath. */
async function work(client: AMQPClient | AMQPWebSocketClient): Promise<unknown> {
  const connection = await client.connect();
  const channel = await connection.channel();
  await channel.confirmSelect();
  const queue = await channel.queueDeclare('', { exclusive: true });
  const large = Buffer.alloc(300_000, 'x');
  const properties = { contentType: 'text/plain', headers: { n: 1, s: 'zwei', l: [true, null] } };
  const returned = new Promise<number>((resolve) => {
    channel.onReturn = (message) => resolve(message.replyCode ?? 0);
  });
  const messages: AMQPMessage[] = [];
  const all = new Promise<void>((resolve) => {
    void channel.basicConsume(queue.name, { noAck: false }, async (message) => {
      messages.push(message);
      await message.ack();
      if (messages.length === 2) resolve();
    });
  });
  const tags = [
    await channel.basicPublish('', queue.name, 'first', properties),
    await channel.basicPublish('', queue.name, large),
    await channel.basicPublish('', 'nowhere', 'lost', {}, true),
  ];
  await all;
  const missing = (await connection.channel()).queueDeclare('none', { passive: true });
  const error = await missing.catch((reason: Error) => reason.message);
  const outcome = {
    tags,
    first: messages[0]?.bodyString(),
    headers: messages[0]?.properties.headers,
    bytes: messages[1]?.bodySize,
    returned: await returned,
    error,
  };
  await connection.close();
  return outcome;
}

const WORKED = {
  tags: [1, 2, 3],
  first: 'first',
  headers: { n: 1, s: 'zwei', l: [true, null] },
  bytes: 300_000,
  returned: 312,
  error: expect.stringContaining("NOT_FOUND - no queue 'none' in vhost '/'"),
};

test('@cloudamqp/amqp-client works over TCP', async () => {
  expect(await work(new AMQPClient(url(harness.port)))).toEqual(WORKED);
});

test('@cloudamqp/amqp-client works over WebSocket', async () => {
  vi.stubGlobal('WebSocket', WebSocket);
  const address = `ws://127.0.0.1:${harness.gateway.port('http')}/ws/amqp`;
  expect(await work(new AMQPWebSocketClient(address, '/', 'guest', 'guest'))).toEqual(WORKED);
});

test('@cloudamqp/amqp-client calls procedures in a session', async () => {
  const session = await AMQPSession.connect(url(harness.port));
  const server = await session.rpcServer('doubling', (message) => `${message.bodyString()}!`);
  const answers = await Promise.all(
    ['a', 'b', 'c'].map((text) => session.rpcCall('doubling', text, { timeout: 10_000 })),
  );
  expect(answers.map((answer) => answer.bodyString())).toEqual(['a!', 'b!', 'c!']);
  await server.close();
  await session.stop();
});

test('rabbitmq-client publishes, retries, and calls procedures', async () => {
  const connection = new Connection(url(harness.port));
  const attempts: boolean[] = [];
  let done: () => void = () => {};
  const again = new Promise<void>((resolve) => {
    done = resolve;
  });
  const consumer = connection.createConsumer(
    {
      queue: 'events',
      qos: { prefetchCount: 2 },
      exchanges: [{ exchange: 'npm-events', type: 'topic', autoDelete: true }],
      queueBindings: [{ exchange: 'npm-events', routingKey: 'users.*' }],
    },
    (message) => {
      attempts.push(message.redelivered);
      if (!message.redelivered) return ConsumerStatus.REQUEUE;
      done();
      return ConsumerStatus.ACK;
    },
  );
  await new Promise((resolve) => consumer.once('ready', resolve));
  const publisher = connection.createPublisher({ confirm: true });
  await publisher.send({ exchange: 'npm-events', routingKey: 'users.new' }, { id: 1 });
  await again;
  expect(attempts).toEqual([false, true]);
  const server = connection.createConsumer({ queue: 'npm-rpc' }, async (message, reply) => {
    await reply(`${message.body}!`);
  });
  await new Promise((resolve) => server.once('ready', resolve));
  const client = connection.createRPCClient({ confirm: true });
  expect((await client.send('npm-rpc', 'ping')).body).toBe('ping!');
  await Promise.all([client, publisher, consumer, server].map((part) => part.close()));
  await connection.close();
});

test(
  'rabbitmq-client loses no confirmed message under reconnects',
  async () => {
    const way = new CuttableWay(harness.port);
    const connection = new Connection({ url: url(await way.open()), retryLow: 10, retryHigh: 50 });
    connection.on('error', () => {});
    const census = new Census();
    const consumer = connection.createConsumer(
      { queue: 'npm-cut', queueOptions: { durable: true }, qos: { prefetchCount: 10 } },
      (message) => census.note(message.body as number),
    );
    consumer.on('error', () => {});
    const publisher = connection.createPublisher({ confirm: true, maxAttempts: 20 });
    for (let number = 0; number < MESSAGES; number++) {
      if (number % 100 === 50) way.cut();
      await publisher.send({ routingKey: 'npm-cut', durable: true }, number);
    }
    await census.complete;
    expect(census.seen.size).toBe(MESSAGES);
    await publisher.close();
    await consumer.close();
    await connection.close();
    way.close();
  },
  WORK_MS,
);

test(
  'amqp-connection-manager loses no confirmed message under reconnects',
  async () => {
    const way = new CuttableWay(harness.port);
    const manager = connect([url(await way.open())], { reconnectTimeInSeconds: 0.05 });
    const census = new Census();
    const wrapper = manager.createChannel({
      json: true,
      setup: (channel: Channel) => channel.assertQueue('npm-managed', { durable: true }),
    });
    await wrapper.consume(
      'npm-managed',
      (message: ConsumeMessage) => {
        census.note(JSON.parse(message.content.toString()) as number);
        wrapper.ack(message);
      },
      { prefetch: 10 },
    );
    // amqplib fails what a closed channel did not confirm: it is published again, as users must.
    const publish = (number: number): Promise<unknown> =>
      wrapper.sendToQueue('npm-managed', number, { persistent: true }).catch(() => publish(number));
    for (let number = 0; number < MESSAGES; number++) {
      if (number % 100 === 50) way.cut();
      await publish(number);
    }
    await census.complete;
    expect(census.seen.size).toBe(MESSAGES);
    await wrapper.close();
    await manager.close();
    way.close();
  },
  WORK_MS,
);
