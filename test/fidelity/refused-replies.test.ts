/**
 * Reply addresses that the worker may not publish to, or that point nowhere: the worker is told in
 * its own protocol as far as it has a word for it, and goes on working.
 */
import { connect } from 'amqplib';
import mqtt, { type MqttClient, type Packet } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../main.ts';
import { type XmppElement, xml, client as xmppClient } from '../interop/clients/xmpp-library.ts';
import { startGateway } from '../support/gateway.ts';
import { connect as connectRaw, type RawClient } from '../support/raw-client.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

/** May write to amq.topic, and to what begins with limited-. */
const WORKER = 'limited';

describe('an AMQP worker', () => {
  it('without permission has its channel closed with 403', async () => {
    const connection = await connect(`amqp://${WORKER}:secret@127.0.0.1:${gateway.port('amqp')}`);
    const channel = await connection.createChannel();
    const closed = new Promise<Error>((resolve) => {
      channel.on('error', resolve);
    });
    channel.publish('', 'amq.to:amq.fanout/k', Buffer.from('answer'));
    const { message } = await closed;
    const next = await connection.createChannel();
    const { queue } = await next.assertQueue('limited-works-on', { exclusive: true });
    await connection.close();
    expect(message).toContain('403');
    expect(queue).toBe('limited-works-on');
  });

  it('whose requester is gone is told where it asked to be, and its channel stays', async () => {
    const connection = await connect(`amqp://alice:secret@127.0.0.1:${gateway.port('amqp')}`);
    const channel = await connection.createConfirmChannel();
    const returned: string[] = [];
    channel.on('return', ({ fields }) => {
      returned.push(fields.routingKey);
    });
    channel.publish('', 'amq.gen-gone', Buffer.from('answer'));
    channel.publish('', 'amq.gen-gone', Buffer.from('answer'), { mandatory: true });
    await channel.waitForConfirms();
    await connection.close();
    expect(returned).toEqual(['amq.gen-gone']);
  });
});

describe('an MQTT 5 worker', () => {
  async function answer(topic: string): Promise<{ packet: Packet; client: MqttClient }> {
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
      protocolVersion: 5,
      username: WORKER,
      password: 'secret',
      reconnectPeriod: 0,
    });
    const packet = await new Promise<Packet>((resolve) => {
      client.on('packetreceive', (received) => {
        if (received.cmd === 'puback') resolve(received);
      });
      // The library takes a refusal for an error, which the packet tells as well.
      client.publishAsync(topic, 'answer', { qos: 1 }).catch(() => {});
    });
    return { packet, client };
  }

  it.each([
    ['without permission is refused as not authorized', '$exchange/amq.fanout/k', 0x87],
    ['whose requester is gone is told so', 'replies/gone', 0x10],
  ])('%s, and stays connected', async (_name, topic, reasonCode) => {
    const { packet, client } = await answer(topic);
    expect(packet).toMatchObject({ reasonCode });
    expect(client.connected).toBe(true);
    await client.endAsync();
  });
});

describe('a STOMP worker', () => {
  async function worker(login: string): Promise<RawClient> {
    const client = await connectRaw(gateway.port('stomp'));
    client.send(`CONNECT\naccept-version:1.2\nhost:/\nlogin:${login}\npasscode:secret\n\n\0`);
    await client.readText('CONNECTED');
    return client;
  }

  it('without permission gets ERROR', async () => {
    const client = await worker(WORKER);
    client.send('SEND\ndestination:/exchange/amq.fanout/k\nreceipt:r1\n\nanswer\0');
    await client.closed();
    expect(client.received.toString()).toMatch(/ERROR\n[\s\S]*access_refused/);
  });

  it('whose requester is gone gets its receipt, and goes on', async () => {
    const client = await worker('alice');
    client.send('SEND\ndestination:/reply-queue/amq.gen-gone\nreceipt:r1\n\nanswer\0');
    await client.readText('receipt-id:r1');
    client.send('SEND\ndestination:/topic/next\nreceipt:r2\n\nnext\0');
    expect(await client.readText('receipt-id:r2')).not.toContain('ERROR');
    client.destroy();
  });
});

it('an XMPP worker without permission gets a stanza error', async () => {
  const service = `xmpp://127.0.0.1:${gateway.port('xmpp')}`;
  const login = { domain: 'localhost', username: WORKER, password: 'secret' };
  const client = xmppClient({ service, ...login });
  client.reconnect.stop();
  client.on('error', () => {});
  const answered = new Promise<XmppElement>((resolve) => {
    client.on('stanza', (stanza) => {
      if (stanza.is('message')) resolve(stanza);
    });
  });
  await client.start();
  const to = 'amq.fanout%k@exchanges.localhost';
  await client.send(xml('message', { to, id: 'm1' }, xml('body', {}, 'answer')));
  const answer = await answered;
  await client.stop();
  expect(answer.attrs).toMatchObject({ type: 'error', from: to });
  expect(answer.getChild('error')?.toString()).toMatch(/<(forbidden|not-authorized|not-allowed)/);
});
