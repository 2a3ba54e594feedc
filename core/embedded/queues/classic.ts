/**
 * The classic queue: first in, first out, with acknowledgement.
 *
 *            publish                 deliver                settle ACCEPT, REJECT
 *   (nothing) ─────▶ ready (in order) ─────▶ lent (a member) ─────▶ gone
 *                      ▲   │ expiry, overflow ▶ gone   │ settle REQUEUE, session closed
 *                      └───┼───────────────────────────┘ back at its place
 *
 * A message is in exactly one of ready (`backlog.ts`), lent (`members.ts`), gone. `handout.ts` takes
 * from ready for consumers, `expiry.ts` and `bounds.ts` say what else leaves it.
 */
import assert from 'node:assert/strict';
import {
  type BindingSpec,
  type Consumer,
  type ConsumeSpec,
  Outcome,
  type Pulled,
  type QueueSpec,
} from '../../engine.ts';
import { BrokerError } from '../../errors.ts';
import type { Death, HeaderTable, Message } from '../../message.ts';
import { Dispatcher } from '../dispatch.ts';
import type { Owner } from '../owner.ts';
import {
  type DeadLetters,
  type Letter,
  type Queue,
  type QueueContext,
  type Receipt,
  Taken,
} from '../types.ts';
import { effectiveOptions, initialOptions, type QueueOptions } from './arguments.ts';
import { Backlog } from './backlog.ts';
import { Bounds } from './bounds.ts';
import { browse } from './browse.ts';
import { Entry, EntryState, type Home } from './entry.ts';
import { Expiry } from './expiry.ts';
import { Graves } from './graves.ts';
import { Handout } from './handout.ts';
import { Lease } from './lease.ts';
import { Member } from './member.ts';
import { Members } from './members.ts';
import { Present } from './present.ts';
import { Retry } from './retry.ts';
import { TimeLimits } from './time-limits.ts';

export class ClassicQueue implements Queue, Home {
  readonly spec: QueueSpec;
  readonly type: string;
  readonly tracksBindings: boolean = false;
  readonly showsDeliveries: boolean;
  mark = 0;
  markIndex = 0;
  readonly #context: QueueContext;
  readonly #outer: Queue;
  #options: QueueOptions;
  readonly #ready: Backlog;
  readonly #limits: TimeLimits;
  readonly #expiry: Expiry;
  readonly #bounds: Bounds;
  /** Null: duplicates are taken. */
  #present: Present | null = null;
  readonly #dispatcher: Dispatcher;
  readonly #handout: Handout;
  readonly #members = new Members();
  /** Null: no dead letter was ever kept. */
  #graves: Graves | null = null;
  #position: number;
  #lent = 0;
  /** Messages that consumers took or settled; as many as `slow` saw last, and since when. */
  #moves = 1;
  #movesSeen = 0;
  #movedAt = 0;
  #closed = false;
  readonly #lease: Lease;
  /** Null: nothing that came back ever waited. */
  #retry: Retry | null = null;

  /** `outer`: the queue that it is a part of, and speaks for. */
  constructor(spec: QueueSpec, context: QueueContext, type: string, outer: Queue | null = null) {
    this.spec = spec;
    this.type = type;
    this.#outer = outer ?? this;
    this.tracksBindings = this.#outer.tracksBindings;
    this.showsDeliveries = type === 'quorum';
    this.#context = context;
    const options = initialOptions(spec, context);
    this.#options = options;
    this.#position = context.log?.last ?? 0;
    this.#ready = new Backlog({
      home: this,
      maxPriority: options.maxPriority,
      log: context.log,
      memory: context.memory,
      windowBytes: context.limits.queueWindowBytes,
      passedMax: context.limits.queuePassedMax,
      expiryOf: (message, position) => this.#expiry.of(message, position),
      isDead: (position) => this.#isDead(position),
    });
    this.#limits = new TimeLimits({
      ttlMs: options.ttlMs,
      position: this.#position,
      kept: () => context.table('time-limits'),
      key: `${context.vhost}\0${spec.name}`,
    });
    this.#expiry = new Expiry(this.#limits, context.clock, this.#ready, (entry) =>
      this.#expired(entry),
    );
    this.#bounds = new Bounds(options, this.#ready);
    this.#dispatcher = new Dispatcher(options.singleActive, () => this.#handout.run());
    this.#handout = new Handout({
      context,
      ready: this.#ready,
      dispatcher: this.#dispatcher,
      expiry: this.#expiry,
      give: (entry, member) => this.#give(entry, member),
      expired: (entry) => this.#expired(entry),
      trim: () => this.#trim(),
    });
    this.#lease = new Lease({
      expiresMs: options.expiresMs,
      clock: context.clock,
      used: () => context.table('leases'),
      key: `${context.vhost}\0${spec.name}`,
      expired: () => context.unwanted(this.#outer),
    });
    this.#recover();
  }

  get name(): string {
    return this.spec.name;
  }

  get deadLetters(): DeadLetters | null {
    return this.#options.deadLetters;
  }

  /** It matters how often a message was delivered, after a restart too. */
  get #counting(): boolean {
    const { deliveryLimit, retry } = this.#options;
    return this.showsDeliveries || deliveryLimit !== -1 || retry.minMs > 0;
  }

  get ready(): number {
    return this.#ready.length;
  }

  /** With a consumer, or dead and not yet where they go. */
  get unacknowledged(): number {
    return this.#lent + (this.#graves?.length ?? 0);
  }

  get consumers(): number {
    return this.#dispatcher.count;
  }

  get members(): readonly Member[] {
    return this.#dispatcher.members;
  }

  get bytes(): number {
    return this.#ready.charged;
  }

  /** A consumer that takes nothing at all any more is not waited for. */
  get slow(): boolean {
    const { limits, clock } = this.#context;
    if (this.#ready.charged <= limits.queueSlowBytes || !this.#dispatcher.choked) return false;
    const now = clock.now();
    if (this.#moves !== this.#movesSeen) {
      this.#movesSeen = this.#moves;
      this.#movedAt = now;
    }
    return now - this.#movedAt <= limits.consumerStallMs;
  }

  bindingsOf(message: Message): readonly BindingSpec[] | null {
    return this.tracksBindings ? this.#context.bindingsOf(message, this.#outer) : null;
  }

  publish(
    given: Message,
    receipt: Receipt | null,
    bindings: readonly BindingSpec[] | null,
    charge: number,
  ): Taken {
    if (this.#closed) return Taken.DROPPED;
    if (this.#present?.has(given) === true) return this.#kept(receipt);
    const message = this.#expiry.dated(given);
    const member = this.#handout.taker(message);
    if (member === null && this.#bounds.refuses(message.body.length, this.#graves)) {
      return this.#refuse(message);
    }
    const position = ++this.#position;
    const expiresAt = this.#expiry.of(message, position);
    const entry = new Entry(
      member === null ? message.own() : message,
      this,
      position,
      0,
      bindings,
      expiresAt,
      charge,
    );
    if (member !== null && !member.spec.acknowledge) {
      // What nobody will acknowledge was never in the queue.
      entry.state = EntryState.GONE;
      this.#handout.straight(entry, member);
      return Taken.DONE;
    }
    const taken = this.#append(entry, receipt);
    if (member !== null) {
      this.#ready.pass(entry);
      this.#handout.straight(entry, member);
    } else {
      this.#ready.push(entry);
      this.#handout.run();
    }
    return taken;
  }

  consume(spec: ConsumeSpec, consumer: Consumer, owner: Owner): Member {
    const member = new Member(spec, consumer, owner, {
      resumed: () => this.#handout.run(),
      cancelled: (gone) => this.#leave(gone),
    });
    member.timeoutMs = this.#options.consumerTimeoutMs;
    this.#dispatcher.add(member, this.name, this.#context.vhost);
    this.#members.add(member);
    this.#lease.hold();
    this.#ready.restore();
    this.#handout.run();
    return member;
  }

  get(acknowledge: boolean, owner: Owner): Pulled | null {
    this.touch();
    while (!this.#expiry.drop());
    const entry = this.#pulled();
    if (entry === undefined) return null;
    if (acknowledge) this.#lend(entry, this.#members.puller(owner));
    else this.#gone(entry);
    // What is behind it may have expired too, and is not counted.
    while (!this.#expiry.drop());
    this.#expiry.watch();
    return { delivery: entry, remaining: this.#ready.length };
  }

  browse(): readonly Message[] {
    const { limits, clock } = this.#context;
    return browse(this.#members, this.#ready, limits.browseMessagesMax, clock.now());
  }

  touch(): void {
    if (!this.#closed && this.#dispatcher.count === 0) this.#lease.renew();
  }

  purge(): number {
    for (const entry of this.#retry?.drain() ?? []) this.#ready.insert(entry);
    const mixed = (this.#graves?.length ?? 0) > 0;
    let purged = mixed ? 0 : this.#ready.dropStored();
    for (let entry = this.#ready.shift(); entry !== undefined; entry = this.#ready.shift()) {
      this.#gone(entry);
      purged++;
    }
    this.#present?.reset(this.#members.held().map(({ message }) => message));
    return purged;
  }

  apply(effective: HeaderTable): void {
    if (this.#closed) return;
    const options = effectiveOptions(this.spec, this.#context.vhost, effective);
    this.#options = options;
    this.#bounds.apply(options);
    this.#retry?.apply(options.retry);
    this.#lease.apply(options.expiresMs, this.#dispatcher.count === 0);
    const empty = this.#lent === 0 && this.#ready.length === 0 && (this.#retry?.length ?? 0) === 0;
    this.#limits.set(options.ttlMs, this.#position + 1, empty);
    for (const member of this.#members) member.timeoutMs = options.consumerTimeoutMs;
    if (options.maxBytes !== -1) this.#ready.measure();
    this.#rememberPresent();
    this.#handout.run();
  }

  settle(entry: Entry, outcome: Outcome): void {
    if (entry.state !== EntryState.LENT) return;
    this.#moves++;
    const member = this.#unlend(entry);
    if (outcome === Outcome.REQUEUE) this.#requeue(entry, true);
    else this.#gone(entry, outcome === Outcome.REJECT ? 'rejected' : null);
    if (member.isCancelled && member.idle) this.#members.delete(member);
    member.giveCredit();
    if (outcome === Outcome.REQUEUE) this.#handout.run();
  }

  leave(owner: Owner): void {
    for (const member of this.#members) if (member.owner === owner) this.#dispatcher.remove(member);
  }

  release(owner: Owner): void {
    const leaving = this.#members.of(owner);
    const held = leaving.flatMap((member) => member.held());
    // All of it is back before anybody gets the first, or the order would be lost.
    const given = held.map((entry) => {
      const member = this.#unlend(entry);
      this.#requeue(entry, false);
      return member;
    });
    const consumed = this.#members.forget(owner);
    for (const member of given) member.giveCredit();
    if (leaving.some(({ spec }) => spec.groupOf !== undefined)) this.#ready.restore();
    this.#handout.run();
    if (consumed.length > 0) this.#deserted();
  }

  close(deleting: boolean): void {
    if (this.#closed) return;
    const consuming = this.#dispatcher.members;
    this.#expiry.close();
    this.#lease.close(deleting);
    this.#retry?.close();
    this.#graves?.close(deleting);
    if (deleting) {
      this.purge();
      this.#limits.forget();
      this.#context.log?.drop();
    }
    this.#closed = true;
    this.#handout.close();
    this.#ready.dischargeAll();
    for (const member of consuming) this.#dispatcher.remove(member);
    if (!deleting) return;
    for (const member of consuming) {
      const reason = `queue '${this.name}' in vhost '${this.#context.vhost}' was deleted`;
      member.consumer.cancelled(new BrokerError('not-found', reason));
    }
  }

  /** Takes over what the log holds from before. */
  #recover(): void {
    const { log } = this.#context;
    if (this.type === 'quorum' && log !== null && (log.count > 0 || this.#options.keepsDead)) {
      const graves = this.#dig();
      // Without messages they are of a queue of this name whose deletion a crash cut off.
      if (log.count === 0) graves.close(true);
      else if (graves.length > 0) this.#graves = graves;
    }
    this.#ready.recover(this.#graves?.length ?? 0);
    if (this.#options.maxBytes !== -1) this.#ready.measure();
    this.#rememberPresent();
    this.#expiry.recover();
    this.#lease.run();
  }

  /** Those in memory: waiting, lent, or given back. */
  *#entries(): Iterable<Entry> {
    yield* this.#ready.entries();
    yield* this.#members.held();
    yield* this.#retry?.entries() ?? [];
  }

  #rememberPresent(): void {
    const { duplicatesBy } = this.#options;
    if ((this.#present?.header ?? null) === duplicatesBy) return;
    this.#present = null;
    if (duplicatesBy === null) return;
    const isDead = (position: number): boolean => this.#isDead(position);
    this.#present = new Present(duplicatesBy, this.#context.log, isDead);
    for (const { message } of this.#entries()) this.#present.add(message);
  }

  #pulled(): Entry | undefined {
    let entry = this.#ready.shift();
    for (; entry !== undefined && this.#exhausted(entry); entry = this.#ready.shift()) {
      this.#gone(entry, 'delivery_limit');
    }
    return entry;
  }

  #give(entry: Entry, member: Member): void {
    this.#moves++;
    if (entry.attempts > 0 && this.#exhausted(entry)) this.#gone(entry, 'delivery_limit');
    else if (member.spec.acknowledge) {
      this.#lend(entry, member);
    } else {
      if (entry.state !== EntryState.GONE) this.#gone(entry);
      member.consumer.deliver(entry);
    }
  }

  #lend(entry: Entry, member: Member): void {
    entry.state = EntryState.LENT;
    this.#lent++;
    if (entry.logged) {
      this.#context.log?.lent(entry.position, this.#counting ? entry.attempts + 1 : 1);
    }
    member.hold(entry);
    member.consumer.deliver(entry);
  }

  #unlend(entry: Entry): Member {
    const member = entry.member;
    assert(member !== null, 'a lent entry has a holder');
    member.drop(entry);
    this.#lent--;
    return member;
  }

  #append(entry: Entry, receipt: Receipt | null): Taken {
    this.#ready.charge(entry);
    this.#present?.add(entry.message);
    const log = this.#context.log;
    if (log === null || !entry.message.durable) return Taken.DONE;
    log.append(entry.position, entry.message);
    entry.logged = true;
    return this.#kept(receipt);
  }

  /** Everything that was taken is safe when the log is. */
  #kept(receipt: Receipt | null): Taken {
    const log = this.#context.log;
    if (log === null || receipt === null) return Taken.DONE;
    log.flush(() => receipt.safe());
    return Taken.PENDING;
  }

  /** What died is in its dead-letter queues before it leaves the log: a crash loses neither. */
  #gone(entry: Entry, died: Death['reason'] | null = null): void {
    entry.state = EntryState.GONE;
    if (this.#closed) return;
    this.#present?.delete(entry.message);
    if (died !== null && this.#options.keepsDead) {
      this.#graves ??= this.#dig();
      this.#graves.add(entry, died);
      return;
    }
    if (died !== null) this.#deadLetter(entry.message, died);
    this.#ready.discharge(entry);
    if (entry.logged) this.#context.log?.remove(entry.position);
  }

  /** Whether it comes back later only. */
  #waits(entry: Entry): boolean {
    const { retry } = this.#options;
    if (retry.minMs === 0) return false;
    this.#retry ??= new Retry(retry, this.#context.clock, (entries) => {
      for (const waited of entries) this.#ready.insert(waited);
      this.#handout.run();
    });
    return this.#retry.takes(entry);
  }

  /** Its last attempt was cut off by the end of the process. */
  #exhausted({ attempts }: Entry): boolean {
    const { deliveryLimit } = this.#options;
    return deliveryLimit !== -1 && attempts > deliveryLimit;
  }

  /** `asked`: by its consumer, which may have to wait for it. */
  #requeue(entry: Entry, asked: boolean): void {
    entry.state = EntryState.GONE;
    if (this.#closed) return;
    const { deliveryLimit } = this.#options;
    if (deliveryLimit !== -1 && entry.attempts >= deliveryLimit) {
      this.#gone(entry, 'delivery_limit');
      return;
    }
    const again = entry.again();
    if (!asked || !this.#waits(again)) this.#ready.insert(again);
  }

  #refuse(message: Message): Taken {
    this.#context.counters.overflowed++;
    if (this.#options.overflow === 'reject-publish-dlx') this.#deadLetter(message, 'maxlen');
    return Taken.REFUSED;
  }

  #trim(): void {
    for (;;) {
      const entry = this.#bounds.surplus();
      if (entry === undefined) return;
      this.#context.counters.overflowed++;
      this.#gone(entry, 'maxlen');
    }
  }

  #expired(entry: Entry): void {
    this.#context.counters.expired++;
    this.#gone(entry, 'expired');
  }

  #deadLetter(message: Message, reason: Death['reason'], letter: Letter | null = null): void {
    if (!this.#closed) this.#context.deadLetter(message, this.#outer, reason, letter);
  }

  #isDead(position: number): boolean {
    return this.#graves?.has(position) === true;
  }

  #dig(): Graves {
    const { clock, log, limits, vhost } = this.#context;
    return new Graves({
      clock,
      log,
      table: this.#context.table(`graves\0${vhost}\0${this.name}`),
      windowBytes: limits.queueWindowBytes,
      send: (message, reason, letter) => this.#deadLetter(message, reason, letter),
      forgotten: (entry) => this.#ready.discharge(entry),
      arrived: (position, logged) => {
        if (logged) log?.remove(position);
      },
    });
  }

  #leave(member: Member): void {
    this.#dispatcher.remove(member);
    if (member.idle) this.#members.delete(member);
    if (member.spec.groupOf !== undefined) this.#ready.restore();
    this.#handout.run();
    this.#deserted();
  }

  /** A consumer has gone: the queue may have been there for its consumers only. */
  #deserted(): void {
    if (this.#closed || this.#dispatcher.count > 0) return;
    if (this.spec.autoDelete) this.#context.unwanted(this.#outer);
    else this.touch();
  }
}
