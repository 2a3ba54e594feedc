/**
 * A TCP connection in the shape of a WebSocket: what @stomp/stompjs's documentation asks for where the
 * broker is to be reached without WebSocket (`webSocketFactory`).
 */
import { connect, type Socket } from 'node:net';
import type { IStompSocket } from '@stomp/stompjs';

/** WebSocket's own numbers. */
const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 3;

export class TcpWebSocket implements IStompSocket {
  readonly url: string;
  readonly binaryType = 'arraybuffer';
  readyState: number = CONNECTING;
  onopen: ((event?: unknown) => unknown) | null = null;
  onmessage: ((event: { data: ArrayBuffer | string }) => unknown) | null = null;
  onclose: ((event?: unknown) => unknown) | null = null;
  onerror: ((event?: unknown) => unknown) | null = null;
  readonly #socket: Socket;

  constructor(port: number, host: string = '127.0.0.1') {
    this.url = `tcp://${host}:${port}`;
    this.#socket = connect({ port, host, noDelay: true });
    this.#socket.on('connect', () => {
      this.readyState = OPEN;
      this.onopen?.({});
    });
    this.#socket.on('data', (chunk) => {
      const { buffer, byteOffset, byteLength } = chunk;
      const data = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
      this.onmessage?.({ data });
    });
    this.#socket.on('error', (error) => this.onerror?.(error));
    this.#socket.on('close', (hadError) => {
      this.readyState = CLOSED;
      this.onclose?.({ code: hadError ? 1006 : 1000, reason: '', wasClean: !hadError });
    });
  }

  send(data: string | ArrayBuffer | ArrayBufferLike | Uint8Array): void {
    this.#socket.write(typeof data === 'string' ? data : Buffer.from(data as ArrayBuffer));
  }

  close(): void {
    this.#socket.end();
  }

  terminate(): void {
    this.#socket.destroy();
  }
}
