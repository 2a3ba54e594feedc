/** What every engine and every store must do alike: one suite, run against each. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Principal } from '../../core/auth.ts';
import {
  type BindingSpec,
  Credit,
  type Engine,
  type ExchangeSpec,
  NO_ARGUMENTS,
  Outcome,
  type QueueSpec,
  type Session,
} from '../../core/engine.ts';
import type { HeaderValue } from '../../core/message.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { type MessageParts, message } from '../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../support/recorder.ts';
import { PEER } from '../support/world.ts';

/** An engine to test, and what drives it. */
export interface Subject {
  readonly engine: Engine;
  readonly clock: ManualClock;
  principal(name: string): Principal;
  /** Lets a store that answers late answer now. */
  flush(): void;
}

export function queueSpec(name: string, parts: Partial<QueueSpec> = {}): QueueSpec {
  return {
    name,
    durable: false,
    exclusive: false,
    autoDelete: false,
    arguments: NO_ARGUMENTS,
    ...parts,
  };
}

export function exchangeSpec(
  name: string,
  type: string,
  parts: Partial<ExchangeSpec> = {},
): ExchangeSpec {
  const spec = { name, type, durable: false, autoDelete: false, internal: false };
  return { ...spec, arguments: NO_ARGUMENTS, ...parts };
}

export function binding(source: string, destination: string, routingKey: string): BindingSpec {
  return { source, destination, toExchange: false, routingKey, arguments: NO_ARGUMENTS };
}

export function args(values: Readonly<Record<string, HeaderValue>>): Map<string, HeaderValue> {
  return new Map(Object.entries(values));
}

export function engineContract(name: string, create: () => Subject): void {
  describe(`engine contract: ${name}`, () => {
    let subject: Subject;
    let session: Session;

    const open = async (user = 'guest', vhost = '/'): Promise<Session> =>
      subject.engine.open(vhost, subject.principal(user), PEER);
    const publish = (parts: MessageParts, tag = 0, mandatory = false): string[] => {
      const outbox = new Outbox();
      session.publisher(outbox).publish(message(parts), tag, mandatory);
      subject.flush();
      return outbox.events;
    };
    const inboxOf = async (queue: string, parts = {}, by: Session = session): Promise<Inbox> => {
      const inbox = new Inbox();
      await by.consume(consumeSpec(queue, parts), inbox);
      return inbox;
    };
    const code = async (call: () => unknown): Promise<string> => {
      try {
        await call();
        return 'allowed';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };

    beforeEach(async () => {
      subject = create();
      session = await open();
    });

    describe('routing', () => {
      it('routes the topic example of every tutorial', async () => {
        await session.declareQueue(queueSpec('Q1'), false);
        await session.declareQueue(queueSpec('Q2'), false);
        await session.bind(binding('amq.topic', 'Q1', '*.orange.*'));
        await session.bind(binding('amq.topic', 'Q2', '*.*.rabbit'));
        await session.bind(binding('amq.topic', 'Q2', 'lazy.#'));
        const [one, two] = [await inboxOf('Q1'), await inboxOf('Q2')];
        for (const key of [
          'quick.orange.rabbit',
          'lazy.orange.elephant',
          'quick.orange.fox',
          'lazy.brown.fox',
          'lazy.pink.rabbit',
          'quick.brown.fox',
          'quick.orange.male.rabbit',
          'lazy.orange.male.rabbit',
        ]) {
          publish({ exchange: 'amq.topic', key, body: key });
        }
        expect(one.bodies).toEqual([
          'quick.orange.rabbit',
          'lazy.orange.elephant',
          'quick.orange.fox',
        ]);
        expect(two.bodies).toEqual([
          'quick.orange.rabbit',
          'lazy.orange.elephant',
          'lazy.brown.fox',
          'lazy.pink.rabbit',
          'lazy.orange.male.rabbit',
        ]);
      });

      it('routes by the default exchange to the queue of that name', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const inbox = await inboxOf('q');
        publish({ key: 'q', body: 'one' });
        expect(inbox.bodies).toEqual(['one']);
      });

      it('gives one copy to a queue that several bindings and exchanges lead to', async () => {
        await session.declareQueue(queueSpec('q'), false);
        await session.declareExchange(exchangeSpec('x', 'fanout'), false);
        await session.bind(binding('amq.topic', 'q', 'a.#'));
        await session.bind(binding('amq.topic', 'q', '#.b'));
        await session.bind({ ...binding('amq.topic', 'x', '#'), toExchange: true });
        await session.bind(binding('x', 'q', ''));
        const inbox = await inboxOf('q');
        publish({ exchange: 'amq.topic', key: 'a.b', body: 'once' });
        expect(inbox.bodies).toEqual(['once']);
      });

      it('ends in exchanges that are bound in a circle', async () => {
        await session.declareQueue(queueSpec('q'), false);
        await session.declareExchange(exchangeSpec('x', 'fanout'), false);
        await session.declareExchange(exchangeSpec('y', 'fanout'), false);
        await session.bind({ ...binding('x', 'y', ''), toExchange: true });
        await session.bind({ ...binding('y', 'x', ''), toExchange: true });
        await session.bind(binding('y', 'q', ''));
        const inbox = await inboxOf('q');
        publish({ exchange: 'x', body: 'round' });
        expect(inbox.bodies).toEqual(['round']);
      });

      it('falls back to the alternate exchange where nothing matches', async () => {
        await session.declareQueue(queueSpec('rest'), false);
        await session.declareExchange(exchangeSpec('lost', 'fanout'), false);
        const alternate = args({ 'alternate-exchange': 'lost' });
        await session.declareExchange(exchangeSpec('x', 'direct', { arguments: alternate }), false);
        await session.bind(binding('lost', 'rest', ''));
        const inbox = await inboxOf('rest');
        expect(publish({ exchange: 'x', key: 'nobody', body: 'stray' }, 1, true)).toEqual([
          '1 CONFIRMED',
        ]);
        expect(inbox.bodies).toEqual(['stray']);
      });

      it('matches headers by all and by any', async () => {
        await session.declareQueue(queueSpec('all'), false);
        await session.declareQueue(queueSpec('any'), false);
        const wanted = { colour: 'red', size: 'big' };
        const matching = (queue: string, match: string): BindingSpec => ({
          ...binding('amq.headers', queue, ''),
          arguments: args({ ...wanted, 'x-match': match }),
        });
        await session.bind(matching('all', 'all'));
        await session.bind(matching('any', 'any'));
        const [all, any] = [await inboxOf('all'), await inboxOf('any')];
        publish({ exchange: 'amq.headers', body: 'both', headers: wanted });
        publish({
          exchange: 'amq.headers',
          body: 'one',
          headers: { colour: 'red', size: 'small' },
        });
        publish({ exchange: 'amq.headers', body: 'none', headers: { colour: 'blue' } });
        expect(all.bodies).toEqual(['both']);
        expect(any.bodies).toEqual(['both', 'one']);
      });

      it('sends to every key that the sender selected, once a queue', async () => {
        for (const queue of ['a', 'b']) await session.declareQueue(queueSpec(queue), false);
        const [a, b] = [await inboxOf('a'), await inboxOf('b')];
        publish({ key: 'a', copies: ['b', 'a'], body: 'cc' });
        expect([a.bodies, b.bodies]).toEqual([['cc'], ['cc']]);
      });

      it('resolves a reply address in the default exchange, with permissions of the exchange', async () => {
        await session.declareQueue(queueSpec('q'), false);
        await session.bind(binding('amq.topic', 'q', 'answers.one'));
        const inbox = await inboxOf('q');
        publish({ key: 'amq.to:amq.topic/answers.one', body: 'answer' });
        expect(inbox.deliveries.map(({ message: m }) => [m.exchange, m.routingKey])).toEqual([
          ['amq.topic', 'answers.one'],
        ]);
      });
    });

    describe('queues', () => {
      it('puts requeued messages back to their places, in order and marked', async () => {
        await session.declareQueue(queueSpec('q'), false);
        for (const body of ['1', '2', '3', '4']) publish({ key: 'q', body });
        const first = await inboxOf('q', { credits: [new Credit(3)] });
        expect(first.bodies).toEqual(['1', '2', '3']);
        const [one, two, three] = first.deliveries;
        const second = await open();
        const inbox = await inboxOf('q', {}, second);
        expect(inbox.take()).toEqual(['4']);
        three?.settle(Outcome.ACCEPT);
        await session.close();
        expect(inbox.deliveries.map((d) => [d.message.body.toString(), d.attempts])).toEqual([
          ['1', 1],
          ['2', 1],
        ]);
        one?.settle(Outcome.ACCEPT);
        two?.settle(Outcome.REJECT);
        expect((await second.declareQueue(queueSpec('q'), true)).messages).toBe(0);
      });

      it('hands out no more than the credit, and goes on as it comes back', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const shared = new Credit(2);
        const inbox = await inboxOf('q', { credits: [shared] });
        for (const body of ['1', '2', '3', '4']) publish({ key: 'q', body });
        expect(inbox.bodies).toEqual(['1', '2']);
        inbox.deliveries[0]?.settle(Outcome.ACCEPT);
        expect(inbox.bodies).toEqual(['1', '2', '3']);
        shared.limit = 0;
        expect(inbox.bodies).toEqual(['1', '2', '3', '4']);
      });

      it('hands nothing to a paused consumer', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const inbox = new Inbox();
        const subscription = await session.consume(consumeSpec('q'), inbox);
        subscription.pause();
        publish({ key: 'q', body: 'later' });
        expect(inbox.bodies).toEqual([]);
        subscription.resume();
        expect(inbox.bodies).toEqual(['later']);
      });

      it('shares among consumers in turn, higher priority first', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const [a, b] = [await inboxOf('q'), await inboxOf('q')];
        const high = await inboxOf('q', { priority: 5, credits: [new Credit(1)] });
        for (const body of ['1', '2', '3', '4', '5']) publish({ key: 'q', body });
        expect(high.bodies).toEqual(['1']);
        expect([a.bodies.length, b.bodies.length]).toEqual([2, 2]);
      });

      it('lets one consumer at a time have a single-active queue', async () => {
        const single = args({ 'x-single-active-consumer': true });
        await session.declareQueue(queueSpec('q', { arguments: single }), false);
        const first = new Inbox();
        const active = await session.consume(consumeSpec('q'), first);
        const second = await inboxOf('q', { priority: 10 });
        publish({ key: 'q', body: '1' });
        await active.cancel();
        publish({ key: 'q', body: '2' });
        expect([first.bodies, second.bodies]).toEqual([['1'], ['2']]);
      });

      it('refuses a second consumer beside an exclusive one', async () => {
        await session.declareQueue(queueSpec('q'), false);
        await inboxOf('q', { exclusive: true });
        expect(await code(() => inboxOf('q'))).toBe('access-refused');
      });

      it('is deleted with its last consumer where it is auto-delete', async () => {
        await session.declareQueue(queueSpec('q', { autoDelete: true }), false);
        const subscription = await session.consume(consumeSpec('q'), new Inbox());
        await subscription.cancel();
        expect(await session.hasQueue('q')).toBe(false);
      });

      it('keeps an exclusive queue for its session, and drops it with it', async () => {
        await session.declareQueue(queueSpec('q', { exclusive: true }), false);
        const other = await open();
        expect(
          await code(() => other.declareQueue(queueSpec('q', { exclusive: true }), false)),
        ).toBe('resource-locked');
        await session.close();
        expect(await other.hasQueue('q')).toBe(false);
      });

      it('tells consumers that their queue was deleted', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const inbox = await inboxOf('q');
        await (await open()).deleteQueue('q', false, false);
        expect(inbox.cancellations.map((reason) => reason.code)).toEqual(['not-found']);
      });

      it('gives up the oldest of a full queue, or refuses the newest', async () => {
        const drop = args({ 'x-max-length': 2 });
        const reject = args({ 'x-max-length': 2, 'x-overflow': 'reject-publish' });
        await session.declareQueue(queueSpec('drop', { arguments: drop }), false);
        await session.declareQueue(queueSpec('reject', { arguments: reject }), false);
        const fates = ['1', '2', '3'].map((body) => publish({ key: 'reject', body }, 1));
        for (const body of ['1', '2', '3']) publish({ key: 'drop', body });
        expect(fates).toEqual([['1 CONFIRMED'], ['1 CONFIRMED'], ['1 REFUSED']]);
        expect((await inboxOf('drop')).bodies).toEqual(['2', '3']);
        expect((await inboxOf('reject')).bodies).toEqual(['1', '2']);
      });

      it('delivers by priority, and in order within one', async () => {
        const priorities = args({ 'x-max-priority': 5 });
        await session.declareQueue(queueSpec('q', { arguments: priorities }), false);
        for (const [body, priority] of [
          ['a', 0],
          ['b', 5],
          ['c', 9],
          ['d', 1],
        ] as const) {
          publish({ key: 'q', body, priority });
        }
        expect((await inboxOf('q')).bodies).toEqual(['b', 'c', 'd', 'a']);
      });

      it('drops what has expired, by the message and by the queue', async () => {
        await session.declareQueue(queueSpec('plain'), false);
        await session.declareQueue(
          queueSpec('short', { arguments: args({ 'x-message-ttl': 50 }) }),
          false,
        );
        publish({ key: 'plain', body: 'old', expiresAt: subject.clock.now() + 100 });
        publish({ key: 'plain', body: 'new' });
        publish({ key: 'short', body: 'gone' });
        subject.clock.advance(100);
        expect((await inboxOf('plain')).bodies).toEqual(['new']);
        expect((await inboxOf('short')).bodies).toEqual([]);
      });

      it('is deleted when nobody used it for its x-expires', async () => {
        await session.declareQueue(
          queueSpec('q', { arguments: args({ 'x-expires': 1000 }) }),
          false,
        );
        subject.clock.advance(999);
        await session.get('q', true);
        subject.clock.advance(999);
        expect(await session.hasQueue('q')).toBe(true);
        subject.clock.advance(1);
        expect(await session.hasQueue('q')).toBe(false);
      });

      it('gets one message at a time, with the number of those that remain', async () => {
        await session.declareQueue(queueSpec('q'), false);
        for (const body of ['1', '2']) publish({ key: 'q', body });
        const pulled = await session.get('q', true);
        expect([pulled?.delivery.message.body.toString(), pulled?.remaining]).toEqual(['1', 1]);
        pulled?.delivery.settle(Outcome.REQUEUE);
        const again = await session.get('q', false);
        expect([again?.delivery.message.body.toString(), again?.delivery.attempts]).toEqual([
          '1',
          1,
        ]);
        expect(await session.purgeQueue('q')).toBe(1);
        expect(await session.get('q', true)).toBeNull();
      });
    });

    describe('confirms', () => {
      it('confirms, returns before it confirms, and refuses', async () => {
        await session.declareQueue(queueSpec('q', { durable: true }), false);
        expect(publish({ key: 'q', durable: true }, 7)).toEqual(['7 CONFIRMED']);
        expect(publish({ key: 'nobody', body: 'x' }, 8, true)).toEqual([
          'returned x',
          '8 UNROUTABLE',
        ]);
        expect(publish({ key: 'nobody' }, 9)).toEqual(['9 UNROUTABLE']);
      });

      it('says that an exchange is missing or internal', async () => {
        await session.declareExchange(exchangeSpec('inside', 'fanout', { internal: true }), false);
        expect(await code(() => publish({ exchange: 'nowhere' }))).toBe('not-found');
        expect(await code(() => publish({ exchange: 'inside' }))).toBe('access-refused');
      });

      it('commits publishes and settles as one, or does neither', async () => {
        await session.declareQueue(queueSpec('in'), false);
        await session.declareQueue(queueSpec('out'), false);
        publish({ key: 'in', body: 'job' });
        const [work, out] = [await inboxOf('in'), await inboxOf('out')];
        const delivery = work.deliveries[0];
        if (delivery === undefined) throw new Error('nothing delivered');
        const settles = [{ delivery, outcome: Outcome.ACCEPT }];
        const done = { message: message({ key: 'out', body: 'done' }), tag: 0, mandatory: false };
        const stray = { message: message({ exchange: 'nowhere' }), tag: 0, mandatory: false };
        expect(await code(() => session.commit([done, stray], settles, new Outbox()))).toBe(
          'not-found',
        );
        expect(out.bodies).toEqual([]);
        await session.commit([done], settles, new Outbox());
        expect(out.bodies).toEqual(['done']);
        await session.close();
        const other = await open();
        expect((await other.declareQueue(queueSpec('in'), true)).messages).toBe(0);
      });
    });

    describe('last values', () => {
      it('keeps one message a key, finds by pattern, forgets by an empty body', async () => {
        const set = (key: string, body: string): unknown =>
          publish({ exchange: 'amq.topic', key, body, retain: true });
        set('home.kitchen.lamp', 'on');
        set('home.kitchen.lamp', 'off');
        set('home.hall.lamp', 'on');
        set('home.attic', 'dark');
        set('home.attic', '');
        const found = async (pattern: string): Promise<string[]> =>
          (await session.retained('amq.topic', pattern))
            .map((m) => `${m.routingKey}=${m.body}`)
            .sort();
        expect(await found('home.*.lamp')).toEqual(['home.hall.lamp=on', 'home.kitchen.lamp=off']);
        expect(await found('home.#')).toEqual(['home.hall.lamp=on', 'home.kitchen.lamp=off']);
        expect(await found('home.attic')).toEqual([]);
      });

      it('lets them expire', async () => {
        const expiresAt = subject.clock.now() + 100;
        publish({ exchange: 'amq.topic', key: 'a', body: 'x', retain: true, expiresAt });
        expect(await session.retained('amq.topic', 'a')).toHaveLength(1);
        subject.clock.advance(100);
        expect(await session.retained('amq.topic', '#')).toEqual([]);
      });
    });

    describe('session queues', () => {
      const spec = queueSpec('s', { arguments: args({ 'x-queue-type': 'session' }) });
      const bind = (key: string, values: Readonly<Record<string, HeaderValue>> = {}): unknown =>
        session.bind({ ...binding('amq.topic', 's', key), arguments: args(values) });

      it('keep durable messages, and pass the others to who is there', async () => {
        await session.declareQueue(spec, false);
        await bind('a.#');
        publish({ exchange: 'amq.topic', key: 'a.b', body: 'kept', durable: true });
        publish({ exchange: 'amq.topic', key: 'a.b', body: 'missed' });
        const inbox = await inboxOf('s');
        publish({ exchange: 'amq.topic', key: 'a.b', body: 'seen' });
        expect(inbox.bodies).toEqual(['kept', 'seen']);
      });

      it('tell which bindings matched, in one delivery', async () => {
        await session.declareQueue(spec, false);
        await bind('a.#');
        await bind('*.b');
        await bind('a.b', { 'x-bypass': true });
        const inbox = await inboxOf('s');
        publish({ exchange: 'amq.topic', key: 'a.b', durable: true });
        const matched = inbox.deliveries.map((d) => d.bindings?.map((b) => b.routingKey).sort());
        expect(matched).toEqual([['*.b', 'a.#', 'a.b']]);
      });

      it('keep nothing for bindings that ask for at most once', async () => {
        await session.declareQueue(spec, false);
        await bind('a.b', { 'x-bypass': true });
        publish({ exchange: 'amq.topic', key: 'a.b', durable: true });
        expect((await session.declareQueue(spec, true)).messages).toBe(0);
      });

      it('hide system keys from leading wildcards that ask for it', async () => {
        await session.declareQueue(spec, false);
        await bind('#', { 'x-hide-system': true });
        const inbox = await inboxOf('s');
        publish({ exchange: 'amq.topic', key: '$SYS.load', body: 'hidden' });
        await bind('$SYS.#');
        publish({ exchange: 'amq.topic', key: '$SYS.load', body: 'asked for' });
        expect(inbox.bodies).toEqual(['asked for']);
      });
    });

    describe('permissions', () => {
      it('stand in front of every operation', async () => {
        await session.declareQueue(queueSpec('secret'), false);
        await session.declareQueue(queueSpec('limited-q'), false);
        const limited = await open('limited');
        const send = (exchange: string): unknown =>
          limited.publisher(new Outbox()).publish(message({ exchange, key: 'secret' }), 0, false);
        const refused: Record<string, () => unknown> = {
          declareQueue: () => limited.declareQueue(queueSpec('other'), false),
          deleteQueue: () => limited.deleteQueue('secret', false, false),
          purgeQueue: () => limited.purgeQueue('secret'),
          consume: () => limited.consume(consumeSpec('secret'), new Inbox()),
          get: () => limited.get('secret', false),
          declareExchange: () => limited.declareExchange(exchangeSpec('x', 'fanout'), false),
          deleteExchange: () => limited.deleteExchange('x', false),
          bind: () => limited.bind(binding('amq.direct', 'limited-q', 'k')),
          unbind: () => limited.unbind(binding('amq.direct', 'limited-q', 'k')),
          publishDefault: () => send(''),
          publishReply: () =>
            limited
              .publisher(new Outbox())
              .publish(message({ key: 'amq.to:amq.fanout/x' }), 0, false),
          retained: () => limited.retained('amq.topic', '#'),
        };
        for (const [operation, call] of Object.entries(refused)) {
          expect([operation, await code(call)]).toEqual([operation, 'access-refused']);
        }
        expect(await code(() => limited.declareQueue(queueSpec('limited-new'), false))).toBe(
          'allowed',
        );
        expect(await code(() => send('amq.topic'))).toBe('allowed');
      });

      it('keep out of a vhost that is not there or not theirs', async () => {
        expect(await code(() => open('guest', 'nowhere'))).toBe('not-found');
        expect(await code(() => open('alice', 'other'))).toBe('access-refused');
      });

      it('need none for a temporary queue, which anybody may answer to by its name', async () => {
        const limited = await open('limited');
        const name = await limited.temporaryQueue('reply-');
        const inbox = await inboxOf(name, {}, limited);
        publish({ key: name, body: 'answer' });
        expect(inbox.bodies).toEqual(['answer']);
      });

      it('refuse reserved names', async () => {
        expect(await code(() => session.declareQueue(queueSpec('amq.mine'), false))).toBe(
          'access-refused',
        );
        expect(
          await code(() => session.declareExchange(exchangeSpec('amq.x', 'fanout'), false)),
        ).toBe('access-refused');
      });
    });

    describe('redeclaring', () => {
      it('accepts the same and names the difference', async () => {
        const ttl = args({ 'x-message-ttl': 5 });
        await session.declareQueue(queueSpec('q', { durable: true, arguments: ttl }), false);
        await session.declareQueue(queueSpec('q', { durable: true, arguments: ttl }), false);
        await expect(async () => session.declareQueue(queueSpec('q'), false)).rejects.toThrow(
          "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
        );
        await expect(async () =>
          session.declareQueue(queueSpec('q', { durable: true }), false),
        ).rejects.toThrow(
          "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '5' of type 'signedint'",
        );
        await expect(async () =>
          session.declareExchange(exchangeSpec('amq.topic', 'fanout'), false),
        ).rejects.toThrow(
          "inequivalent arg 'type' for exchange 'amq.topic' in vhost '/': received 'fanout' but current is 'topic'",
        );
      });

      it('removes bindings with their ends, and auto-delete exchanges with their last binding', async () => {
        await session.declareExchange(exchangeSpec('x', 'fanout', { autoDelete: true }), false);
        await session.declareQueue(queueSpec('q'), false);
        await session.bind(binding('x', 'q', ''));
        await session.deleteQueue('q', false, false);
        expect(await code(() => session.declareExchange(exchangeSpec('x', 'fanout'), true))).toBe(
          'not-found',
        );
      });
    });
  });
}
