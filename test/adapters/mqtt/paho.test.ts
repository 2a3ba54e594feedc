import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';

const PYTHON = '/usr/bin/python3';
const SCRIPT = new URL('scenarios.py', import.meta.url).pathname;
const run = promisify(execFile);

const installed = spawnSync(PYTHON, ['-c', 'import paho.mqtt.client']).status === 0;
if (!installed) console.warn('python3-paho-mqtt is not installed: its tests are skipped');

let gateway: Gateway;

beforeAll(async () => {
  gateway = await startGateway();
});

afterAll(async () => {
  await gateway.stop();
});

async function play(scenario: string, level: 4 | 5): Promise<Record<string, unknown>> {
  const { stdout } = await run(PYTHON, [
    SCRIPT,
    scenario,
    String(gateway.port('mqtt')),
    String(level),
  ]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Those of sixty numbers that leave this remainder. */
function every(step: number, remainder: number): number[] {
  return numbers(60)
    .map(Number)
    .filter((i) => i % step === remainder);
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}

const PATIENCE = { timeout: 60_000, concurrent: true };

describe.skipIf(!installed).each([4, 5] as const)('paho with level %i', PATIENCE, (level) => {
  it('finds devices by their retained announcements, and hears when one is gone', async () => {
    expect(await play('discovery', level)).toEqual({
      known: { kitchen: [1, 'online'], garage: [1, 'online'] },
      state: [`dev${level}/kitchen/state`, '21.5', 0],
      gone: [`dev${level}/garage/availability`, 'offline', 0],
      removed: [`ha${level}/sensor/garage/config`, '', 0],
      left: `ha${level}/sensor/kitchen/config`,
      end: 'end',
    });
  });

  it('shares work in a group whose members come and go', async () => {
    const { seen, dead, afterwards } = await play('workers', level);
    expect({ seen, dead, afterwards }).toEqual({ seen: 40, dead: true, afterwards: [1] });
  });

  it('gets in order what came while it was away', async () => {
    expect(await play('offline', level)).toEqual({
      present: 1,
      bodies: { 1: every(3, 1), 2: every(3, 2) },
      end: 'end',
    });
  });

  it('gets QoS 2 messages once, though connections break', async () => {
    expect(await play('exactly_once', level)).toEqual({ bodies: numbers(60), end: 'end' });
  });
});

describe.skipIf(!installed)('paho with MQTT 5', PATIENCE, () => {
  it('asks and is answered where the broker suggests', async () => {
    expect(await play('rpc', 5)).toEqual({
      information: 'response/rpc-5-asker',
      results: { 0: 0, 1: 1, 2: 4, 3: 9, 4: 16 },
      trace: [
        ['trace', '1'],
        ['trace', '2'],
      ],
    });
  });
});
