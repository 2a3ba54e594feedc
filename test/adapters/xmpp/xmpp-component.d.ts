/** The part of `@xmpp/component` that the tests use; the package brings no types. */
declare module '@xmpp/component' {
  import type { EventEmitter } from 'node:events';

  /** An element of the package's own, older `@xmpp/xml`. */
  export interface Stanza {
    readonly name: string;
    readonly attrs: Readonly<Record<string, string | undefined>>;
    is(name: string): boolean;
    getChild(name: string): Stanza | undefined;
    getChildText(name: string): string | null;
    toString(): string;
  }

  export interface Component extends EventEmitter {
    readonly iqCaller: { request(stanza: Stanza): Promise<Stanza> };
    readonly iqCallee: {
      get(namespace: string, name: string, answer: () => Stanza | true): void;
    };
    readonly reconnect: { delay: number };
    start(): Promise<{ toString(): string }>;
    stop(): Promise<void>;
    send(stanza: Stanza): Promise<void>;
  }

  export function component(options: {
    service: string;
    domain: string;
    password: string;
  }): Component;
  export function xml(
    name: string,
    attributes?: Readonly<Record<string, string>>,
    ...children: (Stanza | string)[]
  ): Stanza;
}
