/** What every queue must do alike, on every engine and every store; beside `engineContract`. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Credit, type Delivery, Outcome, type Session } from '../../core/engine.ts';
import { type MessageParts, message } from '../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../support/recorder.ts';
import { PEER } from '../support/world.ts';
import { args, binding, exchangeSpec, queueSpec, type Subject } from './engine-contract.ts';

export function queueContract(name: string, create: () => Subject): void {
  describe(`queue contract: ${name}`, () => {
    let subject: Subject;
    let session: Session;

    const open = async (user = 'guest'): Promise<Session> =>
      subject.engine.open('/', subject.principal(user), PEER);
    const publish = (parts: MessageParts, tag = 0): string[] => {
      const outbox = new Outbox();
      session.publisher(outbox).publish(message(parts), tag, false);
      subject.flush();
      return outbox.events;
    };
    const inboxOf = async (queue: string, parts = {}, by: Session = session): Promise<Inbox> => {
      const inbox = new Inbox();
      await by.consume(consumeSpec(queue, parts), inbox);
      return inbox;
    };
    const ready = async (queue: string): Promise<number> =>
      (await session.declareQueue(queueSpec(queue), true)).messages;
    const delivered = (inbox: Inbox): unknown[] =>
      inbox.deliveries.map((d) => [d.message.body.toString(), d.attempts]);
    const taken = (inbox: Inbox, index: number): Delivery => {
      const delivery = inbox.deliveries[index];
      if (delivery === undefined) throw new Error(`no delivery ${index}`);
      return delivery;
    };

    beforeEach(async () => {
      subject = create();
      session = await open();
    });

    describe('settling several as one step', () => {
      it('has all of it back before anything is handed out again', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const busy = await inboxOf('q', { credits: [new Credit(4)], priority: 1 });
        for (const body of ['1', '2', '3', '4', '5']) publish({ key: 'q', body });
        const held = busy.deliveries.splice(0);
        const idle = await inboxOf('q', { credits: [new Credit(2)] });
        expect(idle.take()).toEqual(['5']);
        session.together(() => {
          for (const delivery of held.toReversed()) delivery.settle(Outcome.REQUEUE);
        });
        expect([busy.bodies, idle.bodies]).toEqual([['1', '2', '3', '4'], []]);
      });

      it('does not count what expired behind what it gets', async () => {
        await session.declareQueue(queueSpec('q'), false);
        publish({ key: 'q', body: 'first' });
        publish({ key: 'q', body: 'short', expiresAt: subject.clock.now() + 10 });
        publish({ key: 'q', body: 'last' });
        subject.clock.advance(20);
        expect((await session.get('q', false))?.remaining).toBe(1);
      });
    });

    describe('dead letters', () => {
      beforeEach(async () => {
        await session.declareExchange(exchangeSpec('dlx', 'fanout'), false);
        await session.declareQueue(queueSpec('dead'), false);
        await session.bind(binding('dlx', 'dead', ''));
      });

      it('keeps the history of what was rejected', async () => {
        const to = args({ 'x-dead-letter-exchange': 'dlx', 'x-dead-letter-routing-key': 'why' });
        await session.declareQueue(queueSpec('q', { arguments: to }), false);
        const [work, dead] = [await inboxOf('q'), await inboxOf('dead')];
        publish({ key: 'q', body: 'bad' });
        work.deliveries[0]?.settle(Outcome.REJECT);
        const buried = dead.deliveries[0]?.message;
        expect([buried?.exchange, buried?.routingKey]).toEqual(['dlx', 'why']);
        expect(buried?.trail?.deaths).toMatchObject([
          { queue: 'q', reason: 'rejected', count: 1, exchange: '', routingKeys: ['q'] },
        ]);
        expect(buried?.properties.headers.map(([header]) => header)).toContain('x-death');
      });

      it('ends a circle that nobody rejected in, and counts one that somebody did', async () => {
        const to = args({ 'x-dead-letter-exchange': '', 'x-message-ttl': 10 });
        const loop = args({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'retry' });
        const back = args({ ...Object.fromEntries(to), 'x-dead-letter-routing-key': 'work' });
        await session.declareQueue(queueSpec('self', { arguments: to }), false);
        await session.declareQueue(queueSpec('work', { arguments: loop }), false);
        await session.declareQueue(queueSpec('retry', { arguments: back }), false);
        publish({ key: 'self', body: 'once' });
        publish({ key: 'work', body: 'again' });
        const work = await inboxOf('work');
        for (let round = 0; round < 3; round++) {
          work.deliveries[round]?.settle(Outcome.REJECT);
          subject.clock.advance(20);
        }
        expect(
          (await session.declareQueue(queueSpec('self', { arguments: to }), true)).messages,
        ).toBe(0);
        expect(work.bodies).toEqual(['again', 'again', 'again', 'again']);
        expect(work.deliveries[3]?.message.trail?.deaths).toMatchObject([
          { queue: 'retry', reason: 'expired', count: 3 },
          { queue: 'work', reason: 'rejected', count: 3 },
        ]);
      });

      it('takes what exceeded the delivery limit', async () => {
        const to = args({ 'x-dead-letter-exchange': 'dlx', 'x-delivery-limit': 1 });
        await session.declareQueue(queueSpec('q', { arguments: to }), false);
        const [work, dead] = [await inboxOf('q'), await inboxOf('dead')];
        publish({ key: 'q', body: 'poison' });
        for (let attempt = 0; attempt < 2; attempt++)
          work.deliveries[attempt]?.settle(Outcome.REQUEUE);
        expect(work.bodies).toEqual(['poison', 'poison']);
        expect(dead.bodies).toEqual(['poison']);
      });
    });

    describe('order', () => {
      it('is kept when a session ends whose consumer had no credit left', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const gone = await open();
        await inboxOf('q', { credits: [new Credit(3)] }, gone);
        for (const body of ['1', '2', '3', '4']) publish({ key: 'q', body });
        const heir = await inboxOf('q', { credits: [new Credit(2)] });
        publish({ key: 'q', body: '5' });
        publish({ key: 'q', body: '6' });
        expect(heir.take()).toEqual(['4', '5']);
        await gone.close();
        const next = await inboxOf('q');
        expect(next.bodies).toEqual(['1', '2', '3', '6']);
      });

      it('is kept when deliveries come back in any order', async () => {
        await session.declareQueue(queueSpec('q'), false);
        for (const body of ['1', '2', '3', '4', '5']) publish({ key: 'q', body });
        const pulled = [];
        for (let count = 0; count < 4; count++) pulled.push(await session.get('q', true));
        for (const index of [2, 0, 3, 1]) pulled[index]?.delivery.settle(Outcome.REQUEUE);
        expect((await inboxOf('q')).bodies).toEqual(['1', '2', '3', '4', '5']);
      });

      it('is kept for what a consumer publishes to its own queue while it is delivered to', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const seen: string[] = [];
        const publisher = session.publisher(new Outbox());
        const deliver = (delivery: Delivery): void => {
          const body = delivery.message.body.toString();
          seen.push(body);
          if (body.length < 3) publisher.publish(message({ key: 'q', body: `${body}+` }), 0, false);
          seen.push(`end ${body}`);
          delivery.settle(Outcome.ACCEPT);
        };
        await session.consume(consumeSpec('q'), { deliver, cancelled: () => {} });
        publish({ key: 'q', body: 'a' });
        expect(seen).toEqual(['a', 'end a', 'a+', 'end a+', 'a++', 'end a++']);
      });
    });

    describe('the end of a session', () => {
      it('hands everything back before anybody gets the first', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const gone = await open();
        const stuck = new Credit(3);
        await inboxOf('q', { credits: [stuck] }, gone);
        const heir = new Inbox();
        const waiting = await session.consume(consumeSpec('q'), heir);
        waiting.pause();
        for (const body of ['1', '2', '3', '4']) publish({ key: 'q', body });
        waiting.resume();
        // The queue has asked to be woken by the credit that is about to come back.
        expect(heir.take()).toEqual(['4']);
        await gone.close();
        expect(heir.bodies).toEqual(['1', '2', '3']);
      });

      it('gives nothing more to its other consumers', async () => {
        for (const queue of ['one', 'two']) {
          await session.declareQueue(queueSpec(queue), false);
          for (const body of ['1', '2']) publish({ key: queue, body });
        }
        const gone = await open();
        const shared = new Credit(2);
        const first = await inboxOf('one', { credits: [shared] }, gone);
        const second = await inboxOf('two', { credits: [shared] }, gone);
        expect([first.bodies, second.bodies]).toEqual([['1', '2'], []]);
        await gone.close();
        expect(second.bodies).toEqual([]);
        expect(delivered(await inboxOf('two'))).toEqual([
          ['1', 0],
          ['2', 0],
        ]);
        expect(shared.outstanding).toBe(0);
      });

      it('makes every later settle of its deliveries do nothing', async () => {
        await session.declareQueue(queueSpec('kept'), false);
        const gone = await open();
        await gone.declareQueue(queueSpec('own', { exclusive: true }), false);
        const [kept, own] = [await inboxOf('kept', {}, gone), await inboxOf('own', {}, gone)];
        publish({ key: 'kept' });
        publish({ key: 'own' });
        await gone.close();
        for (const outcome of [Outcome.REQUEUE, Outcome.REJECT, Outcome.ACCEPT, Outcome.REQUEUE]) {
          taken(kept, 0).settle(outcome);
          taken(own, 0).settle(outcome);
        }
        expect(await ready('kept')).toBe(1);
      });

      it('does not tell its own consumers of its exclusive queues', async () => {
        await session.declareQueue(queueSpec('own', { exclusive: true }), false);
        const inbox = await inboxOf('own');
        await session.close();
        expect(inbox.cancellations).toEqual([]);
      });

      it('deletes an auto-delete queue only with the last of its consumers', async () => {
        await session.declareQueue(queueSpec('q', { autoDelete: true }), false);
        const gone = await open();
        await inboxOf('q', {}, gone);
        await inboxOf('q');
        await gone.close();
        expect(await session.hasQueue('q')).toBe(true);
        const other = await open();
        await session.close();
        expect(await other.hasQueue('q')).toBe(false);
      });
    });

    describe('a deleted queue', () => {
      it('makes every later settle do nothing, more than once', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const inbox = await inboxOf('q');
        publish({ key: 'q' });
        await session.deleteQueue('q', false, false);
        for (const outcome of [Outcome.REQUEUE, Outcome.REQUEUE, Outcome.ACCEPT]) {
          taken(inbox, 0).settle(outcome);
        }
        await session.declareQueue(queueSpec('q'), false);
        await session.close();
        session = await open();
        expect(await ready('q')).toBe(0);
      });

      it('gives back the credit of what is settled late', async () => {
        await session.declareQueue(queueSpec('q'), false);
        await session.declareQueue(queueSpec('other'), false);
        const shared = new Credit(1);
        const inbox = await inboxOf('q', { credits: [shared] });
        const other = await inboxOf('other', { credits: [shared] });
        publish({ key: 'q' });
        publish({ key: 'other', body: 'waits' });
        await session.deleteQueue('q', false, false);
        expect(other.bodies).toEqual([]);
        taken(inbox, 0).settle(Outcome.ACCEPT);
        expect(other.bodies).toEqual(['waits']);
      });
    });

    describe('turns', () => {
      it('stay fair among those behind a consumer of higher priority', async () => {
        await session.declareQueue(queueSpec('q'), false);
        const high = await inboxOf('q', { priority: 9, credits: [new Credit(1)] });
        const [a, b] = [await inboxOf('q'), await inboxOf('q')];
        for (let round = 0; round < 4; round++) {
          publish({ key: 'q', body: 'high' });
          publish({ key: 'q', body: 'low' });
          taken(high, round).settle(Outcome.ACCEPT);
        }
        expect([a.bodies.length, b.bodies.length]).toEqual([2, 2]);
      });

      it('succeed by priority, and among equals in the order of their coming', async () => {
        const single = args({ 'x-single-active-consumer': true });
        await session.declareQueue(queueSpec('q', { arguments: single }), false);
        const names = ['active', 'low', 'first', 'second'];
        const ends = [];
        const inboxes = [];
        for (const [index, priority] of [1, 0, 9, 9].entries()) {
          const inbox = new Inbox();
          const spec = consumeSpec('q', { tag: names[index] ?? '', priority });
          ends.push(await session.consume(spec, inbox));
          inboxes.push(inbox);
        }
        const got: (string | undefined)[] = [];
        for (const at of [0, 2, 3, 1]) {
          publish({ key: 'q', body: 'm' });
          got.push(names[inboxes.findIndex(({ bodies }) => bodies.length > 0)]);
          inboxes[at]?.take();
          await ends[at]?.cancel();
        }
        expect(got).toEqual(['active', 'first', 'second', 'low']);
      });

      it('refuse an exclusive consumer where one at a time is active anyway', async () => {
        const single = args({ 'x-single-active-consumer': true });
        await session.declareQueue(queueSpec('q', { arguments: single }), false);
        await expect(inboxOf('q', { exclusive: true })).rejects.toThrow('in exclusive use');
      });
    });

    describe('limits', () => {
      it('let consumers take what they can before anything is dropped', async () => {
        const bound = args({ 'x-max-length': 0 });
        await session.declareQueue(queueSpec('q', { arguments: bound }), false);
        publish({ key: 'q', body: 'nobody there' });
        const inbox = await inboxOf('q');
        publish({ key: 'q', body: 'handed over' });
        expect(inbox.bodies).toEqual(['handed over']);
      });

      it('hold for what comes back, too', async () => {
        const bound = args({ 'x-max-length': 1 });
        await session.declareQueue(queueSpec('q', { arguments: bound }), false);
        const pulled = [];
        for (const body of ['1', '2', '3']) {
          publish({ key: 'q', body });
          pulled.push(await session.get('q', true));
        }
        for (const each of pulled) each?.delivery.settle(Outcome.REQUEUE);
        expect((await inboxOf('q')).bodies).toEqual(['3']);
      });

      it('count the bytes of bodies that wait', async () => {
        const bound = args({ 'x-max-length-bytes': 5 });
        await session.declareQueue(queueSpec('q', { arguments: bound }), false);
        for (const body of ['abc', 'de', 'f']) publish({ key: 'q', body });
        expect((await inboxOf('q')).bodies).toEqual(['de', 'f']);
      });

      it('give up the lowest priority first', async () => {
        const bound = args({ 'x-max-length': 2, 'x-max-priority': 3 });
        await session.declareQueue(queueSpec('q', { arguments: bound }), false);
        publish({ key: 'q', body: 'low', priority: 0 });
        publish({ key: 'q', body: 'high', priority: 3 });
        publish({ key: 'q', body: 'middle', priority: 1 });
        expect((await inboxOf('q')).bodies).toEqual(['high', 'middle']);
      });

      it('dead-letter what they refuse, where asked to', async () => {
        const bound = args({
          'x-max-length': 1,
          'x-overflow': 'reject-publish-dlx',
          'x-dead-letter-exchange': '',
          'x-dead-letter-routing-key': 'rest',
        });
        await session.declareQueue(queueSpec('q', { arguments: bound }), false);
        await session.declareQueue(queueSpec('rest'), false);
        publish({ key: 'q', body: 'kept' });
        expect(publish({ key: 'q', body: 'refused' }, 1)).toEqual(['1 REFUSED']);
        expect((await inboxOf('rest')).bodies).toEqual(['refused']);
      });
    });

    describe('expiry', () => {
      beforeEach(async () => {
        const to = args({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' });
        await session.declareQueue(queueSpec('q', { arguments: to }), false);
        await session.declareQueue(queueSpec('dead'), false);
      });

      it('happens in time to one that comes to the head later', async () => {
        publish({ key: 'q', body: 'stays' });
        publish({ key: 'q', body: 'expires', expiresAt: subject.clock.now() + 100 });
        await session.get('q', false);
        subject.clock.advance(100);
        expect([await ready('q'), await ready('dead')]).toEqual([0, 1]);
      });

      it('happens in time to one that comes back before a longer-lived one', async () => {
        const { clock } = subject;
        publish({ key: 'q', body: 'short', expiresAt: clock.now() + 100 });
        publish({ key: 'q', body: 'long', expiresAt: clock.now() + 1000 });
        const pulled = await session.get('q', true);
        clock.advance(50);
        pulled?.delivery.settle(Outcome.REQUEUE);
        clock.advance(50);
        expect([await ready('q'), await ready('dead')]).toEqual([1, 1]);
      });

      it('leaves alone what is lent, and catches it when it comes back', async () => {
        publish({ key: 'q', body: 'late', expiresAt: subject.clock.now() + 100 });
        const pulled = await session.get('q', true);
        subject.clock.advance(200);
        expect(await ready('dead')).toBe(0);
        pulled?.delivery.settle(Outcome.REQUEUE);
        subject.clock.advance(0);
        expect([await ready('q'), await ready('dead')]).toEqual([0, 1]);
      });

      it('with a time of zero hands over to who waits, and dead-letters otherwise', async () => {
        const ttl = args({ 'x-message-ttl': 0, 'x-dead-letter-exchange': 'amq.fanout' });
        await session.declareQueue(queueSpec('now', { arguments: ttl }), false);
        await session.bind(binding('amq.fanout', 'dead', ''));
        publish({ key: 'now', body: 'nobody' });
        subject.clock.advance(0);
        expect(await ready('dead')).toBe(1);
        const inbox = await inboxOf('now');
        publish({ key: 'now', body: 'somebody' });
        expect(inbox.bodies).toEqual(['somebody']);
      });
    });

    describe('declaring', () => {
      const refusal = async (call: () => unknown): Promise<string> => {
        try {
          await call();
          return 'allowed';
        } catch (error) {
          return (error as { code: string }).code;
        }
      };

      it('takes another exclusiveness for a lock', async () => {
        await session.declareQueue(queueSpec('open'), false);
        await session.declareQueue(queueSpec('own', { exclusive: true }), false);
        expect(
          await refusal(() => session.declareQueue(queueSpec('open', { exclusive: true }), false)),
        ).toBe('resource-locked');
        expect(await refusal(() => session.declareQueue(queueSpec('own'), false))).toBe(
          'resource-locked',
        );
      });

      it('refuses the default exchange, even to ask for it', async () => {
        expect(await refusal(() => session.declareExchange(exchangeSpec('', 'direct'), true))).toBe(
          'access-refused',
        );
      });
    });

    describe('transactions', () => {
      it('do nothing where one message may not be published', async () => {
        await session.declareQueue(queueSpec('q'), false);
        await session.declareExchange(exchangeSpec('inside', 'fanout', { internal: true }), false);
        const all = [{ key: 'q' }, { exchange: 'inside' }].map((parts) => ({
          message: message(parts),
          tag: 1,
          mandatory: false,
        }));
        const outbox = new Outbox();
        await expect(async () => session.commit(all, [], outbox)).rejects.toThrow(
          'internal exchange',
        );
        expect([await ready('q'), outbox.events]).toEqual([0, []]);
      });
    });
  });
}
