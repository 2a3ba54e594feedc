/** What policies do, on every engine and every store; beside `engineContract`. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Outcome, type QueueSpec, type Session } from '../../core/engine.ts';
import type { HeaderValue } from '../../core/message.ts';
import type { Governed, PolicyKind, PolicyRequest } from '../../core/policy.ts';
import { type MessageParts, message } from '../support/messages.ts';
import { consumeSpec, Inbox, Outbox } from '../support/recorder.ts';
import { PEER } from '../support/world.ts';
import { args, binding, exchangeSpec, queueSpec, type Subject } from './engine-contract.ts';

type Settings = Readonly<Record<string, unknown>>;

const NONE: Governed = { policy: null, operatorPolicy: null, effectivePolicyDefinition: {} };

export function policyContract(name: string, create: () => Subject): void {
  describe(`policy contract: ${name}`, () => {
    let subject: Subject;
    let session: Session;

    const set = (
      definition: unknown,
      parts: Partial<PolicyRequest> = {},
      kind: PolicyKind = 'user',
    ): void => {
      const usual = { name: 'p', pattern: '^q', applyTo: 'all', priority: 0 };
      subject.engine.admin.setPolicy('/', kind, { ...usual, definition, ...parts });
    };
    const bound = (definition: Settings, parts: Partial<PolicyRequest> = {}): void =>
      set(definition, parts, 'operator');
    const clear = (policy = 'p', kind: PolicyKind = 'user'): void =>
      subject.engine.admin.clearPolicy('/', kind, policy);
    const declare = async (
      queue = 'q',
      values: Readonly<Record<string, HeaderValue>> = {},
      parts: Partial<QueueSpec> = {},
    ): Promise<void> => {
      await session.declareQueue(queueSpec(queue, { arguments: args(values), ...parts }), false);
    };
    const declareLasting = (
      type: string,
      values: Readonly<Record<string, HeaderValue>> = {},
    ): Promise<void> => declare('q', { 'x-queue-type': type, ...values }, { durable: true });
    const publish = (parts: MessageParts, tag = 0): string[] => {
      const outbox = new Outbox();
      const now = subject.clock.now();
      session.publisher(outbox).publish(message({ receivedAt: now, ...parts }), tag, false);
      subject.flush();
      return outbox.events;
    };
    const fill = (count: number, queue = 'q'): void => {
      for (let i = 1; i <= count; i++) publish({ key: queue, body: String(i) });
    };
    const left = async (queue = 'q'): Promise<string[]> => {
      const bodies: string[] = [];
      for (;;) {
        const pulled = await session.get(queue, false);
        if (pulled === null) return bodies;
        bodies.push(pulled.delivery.message.body.toString());
      }
    };
    const ready = (queue = 'q'): number | undefined =>
      [...subject.engine.admin.queues('/')].find((view) => view.name === queue)?.ready;
    const governed = (target = 'q'): Governed => {
      const { queues, exchanges } = subject.engine.admin;
      const view = [...queues('/'), ...exchanges('/')].find((each) => each.name === target);
      if (view === undefined) throw new Error(`no '${target}'`);
      const { policy, operatorPolicy, effectivePolicyDefinition } = view;
      return { policy, operatorPolicy, effectivePolicyDefinition };
    };
    const refusal = (call: () => void): string => {
      try {
        call();
        return 'allowed';
      } catch (error) {
        return (error as Error).message;
      }
    };

    beforeEach(async () => {
      subject = create();
      session = await subject.engine.open('/', subject.principal('guest'), PEER);
    });

    describe('which policy counts', () => {
      it('is the one of the highest priority that matches, and says so', async () => {
        set({ 'max-length': 1 }, { name: 'low', priority: 1 });
        set({ 'max-length': 2 }, { name: 'high', priority: 2 });
        set({ 'max-length': 3 }, { name: 'other', priority: 3, pattern: '^other' });
        await declare();
        fill(4);
        expect(governed()).toEqual({
          policy: 'high',
          operatorPolicy: null,
          effectivePolicyDefinition: { 'max-length': 2 },
        });
        expect(await left()).toEqual(['3', '4']);
        clear('high');
        fill(4);
        expect([governed().policy, await left()]).toEqual(['low', ['4']]);
        clear('low');
        fill(4);
        expect([governed(), await left()]).toEqual([NONE, ['1', '2', '3', '4']]);
      });

      it('is of two with the same priority the one whose name comes first', async () => {
        set({ 'max-length': 1 }, { name: 'b' });
        set({ 'max-length': 2 }, { name: 'a' });
        set({ 'max-length': 3 }, { name: 'c' });
        await declare();
        expect(governed().policy).toBe('a');
      });

      it('goes by the name anywhere in it, where the pattern is not anchored', async () => {
        set({ 'max-length': 1 }, { pattern: 'rder' });
        for (const queue of ['orders', 'order', 'odd']) await declare(queue);
        expect(['orders', 'order', 'odd'].map((queue) => governed(queue).policy)).toEqual([
          'p',
          'p',
          null,
        ]);
      });

      it('is another one where a pattern has changed', async () => {
        await declare('q');
        await declare('other');
        set({ 'max-length': 1 });
        set({ 'max-length': 1 }, { pattern: '^other' });
        expect(['q', 'other'].map((queue) => governed(queue).policy)).toEqual([null, 'p']);
      });

      it('goes with its vhost', async () => {
        const { admin } = subject.engine;
        admin.putVhost('shop', {});
        admin.setPolicy('shop', 'user', QUIET);
        admin.setPolicy('shop', 'operator', QUIET);
        admin.deleteVhost('shop');
        admin.putVhost('shop', {});
        expect(
          ['user', 'operator'].map((kind) => admin.policies('shop', kind as PolicyKind)),
        ).toEqual([[], []]);
      });

      it('takes patterns as Perl has them', async () => {
        await declare('Order-1');
        const matches = (pattern: string): boolean => {
          set({ 'max-length': 1 }, { pattern });
          return governed('Order-1').policy !== null;
        };
        expect(
          ['(?i)^order', '\\AOrder\\-\\d\\z', '^[[:alpha:]]+', '(?P<kind>r)'].map(matches),
        ).toEqual([true, true, true, true]);
        expect(['^order', '^[[:digit:]]', 'Order\\z'].map(matches)).toEqual([false, false, false]);
      });

      it('goes by the type of a queue', async () => {
        await declare('qc', {}, { durable: true });
        await declare('qq', { 'x-queue-type': 'quorum' }, { durable: true });
        await declare('qs', { 'x-queue-type': 'stream' }, { durable: true });
        await session.declareExchange(exchangeSpec('qx', 'fanout'), false);
        const all = ['qc', 'qq', 'qs', 'qx'];
        const of = (
          applyTo: string,
          definition: Settings = { 'max-length-bytes': 100 },
        ): string => {
          set(definition, { applyTo });
          return all.filter((target) => governed(target).policy === 'p').join(' ');
        };
        expect(of('all')).toBe('qc qq qs qx');
        expect(of('queues')).toBe('qc qq qs');
        expect(of('exchanges')).toBe('qx');
        expect(of('classic_queues')).toBe('qc');
        expect(of('quorum_queues')).toBe('qq');
        expect(of('streams')).toBe('qs');
        // One setting that a type does not know, and the policy is not for queues of that type.
        expect(of('all', { 'max-length-bytes': 100, 'max-age': '1D' })).toBe('qs qx');
        expect(of('all', { 'max-length-bytes': 100, 'delivery-limit': 1 })).toBe('qq qx');
        expect(of('queues', { 'max-length': 1 })).toBe('qc qq');
        expect(of('queues', { 'ha-mode': 'all' })).toBe('qc');
      });

      it('is for exclusive queues and those without a name too', async () => {
        set({ 'max-length': 1 }, { pattern: '' });
        const status = await session.declareQueue(queueSpec('', { exclusive: true }), false);
        fill(3, status.name);
        expect([governed(status.name).policy, ready(status.name)]).toEqual(['p', 1]);
      });

      it('is of its own vhost alone', async () => {
        set({ 'max-length': 1 });
        const other = await subject.engine.open('other', subject.principal('guest'), PEER);
        await other.declareQueue(queueSpec('q'), false);
        expect([...subject.engine.admin.queues('other')]).toMatchObject([{ policy: null }]);
        expect(subject.engine.admin.policies('other', 'user')).toEqual([]);
      });
    });

    describe('operators', () => {
      it('bound what users and declarations ask for', async () => {
        await declare('q', { 'x-max-length': 3, 'x-message-ttl': 50 });
        set({ 'max-length': 5, 'message-ttl': 200, overflow: 'reject-publish' });
        bound({ 'max-length': 4, 'message-ttl': 100 }, { name: 'o' });
        expect(governed()).toEqual({
          policy: 'p',
          operatorPolicy: 'o',
          effectivePolicyDefinition: {
            'max-length': 4,
            'message-ttl': 100,
            overflow: 'reject-publish',
          },
        });
        fill(5);
        expect(ready()).toBe(3);
        bound({ 'max-length': 1 }, { name: 'o' });
        expect(await left()).toEqual(['1', '2', '3']);
        fill(2);
        expect(ready()).toBe(1);
        clear('p');
        clear('o', 'operator');
        expect(governed()).toEqual(NONE);
      });

      it('may not say what is for users to say', () => {
        expect(refusal(() => bound({ 'dead-letter-exchange': 'x' }))).toBe(
          'Validation failed\n\n' +
            '[{<<"dead-letter-exchange">>,<<"x">>}] are not recognised policy settings\n',
        );
        expect(refusal(() => bound({ 'alternate-exchange': 'x' }))).toMatch(/not recognised/);
      });
    });

    describe('a setting, at once and for what is declared later', () => {
      it('max-length cuts what is there, and dead-letters it', async () => {
        await declare('dead');
        await declare('q', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' });
        fill(4);
        set({ 'max-length': 1 });
        expect([await left(), await left('dead')]).toEqual([['4'], ['1', '2', '3']]);
      });

      it('max-length-bytes cuts what is there', async () => {
        await declare();
        for (const body of ['aaaa', 'bb', 'cc']) publish({ key: 'q', body });
        set({ 'max-length-bytes': 5 });
        expect(await left()).toEqual(['bb', 'cc']);
      });

      it('max-length with overflow refuses what comes, and keeps what is there', async () => {
        await declare();
        fill(3);
        set({ 'max-length': 2, overflow: 'reject-publish' });
        expect(publish({ key: 'q' }, 1)).toEqual(['1 REFUSED']);
        expect(ready()).toBe(3);
        set({ 'max-length': 2 });
        expect(ready()).toBe(2);
      });

      it('message-ttl counts for what comes, while it is there', async () => {
        await declare();
        publish({ key: 'q', body: 'before' });
        set({ 'message-ttl': 100 });
        subject.clock.advance(1000);
        expect(await left()).toEqual(['before']);
        publish({ key: 'q', body: 'under' });
        subject.clock.advance(99);
        expect(ready()).toBe(1);
        subject.clock.advance(1);
        expect(ready()).toBe(0);
        publish({ key: 'q', body: 'still under' });
        clear();
        publish({ key: 'q', body: 'after' });
        subject.clock.advance(1000);
        expect(await left()).toEqual(['after']);
      });

      it('expires makes a queue go, and its time begins when it is set', async () => {
        await declare();
        subject.clock.advance(500);
        set({ expires: 1000 });
        subject.clock.advance(999);
        expect(ready()).toBe(0);
        subject.clock.advance(1);
        expect(ready()).toBeUndefined();
        await declare();
        clear();
        subject.clock.advance(5000);
        expect(ready()).toBe(0);
      });

      it('dead-letter-exchange and -routing-key send what is rejected', async () => {
        await declare('dead');
        await declare();
        const reject = async (): Promise<void> => {
          (await session.get('q', true))?.delivery.settle(Outcome.REJECT);
        };
        set({ 'dead-letter-exchange': '', 'dead-letter-routing-key': 'dead' });
        expect(await session.deadLetters('q')).toBe(true);
        fill(1);
        await reject();
        expect(await left('dead')).toEqual(['1']);
        clear();
        expect(await session.deadLetters('q')).toBe(false);
        fill(1);
        await reject();
        expect(await left('dead')).toEqual([]);
        // A key without an exchange means nothing.
        set({ 'dead-letter-routing-key': 'dead' });
        expect(await session.deadLetters('q')).toBe(false);
      });

      it('delivery-limit gives up what comes back too often', async () => {
        set({ 'delivery-limit': 1 });
        // Of a queue that wants no limit too.
        await declareLasting('quorum', { 'x-delivery-limit': -1 });
        publish({ key: 'q', body: 'poison', durable: true });
        const inbox = new Inbox();
        await session.consume(consumeSpec('q'), inbox);
        inbox.deliveries[0]?.settle(Outcome.REQUEUE);
        inbox.deliveries[1]?.settle(Outcome.REQUEUE);
        expect([inbox.deliveries.length, ready()]).toEqual([2, 0]);
      });

      it('dead-letter-strategy keeps dead letters until they have arrived', async () => {
        await declareLasting('quorum');
        const keeping = { overflow: 'reject-publish', 'dead-letter-strategy': 'at-least-once' };
        set({ ...keeping, 'dead-letter-exchange': '', 'dead-letter-routing-key': 'dead' });
        publish({ key: 'q', body: 'late', durable: true });
        (await session.get('q', true))?.delivery.settle(Outcome.REJECT);
        await declare('dead', {}, { durable: true });
        subject.clock.advance(60_000);
        subject.flush();
        expect(await left('dead')).toEqual(['late']);
      });

      it('bounds what waits for a session that is away', async () => {
        await declare('dead');
        await declareLasting('session', { 'x-max-length': 100 });
        set(
          { 'max-length': 1, 'dead-letter-exchange': '', 'dead-letter-routing-key': 'dead' },
          { applyTo: 'classic_queues' },
        );
        for (const body of ['1', '2', '3']) publish({ key: 'q', body, durable: true });
        expect([await left(), await left('dead')]).toEqual([['3'], ['1', '2']]);
      });

      it('consumer-timeout is what the queue asks of its consumers', async () => {
        await declare('q', { 'x-consumer-timeout': 5000 });
        const subscription = await session.consume(consumeSpec('q'), new Inbox());
        expect(subscription.timeoutMs).toBe(5000);
        set({ 'consumer-timeout': 1000 });
        expect(subscription.timeoutMs).toBe(1000);
        set({ 'consumer-timeout': 9000 });
        expect(subscription.timeoutMs).toBe(5000);
      });

      it('message-deduplication refuses what is there already', async () => {
        await declare();
        set({ 'message-deduplication': true });
        const twin = { key: 'q', headers: { 'x-deduplication-header': 'a' } };
        publish(twin);
        publish(twin);
        expect(ready()).toBe(1);
        clear();
        publish(twin);
        expect(ready()).toBe(2);
      });

      it('delayed-retry-… makes what comes back wait', async () => {
        await declare();
        set({ 'delayed-retry-type': 'all', 'delayed-retry-min': 100, 'delayed-retry-max': 100 });
        fill(1);
        const inbox = new Inbox();
        await session.consume(consumeSpec('q'), inbox);
        inbox.deliveries[0]?.settle(Outcome.REQUEUE);
        expect(inbox.deliveries).toHaveLength(1);
        subject.clock.advance(100);
        expect(inbox.deliveries).toHaveLength(2);
      });

      it('alternate-exchange takes what an exchange has no way for', async () => {
        await declare();
        await session.declareExchange(exchangeSpec('spare', 'fanout'), false);
        await session.bind(binding('spare', 'q', ''));
        await session.declareExchange(exchangeSpec('orders', 'direct'), false);
        set({ 'alternate-exchange': 'spare' }, { pattern: '^orders', applyTo: 'exchanges' });
        publish({ exchange: 'orders', key: 'nowhere', body: 'live' });
        await session.declareExchange(exchangeSpec('orders-2', 'direct'), false);
        publish({ exchange: 'orders-2', key: 'nowhere', body: 'later' });
        const own = args({ 'alternate-exchange': 'amq.fanout' });
        await session.declareExchange(
          exchangeSpec('orders-3', 'direct', { arguments: own }),
          false,
        );
        publish({ exchange: 'orders-3', key: 'nowhere', body: 'own' });
        expect(await left()).toEqual(['live', 'later']);
        clear();
        publish({ exchange: 'orders', key: 'nowhere', body: 'gone' });
        expect(await left()).toEqual([]);
      });

      it('alternate-exchange is nothing to the default exchange', async () => {
        await declare();
        await session.bind(binding('amq.fanout', 'q', ''));
        set({ 'alternate-exchange': 'amq.fanout' }, { pattern: '' });
        publish({ key: 'nowhere' });
        expect([governed('').policy, await left()]).toEqual(['p', []]);
      });

      it('stands behind an argument, or before it, as RabbitMQ has it for each type', async () => {
        await declare('dead');
        const own = {
          'x-overflow': 'drop-head',
          'x-dead-letter-exchange': '',
          'x-dead-letter-routing-key': 'dead',
        };
        const asked = {
          'max-length': 1,
          overflow: 'reject-publish',
          'dead-letter-exchange': 'nowhere',
          'dead-letter-routing-key': 'nowhere',
        };
        set(asked);
        await declare('q', own);
        fill(2);
        expect([await left(), await left('dead')]).toEqual([['2'], ['1']]);
        await session.deleteQueue('q', false, false);
        await declareLasting('quorum', own);
        publish({ key: 'q', body: '1', durable: true });
        expect(publish({ key: 'q', body: '2', durable: true }, 1)).toEqual(['1 REFUSED']);
        expect([await left(), await left('dead')]).toEqual([['1'], []]);
      });

      it('is taken where it has no meaning in one process', async () => {
        await declare();
        set({ 'ha-mode': 'exactly', 'ha-params': 2, 'ha-sync-mode': 'automatic' });
        expect(governed().effectivePolicyDefinition).toMatchObject({ 'ha-params': 2 });
        set({ 'queue-mode': 'lazy', 'queue-master-locator': 'min-masters', 'queue-version': 2 });
        fill(2);
        expect([governed().policy, await left()]).toEqual(['p', ['1', '2']]);
      });
    });

    describe('streams', () => {
      it('are cut by max-length-bytes and max-age, whatever they were declared with', async () => {
        await declareLasting('stream', {
          'x-stream-max-segment-size-bytes': 100,
          'x-max-length-bytes': 100_000,
        });
        const body = 'x'.repeat(60);
        for (let i = 0; i < 20; i++) publish({ key: 'q', body, durable: true });
        expect(ready()).toBe(20);
        set({ 'max-length-bytes': 300 });
        const cut = ready() ?? 0;
        expect(cut).toBeLessThan(8);
        set({ 'max-age': '1m' });
        subject.clock.advance(61_000);
        publish({ key: 'q', body, durable: true });
        publish({ key: 'q', body, durable: true });
        publish({ key: 'q', body, durable: true });
        expect(ready()).toBeLessThanOrEqual(4);
      });
    });

    describe('what is asked for', () => {
      it('is listed as it was set, and stands in for the one of its name', () => {
        set({ 'max-length': 1 }, { priority: 7, applyTo: 'queues' });
        set({ 'max-length': 2 });
        const [listed, ...others] = subject.engine.admin.policies('/', 'user');
        expect([listed, others]).toEqual([
          {
            name: 'p',
            pattern: '^q',
            applyTo: 'all',
            priority: 0,
            definition: { 'max-length': 2 },
            configured: false,
          },
          [],
        ]);
        clear();
        expect(subject.engine.admin.policies('/', 'user')).toEqual([]);
      });

      it('is refused in RabbitMQ’s words', () => {
        const wrong = { pattern: '(', applyTo: 'zz', priority: 'x' };
        expect(refusal(() => set({ foo: 1, bar: ['a'] }, wrong)).split('\n')).toEqual([
          'Validation failed',
          '',
          '[{<<"bar">>,[<<"a">>]},{<<"foo">>,1}] are not recognised policy settings',
          "apply-to 'zz' unrecognised; should be one of: 'queues', 'classic_queues', " +
            "'quorum_queues', 'streams', 'exchanges', or 'all'",
          expect.stringContaining('pattern should be regular expression but is invalid: '),
          'priority should be a number, actually was <<"x">>',
          '',
        ]);
        expect(refusal(() => clear('zork'))).toBe('Parameter does not exist');
        expect(refusal(() => subject.engine.admin.setPolicy('no', 'user', QUIET))).toBe(
          'vhost no not found',
        );
      });
    });
  });
}

const QUIET: PolicyRequest = {
  name: 'p',
  pattern: '',
  applyTo: 'all',
  priority: 0,
  definition: { 'max-length': 1 },
};
