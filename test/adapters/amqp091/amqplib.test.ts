import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Harness, Mailbox } from './amqplib-harness.ts';

const harness = new Harness();
beforeAll(() => harness.start());
afterEach(() => harness.closeAll());
afterAll(() => harness.stop());

let names = 0;
const fresh = (prefix: string): string => `${prefix}-${++names}`;

describe("RabbitMQ's tutorials", () => {
  test('1: hello world, sender and receiver on connections of their own', async () => {
    const queue = fresh('hello');
    const sender = await harness.channel();
    const receiver = await harness.channel();
    await sender.assertQueue(queue, { durable: false });
    expect(sender.sendToQueue(queue, Buffer.from('Hello World!'))).toBe(true);
    const mail = new Mailbox();
    await receiver.assertQueue(queue, { durable: false });
    await receiver.consume(queue, mail.take, { noAck: true });
    expect(await mail.text()).toBe('Hello World!');
  });

  test('2: work queue, fair dispatch by prefetch and acknowledgements', async () => {
    const queue = fresh('tasks');
    const channel = await harness.channel();
    await channel.assertQueue(queue, { durable: true });
    const [one, two] = [await harness.channel(), await harness.channel()];
    const [first, second] = [new Mailbox(), new Mailbox()];
    await one.prefetch(1);
    await one.consume(queue, first.take);
    await two.prefetch(1);
    await two.consume(queue, second.take);
    for (const task of ['a', 'b', 'c']) {
      channel.sendToQueue(queue, Buffer.from(task), { persistent: true });
    }
    const held = await first.message();
    const done = await second.message();
    expect([held, done].map((message) => message.content.toString()).sort()).toEqual(['a', 'b']);
    two.ack(done);
    expect(await second.text()).toBe('c');
    expect(first.waiting).toBe(0);
  });

  test('2: what a worker did not acknowledge goes to another one, marked redelivered', async () => {
    const queue = fresh('tasks');
    const channel = await harness.channel();
    await channel.assertQueue(queue);
    channel.sendToQueue(queue, Buffer.from('task'));
    const worker = await harness.connect();
    const mail = new Mailbox();
    await (await worker.createChannel()).consume(queue, mail.take);
    expect((await mail.message()).fields.redelivered).toBe(false);
    await worker.close();
    const other = new Mailbox();
    await channel.consume(queue, other.take);
    const again = await other.message();
    expect(again.content.toString()).toBe('task');
    expect(again.fields.redelivered).toBe(true);
  });

  test('3: publish and subscribe through a fanout exchange', async () => {
    const exchange = fresh('logs');
    const channel = await harness.channel();
    await channel.assertExchange(exchange, 'fanout', { durable: false });
    const boxes = [new Mailbox(), new Mailbox()];
    for (const box of boxes) {
      const { queue } = await channel.assertQueue('', { exclusive: true });
      await channel.bindQueue(queue, exchange, '');
      await channel.consume(queue, box.take, { noAck: true });
    }
    channel.publish(exchange, '', Buffer.from('info: all'));
    for (const box of boxes) expect(await box.text()).toBe('info: all');
  });

  test('4: routing through a direct exchange', async () => {
    const exchange = fresh('direct');
    const channel = await harness.channel();
    await channel.assertExchange(exchange, 'direct', { durable: false });
    const { queue } = await channel.assertQueue('', { exclusive: true });
    for (const severity of ['info', 'error']) await channel.bindQueue(queue, exchange, severity);
    const mail = new Mailbox();
    await channel.consume(queue, mail.take, { noAck: true });
    for (const severity of ['warning', 'info', 'error']) {
      channel.publish(exchange, severity, Buffer.from(severity));
    }
    const got = [await mail.message(), await mail.message()];
    expect(got.map((message) => message.fields.routingKey)).toEqual(['info', 'error']);
    expect(got[0]?.fields.exchange).toBe(exchange);
  });

  test('5: topics', async () => {
    const exchange = fresh('topic');
    const channel = await harness.channel();
    await channel.assertExchange(exchange, 'topic', { durable: false });
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, exchange, 'kern.*');
    await channel.bindQueue(queue, exchange, '*.critical');
    const mail = new Mailbox();
    await channel.consume(queue, mail.take, { noAck: true });
    for (const key of ['kern.critical', 'cron.info', 'disk.critical', 'kern.a.b', 'kern.end']) {
      channel.publish(exchange, key, Buffer.from(key));
    }
    expect([await mail.text(), await mail.text(), await mail.text()]).toEqual([
      'kern.critical',
      'disk.critical',
      'kern.end',
    ]);
  });

  test('6: remote procedure call with a callback queue', async () => {
    const queue = fresh('rpc');
    const server = await harness.channel();
    await server.assertQueue(queue, { durable: false });
    await server.prefetch(1);
    await server.consume(queue, (message) => {
      if (message === null) return;
      const { replyTo, correlationId } = message.properties;
      const answer = String(Number(message.content.toString()) * 2);
      server.sendToQueue(replyTo, Buffer.from(answer), { correlationId });
      server.ack(message);
    });
    const client = await harness.channel();
    const { queue: replyTo } = await client.assertQueue('', { exclusive: true });
    const mail = new Mailbox();
    await client.consume(replyTo, mail.take, { noAck: true });
    client.sendToQueue(queue, Buffer.from('21'), { correlationId: 'c1', replyTo });
    const answer = await mail.message();
    expect(answer.content.toString()).toBe('42');
    expect(answer.properties.correlationId).toBe('c1');
  });

  test('6: the same with direct reply-to', async () => {
    const queue = fresh('rpc');
    const server = await harness.channel();
    await server.assertQueue(queue);
    await server.consume(queue, (message) => {
      if (message === null) return;
      const { replyTo, correlationId } = message.properties;
      server.sendToQueue(replyTo, Buffer.from(`re: ${replyTo}`), { correlationId });
      server.ack(message);
    });
    const client = await harness.channel();
    const mail = new Mailbox();
    await client.consume('amq.rabbitmq.reply-to', mail.take, { noAck: true });
    const replyTo = 'amq.rabbitmq.reply-to';
    client.sendToQueue(queue, Buffer.from('?'), { correlationId: 'c2', replyTo });
    const answer = await mail.message();
    expect(answer.content.toString()).toMatch(/^re: amq\.rabbitmq\.reply-to\.[\w-]+$/);
    expect(answer.properties.correlationId).toBe('c2');
    expect(answer.fields.exchange).toBe('');
  });

  test('7: publisher confirms, one by one and many at once', async () => {
    const channel = await harness.confirmChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const confirmed: number[] = [];
    for (let i = 1; i <= 100; i++) {
      channel.sendToQueue(queue, Buffer.from(`${i}`), {}, (error) => {
        if (error === null) confirmed.push(i);
      });
    }
    await channel.waitForConfirms();
    expect(confirmed).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect((await channel.checkQueue(queue)).messageCount).toBe(100);
  });
});

describe('publishing', () => {
  test('properties and typed headers arrive as they were sent', async () => {
    const channel = await harness.channel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const headers = {
      text: 'Grüße',
      yes: true,
      integer: 7,
      negative: -129,
      long: 2 ** 40,
      fraction: 1.5,
      nothing: null,
      bytes: Buffer.from([0, 255]),
      list: [1, 'two', { three: 3 }],
      table: { nested: { deep: 'x' } },
      when: { '!': 'timestamp', value: 1_700_000_000 },
    };
    channel.sendToQueue(queue, Buffer.from('body'), {
      contentType: 'application/json',
      contentEncoding: 'gzip',
      headers,
      persistent: true,
      priority: 5,
      correlationId: 'corr',
      replyTo: 'answers',
      expiration: '60000',
      messageId: 'm-1',
      timestamp: 1_700_000_000,
      type: 'event',
      userId: 'guest',
      appId: 'app',
    });
    const message = await channel.get(queue);
    if (message === false) throw new Error('the queue is empty');
    expect(message.properties).toMatchObject({
      contentType: 'application/json',
      contentEncoding: 'gzip',
      deliveryMode: 2,
      priority: 5,
      correlationId: 'corr',
      replyTo: 'answers',
      expiration: '60000',
      messageId: 'm-1',
      timestamp: 1_700_000_000,
      type: 'event',
      userId: 'guest',
      appId: 'app',
    });
    expect(message.properties.headers).toEqual(headers);
  });

  test.each([0, 1, 4095, 4096, 131_064, 131_065, 1_000_000])('a body of %i bytes', async (size) => {
    const channel = await harness.confirmChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const body = Buffer.alloc(size, 'x');
    if (size > 0) body[size - 1] = 0;
    channel.sendToQueue(queue, body);
    await channel.waitForConfirms();
    const mail = new Mailbox();
    await channel.consume(queue, mail.take, { noAck: true });
    expect((await mail.message()).content.equals(body)).toBe(true);
  });

  test('bodies are cut to the frames that the client asked for', async () => {
    const connection = await harness.connect('guest', 'guest', '?frameMax=4096');
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const body = Buffer.alloc(100_000, 'abcdefgh');
    channel.sendToQueue(queue, body);
    const mail = new Mailbox();
    await channel.consume(queue, mail.take, { noAck: true });
    expect((await mail.message()).content.equals(body)).toBe(true);
  });

  test('a mandatory message that no queue takes comes back before it is confirmed', async () => {
    const channel = await harness.confirmChannel();
    const events: string[] = [];
    channel.on('return', (message) => {
      const { replyCode, replyText, exchange, routingKey } = message.fields as unknown as Record<
        string,
        unknown
      >;
      events.push(`${replyCode} ${replyText} ${exchange} ${routingKey} ${message.content}`);
    });
    channel.publish('amq.direct', 'nowhere', Buffer.from('lost'), { mandatory: true }, (error) => {
      events.push(error === null ? 'ack' : 'nack');
    });
    await channel.waitForConfirms();
    expect(events).toEqual(['312 NO_ROUTE amq.direct nowhere lost', 'ack']);
  });

  test('a queue that is full and rejects makes a nack', async () => {
    const channel = await harness.confirmChannel();
    const args = { 'x-max-length': 1, 'x-overflow': 'reject-publish' };
    const { queue } = await channel.assertQueue('', { exclusive: true, arguments: args });
    const fates: string[] = [];
    for (let i = 0; i < 3; i++) {
      channel.sendToQueue(queue, Buffer.from('x'), {}, (error) => {
        fates.push(error === null ? 'ack' : 'nack');
      });
    }
    await channel.waitForConfirms().catch(() => {});
    expect(fates).toEqual(['ack', 'nack', 'nack']);
  });

  test('CC and BCC select further queues, and BCC is not shown', async () => {
    const channel = await harness.channel();
    const queues: string[] = [];
    for (let i = 0; i < 3; i++) {
      queues.push((await channel.assertQueue('', { exclusive: true })).queue);
    }
    const [to = '', cc = '', bcc = ''] = queues;
    channel.sendToQueue(to, Buffer.from('x'), { headers: { keep: 1 }, CC: [cc], BCC: [bcc] });
    for (const queue of queues) {
      const message = await channel.get(queue, { noAck: true });
      if (message === false) throw new Error(`${queue} is empty`);
      expect(message.properties.headers).toEqual({ keep: 1, CC: [cc] });
    }
  });

  test('dead letters keep their properties and tell their history', async () => {
    const channel = await harness.channel();
    const { queue: dead } = await channel.assertQueue('', { exclusive: true });
    const { queue } = await channel.assertQueue('', {
      exclusive: true,
      deadLetterExchange: '',
      deadLetterRoutingKey: dead,
    });
    channel.sendToQueue(queue, Buffer.from('x'), {
      expiration: '100000',
      messageId: 'm',
      headers: { mine: 'kept' },
    });
    const message = await channel.get(queue);
    if (message === false) throw new Error('the queue is empty');
    channel.nack(message, false, false);
    const letter = await channel.get(dead);
    if (letter === false) throw new Error('nothing was dead-lettered');
    expect(letter.properties.messageId).toBe('m');
    expect(letter.properties.expiration).toBeUndefined();
    const { headers } = letter.properties;
    expect(headers).toMatchObject({ mine: 'kept', 'x-first-death-reason': 'rejected' });
    expect(headers?.['x-death']).toMatchObject([
      { queue, reason: 'rejected', count: 1, exchange: '', 'routing-keys': [queue] },
    ]);
    expect(headers?.['x-death']?.[0]).toHaveProperty('original-expiration', '100000');
  });
});

describe('consuming', () => {
  test('get tells how many remain, and an empty queue', async () => {
    const channel = await harness.channel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    expect(await channel.get(queue)).toBe(false);
    for (const body of ['a', 'b', 'c']) channel.sendToQueue(queue, Buffer.from(body));
    const message = await channel.get(queue);
    if (message === false) throw new Error('the queue is empty');
    expect(message.fields).toMatchObject({ messageCount: 2, deliveryTag: 1, routingKey: queue });
  });

  test('ack and nack take several at once, and all', async () => {
    const channel = await harness.channel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    for (let i = 0; i < 6; i++) channel.sendToQueue(queue, Buffer.from(`${i}`));
    const mail = new Mailbox();
    const { consumerTag } = await channel.consume(queue, mail.take);
    const got = [];
    for (let i = 0; i < 6; i++) got.push(await mail.message());
    await channel.cancel(consumerTag);
    const [, second, , fourth] = got;
    if (second === undefined || fourth === undefined) throw new Error('too few messages');
    channel.ack(second, true);
    channel.nack(fourth, true, true);
    expect((await channel.checkQueue(queue)).messageCount).toBe(2);
    channel.nackAll(true);
    expect((await channel.checkQueue(queue)).messageCount).toBe(4);
    const again = await channel.get(queue);
    expect(again === false ? '' : again.content.toString()).toBe('2');
  });

  test('recover redelivers everything that is unacknowledged', async () => {
    const channel = await harness.channel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    channel.sendToQueue(queue, Buffer.from('x'));
    const mail = new Mailbox();
    await channel.consume(queue, mail.take);
    expect((await mail.message()).fields.redelivered).toBe(false);
    await channel.recover();
    expect((await mail.message()).fields.redelivered).toBe(true);
  });

  test('a global prefetch bounds all consumers of the channel together', async () => {
    const channel = await harness.channel();
    await channel.prefetch(3, true);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const mail = new Mailbox();
    await channel.consume(queue, mail.take);
    await channel.consume(queue, mail.take);
    for (let i = 0; i < 10; i++) channel.sendToQueue(queue, Buffer.from(`${i}`));
    const first = await mail.message();
    await mail.message();
    await mail.message();
    expect((await channel.checkQueue(queue)).messageCount).toBe(7);
    channel.ack(first);
    await mail.message();
    expect((await channel.checkQueue(queue)).messageCount).toBe(6);
  });

  test('a consumer of higher priority is served first', async () => {
    const channel = await harness.channel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const [low, high] = [new Mailbox(), new Mailbox()];
    await channel.consume(queue, low.take, { noAck: true });
    await channel.consume(queue, high.take, { noAck: true, priority: 10 });
    for (let i = 0; i < 3; i++) channel.sendToQueue(queue, Buffer.from(`${i}`));
    expect([await high.text(), await high.text(), await high.text()]).toEqual(['0', '1', '2']);
    expect(low.waiting).toBe(0);
  });

  test('a consumer hears that its queue was deleted', async () => {
    const channel = await harness.channel();
    const queue = fresh('doomed');
    await channel.assertQueue(queue);
    const mail = new Mailbox();
    await channel.consume(queue, mail.take);
    expect(await (await harness.channel()).deleteQueue(queue)).toEqual({ messageCount: 0 });
    expect(await mail.next()).toBeNull();
  });

  test('nothing comes after a cancel', async () => {
    const channel = await harness.channel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const mail = new Mailbox();
    const { consumerTag } = await channel.consume(queue, mail.take);
    expect(consumerTag).toMatch(/^amq\.ctag-/);
    await channel.cancel(consumerTag);
    channel.sendToQueue(queue, Buffer.from('x'));
    expect((await channel.checkQueue(queue)).messageCount).toBe(1);
    expect(mail.waiting).toBe(0);
    await channel.cancel('never-heard-of');
  });
});

describe('topology', () => {
  test('exchanges bind to exchanges, and unbind', async () => {
    const channel = await harness.channel();
    const [outer, inner] = [fresh('outer'), fresh('inner')];
    await channel.assertExchange(outer, 'topic');
    await channel.assertExchange(inner, 'fanout', { internal: true });
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindExchange(inner, outer, 'a.#');
    await channel.bindQueue(queue, inner, '');
    channel.publish(outer, 'a.b', Buffer.from('through'));
    expect((await channel.checkQueue(queue)).messageCount).toBe(1);
    await channel.unbindExchange(inner, outer, 'a.#');
    channel.publish(outer, 'a.b', Buffer.from('not'));
    expect((await channel.checkQueue(queue)).messageCount).toBe(1);
    await channel.deleteExchange(outer);
    await channel.deleteExchange(inner, { ifUnused: false });
  });

  test('purge and delete tell how many messages there were', async () => {
    const channel = await harness.channel();
    const queue = fresh('counted');
    expect(await channel.assertQueue(queue)).toEqual({ queue, messageCount: 0, consumerCount: 0 });
    for (let i = 0; i < 3; i++) channel.sendToQueue(queue, Buffer.from('x'));
    expect(await channel.purgeQueue(queue)).toEqual({ messageCount: 3 });
    for (let i = 0; i < 2; i++) channel.sendToQueue(queue, Buffer.from('x'));
    expect(await channel.assertQueue(queue)).toMatchObject({ messageCount: 2 });
    expect(await channel.deleteQueue(queue)).toEqual({ messageCount: 2 });
    expect(await channel.deleteQueue(queue)).toEqual({ messageCount: 0 });
  });

  test('an exclusive queue goes with its connection', async () => {
    const owner = await harness.connect();
    const queue = fresh('mine');
    await (await owner.createChannel()).assertQueue(queue, { exclusive: true });
    const other = await harness.channel();
    const refused = other.checkQueue(queue);
    await expect(refused).rejects.toThrow(/405 \(RESOURCE-LOCKED\)/);
    await owner.close();
    const third = await harness.channel();
    await expect(third.checkQueue(queue)).rejects.toThrow(/404 \(NOT-FOUND\)/);
  });

  test('many channels on one connection do not disturb each other', async () => {
    const connection = await harness.connect();
    const channels = await Promise.all(
      Array.from({ length: 50 }, () => connection.createChannel()),
    );
    const bodies = await Promise.all(
      channels.map(async (channel, index) => {
        const { queue } = await channel.assertQueue('', { exclusive: true });
        const mail = new Mailbox();
        await channel.consume(queue, mail.take, { noAck: true });
        channel.sendToQueue(queue, Buffer.from(`${index}`));
        return mail.text();
      }),
    );
    expect(bodies).toEqual(channels.map((_, index) => `${index}`));
  });
});
