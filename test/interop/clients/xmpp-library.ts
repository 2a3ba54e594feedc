/**
 * The part of @xmpp/client that tests and the demo use. The library brings no types of its own, so what
 * is used of it is described here, and imported under that description.
 */
import { WebSocket } from 'ws';

export interface XmppElement {
  readonly name: string;
  readonly attrs: Readonly<Record<string, string | undefined>>;
  readonly children: readonly (XmppElement | string)[];
  is(name: string, namespace?: string): boolean;
  getChild(name: string, namespace?: string): XmppElement | undefined;
  getChildren(name: string, namespace?: string): readonly XmppElement[];
  getChildText(name: string, namespace?: string): string | null;
  text(): string;
  toString(): string;
}

export interface XmppOptions {
  readonly service: string;
  readonly domain: string;
  readonly username: string;
  readonly password: string;
  readonly resource?: string;
}

export interface XmppClient {
  readonly iqCaller: { request(iq: XmppElement): Promise<XmppElement> };
  readonly reconnect: { stop(): void };
  readonly streamManagement: { on(event: 'ack', listener: (stanza: XmppElement) => void): void };
  start(): Promise<{ toString(): string }>;
  stop(): Promise<void>;
  send(stanza: XmppElement): Promise<void>;
  on(event: 'stanza', listener: (stanza: XmppElement) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
}

export interface XmppLibrary {
  client(options: XmppOptions): XmppClient;
  xml(
    name: string,
    attributes: Readonly<Record<string, string | undefined>>,
    ...children: readonly (XmppElement | string)[]
  ): XmppElement;
}

// The library takes the platform's WebSocket, which Node has from version 22 on.
if (!Object.hasOwn(globalThis, 'WebSocket')) Object.assign(globalThis, { WebSocket });

const NAME: string = '@xmpp/client';

export const { client, xml } = (await import(NAME)) as XmppLibrary;
