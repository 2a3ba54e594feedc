import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Harness } from './amqplib-harness.ts';
import { PYTHON, run, works } from './commands.ts';

const SCRIPTS = new URL('./python/', import.meta.url).pathname;
/** Python frameworks take their time to start. */
const WORK_MS = 110_000;

const harness = new Harness();
beforeAll(() => harness.start());
afterAll(() => harness.stop());

const withModule = (module: string) => test.skipIf(!works(PYTHON, '-c', `import ${module}`));

const outcome = (script: string, environment: NodeJS.ProcessEnv = {}): Promise<unknown> =>
  outcomeAt(harness.port, script, environment);

/** What a script printed in its last line. */
async function outcomeAt(
  port: number,
  script: string,
  environment: NodeJS.ProcessEnv = {},
  options: readonly string[] = [],
): Promise<unknown> {
  const args = [`${SCRIPTS}${script}`, String(port), ...options];
  const printed = await run(PYTHON, args, '', WORK_MS, environment);
  return JSON.parse(printed.trim().split('\n').at(-1) ?? 'null');
}

withModule('amqp')(
  'py-amqp publishes with confirms, consumes, and raises what goes wrong',
  async () => {
    expect(await outcome('py_amqp_work.py')).toEqual({
      got: ['hi', true, 4, 'a.b'],
      consumed: ['0', '1', '2', '3', '4'],
      returned: [[312, 'zzz']],
      not_found: "NOT_FOUND - no queue 'none' in vhost '/'",
      nacked: true,
      counts: [1, 0],
      refused: 403,
      amqplain: true,
    });
  },
  WORK_MS,
);

withModule('kombu')(
  'Kombu declares, broadcasts, queues simply and finds dead letters',
  async () => {
    expect(await outcome('kombu_work.py')).toEqual({
      spec_qos: false,
      got: [
        [{ n: [1, 2] }, 'application/json', 3],
        [{ z: 1 }, 'application/json', 0],
      ],
      simple: [{ x: 1 }, 0],
      broadcast: [
        ['one', 'all'],
        ['two', 'all'],
      ],
      dead: 'rejected',
      silent: true,
    });
  },
  WORK_MS,
);

withModule('celery')(
  'Celery runs tasks with results, retries, ETA, events, remote control and dead letters',
  async () => {
    const url = `amqp://guest:guest@127.0.0.1:${harness.port}//`;
    const env = { ...process.env, BROKER_URL: url, PYTHONDONTWRITEBYTECODE: '1' };
    const args = ['-m', 'celery', '-A', 'celery_tasks', 'worker', '-P', 'solo'];
    const worker = spawn(PYTHON, args, { cwd: SCRIPTS, env, stdio: 'ignore' });
    const ended = new Promise<number | null>((resolve) => worker.once('exit', resolve));
    try {
      expect(await outcome('celery_work.py', { BROKER_URL: url })).toEqual({
        ping: [{ ok: 'pong' }],
        add: 5,
        group: Array.from({ length: 20 }, (_, index) => 2 * index),
        chain: 10,
        retries: 2,
        eta: 2,
        eta_kept: true,
        failure: 'no',
        queues: ['celery'],
        scheduled: [true],
        revoked: true,
        limited: [{ ok: 'new rate limit set successfully' }],
        refused: ['celery_tasks.refuse', 'rejected', 3],
        events: ['task-failed', 'task-received', 'task-retried', 'task-started', 'task-succeeded'],
        purged: 0,
      });
      // It was told to shut down over AMQP.
      expect(await ended).toBe(0);
    } finally {
      worker.kill('SIGKILL');
    }
  },
  WORK_MS,
);

const OSLO_WORKED = {
  sums: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  user: 'u',
  error: 'boom',
  fanout: [
    ['one', 'all'],
    ['two', 'all'],
  ],
  cast: [['one', 'direct']],
  timeout: true,
  notes: [
    ['info', 'host', 'instance.create', { id: 7 }],
    ['error', { id: 8 }],
    ['error', { id: 8 }],
  ],
};

withModule('oslo_messaging')(
  'oslo.messaging calls, casts to one and to all, notifies and requeues',
  async () => {
    expect(await outcome('oslo_messaging_work.py')).toEqual(OSLO_WORKED);
  },
  WORK_MS,
);

withModule('oslo_messaging')(
  'oslo.messaging does so over quorum queues',
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'rosettamq-oslo-'));
    const file = join(directory, 'quorum.conf');
    writeFileSync(file, '[oslo_messaging_rabbit]\nrabbit_quorum_queue = true\n');
    const own = new Harness();
    await own.start();
    try {
      // Queues of the other kind are there under the same names.
      const option = ['--config-file', file];
      expect(await outcomeAt(own.port, 'oslo_messaging_work.py', {}, option)).toEqual(OSLO_WORKED);
    } finally {
      await own.stop();
      rmSync(directory, { recursive: true });
    }
  },
  WORK_MS,
);

withModule('aioamqp')('aioamqp greets with AMQP 0-9, publishes and consumes', async () => {
  expect(await outcome('aioamqp_work.py')).toEqual(['wanted', { kind: 'wanted' }, false]);
});

withModule('pika')("RabbitMQ's seven tutorials with pika", async () => {
  expect(await outcome('pika_tutorials.py')).toEqual([
    [['hello', 'Hello World!']],
    {
      busy: ['task 0'],
      quick: ['task 1', 'task 2', 'task 3', 'task 4'],
      left: [['task_queue', 'task 0']],
    },
    ['info: Hello', 'info: Hello'],
    [['error'], ['info', 'error', 'warning']],
    [4, 2, 2, 3],
    { 'fib-1': 1, 'fib-10': 55, 'fib-15': 610 },
    true,
  ]);
});
