/**
 * `npm run bench`: throughput from publish to consume, and the server's CPU time for each delivery.
 *
 *     npm run bench                                     ours, the usual scenarios
 *     npm run bench -- --protocol mqtt                  all scenarios that publish with MQTT
 *     npm run bench -- --protocol amqp --scenario confirmed --seconds 10
 *     npm run bench -- --protocol mqtt --peer-port 1883 --peer-pid 4711
 *                                                       a peer, in turns with ours; ratios
 *     npm run bench -- --scenario to-amqp --peer-port mqtt=1883,amqp=5672 --peer-pid 4711
 *     … --latency                                       and both at half the peer's rate
 *     npm run bench -- --scenario idle                  memory of a silent connection
 *
 * On a machine that does other things compare CPU time and ratios of one run, not rates.
 */
import { parseArgs } from 'node:util';
import { type End, measure, measureIdle, type Percentiles, type Result } from './load.ts';
import type { BenchProtocol } from './party.ts';
import { PROTOCOLS, SCENARIOS, type Scenario, USUAL_SIZE } from './scenario.ts';
import { OwnServer } from './server.ts';

const { values: options } = parseArgs({
  options: {
    protocol: { type: 'string', default: 'all' },
    scenario: { type: 'string', default: 'all' },
    'peer-port': { type: 'string' },
    'peer-pid': { type: 'string' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    window: { type: 'string' },
    latency: { type: 'boolean', default: false },
    connections: { type: 'string', default: '2000' },
    user: { type: 'string' },
    password: { type: 'string', default: 'guest' },
    consumer: { type: 'string', default: 'bob' },
    domain: { type: 'string', default: 'localhost' },
  },
});

const HOST = '127.0.0.1';
/** Widths of the columns; the first two are text. */
const COLUMNS = [9, 24, 12, 12, 9, 10, 10, 15, 10];
const HEADINGS = [
  'from',
  'scenario',
  'messages/s',
  'CPU µs',
  'memory',
  'p50 ms',
  'p99 ms',
  'confirm p50',
  'p99 ms',
];

/** A server under load. */
interface Server {
  readonly pid: number | null;
  end(protocol: BenchProtocol): End;
}

function row(...cells: readonly string[]): void {
  const line = cells.map((cell, column) => {
    const width = COLUMNS[column] ?? 0;
    return column < 2 ? cell.padEnd(width) : cell.padStart(width);
  });
  process.stdout.write(`${line.join('').trimEnd()}\n`);
}

function show(label: string, scenario: string, result: Result): void {
  const { rate, cpuMicros, memoryBytes, latency, confirm } = result;
  row(
    label,
    scenario,
    Math.round(rate).toLocaleString('en'),
    cpuMicros?.toFixed(2) ?? '-',
    memoryBytes === null ? '-' : `${Math.round(memoryBytes / 2 ** 20)} MB`,
    latency.p50.toFixed(2),
    latency.p99.toFixed(2),
    confirm?.p50.toFixed(2) ?? '-',
    confirm?.p99.toFixed(2) ?? '-',
  );
}

function endAt(protocol: BenchProtocol, port: number): End {
  const target = {
    host: HOST,
    port,
    user: options.user ?? (protocol.name === 'xmpp' ? 'alice' : 'guest'),
    password: options.password,
    consumer: options.consumer,
    domain: options.domain,
  };
  return { protocol, target };
}

/** The peer, where there is one: `--peer-port` is one port, or `protocol=port,…`. */
function peer(): Server | null {
  const given = options['peer-port'];
  if (given === undefined) return null;
  const ports = new Map(
    given.split(',').map((part) => {
      const [first = '', second] = part.split('=');
      return second === undefined ? ['', Number(first)] : [first, Number(second)];
    }),
  );
  const pid = options['peer-pid'];
  return {
    pid: pid === undefined ? null : Number(pid),
    end(protocol) {
      const port = ports.get(protocol.name) ?? ports.get('');
      if (port === undefined) throw new Error(`--peer-port has no port for ${protocol.name}`);
      return endAt(protocol, port);
    },
  };
}

/** Starts one of ours for as long as `use` takes. */
async function withOurs(use: (ours: Server) => Promise<void>): Promise<void> {
  const server = await OwnServer.start(PROTOCOLS.map(({ name }) => name));
  try {
    await use({
      pid: server.pid,
      end: (protocol) => endAt(protocol, server.port(protocol.name)),
    });
  } finally {
    await server.stop();
  }
}

function load(scenario: Scenario, server: Server, rate: number): Promise<Result> {
  return measure({
    from: server.end(scenario.from),
    to: server.end(scenario.to),
    shape: scenario.shape,
    window: Number(options.window ?? scenario.window),
    rate,
    seconds: Number(options.seconds),
    pid: server.pid,
  });
}

/** In turns, so that what else the machine does meets both. */
async function compare(scenario: Scenario, ours: Server, other: Server): Promise<void> {
  const name = nameOf(scenario);
  const rounds = async (suffix: string, rate: number): Promise<Result> => {
    const own: Result[] = [];
    const others: Result[] = [];
    for (let round = 0; round < Number(options.rounds); round++) {
      own.push(await load(scenario, ours, rate));
      others.push(await load(scenario, other, rate));
    }
    const mine = medians(own);
    const theirs = medians(others);
    show(scenario.from.name, `${name}${suffix}`, mine);
    show('', 'peer', theirs);
    row('', 'ours / peer', ...ratios(mine, theirs));
    return theirs;
  };
  const { rate } = await rounds('', 0);
  if (options.latency) await rounds(' at half', Math.round(rate / 2));
}

function ratios(mine: Result, theirs: Result): string[] {
  const ratio = (a: number | null, b: number | null): string =>
    a === null || b === null || b === 0 ? '-' : `×${(a / b).toPrecision(2)}`;
  return [
    ratio(mine.rate, theirs.rate),
    ratio(mine.cpuMicros, theirs.cpuMicros),
    '',
    ratio(mine.latency.p50, theirs.latency.p50),
    ratio(mine.latency.p99, theirs.latency.p99),
    ratio(mine.confirm?.p50 ?? null, theirs.confirm?.p50 ?? null),
    ratio(mine.confirm?.p99 ?? null, theirs.confirm?.p99 ?? null),
  ];
}

function medians(results: readonly Result[]): Result {
  const median = (pick: (result: Result) => number): number => {
    const sorted = results.map(pick).sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? 0;
  };
  const known = results.every(({ cpuMicros }) => cpuMicros !== null);
  const percentiles = (pick: (result: Result) => Percentiles | null): Percentiles => ({
    p50: median((result) => pick(result)?.p50 ?? 0),
    p99: median((result) => pick(result)?.p99 ?? 0),
  });
  return {
    rate: median(({ rate }) => rate),
    cpuMicros: known ? median(({ cpuMicros }) => cpuMicros ?? 0) : null,
    memoryBytes: known ? median(({ memoryBytes }) => memoryBytes ?? 0) : null,
    latency: percentiles(({ latency }) => latency),
    confirm: results[0]?.confirm ? percentiles(({ confirm }) => confirm) : null,
  };
}

async function idle(protocol: BenchProtocol, ours: Server, other: Server | null): Promise<void> {
  const servers: readonly [string, Server | null][] = [
    [protocol.name, ours],
    ['', other],
  ];
  for (const [label, server] of servers) {
    if (server?.pid === undefined || server.pid === null) continue;
    const end = server.end(protocol);
    const bytes = await measureIdle(end, Number(options.connections), server.pid);
    row(label, server === ours ? 'idle' : 'peer', '-', '-', `${(bytes / 1024).toFixed(1)} KB`);
  }
}

function nameOf({ name, shape }: Scenario): string {
  if (shape.size === USUAL_SIZE) return name;
  return shape.size < 1024 ? `${name} ${shape.size} B` : `${name} ${shape.size / 1024} KiB`;
}

function wanted({ name, from, to, usual }: Scenario): boolean {
  // A peer at one port speaks one protocol.
  if (from !== to && options['peer-port']?.includes('=') === false) return false;
  if (options.protocol !== 'all' && options.protocol !== from.name) return false;
  if (options.scenario !== 'all') return options.scenario === name;
  return usual || options.protocol !== 'all';
}

const other = peer();
row(...HEADINGS);
for (const scenario of SCENARIOS.filter(wanted)) {
  await withOurs(async (ours) => {
    if (other === null) show(scenario.from.name, nameOf(scenario), await load(scenario, ours, 0));
    else await compare(scenario, ours, other);
  });
}
if (options.scenario === 'all' || options.scenario === 'idle') {
  for (const protocol of PROTOCOLS) {
    if (options.protocol !== 'all' && options.protocol !== protocol.name) continue;
    await withOurs((ours) => idle(protocol, ours, other));
  }
}
