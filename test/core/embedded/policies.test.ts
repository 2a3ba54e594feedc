/** Policies over restarts, those of the configuration, and how they are merged. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { effectiveArguments, mergeDefinitions } from '../../../core/embedded/policy-keys.ts';
import type { Session } from '../../../core/engine.ts';
import { ConfigError } from '../../../core/errors.ts';
import type { Limits } from '../../../core/limits.ts';
import type { HeaderValue } from '../../../core/message.ts';
import type {
  ConfiguredPolicy,
  PolicyDefinition,
  PolicyKind,
  PolicyRequest,
} from '../../../core/policy.ts';
import { LateStore } from '../../support/late-store.ts';
import { message } from '../../support/messages.ts';
import { Outbox } from '../../support/recorder.ts';
import { createWorld, type World } from '../../support/world.ts';
import { args, exchangeSpec, queueSpec } from '../engine-contract.ts';

let store: LateStore;
let world: World;
let session: Session;

function start(policies: readonly ConfiguredPolicy[] = [], limits: Partial<Limits> = {}): void {
  world = createWorld({ store, policies, limits, ...(world && { clock: world.clock }) });
  session = world.engine.open('/', world.principal('guest'));
}

function request(definition: unknown, parts: Partial<PolicyRequest> = {}): PolicyRequest {
  return { name: 'p', pattern: '^q', applyTo: 'all', priority: 0, definition, ...parts };
}

function set(definition: unknown, parts: Partial<PolicyRequest> = {}): void {
  world.engine.admin.setPolicy('/', 'user', request(definition, parts));
}

function configured(
  definition: PolicyDefinition,
  parts: Partial<ConfiguredPolicy> = {},
): ConfiguredPolicy {
  const usual = { vhost: '/', kind: 'user', name: 'p', pattern: '^q', applyTo: 'all' } as const;
  return { ...usual, priority: 0, definition, ...parts };
}

function declare(name: string, values: Readonly<Record<string, HeaderValue>> = {}): void {
  void session.declareQueue(queueSpec(name, { durable: true, arguments: args(values) }), false);
}

function publish(key: string, body: string): void {
  const parts = { key, body, durable: true, receivedAt: world.clock.now() };
  session.publisher(new Outbox()).publish(message(parts), 0, false);
}

function ready(name = 'q'): number | undefined {
  return [...world.engine.admin.queues('/')].find((view) => view.name === name)?.ready;
}

function names(): readonly (string | null)[] {
  return [...world.engine.admin.queues('/')].map(({ policy }) => policy);
}

beforeEach(() => {
  store = new LateStore();
  start();
});

describe('after a restart', () => {
  it('policies are there, and count for what is there', () => {
    declare('q');
    void session.declareExchange(exchangeSpec('qx', 'fanout', { durable: true }), false);
    set({ 'max-length': 2, 'dead-letter-exchange': 'x' }, { priority: 3, applyTo: 'queues' });
    set({ 'alternate-exchange': 'amq.fanout' }, { name: 'x', applyTo: 'exchanges' });
    world.engine.admin.setPolicy('/', 'operator', request({ 'max-length': 1 }, { name: 'o' }));
    const [before, bounds] = (['user', 'operator'] as const).map((kind) =>
      world.engine.admin.policies('/', kind),
    );
    start();
    expect(world.engine.admin.policies('/', 'user')).toEqual(before);
    expect(world.engine.admin.policies('/', 'operator')).toEqual(bounds);
    for (const body of ['1', '2', '3']) publish('q', body);
    expect([ready(), names()]).toEqual([1, ['p']]);
    expect([...world.engine.admin.exchanges('/')].find(({ name }) => name === 'qx')).toMatchObject({
      policy: 'x',
      effectivePolicyDefinition: { 'alternate-exchange': 'amq.fanout', 'max-length': 1 },
    });
  });

  it('one that was cleared is gone', () => {
    declare('q');
    set({ 'max-length': 1 });
    world.engine.admin.clearPolicy('/', 'user', 'p');
    start();
    expect([world.engine.admin.policies('/', 'user'), names()]).toEqual([[], [null]]);
  });

  it('what a policy gave a queue to live goes on', () => {
    set({ expires: 100_000 });
    declare('q');
    world.clock.advance(60_000);
    world.engine.stop();
    start();
    world.clock.advance(39_999);
    expect(ready()).toBe(0);
    world.clock.advance(1);
    expect(ready()).toBeUndefined();
  });

  it('a stream keeps what a policy lets it keep, and its declaration would not', () => {
    const small = { 'x-max-length-bytes': 100, 'x-stream-max-segment-size-bytes': 50 };
    set({ 'max-length-bytes': 100_000 });
    declare('q', { 'x-queue-type': 'stream', ...small });
    for (let n = 0; n < 20; n++) publish('q', 'x'.repeat(60));
    store.answer();
    expect(ready()).toBe(20);
    start();
    expect(ready()).toBe(20);
    world.engine.admin.clearPolicy('/', 'user', 'p');
    expect(ready()).toBeLessThan(5);
  });
});

describe('a policy of the configuration', () => {
  it('stands in for the stored one of its name, which is there again without it', () => {
    declare('q');
    set({ 'max-length': 5 });
    start([configured({ 'max-length': 1 })]);
    for (const body of ['1', '2', '3']) publish('q', body);
    expect(ready()).toBe(1);
    expect(world.engine.admin.policies('/', 'user')).toMatchObject([{ configured: true }]);
    start();
    for (const body of ['1', '2', '3']) publish('q', body);
    expect(ready()).toBeGreaterThan(1);
    expect(world.engine.admin.policies('/', 'user')).toMatchObject([
      { configured: false, definition: { 'max-length': 5 } },
    ]);
  });

  it('is not changed while the gateway runs; the same again is no change', () => {
    start([configured({ 'max-length': 1 }), configured({ 'max-length': 1 }, { kind: 'operator' })]);
    const refused = "policy 'p' in vhost '/' stands in the configuration file";
    expect(() => set({ 'max-length': 1 })).not.toThrow();
    expect(() => set({ 'max-length': 2 })).toThrow(refused);
    expect(() => world.engine.admin.clearPolicy('/', 'user', 'p')).toThrow(refused);
    expect(() => world.engine.admin.clearPolicy('/', 'operator', 'p')).toThrow(
      `operator ${refused}`,
    );
  });

  it('that cannot be is a mistake in the file', () => {
    const wrong = (...policies: readonly ConfiguredPolicy[]): unknown => {
      try {
        return createWorld({ policies });
      } catch (error) {
        return error instanceof ConfigError ? error.message : error;
      }
    };
    const good = configured({ 'max-length': 1 });
    const bad = configured({ 'max-length': 'x' });
    expect(wrong(good, bad)).toBe('policies[1]: <<"x">> is not a valid maximum length');
    const bound = configured({ overflow: 'drop-head' }, { kind: 'operator' });
    expect(wrong(good, bound)).toBe(
      'operator_policies[0]: [{<<"overflow">>,<<"drop-head">>}] are not recognised policy settings',
    );
  });
});

describe('a policy too many', () => {
  it('is refused, and one in the place of another is not', () => {
    start([], { policiesMax: 2 });
    set({ 'max-length': 1 }, { name: 'a' });
    set({ 'max-length': 1 }, { name: 'b' });
    expect(() => set({ 'max-length': 1 }, { name: 'c' })).toThrow(
      "cannot set policy 'c': policy limit in vhost '/' (2) is reached",
    );
    set({ 'max-length': 2 }, { name: 'b' });
    world.engine.admin.setPolicy('/', 'operator', request({ 'max-length': 1 }));
    expect(() => set({ 'max-length': 1 }, { name: 'n'.repeat(256) })).toThrow(/longer than 255/);
  });
});

describe('a value that cannot be', () => {
  const cases: readonly (readonly [PolicyKind, unknown, string])[] = [
    ['user', {}, 'no policy provided'],
    ['user', [], 'no policy provided'],
    ['user', [1], 'definition must be a dictionary: [1]'],
    [
      'operator',
      'x',
      'parse error while reading policy definition: <<"x">>. Validator: operator_policy_validator.',
    ],
    ['user', { 'max-length': -1, 'message-ttl': 'x' }, '-1 is not a valid maximum length'],
    ['user', { 'stream-filter-size-bytes': 15 }, '15 is not a valid stream filter size'],
    ['operator', { 'target-group-size': 0 }, '0 is not a valid target group size'],
    ['user', { 'message-ttl': 1.5 }, '1.5 is not a valid message TTL'],
    ['user', { 'message-ttl': 1e12 }, '1000000000000 is not a valid message TTL'],
    ['user', { expires: 0 }, '0 is not a valid queue expiry'],
    ['user', { overflow: 'z', bad: 2 }, '<<"z">> is not a valid overflow value'],
    ['user', { 'max-age': '1x' }, '<<"1x">> is not a valid max age'],
    ['user', { 'dead-letter-exchange': 5 }, '5 is not a valid dead letter exchange name'],
    ['user', { 'queue-version': 3 }, '3 is not a valid queue-version value'],
    ['user', { 'message-deduplication': 'yes' }, '<<"yes">> is not a valid flag'],
    ['user', { 'queue-master-locator': 'z' }, '<<"z">> invalid queue-master-locator value'],
    [
      'user',
      { 'queue-master-locator': 'z', 'max-length': 'z' },
      '<<"z">> invalid queue-master-locator value',
    ],
    ['user', { 'ha-mode': 'z', 'max-length': 'x' }, '<<"x">> is not a valid maximum length'],
    ['user', { 'ha-mode': 'z' }, '<<"z">> is not a valid ha-mode value'],
    ['user', { 'ha-mode': 'exactly' }, 'ha-mode="exactly" takes an integer, none given'],
    ['user', { 'ha-mode': 'all', 'ha-params': 1 }, 'ha-mode="all" does not take parameters'],
    ['user', { 'ha-mode': 'nodes', 'ha-params': [] }, 'ha-mode="nodes" list must be non-empty'],
    ['user', { 'ha-mode': 'nodes', 'ha-params': 1 }, 'ha-mode="nodes" takes a list, 1 given'],
    [
      'user',
      { 'ha-mode': 'all', 'ha-sync-mode': 'z' },
      'ha-sync-mode must be "manual" or "automatic", got <<"z">>',
    ],
    [
      'user',
      { 'ha-mode': 'all', 'ha-sync-batch-size': 0 },
      'ha-sync-batch-size takes an integer greater than 0, 0 given',
    ],
    [
      'user',
      { 'ha-params': 1 },
      'ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown',
    ],
    ['user', { constructor: 1 }, '[{<<"constructor">>,1}] are not recognised policy settings'],
  ];

  it.each(cases)('is refused: %s %j', (kind, definition, problem) => {
    expect(() => world.engine.admin.setPolicy('/', kind, request(definition))).toThrow(
      `Validation failed\n\n${problem}\n`,
    );
    expect(world.engine.admin.policies('/', kind)).toEqual([]);
  });
});

describe('any sequence of changes', () => {
  const KINDS = ['classic', 'quorum', 'stream'] as const;
  const change = fc.record({
    kind: fc.constantFrom<PolicyKind>('user', 'operator'),
    name: fc.constantFrom('a', 'b', 'c'),
    pattern: fc.constantFrom('', '^q', '1$', 'x', '^[qx]2'),
    applyTo: fc.constantFrom('all', 'exchanges', 'queues', 'quorum_queues', 'streams'),
    priority: fc.nat(2),
    definition: fc.constantFrom<PolicyDefinition>(
      { 'max-length': 3 },
      { 'max-length-bytes': 300 },
      { 'delivery-limit': 2, 'message-ttl': 1000 },
    ),
    clears: fc.boolean(),
  });
  const views = ({ engine }: World): unknown[] =>
    [...engine.admin.queues('/'), ...engine.admin.exchanges('/')].map(
      ({ name, policy, operatorPolicy, effectivePolicyDefinition: definition }) => [
        ...[name, policy, operatorPolicy],
        definition,
      ],
    );

  it('leaves exchanges and queues as if they were declared after it', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
        const [live, later] = [createWorld(), createWorld()];
        const declareAll = (into: World): void => {
          const by = into.engine.open('/', into.principal('guest'));
          for (const [index, type] of [...KINDS, ...KINDS].entries()) {
            const values = args({ 'x-queue-type': type });
            by.declareQueue(queueSpec(`q${index}`, { durable: true, arguments: values }), false);
            by.declareExchange(exchangeSpec(`x${index}`, 'fanout'), false);
          }
        };
        declareAll(live);
        for (const { kind, clears, ...policy } of changes) {
          for (const { engine } of [live, later]) {
            const known = engine.admin.policies('/', kind).some(({ name }) => name === policy.name);
            if (!clears) engine.admin.setPolicy('/', kind, policy);
            else if (known) engine.admin.clearPolicy('/', kind, policy.name);
          }
        }
        declareAll(later);
        expect(views(live)).toEqual(views(later));
      }),
    );
  });
});

describe('merging', () => {
  const count = fc.nat(10);
  const bounds = fc.dictionary(
    fc.constantFrom('max-length', 'message-ttl', 'expires', 'delivery-limit', 'max-length-bytes'),
    count,
  );

  it('of users and operators takes every setting, and the smaller of two', () => {
    fc.assert(
      fc.property(bounds, bounds, (user, operator) => {
        const merged = mergeDefinitions(user, operator);
        const keys = new Set([...Object.keys(user), ...Object.keys(operator)]);
        expect(Object.keys(merged)).toEqual([...keys].sort());
        for (const [key, value] of Object.entries(merged)) {
          expect(value).toBe(Math.min(user[key] ?? Infinity, operator[key] ?? Infinity));
        }
      }),
    );
  });

  it('goes by who says it where there is no smaller', () => {
    const of = (value: number): PolicyDefinition => ({
      'target-group-size': value,
      'queue-version': value,
    });
    expect(mergeDefinitions(of(1), of(2))).toEqual(of(2));
    expect(mergeDefinitions(of(2), of(1))).toEqual({ 'target-group-size': 2, 'queue-version': 1 });
  });

  it('with arguments never loosens what was declared, and keeps what no policy says', () => {
    fc.assert(
      fc.property(bounds, bounds, (declared, definition) => {
        const own = new Map(Object.entries(declared).map(([key, value]) => [`x-${key}`, value]));
        const accepts = [...own.keys(), ...Object.keys(definition).map((key) => `x-${key}`)];
        const effective = effectiveArguments(own, definition, 'classic', accepts);
        for (const key of new Set([...Object.keys(declared), ...Object.keys(definition)])) {
          const least = Math.min(declared[key] ?? Infinity, definition[key] ?? Infinity);
          expect(effective.get(`x-${key}`)).toBe(least);
        }
        expect(effectiveArguments(own, definition, 'classic', [])).toEqual(own);
      }),
    );
  });
});
