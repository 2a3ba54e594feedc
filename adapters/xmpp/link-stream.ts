/**
 * One connection of a link (XEP-0114, as the component):
 *
 *     OPENING ──their header──► HANDSHAKE ──<handshake/>──► UP
 */
import { createHash } from 'node:crypto';
import type { Connection, Transport } from '../adapter.ts';
import { type Element, element, firstElement, is, localName, namespaceOf } from './element.ts';
import type { Host } from './host.ts';
import { Intake } from './intake.ts';
import type { LinkOptions } from './link-options.ts';
import { NS } from './namespaces.ts';
import type { StreamCondition } from './stream.ts';

export interface LinkStreamOwner {
  /** The other server took the secret. */
  up(): void;
  stanza(node: Element): void;
  /** The other server reads again. */
  drained(): void;
  /** The connection is gone. Once, also where it was never up. */
  down(reason: string): void;
}

export class LinkStream implements Connection {
  readonly #host: Host;
  readonly #options: LinkOptions;
  readonly #transport: Transport;
  readonly #owner: LinkStreamOwner;
  readonly #intake: Intake;
  #up = false;
  #reason = '';

  constructor(host: Host, options: LinkOptions, transport: Transport, owner: LinkStreamOwner) {
    this.#host = host;
    this.#options = options;
    this.#transport = transport;
    this.#owner = owner;
    this.#intake = new Intake(host, transport, NS.COMPONENT, {
      opened: (header) => this.#opened(header),
      element: (node) => this.#element(node),
      finished: () => {
        this.#reason ||= 'closed by the server';
      },
      failed: (condition, reason) => {
        this.#reason ||= `${condition}: ${reason}`;
      },
    });
    this.#intake.stream.initiate(options.domain);
  }

  get congested(): boolean {
    return this.#transport.congested;
  }

  get holding(): boolean {
    return this.#transport.holding;
  }

  receive(chunk: Buffer): void {
    this.#intake.stream.receive(chunk);
  }

  drained(): void {
    if (this.#up) this.#owner.drained();
  }

  closed(error: Error | null): void {
    this.#intake.clear();
    this.#owner.down(this.#reason || (error?.message ?? 'closed by the server'));
  }

  write(stanza: Element): void {
    this.#intake.stream.writeElement(stanza);
  }

  hold(): void {
    this.#intake.hold();
  }

  release(): void {
    this.#intake.release();
  }

  /** Ends the stream in order. */
  close(): void {
    this.#intake.stream.close();
  }

  fail(condition: StreamCondition, reason: string): void {
    this.#intake.stream.fail(condition, reason);
    // Who does not answer may not read the end of the stream either.
    if (condition === 'connection-timeout') this.#transport.destroy();
  }

  #opened(header: Element): void {
    const digest = createHash('sha1').update((header.attrs.id ?? '') + this.#options.secret);
    this.#intake.stream.writeElement(element('handshake', {}, digest.digest('hex')));
  }

  #element(node: Element): void {
    if (namespaceOf(node) === NS.STREAM && localName(node) === 'error') {
      const condition = firstElement(node);
      this.#reason = `refused: ${condition === undefined ? 'error' : localName(condition)}`;
      this.#intake.stream.close();
    } else if (this.#up) this.#owner.stanza(node);
    else if (is(node, 'handshake', '')) {
      this.#up = true;
      this.#transport.authenticated();
      this.#intake.stream.stanzaBytesMax = this.#host.limits.xmppStanzaBytesMax;
      this.#owner.up();
    } else this.fail('unsupported-stanza-type', localName(node));
  }
}
