/**
 * The stream: a log that is appended to and read from any place, by any number of readers, as often
 * as they like. Reading removes nothing; retention does, oldest first.
 *
 *     first kept              committed            last
 *     ▼                       ▼                    ▼
 *     0 1 2 … 117 118 … 4011 4012 … 5820 5821 … 5830     offset = position in the log − 1
 *       (gone)        ▲ a reader         (not safe yet: nobody gets it)
 *
 * An acknowledgement gives its reader credit and nothing else, whatever its outcome, but where
 * readers have a group (`stream-groups.ts`), which remembers it. Every message is kept across a restart, durable or not, as RabbitMQ's streams have it.
 */
import {
  type Consumer,
  type ConsumeSpec,
  Outcome,
  type Pulled,
  type QueueSpec,
  type StreamGroupView,
} from '../../engine.ts';
import { toText, typeNameOf } from '../../envelope.ts';
import { BrokerError } from '../../errors.ts';
import {
  type HeaderTable,
  type HeaderValue,
  Message,
  STREAM_GROUP_ARGUMENT,
  STREAM_GROUP_RESET_ARGUMENT,
  STREAM_OFFSET_HEADER,
} from '../../message.ts';
import type { Owner } from '../owner.ts';
import { type Queue, type QueueContext, type QueueType, type Receipt, Taken } from '../types.ts';
import { Entry, EntryState, type Home } from './entry.ts';
import { Member } from './member.ts';
import { requireDurable } from './quorum.ts';
import { filtered } from './stream-filter.ts';
import { type StreamGroup, StreamGroups } from './stream-groups.ts';
import { MemoryStreamLog, type StreamLog } from './stream-log.ts';
import { type StreamStart, streamStart } from './stream-offset.ts';
import { StreamReader } from './stream-reader.ts';
import { RETENTION_ARGUMENTS, retentionOptions, StreamRetention } from './stream-retention.ts';

const ACCEPTED: readonly string[] = [
  'x-queue-type',
  ...RETENTION_ARGUMENTS,
  // How many nodes hold it, and which one leads, has only one answer here.
  'x-initial-cluster-size',
  'x-queue-leader-locator',
];

/** Messages that one turn removes of what retention gave up. */
const REMOVED_MAX = 4096;

export const stream: QueueType = {
  name: 'stream',
  accepts: ACCEPTED,
  check: requireDurable,
  namedOnly: true,
  create: (spec, context) => new StreamQueue(spec, context),
};

class StreamQueue implements Queue, Home {
  readonly spec: QueueSpec;
  readonly type = 'stream';
  readonly tracksBindings = false;
  readonly deadLetters = null;
  /** Readers go at their own pace, from the disk. */
  readonly slow = false;
  mark = 0;
  markIndex = 0;
  readonly #context: QueueContext;
  /** Set where messages are in memory only. */
  readonly #memoryLog: MemoryStreamLog | null;
  readonly #log: StreamLog;
  readonly #retention: StreamRetention;
  readonly #readers = new Map<Member, StreamReader>();
  readonly #groups: StreamGroups;
  /** The oldest position that is kept, and the oldest that is still in the log. */
  #first: number;
  #removed: number;
  #removing = false;
  /** Safe up to here. */
  #committed: number;
  #lent = 0;
  #serving = false;
  #scheduled = false;
  #closed = false;

  constructor(spec: QueueSpec, context: QueueContext) {
    this.spec = spec;
    this.#context = context;
    retentionOptions(spec, context.vhost);
    const effective = { ...spec, arguments: context.effective };
    this.#retention = new StreamRetention(retentionOptions(effective, context.vhost));
    this.#memoryLog = context.log === null ? new MemoryStreamLog(context.memory) : null;
    this.#log = context.log ?? this.#memoryLog ?? new MemoryStreamLog(context.memory);
    this.#committed = this.#log.last;
    this.#first = this.#log.last + 1;
    for (const [position, bytes] of this.#log.sizes(0, this.#retention.stepBytes)) {
      this.#first = Math.min(this.#first, position);
      this.#retention.added(position, bytes);
    }
    this.#removed = this.#first;
    this.#groups = new StreamGroups({
      table: context.table(`groups\0${context.vhost}\0${spec.name}`),
      flush: (done) => this.#log.flush(done),
      committed: () => this.#committed,
      clock: context.clock,
      idleMs: context.limits.streamGroupIdleSecondsMax * 1000,
    });
    this.#retain();
  }

  get name(): string {
    return this.spec.name;
  }

  get ready(): number {
    return Math.max(0, this.#log.count - (this.#first - this.#removed));
  }

  get unacknowledged(): number {
    return this.#lent;
  }

  get consumers(): number {
    return [...this.#readers.keys()].filter((member) => !member.isCancelled).length;
  }

  get groups(): readonly StreamGroupView[] {
    return this.#groups.views();
  }

  get bytes(): number {
    return this.#memoryLog?.bytes ?? 0;
  }

  publish(message: Message, receipt: Receipt | null): Taken {
    if (this.#closed) return Taken.DROPPED;
    const position = this.#log.last + 1;
    this.#log.append(position, kept(message.own()));
    if (this.#retention.added(position, message.size)) this.#retain();
    if (this.#memoryLog !== null) {
      this.#committed = position;
      this.#serve(this.#readers.values());
      return Taken.DONE;
    }
    this.#log.flush(() => {
      this.#commit(position);
      receipt?.safe();
    });
    return receipt === null ? Taken.DONE : Taken.PENDING;
  }

  consume(spec: ConsumeSpec, consumer: Consumer, owner: Owner): Member {
    if (!spec.acknowledge) {
      const reason = `automatic acknowledgement not supported by stream queues ${this.#where}`;
      throw new BrokerError('not-implemented', reason);
    }
    if (!spec.credits.some((credit) => credit.limit > 0)) {
      const reason = `consumer prefetch count is not set for '${this.#where}'`;
      throw new BrokerError('precondition-failed', reason);
    }
    const offset = spec.arguments.get(STREAM_OFFSET_HEADER);
    const start = streamStart(offset, this.#context.clock.now());
    if (start === null) {
      const reason = `{invalid_stream_offset_arg,${described(offset)}}`;
      const whole = `invalid arg '${STREAM_OFFSET_HEADER}' for ${this.#where}: ${reason}`;
      throw new BrokerError('precondition-failed', whole);
    }
    const wanted = filtered(spec, this.#where);
    const group = this.#join(spec, start);
    const member = new Member(wanted, consumer, owner, {
      resumed: () => this.#serve(this.#readers.values()),
      cancelled: (gone) => {
        if (gone.idle) this.#readers.delete(gone);
        if (group !== null) this.#leave(group, gone);
        if (group !== null) this.#serveGroup(group);
      },
    });
    group?.join(member);
    const next = group?.reach ?? this.#position(start);
    const wake = (): void => this.#serve([reader]);
    const reader: StreamReader = new StreamReader(member, group, this.#log, next, wake);
    this.#readers.set(member, reader);
    this.#serve([reader]);
    return member;
  }

  get(): Pulled | null {
    throw new BrokerError(
      'not-implemented',
      `basic.get not supported by stream queues ${this.#where}`,
    );
  }

  touch(): void {}

  purge(): number {
    throw new BrokerError(
      'not-implemented',
      `queue.purge not supported by stream queues ${this.#where}`,
    );
  }

  apply(effective: HeaderTable): void {
    if (this.#closed) return;
    const spec = { ...this.spec, arguments: effective };
    this.#retention.apply(retentionOptions(spec, this.#context.vhost));
    this.#retain();
  }

  /** Credit for the next one: the message stays where it is. Its reader's group is told. */
  settle(entry: Entry, outcome: Outcome): void {
    const { member, position } = entry;
    if (entry.state !== EntryState.LENT || member === null) return;
    this.#unlend(entry, member);
    const reader = this.#readers.get(member);
    const group = reader?.group ?? null;
    if (outcome === Outcome.REQUEUE) group?.giveBack(position);
    else group?.done(position);
    if (member.isCancelled && member.idle) this.#readers.delete(member);
    member.giveCredit();
    if (group !== null) this.#serveGroup(group);
    else if (reader !== undefined) this.#serve([reader]);
  }

  leave(owner: Owner): void {
    for (const member of this.#readers.keys()) if (member.owner === owner) member.pause();
  }

  release(owner: Owner): void {
    const groups = new Set<StreamGroup>();
    for (const [member, { group }] of [...this.#readers]) {
      if (member.owner !== owner) continue;
      this.#readers.delete(member);
      for (const entry of member.held()) {
        this.#unlend(entry, member);
        group?.giveBack(entry.position);
        member.giveCredit();
      }
      if (group === null) continue;
      this.#leave(group, member);
      groups.add(group);
    }
    for (const group of groups) this.#serveGroup(group);
  }

  close(deleting: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    const readers = [...this.#readers.keys()];
    this.#readers.clear();
    this.#groups.close(deleting);
    if (deleting || this.#memoryLog !== null) this.#log.drop();
    if (!deleting) return;
    for (const { consumer, isCancelled } of readers) {
      const reason = `queue '${this.name}' in vhost '${this.#context.vhost}' was deleted`;
      if (!isCancelled) consumer.cancelled(new BrokerError('not-found', reason));
    }
  }

  get #where(): string {
    return `queue '${this.name}' in vhost '${this.#context.vhost}'`;
  }

  get #described(): string {
    return `stream ${this.#where}`;
  }

  /** The group that a consumer names; a new one begins where the consumer would. */
  #join(spec: ConsumeSpec, start: StreamStart): StreamGroup | null {
    const name = spec.arguments.get(STREAM_GROUP_ARGUMENT);
    if (name === undefined) return null;
    const { nameBytesMax, streamGroupsMax } = this.#context.limits;
    const refuse = (reason: string): never => {
      const whole = `failed consuming from ${this.#described}: ${reason}`;
      throw new BrokerError('precondition-failed', whole);
    };
    if (typeof name !== 'string' || name === '' || Buffer.byteLength(name) > nameBytesMax) {
      return refuse(`invalid '${STREAM_GROUP_ARGUMENT}'`);
    }
    const reset = spec.arguments.get(STREAM_GROUP_RESET_ARGUMENT) ?? false;
    if (typeof reset !== 'boolean') return refuse(`invalid '${STREAM_GROUP_RESET_ARGUMENT}'`);
    const known = this.#groups.find(name);
    if (known !== undefined && !reset) return known;
    if (known !== undefined && known.consumers > 0) {
      return refuse(`group '${name}' is read, and cannot begin anew`);
    }
    if (known !== undefined) this.#groups.forget(known);
    this.#groups.sweep();
    if (this.#groups.size >= streamGroupsMax) {
      return refuse(`it has ${streamGroupsMax} groups, which is the limit`);
    }
    return this.#groups.add(name, this.#position(start));
  }

  #leave(group: StreamGroup, member: Member): void {
    group.leave(member);
    this.#groups.left(group);
  }

  /** Where a reader begins. */
  #position(start: StreamStart): number {
    switch (start.kind) {
      case 'first':
        return this.#first;
      case 'last':
        return Math.max(this.#first, this.#committed);
      case 'next':
        return this.#committed + 1;
      case 'offset':
        return Math.max(this.#first, start.offset + 1);
      case 'time':
        return this.#since(start.time);
    }
  }

  /** The first message that was taken at `time` or later; times grow with positions. */
  #since(time: number): number {
    let [low, high] = [this.#first, this.#committed + 1];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.#receivedAt(middle) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** When the message at a position, or the next that can be read, was taken. */
  #receivedAt(position: number): number {
    const [logged] = this.#log.read(position - 1, 1, 1).messages;
    return logged?.message.receivedAt ?? this.#context.clock.now();
  }

  #commit(position: number): void {
    if (position <= this.#committed) return;
    this.#committed = position;
    if (this.#readers.size > 0) this.#serveSoon();
  }

  /** Whoever reads for the group may go on, or takes over. */
  #serveGroup(group: StreamGroup): void {
    const reader = group.active === null ? undefined : this.#readers.get(group.active);
    if (reader !== undefined) this.#serve([reader]);
  }

  /** One pass for all that one sync made safe. */
  #serveSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#context.clock.soon(() => {
      this.#scheduled = false;
      this.#serve(this.#readers.values());
    });
  }

  /**
   * Hands out what there is. Never within itself: what a consumer sets free by publishing, or by
   * settling, while it is delivered to comes in another turn.
   */
  #serve(readers: Iterable<StreamReader>): void {
    if (this.#closed) return;
    if (this.#serving) {
      this.#serveSoon();
      return;
    }
    this.#serving = true;
    let more = false;
    try {
      for (const reader of [...readers]) more = this.#handOut(reader) || more;
    } finally {
      this.#serving = false;
    }
    if (more) this.#serveSoon();
  }

  /** Returns whether there is more than one turn's share. */
  #handOut(reader: StreamReader): boolean {
    const { member, group } = reader;
    for (let left = this.#context.limits.dispatchBatchMax; reader.ready; left--) {
      if (left === 0) return true;
      const logged = reader.take(this.#first, this.#committed);
      if (logged === null) return false;
      const { position } = logged;
      // What its consumer does not want it passes by; others read it all the same.
      if (!member.takes(logged.message)) {
        group?.passed(position);
        continue;
      }
      const message = logged.message.streamed(position - 1);
      const attempts = group?.handed(position) ?? 0;
      const entry = new Entry(message, this, position, attempts, null, 0, 0);
      entry.state = EntryState.LENT;
      this.#lent++;
      member.hold(entry);
      member.consumer.deliver(entry);
      if (this.#closed) return false;
    }
    return false;
  }

  #unlend(entry: Entry, member: Member): void {
    entry.state = EntryState.GONE;
    member.drop(entry);
    this.#lent--;
  }

  /** Gives up what is not to be kept any more. */
  #retain(): void {
    const now = this.#context.clock.now();
    const gone = this.#retention.expired(now, (position) => this.#receivedAt(position));
    this.#first = Math.max(this.#first, gone + 1);
    this.#removeSoon();
  }

  /** A segment may have millions: they are removed a share a turn. */
  #removeSoon(): void {
    if (this.#removing || this.#removed >= this.#first) return;
    this.#removing = true;
    this.#context.clock.soon(() => {
      this.#removing = false;
      if (this.#closed) return;
      const end = Math.min(this.#first, this.#removed + REMOVED_MAX);
      for (; this.#removed < end; this.#removed++) this.#log.remove(this.#removed);
      this.#removeSoon();
    });
  }
}

/** An argument's value as RabbitMQ writes it. */
function described(value: HeaderValue | undefined): string {
  if (value === undefined) return 'undefined';
  const text = typeof value === 'string' ? `<<"${value}">>` : toText(value);
  return `{${typeNameOf(value)},${text}}`;
}

/** Streams keep everything: a message that is not durable is stored as one that is. */
function kept(message: Message): Message {
  if (message.durable) return message;
  const { format, native, body, exchange, routingKey, priority, expiresAt, receivedAt } = message;
  const { retain, copies, trail } = message;
  return new Message(
    format,
    native,
    body,
    exchange,
    routingKey,
    true,
    priority,
    expiresAt,
    receivedAt,
    retain,
    copies,
    trail,
  );
}
