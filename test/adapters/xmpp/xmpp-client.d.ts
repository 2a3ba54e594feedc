/** The part of `@xmpp/client` that the tests use; the package brings no types. */
declare module '@xmpp/client' {
  import type { EventEmitter } from 'node:events';
  import type { Element } from '@xmpp/xml';

  export interface Client extends EventEmitter {
    readonly iqCaller: { request(stanza: Element): Promise<Element> };
    readonly socket: { destroy?(): void; end?(): void } | null;
    readonly reconnect: { delay: number; stop(): void };
    /** Emits `ack` with each stanza that the server has taken responsibility for (XEP-0198). */
    readonly streamManagement: EventEmitter & { requestAckDebounce: number };
    start(): Promise<{ toString(): string }>;
    stop(): Promise<void>;
    send(stanza: Element): Promise<void>;
    disconnect(): Promise<void>;
  }

  export function client(options: {
    service: string;
    domain?: string;
    username?: string;
    password?: string;
    resource?: string;
    tls?: unknown;
    credentials?: unknown;
  }): Client;
  export function xml(
    name: string,
    attributes?: Record<string, string>,
    ...children: (Element | string)[]
  ): Element;
}
