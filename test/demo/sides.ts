/**
 * The sides of the demo, each an ordinary program of its protocol's world with an unmodified client
 * library. None of them knows that the others speak something else.
 */
import { Client as StompJs } from '@stomp/stompjs';
import { connect as connectAmqp } from 'amqplib';
import mqtt from 'mqtt';
import { TcpWebSocket } from '../interop/clients/tcp-web-socket.ts';
import { client as createXmpp, xml } from '../interop/clients/xmpp-library.ts';
import type { Ledger } from './ledger.ts';
import type { Reading } from './telemetry.ts';

export interface Place {
  readonly port: (protocol: string) => number;
  readonly ledger: Ledger;
  readonly say: (line: string) => void;
}

export type Close = () => Promise<unknown>;

/** What the workers make of a reading. */
interface Result extends Reading {
  readonly worker: string;
  readonly sentAt: number;
}

const WORK = 'telemetry-work';
const RESULTS = '/topic/results';
const ALARMS_TO = 'operator@localhost';
const COMMANDS = 'device-commands';
const LOGIN = { username: 'guest', password: 'guest' };

/** Sensors: MQTT 5, QoS 1, one topic each. */
export async function startSensors({
  port,
}: Place): Promise<{ publish: (reading: Reading) => Promise<void>; close: Close }> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port('mqtt')}`, {
    ...LOGIN,
    protocolVersion: 5,
  });
  return {
    publish: async (reading) => {
      const payload = JSON.stringify({ ...reading, sentAt: performance.now() });
      const properties = {
        contentType: 'application/json',
        userProperties: { unit: reading.unit },
      };
      await client.publishAsync(`sensors/${reading.sensor}`, payload, { qos: 1, properties });
    },
    close: () => client.endAsync(),
  };
}

/**
 * Workers: AMQP, competing for one queue that is bound to `amq.topic`, one message at a time, each
 * acknowledged once its result (and maybe an alarm) is confirmed.
 */
export async function startWorker(
  { port, ledger }: Place,
  name: string,
  isAlarming: (reading: Reading) => boolean,
): Promise<Close> {
  const connection = await connectAmqp(`amqp://guest:guest@127.0.0.1:${port('amqp')}`);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(WORK, { durable: true });
  await channel.bindQueue(WORK, 'amq.topic', 'sensors.*');
  await channel.prefetch(1);
  // One at a time: the last one is all that may be unfinished when the worker goes.
  let handled: Promise<void> = Promise.resolve();
  await channel.consume(WORK, (message) => {
    if (message === null) return;
    const reading = JSON.parse(message.content.toString()) as Result;
    ledger.saw('readings at a worker (MQTT → AMQP)', reading.sentAt);
    const result = Buffer.from(JSON.stringify({ ...reading, worker: name }));
    const json = { contentType: 'application/json' };
    channel.publish('amq.topic', `results.${reading.sensor}`, result, json);
    if (isAlarming(reading)) {
      ledger.expect('alarms at the operator (AMQP → XMPP)', 1);
      const text = `${reading.sensor} is at ${reading.value} ${reading.unit}`;
      const headers = { sensor: reading.sensor, 'sent-at': String(performance.now()) };
      channel.publish('amq.xmpp', ALARMS_TO, Buffer.from(text), {
        contentType: 'text/plain',
        headers,
      });
    }
    handled = channel.waitForConfirms().then(() => channel.ack(message));
  });
  return async () => {
    await handled;
    await connection.close();
  };
}

/** The dashboard: STOMP, every result. */
export function startDashboard(
  { port, ledger }: Place,
  shown: (result: Result) => void,
): Promise<Close> {
  return new Promise((resolve, reject) => {
    const client = new StompJs({
      webSocketFactory: () => new TcpWebSocket(port('stomp')),
      connectHeaders: { login: 'guest', passcode: 'guest', host: '/' },
      reconnectDelay: 0,
      onStompError: (frame) => reject(new Error(frame.body)),
      onConnect: () => {
        client.watchForReceipt('subscribed', () => resolve(() => client.deactivate()));
        const received = (message: { readonly body: string }): void => {
          const result = JSON.parse(message.body) as Result;
          ledger.saw('results on the dashboard (AMQP → STOMP)', result.sentAt);
          shown(result);
        };
        client.subscribe(`${RESULTS}.#`, received, { receipt: 'subscribed' });
      },
    });
    client.activate();
  });
}

/** A device: MQTT 5. Takes commands from a queue and answers to their response topic. */
export async function startDevice({ port, ledger, say }: Place): Promise<Close> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port('mqtt')}`, {
    ...LOGIN,
    protocolVersion: 5,
  });
  client.on('message', (_topic, payload, { properties }) => {
    const { responseTopic, correlationData, userProperties } = properties ?? {};
    ledger.saw('commands at the device (XMPP → MQTT)', Number(userProperties?.['sent-at']));
    if (responseTopic === undefined || correlationData === undefined) return;
    say(`device    got "${payload.toString()}", answers to ${responseTopic}`);
    client.publish(responseTopic, `done: ${payload.toString()}`, {
      qos: 1,
      properties: { correlationData, userProperties: { 'sent-at': String(performance.now()) } },
    });
  });
  await client.subscribeAsync(`$queue/${COMMANDS}`, { qos: 1 });
  return () => client.endAsync();
}

/** The operator: an XMPP chat client. Each alarm is answered with a command; the device's answer is a chat message. */
export async function startOperator({ port, ledger, say }: Place): Promise<Close> {
  const client = createXmpp({
    service: `xmpp://127.0.0.1:${port('xmpp')}`,
    domain: 'localhost',
    username: 'operator',
    password: 'operator',
  });
  client.reconnect.stop();
  client.on('error', () => {});
  const present = new Promise<void>((resolve) => {
    client.on('stanza', (stanza) => {
      if (stanza.is('presence')) resolve();
    });
  });
  let commands = 0;
  client.on('stanza', (stanza) => {
    const text = stanza.getChildText('body');
    if (!stanza.is('message') || text === null) return;
    const shim = stanza.getChild('headers', 'http://jabber.org/protocol/shim');
    const headers = new Map(
      shim?.getChildren('header').map((header) => [header.attrs['name'], header.text()]),
    );
    const sentAt = Number(headers.get('sent-at'));
    if (stanza.getChild('thread') !== undefined) {
      ledger.saw('answers at the operator (MQTT → XMPP)', sentAt);
      say(`operator  got the answer "${text}"`);
      return;
    }
    ledger.saw('alarms at the operator (AMQP → XMPP)', sentAt);
    ledger.expect('commands at the device (XMPP → MQTT)', 1);
    ledger.expect('answers at the operator (MQTT → XMPP)', 1);
    const command = `calm down ${headers.get('sensor')}`;
    say(`operator  got the alarm "${text}", commands "${command}"`);
    const stamp = xml('header', { name: 'sent-at' }, String(performance.now()));
    void client.send(
      xml(
        'message',
        { to: `${COMMANDS}@queues.localhost`, type: 'chat' },
        xml('body', {}, command),
        xml('thread', {}, `command-${++commands}`),
        xml('headers', { xmlns: 'http://jabber.org/protocol/shim' }, stamp),
      ),
    );
  });
  await client.start();
  await client.send(xml('presence', {}));
  await present;
  return () => client.stop();
}
