/**
 * Bytes to frames, in one pass and however they were split.
 *
 *     octet   short     long           payload            octet
 *     type  | channel | payload size | … size bytes … | 0xCE       (AMQP 4.2.3)
 *
 * A frame that is not complete waits in pieces, which are joined once when its last byte is there;
 * its declared size is checked against the limit before anything waits.
 */
import { AmqpError } from './errors.ts';
import { FRAME_END, FRAME_EXTRA_BYTES, FRAME_HEAD_BYTES, Reply } from './wire.ts';

/**
 * Takes frames; the payload is `buffer` from `start` to `end`. Returns false to be given no more
 * for now.
 */
export interface FrameSink {
  frame(type: number, channel: number, buffer: Buffer, start: number, end: number): boolean;
}

/** A frame that trickles in is joined now and then: a piece of one byte costs a hundred. */
const PIECES_MAX = 256;

export class FrameParser {
  readonly #sink: FrameSink;
  /** Largest frame taken, in bytes, everything included. */
  frameBytesMax: number;
  #pieces: Buffer[] = [];
  #heldBytes = 0;
  #neededBytes = 0;
  #stopped = false;

  constructor(sink: FrameSink, frameBytesMax: number) {
    this.#sink = sink;
    this.frameBytesMax = frameBytesMax;
  }

  /** Throws AmqpError for bytes that are no frame; the connection is then out of step for good. */
  feed(chunk: Buffer): void {
    if (this.#heldBytes === 0 && !this.#stopped) {
      this.#run(chunk);
      return;
    }
    let taken = 0;
    // Only the frame that was cut is put together: what follows it stays where it is.
    while (!this.#stopped && this.#heldBytes > 0) {
      const end = taken + this.#neededBytes - this.#heldBytes;
      if (end > chunk.length) break;
      this.#hold(chunk.subarray(taken, end));
      taken = end;
      this.#run(this.#join());
    }
    if (taken === chunk.length) return;
    const rest = taken === 0 ? chunk : chunk.subarray(taken);
    if (this.#stopped || this.#heldBytes > 0) this.#hold(rest);
    else this.#run(rest);
  }

  /** Goes on after the sink said stop. */
  resume(): void {
    this.#stopped = false;
    if (this.#heldBytes > 0) this.#run(this.#join());
  }

  /** Forgets what waits. */
  clear(): void {
    this.#pieces = [];
    this.#heldBytes = 0;
  }

  #hold(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#heldBytes += piece.length;
    if (this.#pieces.length === PIECES_MAX)
      this.#pieces = [Buffer.concat(this.#pieces, this.#heldBytes)];
  }

  #join(): Buffer {
    const pieces = this.#pieces;
    const first = pieces.length === 1 ? pieces[0] : undefined;
    const joined = first ?? Buffer.concat(pieces, this.#heldBytes);
    this.clear();
    return joined;
  }

  #run(buffer: Buffer): void {
    let offset = 0;
    for (;;) {
      const available = buffer.length - offset;
      if (available < FRAME_HEAD_BYTES) {
        this.#keep(buffer, offset, FRAME_HEAD_BYTES);
        return;
      }
      const size = buffer.readUInt32BE(offset + 3);
      // Clients that count the eight bytes around the payload wrongly are many: RabbitMQ lets them.
      if (size > this.frameBytesMax) throw this.#tooLarge(buffer, offset, size);
      const frameBytes = size + FRAME_EXTRA_BYTES;
      if (available < frameBytes) {
        this.#keep(buffer, offset, frameBytes);
        return;
      }
      const start = offset + FRAME_HEAD_BYTES;
      const type = buffer[offset] as number;
      const end = start + size;
      if (buffer[end] !== FRAME_END) throw badEnd(type, buffer.subarray(start, end), buffer[end]);
      const channel = ((buffer[offset + 1] as number) << 8) | (buffer[offset + 2] as number);
      offset += frameBytes;
      if (!this.#sink.frame(type, channel, buffer, start, end)) {
        this.#stopped = true;
        this.#keep(buffer, offset, 0);
        return;
      }
    }
  }

  #keep(buffer: Buffer, offset: number, neededBytes: number): void {
    this.#neededBytes = neededBytes;
    if (offset < buffer.length) this.#hold(offset === 0 ? buffer : buffer.subarray(offset));
  }

  #tooLarge(buffer: Buffer, offset: number, size: number): AmqpError {
    const limit = this.frameBytesMax - FRAME_EXTRA_BYTES;
    const reason = `type ${buffer[offset]}, all octets = <<>>: {frame_too_large,${size},${limit}}`;
    return new AmqpError(Reply.FRAME_ERROR, reason);
  }
}

function badEnd(type: number, payload: Buffer, marker: number | undefined): AmqpError {
  const reason = `type ${type}, ${snippet(payload)}: {invalid_frame_end_marker,${marker}}`;
  return new AmqpError(Reply.FRAME_ERROR, reason);
}

/** The beginning of a payload, in the form in which RabbitMQ quotes it. */
export function snippet(payload: Buffer): string {
  const shown = payload.subarray(0, 16);
  const scope = payload.length <= 16 ? 'all' : 'first 16';
  const printable = shown.length > 0 && shown.every((octet) => octet >= 0x20 && octet < 0x7f);
  const quoted = printable ? JSON.stringify(shown.toString('latin1')) : [...shown].join(',');
  return `${scope} octets = <<${quoted}>>`;
}

/** A frame that is none, or is too short for what it is. */
export function unknownFrame(type: number, payload: Buffer): AmqpError {
  return new AmqpError(Reply.FRAME_ERROR, `type ${type}, ${snippet(payload)}: unknown_frame`);
}
