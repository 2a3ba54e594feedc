/**
 * Bytes to frames: incremental, bounded, one pass. `feed` takes a chunk, `next` answers one frame at
 * a time (so that a connection can stop between two of them) or null where more is needed, and throws
 * a StompError for what is not STOMP.
 *
 * Head and body of a frame are views of the input, its header values are decoded when asked for. There
 * is one Frame per decoder: it is valid until `next` is called again.
 *
 *   BETWEEN (line ends, stray NULs) → HEAD (command, header lines, empty line) → BODY → BETWEEN
 */
import type { Limits } from '../../core/limits.ts';
import { StompError } from './errors.ts';
import { unescapeText, type Version, validEscapes } from './text.ts';

const NUL = 0;
const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;
const BACKSLASH = 92;
const EMPTY = Buffer.alloc(0);
/** Longer than any command: what is not STOMP at all is refused early. */
const COMMAND_BYTES_MAX = 64;

/** A header's name in the form that frames are searched with. */
export type HeaderName = Buffer;

export function headerName(name: string): HeaderName {
  return Buffer.from(name, 'latin1');
}

const CONTENT_LENGTH = headerName('content-length');
const DESTINATION = headerName('destination');

/** One frame from a client. */
export class Frame {
  command = '';
  body: Buffer = EMPTY;
  version: Version = 0;
  /** False for CONNECT and STOMP, whose headers have no escapes in any version. */
  escaped = false;
  /** What the lines' offsets count from. */
  bytes: Buffer = EMPTY;
  base = 0;
  /** Start, colon and end of each header line, relative to `base`. */
  readonly lines: number[] = [];

  get headerCount(): number {
    return this.lines.length / 3;
  }

  /** The first value of a header (STOMP 1.2, "Repeated Header Entries"), or undefined. */
  get(name: HeaderName): string | undefined {
    const index = this.find(name);
    return index < 0 ? undefined : this.value(index);
  }

  has(name: HeaderName): boolean {
    return this.find(name) >= 0;
  }

  /** Where header `name` is, or -1. */
  find(name: HeaderName): number {
    const { lines } = this;
    for (let at = 0; at < lines.length; at += 3) {
      const start = lines[at] as number;
      if ((lines[at + 1] as number) - start === name.length && this.#matches(start, name)) {
        return at / 3;
      }
    }
    return -1;
  }

  /** Whether a header's name, `destination` aside, begins with one of `letters`. */
  someNameBegins(letters: Buffer): boolean {
    const { bytes, base, lines } = this;
    for (let at = 0; at < lines.length; at += 3) {
      const start = lines[at] as number;
      if (!letters.includes(bytes[base + start] as number)) continue;
      if ((lines[at + 1] as number) - start !== 11 || !this.#matches(start, DESTINATION))
        return true;
    }
    return false;
  }

  name(index: number): string {
    const text = this.#text(this.lines[index * 3] as number, this.lines[index * 3 + 1] as number);
    return this.escaped ? unescapeText(text, this.version) : text;
  }

  value(index: number): string {
    const text = this.#text(this.valueStart(index), this.lines[index * 3 + 2] as number);
    return this.escaped ? unescapeText(text, this.version) : text;
  }

  /** Where a value begins: 1.0 clients write a space behind the colon that is not meant. */
  valueStart(index: number): number {
    let start = (this.lines[index * 3 + 1] as number) + 1;
    const end = this.lines[index * 3 + 2] as number;
    if (this.version !== 0) return start;
    while (start < end && this.bytes[this.base + start] === SPACE) start++;
    return start;
  }

  /** Detaches the frame from the input: it is still needed when more of that arrives. */
  own(): void {
    const head = this.lines.length === 0 ? 0 : (this.lines[this.lines.length - 1] as number);
    this.bytes = Buffer.from(this.bytes.subarray(this.base, this.base + head));
    this.base = 0;
    this.body = Buffer.from(this.body);
  }

  #matches(start: number, name: HeaderName): boolean {
    const { bytes } = this;
    const from = this.base + start;
    for (let at = 0; at < name.length; at++) if (bytes[from + at] !== name[at]) return false;
    return true;
  }

  #text(start: number, end: number): string {
    return this.bytes.toString('utf8', this.base + start, this.base + end);
  }
}

export class Decoder {
  /** Set once it is negotiated; until then 1.2, whose frames are a superset. */
  version: Version = 2;
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
    this.#frame.lines.length = 0;
  }

  /** Reads command and header lines as far as they are here. */
  #head(): boolean {
    const window = this.#window;
    const base = this.#start;
    const available = window.length - base;
    for (let at = this.#cursor; at < available; at++) {
      const byte = window[base + at];
      if (byte === LF) {
        const end = at > this.#lineStart && window[base + at - 1] === CR ? at - 1 : at;
        const done = this.#commandEnd < 0 ? this.#command(end) : this.#line(end);
        this.#lineStart = at + 1;
        this.#colon = -1;
        if (!done) continue;
        this.#headEnd = at + 1;
        this.#headed();
        return true;
      }
      if (byte === COLON) {
        if (this.#colon < 0) this.#colon = at;
      } else if (byte === BACKSLASH) this.#backslash = true;
      else if (byte === NUL) throw malformed('a NUL within the headers');
    }
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
    this.#frame.command = this.#window.toString('latin1', this.#start, this.#start + end);
    return false;
  }

  /** One header line; true for the empty line that ends them. */
  #line(end: number): boolean {
    const start = this.#lineStart;
    if (end === start) return true;
    if (end - start > this.#limits.stompHeaderBytesMax) throw malformed('a line is too long');
    if (this.#colon < 0) throw malformed('a header line without a colon');
    if (this.#colon === start) throw malformed('a header without a name');
    const { lines } = this.#frame;
    if (lines.length >= this.#limits.stompHeadersMax * 3) throw malformed('too many headers');
    lines.push(start, this.#colon, end);
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
    const declared = frame.get(CONTENT_LENGTH);
    this.#cursor = this.#headEnd;
    if (declared === undefined) return;
    const digits = declared.trim();
    if (!/^\d{1,15}$/.test(digits)) throw malformed('content-length is not a number');
    this.#bodyBytes = Number(digits);
    if (this.#bodyBytes > this.#limits.messageBytesMax) throw tooLarge(this.#limits);
  }

  /** STOMP 1.1 and 1.2: undefined escape sequences are a fatal protocol error. */
  #checkEscapes(): void {
    const from = this.#start;
    const { lines } = this.#frame;
    for (let at = 0; at < lines.length; at += 3) {
      const start = from + (lines[at] as number);
      if (!validEscapes(this.#window, start, from + (lines[at + 2] as number), this.version))
        throw malformed('an undefined escape sequence');
    }
  }

  /** Where the NUL behind the body is, relative to the frame's start, or -1 while it is not here. */
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
    if (end - this.#headEnd > this.#limits.messageBytesMax) throw tooLarge(this.#limits);
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

function tooLarge(limits: Limits): StompError {
  return new StompError(
    'Message too large',
    `The body is larger than the limit of ${limits.messageBytesMax} bytes\n`,
  );
}
