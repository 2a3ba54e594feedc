/** What RabbitMQ 3.10 was seen to do where the specification is silent, in amqplib's eyes. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { failure, Harness } from './amqplib-harness.ts';

const harness = new Harness();
beforeAll(() => harness.start());
afterAll(() => harness.stop());

test('unbinding what is not bound, or not there, succeeds', async () => {
  const channel = await harness.channel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.unbindQueue(queue, 'amq.direct', 'k');
  await channel.unbindQueue('none', 'amq.direct', 'k');
  await channel.unbindQueue(queue, 'none', 'k');
  await channel.unbindExchange('none', 'amq.direct', 'k');
  await channel.unbindExchange('amq.fanout', 'amq.direct', 'k');
  const failed = failure(channel);
  await expect(channel.unbindQueue(queue, '', 'k')).rejects.toThrow('default exchange');
  expect((await failed).code).toBe(403);
});

test('a binding of an exclusive queue is unbound by its owner only', async () => {
  const owner = await harness.channel();
  const { queue } = await owner.assertQueue('', { exclusive: true });
  await owner.bindQueue(queue, 'amq.direct', 'k');
  const other = await harness.channel();
  const failed = failure(other);
  await expect(other.unbindQueue(queue, 'amq.direct', 'k')).rejects.toThrow('RESOURCE_LOCKED');
  expect((await failed).code).toBe(405);
});

test('a dead letter tells nobody of BCC, and loses CC where its queue chose the key', async () => {
  const channel = await harness.channel();
  const { queue: dead } = await channel.assertQueue('', { exclusive: true });
  const { queue } = await channel.assertQueue('', {
    exclusive: true,
    deadLetterExchange: '',
    deadLetterRoutingKey: dead,
  });
  channel.publish('', 'nowhere', Buffer.from('x'), { CC: [queue, 'z'], BCC: ['secret'] });
  const got = await channel.get(queue);
  if (got === false) throw new Error('it was routed by CC');
  expect(got.properties.headers).toEqual({ CC: [queue, 'z'] });
  channel.nack(got, false, false);
  const buried = await channel.get(dead);
  if (buried === false) throw new Error('it was dead-lettered');
  const headers = buried.properties.headers ?? {};
  expect(headers['CC']).toBeUndefined();
  expect(headers['x-death']?.[0]?.['routing-keys']).toEqual(['nowhere', queue, 'z']);
});
