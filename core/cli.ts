/** The command `rosettamq`: reads arguments, starts a gateway, stops it in order. */
import { parseArgs } from 'node:util';
import { SystemClock } from './clock.ts';
import { type Config, type ConfigFile, readConfigFile } from './config.ts';
import { exportCommand, importCommand } from './definitions-command.ts';
import { ConfigError, reasonOf } from './errors.ts';
import { explainCommand } from './explain-command.ts';
import { hashPassword } from './users.ts';
import { type Listening, welcome } from './welcome.ts';

/** What the command runs. */
export interface Runnable {
  readonly config: Config;
  readonly listening: readonly Listening[];
  start(): Promise<void>;
  stop(): Promise<void>;
}

const USAGE = `Usage: rosettamq [--config FILE] [--data DIR] [--log-level LEVEL]
       rosettamq hash-password < FILE
       rosettamq explain ADDRESS | EXCHANGE KEY
                 [--url URL] [--vhost NAME] [--protocol NAME] [--json]
       rosettamq export-definitions [FILE] [--url URL] [--vhost NAME]
       rosettamq import-definitions FILE [--url URL] [--vhost NAME]

  --config FILE      configuration (see config.example.yaml); all defaults without it
  --data DIR         directory of the durable store, instead of data_dir
  --log-level LEVEL  silent, error, warn, info or debug, instead of log_level
  --version, --help

hash-password reads a password from standard input and prints its hash for password_hash.

explain asks a running gateway (http://guest:guest@127.0.0.1:15672 without --url) how an address is
written on each protocol, what is bound there, and where a message sent there would go now and why.

export-definitions prints what administrators have set up in a running gateway, or writes it to
FILE: vhosts, users, permissions, policies, exchanges, queues and bindings. import-definitions takes
such a file, or one that RabbitMQ has exported: all of it, or nothing.
`;

/** How long an orderly stop may take. */
const STOP_MS = 15_000;

/** Exit codes: 0 stopped in order, 2 the arguments or the configuration cannot be used, 137 ended at once. */
export async function runCommand(
  args: readonly string[],
  version: string,
  create: (file: ConfigFile) => Runnable,
): Promise<void> {
  try {
    const parsed = readArguments(args);
    const { values, positionals } = parsed;
    if (values.help === true) return print(USAGE);
    if (values.version === true) return print(`${version}\n`);
    if (positionals[0] === 'hash-password') return await printHash();
    if (positionals[0] === 'explain') {
      const { url, vhost, protocol, json = false } = values;
      const words = positionals.slice(1);
      return print(await explainCommand({ words, url, vhost, protocol, json }));
    }
    if (positionals[0] === 'export-definitions') return print(await exportCommand(asked(parsed)));
    if (positionals[0] === 'import-definitions') return print(await importCommand(asked(parsed)));
    if (positionals.length > 0) throw new ConfigError('', `unknown command '${positionals[0]}'`);
    const file = readConfigFile(values.config ?? null, process.env);
    const runnable = create({
      ...file,
      ...(values.data === undefined ? {} : { data_dir: values.data }),
      ...(values['log-level'] === undefined ? {} : { log_level: values['log-level'] }),
    });
    const started = runnable.start();
    stopOnSignal(async () => {
      await started;
      await runnable.stop();
    });
    await started;
    print(`${welcome(`Rosetta MQ ${version}`, runnable.config, runnable.listening)}\n`);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`rosettamq: ${error.message}\n`);
    process.exit(2);
  }
}

function readArguments(args: readonly string[]): ReturnType<typeof parse> {
  try {
    return parse(args);
  } catch (error) {
    throw new ConfigError('', `${reasonOf(error)} (see --help)`);
  }
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      data: { type: 'string' },
      'log-level': { type: 'string' },
      url: { type: 'string' },
      vhost: { type: 'string' },
      protocol: { type: 'string' },
      json: { type: 'boolean' },
      version: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
}

function asked({ values, positionals }: ReturnType<typeof parse>) {
  return { words: positionals.slice(1), url: values.url, vhost: values.vhost };
}

function stopOnSignal(stop: () => Promise<void>): void {
  let stopping = false;
  const signalled = (): void => {
    // The second Ctrl-C of somebody who will not wait.
    if (stopping) endAtOnce('signalled again');
    stopping = true;
    new SystemClock().after(STOP_MS, () => endAtOnce(`not stopped within ${STOP_MS / 1000} s`));
    stop().then(
      () => process.exit(0),
      (error: unknown) => endAtOnce(reasonOf(error)),
    );
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, signalled);
  // Nobody reads what is said: that is no reason to end.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}

/** As a crash would: an orderly exit waits for what is on its way to the disk, which may hang. */
function endAtOnce(reason: string): void {
  process.stderr.write(`rosettamq: ${reason}: ended at once; what was confirmed is safe\n`);
  process.kill(process.pid, 'SIGKILL');
}

async function printHash(): Promise<void> {
  let password = '';
  for await (const chunk of process.stdin) password += String(chunk);
  print(`${await hashPassword(password.replace(/\r?\n$/, ''))}\n`);
}

function print(text: string): void {
  process.stdout.write(text);
}
