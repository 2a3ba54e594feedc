import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';

let gateway: Gateway;
const clients: MqttClient[] = [];

beforeAll(async () => {
  gateway = await startGateway();
});

afterAll(async () => {
  for (const client of clients) client.end(true);
  await gateway.stop();
});

async function connect(version: 4 | 5, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
    ...{ protocolVersion: version, username: 'alice', password: 'secret', reconnectPeriod: 20 },
    ...options,
  });
  clients.push(client);
  return client;
}

/** Breaks the connection; resolves when the client is back. */
function reconnected(client: MqttClient): Promise<void> {
  return new Promise((resolve) => {
    client.once('connect', () => resolve());
    client.stream.destroy();
  });
}

function message(client: MqttClient): Promise<IPublishPacket> {
  return new Promise((resolve) => {
    client.once('message', (_topic, _payload, packet) => resolve(packet));
  });
}

/** Gathers messages; `next` waits until so many are there. */
class Messages {
  readonly texts: string[] = [];
  #wake: () => void = () => {};

  constructor(client: MqttClient) {
    client.on('message', (topic, payload, packet) => {
      this.texts.push(
        `${topic} ${payload.toString()} ${packet.qos}${packet.retain ? ' kept' : ''}`,
      );
      this.#wake();
    });
  }

  async next(count: number): Promise<string[]> {
    while (this.texts.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.texts.splice(0);
  }
}

describe.each([4, 5] as const)('MQTT.js with level %i', (version) => {
  const lasting: IClientOptions = {
    clean: false,
    ...(version === 5 ? { properties: { sessionExpiryInterval: 100 } } : {}),
  };

  it('publishes and receives with every QoS', async () => {
    const client = await connect(version);
    const messages = new Messages(client);
    await client.subscribeAsync({ [`every${version}/#`]: { qos: 2 } });
    for (const qos of [0, 1, 2] as const) {
      await client.publishAsync(`every${version}/x`, `m${qos}`, { qos });
    }
    expect(await messages.next(3)).toEqual([
      `every${version}/x m0 0`,
      `every${version}/x m1 1`,
      `every${version}/x m2 2`,
    ]);
    await client.unsubscribeAsync(`every${version}/#`);
    await client.endAsync();
  });

  it('gets last values, and messages that came while it was away', async () => {
    const topic = `away${version}`;
    const first = await connect(version, { ...lasting, clientId: topic });
    await first.subscribeAsync(topic, { qos: 1 });
    await first.endAsync();
    const sender = await connect(version);
    await sender.publishAsync(`${topic}/kept`, 'v', { qos: 1, retain: true });
    for (const body of ['1', '2', '3']) await sender.publishAsync(topic, body, { qos: 1 });
    const again = mqtt.connect(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, {
      ...{ ...lasting, clientId: topic, protocolVersion: version },
      ...{ username: 'alice', password: 'secret' },
    });
    clients.push(again);
    const messages = new Messages(again);
    const present = await new Promise((resolve) => {
      again.once('connect', ({ sessionPresent }) => resolve(sessionPresent));
    });
    expect(present).toBe(true);
    expect(await messages.next(3)).toEqual(['1', '2', '3'].map((body) => `${topic} ${body} 1`));
    await again.subscribeAsync(`${topic}/#`, { qos: 1 });
    expect(await messages.next(1)).toEqual([`${topic}/kept v 1 kept`]);
  });

  it('gets every QoS 2 message once, though its connection breaks again and again', async () => {
    const topic = `exact${version}`;
    const receiver = await connect(version, { ...lasting, clientId: `${topic}-r` });
    const sender = await connect(version, { ...lasting, clientId: `${topic}-s` });
    const messages = new Messages(receiver);
    await receiver.subscribeAsync(topic, { qos: 2 });
    const sent: Promise<unknown>[] = [];
    const expected: string[] = [];
    for (let i = 0; i < 200; i++) {
      expected.push(`${topic} ${i} 2`);
      sent.push(sender.publishAsync(topic, String(i), { qos: 2 }));
      if (i % 40 === 20) {
        await reconnected(receiver);
      }
      if (i % 40 === 35) {
        await reconnected(sender);
      }
    }
    await Promise.all(sent);
    const received = await messages.next(200);
    expect(new Set(received)).toEqual(new Set(expected));
    expect(received).toHaveLength(200);
  });

  it('has its will published when its connection breaks', async () => {
    const topic = `will${version}`;
    const watcher = await connect(version);
    const messages = new Messages(watcher);
    await watcher.subscribeAsync(topic, { qos: 1 });
    const will = { topic, payload: Buffer.from('gone'), qos: 1 as const, retain: false };
    const client = await connect(version, { will, reconnectPeriod: 0 });
    client.stream.destroy();
    expect(await messages.next(1)).toEqual([`${topic} gone 1`]);
  });

  it('shares work with others', async () => {
    const workers = await Promise.all([connect(version), connect(version)]);
    const inboxes = workers.map((worker) => new Messages(worker));
    for (const worker of workers)
      await worker.subscribeAsync(`$share/g/work${version}`, { qos: 1 });
    const sender = await connect(version);
    for (let i = 0; i < 10; i++) await sender.publishAsync(`work${version}`, String(i), { qos: 1 });
    const shares = await Promise.all(inboxes.map((inbox) => inbox.next(5)));
    expect(shares.flat()).toHaveLength(10);
  });

  it('carries large messages', async () => {
    const client = await connect(version);
    const body = Buffer.alloc(3_000_000, 'x');
    await client.subscribeAsync(`large${version}`, { qos: 1 });
    const received = message(client);
    await client.publishAsync(`large${version}`, body, { qos: 1 });
    expect(body.equals(Buffer.from((await received).payload))).toBe(true);
  });
});

describe('MQTT.js with level 5', () => {
  it('asks and answers with response topics', async () => {
    const [requester, responder] = await Promise.all([connect(5), connect(5)]);
    await responder.subscribeAsync('service', { qos: 1 });
    responder.on('message', (_, payload, packet) => {
      const { responseTopic = '', correlationData } = packet.properties ?? {};
      const properties = correlationData === undefined ? {} : { correlationData };
      responder.publish(responseTopic, `re: ${payload.toString()}`, { qos: 1, properties });
    });
    await requester.subscribeAsync('answers/1', { qos: 1 });
    const answered = message(requester);
    const properties = { responseTopic: 'answers/1', correlationData: Buffer.from('77') };
    await requester.publishAsync('service', 'hello', { qos: 1, properties });
    const { topic, payload, properties: said } = await answered;
    expect(`${topic} ${payload} ${said?.correlationData}`).toBe('answers/1 re: hello 77');
  });

  it('is told why it may not come in', async () => {
    await expect(connect(5, { password: 'wrong', reconnectPeriod: 0 })).rejects.toMatchObject({
      code: 0x86,
    });
  });

  it('works over WebSocket', async () => {
    const client = await mqtt.connectAsync(`ws://127.0.0.1:${gateway.port('http')}/mqtt`, {
      ...{ protocolVersion: 5, username: 'alice', password: 'secret' },
    });
    clients.push(client);
    const messages = new Messages(client);
    await client.subscribeAsync('ws', { qos: 2 });
    await client.publishAsync('ws', 'hello', { qos: 2 });
    expect(await messages.next(1)).toEqual(['ws hello 2']);
  });
});

const installed = spawnSync('mosquitto_pub', ['--version']).error === undefined;
if (!installed) console.warn('mosquitto-clients are not installed: their tests are skipped');

describe.skipIf(!installed)('mosquitto clients', () => {
  const login = ['-h', '127.0.0.1', '-u', 'alice', '-P', 'secret'];
  const at = () => [...login, '-p', String(gateway.port('mqtt'))];
  const run = promisify(execFile);

  it.each(['mqttv31', 'mqttv311', 'mqttv5'])('publish and subscribe with %s', async (version) => {
    const topic = `mosquitto/${version}`;
    const expiry = version === 'mqttv5' ? ['-x', '100'] : [];
    const options = [...at(), '-V', version, '-q', '2', '-t', topic];
    const subscriber = [...options, ...expiry, '-c', '-i', topic];
    // -E: leaves as soon as it has subscribed.
    await run('mosquitto_sub', [...subscriber, '-E']);
    await run('mosquitto_pub', [...options, '-m', 'one']);
    await run('mosquitto_pub', [...options, '-m', 'two', '-r']);
    const away = await run('mosquitto_sub', [...subscriber, '-v', '-C', '2', '-W', '10']);
    expect(away.stdout).toBe(`${topic} one\n${topic} two\n`);
    const kept = await run('mosquitto_sub', [...options, '-C', '1', '-W', '10']);
    expect(kept.stdout).toBe('two\n');
  });

  it('ask and get an answer', async () => {
    const responder = await connect(5);
    await responder.subscribeAsync('rr/service', { qos: 1 });
    responder.on('message', (_, payload, packet) => {
      const { responseTopic = '', correlationData } = packet.properties ?? {};
      const properties = correlationData === undefined ? {} : { correlationData };
      responder.publish(responseTopic, `re: ${payload.toString()}`, { qos: 1, properties });
    });
    const options = [
      '-V',
      'mqttv5',
      '-t',
      'rr/service',
      '-e',
      'rr/answer',
      '-m',
      'ping',
      '-q',
      '1',
    ];
    const { stdout } = await run('mosquitto_rr', [...at(), ...options, '-W', '10']);
    expect(stdout).toBe('re: ping\n');
  });
});
