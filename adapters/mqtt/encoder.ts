/**
 * Encodes what the broker sends, other than PUBLISH, straight into a connection's output.
 */
import type { Output } from '../output.ts';
import { PacketType } from './packet.ts';
import { Property } from './property.ts';
import type { Reason } from './reason.ts';

/** First bytes of the four acknowledgements; PUBREL has its reserved flags. */
export const ACK = {
  PUBACK: PacketType.PUBACK << 4,
  PUBREC: PacketType.PUBREC << 4,
  PUBREL: (PacketType.PUBREL << 4) | 0x02,
  PUBCOMP: PacketType.PUBCOMP << 4,
} as const;
export type AckByte = (typeof ACK)[keyof typeof ACK];

/** `reason` is left out where it is success, and has no place in MQTT 3 (give 0 there). */
export function writeAck(output: Output, first: AckByte, packetId: number, reason: number): void {
  output.reserve(5);
  const { buffer } = output;
  let at = output.offset;
  buffer[at++] = first;
  buffer[at++] = reason === 0 ? 2 : 3;
  buffer[at++] = packetId >> 8;
  buffer[at++] = packetId & 0xff;
  if (reason !== 0) buffer[at++] = reason;
  output.offset = at;
}

const PINGRESP = Buffer.from([PacketType.PINGRESP << 4, 0]);

export function writePingResponse(output: Output): void {
  output.write(PINGRESP);
}

/** Builds a property block. */
export class PropertyBlock {
  readonly #parts: Buffer[] = [];

  u8(id: Property, value: number): this {
    this.#parts.push(Buffer.from([id, value]));
    return this;
  }

  u16(id: Property, value: number): this {
    this.#parts.push(Buffer.from([id, value >> 8, value & 0xff]));
    return this;
  }

  u32(id: Property, value: number): this {
    const part = Buffer.alloc(5, id);
    part.writeUInt32BE(value, 1);
    this.#parts.push(part);
    return this;
  }

  text(id: Property, value: string): this {
    return this.binary(id, Buffer.from(value));
  }

  binary(id: Property, value: Buffer): this {
    const head = Buffer.alloc(3, id);
    head.writeUInt16BE(value.length, 1);
    this.#parts.push(head, value);
    return this;
  }

  /** With its length in front. */
  bytes(): Buffer {
    const block = Buffer.concat(this.#parts);
    return Buffer.concat([varint(block.length), block]);
  }
}

/** `properties` is null for MQTT 3, where `code` is a return code. */
export function connack(sessionPresent: boolean, code: number, properties: Buffer | null): Buffer {
  const head = Buffer.from([sessionPresent ? 1 : 0, code]);
  return packet(PacketType.CONNACK, properties === null ? [head] : [head, properties]);
}

/** SUBACK and UNSUBACK; UNSUBACK of MQTT 3 has no `reasons`. */
export function subscriptionAck(
  type: typeof PacketType.SUBACK | typeof PacketType.UNSUBACK,
  packetId: number,
  reasons: readonly number[],
  v5: boolean,
): Buffer {
  const head = Buffer.from(
    v5 ? [packetId >> 8, packetId & 0xff, 0] : [packetId >> 8, packetId & 0xff],
  );
  return packet(type, [head, Buffer.from(reasons)]);
}

/** DISCONNECT of MQTT 5, its reason told in words where `why` is not empty. */
export function disconnect(reason: Reason, why: string): Buffer {
  return packet(PacketType.DISCONNECT, [Buffer.from([reason]), reasonString(why)]);
}

/** AUTH of an exchange that goes on, or that has renewed a login. */
export function auth(reason: Reason, method: string, data: Buffer): Buffer {
  const block = new PropertyBlock().text(Property.AUTHENTICATION_METHOD, method);
  if (data.length > 0) block.binary(Property.AUTHENTICATION_DATA, data);
  return packet(PacketType.AUTH, [Buffer.from([reason]), block.bytes()]);
}

/** A property block that holds a Reason String, or nothing. */
export function reasonString(why: string): Buffer {
  const block = new PropertyBlock();
  return (why === '' ? block : block.text(Property.REASON_STRING, why)).bytes();
}

/** How many bytes a variable byte integer takes. */
export function varintLength(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4;
}

/** Writes a variable byte integer; answers where it ends. */
export function putVarint(buffer: Buffer, at: number, value: number): number {
  let left = value;
  let next = at;
  while (left >= 0x80) {
    buffer[next++] = (left & 0x7f) | 0x80;
    left >>>= 7;
  }
  buffer[next++] = left;
  return next;
}

function varint(value: number): Buffer {
  const bytes = Buffer.alloc(varintLength(value));
  putVarint(bytes, 0, value);
  return bytes;
}

function packet(type: number, parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([type << 4]), varint(length), ...parts]);
}
