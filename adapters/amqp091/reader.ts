/**
 * Reads the fields of one method, in order. A method that is cut short is a FRAME_ERROR, as in
 * RabbitMQ; names and tables that are wrong in themselves are a SYNTAX_ERROR (AMQP 4.2.5).
 */
import { isUtf8 } from 'node:buffer';
import type { HeaderTable } from '../../core/message.ts';
import { type AmqpError, syntaxError, undecodable } from './errors.ts';
import { unknownFrame } from './frames.ts';
import { decodeTable } from './table.ts';
import { FrameType } from './wire.ts';

const EMPTY = Buffer.alloc(0);
const METHOD_ID_BYTES = 4;

export class Reader {
  #buffer: Buffer = EMPTY;
  #start = 0;
  #offset = 0;
  #end = 0;
  readonly #depthMax: number;

  constructor(depthMax: number) {
    this.#depthMax = depthMax;
  }

  /** Starts over with the fields in `buffer` from `start` to `end`. */
  open(buffer: Buffer, start: number, end: number): this {
    this.#buffer = buffer;
    this.#start = start;
    this.#offset = start;
    this.#end = end;
    return this;
  }

  octet(): number {
    return this.#buffer[this.#take(1)] as number;
  }

  short(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }

  long(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  /** A 64-bit number; beyond 2^53 it is no longer exact, which no delivery tag reaches. */
  longlong(): number {
    const offset = this.#take(8);
    return this.#buffer.readUInt32BE(offset) * 2 ** 32 + this.#buffer.readUInt32BE(offset + 4);
  }

  /** Names and keys are UTF-8 (AMQP 4.2.5.3); others could not be told apart once decoded. */
  shortString(): string {
    const length = this.octet();
    const start = this.#take(length);
    return utf8(this.#buffer, start, start + length);
  }

  longString(): Buffer {
    const length = this.long();
    const start = this.#take(length);
    return this.#buffer.subarray(start, start + length);
  }

  table(): HeaderTable {
    const bytes = this.longString();
    return decodeTable(bytes, this.#depthMax);
  }

  #take(bytes: number): number {
    const start = this.#offset;
    if (bytes > this.#end - start) throw this.#cutShort();
    this.#offset = start + bytes;
    return start;
  }

  #cutShort(): AmqpError {
    const method = this.#buffer.subarray(this.#start, this.#end);
    return method.length < METHOD_ID_BYTES
      ? unknownFrame(FrameType.METHOD, method)
      : undecodable(method.subarray(METHOD_ID_BYTES));
  }
}

/** Text that must be UTF-8. */
export function utf8(buffer: Buffer, start: number, end: number): string {
  const text = buffer.toString('utf8', start, end);
  if (text.includes('\ufffd') && !isUtf8(buffer.subarray(start, end)))
    throw syntaxError('short string is not UTF-8');
  return text;
}
