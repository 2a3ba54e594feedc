/**
 * `npm run bench`: throughput from publish to consume, and the server's CPU time for each delivery.
 *
 *     npm run bench                                              ours, every protocol and scenario
 *     npm run bench -- --protocol mqtt --size 1024 --seconds 10
 *     npm run bench -- --protocol mqtt --port 1883 --pid 4711    a peer; without --pid no CPU time
 *     npm run bench -- --scenario transient --rate 10000         latency at a rate below the most
 *     npm run bench -- --scenario idle --connections 5000        memory of a silent connection
 *
 * On a machine that does other things compare CPU time and ratios of one run, not rates.
 */
import { parseArgs } from 'node:util';
import { amqp } from './amqp.ts';
import { measure, measureIdle, type Result } from './load.ts';
import { mqtt } from './mqtt.ts';
import type { BenchProtocol, Shape, Target } from './party.ts';
import { OwnServer } from './server.ts';
import { stomp } from './stomp.ts';
import { xmpp } from './xmpp.ts';

const PROTOCOLS: readonly BenchProtocol[] = [amqp, mqtt, stomp, xmpp];

const { values: options } = parseArgs({
  options: {
    protocol: { type: 'string', default: 'all' },
    scenario: { type: 'string', default: 'all' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string' },
    pid: { type: 'string' },
    size: { type: 'string', default: '128' },
    seconds: { type: 'string', default: '5' },
    window: { type: 'string', default: '4096' },
    consumers: { type: 'string', default: '10' },
    rate: { type: 'string', default: '0' },
    connections: { type: 'string', default: '2000' },
    user: { type: 'string' },
    password: { type: 'string', default: 'guest' },
    consumer: { type: 'string', default: 'bob' },
    domain: { type: 'string', default: 'localhost' },
  },
});

interface Scenario {
  readonly name: string;
  readonly shape: Shape;
  fits(protocol: BenchProtocol): boolean;
}

const size = Number(options.size);
const SCENARIOS: readonly Scenario[] = [
  {
    name: 'transient',
    shape: { size, confirmed: false, consumers: 1 },
    fits: () => true,
  },
  {
    name: 'confirmed',
    shape: { size, confirmed: true, consumers: 1 },
    fits: (protocol) => protocol.confirms,
  },
  {
    name: 'fan-out',
    shape: { size, confirmed: false, consumers: Number(options.consumers) },
    fits: (protocol) => protocol.name !== 'xmpp',
  },
];

/** Widths of the columns; the first two are text. */
const COLUMNS = [9, 11, 12, 17, 9, 9, 9];

function row(...cells: string[]): void {
  const line = cells.map((cell, column) => {
    const width = COLUMNS[column] ?? 0;
    return column < 2 ? cell.padEnd(width) : cell.padStart(width);
  });
  process.stdout.write(`${line.join('')}\n`);
}

function show(protocol: string, scenario: string, result: Result): void {
  const { rate, cpuMicros, memoryBytes, latency } = result;
  row(
    protocol,
    scenario,
    Math.round(rate).toLocaleString('en'),
    cpuMicros?.toFixed(2) ?? '-',
    memoryBytes === null ? '-' : `${Math.round(memoryBytes / 2 ** 20)} MB`,
    latency.p50.toFixed(2),
    latency.p99.toFixed(2),
  );
}

/** Runs `load` against the server that was asked for, or one of ours that lives as long as it. */
async function against(
  protocol: BenchProtocol,
  load: (target: Target, pid: number | null) => Promise<void>,
): Promise<void> {
  const server = options.port === undefined ? await OwnServer.start([protocol.name]) : null;
  const target: Target = {
    host: options.host,
    port: server?.port(protocol.name) ?? Number(options.port),
    user: options.user ?? (protocol.name === 'xmpp' ? 'alice' : 'guest'),
    password: options.password,
    consumer: options.consumer,
    domain: options.domain,
  };
  try {
    await load(target, server?.pid ?? (options.pid === undefined ? null : Number(options.pid)));
  } finally {
    await server?.stop();
  }
}

async function run(protocol: BenchProtocol, { name, shape }: Scenario): Promise<void> {
  const window = Number(options.window);
  const rate = Number(options.rate);
  const seconds = Number(options.seconds);
  await against(protocol, async (target, pid) => {
    show(
      protocol.name,
      name,
      await measure({ protocol, target, shape, window, rate, seconds, pid }),
    );
  });
}

async function runIdle(protocol: BenchProtocol): Promise<void> {
  await against(protocol, async (target, pid) => {
    if (pid === null) throw new Error('--scenario idle needs the --pid of the server');
    const bytes = await measureIdle(protocol, target, Number(options.connections), pid);
    row(protocol.name, 'idle', '-', '-', `${(bytes / 1024).toFixed(1)} KB`, '-', '-');
  });
}

row('protocol', 'scenario', 'messages/s', 'CPU µs/delivery', 'memory', 'p50 ms', 'p99 ms');
for (const protocol of PROTOCOLS) {
  if (options.protocol !== 'all' && options.protocol !== protocol.name) continue;
  for (const scenario of SCENARIOS) {
    if (options.scenario !== 'all' && options.scenario !== scenario.name) continue;
    if (scenario.fits(protocol)) await run(protocol, scenario);
  }
  if (options.scenario === 'all' || options.scenario === 'idle') await runIdle(protocol);
}
