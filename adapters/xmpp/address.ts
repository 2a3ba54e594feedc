/**
 * Canonical addresses as JIDs, and back (mapping, sections 3 and 5):
 *
 *     queue q                    q@queues.DOMAIN
 *     exchange muc.r, no key     r@rooms.DOMAIN
 *     exchange amq.xmpp, a JID   the JID
 *     any other exchange x, key  x%key@exchanges.DOMAIN, both parts escaped
 *
 * An address that is no person of ours stands for nobody: a person's JID comes from `amq.xmpp`
 * only.
 */
import { topicToKey, XMPP_EXCHANGE } from '../../core/address.ts';
import type { AddressForm } from '../../core/explain.ts';
import type { Address } from '../../core/message.ts';
import { escapeLocal, foldLocal, type Jid, makeJid, parseJid, unescapeLocal } from './jid.ts';

export const ROOM_PREFIX = 'muc.';
/** The exchange whose keys are topics. */
const TOPIC_EXCHANGE = 'amq.topic';
/** A node `$exchange/x/a/b` stands for key `a.b` of the exchange `x`, as the topic does in MQTT. */
const EXCHANGE_NODE = /^\$exchange\/([^/]+)(?:\/(.*))?$/s;

/** The domains that this gateway serves. */
export interface Domains {
  readonly host: string;
  readonly queues: string;
  readonly exchanges: string;
  readonly rooms: string;
  readonly pubsub: string;
}

export function domainsOf(host: string): Domains {
  return {
    host,
    queues: `queues.${host}`,
    exchanges: `exchanges.${host}`,
    rooms: `rooms.${host}`,
    pubsub: `pubsub.${host}`,
  };
}

/** Null where no JID can say it. */
export function jidOfAddress(address: Address, domains: Domains): Jid | null {
  const { exchange, routingKey } = address;
  if (exchange === XMPP_EXCHANGE) return parseJid(routingKey);
  if (exchange === '') return localJid(escapeLocal(routingKey), domains.queues);
  if (exchange.startsWith(ROOM_PREFIX) && routingKey === '') {
    return localJid(escapeLocal(exchange.slice(ROOM_PREFIX.length)), domains.rooms);
  }
  return localJid(`${escapeLocal(exchange)}%${escapeKey(routingKey)}`, domains.exchanges);
}

/**
 * What publishing to a JID means; null where it is none of the gateway's places (then it is a
 * person or a service).
 */
export function addressOfJid(jid: Jid, domains: Domains): Address | null {
  if (jid.domain === domains.queues) {
    return jid.local === '' ? null : { exchange: '', routingKey: unescapeLocal(jid.local) };
  }
  if (jid.domain === domains.rooms) {
    return jid.local === ''
      ? null
      : { exchange: ROOM_PREFIX + unescapeLocal(jid.local), routingKey: '' };
  }
  if (jid.domain === domains.exchanges) return exchangeAddress(jid.local);
  return null;
}

/** What publishing to a pubsub node means. */
export function addressOfNode(node: string): Address {
  const [, exchange, topic = ''] = EXCHANGE_NODE.exec(node) ?? [];
  if (exchange === undefined) return { exchange: TOPIC_EXCHANGE, routingKey: topicToKey(node) };
  const name = exchange.replace(/%(2F|25)/gi, (code) => (code === '%25' ? '%' : '/'));
  return { exchange: name, routingKey: topicToKey(topic) };
}

/** JIDs of places and of this domain's people, and URIs of pubsub nodes. */
export function xmppAddresses(domains: Domains): AddressForm {
  return {
    protocol: 'xmpp',
    describe: (address) => jidOfAddress(address, domains)?.full ?? null,
    parse: (text) => {
      const node = nodeOfUri(text, domains);
      if (node !== null) return addressOfNode(node);
      const jid = parseJid(text.replace(/^xmpp:/, ''));
      if (jid === null) return null;
      const person = jid.domain === domains.host && jid.local !== '';
      return person
        ? { exchange: XMPP_EXCHANGE, routingKey: jid.full }
        : addressOfJid(jid, domains);
    },
  };
}

/** `xmpp:pubsub.DOMAIN?;node=NAME` (RFC 5122, XEP-0060 section 14.5); null for anything else. */
function nodeOfUri(text: string, domains: Domains): string | null {
  const [, jid, query] = /^xmpp:([^?#]+)\?([^#]*)$/.exec(text) ?? [];
  if (jid !== domains.pubsub) return null;
  const name = query?.split(';').find((part) => part.startsWith('node='));
  try {
    return name === undefined ? null : decodeURIComponent(name.slice('node='.length));
  } catch {
    return null;
  }
}

/**
 * The separator is the first `%` that is not followed by two hexadecimal digits; where there is
 * none (somebody wrote `logs%beef` by hand), the first `%`.
 */
function exchangeAddress(local: string): Address | null {
  if (local === '') return null;
  const plain = /%(?![0-9a-f]{2})/.exec(local)?.index ?? local.indexOf('%');
  if (plain < 0) return { exchange: unescapeLocal(local), routingKey: '' };
  return {
    exchange: unescapeLocal(local.slice(0, plain)),
    routingKey: unescapeLocal(local.slice(plain + 1)),
  };
}

/** A key whose beginning would make an escape of the separator has its first character escaped. */
function escapeKey(routingKey: string): string {
  const escaped = escapeLocal(routingKey);
  return /^[0-9a-f]{2}/.test(escaped)
    ? `%${escaped.charCodeAt(0).toString(16)}${escaped.slice(1)}`
    : escaped;
}

/** Null where the escaped name is too long for a JID, or empty. */
function localJid(local: string, domain: string): Jid | null {
  return local === '' || foldLocal(local) !== local ? null : makeJid(local, domain, '');
}
