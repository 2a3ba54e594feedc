/**
 * One listening port: accepts, secures where the port is TLS, and hands sockets on. What is beyond
 * the connection limit is closed at once.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../core/clock.ts';
import type { ListenerConfig } from '../../core/config.ts';
import type { Peer } from '../../core/engine.ts';
import { ConfigError, reasonOf } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { joinAddress, peerOf } from './peer.ts';
import type { Roster } from './roster.ts';
import type { TlsAcceptor } from './tls.ts';

/** Idle connections are probed, so that dead clients are found on protocols without heartbeat. */
export const KEEP_ALIVE_MS = 60_000;
const BACKLOG = 4096;

export interface ListenerParts {
  readonly config: ListenerConfig;
  /** Where it stands in the configuration: `listeners[2]`. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: Limits;
  readonly roster: Roster;
  /** Not null: TLS from the first byte. */
  readonly tls: TlsAcceptor | null;
  /** Whether a client may finish sending and still be answered: HTTP. */
  readonly halfOpen: boolean;
  /** Called for each connection, after its TLS handshake. */
  readonly accepted: (socket: Socket, peer: Peer) => void;
}

export class Listener {
  readonly #parts: ListenerParts;
  readonly #server: Server;
  #name: string;
  #closed = false;

  constructor(parts: ListenerParts) {
    const { config, halfOpen } = parts;
    this.#parts = parts;
    this.#name = nameOf(config, config.port);
    this.#server = createServer(
      {
        allowHalfOpen: halfOpen,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_MS,
      },
      (socket) => this.#accept(socket),
    );
  }

  get protocol(): string {
    return this.#parts.config.protocol;
  }

  /** As `mqtt://127.0.0.1:1883`, with the real port. */
  get url(): string {
    return this.#name;
  }

  get tls(): boolean {
    return this.#parts.config.tls;
  }

  /** The port it listens on; a free one where the configuration says 0. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Throws ConfigError where the address cannot be had. */
  open(): Promise<void> {
    const { config, path, log } = this.#parts;
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => reject(refusal(error, config, path)));
      this.#server.listen({ host: config.host, port: config.port, backlog: BACKLOG }, () => {
        this.#name = nameOf(config, this.port);
        this.#server.removeAllListeners('error');
        this.#server.on('error', (error) => this.#failed(error));
        log.info({ listener: this.#name }, 'listening');
        resolve();
      });
    });
  }

  /** Accepts nothing more; the port is free again. Connections stay. */
  close(): void {
    this.#closed = true;
    this.#server.close();
  }

  #accept(socket: Socket): void {
    const { roster, tls, log, limits, clock, accepted } = this.#parts;
    socket.on('error', nothing);
    const peer = peerOf(socket, this.protocol, this.#name, tls !== null);
    if (peer === null || this.#closed || !roster.admit(socket)) {
      socket.destroy();
      return;
    }
    if (tls === null) {
      accepted(socket, peer);
      return;
    }
    const timeout = clock.after(limits.loginTimeoutMs, () => socket.destroy());
    tls.secure(socket, (error, secured) => {
      timeout.cancel();
      if (secured === null) {
        log.info(
          { listener: this.#name, peer: peer.address, reason: error.message },
          'TLS handshake failed',
        );
        socket.destroy();
      } else if (this.#closed) {
        secured.destroy();
      } else {
        accepted(secured, peer);
      }
    });
  }

  /** Accepting failed, as when the process has no file descriptor left; it goes on when it can. */
  #failed(error: Error): void {
    const { roster, log } = this.#parts;
    roster.occasionally((times) =>
      log.error(
        { listener: this.#name, reason: error.message, times },
        'cannot accept connections',
      ),
    );
  }
}

const nothing = (): void => {};

function nameOf(config: ListenerConfig, port: number): string {
  return `${config.protocol}${config.tls ? 's' : ''}://${joinAddress(config.host, port)}`;
}

function refusal(error: NodeJS.ErrnoException, config: ListenerConfig, path: string): ConfigError {
  const address = joinAddress(config.host, config.port);
  switch (error.code) {
    case 'EADDRINUSE':
      return new ConfigError(path, `${address} is in use by another process`);
    case 'EACCES':
      return new ConfigError(path, `${address} needs a privilege that this process does not have`);
    case 'EADDRNOTAVAIL':
      return new ConfigError(path, `${config.host} is not an address of this machine`);
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ConfigError(path, `host ${config.host} cannot be resolved`);
    default:
      return new ConfigError(path, `cannot listen on ${address}: ${reasonOf(error)}`);
  }
}
