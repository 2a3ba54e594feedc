/**
 * Topics and filters of MQTT, and the canonical addresses that they stand for:
 *
 *   a/b              the configured exchange, key a.b (characters swapped, core/address.ts)
 *   $queue/q         the default exchange, queue q; subscribing consumes it
 *   $exchange/x/a/b  exchange x, key a.b
 *   $delayed/5/a/b   publishes to a/b five seconds later (EMQX's)
 *   $share/g/filter  one queue for the group's subscribers to filter
 *
 * Names of queues and exchanges stand as they are, except that `%`, `+`, `#` (and in an exchange's
 * name `/`) are percent-encoded, since a topic cannot have them. In the key of `$exchange/x/` the
 * words' own `*` and `#` are `%2A` and `%23`; a `%` that would begin an escape is `%25`.
 */
import { createHash } from 'node:crypto';
import { keyToTopic, patternToFilter, topicToKey } from '../../core/address.ts';
import type { AddressForm } from '../../core/explain.ts';
import type { Address } from '../../core/message.ts';

const QUEUE = '$queue/';
const EXCHANGE = '$exchange/';
const SHARE = '$share/';
/** Names of queues are bounded (limits.nameBytesMax); longer identifiers are hashed. */
const NAME_BYTES_MAX = 255;

/**
 * Text is checked where it is read; what remains is length and wildcards [MQTT-4.7.1-1, 4.7.3-1].
 */
export function isTopicName(topic: string): boolean {
  return topic.length > 0 && !/[+#]/.test(topic);
}

/** Wildcards stand for whole levels, `#` only at the end [MQTT-4.7.1-2, MQTT-4.7.1-3]. */
export function isTopicFilter(filter: string): boolean {
  if (filter.length === 0) return false;
  if (!/[+#]/.test(filter)) return true;
  const levels = filter.split('/');
  return levels.every(
    (level, index) =>
      !/[+#]/.test(level) || level === '+' || (level === '#' && index === levels.length - 1),
  );
}

/** Whether a topic or filter has more levels than `max`: a tree of them has a node for each. */
export function isTooDeep(text: string, max: number): boolean {
  // No shorter text has so many.
  if (text.length < max) return false;
  let levels = 1;
  for (let at = text.indexOf('/'); at >= 0; at = text.indexOf('/', at + 1)) {
    if (++levels > max) return true;
  }
  return false;
}

/** Topics that only the broker publishes to. */
export function isSystemTopic(topic: string): boolean {
  return topic.startsWith('$SYS/') || topic === '$SYS';
}

/** The longest delay that EMQX takes, in seconds. */
const DELAY_SECONDS_MAX = 4_294_967;

/** Takes `$delayed/SECONDS/` off a topic; one that is not well-formed stays, and has no address. */
export function undelayed(topic: string): { readonly topic: string; readonly delayMs: number } {
  const [, seconds, rest] = /^\$delayed\/(\d{1,7})\/(.+)$/s.exec(topic) ?? [];
  if (rest === undefined || Number(seconds) > DELAY_SECONDS_MAX) return { topic, delayMs: 0 };
  return { topic: rest, delayMs: Number(seconds) * 1000 };
}

/** The address that a topic is published to; null where it is none that can be published to. */
export function topicToAddress(topic: string, exchange: string): Address | null {
  if (!topic.startsWith('$')) return { exchange, routingKey: topicToKey(topic) };
  if (topic.startsWith(QUEUE)) {
    const queue = decodeName(topic.slice(QUEUE.length));
    return queue === '' ? null : { exchange: '', routingKey: queue };
  }
  if (topic.startsWith(EXCHANGE)) {
    const [name, key] = splitExchange(topic.slice(EXCHANGE.length));
    return name === '' ? null : { exchange: name, routingKey: decodeKey(topicToKey(key)) };
  }
  if (topic.startsWith('$delayed/')) return null;
  return { exchange, routingKey: topicToKey(topic) };
}

/** The topic of an address, and whether it says all of the routing key. */
export function addressToTopic(
  address: Address,
  exchange: string,
): { readonly topic: string; readonly exact: boolean } {
  if (address.exchange === exchange) {
    const { topic, exact } = keyToTopic(address.routingKey);
    // An empty key has no topic [MQTT-4.7.3-1]; one that looks like an address form keeps its exchange.
    if (topic !== '' && !/^\$(queue|exchange|delayed)\//.test(topic)) return { topic, exact };
  }
  return { topic: placeTopic(address), exact: true };
}

/** A topic that publishes to exactly this address: what an answer is to be sent to. */
export function replyTopic(address: Address, exchange: string): string {
  const { topic, exact } = addressToTopic(address, exchange);
  return exact ? topic : placeTopic(address);
}

function placeTopic({ exchange, routingKey }: Address): string {
  if (exchange === '') return QUEUE + encodeName(routingKey, /[%+#\0]/g);
  const name = EXCHANGE + encodeName(exchange, /[%+#/\0]/g);
  return routingKey === '' ? name : `${name}/${patternToFilter(encodeKey(routingKey))}`;
}

/** The longest topic [MQTT-1.5.4]. */
const TOPIC_BYTES_MAX = 65_535;

/** MQTT's notation, whose plain topics are keys of `exchange`. */
export function mqttAddresses(exchange: string): AddressForm {
  return {
    protocol: 'mqtt',
    describe: (address) => {
      if (address.exchange === '' && address.routingKey === '') return null;
      const topic = replyTopic(address, exchange);
      const expressible = Buffer.byteLength(topic) <= TOPIC_BYTES_MAX && !topic.includes('\0');
      return expressible ? topic : null;
    },
    parse: (text) => (isTopicName(text) ? topicToAddress(text, exchange) : null),
  };
}

export interface PatternTarget {
  readonly kind: 'pattern';
  readonly exchange: string;
  readonly pattern: string;
  /** A leading wildcard does not match topics that begin with `$` [MQTT-4.7.2-1]. */
  readonly hidesSystem: boolean;
  /** Name of the group's queue; null for a subscription of one's own. */
  readonly sharedQueue: string | null;
}

export interface QueueTarget {
  readonly kind: 'queue';
  readonly queue: string;
  /** Of a stream: the group whose place in it is shared; null: none. */
  readonly group: string | null;
}

/** What a subscription to `filter` means; null where the filter is not a legal one. */
export function parseFilter(filter: string, exchange: string): PatternTarget | QueueTarget | null {
  if (!isTopicFilter(filter)) return null;
  if (!filter.startsWith(SHARE)) return parseUnshared(filter, exchange, null, null);
  // [MQTT-4.8.2-1, MQTT-4.8.2-2]: a share name of at least one character, none of them / + #.
  const slash = filter.indexOf('/', SHARE.length);
  const group = slash < 0 ? '' : filter.slice(SHARE.length, slash);
  const inner = slash < 0 ? '' : filter.slice(slash + 1);
  if (group === '' || /[+#]/.test(group) || inner === '') return null;
  return parseUnshared(inner, exchange, group, boundedName(`mqtt-share-${group}/`, inner));
}

function parseUnshared(
  filter: string,
  exchange: string,
  group: string | null,
  sharedQueue: string | null,
): PatternTarget | QueueTarget | null {
  if (filter.startsWith(QUEUE)) {
    const name = filter.slice(QUEUE.length);
    if (name === '' || /[+#]/.test(name)) return null;
    return { kind: 'queue', queue: decodeName(name), group };
  }
  if (filter.startsWith(EXCHANGE)) {
    const [name, key] = splitExchange(filter.slice(EXCHANGE.length));
    if (name === '' || /^[+#]$/.test(name)) return null;
    const pattern = topicToKey(key);
    return { kind: 'pattern', exchange: name, pattern, hidesSystem: false, sharedQueue };
  }
  const pattern = topicToKey(filter);
  return { kind: 'pattern', exchange, pattern, hidesSystem: /^[+#]/.test(filter), sharedQueue };
}

/** The queue of a client's session. */
export function sessionQueueName(clientId: string): string {
  return boundedName('mqtt-subscription-', clientId);
}

function boundedName(prefix: string, rest: string): string {
  const name = prefix + rest;
  if (Buffer.byteLength(name) <= NAME_BYTES_MAX) return name;
  const hash = createHash('sha256').update(name).digest('base64url');
  return `mqtt-long-${hash}`;
}

function splitExchange(rest: string): [name: string, topic: string] {
  const slash = rest.indexOf('/');
  if (slash < 0) return [decodeName(rest), ''];
  return [decodeName(rest.slice(0, slash)), rest.slice(slash + 1)];
}

function encodeKey(key: string): string {
  return encodeName(key, /%(?=25|2A|23|00)|[*#\0]/gi);
}

function decodeKey(key: string): string {
  return decodeEscapes(key, /%(25|2A|23|00)/gi);
}

function encodeName(name: string, unsafe: RegExp): string {
  return name.replace(
    unsafe,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

function decodeName(name: string): string {
  return decodeEscapes(name, /%(25|2B|23|2F|00)/gi);
}

function decodeEscapes(text: string, escapes: RegExp): string {
  if (!text.includes('%')) return text;
  return text.replace(escapes, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
