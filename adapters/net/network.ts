/**
 * All of the process's sockets, as `main.ts` composes them:
 *
 *     const network = new Network({ clock, log, meter, limits, tls });    // tls: section or null
 *     await network.open(listeners, [[mqtt, gate], …], httpServer);       // network.listeners
 *     …
 *     network.stopAccepting();          // then the gates' `stop`, then
 *     await network.close();            // what is left gets a grace, then is destroyed
 *
 * Addresses that cannot be had and files that cannot be used are ConfigErrors.
 */
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import { connect, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../core/clock.ts';
import type { ListenerConfig, TlsConfig } from '../../core/config.ts';
import type { Peer } from '../../core/engine.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { Meter } from '../../core/meter.ts';
import type { Adapter, Dial, Gate, ListenerOptions } from '../adapter.ts';
import { Flusher } from './flusher.ts';
import { KEEP_ALIVE_MS, Listener } from './listener.ts';
import { joinAddress, peerOf } from './peer.ts';
import { Roster } from './roster.ts';
import { TlsAcceptor } from './tls.ts';
import { NetTransport, type Surroundings } from './transport.ts';
import { answerWithoutUpgrade, refuseUpgrade, WebSocketHandshake } from './websocket.ts';
import { SocketWire, type Wire } from './wire.ts';

/**
 * The gates have waited already for clients that answer a good-bye; this is for bytes on their way.
 */
const SHUTDOWN_GRACE_MS = 2000;

export interface NetworkParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly limits: Limits;
  readonly tls: TlsConfig | null;
}

/** Who serves a WebSocket subprotocol. */
export interface UpgradeRoute {
  readonly protocol: string;
  readonly gate: Gate;
  readonly dialect?: string | undefined;
}

export class Network {
  readonly #parts: NetworkParts;
  readonly #roster: Roster;
  readonly #flusher = new Flusher();
  readonly #tls: TlsAcceptor | null;
  readonly #listeners: Listener[] = [];
  /** Peers of the sockets that an HTTP server has: an upgrade keeps its peer. */
  readonly #httpPeers = new WeakMap<object, Peer>();
  #accepting = true;

  /** Throws ConfigError where certificate or key cannot be used. */
  constructor(parts: NetworkParts) {
    this.#parts = parts;
    this.#roster = new Roster(parts.clock, parts.log, parts.limits.connectionsMax);
    this.#tls = parts.tls === null ? null : new TlsAcceptor(parts.tls, 'tls');
  }

  /** Sockets connected now, over all listeners. */
  get connections(): number {
    return this.#roster.size;
  }

  get listeners(): readonly Listener[] {
    return this.#listeners;
  }

  /**
   * Opens every configured listener, each for the adapter that has its protocol, or for the HTTP
   * server, on which WebSocket clients of all adapters come in too.
   */
  async open(
    configs: readonly ListenerConfig[],
    adapters: readonly (readonly [adapter: Adapter<unknown>, gate: Gate])[],
    http: HttpServer,
  ): Promise<void> {
    const gates = new Map<string, Gate>();
    const routes = new Map<string, UpgradeRoute>();
    for (const [{ protocols, subprotocols }, gate] of adapters) {
      for (const protocol of protocols) gates.set(protocol, gate);
      const route = { protocol: protocols[0] ?? '', gate };
      for (const subprotocol of subprotocols) routes.set(subprotocol, route);
    }
    this.upgrade(http, routes);
    for (const [index, config] of configs.entries()) {
      const path = `listeners[${index}]`;
      const gate = gates.get(config.protocol);
      if (gate !== undefined) await this.listen(config, path, gate);
      else if (config.protocol === 'http') await this.listenHttp(config, path, http);
      else {
        const known = [...gates.keys(), 'http'].join(', ');
        throw new ConfigError(`${path}.protocol`, `expected one of ${known}`);
      }
    }
  }

  /** Opens a listener for an adapter. `path` is where `config` stands, for messages. */
  listen(config: ListenerConfig, path: string, gate: Gate): Promise<Listener> {
    const around = this.#around(config.protocol);
    return this.#open(config, path, false, (socket, peer) => {
      this.#start(new SocketWire(socket), peer, around, gate, config);
    });
  }

  /** Opens a listener for an HTTP server, which itself does not listen. */
  listenHttp(config: ListenerConfig, path: string, server: HttpServer): Promise<Listener> {
    const counters = this.#parts.meter.protocol(config.protocol);
    return this.#open(config, path, true, (socket, peer) => {
      this.#httpPeers.set(socket, peer);
      counters.connectionsOpened++;
      socket.once('close', () => {
        counters.connectionsClosed++;
        counters.bytesReceived += socket.bytesRead;
        counters.bytesSent += socket.bytesWritten;
      });
      server.emit('connection', socket);
    });
  }

  /**
   * Serves WebSocket upgrades on an HTTP server. Where a client offers several, the first of
   * `routes` wins.
   */
  upgrade(server: HttpServer, routes: ReadonlyMap<string, UpgradeRoute>): void {
    const { limits } = this.#parts;
    const handshake = new WebSocketHandshake(routes.keys(), limits.messageBytesMax);
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const peer = this.#httpPeers.get(socket);
      if (!this.#accepting || !(socket instanceof Socket) || peer === undefined) {
        refuseUpgrade(socket, 503, 'the server is shutting down');
        return;
      }
      if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
        answerWithoutUpgrade(server, request, socket);
        return;
      }
      handshake.answer(request, socket, head, (wire, subprotocol) => {
        const route = routes.get(subprotocol);
        if (route === undefined) return wire.destroy();
        const { protocol, gate } = route;
        this.#start(wire, { ...peer, protocol }, this.#around(protocol), gate, route);
      });
    });
  }

  /** Connects to another server (`Context.dial`). */
  readonly dial: Dial = ({ protocol, host, port }, open, failed) => {
    const { clock, limits } = this.#parts;
    const name = `${protocol}://${joinAddress(host, port)}`;
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    let reason: Error | null = null;
    const timer = clock.after(limits.loginTimeoutMs, () => {
      socket.destroy(new Error(`${name} does not answer`));
    });
    const refused = (): void => {
      timer.cancel();
      failed(reason ?? new Error(`${name} hung up`));
    };
    socket.on('error', (error) => {
      reason ??= error;
    });
    socket.once('close', refused);
    socket.once('connect', () => {
      timer.cancel();
      const peer = peerOf(socket, protocol, name, false);
      if (peer === null || !this.#accepting || !this.#roster.admit(socket)) {
        reason ??= new Error('no further connection is allowed');
        socket.destroy();
        return;
      }
      socket.off('close', refused);
      const wire = new SocketWire(socket);
      const transport = new NetTransport(wire, peer, this.#around(protocol));
      transport.start((opened) => open(opened, peer));
    });
  };

  /** Frees the ports. What is connected stays, and HTTP goes on being answered. */
  stopAccepting(): void {
    this.#accepting = false;
    for (const listener of this.#listeners) listener.close();
  }

  /** Waits for the connections to end, for as long as the grace lasts; then destroys them. */
  async close(graceMs: number = SHUTDOWN_GRACE_MS): Promise<void> {
    this.stopAccepting();
    const grace = this.#parts.clock.after(graceMs, () => this.#roster.destroyAll());
    await this.#roster.empty();
    grace.cancel();
  }

  async #open(
    config: ListenerConfig,
    path: string,
    halfOpen: boolean,
    accepted: (socket: Socket, peer: Peer) => void,
  ): Promise<Listener> {
    if (config.tls && this.#tls === null) {
      throw new ConfigError(`${path}.tls`, 'needs a certificate and a key in the section tls');
    }
    const { clock, log, limits } = this.#parts;
    const tls = config.tls ? this.#tls : null;
    const roster = this.#roster;
    const listener = new Listener({
      config,
      path,
      clock,
      log,
      limits,
      roster,
      tls,
      halfOpen,
      accepted,
    });
    await listener.open();
    this.#listeners.push(listener);
    return listener;
  }

  #start(
    wire: Wire,
    peer: Peer,
    around: Surroundings,
    gate: Gate,
    { protocol, dialect }: ListenerOptions,
  ): void {
    const transport = new NetTransport(wire, peer, around);
    transport.start((opened) => gate.accept(opened, peer, { protocol, dialect }));
  }

  #around(protocol: string): Surroundings {
    const { clock, log, limits, meter } = this.#parts;
    return {
      clock,
      log,
      limits,
      flusher: this.#flusher,
      counters: meter.protocol(protocol),
      tls: this.#tls,
      certificateLogin: this.#parts.tls?.login ?? null,
    };
  }
}
