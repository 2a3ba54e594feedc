/** The server under load: one of ours in a process of its own, or any process whose id is known. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Linux counts a process's time in these, whatever the kernel's own rate (USER_HZ). */
const TICKS_PER_SECOND = 100;

/** As `npm start` has it. */
const NODE_FLAGS = ['--max-semi-space-size=32'];

const ALL = "{ '/': { configure: '.*', write: '.*', read: '.*' } }";

/** CPU time of a process and what it has for memory, from /proc; null where there is none. */
export function usage(pid: number): { cpuSeconds: number; memoryBytes: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in parentheses, may have spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    return { cpuSeconds: ticks / TICKS_PER_SECOND, memoryBytes: kilobytes * 1024 };
  } catch {
    return null;
  }
}

export class OwnServer {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #ports: ReadonlyMap<string, number>;

  private constructor(child: ChildProcess, folder: string, ports: ReadonlyMap<string, number>) {
    this.#process = child;
    this.#folder = folder;
    this.#ports = ports;
  }

  static async start(protocols: readonly string[]): Promise<OwnServer> {
    const folder = mkdtempSync(join(tmpdir(), 'rosettamq-bench-'));
    const config = join(folder, 'config.yaml');
    const listeners = protocols.map((name) => `  - { protocol: ${name}, port: 0 }`).join('\n');
    const users = ['guest', 'alice', 'bob']
      .map((name) => `  - { name: ${name}, password: guest, permissions: ${ALL} }`)
      .join('\n');
    writeFileSync(config, `data_dir: ${folder}\nlisteners:\n${listeners}\nusers:\n${users}\n`);
    const main = fileURLToPath(new URL('../../main.js', import.meta.url));
    const child = spawn(process.execPath, [...NODE_FLAGS, main, '--config', config], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // Linux shares a busy machine among sessions: a peer has one of its own as well.
      detached: true,
    });
    process.once('exit', () => child.kill('SIGKILL'));
    return new OwnServer(child, folder, await portsOf(child, protocols.length));
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  port(protocol: string): number {
    const port = this.#ports.get(protocol);
    if (port === undefined) throw new Error(`the server does not listen for ${protocol}`);
    return port;
  }

  async stop(): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
    rmSync(this.#folder, { recursive: true });
  }
}

/** Reads from the log which ports it got; what it says afterwards is passed on. */
function portsOf(child: ChildProcess, count: number): Promise<ReadonlyMap<string, number>> {
  const ports = new Map<string, number>();
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the server ended with code ${code}`)));
    if (child.stderr === null) return;
    createInterface({ input: child.stderr }).on('line', (line) => {
      const [, protocol = '', port = ''] =
        /"listener":"(\w+):\/\/[^"]*:(\d+)"[^}]*"msg":"listening"/.exec(line) ?? [];
      if (port !== '') ports.set(protocol, Number(port));
      else process.stderr.write(`${line}\n`);
      if (ports.size === count) resolve(ports);
    });
  });
}
