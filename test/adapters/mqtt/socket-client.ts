/**
 * An MQTT client over a real socket that does nothing by itself: no acknowledgement, no ping, no
 * reconnect. Packets are read and written by `mqtt-packet`, an independent codec.
 */
import {
  generate,
  type IConnackPacket,
  type IConnectPacket,
  type IPublishPacket,
  type Packet,
  parser,
} from 'mqtt-packet';
import { connect, type RawClient } from '../../support/raw-client.ts';

export type Level = 3 | 4 | 5;

export class SocketClient {
  readonly raw: RawClient;
  readonly level: Level;
  /** Packets that came and were not asked for yet. */
  readonly #packets: Packet[] = [];
  readonly #feed: (bytes: Buffer) => void;
  #lastId = 0;

  private constructor(raw: RawClient, level: Level) {
    this.raw = raw;
    this.level = level;
    const decoder = parser({ protocolVersion: level });
    decoder.on('packet', (packet) => this.#packets.push(packet));
    this.#feed = (bytes) => void decoder.parse(bytes);
  }

  static async open(port: number, level: Level = 5): Promise<SocketClient> {
    return new SocketClient(await connect(port), level);
  }

  /** Opens a connection and logs in; the CONNACK must be a good one. */
  static async join(
    port: number,
    level: Level,
    clientId: string,
    parts: Partial<IConnectPacket> = {},
  ): Promise<SocketClient> {
    const client = await SocketClient.open(port, level);
    const connack = await client.connect(clientId, parts);
    const code = level === 5 ? connack.reasonCode : connack.returnCode;
    if (code !== 0) throw new Error(`CONNACK with code ${code}`);
    return client;
  }

  async connect(clientId: string, parts: Partial<IConnectPacket> = {}): Promise<IConnackPacket> {
    this.send({
      cmd: 'connect',
      protocolId: this.level === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: this.level,
      clean: true,
      clientId,
      keepalive: 0,
      username: 'alice',
      password: Buffer.from('secret'),
      ...parts,
    });
    return (await this.next('connack')) as IConnackPacket;
  }

  send(packet: Packet): void {
    this.raw.send(generate(packet, { protocolVersion: this.level }));
  }

  bytes(hex: string): void {
    this.raw.send(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  }

  /** A fresh packet identifier. */
  id(): number {
    this.#lastId++;
    return this.#lastId;
  }

  /** The next packet. Rejects where the broker closes instead. */
  async any(): Promise<Packet> {
    for (;;) {
      const packet = this.#packets.shift();
      if (packet !== undefined) return packet;
      await this.#more();
    }
  }

  /** The next packet of this type; others wait for their turn. */
  async next<T extends Packet['cmd']>(cmd: T): Promise<Extract<Packet, { cmd: T }>> {
    for (;;) {
      const index = this.#packets.findIndex((packet) => packet.cmd === cmd);
      const [packet] = index < 0 ? [] : this.#packets.splice(index, 1);
      if (packet !== undefined) return packet as Extract<Packet, { cmd: T }>;
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    const chunk = await this.raw.readUntil((received) => received.length > 0);
    this.raw.consume(chunk.length);
    this.#feed(chunk);
  }

  async subscribe(
    topic: string | readonly string[],
    qos: 0 | 1 | 2 = 0,
    parts: Record<string, unknown> = {},
  ): Promise<number[]> {
    const { properties, ...options } = parts;
    const messageId = this.id();
    const topics = typeof topic === 'string' ? [topic] : topic;
    this.send({
      cmd: 'subscribe',
      messageId,
      subscriptions: topics.map((name) => ({ topic: name, qos, ...options })),
      ...(properties === undefined ? {} : { properties }),
    } as Packet);
    const suback = await this.next('suback');
    if (suback.messageId !== messageId) throw new Error('a SUBACK for something else');
    return suback.granted as number[];
  }

  async unsubscribe(...topics: string[]): Promise<number[]> {
    const messageId = this.id();
    this.send({ cmd: 'unsubscribe', messageId, unsubscriptions: topics });
    const unsuback = await this.next('unsuback');
    if (unsuback.messageId !== messageId) throw new Error('an UNSUBACK for something else');
    return (unsuback.granted ?? []) as number[];
  }

  /** Sends a PUBLISH and no more; answers its packet identifier. */
  publish(
    topic: string,
    payload: string | Buffer,
    qos: 0 | 1 | 2 = 0,
    parts: Partial<IPublishPacket> = {},
  ): number {
    const messageId = qos === 0 ? 0 : (parts.messageId ?? this.id());
    const head = { cmd: 'publish', topic, payload, qos, dup: false, retain: false } as const;
    this.send({ ...head, ...parts, messageId });
    return messageId;
  }

  /** Publishes, and waits until the broker has it; answers the reason code that it gave. */
  async put(
    topic: string,
    payload: string | Buffer,
    qos: 0 | 1 | 2 = 1,
    parts: Partial<IPublishPacket> = {},
  ): Promise<number> {
    const messageId = this.publish(topic, payload, qos, parts);
    if (qos === 0) {
      this.send({ cmd: 'pingreq' });
      await this.next('pingresp');
      return 0;
    }
    if (qos === 1) return (await this.next('puback')).reasonCode ?? 0;
    const { reasonCode = 0 } = await this.next('pubrec');
    if (reasonCode >= 0x80) return reasonCode;
    this.send({ cmd: 'pubrel', messageId });
    await this.next('pubcomp');
    return reasonCode;
  }

  /** Takes the next message with all that its QoS asks for. */
  async message(): Promise<IPublishPacket> {
    const publish = await this.next('publish');
    const { messageId, qos } = publish;
    if (qos === 1 && messageId !== undefined) this.send({ cmd: 'puback', messageId });
    if (qos === 2 && messageId !== undefined) {
      this.send({ cmd: 'pubrec', messageId });
      await this.next('pubrel');
      this.send({ cmd: 'pubcomp', messageId });
    }
    return publish;
  }

  /** The bodies of so many messages. */
  async texts(count: number): Promise<string[]> {
    const texts: string[] = [];
    while (texts.length < count) texts.push((await this.message()).payload.toString());
    return texts;
  }

  /** That nothing else came before the answer to a ping. */
  async quiet(): Promise<void> {
    this.send({ cmd: 'pingreq' });
    await this.next('pingresp');
    if (this.#packets.length > 0) throw new Error(`not quiet: ${JSON.stringify(this.#packets)}`);
  }

  /** Says good-bye; resolves when the broker has closed. */
  async leave(reasonCode: number = 0, properties: Record<string, unknown> = {}): Promise<void> {
    this.send({ cmd: 'disconnect', reasonCode, properties } as Packet);
    this.raw.end();
    await this.raw.closed();
  }

  /** The network is gone. */
  cut(): void {
    this.raw.destroy();
  }

  /** Resolves when the broker has closed; answers the DISCONNECT that it sent, or null. */
  async dropped(): Promise<number | null> {
    await this.raw.closed();
    const rest = this.raw.received;
    this.raw.consume(rest.length);
    if (rest.length > 0) this.#feed(rest);
    const last = this.#packets.at(-1);
    return last?.cmd === 'disconnect' ? (last.reasonCode ?? 0) : null;
  }
}
