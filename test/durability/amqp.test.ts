/** What AMQP clients find after a stop and after a kill -9: what RabbitMQ 3.10 was seen to keep. */
import amqplib, {
  type ChannelModel,
  type ConfirmChannel,
  type GetMessage,
  type Options,
} from 'amqplib';
import { describe, expect } from 'vitest';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { type Story, tell } from './stories.ts';

const LASTING = { persistent: true };

async function open(gateway: GatewayProcess): Promise<[ChannelModel, ConfirmChannel]> {
  const url = `amqp://guest:guest@127.0.0.1:${gateway.port('amqp')}`;
  const connection = await amqplib.connect(url, { noDelay: true });
  connection.on('error', () => {});
  const channel = await connection.createConfirmChannel();
  channel.on('error', () => {});
  return [connection, channel];
}

/** `work` on a channel of its own. */
async function within<T>(
  gateway: GatewayProcess,
  work: (channel: ConfirmChannel) => Promise<T>,
): Promise<T> {
  const [connection, channel] = await open(gateway);
  const result = await work(channel);
  await connection.close();
  return result;
}

async function send(
  channel: ConfirmChannel,
  queue: string,
  bodies: readonly string[],
  options: Options.Publish = LASTING,
): Promise<void> {
  for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body), options);
  await channel.waitForConfirms();
}

/** All that is ready. */
function drain(gateway: GatewayProcess, queue: string): Promise<GetMessage[]> {
  return within(gateway, async (channel) => {
    const found: GetMessage[] = [];
    for (;;) {
      const message = await channel.get(queue, { noAck: true });
      if (message === false) return found;
      found.push(message);
    }
  });
}

async function bodies(gateway: GatewayProcess, queue: string): Promise<string[]> {
  return (await drain(gateway, queue)).map(({ content }) => content.toString());
}

/** The code of the error that `step` closes its channel with; 0: it went well. */
function code(
  gateway: GatewayProcess,
  step: (channel: ConfirmChannel) => Promise<unknown>,
): Promise<number> {
  return within(gateway, (channel) => {
    const closed = new Promise<number>((resolve) => {
      channel.once('error', (error: { code?: number }) => resolve(error.code ?? -1));
    });
    const done = step(channel).then(
      () => 0,
      () => closed,
    );
    return Promise.race([done, closed]);
  });
}

const STORIES: Readonly<Record<string, Story>> = {
  'messages are at their place, and marked where somebody had them': async function* (gateway) {
    const [, channel] = await open(gateway());
    await channel.assertQueue('order');
    await send(channel, 'order', ['1', '2', '3', '4', '5']);
    const held = [];
    for (let n = 0; n < 4; n++) held.push((await channel.get('order')) as GetMessage);
    channel.nack(held[1] as GetMessage, false, true);
    channel.ack(held[0] as GetMessage);
    // What is confirmed is stored, and so is what came before it.
    await send(channel, 'order', ['6']);
    yield;
    const found = await drain(gateway(), 'order');
    expect(found.map(({ content, fields }) => [String(content), fields.redelivered])).toEqual([
      ['2', true],
      ['3', true],
      ['4', true],
      ['5', false],
      ['6', false],
    ]);
  },

  'what was not to last is gone': async function* (gateway) {
    const [, channel] = await open(gateway());
    await channel.assertQueue('lasting');
    await send(channel, 'lasting', ['kept']);
    await send(channel, 'lasting', ['lost'], { persistent: false });
    await channel.assertQueue('transient', { durable: false });
    await channel.assertQueue('own', { exclusive: true });
    // It had no consumer that could have been the last.
    await channel.assertQueue('auto', { autoDelete: true });
    yield;
    expect(await bodies(gateway(), 'lasting')).toEqual(['kept']);
    const check = (name: string): Promise<number> => code(gateway(), (c) => c.checkQueue(name));
    expect([await check('transient'), await check('own'), await check('auto')]).toEqual([
      404, 404, 0,
    ]);
  },

  'priorities and bounds hold on': async function* (gateway) {
    await within(gateway(), async (channel) => {
      await channel.assertQueue('ranks', { maxPriority: 5 });
      for (const priority of [1, 5, 3, 9, 0, 5]) {
        await send(channel, 'ranks', [`${priority}`], { ...LASTING, priority });
      }
      await channel.assertQueue('short', { maxLength: 3 });
      await send(channel, 'short', ['0', '1', '2', '3', '4']);
    });
    yield;
    expect(await bodies(gateway(), 'ranks')).toEqual(['5', '9', '5', '3', '1', '0']);
    await within(gateway(), (channel) => send(channel, 'short', ['5']));
    expect(await bodies(gateway(), 'short')).toEqual(['3', '4', '5']);
    expect(await code(gateway(), (c) => c.assertQueue('ranks', { maxPriority: 5 }))).toBe(0);
    expect(await code(gateway(), (c) => c.assertQueue('ranks', { maxPriority: 4 }))).toBe(406);
  },

  'what fell due meanwhile is dead-lettered with its history': async function* (gateway) {
    await within(gateway(), async (channel) => {
      const dead = { deadLetterExchange: '', deadLetterRoutingKey: 'due' };
      await channel.assertQueue('due');
      await channel.assertQueue('waiting', dead);
      await send(channel, 'waiting', ['soon'], { ...LASTING, expiration: 1, headers: { h: 'v' } });
      await send(channel, 'waiting', ['late'], { ...LASTING, expiration: 600_000 });
    });
    yield;
    expect(await bodies(gateway(), 'waiting')).toEqual(['late']);
    const [buried, ...others] = await drain(gateway(), 'due');
    expect(others).toEqual([]);
    expect(buried?.properties.expiration).toBeUndefined();
    const { h, 'x-death': deaths } = buried?.properties.headers ?? {};
    expect(h).toBe('v');
    expect(deaths).toMatchObject([
      { queue: 'waiting', reason: 'expired', count: 1, 'original-expiration': '1' },
    ]);
  },

  'exchanges lead where they led': async function* (gateway) {
    await within(gateway(), async (channel) => {
      for (const queue of ['stray', 'picked', 'both']) await channel.assertQueue(queue);
      await channel.assertExchange('strays', 'fanout');
      await channel.bindQueue('stray', 'strays', '');
      await channel.assertExchange('main', 'direct', { alternateExchange: 'strays' });
      await channel.assertExchange('from', 'topic');
      await channel.assertExchange('to', 'headers', { internal: true });
      await channel.bindExchange('to', 'from', 'a.#');
      await channel.bindQueue('picked', 'to', '', { 'x-match': 'any', u: '1' });
      await channel.assertExchange('passing', 'direct', { durable: false });
      await channel.bindQueue('both', 'passing', 'k');
      await channel.bindQueue('both', 'amq.direct', 'k');
    });
    yield;
    await within(gateway(), async (channel) => {
      channel.publish('main', 'nowhere', Buffer.from('astray'));
      channel.publish('from', 'a.b', Buffer.from('yes'), { headers: { u: '1' } });
      channel.publish('from', 'a.b', Buffer.from('no'), { headers: { u: '2' } });
      channel.publish('amq.direct', 'k', Buffer.from('direct'));
      await channel.waitForConfirms();
    });
    expect(await bodies(gateway(), 'stray')).toEqual(['astray']);
    expect(await bodies(gateway(), 'picked')).toEqual(['yes']);
    expect(await bodies(gateway(), 'both')).toEqual(['direct']);
    expect(await code(gateway(), (c) => c.checkExchange('passing'))).toBe(404);
    const publish = async (c: ConfirmChannel): Promise<void> => {
      c.publish('to', '', Buffer.from('x'));
      await c.waitForConfirms();
    };
    expect(await code(gateway(), publish)).toBe(403);
  },

  'what was purged or deleted stays away': async function* (gateway) {
    await within(gateway(), async (channel) => {
      await channel.assertQueue('purged');
      await send(channel, 'purged', ['old']);
      await channel.purgeQueue('purged');
      await send(channel, 'purged', ['new']);
      await channel.assertQueue('again');
      await send(channel, 'again', ['old']);
      await channel.deleteQueue('again');
      await channel.assertQueue('again');
      await send(channel, 'again', ['new']);
    });
    yield;
    expect(await bodies(gateway(), 'purged')).toEqual(['new']);
    expect(await bodies(gateway(), 'again')).toEqual(['new']);
  },

  'bodies and keys of any size are as they were': async function* (gateway) {
    const key = 'k'.repeat(255);
    await within(gateway(), async (channel) => {
      await channel.assertQueue('sizes');
      await channel.bindQueue('sizes', 'amq.direct', key);
      channel.publish('amq.direct', key, Buffer.alloc(0), { ...LASTING, messageId: 'empty' });
      for (const byte of [1, 2]) {
        channel.publish('amq.direct', key, Buffer.alloc(1_500_000, byte), LASTING);
      }
      await channel.waitForConfirms();
    });
    yield;
    const found = await drain(gateway(), 'sizes');
    expect(found.map(({ content }) => [content.length, content[0]])).toEqual([
      [0, undefined],
      [1_500_000, 1],
      [1_500_000, 2],
    ]);
    expect(found.every(({ fields }) => fields.routingKey === key)).toBe(true);
    expect(found[0]?.properties.messageId).toBe('empty');
  },
};

describe.each(['stop', 'kill'] as const)('AMQP after a %s', (way) => tell(way, {}, STORIES));
