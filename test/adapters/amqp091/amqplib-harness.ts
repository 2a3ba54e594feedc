import { once } from 'node:events';
import amqplib, {
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  type Message,
} from 'amqplib';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';

/** A gateway on real sockets and the amqplib connections of one test. */
export class Harness {
  #gateway: Gateway | null = null;
  #connections: ChannelModel[] = [];

  async start(): Promise<void> {
    this.#gateway = await startGateway();
  }

  async stop(): Promise<void> {
    await this.closeAll();
    await this.#gateway?.stop();
  }

  get gateway(): Gateway {
    if (this.#gateway === null) throw new Error('not started');
    return this.#gateway;
  }

  get port(): number {
    return this.gateway.port('amqp');
  }

  async closeAll(): Promise<void> {
    const connections = this.#connections;
    this.#connections = [];
    await Promise.all(connections.map((connection) => connection.close().catch(() => {})));
  }

  async connect(user = 'guest', password = 'guest', query = ''): Promise<ChannelModel> {
    const url = `amqp://${user}:${password}@127.0.0.1:${this.port}/%2F${query}`;
    const connection = await amqplib.connect(url);
    connection.on('error', () => {});
    this.#connections.push(connection);
    return connection;
  }

  async channel(user?: string, password?: string): Promise<Channel> {
    const channel = await (await this.connect(user, password)).createChannel();
    channel.on('error', () => {});
    return channel;
  }

  async confirmChannel(): Promise<ConfirmChannel> {
    const channel = await (await this.connect()).createConfirmChannel();
    channel.on('error', () => {});
    return channel;
  }
}

/** What a consumer gets, to be awaited one by one. */
export class Mailbox {
  readonly #messages: (Message | null)[] = [];
  #wake: (() => void) | null = null;

  readonly take = (message: Message | null): void => {
    this.#messages.push(message);
    this.#wake?.();
  };

  get waiting(): number {
    return this.#messages.length;
  }

  async next(): Promise<Message | null> {
    while (this.#messages.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#messages.shift() ?? null;
  }

  async message(): Promise<Message> {
    const message = await this.next();
    if (message === null) throw new Error('the consumer was cancelled');
    return message;
  }

  async text(): Promise<string> {
    return (await this.message()).content.toString();
  }
}

/** The error that a channel or connection closes with. */
export async function failure(of: Channel | ChannelModel): Promise<Error & { code?: number }> {
  const [error] = await once(of, 'error');
  return error as Error & { code?: number };
}
