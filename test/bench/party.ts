/**
 * What a load needs of a protocol: publishers and consumers that are cheap enough not to be what is
 * measured. They speak the wire by hand, send whole batches encoded beforehand, and count rather
 * than parse.
 */
import type { Socket } from 'node:net';
import { connect, type RawClient } from '../support/raw-client.ts';
import type { Confirmed } from './confirms.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** XMPP: who the messages are for, with the same password. */
  readonly consumer: string;
  readonly domain: string;
}

/** What becomes of a message that is lost on the way. */
export const Grade = {
  /** Nothing. */
  TRANSIENT: 0,
  /**
   * Persistent, publisher confirms, consumer acknowledgements; STOMP: acknowledgements alone; MQTT:
   * QoS 1.
   */
  CONFIRMED: 1,
  /** MQTT: QoS 2. */
  EXACTLY_ONCE: 2,
} as const;
export type Grade = (typeof Grade)[keyof typeof Grade];

/**
 * How messages find their consumers: the same address in every protocol, but two that XMPP alone
 * has: `passing` goes to a person and asks not to be stored, `room` to everybody in a chat room.
 */
export type Route = 'queue' | 'fan-out' | 'topic' | 'passing' | 'room';

export interface Shape {
  /** Body bytes of a message. */
  readonly size: number;
  readonly grade: Grade;
  readonly route: Route;
  /** Publishers that share the load. */
  readonly publishers: number;
  /** Consumers that each get every message. */
  readonly consumers: number;
  /** Bindings beside those that match. */
  readonly bindings: number;
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
  /** Whether publishers are told of grades that ask for it. */
  readonly confirms: boolean;
  consume(target: Target, shape: Shape, number: number, received: Counted): Promise<Consumer>;
  /** `confirmed` is told nothing where the shape is not confirmed. */
  publish(target: Target, shape: Shape, confirmed: Confirmed): Promise<Publisher>;
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

/** Copies of a message, or of several of one length in turn, in a row. */
export class Batch {
  readonly #messages: Buffer;
  readonly #messageBytes: number;
  #bytes = Buffer.alloc(0);
  #next = 0;

  constructor(...messages: readonly Buffer[]) {
    this.#messages = Buffer.concat(messages);
    this.#messageBytes = this.#messages.length / messages.length;
  }

  of(count: number): Buffer {
    const length = count * this.#messageBytes;
    const around = this.#messages.length;
    if (this.#bytes.length < length + around) {
      this.#bytes = Buffer.alloc(length + around, this.#messages);
    }
    const start = this.#next;
    this.#next = (start + length) % around;
    return this.#bytes.subarray(start, start + length);
  }
}
