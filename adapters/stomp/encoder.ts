/**
 * Frames to clients. Everything but MESSAGE is rare and written as text; a MESSAGE is put
 * together in the output from bytes that exist already: the subscription's head, the message's
 * header lines (as its publisher wrote them, where that was the same version), and the body.
 */
import type { Message } from '../../core/message.ts';
import type { Transport } from '../adapter.ts';
import { nativeVersion, stompFormat, transcoded } from './format.ts';
import { escapeName, escapeText, type Version } from './text.ts';

type HeaderLines = readonly (readonly [name: string, value: string])[];

const LF = 10;
const CONTENT_LENGTH = Buffer.from('content-length:');
const NUL = Buffer.from('\0');
/** Room for a number, and for the bytes between the parts of a frame. */
const NUMBER_BYTES = 20;
/** One conversion per version for all receivers (`Message.keepEncoded`). */
const TRANSCODED = ['stomp:1.0', 'stomp:1.1', 'stomp:1.2'] as const;

/**
 * Writes a frame of headers and, where given, a text body. CONNECTED has no escapes in any
 * version.
 */
export function writeFrame(
  transport: Transport,
  command: string,
  headers: HeaderLines,
  version: Version,
  body: string = '',
): void {
  let text = `${command}\n`;
  for (const [name, value] of headers) {
    text += `${escapeName(name, version)}:${escapeText(value, version)}\n`;
  }
  if (body !== '') text += `content-length:${Buffer.byteLength(body)}\n`;
  transport.output.text(`${text}\n${body}\0`);
  transport.cut();
}

export function writeReceipt(transport: Transport, id: string, version: Version): void {
  transport.output.text(`RECEIPT\nreceipt-id:${escapeText(id, version)}\n\n\0`);
  transport.cut();
}

/** One line end: says only that this side is there (STOMP 1.1 and 1.2, "Heart-beating"). */
export function writeHeartBeat(transport: Transport): void {
  transport.output.reserve(1);
  transport.output.buffer[transport.output.offset++] = LF;
  transport.cut();
}

/**
 * The parts of a MESSAGE that one subscription's frames have in common: `head` ends within the
 * message-id, `redelivered` are the lines behind it, `ack` stands before a 1.2 ack header's copy of
 * the id, or is null.
 */
export interface MessageParts {
  readonly head: Buffer;
  readonly first: Buffer;
  readonly again: Buffer;
  readonly ack: Buffer | null;
}

/** Writes a MESSAGE frame; `number` completes its message-id. */
export function writeMessage(
  transport: Transport,
  parts: MessageParts,
  message: Message,
  number: number,
  redelivered: boolean,
  version: Version,
  now: number,
): void {
  const { output } = transport;
  const lines = headerLines(message, version, now);
  const { head, ack } = parts;
  const marks = redelivered ? parts.again : parts.first;
  output.reserve(
    head.length +
      marks.length +
      (ack === null ? 0 : ack.length) +
      lines.length +
      CONTENT_LENGTH.length +
      3 * NUMBER_BYTES,
  );
  const { buffer } = output;
  let at = output.offset;
  buffer.set(head, at);
  at = putNumber(buffer, at + head.length, number);
  buffer[at++] = LF;
  if (ack !== null) {
    buffer.set(ack, at);
    at = putNumber(buffer, at + ack.length, number);
    buffer[at++] = LF;
  }
  buffer.set(marks, at);
  at += marks.length;
  // The first byte of native bytes is their flags: set over the line end before, which is then
  // restored.
  buffer.set(lines, at - 1);
  buffer[at - 1] = LF;
  at += lines.length - 1;
  buffer.set(CONTENT_LENGTH, at);
  at = putNumber(buffer, at + CONTENT_LENGTH.length, message.body.length);
  buffer[at++] = LF;
  buffer[at++] = LF;
  output.offset = at;
  output.write(message.body);
  output.write(NUL);
  transport.cut();
}

/** Native bytes whose lines are in `version`. */
function headerLines(message: Message, version: Version, now: number): Buffer {
  const native = message.as(stompFormat, now);
  if (native.length === 1 || nativeVersion(native) === version) return native;
  const key = TRANSCODED[version];
  // What remains of its life is part of a conversion, so that one is not kept.
  if (message.expiresAt > 0) return transcoded(native, version);
  return message.encoded(key) ?? message.keepEncoded(key, transcoded(native, version));
}

function putNumber(buffer: Buffer, at: number, number: number): number {
  let digits = 1;
  for (let rest = number; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  let rest = number;
  for (let place = at + digits - 1; place >= at; place--) {
    const next = Math.floor(rest / 10);
    buffer[place] = 48 + rest - next * 10;
    rest = next;
  }
  return at + digits;
}
