/**
 * Topics that were met lately, in both directions, for all connections together: so that a topic is
 * parsed and written once, not once a message. Bounded: emptied when full.
 */
import type { Address } from '../../core/message.ts';
import { addressToTopic, isTooDeep, isTopicName, topicToAddress } from './topic.ts';

const TEXT_BYTES_MAX = 65_535;
/** Longer ones are not remembered. */
const REMEMBERED_CHARACTERS_MAX = 512;

export class TopicTable {
  /** Whose keys are plain topics. */
  readonly exchange: string;
  readonly #max: number;
  readonly #levelsMax: number;
  readonly #addresses = new Map<string, Address | null>();
  readonly #topics = new Map<string, Buffer | null>();

  /** `max`: remembered in each direction. `levelsMax`: of a topic. */
  constructor(exchange: string, max: number, levelsMax: number) {
    this.exchange = exchange;
    this.#max = max;
    this.#levelsMax = levelsMax;
  }

  /** Where a topic is published to; null where it is not one that can be. */
  address(topic: string): Address | null {
    let address = this.#addresses.get(topic);
    if (address === undefined) {
      const usable = isTopicName(topic) && !isTooDeep(topic, this.#levelsMax);
      address = usable ? topicToAddress(topic, this.exchange) : null;
      remember(this.#addresses, topic, address, this.#max);
    }
    return address;
  }

  /** The topic of an address as UTF-8; null where MQTT cannot carry it. */
  bytes(exchange: string, routingKey: string): Buffer | null {
    if (exchange !== this.exchange) return topicBytes(exchange, routingKey, this.exchange);
    let topic = this.#topics.get(routingKey);
    if (topic === undefined) {
      topic = topicBytes(exchange, routingKey, this.exchange);
      remember(this.#topics, routingKey, topic, this.#max);
    }
    return topic;
  }
}

function topicBytes(exchange: string, routingKey: string, plain: string): Buffer | null {
  const topic = Buffer.from(addressToTopic({ exchange, routingKey }, plain).topic);
  return topic.length > TEXT_BYTES_MAX || topic.includes(0) ? null : topic;
}

function remember<T>(known: Map<string, T>, key: string, value: T, max: number): void {
  if (key.length > REMEMBERED_CHARACTERS_MAX) return;
  if (known.size >= max) known.clear();
  known.set(key, value);
}
