/** What RabbitMQ's users have plug-ins for, and selectors. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Harness, Mailbox } from './amqplib-harness.ts';

const harness = new Harness();
beforeAll(() => harness.start());
afterEach(() => harness.closeAll());
afterAll(() => harness.stop());

test('a delayed message comes after one that is not, with its delay negated', async () => {
  const channel = await harness.channel();
  const delayed = { arguments: { 'x-delayed-type': 'direct' } };
  await channel.assertExchange('later', 'x-delayed-message', delayed);
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, 'later', 'k');
  const mail = new Mailbox();
  await channel.consume(queue, mail.take, { noAck: true });
  channel.publish('later', 'k', Buffer.from('late'), { headers: { 'x-delay': 500 } });
  channel.publish('later', 'k', Buffer.from('soon'));
  expect(await mail.text()).toBe('soon');
  const late = await mail.message();
  expect(late.content.toString()).toBe('late');
  expect(late.properties.headers).toEqual({ 'x-delay': -500 });
});

test.each([
  ['x-consistent-hash', '1'],
  ['x-modulus-hash', ''],
  ['x-random', ''],
  ['x-recent-history', ''],
])('%s is declared, bound and published to', async (type, key) => {
  const channel = await harness.channel();
  await channel.assertExchange(type.slice(2), type);
  const { queue } = await channel.assertQueue('', { exclusive: true });
  channel.publish(type.slice(2), 'k', Buffer.from('early'));
  await channel.bindQueue(queue, type.slice(2), key);
  channel.publish(type.slice(2), 'k', Buffer.from('one'));
  const mail = new Mailbox();
  await channel.consume(queue, mail.take, { noAck: true });
  if (type === 'x-recent-history') expect(await mail.text()).toBe('early');
  expect(await mail.text()).toBe('one');
});

test('a consumer with a selector leaves the rest to another', async () => {
  const channel = await harness.channel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const [large, all] = [new Mailbox(), new Mailbox()];
  const selector = { 'x-selector': "size > 10 AND colour IN ('red', 'blue')" };
  await channel.consume(queue, large.take, { noAck: true, arguments: selector });
  for (const [size, colour] of [
    [5, 'red'],
    [11, 'red'],
    [12, 'green'],
    [13, 'blue'],
  ] as const) {
    channel.sendToQueue(queue, Buffer.from(`${size} ${colour}`), { headers: { size, colour } });
  }
  expect(await large.text()).toBe('11 red');
  expect(await large.text()).toBe('13 blue');
  await channel.consume(queue, all.take, { noAck: true });
  expect(await all.text()).toBe('5 red');
  expect(await all.text()).toBe('12 green');
});
