import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressToTopic,
  isTopicFilter,
  parseFilter,
  replyTopic,
  sessionQueueName,
  topicToAddress,
  undelayed,
} from '../../../adapters/mqtt/topic.ts';

const EXCHANGE = 'amq.topic';
const word = fc.string({ unit: 'grapheme', maxLength: 8 }).filter((s) => !s.includes('\0'));

describe('topics', () => {
  it('survive the way to an address and back', () => {
    const topic = fc
      .array(word, { minLength: 1, maxLength: 5 })
      .map((words) => words.join('/').replace(/[+#]/g, '*'))
      .filter((text) => text !== '' && !text.startsWith('$'));
    fc.assert(
      fc.property(topic, (text) => {
        const address = topicToAddress(text, EXCHANGE);
        expect(address).not.toBeNull();
        if (address !== null)
          expect(addressToTopic(address, EXCHANGE)).toEqual({ topic: text, exact: true });
      }),
    );
  });

  it('name every address that has no wildcards in its key, and every queue', () => {
    const name = word.filter((s) => s !== '');
    const key = fc
      .array(word, { minLength: 1 })
      .map((words) => words.join('.').replace(/[*#]/g, '_'));
    fc.assert(
      fc.property(
        fc.oneof(fc.constant(EXCHANGE), fc.constant(''), name),
        key,
        name,
        (exchange, k, q) => {
          const address = { exchange, routingKey: exchange === '' ? q : k };
          const { topic, exact } = addressToTopic(address, EXCHANGE);
          expect(exact).toBe(true);
          expect(topic).not.toMatch(/[+#]/);
          expect(topicToAddress(topic, EXCHANGE)).toEqual(address);
        },
      ),
    );
  });

  it('stand for queues and exchanges by name', () => {
    expect(topicToAddress('$queue/orders.new', EXCHANGE)).toEqual({
      exchange: '',
      routingKey: 'orders.new',
    });
    expect(topicToAddress('$queue/a/b', EXCHANGE)).toEqual({ exchange: '', routingKey: 'a/b' });
    expect(topicToAddress('$exchange/x/a/b', EXCHANGE)).toEqual({
      exchange: 'x',
      routingKey: 'a.b',
    });
    expect(topicToAddress('$exchange/muc.room', EXCHANGE)).toEqual({
      exchange: 'muc.room',
      routingKey: '',
    });
    for (const nowhere of ['$queue/', '$exchange/', '$exchange//k', '$delayed/5/t']) {
      expect(topicToAddress(nowhere, EXCHANGE)).toBeNull();
    }
  });

  it('of publishes that are to wait', () => {
    expect(undelayed('$delayed/5/a/b')).toEqual({ topic: 'a/b', delayMs: 5000 });
    expect(undelayed('$delayed/0/$queue/q')).toEqual({ topic: '$queue/q', delayMs: 0 });
    for (const other of [
      'a/b',
      '$delayed/5',
      '$delayed/5/',
      '$delayed/x/t',
      '$delayed/4294968/t',
    ]) {
      expect(undelayed(other)).toEqual({ topic: other, delayMs: 0 });
    }
  });

  it('of keys with wildcards are percent-encoded', () => {
    const address = { exchange: EXCHANGE, routingKey: 'a.*.#' };
    expect(addressToTopic(address, EXCHANGE)).toEqual({ topic: 'a/%2A/%23', exact: false });
  });

  it.each([
    ['a.*.#', '$exchange/amq.topic/a/%2A/%23'],
    ['%23', '%23'],
    ['100%.*', '$exchange/amq.topic/100%/%2A'],
  ])('that answers to the key %s go to is exact', (routingKey, topic) => {
    const address = { exchange: EXCHANGE, routingKey };
    expect(replyTopic(address, EXCHANGE)).toBe(topic);
    expect(topicToAddress(topic, EXCHANGE)).toEqual(address);
  });
});

describe('filters', () => {
  it('have wildcards for whole levels only', () => {
    for (const good of ['#', '+', 'a/#', '+/+', '/', '/+', 'a//b', '$SYS/#']) {
      expect(isTopicFilter(good)).toBe(true);
    }
    for (const bad of ['', 'a#', '#/a', 'a+', '+a/b', 'a/#/b', '##']) {
      expect(isTopicFilter(bad)).toBe(false);
    }
  });

  it('of a group have a queue of their own', () => {
    const one = parseFilter('$share/a/b/c', EXCHANGE);
    expect(one).toMatchObject({
      pattern: 'b.c',
      sharedQueue: 'mqtt-share-a/b/c',
      hidesSystem: false,
    });
    expect(parseFilter('$share/g/#', EXCHANGE)).toMatchObject({ hidesSystem: true });
    const queue = { kind: 'queue', queue: 'q' };
    expect(parseFilter('$share/g/$queue/q', EXCHANGE)).toEqual({ ...queue, group: 'g' });
    expect(parseFilter('$queue/q', EXCHANGE)).toEqual({ ...queue, group: null });
    const long = parseFilter(`$share/g/${'x'.repeat(300)}`, EXCHANGE);
    expect(long?.kind === 'pattern' ? long.sharedQueue : '').toMatch(/^mqtt-long-/);
  });

  it('and client identifiers of any length have a queue name that is allowed', () => {
    expect(sessionQueueName('c')).toBe('mqtt-subscription-c');
    expect(sessionQueueName('c'.repeat(65_535)).length).toBeLessThan(255);
  });
});
