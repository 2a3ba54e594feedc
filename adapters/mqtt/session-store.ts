/**
 * What of a session survives a restart: one record a session, one for each subscription of it, and
 * one entry for each QoS 2 exchange that is half done. Messages are in the session's durable queue,
 * not here.
 */
import type { Table } from '../../core/engine.ts';
import type { Log } from '../../core/log.ts';
import type { PacketStore, SentPacket } from './outbox.ts';
import type { Qos } from './packet.ts';
import type { MqttSession } from './session.ts';
import type { Subscription, Wish } from './session-context.ts';

export interface SessionRecord {
  readonly vhost: string;
  readonly clientId: string;
  readonly user: string;
  /** Names the session as a publisher; null where it never had to be known. */
  readonly tag: Buffer | null;
  readonly expirySeconds: number;
  /** When its client left; 0: it was connected. */
  readonly leftAt: number;
  readonly wishes: readonly Wish[];
  readonly taken: readonly number[];
  readonly sent: readonly SentPacket[];
}

/** Packets of one session. */
interface Packets {
  readonly taken: number[];
  readonly sent: SentPacket[];
}

interface StoredRecord {
  readonly vhost: string;
  readonly clientId: string;
  readonly user: string;
  readonly tag: string;
  readonly expirySeconds: number;
  readonly leftAt: number;
  /** As versions before wrote them, with the record; moved to their own when it is loaded. */
  readonly subscriptions?: readonly StoredSubscription[];
}

/** Filter, QoS, No Local, Retain As Published, identifier. */
type StoredSubscription = readonly [string, Qos, boolean, boolean, number];

export class SessionStore {
  readonly #records: Table;
  readonly #subscriptions: Table;
  readonly #packets: Table;
  readonly #safe: Safe;
  readonly #log: Log;

  constructor({ table, safe, log }: SessionStoreParts) {
    this.#records = table('mqtt.sessions');
    this.#subscriptions = table('mqtt.subscriptions');
    this.#packets = table('mqtt.packets');
    this.#safe = safe;
    this.#log = log;
  }

  /** Calls `done` when everything before would survive a crash. */
  safe(done: () => void): void {
    this.#safe(done);
  }

  save(key: string, session: MqttSession, leftAt: number): void {
    const { vhost, clientId, user } = session.identity;
    const record: StoredRecord = {
      vhost,
      clientId,
      user,
      tag: session.tag?.toString('hex') ?? '',
      expirySeconds: session.expirySeconds,
      leftAt,
    };
    this.#records.set(key, Buffer.from(JSON.stringify(record)));
  }

  /** Adds a subscription, or changes it. */
  subscribe(key: string, { filter, options }: Subscription): void {
    const { qos, noLocal, retainAsPublished, ids } = options;
    this.#keep(key, [filter, qos, noLocal, retainAsPublished, ids[0] ?? 0]);
  }

  unsubscribe(key: string, filter: string): void {
    this.#subscriptions.delete(`${key}\0${filter}`);
  }

  /** Forgets a session with these subscriptions. */
  remove(key: string, filters: Iterable<string>): void {
    this.#records.delete(key);
    for (const filter of filters) this.unsubscribe(key, filter);
  }

  #keep(key: string, stored: StoredSubscription): void {
    this.#subscriptions.set(`${key}\0${stored[0]}`, Buffer.from(JSON.stringify(stored)));
  }

  /** Packet identifiers of one session. */
  packets(key: string): PacketStore {
    return new StoredPackets(this.#packets, key, this.#safe);
  }

  /** Everything that was kept. */
  load(): Map<string, SessionRecord> {
    const packets = this.#loadPackets();
    const subscriptions = this.#loadSubscriptions();
    const records = new Map<string, SessionRecord>();
    const kept = [...this.#records.entries()];
    this.#forgetOrphans(packets, new Set(kept.map(([key]) => key)));
    for (const [key, value] of kept) {
      const stored = parse(value);
      if (stored === null) {
        this.#log.warn({ session: key }, 'stored session not readable');
        this.remove(key, []);
        continue;
      }
      const { subscriptions: older, ...record } = stored;
      if (older !== undefined) {
        for (const each of older) this.#keep(key, each);
        this.#records.set(key, Buffer.from(JSON.stringify(record)));
      }
      const wishes = (older ?? subscriptions.get(key) ?? []).map(wishOf);
      subscriptions.delete(key);
      const { taken = [], sent = [] } = packets.get(key) ?? {};
      const tag = stored.tag === '' ? null : Buffer.from(stored.tag, 'hex');
      records.set(key, { ...record, tag, wishes, taken, sent });
    }
    // Of sessions that a crash ended halfway.
    for (const [key, left] of subscriptions) {
      for (const [filter] of left) this.unsubscribe(key, filter);
    }
    return records;
  }

  #loadSubscriptions(): Map<string, StoredSubscription[]> {
    const subscriptions = new Map<string, StoredSubscription[]>();
    for (const [entry, value] of this.#subscriptions.entries()) {
      const key = entry.slice(0, entry.indexOf('\0', entry.indexOf('\0') + 1));
      const list = subscriptions.get(key) ?? [];
      if (list.length === 0) subscriptions.set(key, list);
      list.push(JSON.parse(value.toString()) as StoredSubscription);
    }
    return subscriptions;
  }

  /** What a session left that ended while the broker went down. */
  #forgetOrphans(packets: ReadonlyMap<string, Packets>, keys: ReadonlySet<string>): void {
    for (const [key, { taken, sent }] of packets) {
      if (keys.has(key)) continue;
      const store = this.packets(key);
      store.kept = true;
      for (const packetId of taken) store.removeTaken(packetId);
      for (const { packetId } of sent) store.removeSent(packetId);
    }
  }

  #loadPackets(): Map<string, Packets> {
    const packets = new Map<string, Packets>();
    for (const [entry, value] of [...this.#packets.entries()]) {
      const last = entry.lastIndexOf('\0');
      const middle = entry.lastIndexOf('\0', last - 1);
      const key = entry.slice(0, middle);
      const session = packets.get(key) ?? { taken: [], sent: [] };
      const packetId = Number(entry.slice(last + 1));
      if (entry.slice(middle + 1, last) === 'in') session.taken.push(packetId);
      else session.sent.push(readSent(packetId, value));
      packets.set(key, session);
    }
    return packets;
  }
}

/** Calls back when everything that was written before would survive a crash. */
type Safe = (done: () => void) => void;

export interface SessionStoreParts {
  /** Durable spaces, by name. */
  readonly table: (name: string) => Table;
  readonly safe: Safe;
  readonly log: Log;
}

class StoredPackets implements PacketStore {
  kept = false;
  readonly #table: Table;
  readonly #key: string;
  readonly #safe: Safe;

  constructor(table: Table, key: string, safe: Safe) {
    this.#table = table;
    this.#key = key;
    this.#safe = safe;
  }

  addTaken(packetId: number): void {
    if (this.kept) this.#table.set(this.#entry('in', packetId), PRESENT);
  }

  removeTaken(packetId: number): void {
    if (this.kept) this.#table.delete(this.#entry('in', packetId));
  }

  putSent(packet: SentPacket): void {
    if (this.kept) this.#table.set(this.#entry('out', packet.packetId), writeSent(packet));
  }

  removeSent(packetId: number): void {
    if (this.kept) this.#table.delete(this.#entry('out', packetId));
  }

  safe(done: () => void): void {
    if (this.kept) this.#safe(done);
    else done();
  }

  #entry(direction: 'in' | 'out', packetId: number): string {
    return `${this.#key}\0${direction}\0${packetId}`;
  }
}

/** One byte, whether it was released, and its place as text. */
function writeSent({ place, released }: SentPacket): Buffer {
  return Buffer.from(`${released ? 'r' : 's'}${place}`);
}

/** What has no text is of a version that kept none but those released. */
function readSent(packetId: number, value: Buffer): SentPacket {
  const released = value[0] !== SENT;
  return { packetId, place: Number(value.toString('latin1', 1)) || 0, released };
}

function wishOf([filter, qos, noLocal, retainAsPublished, id]: StoredSubscription): Wish {
  return { request: { filter, qos, noLocal, retainAsPublished, retainHandling: 2 }, id };
}

function parse(value: Buffer): StoredRecord | null {
  try {
    return JSON.parse(value.toString()) as StoredRecord;
  } catch {
    return null;
  }
}

const PRESENT = Buffer.from([1]);
const SENT = 's'.charCodeAt(0);
