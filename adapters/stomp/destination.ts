/**
 * Destinations as RabbitMQ has them, and canonical addresses as destinations. What stands between
 * slashes is percent-encoded where it holds a slash or a percent sign, so that every address has
 * one form and comes back from it.
 *
 *   /queue/NAME        default exchange; the queue is declared where it is missing
 *   /amq/queue/NAME    the same, but never declares
 *   /reply-queue/NAME  likewise, the name taken literally
 *   /topic/KEY         amq.topic; slashes within the key stand for dots
 *   /exchange/X[/KEY]  any exchange
 *   /temp-queue/NAME   private to the connection
 *   NAME               /queue/NAME
 */
import type { AddressForm } from '../../core/explain.ts';
import type { Address } from '../../core/message.ts';
import { StompError } from './errors.ts';

export const TOPIC_EXCHANGE = 'amq.topic';

export type Destination =
  /** A queue that sending and subscribing declare. */
  | { readonly kind: 'queue'; readonly name: string }
  /** A queue that must be there. `reply`: for sending only. */
  | { readonly kind: 'existing'; readonly name: string; readonly reply: boolean }
  /** Known by this name within the connection only. */
  | { readonly kind: 'temporary-queue' | 'temporary-topic'; readonly name: string }
  /** `slashes`: the client separates words by slashes, and sees them so. */
  | { readonly kind: 'topic'; readonly key: string; readonly slashes: boolean }
  | { readonly kind: 'exchange'; readonly exchange: string; readonly key: string }
  /** ActiveMQ's virtual topic consumer: a queue bound to a topic. */
  | { readonly kind: 'virtual'; readonly queue: string; readonly key: string }
  /** ActiveMQ's `a,b`. */
  | { readonly kind: 'composite'; readonly parts: readonly Destination[] };

export type Dialect = 'rabbitmq' | 'activemq';

const PREFIXES = ['/temp-queue', '/exchange', '/topic', '/amq/queue', '/queue', '/reply-queue'];

/** A frame without a destination. */
export function missingDestination(command: string): StompError {
  return new StompError(
    'Missing destination',
    `"${command}" must include a 'destination' header\n`,
  );
}

/** Reads a destination of RabbitMQ's. Throws StompError. */
export function parseDestination(text: string): Destination {
  if (text === '') throw new StompError('Invalid destination', 'Destination cannot be blank\n');
  if (!text.includes('/')) return { kind: 'queue', name: decodePart(text) };
  for (const prefix of PREFIXES) {
    if (text !== prefix && !text.startsWith(`${prefix}/`)) continue;
    return parseContent(prefix, text.slice(prefix.length));
  }
  throw new StompError(
    'Unknown destination',
    `'${text}' is not a valid destination.\nValid destination types are: ${PREFIXES.join(', ')}.\n`,
  );
}

function parseContent(prefix: string, content: string): Destination {
  const rest = content.slice(1);
  const parts = rest.split('/').map(decodePart);
  const [first = '', second] = parts;
  const type = prefix.slice(1).replace('/', '').replace('-', '_');
  if (rest === '') throw invalid(content, type);
  switch (prefix) {
    case '/reply-queue':
      return { kind: 'existing', name: rest, reply: true };
    case '/topic':
      return { kind: 'topic', key: parts.join('.'), slashes: parts.length > 1 };
    case '/exchange':
      if (first === '' || parts.length > 2) throw invalid(content, type);
      return { kind: 'exchange', exchange: first, key: second ?? '' };
    default:
  }
  if (parts.length > 1) throw invalid(content, type);
  if (prefix === '/queue') return { kind: 'queue', name: first };
  if (prefix === '/amq/queue') return { kind: 'existing', name: first, reply: false };
  return { kind: 'temporary-queue', name: first };
}

function invalid(content: string, type: string): StompError {
  return new StompError('Invalid destination', `'${content}' is not a valid ${type} destination\n`);
}

/** A destination that SUBSCRIBE or SEND cannot use. */
export function unusable(text: string, command: string): StompError {
  return new StompError(
    'Invalid destination',
    `'${text}' is not a valid destination for '${command}'\n`,
  );
}

/** A canonical address as a destination. */
export function destinationOf(exchange: string, key: string, slashes: boolean = false): string {
  if (exchange === '') return `/queue/${encodePart(key)}`;
  // A topic has a word at least.
  if (exchange === TOPIC_EXCHANGE && key !== '') {
    return `/topic/${slashes ? key.split('.').map(encodePart).join('/') : encodePart(key)}`;
  }
  return key === ''
    ? `/exchange/${encodePart(exchange)}`
    : `/exchange/${encodePart(exchange)}/${encodePart(key)}`;
}

/** A reply-to header as an address; what is no destination is the name of a queue. */
export function replyAddress(text: string): Address {
  let destination: Destination;
  try {
    destination = parseDestination(text);
  } catch {
    return { exchange: '', routingKey: text };
  }
  switch (destination.kind) {
    case 'queue':
    case 'existing':
      return { exchange: '', routingKey: destination.name };
    case 'topic':
      return { exchange: TOPIC_EXCHANGE, routingKey: destination.key };
    case 'exchange':
      return { exchange: destination.exchange, routingKey: destination.key };
    default:
      return { exchange: '', routingKey: text };
  }
}

/** RabbitMQ's notation, which both dialects read. Temporary queues are their connection's own. */
export const stompAddresses: AddressForm = {
  protocol: 'stomp',
  describe: ({ exchange, routingKey }) =>
    exchange === '' && routingKey === '' ? null : destinationOf(exchange, routingKey),
  parse: (text) => {
    if (!text.startsWith('/')) return null;
    try {
      const { kind } = parseDestination(text);
      return kind === 'temporary-queue' ? null : replyAddress(text);
    } catch (error) {
      if (error instanceof StompError) return null;
      throw error;
    }
  },
};

/** Whether nothing in `text` has to be encoded is the ordinary case. */
function encodePart(text: string): string {
  return /[%/]/.test(text) ? text.replaceAll('%', '%25').replaceAll('/', '%2F') : text;
}

/** Undoes percent-encoding; a percent sign that begins none stands for itself. */
export function decodePart(text: string): string {
  if (!text.includes('%')) return text;
  return text.replace(/(?:%[0-9a-fA-F]{2})+/g, (encoded) =>
    Buffer.from(encoded.replaceAll('%', ''), 'hex').toString('utf8'),
  );
}
