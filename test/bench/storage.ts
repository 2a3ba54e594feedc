/**
 * The durable store under load: a backlog of persistent messages, filled with confirms, closed or
 * killed, opened again and drained in order; the same with messages that wait for their time; then
 * last values by the million, and what finding some of them takes; then many queues and bindings.
 *
 *     npm run build && node dist/test/bench/storage.js                     1,000,000 of 128 bytes
 *     node dist/test/bench/storage.js --messages 100000 --size 1024
 *     node dist/test/bench/storage.js --queues 10000 --bindings 100000 --messages 0
 *     … --messages 20000000 --delayed 0 --retained 0 --queues 0            minutes, and 5 GB of disk
 *
 * Every step is a process of its own, so that memory is that of the step alone.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PermissionAuthorizer } from '../../core/auth.ts';
import { type Clock, SystemClock } from '../../core/clock.ts';
import { EmbeddedEngine } from '../../core/embedded/engine.ts';
import { Credit, type Delivery, Outcome, type Publisher, type Session } from '../../core/engine.ts';
import { DEFAULT_LIMITS } from '../../core/limits.ts';
import { createLog } from '../../core/log.ts';
import type { Format } from '../../core/message.ts';
import { Meter } from '../../core/meter.ts';
import { SystemRandom } from '../../core/random.ts';
import { Registry } from '../../core/registry.ts';
import { LmdbStore } from '../../core/store/lmdb.ts';
import { UserDirectory } from '../../core/users.ts';
import { type MessageParts, message, PLAIN_FORMAT } from '../support/messages.ts';
import { consumeSpec } from '../support/recorder.ts';
import { PEER } from '../support/world.ts';

const { values: options } = parseArgs({
  options: {
    directory: { type: 'string', default: '' },
    step: { type: 'string', default: 'all' },
    messages: { type: 'string', default: '1000000' },
    size: { type: 'string', default: '128' },
    window: { type: 'string', default: '4096' },
    credit: { type: 'string', default: '1000' },
    queues: { type: 'string', default: '10000' },
    bindings: { type: 'string', default: '100000' },
    delayed: { type: 'string', default: '1000000' },
    retained: { type: 'string', default: '1000000' },
  },
});

const MESSAGES = Number(options.messages);
const DELAYED = Number(options.delayed);
const RETAINED = Number(options.retained);
const DELAY_MS = 86_400_000;
const WINDOW = Number(options.window);
const QUEUE = 'backlog';
const ALL = { configure: '.*', write: '.*', read: '.*' };

interface Running {
  readonly engine: EmbeddedEngine;
  readonly session: Session;
  readonly startMs: number;
}

/** What a step tells the process that started it. */
type Report = Readonly<Record<string, string | number>>;

/** Starts a gateway whose clock is `aheadMs` ahead. */
async function start(aheadMs: number = 0): Promise<Running> {
  const [random, log] = [new SystemRandom(), createLog('warn')];
  const system = new SystemClock();
  const clock: Clock = {
    now: () => system.now() + aheadMs,
    after: (delayMs, callback) => system.after(delayMs, callback),
    soon: (callback) => system.soon(callback),
  };
  const limits = { ...DEFAULT_LIMITS, memoryHighBytes: 2 ** 30 };
  const store = new LmdbStore({
    directory: options.directory,
    clock,
    log,
    formats: new Registry<Format>('format', [PLAIN_FORMAT]),
    segmentBytes: limits.storeSegmentBytes,
    checkpointBytes: limits.storeCheckpointBytes,
    indexBytesMax: limits.storeIndexBytesMax,
  });
  const authorizer = new PermissionAuthorizer();
  const shared = { clock, random, log, limits, authorizer, store };
  const engine = new EmbeddedEngine({ ...shared, meter: new Meter(), vhosts: ['/'] });
  await engine.start();
  const user = { name: 'guest', password: 'guest', tags: [], permissions: { '/': ALL } };
  const users = new UserDirectory([user], []);
  const principal = users.authenticate({ kind: 'trusted', user: 'guest' }, PEER);
  if (typeof principal === 'string' || principal instanceof Promise) throw new Error('no user');
  return { engine, session: engine.open('/', principal), startMs: performance.now() };
}

/** The most memory that the process had while it is asked now and then. */
class Peak {
  #all = 0;
  #own = 0;
  #looks = 0;
  #longestMs = 0;
  #at = performance.now();
  readonly #timer = setInterval(() => this.#look(), 10);

  stop(): Report {
    this.#look();
    clearInterval(this.#timer);
    return { peakMb: `${this.#own} of ${this.#all}`, longestTurnMs: Math.round(this.#longestMs) };
  }

  #look(): void {
    this.#looks++;
    // It costs too much to be asked each time.
    if (this.#looks % 10 === 1) {
      const [own, all] = resident();
      this.#own = Math.max(this.#own, own);
      this.#all = Math.max(this.#all, all);
    }
    const now = performance.now();
    this.#longestMs = Math.max(this.#longestMs, now - this.#at - 10);
    this.#at = now;
  }
}

function spec(name: string): Parameters<Session['declareQueue']>[0] {
  return { name, durable: true, exclusive: false, autoDelete: false, arguments: new Map() };
}

function bodyOf(n: number): string {
  return String(n).padStart(Number(options.size), '0');
}

/** Keeps a window of unconfirmed messages full until all are confirmed. */
function publishAll(
  session: Session,
  count: number,
  partsOf: (n: number) => MessageParts,
): Promise<void> {
  return new Promise((resolve) => {
    let [next, confirmed, open] = [0, 0, true];
    const pump = (): void => {
      while (open && next < count && next - confirmed < WINDOW) {
        const parts = { key: QUEUE, body: bodyOf(next), durable: true, ...partsOf(next) };
        const each = message(parts);
        next++;
        open = publisher.publish(each, next, false);
      }
    };
    const publisher: Publisher = session.publisher({
      settled: () => {
        confirmed++;
        if (confirmed === count) resolve();
        // The next half window in one turn, as a socket's read would bring it.
        else if (next - confirmed <= WINDOW / 2) pump();
      },
      returned: () => {},
      writable: () => {
        open = true;
        pump();
      },
    });
    pump();
  });
}

async function fill(): Promise<Report> {
  const { session } = await start();
  void session.declareQueue(spec(QUEUE), false);
  const peak = new Peak();
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  await publishAll(session, MESSAGES, () => ({}));
  return { ...rates(begun, cpu, MESSAGES), ...peak.stop() };
}

/** Messages for tomorrow. */
async function delay(): Promise<Report> {
  const { session } = await start();
  const peak = new Peak();
  const type = new Map([['x-delayed-type', 'fanout']]);
  const late = { name: 'late', type: 'x-delayed-message', durable: true, arguments: type };
  void session.declareExchange({ ...late, autoDelete: false, internal: false }, false);
  void session.declareQueue(spec(QUEUE), false);
  const binding = { source: 'late', destination: QUEUE, toExchange: false, routingKey: '' };
  void session.bind({ ...binding, arguments: new Map() });
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  const headers = { 'x-delay': String(DELAY_MS) };
  await publishAll(session, DELAYED, () => ({ exchange: 'late', headers }));
  return { ...rates(begun, cpu, DELAYED), ...peak.stop() };
}

/** Tomorrow. */
function due(): Promise<Report> {
  return drained(DELAYED, 2 * DELAY_MS);
}

function rates(begun: number, before: NodeJS.CpuUsage, count: number): Report {
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(before);
  return {
    seconds: seconds.toFixed(2),
    rate: Math.round(count / seconds),
    cpuMicros: ((user + system) / count).toFixed(2),
  };
}

/** One value in a thousand is an alarm, and a thousand are at each site. */
function valueKey(n: number): string {
  const leaf = n % 1000 === Math.floor(n / 1000) ? 'alarm' : 'temperature';
  return `site${n % 1000}.room${n}.${leaf}`;
}

async function retain(): Promise<Report> {
  const { session } = await start();
  const peak = new Peak();
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  const exchange = 'amq.topic';
  await publishAll(session, RETAINED, (n) => ({ exchange, key: valueKey(n), retain: true }));
  return { ...rates(begun, cpu, RETAINED), ...peak.stop() };
}

/** What the process computed since `before`, or in all. */
function cpuMs(before?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return Math.round((user + system) / 1000);
}

/** What the first questions for last values cost, and the same ones again. */
async function values(): Promise<Report> {
  const { session, startMs } = await start();
  const readyCpuMs = cpuMs();
  const startMb = residentMb();
  const ask = (pattern: string): string => {
    const [begun, cpu] = [performance.now(), process.cpuUsage()];
    const { length } = session.retained('amq.topic', pattern) as readonly unknown[];
    const ms = (performance.now() - begun).toFixed(2);
    return `${ms} ms (CPU ${cpuMs(cpu)}) for ${length}`;
  };
  const readyMs = Math.round(startMs);
  const report: Record<string, string | number> = { readyMs, readyCpuMs, startMb };
  for (const pattern of [valueKey(77), valueKey(78), 'site7.#', 'site7.#', '*.*.alarm']) {
    report[Object.hasOwn(report, pattern) ? `${pattern} again` : pattern] = ask(pattern);
  }
  return { ...report, endMb: residentMb() };
}

/** The process's own memory, and with it what of the store's file the system has mapped, in MiB. */
function resident(): readonly [own: number, all: number] {
  const status = readFileSync('/proc/self/status', 'utf8');
  const mib = (name: string): number => {
    const [, kib] = new RegExp(`${name}:\\s+(\\d+)`).exec(status) ?? [];
    return Math.round(Number(kib) / 1024);
  };
  return [mib('RssAnon'), mib('VmRSS')];
}

function residentMb(): string {
  return resident().join(' of ');
}

async function reopen(): Promise<Report> {
  const { engine, startMs } = await start();
  const { ready, queues, bindings } = engine.admin.totals();
  const mb = residentMb();
  const stateMb = Math.round(statSync(join(options.directory, 'state.mdb')).size / 2 ** 20);
  return { readyMs: Math.round(startMs), mb, stateMb, ready, queues, bindings };
}

function drain(): Promise<Report> {
  return drained(MESSAGES, 0);
}

/** Consumes so many messages, as they are `aheadMs` from now. */
async function drained(count: number, aheadMs: number): Promise<Report> {
  const { engine, session } = await start(aheadMs);
  const peak = new Peak();
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  let [next, wrong] = [0, 0];
  await new Promise<void>((resolve) => {
    const due: Delivery[] = [];
    const consumer = {
      deliver: (delivery: Delivery) => {
        if (Number(delivery.message.body.toString()) !== next) wrong++;
        next++;
        if (due.push(delivery) === 1) setImmediate(settle);
      },
      cancelled: () => {},
    };
    const settle = (): void => {
      for (const delivery of due.splice(0)) delivery.settle(Outcome.ACCEPT);
      if (next === count) resolve();
    };
    const credits = [new Credit(Number(options.credit))];
    void session.consume(consumeSpec(QUEUE, { credits }), consumer);
  });
  const report = { ...rates(begun, cpu, count), ...peak.stop(), outOfOrder: wrong };
  await engine.stop();
  const journal = join(options.directory, 'journal');
  const bytes = readdirSync(journal).map((name) => statSync(join(journal, name)).size);
  return { ...report, journalMb: Math.round(bytes.reduce((sum, size) => sum + size, 0) / 2 ** 20) };
}

async function define(): Promise<Report> {
  const { engine, session } = await start();
  const [queues, bindings] = [Number(options.queues), Number(options.bindings)];
  const begun = performance.now();
  for (let n = 0; n < queues; n++) void session.declareQueue(spec(`queue-${n}`), false);
  for (let n = 0; n < bindings; n++) {
    void session.bind({
      source: 'amq.topic',
      destination: `queue-${n % queues}`,
      toExchange: false,
      routingKey: `device.${n}.*`,
      arguments: new Map(),
    });
  }
  const declareMs = Math.round(performance.now() - begun);
  await engine.stop();
  return { declareMs, mb: residentMb() };
}

/** Stops in good order instead of being killed. */
async function close(): Promise<Report> {
  const { engine } = await start();
  const begun = performance.now();
  await engine.stop();
  return { closeMs: Math.round(performance.now() - begun) };
}

const STEPS: Readonly<Record<string, () => Promise<Report>>> = {
  fill,
  reopen,
  close,
  drain,
  delay,
  due,
  retain,
  values,
  define,
};

/** Runs a step in a process of its own, which is killed when it has reported. */
async function child(step: string, directory: string): Promise<void> {
  const script = fileURLToPath(import.meta.url);
  const args = ['--step', step, '--directory', directory, ...process.argv.slice(2)];
  const process_ = fork(script, args, { execArgv: process.execArgv });
  const [report] = (await once(process_, 'message')) as [Report];
  process_.kill('SIGKILL');
  await once(process_, 'exit');
  const cells = Object.entries(report).map(([name, value]) => `${name} ${value}`);
  process.stdout.write(`${step.padEnd(8)}${cells.join('   ')}\n`);
}

async function run(steps: readonly string[]): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'rosettamq-bench-'));
  try {
    for (const step of steps) await child(step, directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const step = STEPS[options.step];
if (step !== undefined) {
  process.send?.(await step());
  if (process.send === undefined) process.stdout.write('run without --step\n');
} else {
  // Killed after filling: the journal is replayed. Closed: the checkpoint has it all.
  if (MESSAGES > 0) await run(['fill', 'reopen', 'close', 'reopen', 'drain', 'reopen']);
  if (DELAYED > 0) await run(['delay', 'reopen', 'close', 'reopen', 'due']);
  if (RETAINED > 0) await run(['retain', 'values', 'close', 'values']);
  if (Number(options.queues) > 0) await run(['define', 'reopen', 'close', 'reopen']);
}
