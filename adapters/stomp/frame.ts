/**
 * One frame from a client: views of the input, whose header values are decoded when they are asked
 * for. There is one per decoder, filled anew for each frame.
 */
import { HEADER_NAMES_MAX, type HeaderName, UNKNOWN } from './header-name.ts';
import { unescapeText, type Version } from './text.ts';

const SPACE = 32;
const ZERO = 48;
/** More would not be exact. */
const DIGITS_MAX = 15;
const EMPTY = Buffer.alloc(0);
const NONE = -1;

export class Frame {
  command = '';
  body: Buffer = EMPTY;
  version: Version = 0;
  /** False for CONNECT and STOMP, whose headers have no escapes in any version. */
  escaped = false;
  /** What the lines' offsets count from. */
  bytes: Buffer = EMPTY;
  base = 0;
  /** Start, colon, end (relative to `base`) and the name's number, of each header line. */
  readonly #lines: number[] = [];
  /** Index of the first header of each known name. */
  readonly #first = new Int16Array(HEADER_NAMES_MAX).fill(NONE);

  get headerCount(): number {
    return this.#lines.length / 4;
  }

  /** Forgets the headers. */
  clear(): void {
    const lines = this.#lines;
    for (let at = 3; at < lines.length; at += 4) {
      const number = lines[at] as number;
      if (number !== UNKNOWN) this.#first[number] = NONE;
    }
    lines.length = 0;
  }

  /** Adds a header line. */
  add(start: number, colon: number, end: number, number: number): void {
    if (number !== UNKNOWN && this.#first[number] === NONE) {
      this.#first[number] = this.#lines.length / 4;
    }
    this.#lines.push(start, colon, end, number);
  }

  /** The first value of a header (STOMP 1.2, "Repeated Header Entries"), or undefined. */
  get(name: HeaderName): string | undefined {
    const index = this.#first[name.number] as number;
    return index === NONE ? undefined : this.value(index);
  }

  /** A whole number of up to 15 digits, or -1 where it is none. */
  number(name: HeaderName): number {
    const index = this.#first[name.number] as number;
    const { bytes, base } = this;
    let at = base + this.valueStart(index);
    let end = base + this.lineEnd(index);
    while (at < end && bytes[at] === SPACE) at++;
    while (end > at && bytes[end - 1] === SPACE) end--;
    if (at === end || end - at > DIGITS_MAX) return -1;
    let value = 0;
    for (; at < end; at++) {
      const digit = (bytes[at] as number) - ZERO;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return value;
  }

  /** Whether a header's first value is written with these bytes. */
  isWritten(name: HeaderName, value: Buffer): boolean {
    const index = this.#first[name.number] as number;
    if (index === NONE) return false;
    const start = this.base + this.valueStart(index);
    if (this.base + this.lineEnd(index) - start !== value.length) return false;
    for (let at = 0; at < value.length; at++) {
      if (this.bytes[start + at] !== value[at]) return false;
    }
    return true;
  }

  /** The bytes of a header's first value, which there must be: a copy. */
  written(name: HeaderName): Buffer {
    const index = this.#first[name.number] as number;
    const { base } = this;
    return Buffer.from(
      this.bytes.subarray(base + this.valueStart(index), base + this.lineEnd(index)),
    );
  }

  has(name: HeaderName): boolean {
    return this.#first[name.number] !== NONE;
  }

  name(index: number): string {
    const text = this.#text(this.nameStart(index), this.colon(index));
    return this.escaped ? unescapeText(text, this.version) : text;
  }

  value(index: number): string {
    const text = this.#text(this.valueStart(index), this.lineEnd(index));
    return this.escaped ? unescapeText(text, this.version) : text;
  }

  nameStart(index: number): number {
    return this.#lines[index * 4] as number;
  }

  colon(index: number): number {
    return this.#lines[index * 4 + 1] as number;
  }

  lineEnd(index: number): number {
    return this.#lines[index * 4 + 2] as number;
  }

  nameNumber(index: number): number {
    return this.#lines[index * 4 + 3] as number;
  }

  /** Where a value begins: 1.0 clients write a space behind the colon that is not meant. */
  valueStart(index: number): number {
    let start = this.colon(index) + 1;
    if (this.version !== 0) return start;
    const end = this.lineEnd(index);
    while (start < end && this.bytes[this.base + start] === SPACE) start++;
    return start;
  }

  /** Detaches the frame from the input: it is still needed when more of that arrives. */
  own(): void {
    const { headerCount } = this;
    const head = headerCount === 0 ? 0 : this.lineEnd(headerCount - 1);
    this.bytes = Buffer.from(this.bytes.subarray(this.base, this.base + head));
    this.base = 0;
    this.body = Buffer.from(this.body);
  }

  #text(start: number, end: number): string {
    return this.bytes.toString('utf8', this.base + start, this.base + end);
  }
}
