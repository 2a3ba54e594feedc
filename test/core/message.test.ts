import { describe, expect, test } from 'vitest';
import {
  type Death,
  type Format,
  header,
  Message,
  type Properties,
  type Trail,
} from '../../core/message.ts';

const NATIVE = Buffer.from('native');

/** Formats that count how often they are asked. */
function counting(name: string, properties: Properties = { headers: [] }) {
  const calls = { read: 0, write: 0 };
  const format: Format = {
    name,
    read() {
      calls.read++;
      return properties;
    },
    write(message, now) {
      calls.write++;
      return Buffer.from(`${name} ${message.expiresAt === 0 ? '' : message.expiresAt - now}`);
    },
  };
  return { format, calls };
}

function make(
  format: Format,
  {
    expiresAt = 0,
    trail = null,
    body = Buffer.from('body'),
  }: {
    expiresAt?: number;
    trail?: Trail | null;
    body?: Buffer;
  } = {},
): Message {
  return new Message(format, NATIVE, body, 'x', 'k', true, 3, expiresAt, 1, true, ['c'], trail);
}

function death(queue: string, reason: Death['reason'], originalExpiration: string | null): Death {
  return {
    queue,
    reason,
    count: 2,
    time: 1_700_000_000_999,
    exchange: 'x',
    routingKeys: ['k'],
    originalExpiration,
  };
}

describe('properties', () => {
  test('are decoded when they are asked for, once', () => {
    const { format, calls } = counting('a');
    const message = make(format);
    expect(calls.read).toBe(0);
    expect(message.properties).toBe(message.properties);
    expect(calls.read).toBe(1);
  });

  test('say what the broker did, after what the publisher said', () => {
    const { format } = counting('a', {
      type: 't',
      headers: [
        ['BCC', 'secret'],
        ['x-death', 'forged'],
        ['own', 1],
      ],
    });
    const deaths = [death('second', 'expired', '500'), death('first', 'rejected', null)];
    const { properties } = make(format, { trail: { deaths, hidden: ['BCC'] } });
    expect(properties.type).toBe('t');
    expect(properties.headers.map(([name]) => name)).toEqual([
      'own',
      'x-death',
      'x-first-death-reason',
      'x-first-death-queue',
      'x-first-death-exchange',
      'x-last-death-reason',
      'x-last-death-queue',
      'x-last-death-exchange',
    ]);
    expect(header(properties.headers, 'x-first-death-queue')).toBe('first');
    expect(header(properties.headers, 'x-last-death-reason')).toBe('expired');
    const history = header(properties.headers, 'x-death') as readonly Map<string, unknown>[];
    expect(history.map((entry) => entry.get('queue'))).toEqual(['second', 'first']);
    expect(history[0]?.get('original-expiration')).toBe('500');
    expect(history[1]?.has('original-expiration')).toBe(false);
    expect(history[0]?.get('time')).toEqual(new Date(1_700_000_000_000));
    expect(history[0]?.get('count')).toMatchObject({ letter: 'l', value: 2n });
  });

  test('hide without adding where nothing died', () => {
    const { format } = counting('a', { headers: [['BCC', 1]] });
    expect(make(format, { trail: { deaths: [], hidden: ['BCC'] } }).properties.headers).toEqual([]);
  });

  test('the first of repeated headers counts', () => {
    expect(
      header(
        [
          ['a', 1],
          ['a', 2],
        ],
        'a',
      ),
    ).toBe(1);
    expect(header([], 'a')).toBeUndefined();
  });
});

describe('conversion', () => {
  test('is none on the way to its own format', () => {
    const { format, calls } = counting('a');
    expect(make(format).as(format, 0)).toBe(NATIVE);
    expect(calls.write).toBe(0);
  });

  test('happens once per format', () => {
    const [a, b, c] = [counting('a'), counting('b'), counting('c')];
    const message = make(a.format);
    for (let time = 0; time < 3; time++) {
      expect(message.as(b.format, time).toString()).toBe('b ');
      expect(message.as(c.format, time).toString()).toBe('c ');
    }
    expect([b.calls.write, c.calls.write]).toEqual([1, 1]);
  });

  test('happens again when what is left of its life has changed', () => {
    const [a, b] = [counting('a'), counting('b')];
    const message = make(a.format, { expiresAt: 100 });
    expect(message.as(b.format, 40).toString()).toBe('b 60');
    expect(message.as(b.format, 40).toString()).toBe('b 60');
    expect(message.as(b.format, 50).toString()).toBe('b 50');
    expect(b.calls.write).toBe(2);
  });

  test('keeps one conversion for each of several formats at the same time', () => {
    const [a, b, c] = [counting('a'), counting('b'), counting('c')];
    const message = make(a.format, { expiresAt: 100 });
    for (let receiver = 0; receiver < 4; receiver++) {
      message.as(b.format, 10);
      message.as(c.format, 10);
    }
    expect([b.calls.write, c.calls.write]).toEqual([1, 1]);
  });

  test('includes its own format where the broker has something to say', () => {
    const { format, calls } = counting('a');
    const message = make(format, { trail: { deaths: [], hidden: [] } });
    expect(message.as(format, 0).toString()).toBe('a ');
    expect(calls.write).toBe(1);
  });

  test('packets are kept by key', () => {
    const message = make(counting('a').format);
    expect(message.encoded('k')).toBeNull();
    const bytes = Buffer.from('packet');
    expect(message.keepEncoded('k', bytes)).toBe(bytes);
    message.keepEncoded('l', Buffer.from('other'));
    expect(message.encoded('k')).toBe(bytes);
  });
});

describe('copies', () => {
  test('own() detaches a small message from a large read, and says the same', () => {
    const { format } = counting('a');
    const read = Buffer.alloc(65_536, 0x61);
    const message = new Message(
      format,
      read.subarray(0, 10),
      read.subarray(10, 30),
      'x',
      'k',
      true,
      3,
      7,
      1,
      true,
      ['c'],
    );
    const owned = message.own();
    read.fill(0);
    expect(owned.native.toString()).toBe('a'.repeat(10));
    expect(owned.body.toString()).toBe('a'.repeat(20));
    expect(owned.body.buffer.byteLength).toBeLessThanOrEqual(Buffer.poolSize);
    expect(owned).toMatchObject({
      exchange: 'x',
      routingKey: 'k',
      durable: true,
      priority: 3,
      expiresAt: 7,
      receivedAt: 1,
      retain: true,
      copies: ['c'],
      trail: null,
    });
  });

  test('own() leaves a message alone that uses most of what it pins', () => {
    const bytes = Buffer.allocUnsafeSlow(100);
    const { format } = counting('a');
    const native = bytes.subarray(0, 20);
    const message = new Message(format, native, bytes.subarray(20), 'x', 'k', false, 0, 0, 0);
    expect(message.own()).toBe(message);
  });

  test('rerouted() goes elsewhere with the same bytes, and lives for ever', () => {
    const message = make(counting('a').format, { expiresAt: 100 });
    const trail: Trail = { deaths: [death('q', 'expired', '1')], hidden: [] };
    const moved = message.rerouted('y', 'l', null, trail);
    expect(moved.body).toBe(message.body);
    expect(moved.native).toBe(message.native);
    expect(moved).toMatchObject({
      exchange: 'y',
      routingKey: 'l',
      expiresAt: 0,
      retain: false,
      copies: null,
      durable: true,
      priority: 3,
      trail,
    });
  });

  test('redirected() changes the address and nothing else', () => {
    const message = make(counting('a').format, { expiresAt: 100 });
    const moved = message.redirected('y', 'l');
    expect(moved).toMatchObject({ exchange: 'y', routingKey: 'l', expiresAt: 100, retain: true });
    expect(moved).toMatchObject({ copies: ['c'], body: message.body, native: message.native });
  });

  test('its size is its bytes and a constant', () => {
    const { format } = counting('a');
    const small = make(format);
    const large = make(format, { body: Buffer.alloc(1000) });
    expect(large.size - small.size).toBe(1000 - 4);
    expect(small.size).toBeGreaterThan(NATIVE.length + 4);
  });
});
