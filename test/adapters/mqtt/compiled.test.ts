/** Clients of other languages, as Debian ships them: compiled here, doing what MQTT is used for. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { QOS2_CUTS, startCuttingProxy } from './cutting-proxy.ts';

const run = promisify(execFile);
const SOURCES = new URL('clients/', import.meta.url).pathname;
const GOPATH = '/usr/share/gocode';
const directory = mkdtempSync(join(tmpdir(), 'rosettamq-compiled-'));

let gateway: Gateway;

beforeAll(async () => {
  gateway = await startGateway();
});

afterAll(async () => {
  await gateway.stop();
  rmSync(directory, { recursive: true, force: true });
});

interface Language {
  readonly name: string;
  /** What must be installed. */
  readonly package: string;
  readonly installed: boolean;
  compile(program: string): Promise<unknown>;
}

const LANGUAGES: readonly Language[] = [
  {
    name: 'paho for Go',
    package: 'golang-github-eclipse-paho.mqtt.golang-dev',
    installed:
      existsSync(`${GOPATH}/src/github.com/eclipse/paho.mqtt.golang`) &&
      spawnSync('go', ['version']).status === 0,
    compile: (program) =>
      run('go', ['build', '-o', program, join(SOURCES, 'paho.go')], {
        env: { ...process.env, GO111MODULE: 'off', GOPATH, GOCACHE: join(directory, 'cache') },
      }),
  },
  {
    name: 'paho for C',
    package: 'libpaho-mqtt-dev',
    installed:
      existsSync('/usr/include/MQTTClient.h') && spawnSync('gcc', ['--version']).status === 0,
    compile: (program) =>
      run('gcc', ['-Wall', '-Werror', '-o', program, join(SOURCES, 'paho.c'), '-lpaho-mqtt3c']),
  },
];

for (const language of LANGUAGES.filter(({ installed }) => !installed)) {
  console.warn(`${language.package} is not installed: its tests are skipped`);
}

const PATIENCE = 120_000;

describe.each(LANGUAGES)('$name', ({ name, installed, compile }) => {
  const program = join(directory, name.replaceAll(' ', '-'));

  async function play(scenario: string, port: number = gateway.port('mqtt')): Promise<unknown> {
    const { stdout } = await run(program, [scenario, `127.0.0.1:${port}`], { timeout: PATIENCE });
    return JSON.parse(stdout);
  }

  beforeAll(async () => {
    if (installed) await compile(program);
  }, PATIENCE);

  it.skipIf(!installed)(
    'finds devices by their retained announcements',
    async () => {
      const of = name.endsWith('Go') ? 'go' : 'c';
      expect(await play('discovery')).toEqual({
        [`${of}-ha/sensor/kitchen/config`]: '{"name":"kitchen"}',
        [`${of}-ha/sensor/garage/config`]: '{"name":"garage"}',
        [`${of}/kitchen/availability`]: 'online',
        [`${of}/garage/availability`]: 'online',
      });
    },
    PATIENCE,
  );

  it.skipIf(!installed)(
    'shares jobs in a group',
    async () => {
      expect(await play('workers')).toEqual({ jobs: 30, workers: 3 });
    },
    PATIENCE,
  );

  // Debian's Go client crashes now and then when it connects again.
  const cuts = name.endsWith('Go') ? [] : QOS2_CUTS;

  it.skipIf(!installed)(
    `gets QoS 2 once, its connection cut ${cuts.length} times`,
    async () => {
      const proxy = await startCuttingProxy(gateway.port('mqtt'), cuts);
      try {
        expect(await play('once', proxy.port)).toEqual({ different: 40, more: 0 });
        expect([...proxy.left]).toEqual([]);
      } finally {
        proxy.close();
      }
    },
    PATIENCE,
  );
});

describe('paho for C', () => {
  const language = LANGUAGES[1];
  const program = join(directory, 'paho-for-C');

  it.skipIf(language?.installed !== true)(
    'asks, answers, and finds what came meanwhile',
    async () => {
      const play = async (scenario: string): Promise<unknown> => {
        const { stdout } = await run(program, [scenario, `127.0.0.1:${gateway.port('mqtt')}`]);
        return JSON.parse(stdout);
      };
      expect(await play('rpc')).toEqual({ answers: [0, 1, 4, 9, 16], correlated: 5, trace: '1,2' });
      expect(await play('offline')).toEqual({ bodies: '1 2 3', gone: 'lost' });
    },
    PATIENCE,
  );
});
