/** amqplib, with publisher confirms; replies go to an exclusive queue that the server names. */
import { type ConfirmChannel, type ConsumeMessage, connect, type Options } from 'amqplib';
import {
  bytesOf,
  type Client,
  Inbox,
  numberOf,
  type Outgoing,
  option,
  type Place,
  type Received,
  type Target,
  userHeaders,
} from './client.ts';

/** How a correlation id of bytes is written where a client library takes texts only (docs/amqp.md). */
const BYTES = 'amq.bytes:';
const STANDARD = new Set(['x-correlation-id']);

export async function amqplib({ port, user, password }: Target): Promise<Client> {
  const connection = await connect(`amqp://${user}:${password}@127.0.0.1:${port('amqp')}`, {
    noDelay: true,
  });
  const channel = await connection.createConfirmChannel();
  return new AmqplibClient(channel, () => connection.close());
}

class AmqplibClient implements Client {
  readonly protocol = 'amqp';
  readonly close: () => Promise<void>;
  readonly #channel: ConfirmChannel;
  #replies: Promise<{ readonly queue: string; readonly inbox: Inbox }> | null = null;

  constructor(channel: ConfirmChannel, close: () => Promise<void>) {
    this.#channel = channel;
    this.close = close;
  }

  async consume(place: Place): Promise<Inbox> {
    if (place.kind === 'queue') {
      await this.#channel.assertQueue(place.name, { durable: true });
      return this.#consume(place.name);
    }
    const { queue } = await this.#channel.assertQueue('', { exclusive: true });
    const { exchange, key } = addressOf(place);
    await this.#channel.bindQueue(queue, exchange, key);
    return this.#consume(queue);
  }

  async publish(place: Place, message: Outgoing): Promise<void> {
    if (place.kind === 'queue') await this.#channel.assertQueue(place.name, { durable: true });
    const { exchange, key } = addressOf(place);
    await this.#publish(exchange, key, message.body, optionsOf(message));
  }

  async request(place: Place, message: Outgoing): Promise<Received> {
    this.#replies ??= this.#listen();
    const { queue, inbox } = await this.#replies;
    const { exchange, key } = addressOf(place);
    await this.#publish(exchange, key, message.body, { ...optionsOf(message), replyTo: queue });
    const wanted = bytesOf(message.correlationId ?? '');
    return inbox.find((reply) => reply.correlationId?.equals(wanted) === true);
  }

  async #listen(): Promise<{ readonly queue: string; readonly inbox: Inbox }> {
    const { queue } = await this.#channel.assertQueue('', { exclusive: true });
    return { queue, inbox: await this.#consume(queue) };
  }

  async #consume(queue: string): Promise<Inbox> {
    const inbox = new Inbox(`AMQP queue ${queue}`);
    await this.#channel.consume(queue, (message) => {
      if (message === null) return;
      inbox.push(this.#received(message));
      this.#channel.ack(message);
    });
    return inbox;
  }

  #publish(
    exchange: string,
    key: string,
    body: Buffer | string,
    options: Options.Publish,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#channel.publish(exchange, key, bytesOf(body), options, (error) => {
        if (error === null || error === undefined) resolve();
        else reject(error);
      });
    });
  }

  #received({ content, properties }: ConsumeMessage): Received {
    const headers: Record<string, unknown> = properties.headers ?? {};
    const { correlationId, replyTo } = properties;
    return {
      body: content,
      contentType: properties.contentType,
      correlationId: correlationId === undefined ? undefined : bytesFrom(correlationId),
      replyTo,
      headers: userHeaders(headers, STANDARD),
      expiryMs: numberOf(properties.expiration),
      messageId: properties.messageId,
      persistent: properties.deliveryMode === 2,
      priority: properties.priority,
      contentEncoding: properties.contentEncoding,
      timestamp: properties.timestamp,
      type: properties.type,
      appId: properties.appId,
      answer: (body) => this.#publish('', replyTo, body, { correlationId }),
    };
  }
}

function optionsOf(message: Outgoing): Options.Publish {
  const { correlationId, expiryMs, messageId, contentType, priority } = message;
  return {
    headers: message.headers,
    ...(correlationId === undefined ? {} : { correlationId: textOf(correlationId) }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(messageId === undefined ? {} : { messageId }),
    ...(priority === undefined ? {} : { priority }),
    ...(expiryMs === undefined ? {} : { expiration: String(expiryMs) }),
    ...(message.persistent === undefined ? {} : { persistent: message.persistent }),
    ...option('contentEncoding', message.contentEncoding),
    ...option('timestamp', message.timestamp),
    ...option('type', message.type),
    ...option('appId', message.appId),
  };
}

function addressOf(place: Place): { readonly exchange: string; readonly key: string } {
  if (place.kind === 'queue') return { exchange: '', key: place.name };
  if (place.kind !== 'person') return { exchange: 'amq.topic', key: place.key };
  return { exchange: 'amq.xmpp', key: `${place.name}@localhost` };
}

function textOf(id: string | Buffer): string {
  return typeof id === 'string' ? id : BYTES + id.toString('base64url');
}

function bytesFrom(id: string): Buffer {
  return id.startsWith(BYTES) ? Buffer.from(id.slice(BYTES.length), 'base64url') : Buffer.from(id);
}
