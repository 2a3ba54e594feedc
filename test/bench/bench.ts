/**
 * `npm run bench`: throughput from publish to consume, and the server's CPU time for each delivery.
 *
 *     npm run bench                                              ours, every protocol and scenario
 *     npm run bench -- --protocol mqtt --size 1024 --seconds 10
 *     npm run bench -- --protocol mqtt --port 1883 --pid 4711    a peer; without --pid no CPU time
 *
 * On a machine that does other things compare CPU time and ratios of one run, not rates.
 */
import { parseArgs } from 'node:util';
import { amqp } from './amqp.ts';
import { measure, type Result } from './load.ts';
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

/** A row of the table. */
function row(protocol: string, scenario: string, rate: string, cpu: string, memory: string): void {
  const columns = [protocol.padEnd(9), scenario.padEnd(11), rate.padStart(12)];
  process.stdout.write(`${[...columns, cpu.padStart(16), memory.padStart(9)].join('')}\n`);
}

function show(protocol: string, scenario: string, result: Result): void {
  const { rate, cpuMicros, memoryBytes } = result;
  row(
    protocol,
    scenario,
    Math.round(rate).toLocaleString('en'),
    cpuMicros?.toFixed(2) ?? '-',
    memoryBytes === null ? '-' : `${Math.round(memoryBytes / 2 ** 20)} MB`,
  );
}

async function run(protocol: BenchProtocol, scenario: Scenario): Promise<void> {
  const server = options.port === undefined ? await OwnServer.start([protocol.name]) : null;
  const pid = server?.pid ?? (options.pid === undefined ? null : Number(options.pid));
  const target: Target = {
    host: options.host,
    port: server?.port(protocol.name) ?? Number(options.port),
    user: options.user ?? (protocol.name === 'xmpp' ? 'alice' : 'guest'),
    password: options.password,
    consumer: options.consumer,
    domain: options.domain,
  };
  const [window, seconds] = [Number(options.window), Number(options.seconds)];
  const { shape } = scenario;
  try {
    show(
      protocol.name,
      scenario.name,
      await measure({ protocol, target, shape, window, seconds, pid }),
    );
  } finally {
    await server?.stop();
  }
}

row('protocol', 'scenario', 'messages/s', 'CPU µs/delivery', 'memory');
for (const protocol of PROTOCOLS) {
  if (options.protocol !== 'all' && options.protocol !== protocol.name) continue;
  for (const scenario of SCENARIOS) {
    if (options.scenario !== 'all' && options.scenario !== scenario.name) continue;
    if (scenario.fits(protocol)) await run(protocol, scenario);
  }
}
