/**
 * An MQTT client that keeps to the rules, however often its connection breaks: it publishes numbers
 * to itself with QoS 2, and throws where one is missing, doubled or out of order, where the broker
 * breaks a rule of the protocol, or ends a connection that did nothing wrong.
 */
import { generate, type IPublishPacket, type Packet, type Parser, parser } from 'mqtt-packet';
import type { Connection } from '../../adapters/adapter.ts';
import { PipeTransport } from '../support/pipe-transport.ts';
import type { SeededRandom } from '../support/seeded-random.ts';

/** Publishes that it has not heard the end of, at most. */
const UNFINISHED_MAX = 10;

interface Unfinished {
  readonly messageId: number;
  readonly payload: string;
  /** PUBREC came: PUBREL is what it goes on with. */
  released: boolean;
}

export class HonestClient {
  readonly #name: string;
  readonly #random: SeededRandom;
  readonly #accept: (transport: PipeTransport) => Connection;
  readonly #version: 4 | 5;
  #transport = new PipeTransport();
  #connection: Connection | null = null;
  #parser: Parser = parser();
  #known = false;
  #subscribed = false;
  #receiveMaximum = 0;
  // Of the session.
  #unfinished: Unfinished[] = [];
  #published = 0;
  #expected = 0;
  readonly #taken = new Set<number>();
  // Of the connection.
  readonly #inFlight = new Set<number>();
  #answers: Packet[] = [];

  constructor(
    name: string,
    version: 4 | 5,
    random: SeededRandom,
    accept: (transport: PipeTransport) => Connection,
  ) {
    this.#name = name;
    this.#version = version;
    this.#random = random;
    this.#accept = accept;
  }

  get received(): number {
    return this.#expected;
  }

  /** Does one thing, and looks at what came. */
  act(): void {
    const choice = this.#random.below(40);
    if (this.#connection === null) this.#connect();
    else if (choice === 0) this.#lose();
    else if (choice === 1) this.#block();
    else if (choice < 12) this.#publish();
    else if (choice < 30) this.#answer();
    else if (choice === 30) this.#send({ cmd: 'pingreq' });
    this.#read();
  }

  /** Nothing more is published: what is under way is finished. */
  finish(): void {
    for (let steps = 0; this.#expected < this.#published; steps++) {
      if (steps > 10_000) throw this.#wrong(`${this.#published - this.#expected} never came`);
      if (this.#connection === null) this.#connect();
      this.#answer();
      this.#read();
    }
  }

  #connect(): void {
    const v5 = this.#version === 5;
    this.#receiveMaximum = v5 ? 1 + this.#random.below(4) : 65_535;
    const properties = { sessionExpiryInterval: 1e6, receiveMaximum: this.#receiveMaximum };
    this.#transport = new PipeTransport();
    this.#connection = this.#accept(this.#transport);
    this.#inFlight.clear();
    this.#answers = [];
    this.#parser = parser({ protocolVersion: this.#version });
    this.#parser.on('packet', (packet) => this.#packet(packet));
    this.#parser.on('error', (error) => {
      throw error;
    });
    this.#send({
      ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: this.#version, clean: false },
      ...{ clientId: this.#name, keepalive: 0, username: 'alice' },
      ...{ password: Buffer.from('secret'), ...(v5 ? { properties } : {}) },
    });
    this.#read();
    if (!this.#subscribed) {
      const subscriptions = [{ topic: this.#name, qos: 2 as const }];
      this.#send({ cmd: 'subscribe', messageId: 65_535, subscriptions });
      this.#subscribed = true;
    }
    for (const each of this.#unfinished) {
      if (each.released) this.#send({ cmd: 'pubrel', messageId: each.messageId });
      else this.#send(this.#publication(each, true));
    }
  }

  #lose(): void {
    this.#connection?.closed(null);
    this.#connection = null;
  }

  /** Its socket is full for a while, or has room again. */
  #block(): void {
    this.#transport.congested = !this.#transport.congested;
    if (!this.#transport.congested) this.#connection?.drained();
  }

  #publish(): void {
    if (this.#unfinished.length >= UNFINISHED_MAX) return;
    let messageId = 1;
    while (this.#unfinished.some((each) => each.messageId === messageId)) messageId++;
    const made = { messageId, payload: String(this.#published++), released: false };
    this.#unfinished.push(made);
    this.#send(this.#publication(made, false));
  }

  #publication({ messageId, payload }: Unfinished, dup: boolean): IPublishPacket {
    return { cmd: 'publish', topic: this.#name, payload, qos: 2, messageId, dup, retain: false };
  }

  /** Sends what it owes first. */
  #answer(): void {
    if (this.#transport.congested) this.#block();
    const next = this.#answers.shift();
    if (next === undefined) return;
    if (next.cmd === 'pubcomp') this.#inFlight.delete(next.messageId ?? 0);
    this.#send(next);
  }

  #send(packet: Packet): void {
    const bytes = generate(packet, { protocolVersion: this.#version });
    const at = this.#random.below(bytes.length + 1);
    this.#connection?.receive(bytes.subarray(0, at));
    this.#connection?.receive(bytes.subarray(at));
  }

  #read(): void {
    if (this.#connection === null) return;
    const bytes = this.#transport.sent();
    if (bytes.length > 0) this.#parser.parse(bytes);
    if (this.#transport.ended !== null) throw this.#wrong('its connection was ended');
  }

  #packet(packet: Packet): void {
    switch (packet.cmd) {
      case 'connack':
        if (packet.sessionPresent !== this.#known) throw this.#wrong('its session is another');
        this.#known = true;
        return;
      case 'publish':
        this.#message(packet);
        return;
      case 'pubrel':
        this.#inFlight.add(packet.messageId ?? 0);
        this.#taken.delete(packet.messageId ?? 0);
        this.#answers.push({ cmd: 'pubcomp', messageId: packet.messageId ?? 0 });
        return;
      case 'pubrec':
        for (const each of this.#unfinished) {
          if (each.messageId === packet.messageId) each.released = true;
        }
        this.#answers.push({ cmd: 'pubrel', messageId: packet.messageId ?? 0 });
        return;
      case 'pubcomp':
        this.#unfinished = this.#unfinished.filter((each) => each.messageId !== packet.messageId);
        return;
      case 'disconnect':
        throw this.#wrong(`DISCONNECT ${packet.reasonCode}`);
      default:
    }
  }

  #message({ messageId = 0, payload, dup }: IPublishPacket): void {
    if (messageId === 0) throw this.#wrong('a packet identifier of 0');
    if (this.#inFlight.has(messageId)) throw this.#wrong(`identifier ${messageId} in use`);
    this.#inFlight.add(messageId);
    if (this.#inFlight.size > this.#receiveMaximum) throw this.#wrong('more than it takes');
    this.#answers.push({ cmd: 'pubrec', messageId });
    if (this.#taken.has(messageId)) {
      if (!dup) throw this.#wrong(`identifier ${messageId} given twice`);
      return;
    }
    this.#taken.add(messageId);
    if (payload.toString() !== String(this.#expected)) {
      throw this.#wrong(`${payload.toString()} where ${this.#expected} was next`);
    }
    this.#expected++;
  }

  #wrong(what: string): Error {
    return new Error(`client ${this.#name}: ${what}`);
  }
}
