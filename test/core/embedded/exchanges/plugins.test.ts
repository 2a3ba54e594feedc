/** The exchange types that RabbitMQ has as plug-ins. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Session } from '../../../../core/engine.ts';
import type { HeaderValue } from '../../../../core/message.ts';
import { LateStore } from '../../../support/late-store.ts';
import { type MessageParts, message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld, type World } from '../../../support/world.ts';
import { args, binding, exchangeSpec, queueSpec } from '../../engine-contract.ts';

type Values = Readonly<Record<string, HeaderValue>>;

let world: World;
let session: Session;

beforeEach(() => {
  world = createWorld();
  session = world.engine.open('/', world.principal('guest'));
});

function declare(type: string, values: Values = {}, name = 'x'): void {
  void session.declareExchange(exchangeSpec(name, type, { arguments: args(values) }), false);
}

/** A queue bound to `x`, and what it gets. */
function bound(queue: string, key: string): Inbox {
  void session.declareQueue(queueSpec(queue), false);
  void session.bind(binding('x', queue, key));
  const inbox = new Inbox();
  void session.consume(consumeSpec(queue, { acknowledge: false }), inbox);
  return inbox;
}

function publish(parts: MessageParts): void {
  session.publisher(new Outbox()).publish(message({ exchange: 'x', ...parts }), 0, false);
}

function publishMany(count: number): void {
  for (let n = 0; n < count; n++) publish({ key: `key-${n}`, body: String(n) });
}

describe('x-consistent-hash', () => {
  it('gives each message to one queue, in proportion to the weights', () => {
    declare('x-consistent-hash');
    const [one, other, double] = [bound('a', '1'), bound('b', '1'), bound('c', '2')];
    publishMany(4000);
    const counts = [one, other, double].map((inbox) => inbox.deliveries.length);
    expect(counts.reduce((sum, count) => sum + count)).toBe(4000);
    for (const [index, share] of [1000, 1000, 2000].entries()) {
      expect(Math.abs((counts[index] ?? 0) - share)).toBeLessThan(150);
    }
  });

  it('moves only what a new queue takes', () => {
    declare('x-consistent-hash');
    const before = [bound('a', '10'), bound('b', '10'), bound('c', '10')];
    publishMany(300);
    const first = before.map((inbox) => new Set(inbox.take()));
    const added = bound('d', '10');
    publishMany(300);
    expect(added.deliveries.length).toBeGreaterThan(20);
    for (const [index, inbox] of before.entries()) {
      for (const body of inbox.bodies) expect(first[index]?.has(body)).toBe(true);
    }
  });

  it('goes by a header where it is told to, also where that is missing', () => {
    declare('x-consistent-hash', { 'hash-header': 'customer' });
    const inboxes = [bound('a', '1'), bound('b', '1'), bound('c', '1')];
    for (let n = 0; n < 30; n++) publish({ key: `${n}`, headers: { customer: 'acme' } });
    for (let n = 0; n < 30; n++) publish({ key: `${n}` });
    for (const { deliveries } of inboxes) expect(deliveries.length % 30).toBe(0);
  });

  it.each<[Values, string]>([
    [
      { 'hash-header': 'h', 'hash-property': 'message_id' },
      'hash-header and hash-property are mutually exclusive',
    ],
    [{ 'hash-property': 'priority' }, 'Unsupported property: priority'],
    [{ 'hash-header': 5 }, 'Unsupported header: 5'],
  ])('refuses %j', (values, text) => {
    expect(() => declare('x-consistent-hash', values)).toThrow(text);
  });

  it.each([
    ['heavy', 'The binding key must be an integer: <<"heavy">>'],
    ['', 'The binding key must be an integer: <<"">>'],
    ['0', 'The binding key must be greater than 0'],
    ['-1', 'The binding key must be greater than 0'],
  ])('refuses the weight %j', (key, text) => {
    declare('x-consistent-hash');
    expect(() => bound('a', key)).toThrow(text);
    expect(world.engine.admin.totals().bindings).toBe(0);
  });
});

describe('x-modulus-hash', () => {
  it('gives messages of one key to one queue, and the keys to all', () => {
    declare('x-modulus-hash');
    const inboxes = [bound('a', ''), bound('b', ''), bound('c', '')];
    publishMany(300);
    const first = inboxes.map((inbox) => inbox.take());
    for (const bodies of first) expect(bodies.length).toBeGreaterThan(50);
    publishMany(300);
    expect(inboxes.map((inbox) => inbox.bodies)).toEqual(first);
  });
});

describe('x-random', () => {
  it('gives each message to one of the queues, whatever the keys', () => {
    declare('x-random');
    const inboxes = [bound('a', 'some'), bound('b', 'other'), bound('c', '')];
    for (let n = 0; n < 300; n++) publish({ key: 'k' });
    const counts = inboxes.map((inbox) => inbox.deliveries.length);
    expect(counts.reduce((sum, count) => sum + count)).toBe(300);
    for (const count of counts) expect(count).toBeGreaterThan(50);
    void session.unbind(binding('x', 'b', 'other'));
    for (let n = 0; n < 30; n++) publish({ key: 'k' });
    expect(inboxes[1]?.deliveries.length).toBe(counts[1]);
  });
});

describe('x-recent-history', () => {
  it('sends its last messages to a new binding, and every message to all', () => {
    declare('x-recent-history', { 'x-recent-history-length': 3 });
    const early = bound('early', '');
    publishMany(10);
    const late = bound('late', '');
    publish({ body: 'new' });
    expect(early.bodies.length).toBe(11);
    expect(late.bodies).toEqual(['7', '8', '9', 'new']);
  });

  it('remembers twenty, what nobody took among them, and only what may be stored', () => {
    declare('x-recent-history');
    publishMany(25);
    publish({ body: 'secret', headers: { 'x-recent-history-no-store': 'true' } });
    expect(bound('q', '').bodies).toEqual(Array.from({ length: 20 }, (_, n) => String(n + 5)));
  });

  it('sends through an exchange that is bound to it', () => {
    declare('x-recent-history');
    publishMany(2);
    declare('fanout', {}, 'y');
    void session.declareQueue(queueSpec('q'), false);
    void session.bind(binding('y', 'q', ''));
    void session.bind({ ...binding('x', 'y', ''), toExchange: true });
    const inbox = new Inbox();
    void session.consume(consumeSpec('q'), inbox);
    expect(inbox.bodies).toEqual(['0', '1']);
  });

  it('remembers across a restart what was persistent, until it is deleted', () => {
    const store = new LateStore();
    const start = (): void => {
      world = createWorld({ store });
      session = world.engine.open('/', world.principal('guest'));
    };
    const declareDurable = (): void => {
      const values = args({ 'x-recent-history-length': 3 });
      const spec = exchangeSpec('x', 'x-recent-history', { durable: true, arguments: values });
      void session.declareExchange(spec, false);
    };
    start();
    declareDurable();
    for (let n = 0; n < 12; n++) publish({ body: String(n), durable: n !== 10 });
    store.answer();
    store.crash();
    start();
    expect(bound('first', '').bodies).toEqual(['9', '11']);
    publish({ body: 'new', durable: true });
    start();
    expect(bound('second', '').bodies).toEqual(['9', '11', 'new']);
    void session.deleteExchange('x', false);
    start();
    declareDurable();
    expect(bound('third', '').bodies).toEqual([]);
  });

  it('counts in memory until the exchange is deleted', () => {
    declare('x-recent-history');
    publishMany(2);
    expect(world.engine.admin.totals().bytes).toBeGreaterThan(0);
    void session.deleteExchange('x', false);
    expect(world.engine.admin.totals().bytes).toBe(0);
  });

  it('keeps no more than its limit in bytes', () => {
    world = createWorld({ limits: { historyBytesMax: 1000 } });
    session = world.engine.open('/', world.principal('guest'));
    declare('x-recent-history', { 'x-recent-history-length': 1000 });
    publishMany(100);
    expect(bound('q', '').bodies).toEqual(['97', '98', '99']);
  });

  it.each([
    [0, '0'],
    [-1, '-1'],
    ['many', '<<"many">>'],
    [1.5, '1.5'],
  ])('refuses the length %j', (length, shown) => {
    expect(() => declare('x-recent-history', { 'x-recent-history-length': length })).toThrow(
      `Invalid argument ${shown}, 'x-recent-history-length' must be a positive integer`,
    );
  });
});

describe('an alternate exchange', () => {
  it('is named by a string', () => {
    expect(() => declare('fanout', { 'alternate-exchange': 5 })).toThrow(
      "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost '/'",
    );
  });
});
