import fc from 'fast-check';
import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import {
  decodeConnect,
  decodePublish,
  decodeSubscribe,
  decodeUnsubscribe,
  PublishFields,
} from '../../../adapters/mqtt/decoder.ts';
import { connack, disconnect, PropertyBlock, putVarint } from '../../../adapters/mqtt/encoder.ts';
import { FieldReader } from '../../../adapters/mqtt/field-reader.ts';
import { PacketFramer } from '../../../adapters/mqtt/framer.ts';
import { Property } from '../../../adapters/mqtt/property.ts';
import { Violation } from '../../../adapters/mqtt/reason.ts';

/** The packets of a stream in these chunks, as hexadecimal. */
function frame(chunks: readonly Buffer[], maxBytes: number = 1e6): string[] {
  const framer = new PacketFramer(maxBytes);
  const packets: string[] = [];
  for (const chunk of chunks) {
    const copy = Buffer.from(chunk);
    framer.push(copy);
    while (framer.next()) {
      const { first, bytes, start, end } = framer;
      packets.push(`${first.toString(16)} ${bytes.toString('hex', start, end)}`);
    }
    framer.keep();
    // Its owner may use the chunk again now.
    copy.fill(0xee);
  }
  return packets;
}

function split(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  chunks.push(bytes.subarray(at));
  return chunks;
}

const PACKETS: readonly Packet[] = [
  {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 5,
    clean: true,
    clientId: 'c',
    keepalive: 1,
  },
  {
    cmd: 'publish',
    topic: 'a/b',
    payload: 'x'.repeat(300),
    qos: 1,
    messageId: 5,
    dup: false,
    retain: true,
  },
  { cmd: 'publish', topic: 'é', payload: '', qos: 0, dup: false, retain: false },
  { cmd: 'subscribe', messageId: 6, subscriptions: [{ topic: 'a/#', qos: 1 }] },
  { cmd: 'pingreq' },
  { cmd: 'puback', messageId: 7 },
  { cmd: 'disconnect', reasonCode: 4 },
];
const STREAM = Buffer.concat(PACKETS.map((packet) => generate(packet, { protocolVersion: 5 })));

describe('the framer', () => {
  it('finds the same packets however the stream is split', () => {
    const whole = frame([STREAM]);
    expect(whole).toHaveLength(PACKETS.length);
    expect(frame(split(STREAM, Array(STREAM.length).fill(1)))).toEqual(whole);
    fc.assert(
      fc.property(fc.array(fc.nat(200), { maxLength: 40 }), (sizes) => {
        expect(frame(split(STREAM, sizes))).toEqual(whole);
      }),
    );
  });

  it('takes a large packet in small chunks', () => {
    const payload = Buffer.alloc(500_000, 7);
    const bytes = generate({
      cmd: 'publish',
      topic: 't',
      payload,
      qos: 0,
      dup: false,
      retain: false,
    });
    expect(frame(split(bytes, Array(1000).fill(499)))).toEqual(frame([bytes]));
  });

  it('refuses a declared length over the limit before it comes', () => {
    expect(() => frame([Buffer.from([0x30, 0xe8, 0x07])], 1000)).toThrow(Violation);
    expect(frame([Buffer.from([0x30, 0xe5, 0x07])], 1000)).toEqual([]);
  });
});

const text = fc.string({ unit: 'binary', maxLength: 20 }).filter((s) => !s.includes('\0'));
const topicText = text.filter((s) => s.length > 0 && !/[+#]/.test(s));

describe('the decoder agrees with mqtt-packet', () => {
  it('on CONNECT', () => {
    fc.assert(
      fc.property(
        fc.record({
          clientId: text.filter((s) => s.length > 0),
          keepalive: fc.nat(65_535),
          clean: fc.boolean(),
          username: fc.option(
            text.filter((s) => s.length > 0),
            { nil: undefined },
          ),
          will: fc.option(
            fc.record({ topic: topicText, qos: fc.constantFrom(0, 1, 2), retain: fc.boolean() }),
            { nil: undefined },
          ),
          sessionExpiryInterval: fc.nat(0xffffffff),
          receiveMaximum: fc.integer({ min: 1, max: 65_535 }),
        }),
        (parts) => {
          const { sessionExpiryInterval, receiveMaximum, will, ...rest } = parts;
          const bytes = generate({
            cmd: 'connect',
            protocolId: 'MQTT',
            protocolVersion: 5,
            properties: { sessionExpiryInterval, receiveMaximum },
            ...rest,
            ...(will === undefined ? {} : { will: { ...will, payload: Buffer.from('w') } }),
          } as Packet);
          const framer = new PacketFramer(1e6);
          framer.push(bytes);
          expect(framer.next()).toBe(true);
          const decoded = decodeConnect(framer.bytes, framer.start, framer.end);
          expect(decoded).toMatchObject({
            version: 5,
            clientId: parts.clientId,
            keepAliveSeconds: parts.keepalive,
            clean: parts.clean,
            user: parts.username ?? null,
          });
          expect(decoded.properties.number(Property.SESSION_EXPIRY)).toBe(sessionExpiryInterval);
          expect(decoded.properties.number(Property.RECEIVE_MAXIMUM)).toBe(receiveMaximum);
          if (will === undefined) expect(decoded.will).toBeNull();
          else expect(decoded.will).toMatchObject({ ...will, body: Buffer.from('w') });
        },
      ),
    );
  });

  it.each([4, 5] as const)('on PUBLISH of level %i', (version) => {
    fc.assert(
      fc.property(
        topicText,
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom(0 as const, 1 as const, 2 as const),
        fc.boolean(),
        (topic, payload, qos, retain) => {
          const packet: IPublishPacket = {
            ...{ cmd: 'publish', topic, qos, retain, dup: false, payload: Buffer.from(payload) },
            ...(qos > 0 ? { messageId: 77 } : {}),
          };
          const framer = new PacketFramer(1e6);
          framer.push(generate(packet, { protocolVersion: version }));
          expect(framer.next()).toBe(true);
          const fields = new PublishFields();
          const { bytes, first, start, end } = framer;
          decodePublish(bytes, first, start, end, version, fields);
          expect(bytes.toString('utf8', fields.topicStart, fields.topicEnd)).toBe(topic);
          expect([...bytes.subarray(fields.bodyStart, end)]).toEqual([...payload]);
          expect([fields.qos, fields.retain, fields.packetId]).toEqual([
            qos,
            retain,
            qos > 0 ? 77 : 0,
          ]);
        },
      ),
    );
  });

  it('on SUBSCRIBE and UNSUBSCRIBE', () => {
    const filter = fc.constantFrom('a', 'a/#', '+/b', '$share/g/x');
    const subscription = fc.record({
      topic: filter,
      qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
      rap: fc.boolean(),
      rh: fc.constantFrom(0, 1, 2),
    });
    fc.assert(
      fc.property(fc.array(subscription, { minLength: 1 }), (subscriptions) => {
        const framer = new PacketFramer(1e6);
        const properties = { subscriptionIdentifier: 268_435_455 };
        const packet = { cmd: 'subscribe', messageId: 3, subscriptions, properties } as Packet;
        framer.push(generate(packet, { protocolVersion: 5 }));
        expect(framer.next()).toBe(true);
        const decoded = decodeSubscribe(framer.bytes, framer.start, framer.end, 5);
        expect(decoded.subscriptionId).toBe(268_435_455);
        expect(decoded.requests).toEqual(
          subscriptions.map(({ topic, qos, rap, rh }) => ({
            ...{ filter: topic, qos, noLocal: false, retainAsPublished: rap, retainHandling: rh },
          })),
        );
        const unsubscriptions = subscriptions.map(({ topic }) => topic);
        framer.push(
          generate({ cmd: 'unsubscribe', messageId: 4, unsubscriptions }, { protocolVersion: 5 }),
        );
        expect(framer.next()).toBe(true);
        expect(decodeUnsubscribe(framer.bytes, framer.start, framer.end, 5)).toEqual({
          ...{ packetId: 4, filters: unsubscriptions },
        });
      }),
    );
  });
});

describe('the encoder agrees with mqtt-packet', () => {
  it('on CONNACK and DISCONNECT', () => {
    const block = new PropertyBlock()
      .u32(Property.SESSION_EXPIRY, 5)
      .u16(Property.RECEIVE_MAXIMUM, 9)
      .text(Property.ASSIGNED_CLIENT_ID, 'é');
    const properties = {
      ...{ sessionExpiryInterval: 5, receiveMaximum: 9, assignedClientIdentifier: 'é' },
    };
    expect(parse(connack(true, 0, block.bytes()))).toMatchObject({
      ...{ cmd: 'connack', sessionPresent: true, reasonCode: 0, properties },
    });
    expect(connack(false, 4, null)).toEqual(
      generate({ cmd: 'connack', returnCode: 4, sessionPresent: false }),
    );
    expect(parse(disconnect(0x8e, 'why'))).toMatchObject({
      ...{ cmd: 'disconnect', reasonCode: 0x8e, properties: { reasonString: 'why' } },
    });
  });

  it('on variable byte integers, which read back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 268_435_455 }), (value) => {
        const bytes = Buffer.alloc(4);
        const end = putVarint(bytes, 0, value);
        expect(new FieldReader(bytes, 0, end).varint()).toBe(value);
      }),
    );
  });
});

function parse(bytes: Buffer): Packet | undefined {
  const packets: Packet[] = [];
  const reading = parser({ protocolVersion: 5 });
  reading.on('packet', (packet) => packets.push(packet));
  reading.parse(bytes);
  return packets[0];
}
