/** MQTT 3.1.1, as far as a load needs it: the grade is the QoS. */
import type { RawClient } from '../support/raw-client.ts';
import { FrameCounter, type Framing } from './frame-counter.ts';
import { Batch, type BenchProtocol, Grade, open, stream, type Target } from './party.ts';

const TOPIC = 'bench/topic';
const CONNECT = 0x10;
const PUBLISH = 0x30;
const PUBACK = 0x40;
const PUBREC = 0x50;
const PUBREL = 0x62;
const PUBCOMP = 0x70;
const SUBSCRIBE = 0x82;

let publishers = 0;

const PACKETS: Framing = {
  // Fixed header, topic and packet id.
  needed: 5 + 2 + TOPIC.length + 2,
  length(bytes, offset) {
    let length = 0;
    for (let i = 1; i < 5; i++) {
      const byte = bytes[offset + i];
      if (byte === undefined) return 0;
      length += (byte & 0x7f) << (7 * (i - 1));
      if (byte < 0x80) return length + i + 1;
    }
    throw new Error('not MQTT');
  },
};

export const mqtt: BenchProtocol = {
  name: 'mqtt',
  port: 1883,
  confirms: true,

  async consume(target, shape, number, received) {
    const client = await login(target, `bench-consumer-${number}`);
    const qos = shape.grade;
    client.send(packet(SUBSCRIBE, Buffer.from([0, 1]), text(TOPIC), Buffer.from([qos])));
    await client.read(5);
    let count = 0;
    let acks: number[] = [];
    const answer = qos === Grade.EXACTLY_ONCE ? PUBREC : PUBACK;
    const packets = new FrameCounter(PACKETS, (bytes, offset, length) => {
      if (bytes[offset] === PUBREL) {
        acks.push(PUBCOMP, 2, bytes[offset + 2] ?? 0, bytes[offset + 3] ?? 0);
        return;
      }
      if (((bytes[offset] ?? 0) & 0xf0) !== PUBLISH) return;
      count++;
      if (qos === 0) return;
      const id = offset + headerLength(length) + 2 + TOPIC.length;
      acks.push(answer, 2, bytes[id] ?? 0, bytes[id + 1] ?? 0);
    });
    const socket = stream(client, (chunk) => {
      count = 0;
      packets.push(chunk);
      if (acks.length > 0) socket.write(Buffer.from(acks));
      acks = [];
      if (count > 0) received(count);
    });
    return { close: () => socket.destroy() };
  },

  async publish(target, shape, confirmed) {
    publishers++;
    const client = await login(target, `bench-publisher-${publishers}`);
    const body = Buffer.alloc(shape.size, 'x');
    let count = 0;
    let releases: number[] = [];
    const packets = new FrameCounter(PACKETS, (bytes, offset) => {
      const type = bytes[offset];
      if (type === PUBACK || type === PUBCOMP) count++;
      else if (type === PUBREC) {
        releases.push(PUBREL, 2, bytes[offset + 2] ?? 0, bytes[offset + 3] ?? 0);
      }
    });
    const socket = stream(client, (chunk) => {
      count = 0;
      packets.push(chunk);
      if (releases.length > 0) socket.write(Buffer.from(releases));
      releases = [];
      if (count > 0) confirmed(count);
    });
    const close = (): void => {
      socket.destroy();
    };
    if (shape.grade === Grade.TRANSIENT) {
      const batch = new Batch(packet(PUBLISH, text(TOPIC), body));
      return { publish: (messages) => socket.write(batch.of(messages)), close };
    }
    const one = packet(PUBLISH | (shape.grade << 1), text(TOPIC), Buffer.from([0, 0]), body);
    const idAt = headerLength(one.length) + 2 + TOPIC.length;
    let id = 0;
    return {
      publish(messages) {
        const bytes = Buffer.from(new Batch(one).of(messages));
        for (let i = 0; i < messages; i++) {
          id = (id % 65_535) + 1;
          bytes.writeUInt16BE(id, i * one.length + idAt);
        }
        socket.write(bytes);
      },
      close,
    };
  },
};

async function login(target: Target, clientId: string): Promise<RawClient> {
  const client = await open(target);
  // Clean session, with user name and password.
  const header = Buffer.concat([text('MQTT'), Buffer.from([4, 0xc2, 0, 0])]);
  client.send(packet(CONNECT, header, text(clientId), text(target.user), text(target.password)));
  const connack = await client.read(4);
  if (connack[3] !== 0) throw new Error(`login refused: ${connack[3]}`);
  return client;
}

function packet(first: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const header = [first];
  let length = body.length;
  do {
    header.push(length > 127 ? (length & 0x7f) | 0x80 : length);
    length >>= 7;
  } while (length > 0);
  return Buffer.concat([Buffer.from(header), body]);
}

/** Bytes before the variable header of a packet of that total length. */
function headerLength(total: number): number {
  for (let bytes = 1; bytes < 4; bytes++) if (total - 1 - bytes < 128 ** bytes) return 1 + bytes;
  return 5;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(`  ${value}`);
  bytes.writeUInt16BE(bytes.length - 2);
  return bytes;
}
