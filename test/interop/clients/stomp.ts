/** What STOMP applications write and read themselves, whichever library carries the frames. */
import {
  type HeaderMap,
  numberOf,
  type Outgoing,
  option,
  type Place,
  type Received,
  userHeaders,
} from './client.ts';

export type StompHeaders = Record<string, string>;

/** The destination that a request gives as its reply-to. */
export const REPLY_QUEUE = '/temp-queue/replies';

/** Headers of a MESSAGE that are the frame's own, or stand for properties. */
const STANDARD = new Set([
  'destination',
  'subscription',
  'message-id',
  'ack',
  'content-length',
  'content-type',
  'content-encoding',
  'redelivered',
  'correlation-id',
  'correlation-id-encoding',
  'reply-to',
  'expiration',
  'expires',
  'amqp-message-id',
  'persistent',
  'priority',
  'timestamp',
  'type',
  'app-id',
  'user-id',
]);

export function destinationOf(place: Place): string {
  if (place.kind === 'queue') return `/queue/${place.name}`;
  if (place.kind !== 'person') return `/topic/${place.key}`;
  return `/exchange/amq.xmpp/${place.name}@localhost`;
}

export function sendHeaders(message: Outgoing): StompHeaders {
  const { contentType, correlationId, expiryMs, messageId, priority } = message;
  return {
    ...(message.headers as StompHeaders),
    ...(contentType === undefined ? {} : { 'content-type': contentType }),
    ...(correlationId === undefined ? {} : correlationHeaders(correlationId)),
    ...(messageId === undefined ? {} : { 'amqp-message-id': messageId }),
    ...(priority === undefined ? {} : { priority: String(priority) }),
    ...(expiryMs === undefined ? {} : { expiration: String(expiryMs) }),
    ...(message.persistent === true ? { persistent: 'true' } : {}),
    ...option('content-encoding', message.contentEncoding),
    ...option('timestamp', message.timestamp?.toString()),
    ...option('type', message.type),
    ...option('app-id', message.appId),
  };
}

/** `send` is the library's way to answer. */
export function readFrame(
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  send: (destination: string, body: Buffer | string, headers: StompHeaders) => Promise<void>,
): Received {
  const { 'correlation-id': correlationId, 'correlation-id-encoding': encoding } = headers;
  const replyTo = headers['reply-to'];
  return {
    body,
    contentType: headers['content-type'],
    correlationId:
      correlationId === undefined
        ? undefined
        : Buffer.from(correlationId, encoding === 'base64' ? 'base64' : 'utf8'),
    replyTo,
    headers: userHeaders(headers as HeaderMap, STANDARD),
    expiryMs: numberOf(headers['expiration']),
    messageId: headers['amqp-message-id'],
    persistent: headers['persistent'] === 'true',
    priority: numberOf(headers['priority']),
    contentEncoding: headers['content-encoding'],
    timestamp: numberOf(headers['timestamp']),
    type: headers['type'],
    appId: headers['app-id'],
    answer: (answer) =>
      send(replyTo ?? '', answer, {
        ...(correlationId === undefined ? {} : { 'correlation-id': correlationId }),
        ...(encoding === undefined ? {} : { 'correlation-id-encoding': encoding }),
      }),
  };
}

function correlationHeaders(id: string | Buffer): StompHeaders {
  return typeof id === 'string'
    ? { 'correlation-id': id }
    : { 'correlation-id': id.toString('base64'), 'correlation-id-encoding': 'base64' };
}
