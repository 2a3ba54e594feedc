/**
 * A bare TCP (or TLS) client for tests: what it received so far is `received`, and waiting is
 * always for something that must arrive or a close, never for a time.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

export class RawClient {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #error: Error | null = null;
  #closed = false;
  #ended = false;
  #waiting: (() => void)[] = [];

  /** Takes over a connected socket. */
  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      this.#wake();
    });
    socket.on('end', () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** Everything received and not consumed yet. */
  get received(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks, this.#bytes)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  /** How many bytes that is; cheaper than asking for them. */
  get receivedBytes(): number {
    return this.#bytes;
  }

  send(bytes: Buffer | string): void {
    this.socket.write(bytes);
  }

  /**
   * Waits until what was received satisfies `predicate`, and returns it; rejects if the server
   * closes first.
   */
  async readUntil(predicate: (received: Buffer) => boolean): Promise<Buffer> {
    for (;;) {
      const received = this.received;
      if (predicate(received)) return received;
      if (this.#closed || this.#ended) {
        const reason = this.#error === null ? '' : ` (${this.#error.message})`;
        throw new Error(`closed${reason} after ${received.length} bytes: ${excerpt(received)}`);
      }
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
  }

  /** Waits for exactly the next `size` bytes and removes them from what was received. */
  async read(size: number): Promise<Buffer> {
    const received = await this.readUntil((bytes) => bytes.length >= size);
    this.consume(size);
    return received.subarray(0, size);
  }

  /** Waits for `text` and removes everything up to its end. */
  async readText(text: string): Promise<string> {
    const received = await this.readUntil((bytes) => bytes.includes(text));
    const end = received.indexOf(text) + Buffer.byteLength(text);
    this.consume(end);
    return received.toString('utf8', 0, end);
  }

  /** Drops the first `size` received bytes. */
  consume(size: number): void {
    const rest = this.received.subarray(size);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
  }

  /**
   * Waits until the server has closed; answers the error that it ended with (ECONNRESET), if any.
   */
  async closed(): Promise<Error | null> {
    while (!this.#closed) await new Promise<void>((wake) => this.#waiting.push(wake));
    return this.#error;
  }

  /** Sends FIN after what was sent. */
  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** Connects to a port of this machine. */
export function connect(port: number, host: string = '127.0.0.1'): Promise<RawClient> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ port, host, noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(new RawClient(socket));
    });
  });
}

/** Connects with TLS; resolves when the handshake is done. */
export function connectSecure(port: number, options: ConnectionOptions): Promise<RawClient> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ...options });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.off('error', reject);
      resolve(new RawClient(socket));
    });
  });
}

function excerpt(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1', 0, 200));
}
