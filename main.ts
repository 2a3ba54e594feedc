#!/usr/bin/env node
/**
 * The entry of Rosetta MQ: the command `rosettamq`, and `Gateway` for programs that embed it. The only
 * file that knows both the adapters and the engine behind the port.
 */
import { readFileSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Adapter, Context, Gate } from './adapters/adapter.ts';
import { amqp } from './adapters/amqp091/adapter.ts';
import { createHttpGate, type HttpGate } from './adapters/http/gate.ts';
import { mqtt } from './adapters/mqtt/adapter.ts';
import { Network } from './adapters/net/network.ts';
import { stomp } from './adapters/stomp/adapter.ts';
import { xmpp } from './adapters/xmpp/adapter.ts';
import { PermissionAuthorizer } from './core/auth.ts';
import { runCommand } from './core/cli.ts';
import { SystemClock } from './core/clock.ts';
import { type Config, type ConfigFile, parseConfig } from './core/config.ts';
import { loadDefinitions } from './core/definitions-command.ts';
import { EmbeddedEngine } from './core/embedded/engine.ts';
import { createLog, type Log } from './core/log.ts';
import type { Format } from './core/message.ts';
import { Meter } from './core/meter.ts';
import { SystemRandom } from './core/random.ts';
import { RegisteredUsers } from './core/registered-users.ts';
import { Registry } from './core/registry.ts';
import { LmdbStore } from './core/store/lmdb.ts';
import { MemoryStore } from './core/store/memory.ts';
import type { Store } from './core/store.ts';
import { UserDirectory } from './core/users.ts';
import type { Listening } from './core/welcome.ts';

const here = new URL('.', import.meta.url);
const manifest = new URL(
  here.pathname.endsWith('/dist/') ? '../package.json' : 'package.json',
  here,
);
const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };

/** The protocols that every gateway speaks. */
const ADAPTERS: readonly Adapter<unknown>[] = [amqp, mqtt, stomp, xmpp];

export interface GatewayParts {
  /** Protocols beside the built-in ones. */
  readonly adapters?: readonly Adapter<unknown>[];
  readonly log?: Log;
}

/** A whole gateway in this process. Port 0 in a listener takes a free port, which `port` tells. */
export class Gateway {
  readonly config: Config;
  /** With their validated options. */
  readonly #adapters: readonly (readonly [adapter: Adapter<unknown>, options: unknown])[];
  readonly #context: Context;
  readonly #network: Network;
  readonly #gates: [adapter: Adapter<unknown>, gate: Gate][] = [];
  #http: HttpGate | null = null;
  #missing: readonly string[] = ['listeners'];

  /** `file` has the shape of the configuration file. Throws ConfigError. */
  constructor(file: ConfigFile = {}, parts: GatewayParts = {}) {
    const adapters = [...ADAPTERS, ...(parts.adapters ?? [])];
    const config = parseConfig(
      file,
      adapters.map(({ protocols }) => protocols[0] ?? ''),
    );
    this.config = config;
    const { limits, vhosts, vhostLimits, policies } = config;
    const log = parts.log ?? createLog(config.logLevel);
    const [clock, random, meter] = [new SystemClock(), new SystemRandom(), new Meter()];
    const authorizer = new PermissionAuthorizer();
    this.#adapters = adapters.map((adapter) => [
      adapter,
      adapter.options(config.sections[adapter.protocols[0] ?? '']),
    ]);
    const formats = new Registry<Format>(
      'format',
      this.#adapters.map(([adapter, options]) => adapter.format(options)),
    );
    const shared = { clock, random, meter, limits, log, authorizer };
    this.#network = new Network({ clock, log, meter, limits, tls: config.tls });
    const store = openStore(config, { clock, log, formats });
    const engine = new EmbeddedEngine({
      ...{ ...shared, store, vhosts, vhostLimits, policies },
    });
    const accounts = new RegisteredUsers(
      new UserDirectory(config.users, config.loopbackUsers),
      random,
      () => engine.table('accounts'),
      (user) => engine.admin.rightsChanged(user),
    );
    engine.admin.onVhostDeleted((name) => accounts.forgetVhost(name));
    this.#context = {
      ...shared,
      engine,
      authenticator: accounts,
      accounts,
      formats,
      dial: this.#network.dial,
      product: { name: 'Rosetta MQ', version },
    };
  }

  /** Starts the engine, then the protocols, then opens every listener. Throws ConfigError. */
  async start(): Promise<void> {
    await this.#context.engine.start();
    await this.#loadDefinitions();
    for (const [adapter, options] of this.#adapters) {
      this.#gates.push([adapter, await adapter.start(this.#context, options)]);
    }
    this.#http = await createHttpGate(this.#context, {
      missing: () => this.#missing,
      listening: () => this.listening,
      addresses: this.#adapters.flatMap(([each, options]) => each.addresses?.(options) ?? []),
    });
    try {
      await this.#network.open(this.config.listeners, this.#gates, this.#http.server);
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#missing = [];
  }

  async #loadDefinitions(): Promise<void> {
    const { definitions } = this.config;
    if (definitions === null) return;
    const { engine, accounts, product, log } = this.#context;
    const target = { engine, admin: engine.admin, accounts, version: product.version };
    try {
      await loadDefinitions(definitions, target);
    } catch (error) {
      await engine.stop();
      throw error;
    }
    log.info({ file: definitions }, 'definitions are loaded');
  }

  /** Stops accepting, says good-bye on every connection, settles, closes. */
  async stop(): Promise<void> {
    this.#missing = ['listeners'];
    this.#network.stopAccepting();
    await Promise.all(this.#gates.map(([, gate]) => gate.stop()));
    await this.#http?.stop();
    await this.#network.close();
    await this.#context.engine.stop();
  }

  /** What listens, in the order of the configuration. */
  get listening(): readonly Listening[] {
    return this.#network.listeners;
  }

  /** The port of the first listener of a protocol. */
  port(protocol: string): number {
    const found = this.listening.find((each) => each.protocol === protocol);
    if (found === undefined) throw new Error(`no listener for ${protocol}`);
    return found.port;
  }
}

function openStore(config: Config, parts: Pick<Context, 'clock' | 'log' | 'formats'>): Store {
  if (config.store === 'memory') return new MemoryStore();
  const { storeSegmentBytes, storeCheckpointBytes, storeIndexBytesMax } = config.limits;
  const { diskFreeBytesMin, diskReserveBytes } = config.limits;
  return new LmdbStore({
    ...parts,
    directory: config.dataDir,
    segmentBytes: storeSegmentBytes,
    checkpointBytes: storeCheckpointBytes,
    indexBytesMax: storeIndexBytesMax,
    freeBytesMin: diskFreeBytesMin,
    reserveBytes: diskReserveBytes,
  });
}

const [, script] = process.argv;
if (script !== undefined && realpathSync(script) === fileURLToPath(import.meta.url)) {
  await runCommand(process.argv.slice(2), version, (file) => new Gateway(file));
}
