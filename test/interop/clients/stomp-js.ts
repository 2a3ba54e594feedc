/** @stomp/stompjs over TCP and over WebSocket. Replies come to a temporary queue of the client's. */
import { type IMessage, type IStompSocket, Client as StompJs } from '@stomp/stompjs';
import { WebSocket } from 'ws';
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
import { TcpWebSocket } from './tcp-web-socket.ts';

export const stompJsTcp = (target: Target): Promise<Client> =>
  connect(target, () => new TcpWebSocket(target.port('stomp')));

export const stompJsWeb = (target: Target): Promise<Client> =>
  connect(target, () => {
    const url = `ws://127.0.0.1:${target.port('http')}/ws`;
    return new WebSocket(url, ['v12.stomp']) as unknown as IStompSocket;
  });

function connect(target: Target, open: () => IStompSocket): Promise<Client> {
  return new Promise((resolve, reject) => {
    const client = new StompJs({
      webSocketFactory: open,
      connectHeaders: { login: target.user, passcode: target.password, host: '/' },
      reconnectDelay: 0,
      heartbeatIncoming: 0,
      heartbeatOutgoing: 0,
      forceBinaryWSFrames: true,
      onConnect: () => resolve(new StompJsClient(client)),
      onStompError: (frame) => reject(new Error(`${frame.headers['message']}: ${frame.body}`)),
      onWebSocketError: () => reject(new Error('cannot connect')),
    });
    client.activate();
  });
}

class StompJsClient implements Client {
  readonly protocol = 'stomp';
  readonly #client: StompJs;
  readonly #replies = new Inbox('STOMP temporary queue');
  #receipts = 0;

  constructor(client: StompJs) {
    this.#client = client;
    // Where a temporary queue's messages come out: RabbitMQ's convention, which stompjs documents.
    client.onUnhandledMessage = (message) => this.#replies.push(this.#received(message));
  }

  async consume(place: Place): Promise<Inbox> {
    const destination = destinationOf(place);
    const inbox = new Inbox(`STOMP ${destination}`);
    await this.#receipt((receipt) => {
      this.#client.subscribe(
        destination,
        (message) => {
          inbox.push(this.#received(message));
          message.ack();
        },
        { ack: 'client-individual', receipt },
      );
    });
    return inbox;
  }

  publish(place: Place, message: Outgoing): Promise<void> {
    return this.#send(destinationOf(place), message.body, sendHeaders(message));
  }

  async request(place: Place, message: Outgoing): Promise<Received> {
    const headers = { ...sendHeaders(message), 'reply-to': REPLY_QUEUE };
    await this.#send(destinationOf(place), message.body, headers);
    const wanted = bytesOf(message.correlationId ?? '');
    return this.#replies.find((reply) => reply.correlationId?.equals(wanted) === true);
  }

  async close(): Promise<void> {
    await this.#client.deactivate();
  }

  async #send(destination: string, body: Buffer | string, headers: StompHeaders): Promise<void> {
    const content = typeof body === 'string' ? { body } : { binaryBody: body };
    await this.#receipt((receipt) => {
      this.#client.publish({ destination, ...content, headers: { ...headers, receipt } });
    });
  }

  /** Does something with a receipt, and waits for it. */
  #receipt(act: (receipt: string) => void): Promise<void> {
    const receipt = `r-${++this.#receipts}`;
    return new Promise((resolve) => {
      this.#client.watchForReceipt(receipt, () => resolve());
      act(receipt);
    });
  }

  #received(message: IMessage): Received {
    return readFrame(message.headers, Buffer.from(message.binaryBody), (destination, ...rest) =>
      this.#send(destination, ...rest),
    );
  }
}
