/**
 * Writes a message's content: a header frame, and a body cut into frames that the client takes.
 *
 *     2 | channel | size | class 60 | weight 0 | body size (8) | flags and properties | 0xCE
 *     3 | channel | size | a part of the body | 0xCE      …
 */
import type { Output } from '../output.ts';
import { BASIC_CLASS, FRAME_END, FRAME_EXTRA_BYTES, FRAME_HEAD_BYTES, FrameType } from './wire.ts';

/** Class, weight and body size. */
const CONTENT_HEAD_BYTES = 12;
/** A body below this is copied beside its header; a larger one is handed on as it is. */
const SMALL_BODY_BYTES = 4096;

/** Whether a message's properties fit one header frame, which cannot be cut. */
export function fits(native: Buffer, frameBytesMax: number): boolean {
  return native.length + CONTENT_HEAD_BYTES + FRAME_EXTRA_BYTES <= frameBytesMax;
}

export function writeContent(
  output: Output,
  channel: number,
  native: Buffer,
  body: Buffer,
  frameBytesMax: number,
): void {
  const payloadMax = frameBytesMax - FRAME_EXTRA_BYTES;
  const small = body.length < SMALL_BODY_BYTES && body.length <= payloadMax;
  const headerBytes = CONTENT_HEAD_BYTES + native.length;
  output.reserve(headerBytes + 2 * FRAME_EXTRA_BYTES + (small ? body.length : 0));
  const buffer = output.buffer;
  let at = writeHead(buffer, output.offset, FrameType.HEADER, channel, headerBytes);
  buffer[at] = 0;
  buffer[at + 1] = BASIC_CLASS;
  buffer[at + 2] = 0;
  buffer[at + 3] = 0;
  // A body is far below 4 GiB: the upper half of its size is zero.
  at = putLong(buffer, putLong(buffer, at + 4, 0), body.length);
  buffer.set(native, at);
  at += native.length;
  buffer[at++] = FRAME_END;
  if (small && body.length > 0) {
    at = writeHead(buffer, at, FrameType.BODY, channel, body.length);
    buffer.set(body, at);
    at += body.length;
    buffer[at++] = FRAME_END;
  }
  output.offset = at;
  if (!small) writeLargeBody(output, channel, body, payloadMax);
}

function writeLargeBody(output: Output, channel: number, body: Buffer, payloadMax: number): void {
  for (let start = 0; start < body.length; start += payloadMax) {
    const part = body.length <= payloadMax ? body : body.subarray(start, start + payloadMax);
    output.reserve(FRAME_HEAD_BYTES);
    output.offset = writeHead(output.buffer, output.offset, FrameType.BODY, channel, part.length);
    output.write(part);
    output.reserve(1);
    output.buffer[output.offset++] = FRAME_END;
  }
}

function writeHead(
  buffer: Buffer,
  offset: number,
  type: number,
  channel: number,
  size: number,
): number {
  buffer[offset] = type;
  buffer[offset + 1] = channel >> 8;
  buffer[offset + 2] = channel & 0xff;
  return putLong(buffer, offset + 3, size);
}

function putLong(buffer: Buffer, offset: number, value: number): number {
  buffer[offset] = value >>> 24;
  buffer[offset + 1] = (value >>> 16) & 0xff;
  buffer[offset + 2] = (value >>> 8) & 0xff;
  buffer[offset + 3] = value & 0xff;
  return offset + 4;
}
