/**
 * A request that nobody can get is an error to its requester, in the requester's own protocol and
 * through its own library, and not a silence.
 */
import { connect } from 'amqplib';
import mqtt, { type Packet } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Gateway } from '../../main.ts';
import { type XmppElement, xml, client as xmppClient } from '../interop/clients/xmpp-library.ts';
import { startGateway } from '../support/gateway.ts';
import { connect as connectRaw } from '../support/raw-client.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

it('comes back to an AMQP client as basic.return, before its confirm', async () => {
  const connection = await connect(`amqp://alice:secret@127.0.0.1:${gateway.port('amqp')}`);
  const channel = await connection.createConfirmChannel();
  await channel.consume('amq.rabbitmq.reply-to', () => {}, { noAck: true });
  const told: string[] = [];
  channel.on('return', ({ fields, properties }) => {
    told.push(`returned from '${fields.routingKey}': ${properties.correlationId}`);
  });
  await new Promise<void>((resolve) => {
    const options = { mandatory: true, replyTo: 'amq.rabbitmq.reply-to', correlationId: 'c1' };
    channel.publish('', 'nobody', Buffer.from('question'), options, () => {
      told.push('confirmed');
      resolve();
    });
  });
  await connection.close();
  expect(told).toEqual(["returned from 'nobody': c1", 'confirmed']);
});

it.each(['$queue/nobody', '$exchange/amq.direct/nobody', 'nobody/listens'])(
  'is acknowledged to an MQTT 5 client as without subscribers, on %s',
  async (topic) => {
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
      protocolVersion: 5,
      username: 'alice',
      password: 'secret',
      reconnectPeriod: 0,
    });
    const acknowledged = new Promise<Packet>((resolve) => {
      client.on('packetreceive', (packet) => {
        if (packet.cmd === 'puback') resolve(packet);
      });
    });
    const properties = { responseTopic: 'replies/1', correlationData: Buffer.from('c1') };
    await client.publishAsync(topic, 'question', { qos: 1, properties });
    const acknowledgement = await acknowledged;
    await client.endAsync();
    // [MQTT 5, 3.4.2.1] 0x10: no matching subscribers.
    expect(acknowledgement).toMatchObject({ cmd: 'puback', reasonCode: 0x10 });
  },
);

it('ends a STOMP client with ERROR where it says mandatory', async () => {
  const client = await connectRaw(gateway.port('stomp'));
  client.send('CONNECT\naccept-version:1.2\nhost:/\nlogin:alice\npasscode:secret\n\n\0');
  await client.readText('CONNECTED');
  const request = 'destination:/exchange/amq.direct/nobody\nreply-to:/temp-queue/r\nreceipt:r1\n';
  client.send(`SEND\n${request}mandatory:true\n\nquestion\0`);
  await client.closed();
  expect(client.received.toString()).toMatch(/ERROR\n[\s\S]*receipt-id:r1\n/);
});

it('comes back to an XMPP client as an error', async () => {
  const to = 'amq.direct%nobody@exchanges.localhost';
  const port = gateway.port('xmpp');
  const options = { domain: 'localhost', username: 'alice', password: 'secret' };
  const client = xmppClient({ service: `xmpp://127.0.0.1:${port}`, ...options });
  client.reconnect.stop();
  client.on('error', () => {});
  const answered = new Promise<XmppElement>((resolve) => {
    client.on('stanza', (stanza) => {
      if (stanza.is('message')) resolve(stanza);
    });
  });
  await client.start();
  const message = xml('message', { to, id: 'm1' }, xml('body', {}, 'question'));
  await client.send(message);
  const answer = await answered;
  await client.stop();
  expect(answer.attrs).toMatchObject({ type: 'error', from: to, id: 'm1' });
  expect(answer.getChild('error')?.toString()).toContain('<item-not-found');
});
