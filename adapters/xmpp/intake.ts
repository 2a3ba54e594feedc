/**
 * The elements of one stream, one at a time and in their order: while an answer is awaited
 * (`hold`), what follows waits. What waits is bounded by the transport, which is held too.
 */
import { randomName } from '../../core/random.ts';
import type { Transport } from '../adapter.ts';
import type { Element } from './element.ts';
import type { Host } from './host.ts';
import { type StreamCondition, XmlStream } from './stream.ts';

/** The other side closed the stream. */
const END = Symbol('end');

export interface IntakeHandler {
  /** A stream header, to be answered at once. */
  opened(header: Element): void;
  element(node: Element): void;
  /** The other side closed the stream in order, and was answered. */
  finished(): void;
  /** The stream ended with an error of ours. */
  failed(condition: StreamCondition, reason: string): void;
}

export class Intake {
  readonly stream: XmlStream;
  readonly #transport: Transport;
  readonly #handler: IntakeHandler;
  #holds = 0;
  #waiting: (Element | typeof END)[] = [];

  /** `content` is the namespace of the stream's stanzas. */
  constructor(host: Host, transport: Transport, content: string, handler: IntakeHandler) {
    this.#transport = transport;
    this.#handler = handler;
    const { context, domains, limits } = host;
    this.stream = new XmlStream(
      transport,
      {
        opened: (header) => handler.opened(header),
        element: (node) => this.#take(node),
        finished: () => this.#take(END),
        failed: (condition, reason) => handler.failed(condition, reason),
      },
      content,
      domains.host,
      limits,
      () => randomName(context.random),
    );
  }

  hold(): void {
    this.#holds++;
    this.#transport.hold();
  }

  release(): void {
    this.#holds--;
    this.#transport.release();
    while (this.#holds === 0) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.stream.guard(() => this.#take(next));
    }
  }

  /** Nobody wants what waits any more. */
  clear(): void {
    this.#waiting = [];
  }

  #take(next: Element | typeof END): void {
    if (this.#holds > 0) this.#waiting.push(next);
    else if (next === END) {
      this.stream.close();
      this.#handler.finished();
    } else if (!this.stream.ended) this.#handler.element(next);
  }
}
