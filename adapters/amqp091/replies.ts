/**
 * Writes the server's methods, straight into the output. Fields are written by name in the order of
 * the specification; a method's payload size is patched in when it is whole.
 */
import type { HeaderTable } from '../../core/message.ts';
import type { Output } from '../output.ts';
import { encodeTable } from './table.ts';
import { FRAME_END, FRAME_HEAD_BYTES, FrameType, Method } from './wire.ts';

const SHORT_STRING_BYTES_MAX = 256;
/** Frame head, method id and frame end. */
const BARE_METHOD_BYTES = 12;
const HEARTBEAT = Buffer.from([FrameType.HEARTBEAT, 0, 0, 0, 0, 0, 0, FRAME_END]);

export function writeHeartbeat(output: Output): void {
  output.write(HEARTBEAT);
}

/**
 * Begins a method frame with room for `fieldBytesMax`; answers where it starts, for `endMethod`.
 */
export function beginMethod(
  output: Output,
  channel: number,
  method: number,
  fieldBytesMax: number,
): number {
  output.reserve(BARE_METHOD_BYTES + fieldBytesMax);
  const start = output.offset;
  const buffer = output.buffer;
  buffer[start] = FrameType.METHOD;
  buffer.writeUInt16BE(channel, start + 1);
  buffer.writeUInt32BE(method, start + FRAME_HEAD_BYTES);
  output.offset = start + FRAME_HEAD_BYTES + 4;
  return start;
}

export function endMethod(output: Output, start: number): void {
  output.buffer.writeUInt32BE(output.offset - start - FRAME_HEAD_BYTES, start + 3);
  output.buffer[output.offset++] = FRAME_END;
}

/** A method without fields. */
export function writeMethod(output: Output, channel: number, method: number): void {
  endMethod(output, beginMethod(output, channel, method, 0));
}

/** A method whose only field is an octet or a flag. */
export function writeOctetMethod(
  output: Output,
  channel: number,
  method: number,
  value: number,
): void {
  const start = beginMethod(output, channel, method, 1);
  putOctet(output, value);
  endMethod(output, start);
}

/** A method whose only field is a short integer. */
export function writeShortMethod(
  output: Output,
  channel: number,
  method: number,
  value: number,
): void {
  const start = beginMethod(output, channel, method, 2);
  putShort(output, value);
  endMethod(output, start);
}

/** A method whose only field is a 32-bit count. */
export function writeCountMethod(
  output: Output,
  channel: number,
  method: number,
  count: number,
): void {
  const start = beginMethod(output, channel, method, 4);
  putLong(output, count);
  endMethod(output, start);
}

/** A method whose only field is a short string. */
export function writeNameMethod(
  output: Output,
  channel: number,
  method: number,
  name: string,
): void {
  const start = beginMethod(output, channel, method, SHORT_STRING_BYTES_MAX);
  putShortString(output, name);
  endMethod(output, start);
}

export function writeStart(output: Output, properties: HeaderTable, mechanisms: string): void {
  const table = encodeTable(properties);
  const locales = 'en_US';
  const fieldBytes = 2 + table.length + 4 + mechanisms.length + 4 + locales.length;
  const start = beginMethod(output, 0, Method.CONNECTION_START, fieldBytes);
  putOctet(output, 0);
  putOctet(output, 9);
  output.buffer.set(table, output.offset);
  output.offset += table.length;
  for (const text of [mechanisms, locales]) {
    putLong(output, text.length);
    output.offset += output.buffer.write(text, output.offset, 'latin1');
  }
  endMethod(output, start);
}

export function writeTune(
  output: Output,
  channelsMax: number,
  frameBytesMax: number,
  heartbeatSeconds: number,
): void {
  const start = beginMethod(output, 0, Method.CONNECTION_TUNE, 8);
  putShort(output, channelsMax);
  putLong(output, frameBytesMax);
  putShort(output, heartbeatSeconds);
  endMethod(output, start);
}

/** `failed` is the method that the close is about, 0 for none. Channel 0: the connection's. */
export function writeClose(
  output: Output,
  channel: number,
  code: number,
  text: string,
  failed: number,
): void {
  const method = channel === 0 ? Method.CONNECTION_CLOSE : Method.CHANNEL_CLOSE;
  const start = beginMethod(output, channel, method, 6 + SHORT_STRING_BYTES_MAX);
  putShort(output, code);
  putShortString(output, text);
  putLong(output, failed);
  endMethod(output, start);
}

export function writeChannelOpenOk(output: Output, channel: number): void {
  // One long string, empty: reserved.
  writeCountMethod(output, channel, Method.CHANNEL_OPEN_OK, 0);
}

export function writeDeclareOk(
  output: Output,
  channel: number,
  queue: string,
  messages: number,
  consumers: number,
): void {
  const start = beginMethod(output, channel, Method.QUEUE_DECLARE_OK, SHORT_STRING_BYTES_MAX + 8);
  putShortString(output, queue);
  putLong(output, messages);
  putLong(output, consumers);
  endMethod(output, start);
}

/** `noWait`: the client is told, not asked. */
export function writeCancel(output: Output, channel: number, consumerTag: string): void {
  const start = beginMethod(output, channel, Method.BASIC_CANCEL, SHORT_STRING_BYTES_MAX + 1);
  putShortString(output, consumerTag);
  putOctet(output, 1);
  endMethod(output, start);
}

/** Basic.ack: publisher confirms from the server's side. */
export function writeAck(output: Output, channel: number, tag: number, multiple: boolean): void {
  const start = beginMethod(output, channel, Method.BASIC_ACK, 9);
  putLongLong(output, tag);
  putOctet(output, multiple ? 1 : 0);
  endMethod(output, start);
}

export function writeNack(output: Output, channel: number, tag: number): void {
  const start = beginMethod(output, channel, Method.BASIC_NACK, 9);
  putLongLong(output, tag);
  putOctet(output, 0);
  endMethod(output, start);
}

export function writeReturn(
  output: Output,
  channel: number,
  code: number,
  text: string,
  exchange: string,
  routingKey: string,
): void {
  const room = 2 + 3 * SHORT_STRING_BYTES_MAX;
  const start = beginMethod(output, channel, Method.BASIC_RETURN, room);
  putShort(output, code);
  putShortString(output, text);
  putShortString(output, exchange);
  putShortString(output, routingKey);
  endMethod(output, start);
}

export function writeGetOk(
  output: Output,
  channel: number,
  tag: number,
  redelivered: boolean,
  exchange: string,
  routingKey: string,
  remaining: number,
): void {
  const room = 8 + 1 + 2 * SHORT_STRING_BYTES_MAX + 4;
  const start = beginMethod(output, channel, Method.BASIC_GET_OK, room);
  putLongLong(output, tag);
  putOctet(output, redelivered ? 1 : 0);
  putShortString(output, exchange);
  putShortString(output, routingKey);
  putLong(output, remaining);
  endMethod(output, start);
}

function putOctet(output: Output, value: number): void {
  output.buffer[output.offset++] = value;
}

function putShort(output: Output, value: number): void {
  output.buffer.writeUInt16BE(value, output.offset);
  output.offset += 2;
}

function putLong(output: Output, value: number): void {
  output.buffer.writeUInt32BE(value, output.offset);
  output.offset += 4;
}

function putLongLong(output: Output, value: number): void {
  putLong(output, Math.floor(value / 2 ** 32));
  putLong(output, value >>> 0);
}

/** The caller saw to it that it is no longer than 255 bytes. */
function putShortString(output: Output, text: string): void {
  const length = output.buffer.write(text, output.offset + 1, 255, 'utf8');
  output.buffer[output.offset] = length;
  output.offset += 1 + length;
}
