/** What is refused when it is declared, in the words that RabbitMQ's users know. */
import { describe, expect, it } from 'vitest';
import type { Session } from '../../../core/engine.ts';
import { type HeaderValue, Typed } from '../../../core/message.ts';
import { createWorld } from '../../support/world.ts';
import { args, exchangeSpec, queueSpec } from '../engine-contract.ts';

type Values = Readonly<Record<string, HeaderValue>>;

function open(): Session {
  const world = createWorld();
  return world.engine.open('/', world.principal('guest'));
}

function declare(values: Values, session: Session = open(), durable: boolean = false): void {
  void session.declareQueue(queueSpec('q', { durable, arguments: args(values) }), false);
}

describe('queue arguments', () => {
  it.each<[Values, string]>([
    [
      { 'x-message-ttl': -1 },
      "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_negative,-1}",
    ],
    [{ 'x-message-ttl': '60000' }, '"expected integer, got longstr"'],
    [{ 'x-message-ttl': 2 ** 40 }, '{value_too_large,1099511627776}'],
    [{ 'x-message-ttl': 1.5 }, '"expected integer, got double"'],
    [{ 'x-expires': 0 }, '{value_zero,0}'],
    [{ 'x-max-length': -5 }, '{value_negative,-5}'],
    [{ 'x-max-length-bytes': true }, '"expected integer, got bool"'],
    [{ 'x-max-priority': 256 }, '{max_value_exceeded,256}'],
    [{ 'x-overflow': 'spill' }, 'invalid_overflow'],
    [{ 'x-overflow': 1 }, '{unacceptable_type,signedint}'],
    [{ 'x-single-active-consumer': 'yes' }, '{unacceptable_type,longstr}'],
    [
      { 'x-dead-letter-exchange': 5 },
      "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'",
    ],
    [{ 'x-dead-letter-routing-key': 'k' }, 'routing_key_but_no_dlx_defined'],
    [{ 'x-queue-type': 'quorom' }, '"unsupported queue type \'quorom\'"'],
    [{ 'x-queue-type': 1 }, '{unacceptable_type,signedint}'],
  ])('%j are refused', (values, text) => {
    expect(() => declare(values)).toThrow(text);
    const session = open();
    expect(() => declare(values, session)).toThrow(
      expect.objectContaining({ code: 'precondition-failed' }),
    );
    expect(session.hasQueue('q')).toBe(false);
  });

  it('of every integer type are taken', () => {
    for (const value of [5, 5n, new Typed('b', 5), new Typed('u', 5), new Typed('l', 5n)]) {
      expect(() => declare({ 'x-message-ttl': value, 'x-max-length': value })).not.toThrow();
    }
  });

  it('that nobody knows are taken, and change nothing in a redeclaration', () => {
    const session = open();
    declare({ 'my-own': 1, 'x-anything': 'lazy' }, session);
    expect(() => declare({}, session)).not.toThrow();
  });

  it.each([
    ['classic', 'x-max-age', '1h'],
    ['classic', 'x-quorum-initial-group-size', 1],
    ['quorum', 'x-queue-mode', 'lazy'],
    ['stream', 'x-message-ttl', 5],
  ])('of a %s queue are refused where only other types know them: %s', (type, name, value) => {
    expect(() => declare({ 'x-queue-type': type, [name]: value }, open())).toThrow(
      `invalid arg '${name}' for queue 'q' in vhost '/' of queue type rabbit_${type}_queue`,
    );
  });

  it.each([
    ['classic', 'x-queue-mode', 'busy', `"unsupported queue mode 'busy'"`],
    ['classic', 'x-queue-version', 3, `"unsupported queue version '3'"`],
    ['quorum', 'x-quorum-initial-group-size', 0, '{value_zero,0}'],
    ['quorum', 'x-dead-letter-strategy', 'never', 'invalid_dlx_strategy'],
    ['quorum', 'x-queue-leader-locator', 'here', 'invalid_queue_locator_arg'],
    ['classic', 'x-max-length', new Typed('d', 5), '"expected integer, got double"'],
  ])('of a %s queue are refused without a meaning: %s %o', (type, name, value, reason) => {
    const declaring = (): unknown => declare({ 'x-queue-type': type, [name]: value }, open(), true);
    expect(declaring).toThrow(`invalid arg '${name}' for queue 'q' in vhost '/': ${reason}`);
  });

  it('are compared by value when a queue is declared again', () => {
    const session = open();
    declare({ 'x-max-length': 5, 'x-queue-type': 'classic' }, session);
    expect(() => declare({ 'x-max-length': new Typed('l', 5n) }, session)).not.toThrow();
    expect(() => declare({ 'x-max-length': 6 }, session)).toThrow(
      "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received '6' but current is '5'",
    );
  });
});

describe('a quorum queue', () => {
  const type = args({ 'x-queue-type': 'quorum', 'x-quorum-initial-group-size': 3 });
  const spec = queueSpec('q', { durable: true, arguments: type });

  it('is a durable one of a single node, and not a classic one', () => {
    const session = open();
    void session.declareQueue(spec, false);
    expect(() => session.declareQueue({ ...spec, arguments: args({}) }, false)).toThrow(
      "inequivalent arg 'x-queue-type'",
    );
  });

  it('is refused where it would not last', () => {
    for (const [parts, property] of [
      [{ durable: false }, 'non-durable'],
      [{ exclusive: true }, 'exclusive-owner'],
      [{ autoDelete: true }, 'auto-delete'],
    ] as const) {
      const session = open();
      expect(() => session.declareQueue({ ...spec, ...parts }, false)).toThrow(
        `invalid property '${property}' for queue 'q' in vhost '/'`,
      );
      expect(session.hasQueue('q')).toBe(false);
    }
  });
});

describe('names', () => {
  it('that are reserved or too long are refused', () => {
    const session = open();
    const long = 'é'.repeat(128);
    expect(() => session.declareQueue(queueSpec('amq.q'), false)).toThrow(
      "reserved prefix 'amq.*'",
    );
    expect(() => session.declareQueue(queueSpec(long), false)).toThrow('longer than 255 bytes');
    expect(() => session.declareExchange(exchangeSpec(long, 'fanout'), false)).toThrow(
      'longer than 255 bytes',
    );
    expect(() => session.deleteExchange('amq.topic', false)).toThrow('reserved prefix');
    expect(() => session.deleteExchange('', false)).toThrow('default exchange');
  });

  it('that are not there are missed by name', () => {
    const session = open();
    expect(() => session.declareQueue(queueSpec('q'), true)).toThrow("no queue 'q' in vhost '/'");
    expect(() => session.declareExchange(exchangeSpec('x', 'fanout'), true)).toThrow(
      "no exchange 'x' in vhost '/'",
    );
    expect(() => session.declareExchange(exchangeSpec('x', 'x-unheard-of'), false)).toThrow(
      "unknown exchange type 'x-unheard-of'",
    );
  });
});
