/**
 * What of a session survives a restart: one record a session, and one entry for each QoS 2 exchange
 * that is half done. Messages are in the session's durable queue, not here.
 */
import type { Table } from '../../core/engine.ts';
import type { Log } from '../../core/log.ts';
import type { PacketStore } from './outbox.ts';
import type { Qos } from './packet.ts';
import type { MqttSession } from './session.ts';
import type { Wish } from './session-context.ts';

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
  readonly released: readonly number[];
}

interface StoredRecord {
  readonly vhost: string;
  readonly clientId: string;
  readonly user: string;
  readonly tag: string;
  readonly expirySeconds: number;
  readonly leftAt: number;
  /** Filter, QoS, No Local, Retain As Published, identifier. */
  readonly subscriptions: readonly (readonly [string, Qos, boolean, boolean, number])[];
}

export class SessionStore {
  readonly #records: Table;
  readonly #packets: Table;

  readonly #log: Log;

  constructor(records: Table, packets: Table, log: Log) {
    this.#log = log;
    this.#records = records;
    this.#packets = packets;
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
      subscriptions: [...session.subscriptions.values()].map(({ filter, options }) => [
        filter,
        options.qos,
        options.noLocal,
        options.retainAsPublished,
        options.ids[0] ?? 0,
      ]),
    };
    this.#records.set(key, Buffer.from(JSON.stringify(record)));
  }

  remove(key: string): void {
    this.#records.delete(key);
  }

  /** Packet identifiers of one session. */
  packets(key: string): PacketStore {
    return new StoredPackets(this.#packets, key);
  }

  /** Everything that was kept. */
  load(): Map<string, SessionRecord> {
    const packets = this.#loadPackets();
    const records = new Map<string, SessionRecord>();
    const kept = [...this.#records.entries()];
    this.#forgetOrphans(packets, new Set(kept.map(([key]) => key)));
    for (const [key, value] of kept) {
      const stored = parse(value);
      if (stored === null) {
        this.#log.warn({ session: key }, 'stored session not readable');
        this.remove(key);
        continue;
      }
      const wishes = stored.subscriptions.map(
        ([filter, qos, noLocal, retainAsPublished, id]): Wish => ({
          request: { filter, qos, noLocal, retainAsPublished, retainHandling: 2 },
          id,
        }),
      );
      const { taken = [], released = [] } = packets.get(key) ?? {};
      const tag = stored.tag === '' ? null : Buffer.from(stored.tag, 'hex');
      records.set(key, { ...stored, tag, wishes, taken, released });
    }
    return records;
  }

  /** What a session left that ended while the broker went down. */
  #forgetOrphans(
    packets: ReadonlyMap<string, { readonly taken: number[]; readonly released: number[] }>,
    keys: ReadonlySet<string>,
  ): void {
    for (const [key, { taken, released }] of packets) {
      if (keys.has(key)) continue;
      const store = this.packets(key);
      store.kept = true;
      for (const packetId of taken) store.remove('in', packetId);
      for (const packetId of released) store.remove('out', packetId);
    }
  }

  #loadPackets(): Map<string, { taken: number[]; released: number[] }> {
    const packets = new Map<string, { taken: number[]; released: number[] }>();
    for (const [entry] of [...this.#packets.entries()]) {
      const last = entry.lastIndexOf('\0');
      const middle = entry.lastIndexOf('\0', last - 1);
      const key = entry.slice(0, middle);
      const session = packets.get(key) ?? { taken: [], released: [] };
      const list = entry.slice(middle + 1, last) === 'in' ? session.taken : session.released;
      list.push(Number(entry.slice(last + 1)));
      packets.set(key, session);
    }
    return packets;
  }
}

class StoredPackets implements PacketStore {
  kept = false;
  readonly #table: Table;
  readonly #key: string;

  constructor(table: Table, key: string) {
    this.#table = table;
    this.#key = key;
  }

  add(direction: 'in' | 'out', packetId: number): void {
    if (this.kept) this.#table.set(this.#entry(direction, packetId), PRESENT);
  }

  remove(direction: 'in' | 'out', packetId: number): void {
    if (this.kept) this.#table.delete(this.#entry(direction, packetId));
  }

  #entry(direction: string, packetId: number): string {
    return `${this.#key}\0${direction}\0${packetId}`;
  }
}

function parse(value: Buffer): StoredRecord | null {
  try {
    return JSON.parse(value.toString()) as StoredRecord;
  } catch {
    return null;
  }
}

const PRESENT = Buffer.from([1]);
