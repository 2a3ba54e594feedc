/**
 * What a load needs of a protocol: publishers and consumers that are cheap enough not to be what is
 * measured. They speak the wire by hand, send whole batches encoded beforehand, and count rather
 * than parse.
 */
import type { Socket } from 'node:net';
import { connect, type RawClient } from '../support/raw-client.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** XMPP: who the messages are for, with the same password. */
  readonly consumer: string;
  readonly domain: string;
}

export interface Shape {
  /** Body bytes of a message. */
  readonly size: number;
  /** Persistent messages, publisher confirms, consumer acknowledgements. */
  readonly confirmed: boolean;
  /** Consumers that each get every message. */
  readonly consumers: number;
}

export interface Publisher {
  /** Writes `count` messages in one go. */
  publish(count: number): void;
  close(): void;
}

export interface Consumer {
  close(): void;
}

/** Told how many more. */
export type Counted = (count: number) => void;

export interface BenchProtocol {
  readonly name: string;
  readonly port: number;
  /** Whether there is a way to confirm that we measure. */
  readonly confirms: boolean;
  consume(target: Target, shape: Shape, number: number, received: Counted): Promise<Consumer>;
  /** `confirmed` is told nothing where the shape is not confirmed. */
  publish(target: Target, shape: Shape, confirmed: Counted): Promise<Publisher>;
}

export function open(target: Target): Promise<RawClient> {
  return connect(target.port, target.host);
}

/** After the handshake: raw chunks from here on, starting with what is left over. */
export function stream(client: RawClient, onChunk: (chunk: Buffer) => void): Socket {
  const rest = client.received;
  const { socket } = client;
  socket.removeAllListeners('data');
  socket.setNoDelay(true);
  socket.on('data', onChunk);
  if (rest.length > 0) onChunk(rest);
  return socket;
}

/** Copies of one message in a row, made when first asked for. */
export class Batch {
  readonly #message: Buffer;
  #bytes = Buffer.alloc(0);

  constructor(message: Buffer) {
    this.#message = message;
  }

  of(count: number): Buffer {
    const length = count * this.#message.length;
    if (this.#bytes.length < length) this.#bytes = Buffer.alloc(length, this.#message);
    return this.#bytes.subarray(0, length);
  }
}
