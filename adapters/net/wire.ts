/**
 * What carries a transport's bytes: a TCP or TLS socket, or a WebSocket over one. A wire knows
 * nothing of limits, counters and protocols; `NetTransport` has these once for all wires.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { ClientCertificate } from '../../core/auth.ts';
import { clientCertificate } from './certificate.ts';
import { channelBinding } from './channel-binding.ts';
import type { TlsAcceptor } from './tls.ts';

/** Told by a wire, in a turn of its own each. */
export interface WireEvents {
  received(chunk: Buffer): void;
  /** One `send` is with the kernel, or will never be. */
  sent(): void;
  /** The client sends nothing more. */
  finished(): void;
  /** The client broke the wire's own rules; the wire is closing already. */
  refused(reason: string): void;
  failed(error: Error): void;
  /** The upgrade to TLS is done. */
  secured(): void;
  /** Last, and once. */
  closed(): void;
}

export interface Wire {
  /** Whether `send` keeps the boundaries of its units. */
  readonly framed: boolean;
  readonly secure: boolean;
  /** Null where the connection has no channel binding of that name. */
  channelBinding(name: string): Buffer | null;
  /** Of the client; null where there is none that is trusted. */
  certificate(): ClientCertificate | null;
  /** Bytes sent that the kernel has not taken yet. */
  readonly waiting: number;
  attach(events: WireEvents): void;
  /** One write, whatever the number of units (at least one). `sent` answers it. */
  send(units: readonly Buffer[]): void;
  pause(): void;
  resume(): void;
  /** Goes over to TLS once what was sent has left. Streams only. */
  upgrade(tls: TlsAcceptor): void;
  /** The client may send messages of any size that is allowed. */
  authenticated(): void;
  /** Sends what waits, then closes. */
  end(): void;
  destroy(): void;
}

const NOTHING_TO_SEND = Buffer.alloc(0);

export class SocketWire implements Wire {
  readonly framed = false;
  #socket: Socket;
  #events: WireEvents | null = null;
  #paused = false;
  #handshaking = false;
  #sent: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get secure(): boolean {
    return this.#socket instanceof TLSSocket;
  }

  channelBinding(name: string): Buffer | null {
    return this.#socket instanceof TLSSocket ? channelBinding(this.#socket, name) : null;
  }

  certificate(): ClientCertificate | null {
    return this.#socket instanceof TLSSocket ? clientCertificate(this.#socket) : null;
  }

  get waiting(): number {
    return this.#socket.writableLength;
  }

  attach(events: WireEvents): void {
    this.#events = events;
    this.#sent = () => events.sent();
    this.#listen(events);
  }

  send(units: readonly Buffer[]): void {
    const socket = this.#socket;
    const last = units.length - 1;
    if (last > 0) socket.cork();
    for (let i = 0; i < last; i++) socket.write(units[i] ?? NOTHING_TO_SEND);
    socket.write(units[last] ?? NOTHING_TO_SEND, this.#sent);
    if (last > 0) socket.uncork();
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket.resume();
  }

  upgrade(tls: TlsAcceptor): void {
    const events = this.#events;
    const plain = this.#socket;
    if (events === null) return;
    // From here on what arrives is the handshake, and the TLS layer's.
    plain.removeAllListeners('data').pause();
    plain.write(NOTHING_TO_SEND, () => {
      if (plain.destroyed) return;
      this.#handshaking = true;
      tls.secure(plain, (error, socket) => {
        this.#handshaking = false;
        if (socket === null) {
          events.failed(error);
          plain.destroy();
          events.closed();
          return;
        }
        this.#socket = socket;
        this.#listen(events);
        if (this.#paused) socket.pause();
        events.secured();
      });
    });
  }

  authenticated(): void {}

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #listen(events: WireEvents): void {
    const socket = this.#socket;
    // After an upgrade the plain socket's end is the TLS socket's to tell.
    const mine = (): boolean => this.#socket === socket && !this.#handshaking;
    socket
      .on('data', (chunk) => events.received(chunk))
      .on('end', () => mine() && events.finished())
      .on('error', (error) => mine() && events.failed(error))
      .on('close', () => mine() && events.closed());
  }
}
