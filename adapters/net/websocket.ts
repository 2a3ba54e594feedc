/**
 * WebSocket (RFC 6455) on the HTTP server, on any path: which protocol it carries is the client's
 * Sec-WebSocket-Protocol, AMQP where it names none. Above it everything is as on TCP: the same
 * transport, limits and counters.
 */
import { isUtf8 } from 'node:buffer';
import { type IncomingMessage, type Server, ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ClientCertificate } from '../../core/auth.ts';
import { clientCertificate } from './certificate.ts';
import { channelBinding } from './channel-binding.ts';
import type { Wire, WireEvents } from './wire.ts';

/** What a message takes beside its body: headers, properties, XML. */
const MESSAGE_MARGIN_BYTES = 1024 * 1024;
/** What a client may send before it is known who it is: a message is kept until it is whole. */
const LOGIN_BYTES_MAX = 1024 * 1024;
/** "data frames in a binary format" only: [MQTT-6.0.0-1]; AMQP likewise. */
const BINARY_SUBPROTOCOLS: ReadonlySet<string> = new Set(['mqtt', 'mqttv3.1', 'amqp']);
/** RFC 6455 7.4.1: "a type of data it cannot accept". */
const UNSUPPORTED_DATA = 1003;
/** RFC 6455 7.4.1: "a message that is too big". */
const TOO_BIG = 1009;
/** Who offers no subprotocol at all: @cloudamqp/amqp-client. Other protocols' clients must offer. */
const UNNAMED_SUBPROTOCOL = 'amqp';
const NORMAL_CLOSURE = 1000;

/** The server's half of handshakes. */
export class WebSocketHandshake {
  readonly #server: WebSocketServer;
  readonly #subprotocols: ReadonlySet<string>;

  /** `subprotocols` in the order in which they are preferred where a client offers several. */
  constructor(subprotocols: Iterable<string>, messageBytesMax: number) {
    this.#subprotocols = new Set(subprotocols);
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: messageBytesMax + MESSAGE_MARGIN_BYTES,
      handleProtocols: (offered) => this.#choose(offered) ?? false,
    });
  }

  /** Answers an upgrade request; `open` is called where it became a WebSocket. */
  answer(
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    open: (wire: Wire, subprotocol: string) => void,
  ): void {
    const subprotocol = this.#choose(offeredBy(request));
    if (subprotocol === undefined) {
      const known = [...this.#subprotocols].join(', ');
      refuseUpgrade(socket, 400, `Sec-WebSocket-Protocol must offer one of: ${known}`);
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      const binary = BINARY_SUBPROTOCOLS.has(subprotocol);
      open(new WebSocketWire(webSocket, socket, binary), subprotocol);
    });
  }

  #choose(offered: ReadonlySet<string>): string | undefined {
    for (const name of this.#subprotocols) if (offered.has(name)) return name;
    return undefined;
  }
}

function offeredBy(request: IncomingMessage): ReadonlySet<string> {
  const header = request.headers['sec-websocket-protocol'] ?? UNNAMED_SUBPROTOCOL;
  return new Set(header.split(',').map((name) => name.trim()));
}

/** Answers an upgrade request with an error, and closes. */
export function refuseUpgrade(socket: Duplex, status: number, sentence: string): void {
  const body = `${sentence}\n`;
  socket.on('error', () => socket.destroy());
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\n` +
      'Content-Type: text/plain; charset=utf-8\r\n' +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/**
 * Answers a request that asks for another upgrade than WebSocket as if it did not (RFC 9110 7.8),
 * and closes: node has let go of the connection. Java's HttpClient asks for h2c on every first
 * request.
 */
export function answerWithoutUpgrade(
  server: Server,
  request: IncomingMessage,
  socket: Socket,
): void {
  socket.on('error', () => socket.destroy());
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.once('finish', () => socket.end());
  server.emit('request', request, response);
}

class WebSocketWire implements Wire {
  readonly framed = true;
  readonly secure: boolean;
  readonly #webSocket: WebSocket;
  /** Beneath it; corked so that many messages leave in one write. */
  readonly #socket: Socket;
  readonly #binary: boolean;
  #events: WireEvents | null = null;
  #paused = false;
  /** Messages of the same read that were already taken apart when `pause` was called. */
  #kept: Buffer[] = [];
  #sent: () => void = () => {};
  /** Counts until the client has logged in. */
  readonly #watch: () => void;

  constructor(webSocket: WebSocket, socket: Socket, binary: boolean) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.secure = socket instanceof TLSSocket;
    this.#binary = binary;
    this.#watch = this.#limitUntil(socket.bytesRead + LOGIN_BYTES_MAX);
    socket.on('data', this.#watch);
  }

  channelBinding(name: string): Buffer | null {
    return this.#socket instanceof TLSSocket ? channelBinding(this.#socket, name) : null;
  }

  certificate(): ClientCertificate | null {
    return this.#socket instanceof TLSSocket ? clientCertificate(this.#socket) : null;
  }

  get waiting(): number {
    return this.#webSocket.bufferedAmount;
  }

  attach(events: WireEvents): void {
    this.#events = events;
    this.#sent = () => events.sent();
    this.#webSocket
      .on('message', (data, isBinary) => this.#message(data, isBinary))
      .on('error', (error) => {
        // What ws found wrong with a frame; it closes with the code for it (RFC 6455 7.4.1).
        if ('code' in error && String(error.code).startsWith('WS_ERR_')) {
          events.refused(error.message);
        } else {
          events.failed(error);
        }
      })
      .on('close', () => events.closed());
  }

  send(units: readonly Buffer[]): void {
    const last = units.length - 1;
    this.#socket.cork();
    units.forEach((unit, index) => {
      const binary = this.#binary || !isUtf8(unit);
      this.#webSocket.send(unit, { binary }, index === last ? this.#sent : undefined);
    });
    this.#socket.uncork();
  }

  pause(): void {
    this.#paused = true;
    this.#webSocket.pause();
  }

  resume(): void {
    this.#paused = false;
    // Not within the caller's turn: it may be about to go on with what it kept itself.
    process.nextTick(() => this.#goOn());
  }

  upgrade(): void {}

  authenticated(): void {
    this.#socket.off('data', this.#watch);
  }

  end(): void {
    this.#webSocket.close(NORMAL_CLOSURE);
  }

  destroy(): void {
    this.#webSocket.terminate();
  }

  #limitUntil(bytesMax: number): () => void {
    return () => {
      if (this.#socket.bytesRead <= bytesMax) return;
      this.authenticated();
      this.#webSocket.close(TOO_BIG, 'too much before the login');
      this.#events?.refused(`more than ${LOGIN_BYTES_MAX} bytes came before the login`);
      this.#webSocket.terminate();
    };
  }

  #message(data: WebSocket.RawData, isBinary: boolean): void {
    const events = this.#events;
    if (events === null || !Buffer.isBuffer(data)) return;
    if (this.#binary && !isBinary) {
      this.#webSocket.close(UNSUPPORTED_DATA, 'only binary messages are allowed');
      events.refused('a WebSocket message was text, only binary is allowed');
      return;
    }
    if (this.#paused || this.#kept.length > 0) this.#kept.push(data);
    else events.received(data);
  }

  #goOn(): void {
    while (!this.#paused) {
      const message = this.#kept.shift();
      if (message === undefined) {
        this.#webSocket.resume();
        return;
      }
      this.#events?.received(message);
    }
  }
}
