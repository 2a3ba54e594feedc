/**
 * The same work with client libraries of other languages: publishing with confirms, prefetch, redelivery,
 * dead letters, headers of all types, returns, calls, and what they do when the gateway goes and comes back.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { PYTHON, run, works } from './commands.ts';
import { CuttableWay } from './cut.ts';

const SCRIPTS = new URL('./clients/', import.meta.url).pathname;
/** Compilers and virtual machines take their time. */
const WORK_MS = 180_000;

/** What every client says when all went well. */
const WORKED = {
  confirmed: 10,
  waiting: 7,
  redelivered: ['0', true],
  consumed: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
  buried: ['9', 'rejected', 'work', 1, ['job.9']],
  headers: true,
  properties: ['m-1', 4, '60000', 'kind'],
  returned: [312, 'NO_ROUTE', 'lost'],
  answers: [
    ['c-a', 'A'],
    ['c-b', 'B'],
    ['c-c', 'C'],
  ],
  missing: [404, "NOT_FOUND - no queue 'none' in vhost '/'"],
  recovered: 'after',
};

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'rosettamq-clients-'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

/** A gateway that another one follows at once, knowing nothing, when a message to `restart` asks for it. */
class Restarting {
  #gateway: Gateway | null = null;
  #way: CuttableWay | null = null;
  #restarted: Promise<void> = Promise.resolve();

  /** Answers the port, which stays the same. */
  async start(): Promise<number> {
    const gateway = await startGateway();
    this.#gateway = gateway;
    this.#way = new CuttableWay(gateway.port('amqp'));
    const connection = await connect(`amqp://guest:guest@127.0.0.1:${gateway.port('amqp')}`);
    connection.on('error', () => {});
    const channel = await connection.createChannel();
    await channel.assertQueue('restart');
    await channel.consume('restart', (message) => {
      if (message !== null) this.#restarted = this.#restart();
    });
    return this.#way.open();
  }

  async stop(): Promise<void> {
    await this.#restarted;
    this.#way?.close();
    await this.#gateway?.stop();
  }

  async #restart(): Promise<void> {
    await this.#gateway?.stop();
    this.#gateway = await startGateway();
    this.#way?.lead(this.#gateway.port('amqp'));
  }
}

async function work(command: string, ...args: string[]): Promise<unknown> {
  const gateway = new Restarting();
  const port = await gateway.start();
  try {
    const environment = { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: scratch };
    const printed = await run(command, [...args, String(port)], '', WORK_MS - 10_000, environment);
    return JSON.parse(printed.trim().split('\n').at(-1) ?? 'null');
  } finally {
    await gateway.stop();
  }
}

const JARS = ['amqp-client', 'slf4j-api', 'slf4j-nop'].map((name) => `/usr/share/java/${name}.jar`);
const GO_PACKAGE = '/usr/share/gocode/src/github.com/rabbitmq/amqp091-go';

const withBunny = test.skipIf(!works('ruby', '-e', "require 'bunny'"));
const withPhp = test.skipIf(!works('php', '-r', "require 'PhpAmqpLib/autoload.php';"));
const withGo = test.skipIf(!(works('go', 'version') && works('test', '-d', GO_PACKAGE)));
const withJava = test.skipIf(!(works('javac', '-version') && works('test', '-e', JARS[0] ?? '')));
const withAioPika = test.skipIf(!works(PYTHON, '-c', 'import aio_pika'));

withBunny(
  'Bunny (Ruby) does its work, and recovers what it declared',
  async () => {
    expect(await work('ruby', `${SCRIPTS}bunny_work.rb`)).toEqual(WORKED);
  },
  WORK_MS,
);

withPhp(
  'php-amqplib does its work, and connects again',
  async () => {
    const outcome = await work('php', `${SCRIPTS}php_amqplib_work.php`);
    expect(outcome).toEqual({ ...WORKED, closed: 320 });
  },
  WORK_MS,
);

withGo(
  'amqp091-go does its work, and connects again',
  async () => {
    const outcome = await work('go', 'run', `${SCRIPTS}amqp091_work.go`);
    expect(outcome).toEqual({ ...WORKED, closed: 320 });
  },
  WORK_MS,
);

withJava(
  "RabbitMQ's Java client does its work, and recovers what it declared",
  async () => {
    const outcome = await work('java', '-cp', JARS.join(':'), `${SCRIPTS}RabbitJavaWork.java`);
    expect(outcome).toEqual(WORKED);
  },
  WORK_MS,
);

withAioPika(
  'aio-pika does its work, and recovers what it declared',
  async () => {
    expect(await work(PYTHON, `${SCRIPTS}aio_pika_work.py`)).toEqual(WORKED);
  },
  WORK_MS,
);
