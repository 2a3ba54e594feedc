/** What the tests use of stompit, which has no declarations of its own. */
declare module 'stompit' {
  import type { Readable, Writable } from 'node:stream';

  export interface StompitMessage extends Readable {
    headers: Record<string, string>;
    readString(
      encoding: string,
      callback: (error: Error | null, body: string | undefined) => void,
    ): void;
  }

  export interface StompitClient {
    send(headers: Record<string, string>): Writable;
    subscribe(
      headers: Record<string, string>,
      listener: (error: Error | null, message: StompitMessage) => void,
    ): void;
    ack(message: StompitMessage, headers: object, options: object, callback: () => void): void;
    disconnect(callback: () => void): void;
  }

  const stompit: {
    connect(options: object, callback: (error: Error | null, client: StompitClient) => void): void;
  };
  export default stompit;
}
