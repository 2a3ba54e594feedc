/**
 * Random clients of one embedded engine, drawn from a seed, against the model: what is published,
 * consumed, settled, cancelled and closed in any order, also from within deliveries.
 */
import assert from 'node:assert/strict';
import {
  type ConsumeSpec,
  Credit,
  type Delivery,
  Fate,
  Outcome,
  type Publisher,
  type Session,
  type Subscription,
} from '../../core/engine.ts';
import { BrokerError } from '../../core/errors.ts';
import type { HeaderValue } from '../../core/message.ts';
import type { Store } from '../../core/store.ts';
import { message } from '../support/messages.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { createWorld, type World } from '../support/world.ts';
import { Model, type ModelConsumer, type ModelEntry, type ModelQueue } from './model.ts';

interface Client {
  readonly number: number;
  readonly session: Session;
  readonly publisher: Publisher;
  readonly shared: Credit;
  closed: boolean;
}

interface Reader {
  readonly model: ModelConsumer;
  readonly client: Client;
  subscription: Subscription | null;
  /** What it does with a delivery at once. */
  readonly habit: 'hold' | 'accept' | 'requeue' | 'echo' | 'cancel' | 'close';
}

interface Held {
  readonly entry: ModelEntry | null;
  readonly delivery: Delivery;
  readonly client: Client;
}

type Kind = Omit<ModelQueue, 'name' | 'owner' | 'ready' | 'lent' | 'consumers' | 'deleted'>;

const PLAIN: Kind = {
  autoDelete: false,
  durable: false,
  ttlMs: null,
  maxLength: null,
  rejects: false,
  priorities: false,
  single: false,
  buries: false,
};

/** Queues that may come and go, each with its own nature. */
const KINDS: Readonly<Record<string, Kind>> = {
  plain: PLAIN,
  durable: { ...PLAIN, durable: true },
  short: { ...PLAIN, ttlMs: 30, buries: true, durable: true },
  few: { ...PLAIN, maxLength: 3, buries: true, durable: true },
  full: { ...PLAIN, maxLength: 2, rejects: true, durable: true },
  ranked: { ...PLAIN, priorities: true, maxLength: 5, buries: true },
  single: { ...PLAIN, single: true, durable: true },
  auto: { ...PLAIN, autoDelete: true, durable: true },
  own: PLAIN,
  dead: PLAIN,
};
const NAMES = Object.keys(KINDS);
const KEYS = ['a', 'b', 'a.b', 'b.a', 'a.b.a', ''];
const PATTERNS = ['#', 'a.#', '*.b', 'a', '#.a', 'b.*'];
/** Not bound to: what these refuse is foretold for the default exchange only. */
const UNBOUND = new Set(['full', 'dead']);

export class Simulation {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #model: Model;
  readonly #flush: () => void;
  readonly #clients: Client[] = [];
  readonly #readers: Reader[] = [];
  #held: Held[] = [];
  #messages = 0;
  #nesting = 0;
  /** Tags that wait for their fate, which is foretold. */
  readonly #awaited = new Map<number, { readonly client: Client; readonly fate: Fate }>();

  constructor(seed: number, store: Store | null, flush: () => void) {
    this.#random = new SeededRandom(seed);
    const limits = {
      dispatchBatchMax: 1 + this.#random.below(5),
      queueWindowBytes: this.#random.pick([0, 500, 1500, 1e6]),
    };
    this.#world = createWorld({ seed, limits, ...(store === null ? {} : { store }) });
    this.#model = new Model(() => this.#world.clock.now());
    this.#flush = flush;
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      this.#step();
      this.#world.clock.advance(0);
      this.#check();
    }
    this.#end();
  }

  #step(): void {
    const client = this.#clients.filter((each) => !each.closed)[this.#random.below(4)];
    if (client === undefined) {
      this.#open();
      return;
    }
    const actions: readonly (readonly [weight: number, act: () => void])[] = [
      [35, () => this.#publish(client)],
      [20, () => this.#settle()],
      [10, () => this.#declare(client)],
      [8, () => this.#consume(client)],
      [4, () => this.#bind(client)],
      [5, () => this.#toggle()],
      [4, () => this.#get(client)],
      [3, () => this.#cancel(this.#random.pick([...this.#readers, null]))],
      [3, () => this.#wait(this.#random.below(25))],
      [2, () => this.#flush()],
      [2, () => this.#purge(client)],
      [1, () => this.#delete(client)],
      [1, () => this.#window(client)],
      [2, () => this.#close(client)],
    ];
    let draw = this.#random.below(100);
    for (const [weight, act] of actions) {
      draw -= weight;
      if (draw >= 0) continue;
      act();
      return;
    }
  }

  #wait(ms: number): void {
    for (let passed = 0; passed < ms; passed++) {
      this.#world.clock.advance(1);
      this.#check();
    }
  }

  #open(): void {
    const session = this.#world.engine.open('/', this.#world.principal('guest'));
    const client: Client = {
      number: this.#clients.length,
      session,
      publisher: session.publisher({
        settled: (tag, fate) => this.#settled(client, tag, fate),
        returned: () => assert.fail('nothing is mandatory'),
        writable: () => {},
      }),
      shared: new Credit(1 + this.#random.below(4)),
      closed: false,
    };
    this.#clients.push(client);
  }

  #settled(client: Client, tag: number, fate: Fate): void {
    assert(!client.closed, 'nobody is told anything after the close');
    const foretold = this.#awaited.get(tag);
    assert(foretold !== undefined, `tag ${tag} is settled once`);
    assert.equal(fate, foretold.fate, `fate of ${tag}`);
    this.#awaited.delete(tag);
  }

  #publish(client: Client): void {
    const exchange = this.#random.pick(['', '', 'amq.fanout', 'amq.topic']);
    const key = exchange === '' ? this.#random.pick(NAMES) : this.#random.pick(KEYS);
    this.#send(client, exchange, key);
  }

  #send(client: Client, exchange: string, key: string): void {
    const id = `m${++this.#messages}`;
    const targets = this.#model.targets(exchange, key);
    const priority = this.#random.below(5);
    const expiresAt =
      this.#random.below(5) === 0 ? this.#world.clock.now() + 1 + this.#random.below(40) : 0;
    const durable = this.#random.below(2) === 0;
    const tag = client.closed || this.#random.below(2) === 0 ? 0 : this.#messages;
    let fate: Fate = targets.length === 0 ? Fate.UNROUTABLE : Fate.CONFIRMED;
    for (const name of targets) {
      const queue = this.#queue(name);
      if (this.#model.full(queue)) fate = Fate.REFUSED;
      else this.#model.add(queue, id, priority, expiresAt);
    }
    if (tag > 0) this.#awaited.set(tag, { client, fate });
    client.publisher.publish(
      message({ body: id, exchange, key, priority, expiresAt, durable }),
      tag,
      false,
    );
  }

  #declare(client: Client): void {
    const name = this.#random.pick(NAMES);
    const kind = KINDS[name] ?? PLAIN;
    const known = this.#model.queues.get(name);
    const exclusive = name === 'own';
    const owner = exclusive ? client.number : null;
    const values: Record<string, HeaderValue> = {};
    if (kind.ttlMs !== null) values['x-message-ttl'] = kind.ttlMs;
    if (kind.maxLength !== null) values['x-max-length'] = kind.maxLength;
    if (kind.rejects) values['x-overflow'] = 'reject-publish';
    if (kind.priorities) values['x-max-priority'] = 3;
    if (kind.single) values['x-single-active-consumer'] = true;
    if (kind.buries) {
      values['x-dead-letter-exchange'] = '';
      values['x-dead-letter-routing-key'] = 'dead';
    }
    const spec = { name, durable: kind.durable, exclusive, autoDelete: kind.autoDelete };
    const refusal = known !== undefined && known.owner !== owner ? 'resource-locked' : null;
    this.#expect(refusal, () => {
      client.session.declareQueue({ ...spec, arguments: new Map(Object.entries(values)) }, false);
    });
    if (known !== undefined) return;
    this.#model.queues.set(name, {
      ...kind,
      name,
      owner,
      ready: [],
      lent: new Set(),
      consumers: [],
      deleted: false,
    });
  }

  #consume(client: Client): void {
    const name = this.#random.pick(NAMES);
    const queue = this.#model.queues.get(name);
    const credits = this.#random.pick([
      [],
      [new Credit(1 + this.#random.below(3))],
      [client.shared],
      [client.shared, new Credit(2)],
    ]);
    const spec: ConsumeSpec = {
      queue: name,
      tag: '',
      acknowledge: this.#random.below(4) > 0,
      exclusive: this.#random.below(12) === 0,
      priority: this.#random.below(2),
      credits,
      arguments: new Map(),
    };
    const refusal = this.#consumeRefusal(client, queue, spec);
    const { acknowledge, priority, exclusive } = spec;
    const base = { session: client.number, acknowledge, priority, exclusive };
    const reader: Reader = {
      model: {
        ...base,
        queue: queue ?? this.#nowhere(),
        // Windows count what is to be acknowledged.
        credits,
        paused: false,
        gone: false,
      },
      client,
      subscription: null,
      habit: this.#random.pick([
        'hold',
        'hold',
        'hold',
        'accept',
        'requeue',
        'echo',
        'cancel',
        'close',
      ]),
    };
    if (refusal === null) {
      this.#model.join(reader.model);
      this.#readers.push(reader);
    }
    this.#expect(refusal, () => {
      reader.subscription = client.session.consume(spec, {
        deliver: (delivery) => this.#delivered(reader, delivery),
        cancelled: () => assert(reader.model.gone, 'who is cancelled is known to be gone'),
      }) as Subscription;
    });
  }

  #nowhere(): ModelQueue {
    return {
      ...PLAIN,
      name: '',
      owner: null,
      ready: [],
      lent: new Set(),
      consumers: [],
      deleted: true,
    };
  }

  #consumeRefusal(client: Client, queue: ModelQueue | undefined, spec: ConsumeSpec): string | null {
    if (queue === undefined) return 'not-found';
    if (queue.owner !== null && queue.owner !== client.number) return 'resource-locked';
    const { consumers, single } = queue;
    if (consumers.some((other) => other.exclusive)) return 'access-refused';
    return spec.exclusive && (single || consumers.length > 0) ? 'access-refused' : null;
  }

  #delivered(reader: Reader, delivery: Delivery): void {
    const { model, client } = reader;
    const id = delivery.message.body.toString();
    assert.equal(delivery.queue, model.queue.name);
    const { consumers, single } = model.queue;
    if (single) assert.equal(consumers[0], model, 'only the active one is given anything');
    const better = this.#model.takers(model.queue).some((each) => each.priority > model.priority);
    assert(!better, 'higher priority goes first');
    this.#model.deliver(model.queue, model, id, delivery.attempts);
    const entry = [...model.queue.lent].find((each) => each.id === id && each.holder === model);
    if (model.acknowledge) this.#held.push({ entry: entry ?? null, delivery, client });
    // What is done at once does not go on for ever.
    if (reader.habit === 'hold' || this.#nesting > 3 || this.#random.below(3) === 0) return;
    this.#nesting++;
    const held = this.#held.find((each) => each.delivery === delivery);
    if (reader.habit === 'echo' && !client.closed) {
      this.#send(client, '', this.#random.pick(['plain', 'durable', 'single']));
    } else if (reader.habit === 'cancel') this.#cancel(reader);
    else if (reader.habit === 'close') this.#close(client);
    else if (held !== undefined && reader.habit === 'accept') this.#finish(held, Outcome.ACCEPT);
    else if (held !== undefined && reader.habit === 'requeue') this.#finish(held, Outcome.REQUEUE);
    this.#nesting--;
  }

  #settle(): void {
    const held = this.#held[this.#random.below(this.#held.length + 1)];
    if (held === undefined) return;
    this.#finish(held, this.#random.pick([0, 0, 1, 2] as const));
  }

  /** Settles, and sometimes settles again, which must do nothing. */
  #finish(held: Held, outcome: Outcome): void {
    this.#held = this.#held.filter((each) => each !== held);
    const { entry, delivery } = held;
    // The session that held it may be gone, and the message with somebody else by now.
    if (entry?.queue.lent.has(entry) === true && entry.attempts === delivery.attempts) {
      if (outcome === Outcome.REQUEUE) this.#model.requeue(entry);
      else {
        entry.queue.lent.delete(entry);
        if (outcome === Outcome.REJECT) this.#model.bury(entry);
      }
    }
    delivery.settle(outcome);
    if (this.#random.below(4) === 0) delivery.settle(this.#random.pick([0, 1, 2] as const));
  }

  #bind(client: Client): void {
    const queue = this.#random.pick(NAMES.filter((name) => !UNBOUND.has(name)));
    const exchange = this.#random.pick(['amq.fanout', 'amq.topic']);
    const key = this.#random.pick(PATTERNS);
    const spec = {
      source: exchange,
      destination: queue,
      toExchange: false,
      routingKey: key,
      arguments: new Map(),
    };
    const known = this.#model.queues.get(queue);
    const foreign = known !== undefined && known.owner !== null && known.owner !== client.number;
    const refusal = known === undefined ? 'not-found' : foreign ? 'resource-locked' : null;
    const same = (each: { exchange: string; queue: string; key: string }): boolean =>
      each.exchange === exchange && each.queue === queue && each.key === key;
    const { bindings } = this.#model;
    if (this.#random.below(3) === 0) {
      // Unbinding what is not there is no mistake.
      this.#expect(bindings.some(same) ? refusal : null, () => client.session.unbind(spec));
      if (refusal === null) this.#model.bindings = bindings.filter((each) => !same(each));
    } else {
      this.#expect(refusal, () => client.session.bind(spec));
      if (refusal === null && !bindings.some(same)) bindings.push({ exchange, queue, key });
    }
  }

  #toggle(): void {
    const reader = this.#random.pick([...this.#readers, null]);
    if (reader === null || reader.subscription === null || reader.client.closed) return;
    reader.model.paused = !reader.model.paused;
    if (reader.model.paused) reader.subscription.pause();
    else reader.subscription.resume();
  }

  #get(client: Client): void {
    const queue = this.#model.queues.get(this.#random.pick(NAMES));
    if (queue === undefined) return;
    if (queue.owner !== null && queue.owner !== client.number) return;
    this.#model.expire(queue);
    const acknowledge = this.#random.below(2) === 0;
    const expected = queue.ready[0];
    const pulled = client.session.get(queue.name, acknowledge) as ReturnType<
      typeof client.session.get
    >;
    assert(!(pulled instanceof Promise));
    assert.equal(pulled === null, expected === undefined);
    if (pulled === null || expected === undefined) return;
    const { delivery } = pulled;
    this.#model.deliver(queue, client.number, delivery.message.body.toString(), delivery.attempts);
    if (acknowledge) this.#held.push({ entry: expected, delivery, client });
    else queue.lent.delete(expected);
    this.#model.expire(queue);
    assert.equal(pulled.remaining, queue.ready.length);
  }

  #cancel(reader: Reader | null): void {
    if (reader === null || reader.subscription === null || reader.client.closed) return;
    const { queue } = reader.model;
    const was = !reader.model.gone;
    this.#model.leave(reader.model);
    if (was) this.#desert(queue);
    void reader.subscription.cancel();
  }

  /** An auto-delete queue goes with its last consumer. */
  #desert(queue: ModelQueue): void {
    if (queue.autoDelete && queue.consumers.length === 0) this.#model.remove(queue);
  }

  #purge(client: Client): void {
    const queue = this.#model.queues.get(this.#random.pick(NAMES));
    if (queue === undefined || (queue.owner !== null && queue.owner !== client.number)) return;
    const count = queue.ready.length;
    queue.ready.length = 0;
    assert.equal(client.session.purgeQueue(queue.name), count);
  }

  #delete(client: Client): void {
    const queue = this.#model.queues.get(this.#random.pick(NAMES));
    if (queue === undefined || (queue.owner !== null && queue.owner !== client.number)) return;
    this.#model.remove(queue);
    void client.session.deleteQueue(queue.name, false, false);
  }

  #window(client: Client): void {
    const limit = this.#random.below(5);
    // Raised only: a lowered one is allowed to be exceeded for a while.
    if (limit === 0 || (client.shared.limit !== 0 && limit > client.shared.limit)) {
      client.shared.limit = limit;
    }
  }

  #close(client: Client): void {
    if (client.closed) return;
    client.closed = true;
    for (const [tag, awaited] of this.#awaited) {
      if (awaited.client === client) this.#awaited.delete(tag);
    }
    const left = this.#readers.filter((each) => each.client === client && !each.model.gone);
    for (const reader of left) this.#model.leave(reader.model);
    for (const queue of [...this.#model.queues.values()]) {
      if (queue.owner === client.number) {
        this.#model.remove(queue);
        continue;
      }
      for (const entry of [...queue.lent]) {
        const { holder } = entry;
        const session = typeof holder === 'number' ? holder : holder?.session;
        if (session === client.number) this.#model.requeue(entry);
      }
    }
    for (const queue of new Set(left.map((reader) => reader.model.queue))) this.#desert(queue);
    client.session.close();
  }

  #queue(name: string): ModelQueue {
    const queue = this.#model.queues.get(name);
    assert(queue !== undefined);
    return queue;
  }

  #expect(refusal: string | null, call: () => void): void {
    try {
      call();
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      assert.equal(error.code, refusal, error.message);
      return;
    }
    assert.equal(null, refusal, 'it was to be refused');
  }

  /** In every pause between two steps the engine and the model agree, and nobody waits who could have. */
  #check(): void {
    const views = new Map([...this.#world.engine.admin.queues('/')].map((v) => [v.name, v]));
    for (const queue of this.#model.queues.values()) {
      this.#model.expire(queue);
      this.#model.trim(queue);
    }
    assert.deepEqual([...views.keys()].sort(), [...this.#model.queues.keys()].sort());
    for (const queue of this.#model.queues.values()) {
      const view = views.get(queue.name);
      const is = [view?.ready, view?.unacknowledged, view?.consumers];
      const ought = [queue.ready.length, queue.lent.size, queue.consumers.length];
      assert.deepEqual(is, ought, `${queue.name}: ready, lent, consumers`);
      const idle = queue.ready.length > 0 ? this.#model.takers(queue) : [];
      assert.equal(idle.length, 0, `somebody could have more of ${queue.name}`);
    }
  }

  #end(): void {
    this.#flush();
    assert.deepEqual([...this.#awaited.keys()], [], 'every tag has its fate');
    for (const client of this.#clients) {
      this.#close(client);
      this.#world.clock.advance(0);
      this.#check();
    }
    this.#open();
    const last = this.#clients[this.#clients.length - 1];
    for (const queue of [...this.#model.queues.values()]) {
      this.#model.remove(queue);
      void last?.session.deleteQueue(queue.name, false, false);
    }
    this.#check();
    const { bytes, ready, unacknowledged, bindings } = this.#world.engine.admin.totals();
    assert.deepEqual([bytes, ready, unacknowledged, bindings], [0, 0, 0, 0], 'nothing is left');
  }
}
