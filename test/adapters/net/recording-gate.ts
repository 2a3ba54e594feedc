import type { Connection, Gate, ListenerOptions, Transport } from '../../../adapters/adapter.ts';
import type { Peer } from '../../../core/engine.ts';

/** A connection as a test sees it: what came, and what the transport said. */
export class RecordedConnection implements Connection {
  readonly transport: Transport;
  readonly peer: Peer;
  readonly listener: ListenerOptions;
  readonly chunks: Buffer[] = [];
  drains = 0;
  /** Each call of `closed`. */
  readonly closings: (Error | null)[] = [];
  onReceive: (chunk: Buffer) => void = () => {};
  onDrained: () => void = () => {};
  #waiting: (() => void)[] = [];

  constructor(transport: Transport, peer: Peer, listener: ListenerOptions) {
    this.transport = transport;
    this.peer = peer;
    this.listener = listener;
  }

  get received(): Buffer {
    return Buffer.concat(this.chunks);
  }

  receive(chunk: Buffer): void {
    this.chunks.push(Buffer.from(chunk));
    this.onReceive(chunk);
    this.#wake();
  }

  drained(): void {
    this.drains++;
    this.onDrained();
    this.#wake();
  }

  closed(error: Error | null): void {
    this.closings.push(error);
    this.#wake();
  }

  /** Waits, event by event, until `condition` holds. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((wake) => this.#waiting.push(wake));
  }

  /** Waits for the end; answers what `closed` was told. */
  async ended(): Promise<Error | null> {
    await this.until(() => this.closings.length > 0);
    return this.closings[0] ?? null;
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** A gate that records its connections; `opened` scripts each as it comes. */
export class RecordingGate implements Gate {
  readonly connections: RecordedConnection[] = [];
  opened: (connection: RecordedConnection) => void;
  #waiting: (() => void)[] = [];

  constructor(opened: (connection: RecordedConnection) => void = () => {}) {
    this.opened = opened;
  }

  accept(transport: Transport, peer: Peer, listener: ListenerOptions): Connection {
    const connection = new RecordedConnection(transport, peer, listener);
    this.connections.push(connection);
    this.opened(connection);
    for (const wake of this.#waiting.splice(0)) wake();
    return connection;
  }

  async stop(): Promise<void> {}

  /** Waits for the connection of that number, from 0. */
  async connection(number: number = 0): Promise<RecordedConnection> {
    for (;;) {
      const connection = this.connections[number];
      if (connection !== undefined) return connection;
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
  }
}

/** Sends back what comes. */
export function echo(connection: RecordedConnection): void {
  connection.onReceive = (chunk) => {
    connection.transport.output.write(Buffer.from(chunk));
    connection.transport.cut();
  };
}
