/** @stomp/stompjs and stompit behind one face, so that one table of scenarios drives both. */
import { type IMessage, type IStompSocket, Client as StompJs } from '@stomp/stompjs';
import stompit, { type StompitClient, type StompitMessage } from 'stompit';
import { WebSocket } from 'ws';
import type { Gateway } from '../../../main.ts';
import { Inbox } from '../../interop/clients/client.ts';
import { TcpWebSocket } from '../../interop/clients/tcp-web-socket.ts';

export type Headers = Readonly<Record<string, string>>;

export interface Got {
  readonly body: string;
  readonly headers: Headers;
  /** Both resolve at the RECEIPT. */
  ack(transaction?: string): Promise<void>;
  nack(): Promise<void>;
}

export interface Transaction {
  readonly id: string;
  send(destination: string, body: string): void;
  commit(): Promise<void>;
  abort(): Promise<void>;
}

export interface JavascriptClient {
  /** Resolves when it is subscribed. */
  subscribe(destination: string, headers?: Headers): Promise<Inbox<Got>>;
  /** Resolves at the RECEIPT. */
  send(destination: string, body: string, headers?: Headers): Promise<void>;
  begin(): Transaction;
  close(): Promise<void>;
}

export type Connect = (gateway: Gateway, headers?: Headers) => Promise<JavascriptClient>;

const LOGIN = { login: 'guest', passcode: 'guest', host: '127.0.0.1' };

export const SOCKETS = {
  TCP: (gateway: Gateway): IStompSocket => new TcpWebSocket(gateway.port('stomp')),
  WebSocket: (gateway: Gateway): IStompSocket => {
    const url = `ws://127.0.0.1:${gateway.port('http')}/ws`;
    return new WebSocket(url, ['v12.stomp', 'v11.stomp', 'v10.stomp']) as unknown as IStompSocket;
  },
};

export const JAVASCRIPT_CLIENTS: readonly (readonly [name: string, connect: Connect])[] = [
  ['@stomp/stompjs over TCP', async (...args) => new StompJsClient(await dial('TCP', ...args))],
  [
    '@stomp/stompjs over WebSocket',
    async (...args) => new StompJsClient(await dial('WebSocket', ...args)),
  ],
  ['stompit', async (...args) => new Stompit(await dialStompit(...args))],
];

/** @stomp/stompjs, connected. Rejects with the message of the ERROR frame. */
export function dial(
  socket: keyof typeof SOCKETS,
  gateway: Gateway,
  headers: Headers = {},
): Promise<StompJs> {
  const client = new StompJs({
    webSocketFactory: () => SOCKETS[socket](gateway),
    connectHeaders: { ...LOGIN, ...headers },
    forceBinaryWSFrames: false,
    reconnectDelay: 0,
    heartbeatIncoming: 1000,
    heartbeatOutgoing: 1000,
  });
  return new Promise((resolve, reject) => {
    client.onConnect = () => resolve(client);
    client.onStompError = (frame) => reject(new Error(frame.headers['message']));
    client.activate();
  });
}

export function dialStompit(gateway: Gateway, headers: Headers = {}): Promise<StompitClient> {
  const connectHeaders = { ...LOGIN, 'heart-beat': '1000,1000', ...headers };
  const options = { host: '127.0.0.1', port: gateway.port('stomp'), connectHeaders };
  return new Promise((resolve, reject) => {
    stompit.connect(options, (error, client) => (error ? reject(error) : resolve(client)));
  });
}

class StompJsClient implements JavascriptClient {
  readonly #client: StompJs;
  #receipts = 0;

  constructor(client: StompJs) {
    this.#client = client;
  }

  async subscribe(destination: string, headers: Headers = {}): Promise<Inbox<Got>> {
    const inbox = new Inbox<Got>(destination);
    await this.#receipt((receipt) => {
      const take = (message: IMessage): void => inbox.push(this.#got(message));
      this.#client.subscribe(destination, take, { ...headers, receipt });
    });
    return inbox;
  }

  send(destination: string, body: string, headers: Headers = {}): Promise<void> {
    return this.#receipt((receipt) =>
      this.#client.publish({ destination, body, headers: { ...headers, receipt } }),
    );
  }

  begin(): Transaction {
    const { id, commit, abort } = this.#client.begin();
    return {
      id,
      send: (destination, body) =>
        this.#client.publish({ destination, body, headers: { transaction: id } }),
      commit: () => this.#ended(commit),
      abort: () => this.#ended(abort),
    };
  }

  close(): Promise<void> {
    return this.#client.deactivate();
  }

  #got(message: IMessage): Got {
    const { body, headers } = message;
    return {
      body,
      headers,
      ack: (transaction) =>
        this.#receipt((receipt) =>
          message.ack(transaction === undefined ? { receipt } : { receipt, transaction }),
        ),
      nack: () => this.#receipt((receipt) => message.nack({ receipt })),
    };
  }

  /** Its COMMIT and ABORT take no receipt: that of a frame behind them tells as much. */
  #ended(end: () => void): Promise<void> {
    end();
    return this.send('/topic/fence', '');
  }

  #receipt(act: (receipt: string) => void): Promise<void> {
    const receipt = `r${++this.#receipts}`;
    return new Promise((resolve) => {
      this.#client.watchForReceipt(receipt, () => resolve());
      act(receipt);
    });
  }
}

class Stompit implements JavascriptClient {
  readonly #client: StompitClient;

  constructor(client: StompitClient) {
    this.#client = client;
  }

  async subscribe(destination: string, headers: Headers = {}): Promise<Inbox<Got>> {
    const inbox = new Inbox<Got>(destination);
    this.#client.subscribe({ destination, ...headers }, (error, message) => {
      if (error !== null) return;
      message.readString('utf-8', (_, body) => inbox.push(this.#got(message, body ?? '')));
    });
    // Its SUBSCRIBE takes no receipt: that of a frame behind it tells as much.
    await this.send('/topic/fence', '');
    return inbox;
  }

  send(destination: string, body: string, headers: Headers = {}): Promise<void> {
    return new Promise((onReceipt) => {
      this.#client.send({ destination, ...headers }, { onReceipt }).end(body);
    });
  }

  begin(): Transaction {
    const transaction = this.#client.begin();
    return {
      id: String(transaction.id),
      send: (destination, body) => transaction.send({ destination }).end(body),
      commit: () => new Promise((onReceipt) => transaction.commit({ onReceipt })),
      abort: () => new Promise((onReceipt) => transaction.abort({ onReceipt })),
    };
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#client.disconnect(() => resolve()));
  }

  #got(message: StompitMessage, body: string): Got {
    return {
      body,
      headers: message.headers,
      ack: (transaction) =>
        new Promise((onReceipt) => {
          const headers = transaction === undefined ? {} : { transaction };
          this.#client.ack(message, headers, { onReceipt });
        }),
      nack: () => new Promise((onReceipt) => this.#client.nack(message, {}, { onReceipt })),
    };
  }
}
