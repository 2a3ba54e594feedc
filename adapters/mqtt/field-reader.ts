/**
 * Reads the data types of MQTT (section 1.5) from one packet, strictly: a field that runs past the
 * packet, text that is not UTF-8 or holds U+0000, and integers in more bytes than needed are
 * malformed. Throws `Violation`.
 */
import { isUtf8 } from 'node:buffer';
import { Reason, Violation } from './reason.ts';

export class FieldReader {
  readonly bytes: Buffer;
  offset: number;
  end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes;
    this.offset = start;
    this.end = end;
  }

  get left(): number {
    return this.end - this.offset;
  }

  u8(): number {
    const at = this.#advance(1);
    return this.bytes[at] as number;
  }

  u16(): number {
    const at = this.#advance(2);
    return ((this.bytes[at] as number) << 8) | (this.bytes[at + 1] as number);
  }

  u32(): number {
    return this.bytes.readUInt32BE(this.#advance(4));
  }

  /** A variable byte integer, in as few bytes as it needs [MQTT-1.5.5-1]. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.u8();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) throw malformed('an integer in more bytes than it needs');
        return value;
      }
    }
    throw malformed('a variable byte integer of more than four bytes');
  }

  /** UTF-8 text [MQTT-1.5.4-1, MQTT-1.5.4-2]. U+FEFF is kept [MQTT-1.5.4-3]. */
  text(): string {
    const length = this.u16();
    const at = this.#advance(length);
    return readText(this.bytes, at, at + length);
  }

  /** Checks a text without making a string of it. */
  skipText(): void {
    const length = this.u16();
    const at = this.#advance(length);
    checkText(this.bytes, at, at + length);
  }

  /** A view of the packet. */
  binary(): Buffer {
    const length = this.u16();
    const at = this.#advance(length);
    return this.bytes.subarray(at, at + length);
  }

  skipBinary(): void {
    this.#advance(this.u16());
  }

  #advance(size: number): number {
    const at = this.offset;
    if (at + size > this.end) throw malformed('a field runs past its packet');
    this.offset = at + size;
    return at;
  }
}

export function malformed(message: string): Violation {
  return new Violation(Reason.MALFORMED, message);
}

export function protocolError(message: string): Violation {
  return new Violation(Reason.PROTOCOL_ERROR, message);
}

/** Throws unless the bytes are UTF-8 without U+0000. True: they are ASCII. */
export function checkText(bytes: Buffer, start: number, end: number): boolean {
  let ascii = true;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte === 0) throw malformed('U+0000 in a text [MQTT-1.5.4-2]');
    if (byte >= 0x80) ascii = false;
  }
  if (!ascii && !isUtf8(bytes.subarray(start, end))) {
    throw malformed('a text that is not UTF-8 [MQTT-1.5.4-1]');
  }
  return ascii;
}

export function readText(bytes: Buffer, start: number, end: number): string {
  const ascii = checkText(bytes, start, end);
  return bytes.toString(ascii ? 'latin1' : 'utf8', start, end);
}
