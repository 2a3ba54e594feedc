import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { stringify } from 'yaml';
import type { ConfigFile } from '../../core/config.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const PROTOCOLS = ['amqp', 'mqtt', 'stomp', 'xmpp', 'http'];

/** A gateway in a process of its own, as a user starts it: `npm run build` must have run. */
export interface GatewayProcess {
  port(protocol: string): number;
  /** Everything that it wrote to standard error so far. */
  readonly log: readonly string[];
  /** Ends it at once, as a crash would. */
  kill(): Promise<void>;
  /** Ends it in order; resolves to its exit code. */
  stop(): Promise<number | null>;
}

/** Resolves when every listener is open. Ports are free ones; `overrides` has the shape of the file. */
export async function startGatewayProcess(
  directory: string,
  overrides: ConfigFile = {},
): Promise<GatewayProcess> {
  const listeners = PROTOCOLS.map((protocol) => ({ protocol, port: 0 }));
  const config = join(mkdtempSync(join(tmpdir(), 'rosettamq-config-')), 'config.yaml');
  writeFileSync(config, stringify({ listeners, data_dir: directory, ...overrides }));
  const child = spawn(process.execPath, [MAIN, '--config', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const log: string[] = [];
  const ports = await readPorts(child, log, ended);
  return {
    log,
    port: (protocol) => ports.get(protocol) ?? 0,
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

function readPorts(
  child: ChildProcess,
  log: string[],
  ended: Promise<number | null>,
): Promise<ReadonlyMap<string, number>> {
  const ports = new Map<string, number>();
  return new Promise((resolve, reject) => {
    if (child.stderr === null) throw new Error('standard error is piped');
    createInterface(child.stderr).on('line', (line) => {
      log.push(line);
      const listening = /"listener":"([a-z]+):\/\/[^"]*:(\d+)","msg":"listening"/.exec(line);
      if (listening !== null) ports.set(listening[1] ?? '', Number(listening[2]));
      if (ports.size === PROTOCOLS.length) resolve(ports);
    });
    void ended.then((code) => reject(new Error(`exited with ${code}: ${log.join('\n')}`)));
  });
}
