/** What a restart finds again, and when a publisher may rely on it: with a store that answers when told to. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Credit, Outcome, type QueueSpec, type Session } from '../../../core/engine.ts';
import { Typed } from '../../../core/message.ts';
import { LateStore } from '../../support/late-store.ts';
import { type MessageParts, message } from '../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../support/recorder.ts';
import { createWorld, type World } from '../../support/world.ts';
import { args, binding, exchangeSpec, queueSpec } from '../engine-contract.ts';

let store: LateStore;
let world: World;
let session: Session;

function start(limits = {}): void {
  world = createWorld({ store, limits });
  session = world.engine.open('/', world.principal('guest'));
}

function declare(name: string, parts: Partial<QueueSpec> = {}): void {
  void session.declareQueue(queueSpec(name, { durable: true, ...parts }), false);
}

function publish(parts: MessageParts, tag = 0): Outbox {
  const outbox = new Outbox();
  session.publisher(outbox).publish(message({ durable: true, ...parts }), tag, false);
  return outbox;
}

function inboxOf(queue: string, parts = {}): Inbox {
  const inbox = new Inbox();
  void session.consume(consumeSpec(queue, parts), inbox);
  return inbox;
}

beforeEach(() => {
  store = new LateStore();
  start();
});

describe('a confirm', () => {
  it('comes when the message is safe, and not before', () => {
    declare('q');
    const outbox = publish({ key: 'q' }, 1);
    expect(outbox.events).toEqual([]);
    store.answer();
    expect(outbox.events).toEqual(['1 CONFIRMED']);
  });

  it('comes once for many queues, after the last of them', () => {
    for (const name of ['a', 'b', 'c']) {
      declare(name);
      void session.bind(binding('amq.fanout', name, ''));
    }
    declare('volatile', { durable: false });
    void session.bind(binding('amq.fanout', 'volatile', ''));
    const outbox = publish({ exchange: 'amq.fanout' }, 7);
    for (const name of ['a', 'b']) store.queue(`/\0${name}`).answer();
    expect(outbox.events).toEqual([]);
    store.answer();
    expect(outbox.events).toEqual(['7 CONFIRMED']);
  });

  it('is a refusal where one of the queues refused, once the others are safe', () => {
    const full = args({ 'x-max-length': 0, 'x-overflow': 'reject-publish' });
    declare('full', { arguments: full });
    declare('q');
    for (const name of ['full', 'q']) void session.bind(binding('amq.fanout', name, ''));
    const outbox = publish({ exchange: 'amq.fanout' }, 1);
    expect(outbox.events).toEqual([]);
    store.answer();
    expect(outbox.events).toEqual(['1 REFUSED']);
  });

  it('is immediate for what is not durable, or goes to no durable queue', () => {
    declare('durable');
    declare('volatile', { durable: false });
    expect(publish({ key: 'durable', durable: false }, 1).events).toEqual(['1 CONFIRMED']);
    expect(publish({ key: 'volatile' }, 2).events).toEqual(['2 CONFIRMED']);
    expect(store.waiting).toBe(0);
  });

  it('still comes where the message was settled, or its queue deleted, meanwhile', () => {
    declare('q');
    const inbox = inboxOf('q');
    const settled = publish({ key: 'q' }, 1);
    inbox.deliveries[0]?.settle(Outcome.ACCEPT);
    const dropped = publish({ key: 'q' }, 2);
    void session.deleteQueue('q', false, false);
    store.answer();
    expect([settled.events, dropped.events]).toEqual([['1 CONFIRMED'], ['2 CONFIRMED']]);
  });

  it('does not come to a publisher that has closed', () => {
    declare('q');
    const outbox = new Outbox();
    const publisher = session.publisher(outbox);
    publisher.publish(message({ key: 'q', durable: true }), 1, false);
    publisher.close();
    store.answer();
    expect(outbox.events).toEqual([]);
  });

  it('waits for a disk in trouble, whose publishers are held', () => {
    declare('q');
    const outbox = new Outbox();
    const publisher = session.publisher(outbox);
    store.trouble(new Error('no space left on device'));
    expect(publisher.publish(message({ key: 'q', durable: true }), 1, false)).toBe(false);
    store.trouble(null);
    store.answer();
    expect(outbox.events).toEqual(['writable', '1 CONFIRMED']);
  });
});

describe('a restart', () => {
  it('finds durable messages in durable queues, in order, and nothing else', () => {
    declare('q');
    declare('volatile', { durable: false });
    for (const body of ['1', '2', '3']) publish({ key: 'q', body });
    publish({ key: 'q', body: 'transient', durable: false });
    publish({ key: 'volatile', body: 'lost' });
    store.answer();
    start();
    expect(inboxOf('q').bodies).toEqual(['1', '2', '3']);
    expect(session.hasQueue('volatile')).toBe(false);
  });

  it('loses what was not safe when the process died, and no confirm was sent for it', () => {
    declare('q');
    const first = publish({ key: 'q', body: 'safe' }, 1);
    store.answer();
    const second = publish({ key: 'q', body: 'not yet' }, 2);
    store.crash();
    start();
    expect([first.events, second.events]).toEqual([['1 CONFIRMED'], []]);
    expect(inboxOf('q').bodies).toEqual(['safe']);
  });

  it('forgets what was accepted, and brings back what was only delivered', () => {
    declare('q');
    for (const body of ['done', 'lent', 'waiting']) publish({ key: 'q', body });
    const inbox = inboxOf('q', { credits: [new Credit(2)] });
    inbox.deliveries[0]?.settle(Outcome.ACCEPT);
    store.answer();
    store.crash();
    start();
    expect(inboxOf('q').bodies).toEqual(['lent', 'waiting']);
  });

  it('finds exchanges, queues and bindings with the types of their arguments', () => {
    const limits = args({ 'x-message-ttl': 60_000, 'x-max-length': new Typed('l', 10n) });
    declare('q', { arguments: limits });
    void session.declareExchange(exchangeSpec('x', 'headers', { durable: true }), false);
    void session.declareExchange(exchangeSpec('y', 'fanout', { durable: true }), false);
    void session.declareExchange(exchangeSpec('gone', 'fanout'), false);
    const wanted = args({ 'x-match': 'any', size: 'big', colour: 'red' });
    void session.bind({ ...binding('x', 'q', ''), arguments: wanted });
    void session.bind({ ...binding('y', 'x', ''), toExchange: true });
    start();
    declare('q', { arguments: limits });
    publish({ exchange: 'y', headers: { colour: 'red' }, body: 'big red' });
    publish({ exchange: 'y', headers: { colour: 'blue' }, body: 'small blue' });
    expect(inboxOf('q').bodies).toEqual(['big red']);
    expect(() => session.declareExchange(exchangeSpec('gone', 'fanout'), true)).toThrow(
      "no exchange 'gone'",
    );
    expect(() =>
      session.declareQueue(
        queueSpec('q', { durable: true, arguments: args({ 'x-message-ttl': 5 }) }),
        false,
      ),
    ).toThrow('inequivalent');
  });

  it('does not find exclusive queues, unbound bindings and deleted things', () => {
    declare('own', { exclusive: true });
    declare('q');
    declare('deleted');
    void session.bind(binding('amq.fanout', 'own', ''));
    void session.bind(binding('amq.fanout', 'q', ''));
    void session.unbind(binding('amq.fanout', 'q', ''));
    publish({ key: 'deleted', body: 'old' });
    store.answer();
    void session.deleteQueue('deleted', false, false);
    start();
    expect(['own', 'q', 'deleted'].map((name) => session.hasQueue(name))).toEqual([
      false,
      true,
      false,
    ]);
    expect(world.engine.admin.totals().bindings).toBe(0);
    declare('deleted');
    expect(inboxOf('deleted').bodies).toEqual([]);
  });

  it('keeps vhosts apart', () => {
    declare('q');
    publish({ key: 'q', body: 'here' });
    store.answer();
    start();
    const other = world.engine.open('other', world.principal('guest'));
    expect([session.hasQueue('q'), other.hasQueue('q')]).toEqual([true, false]);
  });

  it('in order makes everything safe first', async () => {
    declare('q');
    publish({ key: 'q', body: 'last minute' });
    await world.engine.stop();
    start();
    expect(inboxOf('q').bodies).toEqual(['last minute']);
  });
});

describe('a queue that keeps little in memory', () => {
  const window = { queueWindowBytes: 1000 };

  it('does not deliver twice what went straight to a consumer', () => {
    start(window);
    declare('q');
    const inbox = inboxOf('q', { credits: [new Credit(4)] });
    for (let n = 1; n <= 8; n++) publish({ key: 'q', body: String(n) });
    expect(inbox.bodies).toEqual(['1', '2', '3', '4']);
    for (const delivery of [...inbox.deliveries]) delivery.settle(Outcome.ACCEPT);
    expect(inbox.bodies).toEqual(['1', '2', '3', '4', '5', '6', '7', '8']);
  });

  it('expires by the time that a message came, wherever it waited', () => {
    start(window);
    declare('q', { arguments: args({ 'x-message-ttl': 100 }) });
    for (let n = 1; n <= 8; n++) publish({ key: 'q', body: String(n) });
    world.clock.advance(99);
    expect(session.get('q', false)).not.toBeNull();
    world.clock.advance(1);
    expect(session.get('q', false)).toBeNull();
  });

  it('puts back what comes back before what is stored', () => {
    start(window);
    declare('q');
    for (let n = 1; n <= 9; n++) publish({ key: 'q', body: String(n) });
    const pulled = [1, 2, 3].map(() => session.get('q', true));
    for (const each of pulled) {
      if (each !== null && !(each instanceof Promise)) each.delivery.settle(Outcome.REQUEUE);
    }
    expect(inboxOf('q').bodies.join('')).toBe('123456789');
  });
});
