/**
 * Client programs as Debian ships them: the mosquitto clients, pika, amqp-tools, stomp.py and slixmpp
 * exchange messages through a queue, each pair of protocols both ways. A program that is not installed
 * is said so, loudly.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Gateway } from '../../main.ts';
import { startGateway } from '../support/gateway.ts';

const run = promisify(execFile);
const PYTHON = '/usr/bin/python3';
const SCRIPTS = new URL('python/', import.meta.url).pathname;
const BODY = 'a message from python: größe';

interface Received {
  readonly body: string;
  readonly contentType: string;
  readonly correlationId: string;
  readonly colour: string;
}

/** What every message says, whoever sends it. */
const SAID: Received = {
  body: BODY,
  contentType: 'text/plain',
  correlationId: 'python-1',
  colour: 'red',
};

interface Program {
  readonly name: string;
  /** Null where it is installed. */
  readonly missing: string | null;
  send(queue: string): Promise<void>;
  receive(queue: string): Promise<Received>;
}

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

async function works(file: string, args: readonly string[]): Promise<boolean> {
  return run(file, args).then(
    () => true,
    // The clients answer to --help with an exit code of their own.
    (error: { readonly code?: unknown }) => error.code !== 'ENOENT' && file !== PYTHON,
  );
}

async function installed(
  name: string,
  file: string,
  args: readonly string[],
): Promise<string | null> {
  if (await works(file, args)) return null;
  console.warn(`SKIPPED: ${name} is not installed (apt-get install it to run its tests)`);
  return `${name} is not installed`;
}

function python(name: string, module: string, protocol: string, missing: string | null): Program {
  const script = (action: string, queue: string): Promise<{ stdout: string }> =>
    run(PYTHON, [`${SCRIPTS}${module}_client.py`, action, String(gateway.port(protocol)), queue]);
  return {
    name,
    missing,
    send: async (queue) => void (await script('send', queue)),
    receive: async (queue) => JSON.parse((await script('receive', queue)).stdout) as Received,
  };
}

const LOGIN = ['-u', 'guest', '-P', 'guest', '-V', '5', '-q', '1'];

function mosquitto(missing: string | null): Program {
  const where = (queue: string): string[] => [
    ...['-h', '127.0.0.1', '-p', String(gateway.port('mqtt'))],
    ...[...LOGIN, '-t', `$queue/${queue}`],
  ];
  const property = (name: string, ...value: string[]): string[] => [
    '-D',
    'publish',
    name,
    ...value,
  ];
  return {
    name: 'MQTT (mosquitto_pub, mosquitto_sub)',
    missing,
    send: async (queue) => {
      const properties = [
        ...property('content-type', SAID.contentType),
        ...property('correlation-data', SAID.correlationId),
        ...property('user-property', 'colour', SAID.colour),
      ];
      await run('mosquitto_pub', [...where(queue), '-m', BODY, ...properties]);
    },
    receive: async (queue) => {
      const format = '%C\n%D\n%P\n%p';
      const { stdout } = await run('mosquitto_sub', [...where(queue), '-C', '1', '-F', format]);
      const [contentType = '', correlationId = '', user = '', body = ''] = stdout.split('\n');
      const colour = /colour:(\w+)/.exec(user)?.[1] ?? '';
      return { body, contentType, correlationId, colour };
    },
  };
}

const PROGRAMS: readonly Program[] = [
  python(
    'AMQP (pika)',
    'pika',
    'amqp',
    await installed('python3-pika', PYTHON, ['-c', 'import pika']),
  ),
  mosquitto(await installed('mosquitto-clients', 'mosquitto_sub', ['--help'])),
  python(
    'STOMP (stomp.py)',
    'stomp',
    'stomp',
    await installed('python3-stomp', PYTHON, ['-c', 'import stomp']),
  ),
  python(
    'XMPP (slixmpp)',
    'slixmpp',
    'xmpp',
    await installed('python3-slixmpp', PYTHON, ['-c', 'import slixmpp']),
  ),
];
const noAmqpTools = await installed('amqp-tools', 'amqp-publish', ['--help']);

/** Where a sender does not declare the queue itself. */
async function declare(queue: string): Promise<void> {
  const connection = await connect(`amqp://guest:guest@127.0.0.1:${gateway.port('amqp')}`);
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: true });
  await connection.close();
}

for (const from of PROGRAMS) {
  describe(`what ${from.name} sends`, () => {
    for (const to of PROGRAMS) {
      const missing = from.missing ?? to.missing;
      it.skipIf(missing !== null)(`is received whole by ${to.name}`, async () => {
        const queue = `debian-${PROGRAMS.indexOf(from)}-${PROGRAMS.indexOf(to)}`;
        await declare(queue);
        await from.send(queue);
        expect(await to.receive(queue)).toEqual(SAID);
      });
    }
  });
}

describe.skipIf(noAmqpTools !== null)('amqp-tools', () => {
  const url = (): string => `amqp://guest:guest@127.0.0.1:${gateway.port('amqp')}`;

  it.each(PROGRAMS)('amqp-publish reaches $name', async ({ receive, missing }) => {
    if (missing !== null) return console.warn(`SKIPPED: ${missing}`);
    const queue = `tools-${PROGRAMS.findIndex((program) => program.receive === receive)}`;
    await declare(queue);
    await run('amqp-publish', ['-u', url(), '-r', queue, '-C', 'text/plain', '-p', '-b', BODY]);
    expect(await receive(queue)).toMatchObject({ body: BODY, contentType: 'text/plain' });
  });

  it.each(PROGRAMS)('amqp-get takes what $name sent', async ({ send, missing }) => {
    if (missing !== null) return console.warn(`SKIPPED: ${missing}`);
    const queue = `tools-from-${PROGRAMS.findIndex((program) => program.send === send)}`;
    await declare(queue);
    await send(queue);
    const { stdout } = await run('amqp-get', ['-u', url(), '-q', queue]);
    expect(stdout).toBe(BODY);
  });
});
