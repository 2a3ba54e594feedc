/** What the tests use of stompit, which has no declarations of its own. */
declare module 'stompit' {
  import type { Readable, Writable } from 'node:stream';

  type Headers = Readonly<Record<string, string>>;

  interface SendOptions {
    readonly onReceipt?: () => void;
  }

  export interface StompitMessage extends Readable {
    headers: Record<string, string>;
    readString(
      encoding: string,
      callback: (error: Error | null, body: string | undefined) => void,
    ): void;
  }

  export interface StompitTransaction {
    readonly id: number;
    send(headers: Headers): Writable;
    commit(options: SendOptions): void;
    abort(options: SendOptions): void;
  }

  export interface StompitClient {
    send(headers: Headers, options?: SendOptions): Writable;
    subscribe(
      headers: Headers,
      listener: (error: Error | null, message: StompitMessage) => void,
    ): void;
    ack(message: StompitMessage, headers: object, options: SendOptions, done?: () => void): void;
    nack(message: StompitMessage, headers: object, options: SendOptions): void;
    begin(): StompitTransaction;
    disconnect(callback: () => void): void;
  }

  const stompit: {
    connect(options: object, callback: (error: Error | null, client: StompitClient) => void): void;
  };
  export default stompit;
}
