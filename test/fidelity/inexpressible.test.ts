/**
 * What a protocol has no way to say, or its receiver does not take (mapping, section 6): it arrives
 * in a documented form, or goes to the dead-letter exchange with a reason. Nothing is dropped.
 */
import { type ChannelModel, type ConfirmChannel, connect, type GetMessage } from 'amqplib';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { queue } from '../interop/clients/client.ts';
import { MQTT5, STOMPIT, XMPP } from '../interop/clients/ends.ts';
import { type InteropGateway, startInterop } from '../interop/interop-gateway.ts';

let world: InteropGateway;
let connection: ChannelModel;
let channel: ConfirmChannel;

beforeAll(async () => {
  world = await startInterop([MQTT5, STOMPIT, XMPP]);
  const url = `amqp://user0:secret@127.0.0.1:${world.gateway.port('amqp')}`;
  connection = await connect(url, { noDelay: true });
  channel = await connection.createConfirmChannel();
});
afterAll(async () => {
  await connection.close();
  await world.stop();
});

/** A queue, and the one that its dead letters go to. */
async function declare(): Promise<{ readonly name: string; readonly dead: string }> {
  const name = world.unique('odd');
  const dead = `${name}-dead`;
  await channel.assertQueue(dead);
  await channel.assertQueue(name, { deadLetterExchange: '', deadLetterRoutingKey: dead });
  return { name, dead };
}

async function send(name: string, body: string, said: object, persistent: boolean): Promise<void> {
  channel.sendToQueue(name, Buffer.from(body), { ...said, persistent });
  await channel.waitForConfirms();
}

async function letter(dead: string): Promise<GetMessage> {
  return new Promise((resolve) => {
    void channel.consume(dead, (message) => message !== null && resolve(message as never), {
      noAck: true,
    });
  });
}

function reasonOf(message: GetMessage): unknown {
  const deaths = message.properties.headers?.['x-death'] as readonly { reason: string }[];
  return deaths[0]?.reason;
}

/** U+0000 is in no text of MQTT [MQTT-1.5.4-2]. */
const NULS: readonly (readonly [where: string, said: object])[] = [
  ['the value of a header', { headers: { a: 'x\0y' } }],
  ['the name of a header', { headers: { 'a\0b': 'x' } }],
  ['the type', { type: 'a\0b' }],
];

describe.each([true, false])('for MQTT, persistent: %s', (persistent) => {
  it.each(NULS)('U+0000 in %s makes a dead letter', async (_where, said) => {
    const { name, dead } = await declare();
    await world.receiver(MQTT5).consume(queue(name));
    await send(name, 'body', said, persistent);
    expect(reasonOf(await letter(dead))).toBe('rejected');
  });

  it('what is larger than the receiver takes makes one too, and the next one arrives', async () => {
    const { name, dead } = await declare();
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${world.gateway.port('mqtt')}`, {
      ...{ protocolVersion: 5, username: 'user1', password: 'secret', reconnectPeriod: 0 },
      properties: { maximumPacketSize: 1000 },
    });
    const arrived = new Promise<string>((resolve) => {
      client.on('message', (_topic, payload) => resolve(payload.toString()));
    });
    await client.subscribeAsync(`$queue/${name}`, { qos: 1 });
    await send(name, 'x'.repeat(2000), {}, persistent);
    await send(name, 'small', {}, persistent);
    const found = await letter(dead);
    expect([found.content.length, reasonOf(found)]).toEqual([2000, 'rejected']);
    expect(await arrived).toBe('small');
    await client.endAsync();
  });
});

describe('where there is another way to say it', () => {
  it.each([
    [
      'STOMP has ␀ for U+0000',
      STOMPIT,
      { type: 'a\0b', headers: { 'n\0': 'x\0y' } },
      'a␀b',
      { 'n␀': 'x␀y' },
    ],
    [
      'XMPP has base64 for what no XML has',
      XMPP,
      { type: 'a\0b', headers: { n: 'x\x01y' } },
      'YQBi',
      { n: 'eAF5' },
    ],
    [
      'STOMP escapes what would end a header',
      STOMPIT,
      { headers: { 'a:b\nc': '\r\\' } },
      undefined,
      { 'a:b\nc': '\r\\' },
    ],
    ['MQTT takes an empty name', MQTT5, { headers: { '': 'x' } }, undefined, { '': 'x' }],
  ])('%s', async (_name, end, said, type, headers) => {
    const { name } = await declare();
    const inbox = await world.receiver(end).consume(queue(name));
    await send(name, 'a\0\x01b', said, true);
    const received = await inbox.next();
    expect(received).toMatchObject({ type, headers });
    expect(received.body.toString()).toBe('a\0\x01b');
  });
});
