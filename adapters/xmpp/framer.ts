/**
 * Cuts a byte stream into the pieces of an XMPP stream without reading more of the XML than it
 * must:
 *
 *     [<?xml …?>] <stream:stream …>   header      (not on a framed transport, RFC 7395)
 *       white space                   keep-alive
 *       <message>…</message>          element
 *     </stream:stream>                footer
 *
 * Only the state of the scan and the bytes of an unfinished piece are kept between chunks, bounded
 * by `bytesMax`. The tokenizer checks what is inside; the framer is only sure of where an element
 * ends.
 */
import { isUtf8 } from 'node:buffer';
import { XmlError } from './tokenizer.ts';

export interface FrameHandler {
  header(text: string): void;
  element(text: string, bytes: number): void;
  footer(): void;
  /** False: drop everything from here on (the stream ended in one of the calls above). */
  readonly open: boolean;
}

const State = {
  TEXT: 0,
  OPENED: 1,
  TAG: 2,
  QUOTED: 3,
  SLASH: 4,
  END: 5,
  BANG: 6,
  CDATA: 7,
  DECLARATION: 8,
} as const;
type State = (typeof State)[keyof typeof State];

/** What a byte completed. */
const Piece = { NONE: 0, DECLARATION: 1, HEADER: 2, ELEMENT: 3, FOOTER: 4 } as const;
type Piece = (typeof Piece)[keyof typeof Piece];

const LESS = 0x3c;
const GREATER = 0x3e;
const SLASH = 0x2f;
const BRACKET = 0x5d;
const CDATA_START = Buffer.from('[CDATA[');

export class Framer {
  bytesMax: number;
  readonly #depthMax: number;
  /** 1 where elements stand inside a stream element, 0 where each stands alone. */
  readonly #base: number;
  readonly #handler: FrameHandler;
  #state: State = State.TEXT;
  #depth = 0;
  #quote = 0;
  /** Bytes matched of `[CDATA[`, or brackets seen before a `>`. */
  #count = 0;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** Nothing but white space came yet: an XML declaration may still come. */
  #fresh = true;

  constructor(handler: FrameHandler, framed: boolean, bytesMax: number, depthMax: number) {
    this.#handler = handler;
    this.#base = framed ? 0 : 1;
    this.bytesMax = bytesMax;
    this.#depthMax = depthMax + this.#base;
  }

  /** A new stream begins with the next byte (after SASL and TLS, RFC 6120 4.3.3). */
  restart(): void {
    this.#state = State.TEXT;
    this.#depth = 0;
    this.#fresh = true;
    this.#kept = [];
    this.#keptBytes = 0;
  }

  /** Throws `XmlError`; the stream is then over. */
  push(chunk: Buffer): void {
    // Where the piece in hand begins: 0 while one is unfinished from before, -1 between pieces.
    let from = this.#state === State.TEXT && this.#depth <= this.#base ? -1 : 0;
    for (let at = 0; at < chunk.length; at++) {
      if (this.#state === State.TEXT) {
        at = this.#text(chunk, at);
        if (at >= chunk.length) break;
        if (from < 0) from = at;
        this.#state = State.OPENED;
        continue;
      }
      const piece = this.#step(chunk[at] ?? 0);
      if (piece === Piece.NONE) continue;
      const bytes = this.#finish(chunk, from, at + 1);
      from = -1;
      this.#emit(piece, bytes);
      if (!this.#handler.open) return;
    }
    if (from >= 0) this.#keep(chunk.subarray(from));
  }

  /** Skips to the next `<`; between pieces only white space may be skipped. */
  #text(chunk: Buffer, from: number): number {
    if (this.#depth > this.#base) {
      const next = chunk.indexOf(LESS, from);
      return next < 0 ? chunk.length : next;
    }
    let at = from;
    for (; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (byte === LESS) return at;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) {
        throw this.#fresh
          ? new XmlError('not-well-formed', 'no XML')
          : new XmlError('bad-format', 'text between stanzas');
      }
    }
    return at;
  }

  /** One byte inside markup. */
  #step(byte: number): Piece {
    switch (this.#state) {
      case State.OPENED:
        this.#opened(byte);
        return Piece.NONE;
      case State.TAG:
        return this.#tag(byte);
      case State.QUOTED:
        if (byte === this.#quote) this.#state = State.TAG;
        return Piece.NONE;
      case State.SLASH:
        if (byte !== GREATER) throw new XmlError('not-well-formed', '/ in a tag');
        this.#state = State.TEXT;
        if (this.#depth < this.#base) throw new XmlError('not-well-formed', 'empty stream');
        return this.#depth === this.#base ? Piece.ELEMENT : Piece.NONE;
      case State.END:
        if (byte === LESS) throw new XmlError('not-well-formed', '< in a tag');
        return byte === GREATER ? this.#ended() : Piece.NONE;
      case State.BANG:
        this.#bang(byte);
        return Piece.NONE;
      case State.CDATA:
        if (byte === BRACKET) this.#count++;
        else if (byte === GREATER && this.#count >= 2) this.#state = State.TEXT;
        else this.#count = 0;
        return Piece.NONE;
      case State.DECLARATION:
        if (byte !== GREATER) return Piece.NONE;
        this.#state = State.TEXT;
        return Piece.DECLARATION;
      default:
        return Piece.NONE;
    }
  }

  #tag(byte: number): Piece {
    if (byte === 0x22 || byte === 0x27) {
      this.#quote = byte;
      this.#state = State.QUOTED;
    } else if (byte === SLASH) this.#state = State.SLASH;
    else if (byte === GREATER) return this.#started();
    else if (byte === LESS) throw new XmlError('not-well-formed', '< in a tag');
    return Piece.NONE;
  }

  #bang(byte: number): void {
    if (byte !== CDATA_START[this.#count]) {
      throw new XmlError('restricted-xml', 'comment or document type');
    }
    if (++this.#count < CDATA_START.length) return;
    this.#state = State.CDATA;
    this.#count = 0;
  }

  #opened(byte: number): void {
    if (byte === SLASH) {
      if (this.#depth === 0) throw new XmlError('not-well-formed', 'end tag without a start');
      this.#state = State.END;
    } else if (byte === 0x21) {
      if (this.#depth <= this.#base) throw new XmlError('restricted-xml', 'markup declaration');
      this.#state = State.BANG;
      this.#count = 0;
    } else if (byte === 0x3f) {
      if (!this.#fresh) throw new XmlError('restricted-xml', 'processing instruction');
      this.#state = State.DECLARATION;
    } else {
      this.#state = State.TAG;
    }
    this.#fresh = false;
  }

  #started(): Piece {
    this.#state = State.TEXT;
    this.#depth++;
    if (this.#depth > this.#depthMax) throw new XmlError('policy-violation', 'nested too deep');
    return this.#depth === this.#base ? Piece.HEADER : Piece.NONE;
  }

  #ended(): Piece {
    this.#state = State.TEXT;
    this.#depth--;
    if (this.#depth < this.#base) return Piece.FOOTER;
    return this.#depth === this.#base ? Piece.ELEMENT : Piece.NONE;
  }

  #keep(piece: Buffer): void {
    this.#keptBytes += piece.length;
    this.#checkSize(this.#keptBytes);
    // The chunk belongs to the transport, which may reuse it.
    this.#kept.push(Buffer.from(piece));
  }

  #finish(chunk: Buffer, from: number, to: number): Buffer {
    const last = chunk.subarray(from, to);
    this.#checkSize(this.#keptBytes + last.length);
    if (this.#kept.length === 0) return last;
    const whole = Buffer.concat([...this.#kept, last]);
    this.#kept = [];
    this.#keptBytes = 0;
    return whole;
  }

  #checkSize(bytes: number): void {
    if (bytes > this.bytesMax) throw new XmlError('policy-violation', 'stanza too large');
  }

  #emit(piece: Piece, bytes: Buffer): void {
    if (!isUtf8(bytes)) throw new XmlError('not-well-formed', 'not UTF-8');
    const text = bytes.toString('utf8');
    if (piece === Piece.ELEMENT) this.#handler.element(text, bytes.length);
    else if (piece === Piece.HEADER) this.#handler.header(text);
    else if (piece === Piece.FOOTER) this.#handler.footer();
    else this.#declaration(text);
  }

  #declaration(text: string): void {
    const declared = /^<\?xml\s[^?]*?(?:encoding\s*=\s*["']([^"']*)["'][^?]*)?\?>$/.exec(text);
    if (declared === null) throw new XmlError('restricted-xml', 'processing instruction');
    if (declared[1] !== undefined && declared[1].toLowerCase() !== 'utf-8') {
      throw new XmlError('unsupported-encoding', declared[1]);
    }
  }
}
