/** AMQP 0-9-1, as far as a load needs it. */
import type { RawClient } from '../support/raw-client.ts';
import { Confirms } from './confirms.ts';
import { FrameCounter, type Framing } from './frame-counter.ts';
import {
  Batch,
  type BenchProtocol,
  Grade,
  open,
  type Route,
  type Shape,
  stream,
  type Target,
} from './party.ts';

const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const FRAME_END = 0xce;
const BASIC_DELIVER = 60 * 65_536 + 60;
const BASIC_ACK = 60 * 65_536 + 80;

/** Routing keys in use where there are many bindings. */
const KEYS = 1000;

const FRAMES: Framing = {
  // Frame header, method, and of a delivery the tag after its consumer tag of one letter.
  needed: 21,
  length: (bytes, offset) => (offset + 7 > bytes.length ? 0 : bytes.readUInt32BE(offset + 3) + 8),
};

export const amqp: BenchProtocol = {
  name: 'amqp',
  port: 5672,
  confirms: true,

  async consume(target, shape, number, received) {
    const client = await login(target);
    const confirmed = shape.grade !== Grade.TRANSIENT;
    const queue = await declare(client, `bench-${number}`, confirmed);
    await bind(client, queue, shape.route, ...bindingOf(shape));
    if (shape.bindings > 0) {
      const other = await declare(client, 'bench-other', false);
      for (let i = 0; i < shape.bindings; i++) {
        await bind(client, other, 'topic', 'amq.topic', `other.${i}.*`);
      }
    }
    if (confirmed) {
      client.send(method(60, 10, [0, 0, 0, 0], u16(1000), [0]));
      await reply(client, 60, 11);
    }
    const noAck = confirmed ? 0 : 0b10;
    client.send(method(60, 20, u16(0), short(queue), short('c'), [noAck], table()));
    await reply(client, 60, 21);
    let count = 0;
    const ack = method(60, 80, [0, 0, 0, 0, 0, 0, 0, 0], [1]);
    const frames = new FrameCounter(FRAMES, (bytes, offset) => {
      if (bytes[offset] !== METHOD || bytes.readUInt32BE(offset + 7) !== BASIC_DELIVER) return;
      count++;
      if (confirmed) bytes.copy(ack, 11, offset + 13, offset + 21);
    });
    const socket = stream(client, (chunk) => {
      count = 0;
      frames.push(chunk);
      if (count === 0) return;
      if (confirmed) socket.write(Buffer.from(ack));
      received(count);
    });
    return { close: () => socket.destroy() };
  },

  async publish(target, shape, confirmed) {
    const client = await login(target);
    if (shape.grade !== Grade.TRANSIENT) {
      client.send(method(85, 10, [0]));
      await reply(client, 85, 11);
    }
    const batch = new Batch(...messages(shape));
    const confirms = new Confirms(confirmed);
    const frames = new FrameCounter(FRAMES, (bytes, offset) => {
      if (bytes[offset] !== METHOD || bytes.readUInt32BE(offset + 7) !== BASIC_ACK) return;
      confirms.take(Number(bytes.readBigUInt64BE(offset + 11)), bytes[offset + 19] === 1);
    });
    const socket = stream(client, (chunk) => frames.push(chunk));
    return {
      publish: (count) => socket.write(batch.of(count)),
      close: () => socket.destroy(),
    };
  },
};

async function login({ user, password, ...target }: Target): Promise<RawClient> {
  const client = await open({ user, password, ...target });
  client.send(Buffer.from('AMQP\0\0\x09\x01', 'latin1'));
  await reply(client, 10, 10);
  client.send(
    method(10, 11, table(), short('PLAIN'), long(`\0${user}\0${password}`), short('en_US')).fill(
      0,
      1,
      3,
    ),
  );
  await reply(client, 10, 30);
  client.send(method(10, 31, u16(2047), [0, 2, 0, 0], u16(0)).fill(0, 1, 3));
  client.send(method(10, 40, short('/'), short(''), [0]).fill(0, 1, 3));
  await reply(client, 10, 41);
  client.send(method(20, 10, short('')));
  await reply(client, 20, 11);
  return client;
}

/** Waits for a method, dropping it and what came before. */
async function reply(client: RawClient, classId: number, methodId: number): Promise<void> {
  for (;;) {
    const head = await client.readUntil((bytes) => bytes.length >= 7);
    const frame = await client.read(head.readUInt32BE(3) + 8);
    const id = `${frame.readUInt16BE(7)}.${frame.readUInt16BE(9)}`;
    if (id === `${classId}.${methodId}`) return;
    if (id === '10.50' || id === '20.40') throw new Error(`refused: ${frame.toString('latin1')}`);
  }
}

/** Declares a queue and empties it. Returns its name. */
async function declare(client: RawClient, name: string, durable: boolean): Promise<string> {
  const queue = durable ? `${name}-durable` : name;
  const flags = durable ? 0b0000_0010 : 0b0000_1000;
  client.send(method(50, 10, u16(0), short(queue), [flags], table()));
  await reply(client, 50, 11);
  client.send(method(50, 30, u16(0), short(queue), [0]));
  await reply(client, 50, 31);
  return queue;
}

async function bind(
  client: RawClient,
  queue: string,
  route: Route,
  exchange: string,
  key: string,
): Promise<void> {
  if (route === 'queue') return;
  client.send(method(50, 20, u16(0), short(queue), short(exchange), short(key), [0], table()));
  await reply(client, 50, 21);
}

function bindingOf({ route, bindings }: Shape): [exchange: string, key: string] {
  if (route === 'fan-out') return ['amq.fanout', ''];
  return ['amq.topic', bindings > 0 ? 'bench.topic.#' : 'bench.topic'];
}

function messages(shape: Shape): Buffer[] {
  if (shape.bindings === 0) {
    const queue = shape.grade === Grade.TRANSIENT ? 'bench-0' : 'bench-0-durable';
    return [
      shape.route === 'queue' ? message(shape, '', queue) : message(shape, ...bindingOf(shape)),
    ];
  }
  return Array.from({ length: KEYS }, (_, number) =>
    message(shape, 'amq.topic', `bench.topic.${String(number).padStart(4, '0')}`),
  );
}

function message({ size, grade }: Shape, exchange: string, key: string): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(size));
  const properties =
    grade === Grade.TRANSIENT
      ? [0x80, 0, ...short('text/plain')]
      : [0x90, 0, ...short('text/plain'), 2];
  return Buffer.concat([
    method(60, 40, u16(0), short(exchange), short(key), [0]),
    frame(HEADER, [...u16(60), ...u16(0), ...bytes, ...properties]),
    frame(BODY, Buffer.alloc(size, 'x')),
  ]);
}

function method(classId: number, methodId: number, ...fields: (readonly number[])[]): Buffer {
  return frame(METHOD, [...u16(classId), ...u16(methodId), ...fields.flat()]);
}

function frame(type: number, payload: readonly number[] | Buffer): Buffer {
  const bytes = Buffer.alloc(payload.length + 8);
  bytes[0] = type;
  bytes.writeUInt16BE(1, 1);
  bytes.writeUInt32BE(payload.length, 3);
  bytes.set(payload, 7);
  bytes[payload.length + 7] = FRAME_END;
  return bytes;
}

const u16 = (value: number): number[] => [value >> 8, value & 0xff];
const short = (text: string): number[] => [text.length, ...Buffer.from(text)];
const long = (text: string): number[] => [...u16(0), ...u16(text.length), ...Buffer.from(text)];
const table = (): number[] => [0, 0, 0, 0];
