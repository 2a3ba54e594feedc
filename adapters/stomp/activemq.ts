/**
 * Destinations as ActiveMQ has them: `.` between words, wildcards `*` and `>`, several
 * destinations in one (`/queue/a,/topic/b`), temporary queues and topics, and virtual topics,
 * whose consumers read `/queue/Consumer.NAME.VirtualTopic.TOPIC`. A name without a prefix is a
 * queue. RabbitMQ's forms that ActiveMQ does not know (`/exchange/…`, `/amq/queue/…`, `/reply-
 * queue/…`) keep their meaning.
 */
import {
  type Destination,
  destinationOf,
  parseDestination,
  TOPIC_EXCHANGE,
} from './destination.ts';
import { StompError } from './errors.ts';

/** A composite names a handful; more is an attempt at something else. */
const PARTS_MAX = 64;

const FORMS: readonly (readonly [prefix: string, type: string])[] = [
  ['/queue/', 'queue'],
  ['/topic/', 'topic'],
  ['/temp-queue/', 'temp-queue'],
  ['/temp-topic/', 'temp-topic'],
  ['/remote-temp-queue/', 'reply'],
  ['queue://', 'queue'],
  ['topic://', 'topic'],
  ['temp-queue://', 'temp-queue'],
  ['temp-topic://', 'temp-topic'],
];

/** Reads a destination of ActiveMQ's. Throws StompError. */
export function parseActiveMq(text: string): Destination {
  if (/^\/(exchange|amq\/queue|reply-queue)(\/|$)/.test(text)) return parseDestination(text);
  const pieces = text.split(',').map((piece) => piece.trim());
  if (pieces.length > PARTS_MAX) throw invalid(text);
  // A part without a prefix is of the first one's type.
  const [, fallback] = typed(pieces[0] ?? '', 'queue');
  const parts = pieces.map((piece) => {
    const [name, type] = typed(piece, fallback);
    if (name === '') throw invalid(text);
    return destination(type, name, text);
  });
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { kind: 'composite', parts };
}

/** A canonical address as ActiveMQ has it: names stand as they are, slashes and all. */
export function activeMqDestination(exchange: string, routingKey: string): string {
  if (exchange === '') return `/queue/${routingKey}`;
  return exchange === TOPIC_EXCHANGE && routingKey !== ''
    ? `/topic/${routingKey}`
    : destinationOf(exchange, routingKey);
}

function typed(piece: string, fallback: string): [name: string, type: string] {
  for (const [prefix, type] of FORMS) {
    if (piece.startsWith(prefix)) return [withoutOptions(piece.slice(prefix.length)), type];
  }
  return [withoutOptions(piece), fallback];
}

/** `a?consumer.prefetchSize=10`: options of ActiveMQ's own clients; STOMP's are headers. */
function withoutOptions(name: string): string {
  const mark = name.indexOf('?consumer.');
  return mark < 0 ? name : name.slice(0, mark);
}

function destination(type: string, name: string, whole: string): Destination {
  switch (type) {
    case 'topic':
      return { kind: 'topic', key: pattern(name), slashes: false };
    case 'temp-queue':
      return { kind: 'temporary-queue', name };
    case 'temp-topic':
      return { kind: 'temporary-topic', name };
    case 'reply':
      return { kind: 'existing', name, reply: true };
    default:
  }
  const virtual = /^Consumer\.[^.]+\.(VirtualTopic\..+)$/.exec(name);
  if (virtual?.[1] !== undefined) return { kind: 'virtual', queue: name, key: pattern(virtual[1]) };
  if (/(^|\.)[*>](\.|$)/.test(name)) {
    throw new StompError(
      'Invalid destination',
      `'${whole}': wildcards in queue names are not supported\n`,
    );
  }
  return { kind: 'queue', name };
}

/** `>` at the end stands for any number of words, as `#` does. */
function pattern(name: string): string {
  return name === '>' ? '#' : name.endsWith('.>') ? `${name.slice(0, -1)}#` : name;
}

function invalid(text: string): StompError {
  return new StompError('Invalid destination', `'${text}' is not a valid destination\n`);
}
