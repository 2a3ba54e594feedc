import { spawn } from 'node:child_process';
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

/** What a script printed in its last line. */
async function outcome(script: string, environment: NodeJS.ProcessEnv = {}): Promise<unknown> {
  const args = [`${SCRIPTS}${script}`, String(harness.port)];
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
  'Celery runs tasks with results, retries, ETA, events and remote control',
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
        retries: 2,
        eta: 2,
        eta_kept: true,
        failure: 'no',
        queues: ['celery'],
        scheduled: [true],
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

withModule('oslo_messaging')(
  'oslo.messaging calls, casts to one and to all, notifies and requeues',
  async () => {
    expect(await outcome('oslo_messaging_work.py')).toEqual({
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
    });
  },
  WORK_MS,
);
