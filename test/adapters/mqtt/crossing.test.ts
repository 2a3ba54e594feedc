import amqplib, { type ConsumeMessage } from 'amqplib';
import mqtt, { type IPublishPacket, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';

type Amqp = Awaited<ReturnType<typeof amqplib.connect>>;

let gateway: Gateway;
let amqp: Amqp;
let client: MqttClient;

beforeAll(async () => {
  gateway = await startGateway();
  amqp = await amqplib.connect(`amqp://alice:secret@127.0.0.1:${gateway.port('amqp')}`);
  client = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
    ...{ protocolVersion: 5, username: 'alice', password: 'secret' },
  });
});

afterAll(async () => {
  client.end(true);
  await amqp.close();
  await gateway.stop();
});

function nextMessage(): Promise<IPublishPacket> {
  return new Promise((resolve) => {
    client.once('message', (_topic, _payload, packet) => resolve(packet));
  });
}

describe('between AMQP and MQTT', () => {
  it('a message from AMQP keeps its properties', async () => {
    const channel = await amqp.createChannel();
    await client.subscribeAsync('from/amqp', { qos: 1 });
    const received = nextMessage();
    channel.publish('amq.topic', 'from.amqp', Buffer.from('{}'), {
      ...{ contentType: 'application/json', contentEncoding: 'identity', persistent: true },
      ...{ correlationId: 'c1', replyTo: 'answers', messageId: 'm1', type: 'T', appId: 'A' },
      ...{ priority: 3, timestamp: 1000, expiration: '5000', userId: 'alice' },
      headers: { text: 'x', count: 5, nested: { a: true } },
    });
    const { topic, payload, qos, properties } = await received;
    expect([topic, String(payload), qos]).toEqual(['from/amqp', '{}', 1]);
    expect(properties).toMatchObject({
      contentType: 'application/json',
      responseTopic: '$queue/answers',
      correlationData: Buffer.from('c1'),
      messageExpiryInterval: 5,
      userProperties: {
        ...{ 'content-encoding': 'identity', 'message-id': 'm1', type: 'T', 'app-id': 'A' },
        ...{ priority: '3', timestamp: '1000', 'user-id': 'alice' },
        ...{ text: 'x', count: '5', nested: '{"a":true}' },
        'x-header-types': '{"count":"b","nested":"F"}',
      },
    });
    await channel.close();
  });

  it('a message from MQTT keeps its properties', async () => {
    const channel = await amqp.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, 'amq.topic', 'from.mqtt.#');
    const received = new Promise<ConsumeMessage | null>((resolve) => {
      void channel.consume(queue, resolve, { noAck: true });
    });
    await client.publishAsync('from/mqtt/a.b', '{}', {
      qos: 1,
      properties: {
        ...{
          contentType: 'application/json',
          responseTopic: 'answers/1',
          messageExpiryInterval: 9,
        },
        correlationData: Buffer.from('c2'),
        userProperties: { type: 'T', count: '5', 'x-header-types': '{"count":"I"}', b: 'y' },
      },
    });
    const message = await received;
    expect(message?.fields).toMatchObject({ exchange: 'amq.topic', routingKey: 'from.mqtt.a/b' });
    expect(message?.properties).toMatchObject({
      ...{ contentType: 'application/json', correlationId: 'c2', type: 'T', deliveryMode: 2 },
      ...{ replyTo: 'amq.to:amq.topic/answers.1', headers: { count: 5, b: 'y' } },
    });
    await channel.close();
  });

  it('an MQTT client asks an AMQP worker', async () => {
    const channel = await amqp.createChannel();
    await channel.assertQueue('worker');
    await channel.consume('worker', (message) => {
      if (message === null) return;
      const { replyTo, correlationId } = message.properties;
      channel.sendToQueue(replyTo, Buffer.from(`re: ${message.content}`), { correlationId });
      channel.ack(message);
    });
    await client.subscribeAsync('answers/2', { qos: 1 });
    const answered = nextMessage();
    const properties = { responseTopic: 'answers/2', correlationData: Buffer.from('7') };
    await client.publishAsync('$queue/worker', 'hello', { qos: 1, properties });
    const { topic, payload, properties: said } = await answered;
    expect([topic, String(payload), String(said?.correlationData)]).toEqual([
      ...['answers/2', 're: hello', '7'],
    ]);
    await channel.close();
  });

  it('an AMQP client asks an MQTT worker', async () => {
    await client.subscribeAsync('$queue/mqtt-worker', { qos: 1 });
    client.once('message', (_topic, payload, packet) => {
      const { responseTopic = '', correlationData } = packet.properties ?? {};
      const properties = correlationData === undefined ? {} : { correlationData };
      client.publish(responseTopic, `re: ${payload}`, { qos: 1, properties });
    });
    const channel = await amqp.createChannel();
    const answered = new Promise<ConsumeMessage | null>((resolve) => {
      void channel.consume('amq.rabbitmq.reply-to', resolve, { noAck: true });
    });
    channel.sendToQueue('mqtt-worker', Buffer.from('hello'), {
      ...{ replyTo: 'amq.rabbitmq.reply-to', correlationId: '8' },
    });
    const answer = await answered;
    expect([String(answer?.content), answer?.properties.correlationId]).toEqual(['re: hello', '8']);
    await channel.close();
  });
});
