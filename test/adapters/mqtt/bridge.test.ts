/** Bridges of other brokers, which set the highest bit of the protocol level. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { freePort, listening } from '../../support/free-port.ts';
import { startGateway } from '../../support/gateway.ts';
import { TestGateway } from './client.ts';

describe.each([3, 4] as const)('a bridge of MQTT level %i', (version) => {
  it('does not get its own messages, and sees which are retained', () => {
    const gateway = new TestGateway();
    const bridge = gateway.connect('b', version, { bridgeMode: true } as object);
    expect(bridge.subscribe('t/#', 1)).toEqual([1]);
    expect(bridge.subscribe('$share/g/t/#', 1)).toEqual([1]);
    bridge.unsubscribe('$share/g/t/#');
    bridge.publish('t/a', 'mine', 1);
    bridge.one('puback');
    gateway.connect('c').publish('t/b', 'kept', 1, { retain: true });
    expect(bridge.messages()).toMatchObject([{ topic: 't/b', retain: true }]);
  });
});

const installed = spawnSync('mosquitto', ['-h']).error === undefined;
if (!installed) console.warn('mosquitto is not installed: its bridge is not tested');

describe.skipIf(!installed)("Mosquitto's bridge", () => {
  const directory = mkdtempSync(join(tmpdir(), 'rosettamq-bridge-'));
  let gateway: Gateway;
  let broker: ChildProcess | null = null;

  beforeAll(async () => {
    gateway = await startGateway();
  });

  afterAll(async () => {
    broker?.kill();
    await gateway.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it.each(['mqttv311', 'mqttv50'])('carries messages both ways, each once: %s', async (version) => {
    const config = join(directory, 'mosquitto.conf');
    const port = await freePort();
    const lines = [
      `listener ${port} 127.0.0.1`,
      'allow_anonymous true',
      'connection gateway',
      `address 127.0.0.1:${gateway.port('mqtt')}`,
      'remote_username alice',
      'remote_password secret',
      `remote_clientid bridge-${version}`,
      `bridge_protocol_version ${version}`,
      'notifications false',
      'topic # both 1',
    ];
    writeFileSync(config, lines.join('\n'));
    broker = spawn('mosquitto', ['-c', config], { stdio: 'ignore' });
    await listening(port);
    const there = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 100 });
    const login = { username: 'alice', password: 'secret' };
    const here = await mqtt.connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, login);
    const seen: string[] = [];
    for (const [name, client] of [
      ['there', there],
      ['here', here],
    ] as const) {
      client.on('message', (topic, payload) => seen.push(`${name} ${topic} ${payload}`));
      await client.subscribeAsync('#', { qos: 1 });
    }
    // The bridge is up once what it carries arrives.
    await expect
      .poll(async () => {
        await there.publishAsync('ready', '');
        return seen.some((line) => line.startsWith('here ready'));
      })
      .toBe(true);
    await there.publishAsync('from/mosquitto', '1', { qos: 1 });
    await here.publishAsync('from/gateway', '2', { qos: 1 });
    await expect.poll(() => seen.filter((line) => line.includes('from/')).length).toBe(4);
    // Whatever would go round is there before what is sent last.
    await there.publishAsync('last', '', { qos: 1 });
    await expect.poll(() => seen.some((line) => line.startsWith('here last'))).toBe(true);
    expect(seen.filter((line) => line.includes('from/')).sort()).toEqual([
      'here from/gateway 2',
      'here from/mosquitto 1',
      'there from/gateway 2',
      'there from/mosquitto 1',
    ]);
    await Promise.all([there.endAsync(), here.endAsync()]);
    broker.kill();
  });
});
