import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { INEXPRESSIBLE, MqttFormat } from '../../../adapters/mqtt/format.ts';
import { PropertySkimmer, V5_FLAG } from '../../../adapters/mqtt/native.ts';
import type { Format, HeaderValue, Properties } from '../../../core/message.ts';
import { Message, Typed } from '../../../core/message.ts';

const format = new MqttFormat('amq.topic');

/** A format whose native bytes mean these properties. */
function foreign(properties: Properties): Format {
  return { name: 'foreign', read: () => properties, write: () => Buffer.alloc(0) };
}

function message(of: Format, native: Buffer, priority: number = 0, key: string = 'a.b'): Message {
  return new Message(of, native, Buffer.from('x'), 'amq.topic', key, true, priority, 0, 0);
}

function written(properties: Properties, priority: number = 0): Message {
  const bytes = message(foreign(properties), Buffer.alloc(0), priority).as(format, 0);
  return message(format, bytes, priority);
}

const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((s) => !s.includes('\0'));
const tricky = fc.constantFrom(
  'type',
  'x-user-type',
  'x-user-x-user-app-id',
  'priority',
  'user-id',
  'timestamp',
);
const value: fc.Arbitrary<HeaderValue> = fc.oneof(
  name,
  fc.integer({ min: -1000, max: 1000 }),
  fc.boolean(),
  fc.constant(null),
  fc.constant(new Typed('s', 5)),
  fc.constant(
    new Map<string, HeaderValue>([
      ['k', 'v'],
      ['n', 5],
    ]),
  ),
);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

describe('the mqtt format', () => {
  it('brings every neutral property there and back', () => {
    const properties = fc.record({
      contentType: optional(name),
      contentEncoding: optional(name),
      text: optional(fc.boolean()),
      correlationId: optional(fc.oneof(name, fc.constant(Buffer.from([0xff, 0])))),
      replyTo: optional(
        fc.constantFrom(
          { exchange: '', routingKey: 'replies' },
          { exchange: 'amq.topic', routingKey: 'a.b' },
          { exchange: 'x/y', routingKey: 'k' },
        ),
      ),
      messageId: optional(name),
      timestamp: optional(fc.nat()),
      type: optional(name),
      userId: optional(name),
      appId: optional(name),
      headers: fc.uniqueArray(fc.tuple(fc.oneof(name, tricky), value), {
        selector: ([key]) => key,
        maxLength: 5,
      }),
    });
    fc.assert(
      fc.property(properties, fc.nat(255), (original, priority) => {
        const there = written(original, priority).properties;
        expect(compact(there)).toEqual(compact(original));
      }),
    );
  });

  it('leaves what an MQTT client published as it is', () => {
    const block = userProperty('a', '1', 'a', '2', 'type', 'T', 'message-id', 'M');
    const skimmed = new PropertySkimmer().skim(block, 0, block.length, 1, null, 'alice', false);
    const native = Buffer.from(skimmed.native);
    const published = message(format, native);
    expect(published.as(format, 0)).toBe(native);
    expect(published.properties).toEqual({
      type: 'T',
      messageId: 'M',
      headers: [
        ['a', '1'],
        ['a', '2'],
      ],
    });
  });

  it('takes a user-id for the truth only where it is the publisher', () => {
    const block = userProperty('user-id', 'alice');
    const read = (user: string) => {
      const skimmed = new PropertySkimmer().skim(block, 0, block.length, 0, null, user, false);
      return message(format, skimmed.native).properties;
    };
    expect(read('alice')).toEqual({ userId: 'alice', headers: [] });
    expect(read('mallory')).toEqual({ headers: [['user-id', 'alice']] });
  });

  it('takes priority and expiry out of the properties, and hop-by-hop ones off', () => {
    const block = Buffer.concat([
      Buffer.from([0x02, 0, 0, 0, 9]),
      userProperty('priority', '7'),
      Buffer.from([0x23, 0, 3]),
      Buffer.from([0x03, 0, 1, 0x63]),
    ]);
    const skimmed = new PropertySkimmer().skim(
      block,
      0,
      block.length,
      2,
      Buffer.alloc(8, 5),
      '',
      false,
    );
    expect(skimmed).toMatchObject({ expirySeconds: 9, priority: 7, topicAlias: 3 });
    expect([...skimmed.native]).toEqual([
      ...[V5_FLAG | 8 | 2, 5, 5, 5, 5, 5, 5, 5, 5],
      ...userProperty('priority', '7'),
      ...[0x03, 0, 1, 0x63],
    ]);
    expect(message(format, Buffer.from(skimmed.native)).properties).toEqual({
      contentType: 'c',
      headers: [],
    });
  });

  it('names the whole key where the topic cannot', () => {
    const odd = message(foreign({ headers: [] }), Buffer.alloc(0), 0, 'a.*.b');
    const read = message(format, odd.as(format, 0)).properties;
    expect(read.headers).toEqual([['x-routing-key', 'a.*.b']]);
  });

  it('says when MQTT cannot carry a message', () => {
    const long = foreign({ headers: [['h', 'x'.repeat(65_536)]] });
    expect(message(long, Buffer.alloc(0)).as(format, 0)).toBe(INEXPRESSIBLE);
    const nul = foreign({ headers: [['h', 'a\0b']] });
    expect(message(nul, Buffer.alloc(0)).as(format, 0)).toBe(INEXPRESSIBLE);
  });
});

function userProperty(...texts: string[]): Buffer {
  const parts = texts.map((text, index) => {
    const bytes = Buffer.from(text);
    const head = index % 2 === 0 ? [0x26, 0, bytes.length] : [0, bytes.length];
    return Buffer.concat([Buffer.from(head), bytes]);
  });
  return Buffer.concat(parts);
}

/** Without what is undefined. */
function compact(properties: Properties): Record<string, unknown> {
  return Object.fromEntries(Object.entries(properties).filter(([, one]) => one !== undefined));
}
