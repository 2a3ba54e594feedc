/** Unmodified clients of every protocol over TLS and over WebSocket, through a whole gateway. */
import { readFileSync } from 'node:fs';
import { Client as StompClient } from '@stomp/stompjs';
import { xml, client as xmppClient } from '@xmpp/client';
import { connect as connectAmqp } from 'amqplib';
import { connectAsync as connectMqtt } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { connect } from '../../support/raw-client.ts';
import { testAuthority, tlsFile } from '../../support/tls.ts';

const PROTOCOLS = ['amqp', 'mqtt', 'stomp', 'xmpp', 'http'];
const TLS = { ca: testAuthority(), servername: 'localhost' };

let gateway: Gateway;

beforeAll(async () => {
  const listeners = PROTOCOLS.flatMap((protocol) => [
    { protocol, port: 0 },
    { protocol, port: 0, tls: true },
  ]);
  const tls = { cert: tlsFile('server.pem'), key: tlsFile('server.key') };
  gateway = await startGateway({ listeners, tls });
});

afterAll(() => gateway.stop());

/** The port of a protocol's TLS listener. */
function securePort(protocol: string): number {
  const found = gateway.listening.find((each) => each.protocol === protocol && each.tls);
  if (found === undefined) throw new Error(`no TLS listener for ${protocol}`);
  return found.port;
}

describe('mqtt.js', () => {
  const urls = (): [string, object][] => [
    [`mqtts://localhost:${securePort('mqtt')}`, TLS],
    [`ws://127.0.0.1:${gateway.port('http')}/mqtt`, {}],
    [`wss://localhost:${securePort('http')}/mqtt`, TLS],
  ];

  it.each([
    ['TLS', 0],
    ['WebSocket', 1],
    ['WebSocket over TLS', 2],
  ])('exchanges messages of all sizes over %s', async (_, which) => {
    const [url, options] = urls()[which] ?? ['', {}];
    const client = await connectMqtt(url, {
      ...options,
      username: 'guest',
      password: 'guest',
      protocolVersion: 5,
    });
    const topic = `net/${which}`;
    const bodies = [0, 1, 125, 126, 65_535, 65_536, 1_000_000].map((size) =>
      Buffer.alloc(size, size % 251),
    );
    const received: Buffer[] = [];
    const all = new Promise<void>((resolve) => {
      client.on('message', (_topic, body) => {
        received.push(body);
        if (received.length === bodies.length) resolve();
      });
    });
    await client.subscribeAsync(topic, { qos: 1 });
    for (const body of bodies) await client.publishAsync(topic, body, { qos: 1 });
    await all;
    expect(received.map((body) => body.length)).toEqual(bodies.map((body) => body.length));
    expect(Buffer.concat(received).equals(Buffer.concat(bodies))).toBe(true);
    await client.endAsync();
  });
});

describe('@stomp/stompjs', () => {
  it('exchanges messages over WebSocket', async () => {
    const client = new StompClient({
      webSocketFactory: () =>
        new WebSocket(`ws://127.0.0.1:${gateway.port('http')}/ws`, [
          'v12.stomp',
          'v11.stomp',
          'v10.stomp',
        ]),
      connectHeaders: { login: 'guest', passcode: 'guest', host: '/' },
      reconnectDelay: 0,
    });
    const body = new Promise<string>((resolve, reject) => {
      client.onStompError = (frame) => reject(new Error(frame.body));
      client.onWebSocketError = reject;
      client.onConnect = () => {
        client.subscribe('/queue/net-stomp', (message) => resolve(message.body));
        client.publish({ destination: '/queue/net-stomp', body: 'grüß dich'.repeat(10_000) });
      };
    });
    client.activate();
    expect(await body).toBe('grüß dich'.repeat(10_000));
    await client.deactivate();
  });
});

describe('@xmpp/client', () => {
  it.each([
    ['STARTTLS', () => `xmpp://127.0.0.1:${gateway.port('xmpp')}`],
    ['direct TLS', () => `xmpps://127.0.0.1:${securePort('xmpp')}`],
    ['WebSocket', () => `ws://127.0.0.1:${gateway.port('http')}/xmpp`],
  ])('exchanges messages over %s', async (_, service) => {
    // The client takes neither an authority nor a WebSocket of our choice.
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    vi.stubGlobal('WebSocket', WebSocket);
    const client = xmppClient({
      service: service(),
      domain: 'localhost',
      username: 'alice',
      password: 'secret',
    });
    client.on('error', () => {});
    const body = new Promise<string>((resolve) => {
      client.on('stanza', (stanza) => {
        if (stanza.is('message')) resolve(stanza.getChildText('body') ?? '');
      });
    });
    const address = await client.start();
    await client.send(xml('presence'));
    const attributes = { to: String(address), type: 'chat' };
    await client.send(xml('message', attributes, xml('body', {}, 'grüß dich')));
    expect(await body).toBe('grüß dich');
    await client.stop();
    vi.unstubAllEnvs();
    vi.unstubAllGlobals();
  });
});

describe('amqplib', () => {
  it('exchanges messages over TLS', async () => {
    const url = `amqps://guest:guest@localhost:${securePort('amqp')}`;
    const connection = await connectAmqp(url, { ca: [readFileSync(tlsFile('ca.pem'))] });
    const channel = await connection.createConfirmChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const body = Buffer.alloc(500_000, 'amqp');
    channel.sendToQueue(queue, body);
    await channel.waitForConfirms();
    const message = await channel.get(queue, { noAck: true });
    expect(message === false ? null : message.content.equals(body)).toBe(true);
    await connection.close();
  });
});

describe('a gateway', () => {
  it('frees its ports and lets go of every client when it stops', async () => {
    const other = await startGateway();
    const port = other.port('mqtt');
    const client = await connectMqtt(`mqtt://127.0.0.1:${port}`, {
      username: 'guest',
      password: 'guest',
      reconnectPeriod: 0,
    });
    const silent = await connect(other.port('amqp'));
    const gone = new Promise<void>((resolve) => client.on('close', () => resolve()));
    await other.stop();
    await gone;
    await silent.closed();
    await expect(connect(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
