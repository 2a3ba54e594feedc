/**
 * Random messages written by one protocol, read by every other and written back: nothing may throw, and
 * what they say must survive (docs of each protocol; `mapping` section 4).
 */
import { isDeepStrictEqual } from 'node:util';
import { amqpFormat } from '../../adapters/amqp091/format.ts';
import { MqttFormat } from '../../adapters/mqtt/format.ts';
import { stompFormat } from '../../adapters/stomp/format.ts';
import { domainsOf } from '../../adapters/xmpp/address.ts';
import { XmppFormat } from '../../adapters/xmpp/format.ts';
import {
  type Format,
  type HeaderValue,
  Message,
  type Properties,
  Typed,
} from '../../core/message.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const FORMATS: readonly Format[] = [
  amqpFormat,
  new MqttFormat('amq.topic'),
  stompFormat,
  new XmppFormat(domainsOf('example.org')),
];
const NOW = Date.UTC(2026, 0, 1);
const PIECES = [
  'a',
  'Z',
  '0',
  ' ',
  '-',
  ':',
  '\\',
  '\n',
  '%',
  '"',
  '<',
  '&',
  "'",
  'é',
  '𝄞',
  '{',
  '=',
];
const NAMES = [
  'colour',
  'x-retries',
  'Content-Type',
  'type',
  'a b',
  'é',
  '%41',
  'x-user-type',
  'priority',
];

/** Throws where a message does not survive, with what was lost. */
export function fuzz(seed: number, rounds: number): void {
  const random = new SeededRandom(seed);
  for (let round = 0; round < rounds; round++) {
    const body = text(random, 20);
    const said = propertiesOf(random);
    const stated: Format = { name: 'stated', read: () => said, write: () => Buffer.alloc(0) };
    const first = messageOf(stated, Buffer.alloc(0), body);
    for (const from of FORMATS) {
      const written = messageOf(from, first.as(from, NOW), body);
      requireSame(said, written.properties, `seed ${seed} round ${round}: in ${from.name}`);
      for (const to of FORMATS) {
        const there = messageOf(to, written.as(to, NOW), body);
        const back = messageOf(from, there.as(from, NOW), body);
        const way = `seed ${seed} round ${round}: ${from.name} to ${to.name}`;
        requireSame(said, there.properties, way);
        requireSame(said, back.properties, `${way} and back`);
      }
    }
  }
}

function messageOf(format: Format, native: Buffer, body: string): Message {
  return new Message(format, native, Buffer.from(body), 'amq.topic', 'a.b', true, 4, 0, NOW);
}

const KEPT = [
  'contentType',
  'contentEncoding',
  'correlationId',
  'messageId',
  'timestamp',
  'type',
  'appId',
] as const;

function requireSame(said: Properties, kept: Properties, where: string): void {
  for (const name of KEPT) {
    if (isDeepStrictEqual(said[name], kept[name])) continue;
    throw new Error(`${where}: ${name} ${shown(said[name])} became ${shown(kept[name])}`);
  }
  const now = new Map(kept.headers);
  for (const [name, value] of said.headers) {
    if (isDeepStrictEqual(value, now.get(name))) continue;
    throw new Error(
      `${where}: header ${shown(name)} ${shown(value)} became ${shown(now.get(name))}`,
    );
  }
}

function propertiesOf(random: SeededRandom): Properties {
  const properties: Properties = { headers: [] };
  const maybe = (): boolean => random.below(3) === 0;
  if (maybe())
    properties.contentType = random.pick(['text/plain', 'application/json', 'x/y; a="b"']);
  if (maybe()) properties.contentEncoding = random.pick(['gzip', 'identity']);
  if (maybe()) properties.correlationId = random.pick([text(random, 8), Buffer.from([0xff, 0, 1])]);
  if (maybe()) properties.messageId = `id-${text(random, 8)}`;
  if (maybe()) properties.timestamp = random.below(2 ** 31);
  if (maybe()) properties.type = `type-${text(random, 5)}`;
  if (maybe()) properties.appId = `app-${text(random, 5)}`;
  const names = NAMES.filter(() => maybe());
  return { ...properties, headers: names.map((name) => [name, randomValue(random, 2)]) };
}

function randomValue(random: SeededRandom, depth: number): HeaderValue {
  const simple: readonly (() => HeaderValue)[] = [
    () => text(random, 10),
    () => text(random, 10),
    () => random.below(2 ** 31) - 2 ** 30,
    () => random.fraction() + 0.5,
    () => BigInt(random.below(2 ** 31)) * 4096n,
    () => random.below(2) === 0,
    () => null,
    () => new Date(random.below(2 ** 31) * 1000),
    () => random.bytes(random.below(5)),
    () => new Typed('b', random.below(128)),
    () => new Typed('u', random.below(65_536)),
  ];
  const nested: readonly (() => HeaderValue)[] = [
    () => [randomValue(random, depth - 1), randomValue(random, depth - 1)],
    () => new Map(NAMES.slice(0, 2).map((name) => [name, randomValue(random, depth - 1)])),
  ];
  return random.pick(depth === 0 ? simple : [...simple, ...nested])();
}

function text(random: SeededRandom, most: number): string {
  return Array.from({ length: random.below(most + 1) }, () => random.pick(PIECES)).join('');
}

function shown(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Map)
    return `{${[...value].map(([k, v]) => `${k}: ${shown(v)}`).join(', ')}}`;
  return Array.isArray(value)
    ? `[${value.map(shown).join(', ')}]`
    : (JSON.stringify(value) ?? 'nothing');
}
