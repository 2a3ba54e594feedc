/**
 * An MQTT client for protocol scripts, without a network: packets in and out by `mqtt-packet`, an
 * independent codec.
 */
import {
  generate,
  type IConnectPacket,
  type IPublishPacket,
  type Packet,
  type Parser,
  parser,
} from 'mqtt-packet';
import type { Connection, Gate } from '../../../adapters/adapter.ts';
import { mqtt } from '../../../adapters/mqtt/adapter.ts';
import { PipeTransport } from '../../support/pipe-transport.ts';
import { createWorld, PEER, type World, type WorldOptions } from '../../support/world.ts';

export class TestGateway {
  readonly world: World;
  readonly gate: Gate;

  constructor(section: Record<string, unknown> = {}, options: WorldOptions = {}) {
    this.world = createWorld(options);
    const gate = mqtt.start(this.world.context, mqtt.options({ sys_interval: 0, ...section }));
    if (gate instanceof Promise) throw new Error('the gate starts at once');
    this.gate = gate;
  }

  client(version: 3 | 4 | 5 = 5): TestClient {
    return new TestClient(this.gate, version);
  }

  /** A client that is connected. `parts` adds to its CONNECT. */
  connect(
    clientId: string,
    version: 3 | 4 | 5 = 5,
    parts: Partial<IConnectPacket> = {},
  ): TestClient {
    const client = this.client(version);
    client.connect(clientId, parts);
    return client;
  }
}

export class TestClient {
  readonly transport = new PipeTransport();
  readonly connection: Connection;
  readonly version: 3 | 4 | 5;
  readonly #parser: Parser;
  #packets: Packet[] = [];
  #lastId = 0;

  constructor(gate: Gate, version: 3 | 4 | 5) {
    this.version = version;
    this.connection = gate.accept(this.transport, PEER, { protocol: 'mqtt' });
    this.#parser = parser({ protocolVersion: version });
    this.#parser.on('packet', (packet) => this.#packets.push(packet));
    this.#parser.on('error', (error) => {
      throw error;
    });
  }

  /** Connects; answers the CONNACK, what came behind it is left to be taken. */
  connect(clientId: string, parts: Partial<IConnectPacket> = {}): Packet {
    this.send({
      cmd: 'connect',
      protocolId: this.version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: this.version,
      clean: true,
      clientId,
      keepalive: 0,
      username: 'alice',
      password: Buffer.from('secret'),
      ...parts,
    });
    this.peek();
    const connack = this.#packets.shift();
    if (connack?.cmd !== 'connack') throw new Error(`no CONNACK but ${connack?.cmd}`);
    return connack;
  }

  send(packet: Packet): void {
    this.raw(generate(packet, { protocolVersion: this.version }));
  }

  raw(bytes: Buffer | readonly number[]): void {
    this.connection.receive(Buffer.from(bytes));
  }

  nextId(): number {
    this.#lastId++;
    return this.#lastId;
  }

  subscribe(topic: string, qos: 0 | 1 | 2 = 0, parts: Record<string, unknown> = {}): number[] {
    const { properties, ...options } = parts;
    this.send({
      cmd: 'subscribe',
      messageId: this.nextId(),
      subscriptions: [{ topic, qos, ...options }],
      ...(properties === undefined ? {} : { properties }),
    } as Packet);
    const index = this.peek().findIndex(({ cmd }) => cmd === 'suback');
    const [suback] = this.#packets.splice(index, 1);
    if (suback?.cmd !== 'suback') throw new Error('no SUBACK');
    return suback.granted as number[];
  }

  unsubscribe(...topics: string[]): Packet {
    this.send({ cmd: 'unsubscribe', messageId: this.nextId(), unsubscriptions: topics });
    return this.one('unsuback');
  }

  publish(
    topic: string,
    payload: string | Buffer,
    qos: 0 | 1 | 2 = 0,
    parts: Partial<IPublishPacket> = {},
  ): number {
    const messageId = qos === 0 ? 0 : (parts.messageId ?? this.nextId());
    this.send({
      cmd: 'publish',
      topic,
      payload,
      qos,
      dup: false,
      retain: false,
      ...parts,
      messageId,
    });
    return messageId;
  }

  /** Everything that came since it was last asked. */
  take(): Packet[] {
    this.peek();
    return this.#packets.splice(0);
  }

  /** What came, left to be taken. */
  peek(): readonly Packet[] {
    const bytes = this.transport.sent();
    if (bytes.length > 0) this.#parser.parse(bytes);
    return this.#packets;
  }

  /** The only packet that came, which is of this type. */
  one<T extends Packet['cmd']>(cmd: T): Extract<Packet, { cmd: T }> {
    const [packet, ...more] = this.take();
    if (packet?.cmd !== cmd || more.length > 0) {
      throw new Error(`expected ${cmd}, got ${JSON.stringify([packet, ...more])}`);
    }
    return packet as Extract<Packet, { cmd: T }>;
  }

  /** The messages that came, other packets left out; QoS 1 ones acknowledged with `ack`. */
  messages(ack: boolean = true): IPublishPacket[] {
    const publishes = this.take().filter((packet) => packet.cmd === 'publish');
    if (ack) {
      for (const { qos, messageId } of publishes) {
        if (qos === 1 && messageId !== undefined) this.send({ cmd: 'puback', messageId });
        if (qos === 2 && messageId !== undefined) {
          this.send({ cmd: 'pubrec', messageId });
          this.send({ cmd: 'pubcomp', messageId });
        }
      }
    }
    return publishes;
  }

  /** Topic and body of the messages that came. */
  texts(): string[] {
    return this.messages().map(({ topic, payload }) => `${topic} ${payload.toString()}`);
  }

  disconnect(reasonCode: number = 0, properties: Record<string, unknown> = {}): void {
    this.send({ cmd: 'disconnect', reasonCode, properties } as Packet);
    this.lose();
  }

  /** The network is gone. */
  lose(): void {
    this.connection.closed(null);
  }
}
