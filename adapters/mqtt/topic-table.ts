/**
 * Topics that were met lately, in both directions, for all connections together: so that a topic is
 * parsed and written once, not once a message. Bounded: emptied when full.
 */
import type { Address } from '../../core/message.ts';
import { addressToTopic, isTopicName, topicToAddress } from './topic.ts';

const TEXT_BYTES_MAX = 65_535;

export class TopicTable {
  /** Whose keys are plain topics. */
  readonly exchange: string;
  readonly #max: number;
  readonly #addresses = new Map<string, Address | null>();
  readonly #topics = new Map<string, Buffer | null>();

  constructor(exchange: string, max: number) {
    this.exchange = exchange;
    this.#max = max;
  }

  /** Where a topic is published to; null where it is not one that can be. */
  address(topic: string): Address | null {
    let address = this.#addresses.get(topic);
    if (address === undefined) {
      address = isTopicName(topic) ? topicToAddress(topic, this.exchange) : null;
      if (this.#addresses.size >= this.#max) this.#addresses.clear();
      this.#addresses.set(topic, address);
    }
    return address;
  }

  /** The topic of an address as UTF-8; null where MQTT cannot carry it. */
  bytes(exchange: string, routingKey: string): Buffer | null {
    if (exchange !== this.exchange) return topicBytes(exchange, routingKey, this.exchange);
    let topic = this.#topics.get(routingKey);
    if (topic === undefined) {
      topic = topicBytes(exchange, routingKey, this.exchange);
      if (this.#topics.size >= this.#max) this.#topics.clear();
      this.#topics.set(routingKey, topic);
    }
    return topic;
  }
}

function topicBytes(exchange: string, routingKey: string, plain: string): Buffer | null {
  const topic = Buffer.from(addressToTopic({ exchange, routingKey }, plain).topic);
  return topic.length > TEXT_BYTES_MAX || topic.includes(0) ? null : topic;
}
