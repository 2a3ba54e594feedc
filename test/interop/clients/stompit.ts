/** stompit over TCP. Replies come to a temporary queue, by an implicit subscription. */
import type { Readable, Writable } from 'node:stream';
import {
  bytesOf,
  type Client,
  Inbox,
  type Outgoing,
  type Place,
  type Received,
  type Target,
} from './client.ts';
import { destinationOf, REPLY_QUEUE, readFrame, type StompHeaders, sendHeaders } from './stomp.ts';

interface Message extends Readable {
  readonly headers: Readonly<Record<string, string>>;
}

/** The part of the library that is used; it brings no types. */
interface Stompit {
  connect(
    options: object,
    connected: (error: Error | null, client: StompitConnection) => void,
  ): void;
}

interface StompitConnection {
  send(headers: StompHeaders, options?: { readonly onReceipt: () => void }): Writable;
  subscribe(
    headers: StompHeaders,
    listener: (error: Error | null, message: Message) => void,
  ): unknown;
  setImplicitSubscription(
    id: string,
    ack: string,
    listener: (error: Error | null, message: Message) => void,
  ): unknown;
  ack(message: Message): void;
  sendFrame(
    command: string,
    headers: StompHeaders,
    options: { readonly onReceipt: () => void },
  ): Writable;
  disconnect(done: (error: Error | null) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
}

const NAME: string = 'stompit';

export async function stompit({ port, user, password }: Target): Promise<Client> {
  const { default: library } = (await import(NAME)) as { readonly default: Stompit };
  const connectHeaders = { host: '/', login: user, passcode: password, 'heart-beat': '0,0' };
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: port('stomp'), connectHeaders };
    library.connect(options, (error, connection) => {
      if (error === null) resolve(new StompitClient(connection));
      else reject(error);
    });
  });
}

class StompitClient implements Client {
  readonly protocol = 'stomp';
  readonly #connection: StompitConnection;
  #replies: Inbox | null = null;

  constructor(connection: StompitConnection) {
    this.#connection = connection;
    connection.on('error', () => {});
  }

  consume(place: Place): Promise<Inbox> {
    return this.#subscribe(destinationOf(place));
  }

  publish(place: Place, message: Outgoing): Promise<void> {
    return this.#send(destinationOf(place), message.body, sendHeaders(message));
  }

  async request(place: Place, message: Outgoing): Promise<Received> {
    const inbox = this.#listen();
    const headers = { ...sendHeaders(message), 'reply-to': REPLY_QUEUE };
    await this.#send(destinationOf(place), message.body, headers);
    const wanted = bytesOf(message.correlationId ?? '');
    return inbox.find((reply) => reply.correlationId?.equals(wanted) === true);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#connection.disconnect(() => resolve());
    });
  }

  /** The subscription that a temporary queue as reply-to makes. */
  #listen(): Inbox {
    if (this.#replies !== null) return this.#replies;
    const inbox = new Inbox(`STOMP ${REPLY_QUEUE}`);
    this.#replies = inbox;
    this.#connection.setImplicitSubscription(REPLY_QUEUE, 'auto', (error, message) => {
      if (error === null) this.#read(message, inbox);
    });
    return inbox;
  }

  async #subscribe(destination: string): Promise<Inbox> {
    const inbox = new Inbox(`STOMP ${destination}`);
    const headers = { destination, ack: 'client-individual' };
    this.#connection.subscribe(headers, (error, message) => {
      if (error !== null) return;
      this.#read(message, inbox);
      this.#connection.ack(message);
    });
    // The library's subscribe takes no receipt; that of a frame behind it tells as much.
    const transaction = `subscribed to ${destination}`;
    await this.#receipt('BEGIN', { transaction });
    await this.#receipt('ABORT', { transaction });
    return inbox;
  }

  #read(message: Message, inbox: Inbox): void {
    const chunks: Buffer[] = [];
    message.on('data', (chunk: Buffer) => chunks.push(chunk));
    message.on('end', () => {
      const send = (to: string, body: Buffer | string, headers: StompHeaders): Promise<void> =>
        this.#send(to, body, headers);
      inbox.push(readFrame(message.headers, Buffer.concat(chunks), send));
    });
  }

  #receipt(command: string, headers: StompHeaders): Promise<void> {
    return new Promise((resolve) => {
      this.#connection.sendFrame(command, headers, { onReceipt: resolve }).end();
    });
  }

  #send(destination: string, body: Buffer | string, headers: StompHeaders): Promise<void> {
    const bytes = bytesOf(body);
    const length = { 'content-length': String(bytes.length) };
    return new Promise((resolve) => {
      const frame = this.#connection.send(
        { destination, ...length, ...headers },
        { onReceipt: resolve },
      );
      frame.end(bytes);
    });
  }
}
