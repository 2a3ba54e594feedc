import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Engine, Outcome, type Session } from '../../../core/engine.ts';
import { SILENT_LOG } from '../../../core/log.ts';
import { Registry } from '../../../core/registry.ts';
import { LmdbStore } from '../../../core/store/lmdb.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { type MessageParts, message, PLAIN_FORMAT } from '../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../support/recorder.ts';
import { createWorld, PEER, type World } from '../../support/world.ts';
import { args, binding, engineContract, exchangeSpec, queueSpec } from '../engine-contract.ts';

const KIB = 1024;

let directory: string;
let disk: MemoryDisk;
const opened: LmdbStore[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  disk = new MemoryDisk();
});

afterEach(() => {
  opened.length = 0;
  rmSync(directory, { recursive: true, force: true });
});

interface Running extends World {
  readonly store: LmdbStore;
  readonly session: Session;
  /** Lets the journal write what it has. */
  flush(): void;
}

function openStore(clock: ManualClock, where: string, options = {}): LmdbStore {
  const store = new LmdbStore({
    directory: where,
    clock,
    log: SILENT_LOG,
    formats: new Registry('format', [PLAIN_FORMAT]),
    segmentBytes: 64 * KIB,
    checkpointBytes: 1e9,
    disk,
    ...options,
  });
  opened.push(store);
  return store;
}

/** A gateway's engine on the test's disk. Called again, it is the next process after a kill. */
function start(options: { limits?: object; store?: object; where?: string } = {}): Running {
  const clock = new ManualClock();
  const where = options.where ?? directory;
  rmSync(join(where, 'lock'), { force: true });
  const store = openStore(clock, where, options.store);
  const world = createWorld({ store, limits: options.limits ?? {}, clock });
  const session = world.engine.open('/', world.principal('guest'));
  return { ...world, store, session, flush: () => clock.advance(0) };
}

/** What a killed process leaves: the same journal, the checkpoint as it was. */
function kill(): string {
  const copy = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  cpSync(directory, copy, { recursive: true });
  rmSync(directory, { recursive: true, force: true });
  directory = copy;
  return copy;
}

function publish(running: Running, parts: MessageParts, tag = 0): string[] {
  const outbox = new Outbox();
  running.session.publisher(outbox).publish(message({ durable: true, ...parts }), tag, false);
  return outbox.events;
}

function bodiesIn(
  { engine, principal }: { engine: Engine; principal: World['principal'] },
  queue: string,
): Inbox {
  const inbox = new Inbox();
  const session = engine.open('/', principal('guest'), PEER) as Session;
  void session.consume(consumeSpec(queue), inbox);
  return inbox;
}

const durable = { durable: true };

describe('a delayed message', () => {
  const type = args({ 'x-delayed-type': 'fanout' });
  const delayed = exchangeSpec('late', 'x-delayed-message', { ...durable, arguments: type });

  it('is confirmed when it is safe, and waits on in the next process', async () => {
    const running = start();
    await running.session.declareExchange(delayed, false);
    await running.session.declareQueue(queueSpec('q', durable), false);
    await running.session.bind(binding('late', 'q', ''));
    const events: string[][] = [];
    for (let n = 1; n <= 2000; n++) {
      const headers = { 'x-delay': String(n % 2 === 0 ? 1000 : 9000) };
      events.push(publish(running, { exchange: 'late', headers, body: String(n) }, n));
    }
    expect(events.flat()).toEqual([]);
    running.flush();
    expect(events.flat().length).toBe(2000);
    kill();
    const next = start();
    const inbox = bodiesIn(next, 'q');
    next.clock.advance(999);
    expect(inbox.take()).toEqual([]);
    next.clock.advance(1);
    expect(inbox.take()).toEqual(Array.from({ length: 1000 }, (_, n) => String(2 * n + 2)));
    next.flush();
    kill();
    const last = start();
    const again = bodiesIn(last, 'q');
    last.clock.advance(0);
    expect(again.take().length).toBe(1000);
    last.clock.advance(9000);
    expect(again.bodies).toEqual(Array.from({ length: 1000 }, (_, n) => String(2 * n + 1)));
  });
});

engineContract('embedded, durable store', () => {
  const running = start();
  return { ...running, flush: running.flush };
});

describe('a durable queue', () => {
  it('confirms only what is safe', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    const events = publish(running, { key: 'q', body: 'kept' }, 1);
    expect(events).toEqual([]);
    running.flush();
    expect(events).toEqual(['1 CONFIRMED']);
  });

  it('answers many confirms by one write', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    running.flush();
    const before = disk.writes;
    const outbox = new Outbox();
    const publisher = running.session.publisher(outbox);
    for (let tag = 1; tag <= 100; tag++) {
      publisher.publish(message({ key: 'q', durable: true, body: String(tag) }), tag, false);
    }
    running.flush();
    expect([outbox.events.length, disk.writes - before]).toEqual([100, 1]);
  });

  it('has after a kill what was confirmed, in order, and what was handed out is marked', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    for (const body of ['1', '2', '3', '4']) publish(running, { key: 'q', body }, 1);
    publish(running, { key: 'q', body: 'transient', durable: false });
    const inbox = new Inbox();
    await running.session.consume(consumeSpec('q'), inbox);
    running.flush();
    inbox.deliveries[0]?.settle(Outcome.ACCEPT);
    inbox.deliveries[2]?.settle(Outcome.ACCEPT);
    running.flush();
    kill();
    const again = start();
    expect((await again.session.declareQueue(queueSpec('q', durable), true)).messages).toBe(2);
    const found = bodiesIn(again, 'q').deliveries;
    expect(found.map((d) => [d.message.body.toString(), d.attempts])).toEqual([
      ['2', 1],
      ['4', 1],
    ]);
  });

  it('does not mark what nobody was handed', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    publish(running, { key: 'q', body: 'new' }, 1);
    running.flush();
    kill();
    expect(bodiesIn(start(), 'q').deliveries.map((d) => d.attempts)).toEqual([0]);
  });

  it('never writes what was settled before its batch left', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    running.flush();
    const inbox = new Inbox();
    await running.session.consume(consumeSpec('q'), inbox);
    const events = publish(running, { key: 'q', body: 'short-lived' }, 1);
    inbox.deliveries[0]?.settle(Outcome.ACCEPT);
    running.flush();
    expect(events).toEqual(['1 CONFIRMED']);
    expect(disk.text).not.toContain('short-lived');
  });

  it('shares one copy of a body with all the queues that it went to', async () => {
    const running = start();
    for (const queue of ['a', 'b', 'c']) {
      await running.session.declareQueue(queueSpec(queue, durable), false);
      await running.session.bind(binding('amq.fanout', queue, ''));
    }
    publish(running, { exchange: 'amq.fanout', body: 'shared body' }, 1);
    running.flush();
    expect(disk.text.split('shared body')).toHaveLength(2);
    kill();
    const again = start();
    for (const queue of ['a', 'b', 'c'])
      expect(bodiesIn(again, queue).bodies).toEqual(['shared body']);
  });

  it('keeps everything about a message', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    await running.session.bind(binding('amq.topic', 'q', 'a.b'));
    const sent = {
      exchange: 'amq.topic',
      key: 'a.b',
      body: 'x'.repeat(100_000),
      priority: 7,
      expiresAt: running.clock.now() + 1000,
      headers: { one: '1' },
    };
    publish(running, sent, 1);
    running.flush();
    kill();
    const found = bodiesIn(start(), 'q').deliveries[0]?.message;
    expect(found).toMatchObject({
      exchange: 'amq.topic',
      routingKey: 'a.b',
      priority: 7,
      durable: true,
    });
    expect([found?.body.toString(), found?.expiresAt]).toEqual([sent.body, sent.expiresAt]);
    expect(found?.properties.headers).toEqual([['one', '1']]);
  });
});

describe('a backlog', () => {
  const limits = { queueWindowBytes: 64 * KIB };
  const fill = async (running: Running, count: number): Promise<void> => {
    await running.session.declareQueue(queueSpec('q', durable), false);
    for (let i = 0; i < count; i++) {
      publish(running, { key: 'q', body: String(i), durable: i % 10 !== 0 });
      if (i % 100 === 0) running.flush();
    }
  };

  it('stays on the disk beyond its window, and comes back in order', async () => {
    const running = start({ limits });
    await fill(running, 5000);
    expect(running.engine.admin.totals()).toMatchObject({ ready: 5000 });
    expect(running.engine.admin.totals().bytes).toBeLessThan(80 * KIB);
    const inbox = bodiesIn(running, 'q');
    running.clock.advance(1000);
    expect(inbox.bodies).toEqual(Array.from({ length: 5000 }, (_, i) => String(i)));
  });

  it('survives a kill without what was transient', async () => {
    const running = start({ limits });
    await fill(running, 5000);
    running.flush();
    kill();
    const again = start({ limits });
    expect((await again.session.declareQueue(queueSpec('q', durable), true)).messages).toBe(4500);
    const inbox = bodiesIn(again, 'q');
    again.clock.advance(1000);
    const kept = Array.from({ length: 5000 }, (_, i) => i).filter((i) => i % 10 !== 0);
    expect(inbox.bodies).toEqual(kept.map(String));
  });

  it('is purged with what is on the disk', async () => {
    const running = start({ limits });
    await fill(running, 3000);
    expect(await running.session.purgeQueue('q')).toBe(3000);
    publish(running, { key: 'q', body: 'next' });
    expect(bodiesIn(running, 'q').bodies).toEqual(['next']);
    expect(running.engine.admin.totals()).toMatchObject({ ready: 0, unacknowledged: 1 });
  });

  it('gives up its oldest when it is full', async () => {
    const running = start({ limits });
    const full = new Map([['x-max-length', 2000]]);
    await running.session.declareQueue(queueSpec('q', { ...durable, arguments: full }), false);
    for (let i = 0; i < 3000; i++) publish(running, { key: 'q', body: String(i) });
    const inbox = bodiesIn(running, 'q');
    running.clock.advance(1000);
    expect([inbox.bodies.length, inbox.bodies[0]]).toEqual([2000, '1000']);
  });
});

describe('last values', () => {
  it('are safe when that is confirmed, and there after a kill', async () => {
    const running = start();
    const events = publish(
      running,
      { exchange: 'amq.topic', key: 'a.b', body: 'on', retain: true },
      1,
    );
    publish(running, { exchange: 'amq.topic', key: 'a.c', body: 'off', retain: true });
    publish(running, { exchange: 'amq.topic', key: 'a.c', body: '', retain: true });
    expect(events).toEqual([]);
    running.flush();
    running.flush();
    expect(events).toEqual(['1 UNROUTABLE']);
    kill();
    const found = await start().session.retained('amq.topic', 'a.#');
    expect(found.map((m) => [m.routingKey, m.body.toString(), m.retain])).toEqual([
      ['a.b', 'on', true],
    ]);
  });
});

describe('definitions and tables', () => {
  it('are there after a kill, with the types of their arguments', async () => {
    const running = start();
    const ttl = new Map([['x-message-ttl', 5]]);
    await running.session.declareExchange(exchangeSpec('x', 'topic', durable), false);
    await running.session.declareQueue(queueSpec('q', { ...durable, arguments: ttl }), false);
    await running.session.bind(binding('x', 'q', 'a.*'));
    await running.session.declareQueue(queueSpec('gone'), false);
    await running.session.declareQueue(queueSpec('mine', { ...durable, exclusive: true }), false);
    running.engine.table('t').set('key', Buffer.from('value'));
    running.engine.table('t').set('k'.repeat(5000), Buffer.from('long'));
    running.engine.table('t').set('old', Buffer.from('old'));
    running.engine.table('t').delete('old');
    running.flush();
    kill();
    const again = start();
    await again.session.declareQueue(queueSpec('q', { ...durable, arguments: ttl }), false);
    expect([await again.session.hasQueue('gone'), await again.session.hasQueue('mine')]).toEqual([
      false,
      false,
    ]);
    publish(again, { exchange: 'x', key: 'a.b', body: 'routed' });
    expect(bodiesIn(again, 'q').bodies).toEqual(['routed']);
    const entries = [...again.engine.table('t').entries()].map(([key, value]) => [
      key.length,
      value.toString(),
    ]);
    expect(entries).toEqual([
      [3, 'value'],
      [5000, 'long'],
    ]);
  });

  it('are gone for good when they were deleted', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    publish(running, { key: 'q', body: 'x' });
    running.flush();
    await running.session.deleteQueue('q', false, false);
    running.flush();
    kill();
    const again = start();
    await again.session.declareQueue(queueSpec('q', durable), false);
    expect(bodiesIn(again, 'q').bodies).toEqual([]);
  });
});

describe('a checkpoint', () => {
  it('is made on closing, so that the next start replays nothing of it', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    for (const body of ['1', '2']) publish(running, { key: 'q', body }, 1);
    running.flush();
    await running.engine.stop();
    const again = start();
    expect(bodiesIn(again, 'q').bodies).toEqual(['1', '2']);
  });

  it('lets segments go that hold nothing any more, and keeps the others', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    const body = 'x'.repeat(10 * KIB);
    for (let i = 0; i < 30; i++) {
      publish(running, { key: 'q', body: `${i} ${body}` });
      running.flush();
    }
    const before = disk.segments().length;
    const inbox = bodiesIn(running, 'q');
    for (const delivery of inbox.deliveries.slice(0, 25)) delivery.settle(Outcome.ACCEPT);
    running.flush();
    await running.engine.stop();
    expect(before).toBeGreaterThan(4);
    expect(disk.segments().length).toBeLessThan(before);
    const again = bodiesIn(start(), 'q').bodies.map((text) => text.split(' ')[0]);
    expect(again).toEqual(['25', '26', '27', '28', '29']);
  });

  it('that is ahead of the journal does no harm', async () => {
    const running = start({ store: { checkpointBytes: 1 } });
    await running.session.declareQueue(queueSpec('q', durable), false);
    for (const body of ['1', '2', '3']) {
      publish(running, { key: 'q', body }, 1);
      running.flush();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await running.engine.stop();
    expect(bodiesIn(start(), 'q').bodies).toEqual(['1', '2', '3']);
  });
});

describe('how often a message was delivered', () => {
  const limited = { ...durable, arguments: args({ 'x-delivery-limit': 100 }) };

  function counts(running: Running): number[] {
    const { deliveries } = bodiesIn(running, 'q');
    running.flush();
    return deliveries.map(({ attempts }) => attempts);
  }

  it('is in the journal, and in the checkpoint as long as the message is there', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', limited), false);
    for (let n = 0; n < 3000; n++) publish(running, { key: 'q', body: String(n) });
    const inbox = bodiesIn(running, 'q');
    running.flush();
    const first = inbox.deliveries.splice(0);
    for (const n of [0, 1, 1500, 2999]) first[n]?.settle(Outcome.REQUEUE);
    inbox.deliveries[1]?.settle(Outcome.ACCEPT);
    running.flush();
    kill();
    const killed = start();
    const again = counts(killed);
    expect([again.length, ...[0, 1, 1499, 2998].map((n) => again[n])]).toEqual([2999, 2, 1, 2, 2]);
    killed.flush();
    await killed.engine.stop();
    const stopped = start();
    const last = counts(stopped);
    expect([last.length, ...[0, 1, 1499, 2998].map((n) => last[n])]).toEqual([2999, 3, 2, 3, 3]);
    await stopped.session.deleteQueue('q', false, false);
    stopped.flush();
    await stopped.engine.stop();
    const empty = start();
    await empty.session.declareQueue(queueSpec('q', limited), false);
    for (let n = 0; n < 3; n++) publish(empty, { key: 'q', body: String(n) });
    empty.flush();
    await empty.engine.stop();
    expect(counts(start())).toEqual([0, 0, 0]);
  });
});

describe('trouble', () => {
  it('with the disk holds publishers, confirms nothing, and passes', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    running.flush();
    const outbox = new Outbox();
    const publisher = running.session.publisher(outbox);
    disk.fault = new Error('ENOSPC: no space left on device');
    publisher.publish(message({ key: 'q', durable: true, body: 'waits' }), 1, false);
    running.flush();
    expect(publisher.publish(message({ key: 'q', durable: true, body: 'too' }), 2, false)).toBe(
      false,
    );
    running.clock.advance(5000);
    expect(outbox.events).toEqual([]);
    disk.fault = null;
    running.clock.advance(1000);
    running.flush();
    expect([...outbox.events].sort()).toEqual(['1 CONFIRMED', '2 CONFIRMED', 'writable']);
    kill();
    expect(bodiesIn(start(), 'q').bodies).toEqual(['waits', 'too']);
  });

  it('with the disk does not keep the process from ending', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    expect(publish(running, { key: 'q', body: 'kept' }, 1)).toEqual([]);
    running.flush();
    disk.fault = new Error('ENOSPC: no space left on device');
    const events = publish(running, { key: 'q', body: 'never safe' }, 2);
    running.flush();
    await running.engine.stop();
    expect(events).toEqual([]);
    const writes = disk.writes;
    disk.fault = null;
    running.clock.advance(60_000);
    expect(disk.writes).toBe(writes);
    kill();
    expect(bodiesIn(start(), 'q').bodies).toEqual(['kept']);
  });

  it('with a message of a format that nobody brought: passed over, left where it is', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    for (const body of ['1', '2']) publish(running, { key: 'q', body }, 1);
    running.flush();
    kill();
    const without = start({ store: { formats: new Registry('format') } });
    expect(bodiesIn(without, 'q').bodies).toEqual([]);
    kill();
    expect(bodiesIn(start(), 'q').bodies).toEqual(['1', '2']);
  });

  const written = async (): Promise<void> => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    for (const body of ['first', 'second', 'third']) {
      publish(running, { key: 'q', body }, 1);
      running.flush();
    }
    kill();
  };
  const bytes = (): Buffer => disk.files.get(1) ?? Buffer.alloc(0);

  it('of a batch that was cut off by the kill: what was safe is there', async () => {
    await written();
    disk.files.set(1, bytes().subarray(0, bytes().length - 5));
    expect(bodiesIn(start(), 'q').bodies).toEqual(['first', 'second']);
    kill();
    expect(bodiesIn(start(), 'q').bodies).toEqual(['first', 'second']);
  });

  it('of damage in what had been safe: refused, with the place', async () => {
    await written();
    const damaged = Buffer.from(bytes());
    const at = damaged.indexOf('first');
    damaged.write('FIRST', at);
    disk.files.set(1, damaged);
    expect(() => start()).toThrow(/data_dir: journal segment 1 is damaged at byte \d+/);
    expect(bytes().equals(damaged)).toBe(true);
  });

  it('of a newer format: refused', async () => {
    await written();
    const newer = Buffer.from(bytes());
    newer.writeUInt32BE(99, 4);
    disk.files.set(1, newer);
    expect(() => start()).toThrow(/format 99, written by a newer version/);
  });

  it('of a segment that a checkpoint needs and that is gone: refused', async () => {
    const running = start();
    await running.session.declareQueue(queueSpec('q', durable), false);
    publish(running, { key: 'q', body: 'x' });
    running.flush();
    await running.engine.stop();
    disk.files.set(7, disk.files.get(1) ?? Buffer.alloc(0));
    disk.files.delete(1);
    expect(() => start()).toThrow(/journal segment 1 is missing/);
  });

  it('of a directory that another process has, or that cannot be written', () => {
    const first = start();
    expect(() => openStore(first.clock, directory)).toThrow(
      /data_dir: .* is in use by process \d+; stop it, or choose another directory/,
    );
    expect(() => openStore(first.clock, '/dev/null/nowhere')).toThrow(
      /data_dir: \/dev\/null is not a directory: move it away, or choose another directory/,
    );
  });
});
