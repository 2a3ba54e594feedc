/**
 * The `mqtt` format: native bytes (native.ts) ↔ the neutral view.
 *
 * What MQTT 5 has no property for travels as user properties under fixed names (`message-id`,
 * `content-encoding`, …); a user header that has one of these names is prefixed `x-user-`, and
 * loses the prefix on the way back. Typed headers are written as text with `x-header-types` beside
 * them.
 */
import {
  correlationFrom,
  fromStrings,
  ROUTING_KEY_HEADER,
  toStrings,
} from '../../core/envelope.ts';
import type { Format, Headers, Message, Properties } from '../../core/message.ts';
import { FieldReader } from './field-reader.ts';
import { propertiesStart, QOS_MASK, RETAIN_FLAG, USER_FLAG, V5_FLAG } from './native.ts';
import { Property } from './property.ts';
import { addressToTopic, replyTopic, topicToAddress } from './topic.ts';

/**
 * What `write` answers where MQTT cannot carry the message: text over 65,535 bytes or with U+0000.
 */
export const INEXPRESSIBLE = Buffer.alloc(0);

const TEXT_BYTES_MAX = 65_535;
/** Names of user properties that carry neutral properties. */
const RESERVED = /^(x-user-)*(content-encoding|message-id|timestamp|type|app-id|user-id|priority)$/;
const PREFIX = 'x-user-';

const formats = new Map<string, MqttFormat>();

/** The format for an exchange of plain topics: always the same object. */
export function mqttFormat(exchange: string): MqttFormat {
  let format = formats.get(exchange);
  if (format === undefined) {
    format = new MqttFormat(exchange);
    formats.set(exchange, format);
  }
  return format;
}

export class MqttFormat implements Format {
  readonly name = 'mqtt';
  /** Whose keys are plain topics. */
  readonly #exchange: string;

  constructor(exchange: string) {
    this.#exchange = exchange;
  }

  read(message: Message): Properties {
    const native = message.native;
    const texts: [string, string][] = [];
    const properties: Properties = { headers: texts };
    const reader = new FieldReader(native, propertiesStart(native), native.length);
    while (reader.left > 0) this.#readProperty(reader, properties, texts);
    const verified = ((native[0] ?? 0) & USER_FLAG) !== 0;
    properties.headers = takeNeutral(fromStrings(texts), properties, verified);
    return properties;
  }

  write(message: Message): Buffer {
    if (message.format === this) return this.#annotate(message);
    const properties = message.properties;
    const writer = new PropertyWriter();
    if (properties.text !== undefined) writer.flag(Property.PAYLOAD_FORMAT, properties.text);
    if (properties.contentType !== undefined) {
      writer.text(Property.CONTENT_TYPE, properties.contentType);
    }
    if (properties.replyTo !== undefined) {
      writer.text(Property.RESPONSE_TOPIC, replyTopic(properties.replyTo, this.#exchange));
    }
    if (properties.correlationId !== undefined) {
      const id = properties.correlationId;
      writer.binary(Property.CORRELATION_DATA, typeof id === 'string' ? Buffer.from(id) : id);
    }
    for (const [name, value] of neutralTexts(properties, message.priority)) {
      writer.user(name, value);
    }
    for (const [name, value] of toStrings(escaped(properties.headers))) writer.user(name, value);
    if (!addressToTopic(message, this.#exchange).exact) {
      writer.user(ROUTING_KEY_HEADER, message.routingKey);
    }
    const flags =
      (message.durable ? 1 : 0) |
      (message.retain ? RETAIN_FLAG : 0) |
      (properties.userId === undefined ? 0 : USER_FLAG) |
      V5_FLAG;
    return writer.bytes(Buffer.from([flags]));
  }

  #readProperty(reader: FieldReader, properties: Properties, texts: [string, string][]): void {
    switch (reader.u8()) {
      case Property.PAYLOAD_FORMAT:
        properties.text = reader.u8() === 1;
        return;
      case Property.CONTENT_TYPE:
        properties.contentType = reader.text();
        return;
      case Property.RESPONSE_TOPIC: {
        const address = topicToAddress(reader.text(), this.#exchange);
        if (address !== null) properties.replyTo = address;
        return;
      }
      case Property.CORRELATION_DATA:
        properties.correlationId = correlationFrom(Buffer.from(reader.binary()));
        return;
      default:
        // A user property: others do not come in (native.ts).
        texts.push([reader.text(), reader.text()]);
    }
  }

  /**
   * A message of our own that the broker has notes on: its bytes, and the notes as user
   * properties.
   */
  #annotate(message: Message): Buffer {
    const native = message.native;
    const trail = message.trail;
    if (trail === null) return native;
    const writer = new PropertyWriter();
    for (const [name, value] of toStrings(
      message.properties.headers.filter(([name]) =>
        /^x-(death|(first|last)-death-.+|stream-offset)$/.test(name),
      ),
    )) {
      writer.user(name, value);
    }
    return writer.bytes(native);
  }
}

/**
 * Moves what stands for a neutral property out of the headers; what does not fit its form stays.
 */
function takeNeutral(headers: Headers, properties: Properties, verified: boolean): Headers {
  if (!headers.some(([name]) => RESERVED.test(name))) return headers;
  return headers
    .filter(([name, value]) => {
      if (typeof value !== 'string') return true;
      switch (name) {
        case 'content-encoding':
          return !take(properties, 'contentEncoding', value);
        case 'message-id':
          return !take(properties, 'messageId', value);
        case 'type':
          return !take(properties, 'type', value);
        case 'app-id':
          return !take(properties, 'appId', value);
        case 'user-id':
          return !verified || !take(properties, 'userId', value);
        case 'timestamp':
          if (!/^\d{1,15}$/.test(value) || properties.timestamp !== undefined) return true;
          properties.timestamp = Number(value);
          return false;
        case 'priority':
          return !/^\d{1,3}$/.test(value);
        default:
          return true;
      }
    })
    .map(([name, value]) =>
      name.startsWith(PREFIX) && RESERVED.test(name)
        ? [name.slice(PREFIX.length), value]
        : [name, value],
    );
}

function take(
  properties: Properties,
  name: 'contentEncoding' | 'messageId' | 'type' | 'appId' | 'userId',
  value: string,
): boolean {
  if (properties[name] !== undefined) return false;
  properties[name] = value;
  return true;
}

function neutralTexts(properties: Properties, priority: number): [string, string][] {
  const texts: [string, string][] = [];
  const add = (name: string, value: string | number | undefined): void => {
    if (value !== undefined) texts.push([name, String(value)]);
  };
  add('content-encoding', properties.contentEncoding);
  add('message-id', properties.messageId);
  add('timestamp', properties.timestamp);
  add('type', properties.type);
  add('app-id', properties.appId);
  add('user-id', properties.userId);
  add('priority', priority === 0 ? undefined : priority);
  return texts;
}

function escaped(headers: Headers): Headers {
  if (!headers.some(([name]) => RESERVED.test(name))) return headers;
  return headers.map(([name, value]) => [RESERVED.test(name) ? PREFIX + name : name, value]);
}

/** Gathers a property block; what MQTT cannot carry makes the whole INEXPRESSIBLE. */
class PropertyWriter {
  readonly #parts: Buffer[] = [];
  #expressible = true;

  flag(id: Property, value: boolean): void {
    this.#parts.push(Buffer.from([id, value ? 1 : 0]));
  }

  text(id: Property, value: string): void {
    this.#parts.push(Buffer.from([id]));
    this.#field(Buffer.from(value), true);
  }

  binary(id: Property, value: Buffer): void {
    this.#parts.push(Buffer.from([id]));
    this.#field(value, false);
  }

  user(name: string, value: string): void {
    this.text(Property.USER_PROPERTY, name);
    this.#field(Buffer.from(value), true);
  }

  /** The whole behind `head`. */
  bytes(head: Buffer): Buffer {
    return this.#expressible ? Buffer.concat([head, ...this.#parts]) : INEXPRESSIBLE;
  }

  #field(value: Buffer, isText: boolean): void {
    if (value.length > TEXT_BYTES_MAX || (isText && value.includes(0))) this.#expressible = false;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(value.length & 0xffff);
    this.#parts.push(length, value);
  }
}

/**
 * The QoS that a message was published with; of other protocols' messages, 1 where it is durable.
 */
export function publishedQos(message: Message, format: Format): 0 | 1 | 2 {
  if (message.format === format) return ((message.native[0] ?? 0) & QOS_MASK) as 0 | 1 | 2;
  return message.durable ? 1 : 0;
}
