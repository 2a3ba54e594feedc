import { describe, expect, it } from 'vitest';
import { Credit, Outcome, type Session } from '../../../../core/engine.ts';
import { BrokerError } from '../../../../core/errors.ts';
import { type HeaderValue, header } from '../../../../core/message.ts';
import { LateStore } from '../../../support/late-store.ts';
import { type MessageParts, message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld, type World, type WorldOptions } from '../../../support/world.ts';

type Arguments = Readonly<Record<string, HeaderValue>>;

interface Running extends World {
  readonly session: Session;
}

function start(options: WorldOptions = {}): Running {
  const world = createWorld(options);
  return { ...world, session: world.engine.open('/', world.principal('guest')) };
}

function declare(running: Running, args: Arguments = {}, parts: object = {}): void {
  const named = { name: 's', durable: true, exclusive: false, autoDelete: false, ...parts };
  const table = new Map(Object.entries({ 'x-queue-type': 'stream', ...args }));
  void running.session.declareQueue({ ...named, arguments: table }, false);
}

function publish(running: Running, body: string, parts: MessageParts = {}): string[] {
  const outbox = new Outbox();
  const each = message({ key: 's', body, durable: true, ...parts });
  running.session.publisher(outbox).publish(each, 1, false);
  return outbox.events;
}

function fill(running: Running, count: number, from = 0): void {
  for (let n = from; n < from + count; n++) publish(running, `m${n}`);
}

/** What a reader gets that begins at `offset` and acknowledges at once. */
function read(running: Running, offset?: HeaderValue, session = running.session): Inbox {
  const inbox = new Inbox();
  const table: Map<string, HeaderValue> = new Map();
  if (offset !== undefined) table.set('x-stream-offset', offset);
  const spec = consumeSpec('s', { credits: [new Credit(10)], arguments: table });
  void session.consume(spec, {
    deliver: (delivery) => {
      inbox.deliver(delivery);
      delivery.settle(Outcome.ACCEPT);
    },
    cancelled: (reason) => inbox.cancelled(reason),
  });
  running.clock.advance(0);
  return inbox;
}

function offsets(inbox: Inbox): HeaderValue[] {
  return inbox.deliveries.map(
    ({ message }) => header(message.properties.headers, 'x-stream-offset') ?? null,
  );
}

function refusal(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    if (error instanceof BrokerError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'not refused';
}

describe('a stream', () => {
  it('hands out everything to every reader, and keeps it', () => {
    const running = start();
    declare(running);
    fill(running, 3);
    expect(read(running, 'first').take()).toEqual(['m0', 'm1', 'm2']);
    expect(read(running, 'first').take()).toEqual(['m0', 'm1', 'm2']);
    expect(running.engine.admin.totals()).toMatchObject({ ready: 3, unacknowledged: 0 });
  });

  it('says where each message stood', () => {
    const running = start();
    declare(running);
    publish(running, 'm0', { headers: { 'x-stream-offset': 'mine', kept: 'yes' } });
    fill(running, 1, 1);
    const inbox = read(running, 'first');
    expect(offsets(inbox)).toMatchObject([
      { letter: 'l', value: 0n },
      { letter: 'l', value: 1n },
    ]);
    const headers = inbox.deliveries[0]?.message.properties.headers ?? [];
    expect(header(headers, 'kept')).toBe('yes');
    expect(headers).toHaveLength(2);
  });

  it.each<[string, HeaderValue | undefined, string[]]>([
    ['nothing', undefined, []],
    ['next', 'next', []],
    ['first', 'first', ['m0', 'm1', 'm2', 'm3']],
    ['last', 'last', ['m3']],
    ['an offset', 2, ['m2', 'm3']],
    ['a long offset', 2n, ['m2', 'm3']],
    ['an offset to come', 5, []],
  ])('begins where %s says', (_name, offset, expected) => {
    const running = start();
    declare(running);
    fill(running, 4);
    const inbox = read(running, offset);
    expect(inbox.take()).toEqual(expected);
    fill(running, 2, 4);
    expect(inbox.take()).toEqual(offset === 5 ? ['m5'] : ['m4', 'm5']);
  });

  it('gives no more than the credit, whatever the outcome', () => {
    const running = start();
    declare(running);
    fill(running, 5);
    const inbox = new Inbox();
    const args = new Map([['x-stream-offset', 'first']]);
    const spec = consumeSpec('s', { credits: [new Credit(2)], arguments: args });
    void running.session.consume(spec, inbox);
    expect(inbox.bodies).toEqual(['m0', 'm1']);
    inbox.deliveries[1]?.settle(Outcome.REQUEUE);
    inbox.deliveries[0]?.settle(Outcome.REJECT);
    inbox.deliveries[0]?.settle(Outcome.ACCEPT);
    expect(inbox.bodies).toEqual(['m0', 'm1', 'm2', 'm3']);
    expect(inbox.deliveries.every(({ attempts }) => attempts === 0)).toBe(true);
    expect(running.engine.admin.totals()).toMatchObject({ ready: 5, unacknowledged: 2 });
  });

  it('pauses, resumes and cancels one reader without the others', async () => {
    const running = start();
    declare(running);
    const inbox = new Inbox();
    const spec = consumeSpec('s', { credits: [new Credit(10)] });
    const subscription = await running.session.consume(spec, inbox);
    const other = read(running);
    subscription.pause();
    fill(running, 2);
    expect(inbox.take()).toEqual([]);
    subscription.resume();
    expect(inbox.take()).toEqual(['m0', 'm1']);
    void subscription.cancel();
    fill(running, 1, 2);
    expect(inbox.take()).toEqual([]);
    expect(other.take()).toEqual(['m0', 'm1', 'm2']);
    expect(running.engine.admin.totals()).toMatchObject({ consumers: 1 });
  });

  it('forgets a reader with its session', () => {
    const running = start();
    declare(running);
    fill(running, 3);
    const session = running.engine.open('/', running.principal('guest'));
    const inbox = new Inbox();
    const args = new Map([['x-stream-offset', 'first']]);
    session.consume(consumeSpec('s', { credits: [new Credit(2)], arguments: args }), inbox);
    session.close();
    fill(running, 1, 3);
    expect(inbox.bodies).toEqual(['m0', 'm1']);
    const expected = { ready: 4, unacknowledged: 0, consumers: 0 };
    expect(running.engine.admin.totals()).toMatchObject(expected);
  });

  it('tells its readers that it was deleted', () => {
    const running = start();
    declare(running);
    const inbox = read(running);
    fill(running, 2);
    expect(running.engine.admin.totals().bytes).toBeGreaterThan(0);
    void running.session.deleteQueue('s', false, false);
    expect(inbox.cancellations.map(({ code }) => code)).toEqual(['not-found']);
    expect(running.engine.admin.totals()).toMatchObject({ queues: 0, bytes: 0 });
  });

  it('takes what its reader publishes while it is delivered to', () => {
    const running = start();
    declare(running);
    const seen: string[] = [];
    void running.session.consume(consumeSpec('s', { credits: [new Credit(1)] }), {
      deliver: (delivery) => {
        seen.push(delivery.message.body.toString());
        if (seen.length < 4) publish(running, `again ${seen.length}`);
        delivery.settle(Outcome.ACCEPT);
      },
      cancelled: () => {},
    });
    const other = read(running);
    publish(running, 'once');
    running.clock.advance(0);
    expect(seen).toEqual(['once', 'again 1', 'again 2', 'again 3']);
    expect(other.take()).toEqual(seen);
  });
});

describe('a stream by time', () => {
  const MINUTE = 60_000;

  /** A message a minute for an hour; the last is a minute old. */
  function spread(args: Arguments = {}): Running {
    const running = start();
    declare(running, args);
    for (let n = 0; n < 60; n++) {
      publish(running, `m${n}`, { receivedAt: running.clock.now() });
      running.clock.advance(MINUTE);
    }
    return running;
  }

  it.each<[string, (now: number) => HeaderValue, string | undefined]>([
    ['ten minutes back', () => '10m', 'm50'],
    ['an hour back', () => '1h', 'm0'],
    ['longer than it exists', () => '7D', 'm0'],
    ['half a minute back', () => '30s', undefined],
    ['a time', (now) => new Date(now - 3 * MINUTE), 'm57'],
    ['between two', (now) => new Date(now - 2.5 * MINUTE), 'm58'],
    ['a time before it', () => new Date(0), 'm0'],
  ])('is read from %s', (_name, offset, first) => {
    const running = spread();
    const inbox = read(running, offset(running.clock.now()));
    expect(inbox.bodies[0]).toBe(first);
    publish(running, 'new');
    expect(inbox.bodies.at(-1)).toBe('new');
  });

  it('drops segments when their newest message is too old', () => {
    const running = spread({ 'x-max-age': '20m', 'x-stream-max-segment-size-bytes': 2000 });
    const [oldest] = read(running, 'first').bodies;
    // Segments are of eight messages. When m56 began one m31 was 25 minutes old, and m39 17.
    expect(oldest).toBe('m32');
  });
});

describe('a stream refuses', () => {
  it.each<[string, Arguments, object, string]>([
    [
      'what is not durable',
      {},
      { durable: false },
      "precondition-failed: invalid property 'non-durable' for queue 's' in vhost '/'",
    ],
    [
      'to be exclusive',
      {},
      { exclusive: true },
      "precondition-failed: invalid property 'exclusive-owner' for queue 's' in vhost '/'",
    ],
    [
      'to go with its readers',
      {},
      { autoDelete: true },
      "precondition-failed: invalid property 'auto-delete' for queue 's' in vhost '/'",
    ],
    [
      'arguments of other queues',
      { 'x-message-ttl': 5 },
      {},
      "precondition-failed: invalid arg 'x-message-ttl' for queue 's' in vhost '/' of queue type rabbit_stream_queue",
    ],
    [
      'an age that is none',
      { 'x-max-age': '7 days' },
      {},
      "precondition-failed: invalid arg 'x-max-age' for queue 's' in vhost '/': invalid_max_age",
    ],
    [
      'segments that are too large',
      { 'x-stream-max-segment-size-bytes': 3_000_000_001 },
      {},
      'precondition-failed: Exceeded max value for x-stream-max-segment-size-bytes',
    ],
  ])('%s', (_name, args, parts, expected) => {
    const running = start();
    expect(refusal(() => declare(running, args, parts))).toBe(expected);
  });

  it('to be pulled from and purged', () => {
    const running = start();
    declare(running);
    expect(refusal(() => running.session.get('s', true))).toBe(
      "not-implemented: basic.get not supported by stream queues queue 's' in vhost '/'",
    );
    expect(refusal(() => running.session.purgeQueue('s'))).toBe(
      "not-implemented: queue.purge not supported by stream queues queue 's' in vhost '/'",
    );
  });

  it('readers without prefetch, without acknowledgement, or at no place', () => {
    const running = start();
    declare(running);
    const consume = (parts: object): string =>
      refusal(() => running.session.consume(consumeSpec('s', parts), new Inbox()));
    const credits = [new Credit(1)];
    expect(consume({})).toBe(
      "precondition-failed: consumer prefetch count is not set for 'queue 's' in vhost '/''",
    );
    expect(consume({ credits, acknowledge: false })).toBe(
      "not-implemented: automatic acknowledgement not supported by stream queues queue 's' in vhost '/'",
    );
    for (const offset of ['sometime', 1.5, true]) {
      const args = new Map([['x-stream-offset', offset]]);
      expect(consume({ credits, arguments: args })).toContain("invalid arg 'x-stream-offset'");
    }
  });
});

describe('retention', () => {
  it('drops whole segments, oldest first, beyond a length in bytes', () => {
    const running = start();
    // A message of the tests counts 256 bytes and its body.
    declare(running, { 'x-max-length-bytes': 1200, 'x-stream-max-segment-size-bytes': 500 });
    fill(running, 4);
    expect(read(running, 'first').take()).toEqual(['m0', 'm1', 'm2', 'm3']);
    fill(running, 1, 4);
    expect(read(running, 'first').take()).toEqual(['m2', 'm3', 'm4']);
    expect(read(running, 0).take()).toEqual(['m2', 'm3', 'm4']);
    running.clock.advance(0);
    expect(running.engine.admin.totals()).toMatchObject({ ready: 3 });
  });

  it('takes a reader that is behind along', () => {
    const running = start();
    declare(running, { 'x-max-length-bytes': 600, 'x-stream-max-segment-size-bytes': 1 });
    const inbox = new Inbox();
    const args = new Map([['x-stream-offset', 'first']]);
    const spec = consumeSpec('s', { credits: [new Credit(1)], arguments: args });
    void running.session.consume(spec, inbox);
    fill(running, 10);
    expect(inbox.bodies).toEqual(['m0']);
    inbox.deliveries[0]?.settle(Outcome.ACCEPT);
    expect(inbox.bodies).toEqual(['m0', 'm8']);
  });
});

describe('a stream on a durable store', () => {
  it('shows readers only what is safe, and confirms it then', () => {
    const store = new LateStore();
    const running = start({ store });
    declare(running);
    const inbox = read(running, 'first');
    const events = publish(running, 'm0');
    running.clock.advance(0);
    expect(events).toEqual([]);
    expect(inbox.bodies).toEqual([]);
    store.answer();
    running.clock.advance(0);
    expect(events).toEqual(['1 CONFIRMED']);
    expect(inbox.bodies).toEqual(['m0']);
  });

  it('goes on behind what it has after a restart, durable or not', () => {
    const store = new LateStore();
    const before = start({ store });
    declare(before);
    publish(before, 'm0', { durable: false });
    publish(before, 'm1');
    store.answer();
    publish(before, 'lost');
    store.crash();
    const after = start({ store });
    const inbox = read(after, 'first');
    expect(inbox.take()).toEqual(['m0', 'm1']);
    publish(after, 'm2');
    store.answer();
    after.clock.advance(0);
    expect(inbox.take()).toEqual(['m2']);
  });

  it('keeps its retention after a restart', () => {
    const store = new LateStore();
    const before = start({ store });
    declare(before, { 'x-max-length-bytes': 900, 'x-stream-max-segment-size-bytes': 1 });
    fill(before, 3);
    store.answer();
    store.crash();
    const after = start({ store });
    fill(after, 2, 3);
    store.answer();
    after.clock.advance(0);
    expect(read(after, 'first').take()).toEqual(['m2', 'm3', 'm4']);
    expect(after.engine.admin.totals()).toMatchObject({ ready: 3 });
  });
});

it('passes by what a reader does not want, and keeps it for others', () => {
  const running = start();
  declare(running);
  fill(running, 1000);
  const inbox = new Inbox();
  const spec = consumeSpec('s', {
    credits: [new Credit(10)],
    arguments: new Map([['x-stream-offset', 'first']]),
    filter: ({ body }) => body.toString().endsWith('99'),
  });
  void running.session.consume(spec, inbox);
  running.clock.advance(0);
  expect(inbox.bodies).toEqual(Array.from({ length: 10 }, (_, n) => (n ? `m${n}99` : 'm99')));
  expect(read(running, 'first').deliveries.length).toBe(1000);
});
