/** The four formats as the gateway makes them, and messages written by one of them. */
import { amqpFormat } from '../../adapters/amqp091/format.ts';
import { mqttFormat } from '../../adapters/mqtt/format.ts';
import { stompFormat } from '../../adapters/stomp/format.ts';
import { bodyOf, xmppFormat } from '../../adapters/xmpp/format.ts';
import { type Format, Message, type Properties } from '../../core/message.ts';

export const NOW = Date.UTC(2026, 0, 1);

const XMPP = xmppFormat('localhost');

export const FORMATS: readonly Format[] = [amqpFormat, mqttFormat('amq.topic'), stompFormat, XMPP];

/** Every ordered pair of two different formats. */
export const PAIRS: readonly (readonly [from: Format, to: Format])[] = FORMATS.flatMap((from) =>
  FORMATS.filter((to) => to !== from).map((to) => [from, to] as const),
);

/** What a message says beside its properties. */
export interface Fields {
  readonly body: Buffer;
  readonly exchange: string;
  readonly routingKey: string;
  readonly durable: boolean;
  readonly priority: number;
  readonly expiresAt: number;
  readonly retain: boolean;
}

export function messageOf(format: Format, native: Buffer, fields: Fields): Message {
  const { body, exchange, routingKey, durable, priority, expiresAt, retain } = fields;
  const kept = [durable, priority, expiresAt, NOW, retain] as const;
  return new Message(format, native, body, exchange, routingKey, ...kept);
}

/** The message that says this, as a client of `format` wrote it. */
export function written(format: Format, said: Properties, fields: Fields): Message {
  const stated: Format = { name: 'stated', read: () => said, write: () => Buffer.alloc(0) };
  return crossed(messageOf(stated, Buffer.alloc(0), fields), format);
}

/** What a client of `format` gets, and passes on as it is: XMPP's body is in its native bytes. */
export function crossed(message: Message, format: Format): Message {
  const native = message.as(format, NOW);
  const body = format === XMPP ? bodyOf(XMPP.parse(native).stanza) : message.body;
  const { exchange, routingKey, durable, priority, expiresAt, retain } = message;
  const kept = { exchange, routingKey, durable, priority, expiresAt, retain };
  return messageOf(format, native, { ...kept, body });
}

/** Without what is not said. */
export function said(properties: Properties): object {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined));
}
