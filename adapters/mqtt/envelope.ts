/**
 * The JSON envelope for MQTT 3.1 and 3.1.1, whose messages have no properties (docs/mqtt.md): in the
 * vhosts that ask for it, subscribers of these versions get
 *
 *   {"rosettamq":1,"content-type":"text/plain","headers":[["name","value"]],"body":"…"}
 *
 * in place of the body, and a publish of this form is taken for the message that it describes.
 */
import { z } from 'zod';
import type { Principal } from '../../core/auth.ts';
import {
  correlationText,
  fromStrings,
  isText,
  ROUTING_KEY_HEADER,
  toStrings,
} from '../../core/envelope.ts';
import { type Format, Message, type Properties } from '../../core/message.ts';
import { INEXPRESSIBLE } from './format.ts';
import { QOS_MASK } from './native.ts';
import { addressToTopic, replyTopic, topicToAddress } from './topic.ts';

const VERSION = 1;
/** What every envelope begins with that is to be opened: others are bodies like any other. */
const OPENING = Buffer.from(`{"rosettamq":${VERSION},`);

const BASE64 = 'base64';
const encoding = z.literal(BASE64).optional();
const schema = z.object({
  rosettamq: z.literal(VERSION),
  'content-type': z.string().optional(),
  'content-encoding': z.string().optional(),
  text: z.boolean().optional(),
  'correlation-id': z.string().optional(),
  'correlation-id-encoding': encoding,
  'reply-to': z.string().optional(),
  'message-id': z.string().optional(),
  timestamp: z.int().min(0).optional(),
  type: z.string().optional(),
  'user-id': z.string().optional(),
  'app-id': z.string().optional(),
  priority: z.int().min(0).max(255).default(0),
  expiration: z.int().min(0).optional(),
  headers: z.array(z.tuple([z.string(), z.string()])).default([]),
  body: z.string(),
  'body-encoding': encoding,
});

/** What an envelope says. */
interface Content {
  readonly properties: Properties;
  readonly body: Buffer;
  readonly priority: number;
  /** What is left of its life, in milliseconds; undefined: for ever. */
  readonly expirationMs: number | undefined;
}

export class EnvelopeFormat implements Format {
  readonly name = 'mqtt-envelope';
  /** Whose keys are plain topics. */
  readonly #exchange: string;

  constructor(exchange: string) {
    this.#exchange = exchange;
  }

  read(message: Message): Properties {
    return this.#content(message.native)?.properties ?? { headers: [] };
  }

  /** The whole payload, the body included. */
  write(message: Message, now: number): Buffer {
    const { properties, body, priority, expiresAt } = message;
    const { correlationId, replyTo } = properties;
    const id = correlationId === undefined ? null : correlationText(correlationId);
    const shown = isText(message);
    const envelope: z.input<typeof schema> = {
      rosettamq: VERSION,
      'content-type': properties.contentType,
      'content-encoding': properties.contentEncoding,
      text: properties.text,
      'correlation-id': id?.text,
      'correlation-id-encoding': id?.bytes === true ? BASE64 : undefined,
      'reply-to': replyTo === undefined ? undefined : replyTopic(replyTo, this.#exchange),
      'message-id': properties.messageId,
      timestamp: properties.timestamp,
      type: properties.type,
      'user-id': properties.userId,
      'app-id': properties.appId,
      priority: priority === 0 ? undefined : priority,
      expiration: expiresAt === 0 ? undefined : Math.max(0, expiresAt - now),
      headers: this.#headers(message),
      body: body.toString(shown ? 'utf8' : BASE64),
      'body-encoding': shown ? undefined : BASE64,
    };
    return Buffer.from(JSON.stringify(envelope));
  }

  /** Undefined: none. A key that the topic does not carry whole stands beside them. */
  #headers(message: Message): [string, string][] | undefined {
    const headers = toStrings(message.properties.headers);
    const { exact } = addressToTopic(message, this.#exchange);
    if (!exact) headers.push([ROUTING_KEY_HEADER, message.routingKey]);
    return headers.length === 0 ? undefined : headers;
  }

  /**
   * The message that the body of this one describes, as if it had been published with MQTT 5;
   * itself where its body is no envelope. `user` is who may call itself so.
   */
  opened(message: Message, mqtt: Format, user: Principal): Message {
    const content = this.#content(message.body);
    if (content === null) return message;
    const { exchange, routingKey, durable, receivedAt, retain } = message;
    const { properties, body, priority, expirationMs } = content;
    if (properties.userId !== user.name) delete properties.userId;
    const expiresAt = expirationMs === undefined ? 0 : receivedAt + expirationMs;
    const stated: Format = { name: this.name, read: () => properties, write: () => message.body };
    const rest = [exchange, routingKey, durable, priority, expiresAt, receivedAt, retain] as const;
    const described = new Message(stated, message.body, body, ...rest);
    const native = mqtt.write(described, receivedAt);
    if (native === INEXPRESSIBLE) return message;
    native[0] = ((native[0] ?? 0) & ~QOS_MASK) | ((message.native[0] ?? 0) & QOS_MASK);
    return new Message(mqtt, native, body, ...rest);
  }

  /** Null where `payload` is no envelope. */
  #content(payload: Buffer): Content | null {
    if (!payload.subarray(0, OPENING.length).equals(OPENING)) return null;
    const { data } = schema.safeParse(parsed(payload));
    if (data === undefined) return null;
    const id = data['correlation-id'];
    const properties: Properties = {
      contentType: data['content-type'],
      contentEncoding: data['content-encoding'],
      text: data.text,
      correlationId:
        data['correlation-id-encoding'] === BASE64 ? Buffer.from(id ?? '', BASE64) : id,
      replyTo: topicToAddress(data['reply-to'] ?? '$delayed/', this.#exchange) ?? undefined,
      messageId: data['message-id'],
      timestamp: data.timestamp,
      type: data.type,
      userId: data['user-id'],
      appId: data['app-id'],
      headers: fromStrings(data.headers),
    };
    const body = Buffer.from(data.body, data['body-encoding'] ?? 'utf8');
    return { properties, body, priority: data.priority, expirationMs: data.expiration };
  }
}

function parsed(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString());
  } catch {
    return null;
  }
}
