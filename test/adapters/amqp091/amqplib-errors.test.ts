import { once } from 'node:events';
import amqplib from 'amqplib';
import callbacks from 'amqplib/callback_api';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { failure, Harness, Mailbox } from './amqplib-harness.ts';

const harness = new Harness();
beforeAll(() => harness.start());
afterEach(() => harness.closeAll());
afterAll(() => harness.stop());

let names = 0;
const fresh = (prefix: string): string => `${prefix}-${++names}`;

describe('connecting', () => {
  test.each([
    [
      'a wrong password',
      'guest:wrong',
      '/',
      /403 \(ACCESS-REFUSED\).*ACCESS_REFUSED - Login was refused/,
    ],
    ['an unknown user', 'nobody:x', '/', /403 \(ACCESS-REFUSED\)/],
    ['an unknown vhost', 'guest:guest', '/nowhere', /ConnectionClose/],
  ])('%s is refused', async (_name, login, path, reason) => {
    const url = `amqp://${login}@127.0.0.1:${harness.port}${path}`;
    await expect(amqplib.connect(url)).rejects.toThrow(reason);
  });

  test('few channels, where the client wants few', async () => {
    const connection = await harness.connect('guest', 'guest', '?channelMax=2');
    await connection.createChannel();
    await connection.createChannel();
    await expect(connection.createChannel()).rejects.toThrow(/No channels left/);
  });

  test('the server says who it is', async () => {
    const connection = await harness.connect();
    const { serverProperties } = connection.connection;
    expect(serverProperties).toMatchObject({
      product: 'RabbitMQ',
      version: '3.10.8',
      platform: expect.stringMatching(/^Rosetta MQ /),
      capabilities: { publisher_confirms: true, 'basic.nack': true, direct_reply_to: true },
    });
  });

  test('a new secret is accepted', async () => {
    const connection = await harness.connect();
    await connection.updateSecret(Buffer.from('new'), 'rotated');
    await connection.createChannel();
  });

  test('a gateway that stops tells its clients', async () => {
    const own = new Harness();
    await own.start();
    const connection = await own.connect();
    const closed = once(connection, 'close');
    await own.gateway.stop();
    const [error] = await closed;
    expect(String(error)).toContain('CONNECTION_FORCED');
  });
});

describe('channel errors', () => {
  test.each([
    [{ durable: false }, "inequivalent arg 'durable' for queue"],
    [{ autoDelete: true }, "inequivalent arg 'auto_delete' for queue"],
    [{ messageTtl: 5 }, "inequivalent arg 'x-message-ttl' for queue"],
  ])('declaring a queue otherwise than it is: %j', async (options, reason) => {
    const queue = fresh('fixed');
    await (await harness.channel()).assertQueue(queue);
    const channel = await harness.channel();
    await expect(channel.assertQueue(queue, options)).rejects.toThrow(
      new RegExp(`406 \\(PRECONDITION-FAILED\\).*${reason}`),
    );
  });

  test('deleting a queue that is used or not empty, if it was to be neither', async () => {
    const queue = fresh('busy');
    const channel = await harness.channel();
    await channel.assertQueue(queue);
    channel.sendToQueue(queue, Buffer.from('x'));
    const other = await harness.channel();
    await expect(other.deleteQueue(queue, { ifEmpty: true })).rejects.toThrow(/406/);
    await channel.consume(queue, () => {});
    const third = await harness.channel();
    await expect(third.deleteQueue(queue, { ifUnused: true })).rejects.toThrow(/in use/);
  });

  test('publishing to an exchange that is not there', async () => {
    const channel = await harness.channel();
    const failed = failure(channel);
    channel.publish('nowhere', 'k', Buffer.from('x'));
    const error = await failed;
    expect(error.code).toBe(404);
    expect(error.message).toContain(`NOT_FOUND - no exchange 'nowhere' in vhost '/'`);
  });

  test.each<[unknown, RegExp]>([
    ['colour =', /406 .*it ends too early/],
    [5, /406 .*invalid arg 'x-selector' for queue .*expected string/],
  ])('consuming with the selector %j', async (selector, reason) => {
    const channel = await harness.channel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const consuming = channel.consume(queue, () => {}, { arguments: { 'x-selector': selector } });
    await expect(consuming).rejects.toThrow(reason);
  });

  test('acknowledging twice', async () => {
    const channel = await harness.channel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    channel.sendToQueue(queue, Buffer.from('x'));
    const message = await channel.get(queue);
    if (message === false) throw new Error('the queue is empty');
    channel.ack(message);
    const failed = failure(channel);
    channel.ack(message);
    expect((await failed).message).toContain('PRECONDITION_FAILED - unknown delivery tag 1');
  });

  test('a bad expiration', async () => {
    const channel = await harness.channel();
    const failed = failure(channel);
    channel.sendToQueue('q', Buffer.from('x'), { expiration: 'soon' });
    expect((await failed).message).toContain("invalid expiration 'soon': no_integer");
  });

  test('leave the other channels of the connection alone', async () => {
    const connection = await harness.connect();
    const good = await connection.createChannel();
    const bad = await connection.createChannel();
    bad.on('error', () => {});
    await expect(bad.checkQueue('nothing-here')).rejects.toThrow(/404/);
    expect(await good.assertQueue('', { exclusive: true })).toHaveProperty('messageCount', 0);
    expect(
      await (await connection.createChannel()).assertQueue('', { exclusive: true }),
    ).toHaveProperty('messageCount', 0);
  });

  test('permissions are kept', async () => {
    const channel = await harness.channel('limited', 'secret');
    await channel.assertQueue('limited-q');
    await channel.bindQueue('limited-q', 'amq.topic', 'a').catch((error) => {
      expect(String(error)).toContain("ACCESS_REFUSED - access to exchange 'amq.topic'");
    });
    const other = await harness.channel('limited', 'secret');
    const failed = failure(other);
    other.publish('amq.fanout', '', Buffer.from('x'));
    expect((await failed).message).toContain(
      "ACCESS_REFUSED - access to exchange 'amq.fanout' in vhost '/' refused for user 'limited'",
    );
  });
});

describe('connection errors', () => {
  test('a consumer tag that is in use', async () => {
    const connection = await harness.connect();
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.consume(queue, () => {}, { consumerTag: 'one' });
    const failed = failure(connection);
    channel.consume(queue, () => {}, { consumerTag: 'one' }).catch(() => {});
    const error = await failed;
    expect(error.code).toBe(530);
    expect(error.message).toContain("NOT_ALLOWED - attempt to reuse consumer tag 'one'");
  });

  test.each([
    ['nonsense', 'unknown'],
    ['none', 'invalid'],
  ])('an exchange type that does not exist: %s', async (type, reason) => {
    const connection = await harness.connect();
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    const failed = failure(connection);
    channel.assertExchange(fresh('x'), type).catch(() => {});
    expect((await failed).message).toContain(`${reason} exchange type '${type}'`);
  });
});

describe('the callback API', () => {
  test('declares, publishes with a confirm, and consumes', async () => {
    const url = `amqp://guest:guest@127.0.0.1:${harness.port}`;
    const got = await new Promise<string>((resolve, reject) => {
      callbacks.connect(url, (error, connection) => {
        if (error) return reject(error);
        connection.createConfirmChannel((failed, channel) => {
          if (failed) return reject(failed);
          channel.assertQueue('', { exclusive: true }, (_error, { queue }) => {
            channel.sendToQueue(queue, Buffer.from('called back'), {}, () => {
              channel.consume(queue, (message) => {
                connection.close();
                resolve(message?.content.toString() ?? '');
              });
            });
          });
        });
      });
    });
    expect(got).toBe('called back');
  });
});

describe('throughput', () => {
  test('a slow reader does not lose messages, nor order', async () => {
    const count = 2000;
    const channel = await harness.confirmChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const body = Buffer.alloc(10_000);
    for (let i = 0; i < count; i++) {
      body.writeUInt32BE(i);
      channel.sendToQueue(queue, Buffer.from(body));
    }
    await channel.waitForConfirms();
    const mail = new Mailbox();
    await channel.prefetch(10);
    await channel.consume(queue, (message) => {
      mail.take(message);
      if (message !== null) channel.ack(message);
    });
    for (let i = 0; i < count; i++) expect((await mail.message()).content.readUInt32BE()).toBe(i);
    expect((await channel.checkQueue(queue)).messageCount).toBe(0);
  });
});
