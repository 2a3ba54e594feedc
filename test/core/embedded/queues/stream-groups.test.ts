/** Consumers of a stream that share a place in it (`x-stream-group`). */
import { beforeEach, describe, expect, it } from 'vitest';
import { Credit, Outcome, type Session, type Subscription } from '../../../../core/engine.ts';
import { BrokerError } from '../../../../core/errors.ts';
import type { HeaderValue } from '../../../../core/message.ts';
import { LateStore } from '../../../support/late-store.ts';
import { message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld, type World } from '../../../support/world.ts';
import { args, binding, exchangeSpec } from '../../engine-contract.ts';

let store: LateStore;
let world: World;
let session: Session;

/** The next process on the same store. */
function start(limits = {}): void {
  world = createWorld({ store, limits });
  session = open();
}

function open(): Session {
  return world.engine.open('/', world.principal('guest'));
}

function declare(values: Record<string, HeaderValue> = {}): void {
  const named = { name: 's', durable: true, exclusive: false, autoDelete: false };
  const table = args({ 'x-queue-type': 'stream', ...values });
  void session.declareQueue({ ...named, arguments: table }, false);
}

function fill(count: number, from = 0): void {
  const publisher = session.publisher(new Outbox());
  for (let n = from; n < from + count; n++) {
    publisher.publish(message({ key: 's', body: `m${n}`, durable: true }), 0, false);
  }
  settle();
}

/** Everything so far is on the disk, and what that sets free has happened. */
function settle(): void {
  store.answer();
  world.clock.advance(0);
}

class Reader extends Inbox {
  subscription: Subscription | null = null;

  settleAll(outcome: Outcome = Outcome.ACCEPT): string[] {
    const settled = [...this.deliveries];
    const bodies = this.take();
    for (const delivery of settled) delivery.settle(outcome);
    world.clock.advance(0);
    return bodies;
  }
}

function join(group: HeaderValue, options: { offset?: HeaderValue; credit?: number } = {}) {
  return joinAs(session, group, options);
}

function joinAs(
  owner: Session,
  group: HeaderValue,
  { offset, credit = 100 }: { offset?: HeaderValue; credit?: number } = {},
): Reader {
  const reader = new Reader();
  const table: Map<string, HeaderValue> = new Map([['x-stream-group', group]]);
  if (offset !== undefined) table.set('x-stream-offset', offset);
  const spec = consumeSpec('s', { credits: [new Credit(credit)], arguments: table });
  reader.subscription = owner.consume(spec, reader) as Subscription;
  world.clock.advance(0);
  return reader;
}

function groups(): string[] {
  const [queue] = world.engine.admin.queues('/');
  return (queue?.groups ?? []).map(
    ({ name, offset, behind, consumers }) => `${name} ${offset} -${behind} x${consumers}`,
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

beforeEach(() => {
  store = new LateStore();
  start();
  declare();
});

describe('the place of a group', () => {
  it('is where its acknowledgements have come to, whatever offset is asked for', async () => {
    fill(5);
    const first = join('g', { offset: 'first', credit: 3 });
    expect(first.bodies).toEqual(['m0', 'm1', 'm2']);
    first.deliveries[0]?.settle(Outcome.ACCEPT);
    await session.close();
    settle();
    expect(groups()).toEqual(['g 1 -4 x0']);
    session = open();
    expect(join('g', { offset: 'next' }).bodies).toEqual(['m1', 'm2', 'm3', 'm4']);
  });

  it('survives the process, as of the last sync', () => {
    fill(5);
    const reader = join('g', { offset: 'first' });
    reader.deliveries[0]?.settle(Outcome.ACCEPT);
    settle();
    reader.deliveries[1]?.settle(Outcome.ACCEPT);
    settle();
    store.crash();
    start();
    const again = join('g', { offset: 'first' });
    expect(again.bodies).toEqual(['m2', 'm3', 'm4']);
  });

  it('begins with the first consumer, and misses nothing from then on', () => {
    fill(2);
    join('g');
    settle();
    store.crash();
    start();
    fill(2, 2);
    expect(join('g').bodies).toEqual(['m2', 'm3']);
  });

  it('waits for the first that is not done with', () => {
    fill(4);
    const reader = join('g', { offset: 'first' });
    const [zero, one, two, three] = reader.deliveries;
    two?.settle(Outcome.ACCEPT);
    three?.settle(Outcome.ACCEPT);
    expect(groups()).toEqual(['g 0 -4 x1']);
    zero?.settle(Outcome.REJECT);
    expect(groups()).toEqual(['g 1 -3 x1']);
    one?.settle(Outcome.ACCEPT);
    expect(groups()).toEqual(['g 4 -0 x1']);
  });

  it('passes what retention took away', () => {
    join('g', { offset: 'first' }).subscription?.cancel();
    void session.deleteQueue('s', false, false);
    declare({ 'x-max-length-bytes': 1000, 'x-stream-max-segment-size-bytes': 500 });
    const slow = join('g', { offset: 'first', credit: 1 });
    fill(1);
    fill(39, 1);
    const rest = join('other', { offset: 'first' }).bodies;
    expect(rest.length).toBeLessThan(20);
    expect(slow.settleAll()).toEqual(['m0']);
    expect(slow.bodies).toEqual(rest.slice(0, 1));
    slow.settleAll();
    expect(groups()[0]).toBe(`g ${40 - rest.length + 1} -${rest.length - 1} x1`);
  });

  it('is forgotten with the stream', () => {
    fill(3);
    join('g', { offset: 'first' }).settleAll();
    void session.deleteQueue('s', false, false);
    settle();
    declare();
    expect(groups()).toEqual([]);
    fill(1);
    expect(join('g', { offset: 'first' }).bodies).toEqual(['m0']);
  });

  it('is written in order to the last acknowledgement when the gateway stops', async () => {
    fill(3);
    const reader = join('g', { offset: 'first' });
    for (const delivery of [...reader.deliveries]) delivery.settle(Outcome.ACCEPT);
    await world.engine.stop();
    start();
    expect(groups()).toEqual(['g 3 -0 x0']);
  });

  it('counts in the totals', () => {
    fill(3);
    join('a', { offset: 'first' });
    join('b', { offset: 'first' }).settleAll();
    expect(world.engine.admin.totals()).toMatchObject({ streamGroups: 2, streamGroupsBehind: 3 });
  });
});

describe('consumers of one group', () => {
  it('read one at a time: the next takes over when the first leaves', async () => {
    fill(2);
    const first = join('g', { offset: 'first' });
    const second = join('g', { offset: 'first' });
    const third = join('g', { offset: 'first' });
    expect([first.settleAll(), second.bodies, third.bodies]).toEqual([['m0', 'm1'], [], []]);
    await first.subscription?.cancel();
    fill(2, 2);
    expect([second.settleAll(), third.bodies]).toEqual([['m2', 'm3'], []]);
  });

  it('do not get what a cancelled one still works on, until its session is gone', async () => {
    fill(3);
    const other = open();
    const first = joinAs(other, 'g', { offset: 'first', credit: 2 });
    const second = join('g');
    await first.subscription?.cancel();
    world.clock.advance(0);
    expect([first.bodies, second.take()]).toEqual([['m0', 'm1'], ['m2']]);
    first.deliveries[1]?.settle(Outcome.ACCEPT);
    await other.close();
    world.clock.advance(0);
    expect(second.deliveries.map(({ attempts }) => attempts)).toEqual([1]);
    expect(second.bodies).toEqual(['m0']);
  });

  it('get again, first and marked, what was given back', () => {
    fill(4);
    const reader = join('g', { offset: 'first', credit: 2 });
    const [zero, one] = reader.deliveries;
    reader.take();
    one?.settle(Outcome.REQUEUE);
    world.clock.advance(0);
    zero?.settle(Outcome.REQUEUE);
    world.clock.advance(0);
    expect(reader.deliveries.map(({ attempts }) => attempts)).toEqual([1, 1]);
    expect(reader.settleAll().sort()).toEqual(['m0', 'm1']);
    expect(reader.settleAll()).toEqual(['m2', 'm3']);
    expect(groups()).toEqual(['g 4 -0 x1']);
  });

  it('go on while other groups, and readers without one, stay where they are', () => {
    fill(2);
    expect(join('a', { offset: 'first' }).settleAll()).toEqual(['m0', 'm1']);
    expect(join('b', { offset: 'last' }).bodies).toEqual(['m1']);
    const plain = new Inbox();
    const table = args({ 'x-stream-offset': 'first' });
    void session.consume(consumeSpec('s', { credits: [new Credit(9)], arguments: table }), plain);
    expect(plain.bodies).toEqual(['m0', 'm1']);
    expect(groups()).toEqual(['a 2 -0 x1', 'b 1 -1 x1']);
  });

  it('leave out what they do not want, and are done with it', () => {
    fill(4);
    const reader = new Reader();
    const spec = consumeSpec('s', {
      credits: [new Credit(9)],
      arguments: args({ 'x-stream-group': 'g', 'x-stream-offset': 'first' }),
      filter: ({ body }) => body.toString() === 'm1',
    });
    void session.consume(spec, reader);
    world.clock.advance(0);
    expect(groups()).toEqual(['g 1 -3 x1']);
    expect(reader.settleAll()).toEqual(['m1']);
    expect(groups()).toEqual(['g 4 -0 x1']);
  });

  it('keep every message exactly once in order, whoever leaves whenever', async () => {
    fill(300);
    const done: string[] = [];
    for (let round = 0; done.length < 300; round++) {
      const owner = open();
      const reader = joinAs(owner, 'g', { offset: 'first', credit: 7 });
      const half = reader.deliveries.slice(0, 1 + (round % 7));
      for (const delivery of half) {
        done.push(delivery.message.body.toString());
        delivery.settle(Outcome.ACCEPT);
      }
      await owner.close();
    }
    expect(done).toEqual(Array.from({ length: 300 }, (_, n) => `m${n}`));
  });
});

describe('a group is refused', () => {
  const prefix = "precondition-failed: failed consuming from stream queue 's' in vhost '/'";

  it.each<[string, HeaderValue]>([
    ['without a name', ''],
    ['with a number for a name', 5],
    ['with a name of 256 bytes', 'g'.repeat(256)],
  ])('%s', (_case, name) => {
    expect(refusal(() => join(name))).toBe(`${prefix}: invalid 'x-stream-group'`);
  });

  it('beyond the limit', () => {
    start({ streamGroupsMax: 1 });
    join('a');
    expect(refusal(() => join('b'))).toBe(`${prefix}: it has 1 groups, which is the limit`);
    expect(refusal(() => join('a'))).toBe('not refused');
  });
});

describe('a group that nobody reads for', () => {
  function reset(group: HeaderValue, values: Record<string, HeaderValue>): Reader {
    const reader = new Reader();
    const table = args({ 'x-stream-group': group, 'x-stream-group-reset': true, ...values });
    const spec = consumeSpec('s', { credits: [new Credit(100)], arguments: table });
    reader.subscription = session.consume(spec, reader) as Subscription;
    world.clock.advance(0);
    return reader;
  }

  it.each<[string, HeaderValue, string[]]>([
    ['first', 'first', ['m0', 'm1', 'm2', 'm3']],
    ['last', 'last', ['m3']],
    ['an offset', 2, ['m2', 'm3']],
    ['a time', new Date(0), ['m0', 'm1', 'm2', 'm3']],
    ['next', 'next', []],
  ])('begins anew at %s, and stays there', (_name, offset, bodies) => {
    declare();
    fill(4);
    const reader = join('g', { offset: 1 });
    reader.settleAll();
    void reader.subscription?.cancel();
    const again = reset('g', { 'x-stream-offset': offset });
    expect(again.bodies).toEqual(bodies);
    settle();
    store.crash();
    start();
    expect(join('g').bodies).toEqual(bodies);
  });

  it('does not begin anew under a reader, nor for a strange word', () => {
    declare();
    fill(1);
    const reader = join('g', { offset: 'first' });
    expect(() => reset('g', {})).toThrow("group 'g' is read, and cannot begin anew");
    expect(() => reset('h', { 'x-stream-group-reset': 'yes' })).toThrow("'x-stream-group-reset'");
    expect(reader.bodies).toEqual(['m0']);
  });

  it('is forgotten for a new one when that was long ago', () => {
    const limits = { streamGroupIdleSecondsMax: 100, streamGroupsMax: 2 };
    start(limits);
    declare();
    const stays = join('stays');
    const gone = join('gone');
    world.clock.advance(60_000);
    void gone.subscription?.cancel();
    settle();
    world.clock.advance(99_000);
    expect(() => join('other')).toThrow('2 groups, which is the limit');
    world.clock.advance(1000);
    join('other');
    const [view] = [...world.engine.admin.queues('/')];
    expect(view?.groups?.map(({ name }) => name)).toEqual(['stays', 'other']);
    expect(stays.cancellations).toEqual([]);
  });
});

it('reads several streams behind a consistent hash as one, each key in its order', () => {
  const names = ['s-0', 's-1', 's-2'];
  const spec = exchangeSpec('super', 'x-consistent-hash', { durable: true });
  void session.declareExchange(spec, false);
  for (const name of names) {
    const table = args({ 'x-queue-type': 'stream' });
    const parts = { durable: true, exclusive: false, autoDelete: false, arguments: table };
    void session.declareQueue({ name, ...parts }, false);
    void session.bind(binding('super', name, '1'));
  }
  const publisher = session.publisher(new Outbox());
  for (let n = 0; n < 300; n++) {
    const key = `key-${n % 30}`;
    publisher.publish(message({ exchange: 'super', key, body: `${key} ${n}` }), 0, false);
  }
  settle();
  const read = (name: string): Reader => {
    const reader = new Reader();
    const table = args({ 'x-stream-group': 'g', 'x-stream-offset': 'first' });
    const credits = [new Credit(1000)];
    void session.consume(consumeSpec(name, { credits, arguments: table }), reader);
    return reader;
  };
  const [active, waiting] = [names.map(read), names.map(read)];
  world.clock.advance(0);
  const bodies = active.map((reader) => reader.bodies);
  expect(waiting.flatMap((reader) => reader.bodies)).toEqual([]);
  expect(bodies.every((some) => some.length > 0)).toBe(true);
  expect(bodies.flat().length).toBe(300);
  for (let key = 0; key < 30; key++) {
    const prefix = `key-${key} `;
    const holding = bodies.filter((some) => some.some((body) => body.startsWith(prefix)));
    const numbers = holding.flat().filter((body) => body.startsWith(prefix));
    const inOrder = Array.from({ length: 10 }, (_, n) => `${prefix}${key + 30 * n}`);
    expect([holding.length, numbers]).toEqual([1, inOrder]);
  }
});
