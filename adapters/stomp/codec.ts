/**
 * Bytes to frames: incremental, bounded, one pass. `feed` takes a chunk, `next` answers one frame
 * at a time (so that a connection can stop between two of them) or null where more is needed, and
 * throws a StompError for what is not STOMP.
 *
 * There is one Frame per decoder: it is valid until `next` is called again.
 *
 *   BETWEEN (line ends, stray NULs) → HEAD (command, header lines, empty line) → BODY → BETWEEN
 */
import type { Limits } from '../../core/limits.ts';
import { StompError } from './errors.ts';
import { Frame } from './frame.ts';
import { commandAt, headerName, numberOfName } from './header-name.ts';
import { type Version, validEscapes } from './text.ts';

const NUL = 0;
const LF = 10;
const CR = 13;
const COLON = 58;
const BACKSLASH = 92;
const EMPTY = Buffer.alloc(0);
/** Longer than any command: what is not STOMP at all is refused early. */
const COMMAND_BYTES_MAX = 64;

const CONTENT_LENGTH = headerName('content-length');

export class Decoder {
  /** Set once it is negotiated; until then 1.2, whose frames are a superset. */
  version: Version = 2;
  /** Largest body taken. */
  bodyBytesMax: number;
  readonly #limits: Limits;
  readonly #frame = new Frame();
  /** What is being parsed: the last chunk, or a buffer of our own that partial frames gather in. */
  #window: Buffer = EMPTY;
  #owned: Buffer | null = null;
  /** The chunk whose bytes stand at the end of `#owned`. */
  #tail: Buffer = EMPTY;
  /** Where the current frame (or the space before it) begins in the window. */
  #start = 0;

  // Progress within the current frame, relative to #start.
  #cursor = 0;
  #lineStart = 0;
  #colon = -1;
  #backslash = false;
  #commandEnd = -1;
  #headEnd = -1;
  /** Declared length of the body, or -1: it ends at the first NUL. */
  #bodyBytes = -1;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.bodyBytesMax = limits.messageBytesMax;
  }

  /** Adds input. The chunk is referred to until `keep`. */
  feed(chunk: Buffer): void {
    if (this.#start === this.#window.length) {
      this.#window = chunk;
      this.#owned = null;
      this.#start = 0;
      return;
    }
    this.#append(chunk);
  }

  /** Copies what is not parsed yet: the chunk may be overwritten from now on. */
  keep(): void {
    if (this.#start === this.#window.length) {
      this.#window = EMPTY;
      this.#owned = null;
      this.#start = 0;
    } else if (this.#owned === null) this.#append(EMPTY);
    this.#tail = EMPTY;
  }

  next(): Frame | null {
    if (this.#headEnd < 0) {
      if (this.#commandEnd < 0 && this.#cursor === 0) this.#skip();
      if (!this.#head()) return null;
    }
    const end = this.#body();
    if (end < 0) return null;
    const bodyStart = this.#start + this.#headEnd;
    const frame = this.#frame;
    frame.body = this.#window.subarray(bodyStart, this.#start + end);
    frame.bytes = this.#window;
    frame.base = this.#start;
    this.#advance(end + 1);
    return frame;
  }

  /** Line ends between frames are heart-beats; a NUL there is what old clients send too much. */
  #skip(): void {
    const window = this.#window;
    let at = this.#start;
    while (at < window.length) {
      const byte = window[at];
      if (byte !== LF && byte !== CR && byte !== NUL) break;
      at++;
    }
    this.#start = at;
    this.#frame.clear();
  }

  /** Reads command and header lines as far as they are here. */
  #head(): boolean {
    const window = this.#window;
    const base = this.#start;
    const available = window.length - base;
    let colon = this.#colon;
    for (let at = this.#cursor; at < available; at++) {
      const byte = window[base + at] as number;
      // Most bytes are letters.
      if (byte > COLON && byte !== BACKSLASH) continue;
      if (byte === LF) {
        const end = at > this.#lineStart && window[base + at - 1] === CR ? at - 1 : at;
        const done = this.#commandEnd < 0 ? this.#command(end) : this.#line(end, colon);
        this.#lineStart = at + 1;
        colon = -1;
        if (!done) continue;
        this.#headEnd = at + 1;
        this.#headed();
        return true;
      }
      if (byte === COLON) {
        if (colon < 0) colon = at;
      } else if (byte === BACKSLASH) this.#backslash = true;
      else if (byte === NUL) throw malformed('a NUL within the headers');
    }
    this.#colon = colon;
    this.#cursor = available;
    const limit = this.#commandEnd < 0 ? COMMAND_BYTES_MAX : this.#limits.stompHeaderBytesMax;
    // One more: a carriage return that is not known to be one yet.
    if (available - this.#lineStart > limit + 1) throw malformed('a line is too long');
    this.#checkHead(available);
    return false;
  }

  #command(end: number): boolean {
    if (end > COMMAND_BYTES_MAX) throw malformed('the command is too long');
    this.#commandEnd = end;
    this.#frame.command = commandAt(this.#window, this.#start, end);
    return false;
  }

  /** One header line; true for the empty line that ends them. */
  #line(end: number, colon: number): boolean {
    const start = this.#lineStart;
    if (end === start) return true;
    if (end - start > this.#limits.stompHeaderBytesMax) throw malformed('a line is too long');
    if (colon < 0) throw malformed('a header line without a colon');
    if (colon === start) throw malformed('a header without a name');
    const frame = this.#frame;
    if (frame.headerCount >= this.#limits.stompHeadersMax) throw malformed('too many headers');
    const number = numberOfName(this.#window, this.#start + start, colon - start);
    frame.add(start, colon, end, number);
    this.#checkHead(end);
    return false;
  }

  #checkHead(bytes: number): void {
    if (bytes > this.#limits.stompHeadBytesMax) throw malformed('the headers are too long');
  }

  /** The head is complete: what it says of the body and of escapes. */
  #headed(): void {
    const frame = this.#frame;
    frame.bytes = this.#window;
    frame.base = this.#start;
    frame.version = this.version;
    frame.escaped = frame.command !== 'CONNECT' && frame.command !== 'STOMP' && this.version > 0;
    if (frame.escaped && this.#backslash) this.#checkEscapes();
    this.#cursor = this.#headEnd;
    if (!frame.has(CONTENT_LENGTH)) return;
    this.#bodyBytes = frame.number(CONTENT_LENGTH);
    if (this.#bodyBytes < 0) throw malformed('content-length is not a number');
    if (this.#bodyBytes > this.bodyBytesMax) throw tooLarge(this.bodyBytesMax);
  }

  /** STOMP 1.1 and 1.2: undefined escape sequences are a fatal protocol error. */
  #checkEscapes(): void {
    const frame = this.#frame;
    for (let index = 0; index < frame.headerCount; index++) {
      const start = this.#start + frame.nameStart(index);
      const end = this.#start + frame.lineEnd(index);
      if (!validEscapes(this.#window, start, end, this.version)) {
        throw malformed('an undefined escape sequence');
      }
    }
  }

  /**
   * Where the NUL behind the body is, relative to the frame's start, or -1 while it is not here.
   */
  #body(): number {
    const available = this.#window.length - this.#start;
    if (this.#bodyBytes >= 0) {
      const end = this.#headEnd + this.#bodyBytes;
      if (available <= end) return -1;
      if (this.#window[this.#start + end] !== NUL) throw malformed('no NUL behind the body');
      return end;
    }
    const found = this.#window.indexOf(NUL, this.#start + this.#cursor);
    const end = found < 0 ? available : found - this.#start;
    if (end - this.#headEnd > this.bodyBytesMax) throw tooLarge(this.bodyBytesMax);
    this.#cursor = end;
    return found < 0 ? -1 : end;
  }

  /** Goes on behind the frame that was just completed. */
  #advance(length: number): void {
    this.#start += length;
    this.#cursor = 0;
    this.#lineStart = 0;
    this.#colon = -1;
    this.#backslash = false;
    this.#commandEnd = -1;
    this.#headEnd = -1;
    this.#bodyBytes = -1;
    // Behind a frame that was gathered from pieces, what is left is the end of the last piece:
    // parsed where it lies, so that its bodies do not pin the gathered buffer.
    const left = this.#window.length - this.#start;
    if (this.#owned === null || left > this.#tail.length) return;
    this.#window = this.#tail;
    this.#start = this.#tail.length - left;
    this.#owned = null;
    this.#tail = EMPTY;
  }

  /** Gathers a frame that arrives in pieces. Grows by doubling, so that no byte is copied often. */
  #append(chunk: Buffer): void {
    const rest = this.#window.length - this.#start;
    const length = rest + chunk.length;
    let owned = this.#owned;
    if (owned === null || this.#start + length > owned.length) {
      const declared = this.#bodyBytes < 0 ? length * 2 : this.#headEnd + this.#bodyBytes + 1;
      owned = Buffer.allocUnsafeSlow(Math.max(length, Math.min(declared, length * 2), 512));
      owned.set(this.#window.subarray(this.#start), 0);
      this.#owned = owned;
      this.#start = 0;
    }
    owned.set(chunk, this.#start + rest);
    this.#window = owned.subarray(0, this.#start + length);
    this.#tail = chunk;
  }
}

function malformed(reason: string): StompError {
  return new StompError('Malformed frame', `Malformed frame: ${reason}\n`);
}

function tooLarge(maxBytes: number): StompError {
  return new StompError(
    'Message too large',
    `The body is larger than the limit of ${maxBytes} bytes\n`,
  );
}
