/** Clients of other languages, as Debian ships them, at work in both dialects. */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';

const DIALECTS = ['rabbitmq', 'activemq'] as const;
const LIMIT_MS = 60_000;

const CLIENTS = [
  { name: 'Ruby stomp', package: 'ruby-stomp', command: 'ruby', probe: ['-e', "require 'stomp'"] },
  {
    name: 'Net::Stomp',
    package: 'libnet-stomp-perl',
    command: 'perl',
    probe: ['-MNet::Stomp', '-e1'],
  },
  {
    name: 'php-stomp',
    package: 'php-stomp',
    command: 'php',
    probe: ['-r', 'new ReflectionClass("Stomp");'],
  },
] as const;

const SCRIPTS = { ruby: 'work.rb', perl: 'work.pl', php: 'work.php' } as const;

const gateways = new Map<string, Gateway>();

beforeAll(async () => {
  for (const dialect of DIALECTS) {
    gateways.set(dialect, await startGateway({ stomp: { dialect } }));
  }
});
afterAll(async () => {
  for (const gateway of gateways.values()) await gateway.stop();
});

/** What a script printed last, or why it failed. */
function work(command: keyof typeof SCRIPTS, port: number, dialect: string): Promise<string> {
  const script = fileURLToPath(new URL(`clients/${SCRIPTS[command]}`, import.meta.url));
  return new Promise((resolve, reject) => {
    const child = spawn(command, [script, String(port), dialect]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data: Buffer) => {
        output += data.toString();
      });
    }
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(output.trim().split('\n').at(-1) ?? '');
      else reject(new Error(output));
    });
  });
}

describe.each(CLIENTS)('$name', ({ command, probe, package: shipped }) => {
  const installed = spawnSync(command, [...probe]).status === 0;
  if (!installed) console.warn(`SKIPPED: ${shipped} is not installed`);

  test.skipIf(!installed).each(DIALECTS)(
    'works in the dialect %s',
    async (dialect) => {
      const port = gateways.get(dialect)?.port('stomp') ?? 0;
      expect(await work(command, port, dialect)).toBe('done');
    },
    LIMIT_MS,
  );
});
