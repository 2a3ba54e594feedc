/**
 * Cuts a stream of bytes into MQTT packets without copying those that came whole. A declared length
 * is checked against the limit before anything is kept for it; what is kept grows by doubling, so a
 * large packet in small chunks is copied at most twice.
 */
import { malformed, protocolError } from './field-reader.ts';
import { Reason, Violation } from './reason.ts';

const EMPTY = Buffer.alloc(0);

export class PacketFramer {
  /** The packet that `next` found: its first byte, and where its rest stands in `bytes`. */
  bytes: Buffer = EMPTY;
  first = 0;
  start = 0;
  end = 0;
  /** Longest packet taken, in bytes. */
  maxBytes: number;
  /** Whether the remaining length must be in as few bytes as it needs (MQTT 5 [MQTT-1.5.5-1]). */
  minimal = false;
  /** Whether requests may say that they are sent again, as in MQTT 3.1. */
  repeats = false;
  /** What is not cut yet: `#held` from `#offset` to `#filled`. */
  #held: Buffer = EMPTY;
  #offset = 0;
  #filled = 0;
  /** Whether `#held` is our own, with room behind `#filled`. */
  #owned = false;
  /** Length of the packet that is incomplete; 0: not known. */
  #wanted = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Bytes kept for a packet that is incomplete, or not taken yet. */
  get pending(): number {
    return this.#filled - this.#offset;
  }

  /** Adds a chunk, which must stay unchanged until `keep`. */
  push(chunk: Buffer): void {
    if (this.#offset === this.#filled) {
      this.#held = chunk;
      this.#offset = 0;
      this.#filled = chunk.length;
      this.#owned = false;
      return;
    }
    if (!this.#owned || this.#held.length - this.#filled < chunk.length) this.#grow(chunk.length);
    this.#held.set(chunk, this.#filled);
    this.#filled += chunk.length;
  }

  /** Copies what is left of the chunk, which its owner may now overwrite. */
  keep(): void {
    if (this.#offset === this.#filled) {
      this.#held = EMPTY;
      this.#offset = 0;
      this.#filled = 0;
      this.bytes = EMPTY;
      return;
    }
    if (!this.#owned) this.#grow(0);
  }

  /** Finds the next whole packet. Throws `Violation` for one that cannot be. */
  next(): boolean {
    const available = this.#filled - this.#offset;
    if (available === 0) return false;
    const held = this.#held;
    const first = held[this.#offset] as number;
    checkFirstByte(first, this.repeats);
    let remaining = 0;
    let at = this.#offset + 1;
    for (let shift = 0; ; shift += 7) {
      if (shift > 21) throw malformed('a remaining length of more than four bytes');
      if (at === this.#filled) return false;
      const byte = held[at++] as number;
      remaining |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0 && this.minimal) {
          throw malformed('a remaining length in more bytes than it needs');
        }
        break;
      }
    }
    const total = at - this.#offset + remaining;
    if (total > this.maxBytes) {
      throw new Violation(
        Reason.PACKET_TOO_LARGE,
        `a packet of ${total} bytes, where ${this.maxBytes} are taken`,
      );
    }
    if (total > available) {
      this.#wanted = total;
      return false;
    }
    this.#wanted = 0;
    this.bytes = held;
    this.first = first;
    this.start = at;
    this.end = at + remaining;
    this.#offset = this.end;
    return true;
  }

  /**
   * Moves what is left to a block of our own, with room for `more` bytes or for the whole packet.
   */
  #grow(more: number): void {
    const pending = this.#filled - this.#offset;
    const needed = pending + more;
    const block = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#wanted, needed * 2)));
    this.#held.copy(block, 0, this.#offset, this.#filled);
    this.#held = block;
    this.#offset = 0;
    this.#filled = pending;
    this.#owned = true;
  }
}

/** Type and flags of a packet [MQTT-2.1.3-1], before anything more of it is waited for. */
function checkFirstByte(first: number, repeats: boolean): void {
  const type = first >> 4;
  const flags = first & 0x0f;
  if (type === 3) {
    if ((flags & 0x06) === 0x06) throw malformed('QoS 3 [MQTT-3.3.1-4]');
    if ((flags & 0x0e) === 0x08) throw malformed('DUP with QoS 0 [MQTT-3.3.1-2]');
    return;
  }
  if (type === 0) throw protocolError('packet type 0');
  const request = type === 6 || type === 8 || type === 10;
  // MQTT 3.1 has DUP on these too, and a RETAIN that means nothing.
  if (request && repeats && (flags & 0x06) === 0x02) return;
  if (flags !== (request ? 0x02 : 0x00))
    throw malformed(`flags ${flags} on a packet of type ${type}`);
}
