/**
 * The classic queue: first in, first out, with acknowledgement.
 *
 *            publish                 deliver                settle ACCEPT, REJECT
 *   (nothing) ─────▶ ready (in order) ─────▶ lent (a member) ─────▶ gone
 *                      ▲   │ expiry, overflow ▶ gone   │ settle REQUEUE, session closed
 *                      └───┼───────────────────────────┘ back at its place
 *
 * Invariants: a message is in exactly one of ready, lent, gone; `#dispatch` is the only place that
 * takes from ready for consumers, and never runs inside itself.
 */
import assert from 'node:assert/strict';
import type { Timer } from '../../clock.ts';
import {
  type BindingSpec,
  type Consumer,
  type ConsumeSpec,
  Outcome,
  type Pulled,
  type QueueSpec,
} from '../../engine.ts';
import { BrokerError } from '../../errors.ts';
import type { Death, Message } from '../../message.ts';
import { Dispatcher } from '../dispatch.ts';
import type { Owner } from '../owner.ts';
import { type Queue, type QueueContext, type Receipt, Taken } from '../types.ts';
import { type QueueOptions, queueOptions } from './arguments.ts';
import { Backlog } from './backlog.ts';
import { browse } from './browse.ts';
import { Entry, EntryState, type Home } from './entry.ts';
import { Lease } from './lease.ts';
import { Member } from './member.ts';
import { Present } from './present.ts';
import { Retry } from './retry.ts';

/** A consumer that only pulls (`get`): its deliveries are held under it. */
const PULLER: Consumer = { deliver: () => {}, cancelled: () => {} };

/** From the socket to its queue a message may take so long without being written anew for it. */
const ARRIVAL_SLACK_MS = 100;

/** Expired messages that one turn gives up. */
const EXPIRED_MAX = 4096;

export class ClassicQueue implements Queue, Home {
  readonly spec: QueueSpec;
  readonly type: string;
  readonly options: QueueOptions;
  readonly tracksBindings: boolean;
  readonly showsDeliveries: boolean;
  mark = 0;
  markIndex = 0;
  readonly #context: QueueContext;
  readonly #ready: Backlog;
  /** Null: duplicates are taken. */
  readonly #present: Present | null;
  readonly #dispatcher: Dispatcher;
  /** Those that consume, or still hold something. */
  readonly #members = new Set<Member>();
  readonly #pullers = new Map<Owner, Member>();
  #position: number;
  #lent = 0;
  /** Messages that consumers took or settled; as many as `slow` saw last, and since when. */
  #moves = 1;
  #movesSeen = 0;
  #movedAt = 0;
  readonly #dispatchLater = (): void => this.#dispatch();
  #dispatching = false;
  #continuing = false;
  #closed = false;
  #expiryTimer: Timer | null = null;
  /** When it fires. */
  #expiryAt = 0;
  readonly #lease: Lease;
  readonly #retry: Retry;

  constructor(
    spec: QueueSpec,
    context: QueueContext,
    type: string,
    tracksBindings: boolean = false,
  ) {
    this.spec = spec;
    this.type = type;
    this.tracksBindings = tracksBindings;
    this.showsDeliveries = type === 'quorum';
    this.#context = context;
    this.options = queueOptions(spec, context.vhost);
    this.#position = context.log?.last ?? 0;
    this.#present = Present.of(spec, context.log);
    this.#ready = new Backlog({
      home: this,
      options: this.options,
      log: context.log,
      memory: context.memory,
      windowBytes: context.limits.queueWindowBytes,
      passedMax: context.limits.queuePassedMax,
      expiryOf: (message) => this.#expiryOf(message),
    });
    this.#dispatcher = new Dispatcher(this.options.singleActive, () => this.#dispatch());
    this.#lease = new Lease({
      expiresMs: this.options.expiresMs,
      clock: context.clock,
      used: context.table('leases'),
      key: `${context.vhost}\0${spec.name}`,
      expired: () => context.unwanted(this),
    });
    this.#retry = new Retry(this.options.retry, context.clock, (entries) => {
      for (const entry of entries) this.#ready.insert(entry);
      this.#dispatch();
    });
    this.#watchExpiry();
    this.#lease.run();
  }

  get name(): string {
    return this.spec.name;
  }

  get ready(): number {
    return this.#ready.length;
  }

  get unacknowledged(): number {
    return this.#lent;
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
    return this.tracksBindings ? this.#context.bindingsOf(message, this) : null;
  }

  publish(
    given: Message,
    receipt: Receipt | null,
    bindings: readonly BindingSpec[] | null,
    charge: number,
  ): Taken {
    if (this.#closed) return Taken.DROPPED;
    if (this.#present?.has(given) === true) return this.#kept(receipt);
    const message = this.#dated(given);
    const straight = this.#ready.length === 0 && !this.#dispatching;
    const member = straight ? this.#next(message) : null;
    if (member === null && this.#full(message.body.length)) return this.#refuse(message);
    const expiresAt = this.#expiryOf(message);
    const entry = new Entry(
      member === null ? message.own() : message,
      this,
      ++this.#position,
      0,
      bindings,
      expiresAt,
      charge,
    );
    if (member !== null && !member.spec.acknowledge) {
      this.#hand(entry, member);
      return Taken.DONE;
    }
    const taken = this.#append(entry, receipt);
    if (member !== null) {
      this.#ready.pass(entry);
      this.#hand(entry, member);
    } else {
      this.#ready.push(entry);
      this.#dispatch();
    }
    return taken;
  }

  consume(spec: ConsumeSpec, consumer: Consumer, owner: Owner): Member {
    const member = new Member(spec, consumer, owner, {
      resumed: () => this.#dispatch(),
      cancelled: (gone) => this.#leave(gone),
    });
    this.#dispatcher.add(member, this.name, this.#context.vhost);
    this.#members.add(member);
    this.#lease.hold();
    this.#ready.restore();
    this.#dispatch();
    return member;
  }

  get(acknowledge: boolean, owner: Owner): Pulled | null {
    this.touch();
    while (!this.#expire());
    const entry = this.#ready.shift();
    if (entry === undefined) return null;
    if (acknowledge) this.#lend(entry, this.#pullerOf(owner));
    else this.#gone(entry);
    // What is behind it may have expired too, and is not counted.
    while (!this.#expire());
    this.#watchExpiry();
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
    for (const entry of this.#retry.drain()) this.#ready.insert(entry);
    let purged = this.#ready.dropStored();
    for (let entry = this.#ready.shift(); entry !== undefined; entry = this.#ready.shift()) {
      this.#gone(entry);
      purged++;
    }
    const lent = [...this.#members].flatMap((member) => member.held());
    this.#present?.reset(lent.map(({ message }) => message));
    return purged;
  }

  settle(entry: Entry, outcome: Outcome): void {
    if (entry.state !== EntryState.LENT) return;
    this.#moves++;
    const member = this.#unlend(entry);
    if (outcome === Outcome.REQUEUE) this.#requeue(entry, true);
    else this.#gone(entry, outcome === Outcome.REJECT ? 'rejected' : null);
    if (member.isCancelled && member.idle) this.#members.delete(member);
    member.giveCredit();
    if (outcome === Outcome.REQUEUE) this.#dispatch();
  }

  leave(owner: Owner): void {
    for (const member of this.#members) if (member.owner === owner) this.#dispatcher.remove(member);
  }

  release(owner: Owner): void {
    const leaving = [...this.#members].filter((member) => member.owner === owner);
    const held = leaving.flatMap((member) => member.held());
    // All of it is back before anybody gets the first, or the order would be lost.
    const given = held.map((entry) => {
      const member = this.#unlend(entry);
      this.#requeue(entry, false);
      return member;
    });
    for (const member of leaving) this.#members.delete(member);
    this.#pullers.delete(owner);
    for (const member of given) member.giveCredit();
    if (leaving.some(({ spec }) => spec.groupOf !== undefined)) this.#ready.restore();
    this.#dispatch();
    if (leaving.some((member) => !member.isCancelled && member.consumer !== PULLER))
      this.#deserted();
  }

  close(deleting: boolean): void {
    if (this.#closed) return;
    const consuming = this.#dispatcher.members;
    this.#expiryTimer?.cancel();
    this.#lease.close(deleting);
    this.#retry.close();
    if (deleting) {
      this.purge();
      this.#context.log?.drop();
    }
    this.#closed = true;
    this.#ready.dischargeAll();
    for (const member of consuming) this.#dispatcher.remove(member);
    if (!deleting) return;
    for (const member of consuming) {
      const reason = `queue '${this.name}' in vhost '${this.#context.vhost}' was deleted`;
      member.consumer.cancelled(new BrokerError('not-found', reason));
    }
  }

  /**
   * Takes the next legal step until there is none: hand the first ready message to whose turn it
   * is.
   */
  #dispatch(): void {
    if (this.#dispatching || this.#closed) return;
    if (this.#context.turn.defers(this.#dispatchLater)) return;
    this.#dispatching = true;
    try {
      const most = this.#context.limits.dispatchBatchMax;
      if (this.#dispatcher.filtering) this.#sift(most);
      else this.#handOut(most);
    } finally {
      this.#dispatching = false;
    }
    // Only after its consumers took what they could does a full queue drop from its head, and only
    // what is still worth keeping counts.
    if (!this.#continuing) {
      this.#expire();
      this.#trim();
    }
    this.#watchExpiry();
  }

  #handOut(most: number): void {
    this.#ready.restore();
    for (let left = most; this.#ready.length > 0; left--) {
      const member = this.#dispatcher.next();
      if (member === null) return;
      if (left === 0 || !this.#expire()) {
        this.#continueSoon();
        return;
      }
      const entry = this.#ready.shift();
      if (entry === undefined) return;
      this.#give(entry, member);
    }
  }

  /** As `#handOut`, where somebody wants some messages only: the others are passed over. */
  #sift(most: number): void {
    for (let left = most; this.#ready.length > 0 && this.#dispatcher.able; left--) {
      if (left === 0 || !this.#expire()) {
        this.#continueSoon();
        return;
      }
      const fresh = this.#ready.fresh();
      if (this.#giveOfLots(fresh)) continue;
      if (fresh === undefined) return;
      const member = this.#next(fresh.message);
      if (member === null) {
        const filters = this.#dispatcher.takers(fresh.message).map(({ filter }) => filter);
        if (!this.#ready.passOver(filters) && !this.#giveOfLots(undefined)) return;
      } else {
        this.#ready.shiftFresh();
        this.#offer(fresh, member);
      }
    }
  }

  /** Gives the first that was passed over, and that somebody can take now. */
  #giveOfLots(fresh: Entry | undefined): boolean {
    for (const lot of this.#ready.lotsBefore(fresh)) {
      const member = this.#dispatcher.next(({ filter }) => lot.fits(filter));
      const entry = member === null ? undefined : this.#ready.shiftFrom(lot);
      if (member === null || entry === undefined) continue;
      this.#offer(entry, member);
      return true;
    }
    return false;
  }

  /** Gives what may stand behind others, and so may have expired there. */
  #offer(entry: Entry, member: Member): void {
    const late = entry.expiresAt !== 0 && entry.expiresAt <= this.#context.clock.now();
    if (late) this.#expired(entry);
    else this.#give(entry, member);
  }

  /** Whose turn it is to take the message. */
  #next(message: Message): Member | null {
    if (!this.#dispatcher.filtering) return this.#dispatcher.next();
    return this.#dispatcher.next((member) => this.#dispatcher.takes(member, message));
  }

  #give(entry: Entry, member: Member): void {
    this.#moves++;
    if (this.#dispatcher.given(member, entry.message)) this.#ready.restore();
    if (member.spec.acknowledge) {
      this.#lend(entry, member);
    } else {
      this.#gone(entry);
      member.consumer.deliver(entry);
    }
  }

  #continueSoon(): void {
    if (this.#continuing) return;
    this.#continuing = true;
    this.#context.clock.soon(() => {
      this.#continuing = false;
      this.#dispatch();
    });
  }

  #lend(entry: Entry, member: Member): void {
    entry.state = EntryState.LENT;
    this.#lent++;
    if (entry.logged) this.#context.log?.lent(entry.position);
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

  /**
   * Hands over at once. What nobody will acknowledge was never in the queue. A consumer that
   * publishes to its own queue while it is delivered to finds it dispatching: no recursion.
   */
  #hand(entry: Entry, member: Member): void {
    this.#moves++;
    this.#dispatcher.given(member, entry.message);
    this.#dispatching = true;
    try {
      if (member.spec.acknowledge) {
        this.#lend(entry, member);
      } else {
        entry.state = EntryState.GONE;
        member.consumer.deliver(entry);
      }
    } finally {
      this.#dispatching = false;
    }
    if (this.#ready.length > 0) this.#dispatch();
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
    if (died !== null) this.#deadLetter(entry.message, died);
    this.#ready.discharge(entry);
    if (entry.logged) this.#context.log?.remove(entry.position);
  }

  /** `asked`: by its consumer, which may have to wait for it. */
  #requeue(entry: Entry, asked: boolean): void {
    entry.state = EntryState.GONE;
    if (this.#closed) return;
    const { deliveryLimit } = this.options;
    if (deliveryLimit !== -1 && entry.attempts >= deliveryLimit) {
      this.#gone(entry, 'delivery_limit');
      return;
    }
    const again = entry.again();
    if (!asked || !this.#retry.takes(again)) this.#ready.insert(again);
  }

  #full(bodyBytes: number): boolean {
    const { maxLength, maxBytes, overflow } = this.options;
    if (overflow === 'drop-head') return false;
    if (maxLength !== -1 && this.#ready.length >= maxLength) return true;
    return maxBytes !== -1 && this.#ready.bodyBytes + bodyBytes > maxBytes;
  }

  #refuse(message: Message): Taken {
    this.#context.counters.overflowed++;
    if (this.options.overflow === 'reject-publish-dlx') this.#deadLetter(message, 'maxlen');
    return Taken.REFUSED;
  }

  #trim(): void {
    const { maxLength, maxBytes, overflow } = this.options;
    if (overflow !== 'drop-head') return;
    while (
      (maxLength !== -1 && this.#ready.length > maxLength) ||
      (maxBytes !== -1 && this.#ready.bodyBytes > maxBytes)
    ) {
      const entry = this.#ready.shiftLowest();
      if (entry === undefined) return;
      this.#context.counters.overflowed++;
      this.#gone(entry, 'maxlen');
    }
  }

  /**
   * A message whose time here begins now, and does so for the log too. What came by a detour, as
   * dead letters and wills do, was received long before.
   */
  #dated(message: Message): Message {
    if (this.options.ttlMs === -1) return message;
    const now = this.#context.clock.now();
    return now - message.arrivedAt > ARRIVAL_SLACK_MS ? message.arrived(now) : message;
  }

  #expiryOf(message: Message): number {
    const { ttlMs } = this.options;
    if (ttlMs === -1) return message.expiresAt;
    const byQueue = message.arrivedAt + ttlMs;
    return message.expiresAt === 0 ? byQueue : Math.min(byQueue, message.expiresAt);
  }

  /**
   * Drops what has expired at the head, as RabbitMQ does: behind a longer-lived one it waits.
   * Returns false where that was a turn's share and there is more.
   */
  #expire(): boolean {
    let first = this.#ready.first();
    if (first === undefined || first.expiresAt === 0) return true;
    const now = this.#context.clock.now();
    for (let left = EXPIRED_MAX; first !== undefined; left--, first = this.#ready.first()) {
      if (first.expiresAt === 0 || first.expiresAt > now) return true;
      if (left === 0) return false;
      this.#ready.shift();
      this.#expired(first);
    }
    return true;
  }

  #expired(entry: Entry): void {
    this.#context.counters.expired++;
    this.#gone(entry, 'expired');
  }

  /**
   * Has the timer fire no later than the first one's time; whenever another may be the first now.
   */
  #watchExpiry(): void {
    const first = this.#ready.first();
    if (first === undefined || first.expiresAt === 0 || this.#closed) return;
    if (this.#expiryTimer !== null) {
      if (this.#expiryAt <= first.expiresAt) return;
      this.#expiryTimer.cancel();
    }
    this.#expiryAt = first.expiresAt;
    const delayMs = Math.max(0, first.expiresAt - this.#context.clock.now());
    this.#expiryTimer = this.#context.clock.after(delayMs, () => {
      this.#expiryTimer = null;
      this.#expire();
      this.#watchExpiry();
    });
  }

  #deadLetter(message: Message, reason: Death['reason']): void {
    if (!this.#closed) this.#context.deadLetter(message, this, reason);
  }

  #pullerOf(owner: Owner): Member {
    let puller = this.#pullers.get(owner);
    if (puller === undefined) {
      puller = new Member(PULL, PULLER, owner, { resumed: () => {}, cancelled: () => {} });
      this.#pullers.set(owner, puller);
      this.#members.add(puller);
    }
    return puller;
  }

  #leave(member: Member): void {
    this.#dispatcher.remove(member);
    if (member.idle) this.#members.delete(member);
    if (member.spec.groupOf !== undefined) this.#ready.restore();
    this.#dispatch();
    this.#deserted();
  }

  /** A consumer has gone: the queue may have been there for its consumers only. */
  #deserted(): void {
    if (this.#closed || this.#dispatcher.count > 0) return;
    if (this.spec.autoDelete) this.#context.unwanted(this);
    else this.touch();
  }
}

const PULL: ConsumeSpec = {
  queue: '',
  tag: '',
  acknowledge: true,
  exclusive: false,
  priority: 0,
  credits: [],
  arguments: new Map(),
};
