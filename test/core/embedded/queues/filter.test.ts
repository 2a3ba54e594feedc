/** Consumers that want some messages of a queue only. */
import { beforeEach, describe, expect, it } from 'vitest';
import { type ConsumeSpec, Credit, Outcome, type Session } from '../../../../core/engine.ts';
import { LateStore } from '../../../support/late-store.ts';
import { type MessageParts, message } from '../../../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../../../support/recorder.ts';
import { createWorld, type World, type WorldOptions } from '../../../support/world.ts';
import { args, queueSpec } from '../../engine-contract.ts';

let world: World;
let session: Session;

function start(options: WorldOptions = {}, values: Record<string, number> = {}): void {
  world = createWorld(options);
  session = world.engine.open('/', world.principal('guest'));
  void session.declareQueue(queueSpec('q', { durable: true, arguments: args(values) }), false);
}

function publish(body: string, parts: MessageParts = {}): void {
  session.publisher(new Outbox()).publish(message({ key: 'q', body, ...parts }), 0, false);
}

/** Wants bodies that begin with one of `letters`; all where there are none. */
function consume(letters: string, parts: Partial<ConsumeSpec> = {}, by = session): Inbox {
  const inbox = new Inbox();
  const filter = (wanted: { body: Buffer }): boolean =>
    letters.includes(wanted.body.toString().slice(0, 1));
  void by.consume(consumeSpec('q', { ...(letters === '' ? {} : { filter }), ...parts }), inbox);
  return inbox;
}

function ready(): number {
  return world.engine.admin.totals().ready;
}

beforeEach(() => start());

describe('a consumer with a filter', () => {
  it('gets what it wants, in order, and the rest stays in order', () => {
    const early = consume('a');
    for (const body of ['b1', 'a1', 'c1', 'a2', 'b2']) publish(body);
    expect([early.bodies, ready()]).toEqual([['a1', 'a2'], 3]);
    expect(consume('b').bodies).toEqual(['b1', 'b2']);
    expect(consume('').bodies).toEqual(['c1']);
    expect(ready()).toBe(0);
  });

  it('finds what waits already, and what is pulled beside it', () => {
    for (const body of ['b1', 'a1', 'b2', 'a2']) publish(body);
    expect(consume('a').bodies).toEqual(['a1', 'a2']);
    expect(session.get('q', false)).toMatchObject({ remaining: 1 });
    expect(session.purgeQueue('q')).toBe(1);
  });

  it('takes turns with others that want the same', () => {
    const [one, other, all] = [consume('a'), consume('a'), consume('')];
    for (const body of ['a1', 'a2', 'a3', 'b1', 'b2']) publish(body);
    expect([one.bodies, other.bodies, all.bodies]).toEqual([['a1'], ['a2'], ['a3', 'b1', 'b2']]);
  });

  it('goes on where it was when it may take more, whoever took what lies between', () => {
    const credit = new Credit(1);
    const slow = consume('a', { credits: [credit] });
    const other = consume('b');
    for (const body of ['a1', 'a2', 'b1', 'a3', 'b2', 'c1']) publish(body);
    expect([slow.bodies, other.bodies]).toEqual([['a1'], ['b1', 'b2']]);
    for (const n of [0, 1, 2]) slow.deliveries[n]?.settle(Outcome.ACCEPT);
    expect(slow.bodies).toEqual(['a1', 'a2', 'a3']);
    expect(ready()).toBe(1);
  });

  it('gets back what was requeued, before what is behind it', () => {
    const credit = new Credit(1);
    const slow = consume('a', { credits: [credit] });
    for (const body of ['b1', 'a1', 'a2']) publish(body);
    slow.deliveries[0]?.settle(Outcome.REQUEUE);
    expect(slow.bodies).toEqual(['a1', 'a1']);
    expect(slow.deliveries[1]?.attempts).toBe(1);
    slow.deliveries[1]?.settle(Outcome.ACCEPT);
    expect(slow.bodies).toEqual(['a1', 'a1', 'a2']);
  });

  it('leaves in order what it held and what it passed over', () => {
    const leaving = world.engine.open('/', world.principal('guest'));
    const inbox = consume('a', {}, leaving);
    for (const body of ['b1', 'a1', 'b2', 'a2']) publish(body);
    expect(inbox.bodies).toEqual(['a1', 'a2']);
    void leaving.close();
    expect(consume('').bodies).toEqual(['b1', 'a1', 'b2', 'a2']);
  });

  it('does not get what expired behind others', () => {
    const credit = new Credit(1);
    const slow = consume('a', { credits: [credit] });
    publish('b1');
    publish('a1');
    publish('a2', { expiresAt: world.clock.now() + 100 });
    publish('a3');
    world.clock.advance(100);
    slow.deliveries[0]?.settle(Outcome.ACCEPT);
    expect(slow.bodies).toEqual(['a1', 'a3']);
  });

  it('looks at each message once', () => {
    let looks = 0;
    const filter = (): boolean => {
      looks++;
      return false;
    };
    consume('', { filter });
    for (let n = 0; n < 1000; n++) publish('x');
    world.clock.advance(0);
    // Once for whose turn it is, once for who wants it later.
    expect(looks).toBeLessThanOrEqual(3000);
    expect(ready()).toBe(1000);
  });

  it('looks no further than the limit', () => {
    start({ limits: { queuePassedMax: 2 } });
    const inbox = consume('a');
    for (const body of ['b1', 'b2', 'b3', 'a1']) publish(body);
    expect(inbox.bodies).toEqual([]);
    session.get('q', false);
    publish('b4');
    expect([inbox.bodies, ready()]).toEqual([['a1'], 3]);
  });

  it('passes over more than is in memory, up to the window', () => {
    start({ store: new LateStore(), limits: { queueWindowBytes: 10_000 } });
    for (let n = 0; n < 100; n++) publish(n % 10 === 0 ? `a${n}` : 'b', { durable: true });
    const inbox = consume('a');
    expect(inbox.bodies.slice(0, 2)).toEqual(['a0', 'a10']);
    const rest = consume('');
    world.clock.advance(0);
    expect(inbox.bodies.length + rest.bodies.length).toBe(100);
  });

  it.each([
    [{ 'x-max-length': 2 }, ['b2', 'b3']],
    [{ 'x-max-priority': 5, 'x-max-length': 2 }, ['b2', 'b3']],
  ])('lets a full queue (%j) drop its oldest', (values, left) => {
    start({}, values);
    consume('a');
    for (const body of ['b1', 'b2', 'a1', 'b3']) publish(body);
    expect(ready()).toBe(2);
    expect(consume('b').bodies).toEqual(left);
  });

  it('is the active one of a single-active queue, or nobody is', () => {
    start({}, {});
    const spec = queueSpec('s', { arguments: args({ 'x-single-active-consumer': true }) });
    void session.declareQueue(spec, false);
    const [active, next] = [consume('a', { queue: 's' }), consume('', { queue: 's' })];
    for (const body of ['b1', 'a1']) publish(body, { key: 's' });
    expect([active.bodies, next.bodies]).toEqual([['a1'], []]);
  });
});
