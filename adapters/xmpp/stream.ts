/**
 * One XML stream over a transport: header and footer, restarts, stream errors (RFC 6120 4), in the
 * framing of TCP or of WebSocket (RFC 7395). What the elements mean is the handler's business.
 */

import { reasonOf } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Transport } from '../adapter.ts';
import {
  type Element,
  element,
  escapeAttribute,
  localName,
  namespaceOf,
  serialize,
} from './element.ts';
import { type FrameHandler, Framer } from './framer.ts';
import { NS } from './namespaces.ts';
import {
  NO_PREFIXES,
  type Prefixes,
  parseElement,
  parseStartTag,
  type XmlCondition,
  XmlError,
} from './tokenizer.ts';
import type { Wire } from './wire.ts';

/** RFC 6120 4.9.3. */
export type StreamCondition =
  | XmlCondition
  | 'bad-namespace-prefix'
  | 'conflict'
  | 'connection-timeout'
  | 'host-unknown'
  | 'improper-addressing'
  | 'internal-server-error'
  | 'invalid-from'
  | 'invalid-namespace'
  | 'not-authorized'
  | 'resource-constraint'
  | 'system-shutdown'
  | 'undefined-condition'
  | 'unsupported-stanza-type'
  | 'unsupported-version';

export interface StreamHandler {
  /** The client opened, or reopened, the stream; answer with `reply`, or `fail`. */
  opened(header: Element): void;
  element(node: Element): void;
  /** The client closed the stream: `close` answers, once what came before is done. */
  finished(): void;
  /** The stream was ended by `fail`. */
  failed(condition: StreamCondition, reason: string): void;
}

export class XmlStream implements FrameHandler {
  readonly #transport: Transport;
  readonly #handler: StreamHandler;
  /** `jabber:client` or `jabber:component:accept`. */
  readonly #content: string;
  readonly #host: string;
  readonly #id: () => string;
  readonly #framer: Framer;
  #prefixes: Prefixes = NO_PREFIXES;
  #replied = false;
  /** Our header came first: the other side's answers it. */
  #initiated = false;
  #headerSeen = false;
  #ended = false;
  /** Drop what the same read still holds: it was sent before TLS (RFC 6120 5.3.1). */
  #skipping = false;

  constructor(
    transport: Transport,
    handler: StreamHandler,
    content: string,
    host: string,
    limits: Limits,
    id: () => string,
  ) {
    this.#transport = transport;
    this.#handler = handler;
    this.#content = content;
    this.#host = host;
    this.#id = id;
    this.#framer = new Framer(
      this,
      transport.framed,
      limits.xmppStanzaBytesBeforeLoginMax,
      limits.xmppDepthMax,
    );
  }

  get open(): boolean {
    return !this.#ended && !this.#skipping;
  }

  get ended(): boolean {
    return this.#ended;
  }

  set stanzaBytesMax(bytes: number) {
    this.#framer.bytesMax = bytes;
  }

  receive(chunk: Buffer): void {
    if (this.#ended) return;
    this.#skipping = false;
    this.guard(() => this.#framer.push(chunk));
  }

  /** Whatever goes wrong in `action` ends this stream, and nothing else. */
  guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (error instanceof XmlError) this.fail(error.condition, error.message);
      else this.fail('internal-server-error', reasonOf(error));
    }
  }

  header(text: string): void {
    // The tag closes with the stream; for its own check it is one that closes at once.
    const header = parseStartTag(text);
    this.#headerSeen = true;
    this.#replied = this.#initiated;
    const prefix = header.name.includes(':') ? header.name.slice(0, header.name.indexOf(':')) : '';
    if (localName(header) !== 'stream') {
      this.fail('bad-format', 'not a stream header');
    } else if (namespaceOf(header) !== NS.STREAM) {
      this.fail('invalid-namespace', 'stream namespace');
    } else if (prefix !== 'stream') {
      // RFC 6120 4.8.5: an entity may insist on the prefix that everybody uses.
      this.fail('bad-namespace-prefix', `stream prefix '${prefix}'`);
    } else if (header.attrs.xmlns !== this.#content) {
      this.fail('invalid-namespace', 'content namespace');
    } else {
      this.#prefixes = prefixesOf(header);
      this.#handler.opened(header);
    }
  }

  element(text: string): void {
    const node = parseElement(text, this.#prefixes);
    if (this.#transport.framed && this.#framing(node)) return;
    if (!this.#headerSeen) {
      this.fail('bad-format', 'no stream header');
      return;
    }
    // '' is the content namespace in our trees.
    if (node.attrs.xmlns === this.#content) delete node.attrs.xmlns;
    else if (this.#transport.framed && node.attrs.xmlns === undefined && !node.name.includes(':')) {
      // RFC 7395 3.3.3: nothing is inherited from a frame before.
      this.fail('invalid-namespace', 'no namespace');
      return;
    }
    this.#handler.element(node);
  }

  footer(): void {
    this.#handler.finished();
  }

  /** Opens the stream from this side, to `to` (XEP-0114 section 3). */
  initiate(to: string): void {
    this.#initiated = true;
    this.#replied = true;
    this.#transport.output.text(
      `<?xml version="1.0"?><stream:stream xmlns="${this.#content}" ` +
        `xmlns:stream="${NS.STREAM}" to="${escapeAttribute(to)}">`,
    );
    this.#transport.cut();
  }

  /** Answers the client's header. */
  reply(attributes: {
    readonly from?: string | undefined;
    readonly to?: string | undefined;
    readonly versioned: boolean;
  }): string {
    const id = this.#id();
    const { from, to, versioned } = attributes;
    this.#writeHeader(id, from ?? this.#host, to, versioned);
    return id;
  }

  restart(): void {
    this.#headerSeen = false;
    this.#framer.restart();
  }

  /** Goes over to TLS; what the client sent together with its request for it is void. */
  startTls(): void {
    this.restart();
    this.#skipping = true;
    this.#transport.startTls?.();
  }

  write(wire: Wire): void {
    if (this.#ended) return;
    const { output } = this.#transport;
    output.text(this.#transport.framed ? this.#declared(wire[0]) : wire[0]);
    for (let index = 1; index < wire.length; index++) {
      const piece = wire[index] ?? '';
      if (typeof piece === 'string') output.text(piece);
      else output.write(piece);
    }
    this.#transport.cut();
  }

  /** An element that is no stanza: its namespace is its own. */
  writeElement(node: Element): void {
    if (this.#ended) return;
    this.#transport.output.text(serialize(node));
    this.#transport.cut();
  }

  /** Ends the stream in order. */
  close(): void {
    if (this.#ended) return;
    if (this.#transport.framed) this.writeElement(element('close', { xmlns: NS.FRAMING }));
    else this.#transport.output.text('</stream:stream>');
    this.#ended = true;
    this.#transport.end();
  }

  /**
   * RFC 6120 4.9.1.1: an error ends the stream; before a header was answered, one is sent first.
   */
  fail(condition: StreamCondition, reason: string): void {
    if (this.#ended) return;
    if (!this.#replied) this.#writeHeader(this.#id(), this.#host, undefined, true);
    const error = element(
      'stream:error',
      this.#transport.framed ? { 'xmlns:stream': NS.STREAM } : {},
      element(condition, { xmlns: NS.STREAM_ERRORS }),
      element('text', { xmlns: NS.STREAM_ERRORS, 'xml:lang': 'en' }, reason),
    );
    this.writeElement(error);
    this.close();
    this.#handler.failed(condition, reason);
  }

  /** RFC 7395's own elements. True where `node` was one. */
  #framing(node: Element): boolean {
    if (namespaceOf(node) !== NS.FRAMING) return false;
    if (localName(node) === 'close') {
      this.footer();
    } else if (localName(node) === 'open') {
      this.#headerSeen = true;
      this.#replied = false;
      this.#handler.opened(node);
    } else {
      this.fail('unsupported-stanza-type', localName(node));
    }
    return true;
  }

  #writeHeader(id: string, from: string, to: string | undefined, versioned: boolean): void {
    this.#replied = true;
    const common = `from="${escapeAttribute(from)}" id="${id}"${
      to === undefined ? '' : ` to="${escapeAttribute(to)}"`
    }${versioned ? ' version="1.0" xml:lang="en"' : ''}`;
    const { output } = this.#transport;
    if (this.#transport.framed) output.text(`<open xmlns="${NS.FRAMING}" ${common}/>`);
    else {
      output.text(
        `<?xml version="1.0"?><stream:stream xmlns="${this.#content}" xmlns:stream="${NS.STREAM}" ${common}>`,
      );
    }
    this.#transport.cut();
  }

  /** RFC 7395 3.3.3: each stanza names its namespace. */
  #declared(start: string): string {
    const end = /^<[a-z]+/.exec(start)?.[0].length ?? 0;
    return `${start.slice(0, end)} xmlns="${this.#content}"${start.slice(end)}`;
  }
}

function prefixesOf(header: Element): Prefixes {
  const prefixes = new Map<string, string>();
  for (const [name, value] of Object.entries(header.attrs)) {
    if (name.startsWith('xmlns:') && value !== undefined) prefixes.set(name.slice(6), value);
  }
  return prefixes;
}
