/**
 * Words of a routing key, and the bijection between routing keys and slash-separated topics.
 *
 * Canonical keys are words joined by '.', as AMQP's topic exchange has them; an empty word is a
 * word. The slash notation of MQTT topics, pubsub nodes and some STOMP destinations swaps '/' with
 * '.' and '+' with '*', both ways, so that every legal MQTT topic survives the round trip:
 * `a.b/c` is key `a/b.c`, level `st*ar` is word `st+ar`.
 */

import type { Address } from './message.ts';

/** The longest key that an AMQP shortstr carries, in bytes (AMQP 0-9-1 section 4.2.5.3). */
export const SHORT_STRING_MAX_BYTES = 255;

/** Exchange whose keys are bare or full JIDs: a person's address. */
export const XMPP_EXCHANGE = 'amq.xmpp';

/** Prefix of a key in the default exchange that stands for any address: `amq.to:EXCHANGE/KEY`. */
export const REPLY_PREFIX = 'amq.to:';

const SWAPPED = /[./*+]/g;
const SWAP: Readonly<Record<string, string>> = { '.': '/', '/': '.', '*': '+', '+': '*' };

/** A topic (or filter) in slash notation as a routing key (or pattern). */
export function topicToKey(topic: string): string {
  return topic.replace(SWAPPED, (character) => SWAP[character] ?? character);
}

/** A binding pattern in slash notation; the inverse of `topicToKey` for filters. */
export function patternToFilter(pattern: string): string {
  return pattern.replace(SWAPPED, (character) => SWAP[character] ?? character);
}

const TOPIC_SAFE: Readonly<Record<string, string>> = {
  '.': '/',
  '/': '.',
  '+': '*',
  '*': '%2A',
  '#': '%23',
};

/**
 * A published routing key as a topic. `exact` is false where the key has `*` or `#`, which no topic
 * may carry: they are percent-encoded, and the key travels beside it (`x-routing-key`).
 */
export function keyToTopic(key: string): { readonly topic: string; readonly exact: boolean } {
  const topic = key.replace(/[./+*#]/g, (character) => TOPIC_SAFE[character] ?? character);
  return { topic, exact: !/[*#]/.test(key) };
}

/**
 * Words of a key or pattern; the empty key has none (as RabbitMQ has it), `.` has two empty ones.
 */
export function words(key: string): string[] {
  return key === '' ? [] : key.split('.');
}

/**
 * Whether `pattern` (`*` one word, `#` any number) matches `key`. The definition that indexes are
 * tested against.
 */
export function matches(pattern: readonly string[], key: readonly string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return key.length === 0;
  if (head === '#') {
    for (let skip = 0; skip <= key.length; skip++) if (matches(rest, key.slice(skip))) return true;
    return false;
  }
  const word = key[0];
  if (word === undefined || (head !== '*' && head !== word)) return false;
  return matches(rest, key.slice(1));
}

/**
 * The longest beginning of `key` that fits `maxBytes` of UTF-8, cut at a word boundary where there
 * is one.
 */
export function fitKey(key: string, maxBytes: number = SHORT_STRING_MAX_BYTES): string {
  const bytes = Buffer.from(key);
  if (bytes.length <= maxBytes) return key;
  let end = maxBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  const cut = bytes.toString('utf8', 0, end);
  const dot = cut.lastIndexOf('.');
  return dot > 0 ? cut.slice(0, dot) : cut;
}

/**
 * An address as an AMQP reply-to, which is always published to the default exchange: a queue is its
 * name, anything else `amq.to:EXCHANGE/KEY` (with `%` and `/` of the exchange percent-encoded).
 */
export function addressToReplyKey(address: Address): string {
  if (address.exchange === '') return address.routingKey;
  const exchange = address.exchange.replace(/[%/]/g, (c) => (c === '%' ? '%25' : '%2F'));
  return `${REPLY_PREFIX}${exchange}/${address.routingKey}`;
}

/** The inverse of `addressToReplyKey`. */
export function addressFromReplyKey(key: string): Address {
  const slash = key.indexOf('/');
  if (!key.startsWith(REPLY_PREFIX) || slash < 0) return { exchange: '', routingKey: key };
  const exchange = key
    .slice(REPLY_PREFIX.length, slash)
    .replace(/%(25|2F)/g, (_, hex) => (hex === '25' ? '%' : '/'));
  return { exchange, routingKey: key.slice(slash + 1) };
}
