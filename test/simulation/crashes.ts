/**
 * Clients of one engine on the durable store, whose disk fails, is full, answers late, and whose process
 * dies at any moment, drawn from a seed. A ledger knows what must, may and must not be there: what was
 * confirmed is safe from then on, and each restart is held against it.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { Credit, type Delivery, Fate, Outcome, type Session } from '../../core/engine.ts';
import { SILENT_LOG } from '../../core/log.ts';
import { Registry } from '../../core/registry.ts';
import { LmdbStore } from '../../core/store/lmdb.ts';
import { FaultyDisk } from '../support/faulty-disk.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { message, PLAIN_FORMAT } from '../support/messages.ts';
import { consumeSpec } from '../support/recorder.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { createWorld, type World } from '../support/world.ts';
import { Ledger, type LedgerCopy } from './ledger.ts';

/** Each with its arguments; all are durable. */
const QUEUES: Readonly<Record<string, Readonly<Record<string, string | number>>>> = {
  plain: {},
  other: {},
  full: { 'x-max-length': 5, 'x-overflow': 'reject-publish' },
  work: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' },
  dead: {},
};
const NAMES = Object.keys(QUEUES);
const STREAM = 'log';
const GROUP = 'readers';
const NO_SPACE = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
const BROKEN = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });

interface Held {
  readonly copy: LedgerCopy;
  readonly delivery: Delivery;
}

export class CrashSimulation {
  readonly #random: SeededRandom;
  #disk: FaultyDisk;
  readonly #limits: { queueWindowBytes: number };
  /** Segments and checkpoints of so many bytes; what a checkpoint has is not in memory. */
  readonly #bytes: number;
  readonly #ledger = new Ledger();
  #directory = mkdtempSync(join(tmpdir(), 'rosettamq-'));
  #clock = new ManualClock();
  #world!: World;
  #store!: LmdbStore;
  #session!: Session;
  #held: Held[] = [];
  #stream: Delivery[] = [];
  /** Counts the processes: what an earlier one is told comes to nobody. */
  #process = 0;
  #restarts = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#disk = new FaultyDisk(this.#random);
    this.#limits = { queueWindowBytes: this.#random.pick([0, 600, 3000, 1e6]) };
    this.#bytes = this.#random.pick([1e9, 1e9, 8000, 2000]);
  }

  /** Returns how often it was started again. */
  async run(steps: number): Promise<number> {
    try {
      this.#start();
      // From here on there is a seal.
      await this.#stop();
      for (let step = 0; step < steps; step++) {
        await this.#step();
        this.#clock.advance(0);
        await this.#quiet();
      }
      await this.#end();
      return this.#restarts;
    } finally {
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }

  async #step(): Promise<void> {
    const actions: readonly (readonly [weight: number, act: () => void | Promise<void>])[] = [
      [34, () => this.#publish()],
      [16, () => this.#get()],
      [16, () => this.#settle()],
      [5, () => this.#readStream()],
      [6, () => this.#probe()],
      [3, () => this.#declareOrDelete()],
      [4, () => this.#late()],
      [5, () => this.#disk.answer()],
      [3, () => this.#fail()],
      [4, () => this.#heal()],
      [2, () => this.#crash()],
      [2, () => this.#stop()],
    ];
    let draw = this.#random.below(100);
    for (const [weight, act] of actions) {
      draw -= weight;
      if (draw < 0) return act();
    }
  }

  #publish(): void {
    const exchange = this.#random.pick(['', '', '', 'amq.fanout', 'amq.topic']);
    const key = exchange === '' ? this.#random.pick([...NAMES, STREAM]) : 'last';
    const durable = this.#random.below(4) > 0;
    const retain = exchange === 'amq.topic';
    const id = this.#ledger.nextId();
    const entry = this.#ledger.publish(id, exchange, key, durable, retain);
    const process = this.#process;
    const publisher = this.#session.publisher({
      settled: (tag, fate) => {
        assert.equal(process, this.#process, 'a dead process tells nobody anything');
        assert.equal(tag, 1);
        assert.equal(entry.fate, null, `${id} is settled once`);
        entry.fate = fate;
        if (fate === Fate.CONFIRMED) this.#confirmed(id);
      },
      returned: () => assert.fail('nothing is mandatory'),
      writable: () => {},
    });
    const filler = '.'.repeat(this.#random.below(300));
    publisher.publish(message({ body: id + filler, exchange, key, durable, retain }), 1, false);
  }

  /** Nothing is confirmed that is not on the disk, unless it is not wanted there any more. */
  #confirmed(id: string): void {
    const wanted = this.#ledger.confirmed(id);
    if (wanted) assert(this.#disk.text.includes(id), `${id} is confirmed, and not on the disk`);
  }

  #get(): void {
    const name = this.#random.pick(NAMES);
    const queue = this.#ledger.queues.get(name);
    if (queue === undefined) return;
    const acknowledge = this.#random.below(5) > 0;
    const pulled = this.#session.get(name, acknowledge);
    assert(!(pulled instanceof Promise));
    const [copy] = queue.ready;
    // Whatever the disk does, what waits can be had.
    assert.equal(pulled === null ? null : idOf(pulled.delivery), copy?.id ?? null, name);
    if (pulled === null || copy === undefined) return;
    queue.ready.shift();
    if (acknowledge) this.#held.push({ copy, delivery: pulled.delivery });
    else this.#ledger.gone(copy);
  }

  #settle(): void {
    const held = this.#held[this.#random.below(this.#held.length + 1)];
    if (held === undefined) return;
    this.#held = this.#held.filter((each) => each !== held);
    const { copy, delivery } = held;
    const outcome = this.#random.pick([0, 0, 1, 2] as const);
    if (!copy.queue.deleted) {
      if (outcome === Outcome.REQUEUE) this.#ledger.requeue(copy);
      else if (outcome === Outcome.REJECT) this.#ledger.reject(copy);
      else this.#ledger.gone(copy);
    }
    delivery.settle(outcome);
  }

  /** The stream's group takes what there is, and acknowledges some of it in any order. */
  #readStream(): void {
    const count = this.#random.below(this.#stream.length + 1);
    for (let left = count; left > 0; left--) {
      const at = this.#random.below(this.#stream.length);
      for (const delivery of this.#stream.splice(at, 1)) {
        this.#ledger.streamDone(idOf(delivery));
        delivery.settle(Outcome.ACCEPT);
      }
    }
  }

  #consumeStream(): void {
    this.#stream = [];
    const table = new Map([
      ['x-stream-group', GROUP],
      ['x-stream-offset', 'first'],
    ]);
    const spec = consumeSpec(STREAM, { credits: [new Credit(8)], arguments: table });
    const process = this.#process;
    void this.#session.consume(spec, {
      deliver: (delivery) => {
        assert.equal(process, this.#process);
        this.#ledger.streamed(idOf(delivery));
        assert(this.#disk.text.includes(idOf(delivery)), 'what is read from a stream is safe');
        this.#stream.push(delivery);
      },
      cancelled: () => {},
    });
  }

  /** Learns how far everything is safe. */
  #probe(): void {
    const process = this.#process;
    const { now } = this.#ledger;
    this.#store.flush(() => {
      assert.equal(process, this.#process);
      this.#ledger.safeTo(now);
    });
  }

  #declareOrDelete(): void {
    const name = this.#random.pick(NAMES);
    if (!this.#ledger.queues.has(name)) {
      this.#declare(name);
      return;
    }
    if (this.#random.below(3) > 0) return;
    this.#ledger.remove(name);
    void this.#session.deleteQueue(name, false, false);
  }

  #declare(name: string): void {
    // Whether an older queue of this name is gone must be known, or a restart could not be judged.
    if (!this.#ledger.mayDeclare(name)) return;
    const spec = { name, durable: true, exclusive: false, autoDelete: false };
    const table = new Map(Object.entries(QUEUES[name] ?? {}));
    void this.#session.declareQueue({ ...spec, arguments: table }, false);
    this.#bind(name);
    const max = QUEUES[name]?.['x-max-length'];
    this.#ledger.declare(name, typeof max === 'number' ? max : null);
  }

  #bind(name: string): void {
    void this.#session.bind({
      source: 'amq.fanout',
      destination: name,
      toExchange: false,
      routingKey: '',
      arguments: new Map(),
    });
  }

  #late(): void {
    this.#disk.late = this.#random.below(2) === 0;
  }

  #fail(): void {
    this.#disk.refusal = this.#random.pick([NO_SPACE, BROKEN]);
    this.#disk.free = this.#disk.refusal === NO_SPACE ? 0 : 1e12;
    this.#clock.advance(this.#random.below(2) * 1000);
  }

  #heal(): void {
    this.#disk.refusal = null;
    this.#disk.free = 1e12;
    this.#clock.advance(this.#random.below(3) * 1000);
  }

  /**
   * Waits for a checkpoint that is under way, which takes its own time, so that a seed repeats. There
   * is no seal meanwhile.
   */
  async #quiet(): Promise<void> {
    const sealed = (): boolean => existsSync(join(this.#directory, 'state.mdb.seal'));
    while (this.#bytes < 1e9) {
      await turn();
      if (!sealed()) continue;
      // What came to be done meanwhile may want another one.
      this.#clock.advance(0);
      if (sealed()) return;
    }
  }

  /** The process dies. The next one finds the same journal, and the last checkpoint. */
  #crash(): void {
    this.#disk = this.#disk.die();
    this.#process++;
    const next = mkdtempSync(join(tmpdir(), 'rosettamq-'));
    cpSync(this.#directory, next, { recursive: true });
    rmSync(this.#directory, { recursive: true, force: true });
    this.#directory = next;
    this.#again();
  }

  /** It ends in order: everything is safe, unless the disk refuses. */
  async #stop(): Promise<void> {
    const refused = this.#disk.refusal !== null;
    this.#disk.late = false;
    this.#disk.answer();
    if (!refused) this.#clock.advance(1000);
    const { now } = this.#ledger;
    const ended = this.#world.engine.stop();
    this.#clock.advance(0);
    await ended;
    this.#disk = this.#disk.die();
    this.#process++;
    if (!refused) this.#ledger.safeTo(now);
    this.#again();
  }

  #again(): void {
    this.#restarts++;
    this.#held = [];
    this.#clock = new ManualClock(this.#clock.now());
    rmSync(join(this.#directory, 'lock'), { force: true });
    this.#open();
    this.#audit();
    // As clients do: the crash may have been between a queue and its binding.
    for (const name of this.#ledger.queues.keys()) this.#bind(name);
    this.#consumeStream();
  }

  #start(): void {
    this.#open();
    for (const name of NAMES) this.#declare(name);
    const spec = { name: STREAM, durable: true, exclusive: false, autoDelete: false };
    const table = new Map([['x-queue-type', 'stream']]);
    void this.#session.declareQueue({ ...spec, arguments: table }, false);
    this.#consumeStream();
    this.#probe();
    this.#clock.advance(0);
  }

  #open(): void {
    this.#store = new LmdbStore({
      directory: this.#directory,
      clock: this.#clock,
      log: SILENT_LOG,
      formats: new Registry('format', [PLAIN_FORMAT]),
      segmentBytes: this.#bytes,
      checkpointBytes: this.#bytes,
      freeBytesMin: 1000,
      disk: this.#disk,
    });
    const shared = { store: this.#store, clock: this.#clock, limits: this.#limits };
    this.#world = createWorld({ seed: 1, ...shared });
    this.#session = this.#world.engine.open('/', this.#world.principal('guest'));
  }

  /** Holds what is there after a restart against the ledger, which then goes on from there. */
  #audit(): void {
    const views = [...this.#world.engine.admin.queues('/')].map(({ name }) => name);
    const found = new Map<string, string[]>();
    for (const name of views) if (name !== STREAM) found.set(name, this.#contents(name));
    const retained = this.#session.retained('amq.topic', 'last');
    assert(!(retained instanceof Promise));
    this.#ledger.auditRetained(retained[0] === undefined ? null : idIn(retained[0].body));
    this.#ledger.audit(found);
    const stream = [...this.#world.engine.admin.queues('/')].find(({ name }) => name === STREAM);
    this.#ledger.auditStream(this.#streamContents(), stream?.groups?.[0]?.offset ?? 0);
  }

  /** What waits in a queue, which is then put back. */
  #contents(name: string): string[] {
    const deliveries: Delivery[] = [];
    for (;;) {
      const pulled = this.#session.get(name, true);
      assert(!(pulled instanceof Promise));
      if (pulled === null) break;
      deliveries.push(pulled.delivery);
    }
    this.#session.together(() => {
      for (const delivery of deliveries) delivery.settle(Outcome.REQUEUE);
    });
    return deliveries.map(idOf);
  }

  #streamContents(): string[] {
    const ids: string[] = [];
    const table = new Map([['x-stream-offset', 'first']]);
    const spec = consumeSpec(STREAM, { credits: [new Credit(1e6)], arguments: table });
    const reading = this.#session.consume(spec, {
      deliver: (delivery) => void ids.push(idOf(delivery)),
      cancelled: () => {},
    });
    this.#clock.advance(0);
    if (!(reading instanceof Promise)) void reading.cancel();
    return ids;
  }

  /** The disk is well again: whoever waits is told, and nothing is missing after an orderly stop. */
  async #end(): Promise<void> {
    this.#heal();
    this.#disk.late = false;
    this.#disk.answer();
    for (let turn = 0; turn < 4; turn++) this.#clock.advance(1000);
    this.#ledger.requireSettled();
    await this.#stop();
    const ended = this.#world.engine.stop();
    this.#clock.advance(0);
    await ended;
  }
}

function idOf(delivery: Delivery): string {
  return idIn(delivery.message.body);
}

function idIn(body: Buffer): string {
  const [id] = /^<\d+>/.exec(body.toString()) ?? [];
  assert(id !== undefined, 'a body is as it was sent');
  return id;
}
