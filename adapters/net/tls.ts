/**
 * TLS for listeners and for upgrades within a connection (STARTTLS): certificate and key are read
 * once, at start; a mistake in them is a ConfigError that names the file.
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { TlsConfig } from '../../core/config.ts';
import { ConfigError, reasonOf } from '../../core/errors.ts';

/** Either a TLS socket after its handshake, or why there is none. */
export type Secured = (
  ...outcome: [error: Error, socket: null] | [error: null, socket: TLSSocket]
) => void;

export class TlsAcceptor {
  readonly #server: Server;
  /** Clients are asked for a certificate. */
  readonly #asks: boolean;
  /** Handshakes under way, by the connection's two ends. */
  readonly #handshakes = new Map<string, Secured>();

  /** `path` is where `options` stand in the configuration. Throws ConfigError. */
  constructor(options: TlsConfig, path: string) {
    // Never listens: node checks client certificates in tls.Server only, and documents that
    // connections may be put into one by hand.
    this.#asks = options.ca !== undefined;
    this.#server = create(options, path)
      .on('secureConnection', (socket) => this.#secured(socket))
      .on('tlsClientError', (error, socket) => this.#settle(endsOf(socket), error, null));
  }

  /**
   * Takes over a connected socket, with what it has buffered, for a handshake. The time it may take
   * is the caller's to bound, by destroying the socket.
   */
  secure(plain: Socket, done: Secured): void {
    const ends = endsOf(plain);
    this.#handshakes.set(ends, done);
    plain.once('close', () => {
      this.#settle(ends, new Error('closed during the TLS handshake'), null);
    });
    plain.on('error', (error) => this.#settle(ends, error, null));
    this.#server.emit('connection', plain);
  }

  #secured(socket: TLSSocket): void {
    const ends = endsOf(socket);
    const distrusted =
      this.#asks && !socket.authorized && socket.getPeerX509Certificate() !== undefined;
    if (!distrusted) this.#settle(ends, null, socket);
    else {
      // Where none is needed a wrong one is still no good.
      socket.destroy();
      this.#settle(ends, new Error('the client certificate is not trusted'), null);
    }
  }

  #settle(ends: string, ...outcome: Parameters<Secured>): void {
    const done = this.#handshakes.get(ends);
    this.#handshakes.delete(ends);
    done?.(...outcome);
  }
}

function endsOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}

function create(options: TlsConfig, path: string): Server {
  const settings: TlsOptions = {
    cert: read(options.cert, `${path}.cert`, 'certificate'),
    key: read(options.key, `${path}.key`, 'private key'),
    minVersion: 'TLSv1.2',
  };
  if (options.ca !== undefined) {
    settings.ca = read(options.ca, `${path}.ca`, 'CA certificate');
    // An authority for clients is given: they may come in, and others only where it says so.
    settings.requestCert = true;
    settings.rejectUnauthorized = options.optional !== true;
  }
  try {
    return createServer(settings);
  } catch (error) {
    throw new ConfigError(path, `certificate and key do not make a pair: ${reasonOf(error)}`);
  }
}

function read(file: string, path: string, what: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new ConfigError(path, `the ${what} cannot be read: ${reasonOf(error)}`);
  }
  if (!bytes.includes('-----BEGIN ')) {
    throw new ConfigError(path, `${file} is not a ${what} in PEM form`);
  }
  return bytes;
}
