/**
 * The virtual hosts of an engine: those of the configuration, which are always there, and those
 * that are made and deleted while it runs. What is set at run time is kept in the store's
 * definitions, one record of the kind `vhost` for each:
 *
 *     NAME → { version, description, tags, defaultQueueType, limits, deleting }
 */
import type { Proposal, VhostLimits, VhostMetadata, VhostView } from '../engine.ts';
import { BrokerError } from '../errors.ts';
import type { Definitions } from '../store.ts';
import type { VirtualHost } from './vhost.ts';

export interface VhostsContext {
  /** Those of the configuration, and their limits. */
  readonly names: readonly string[];
  readonly limits: Readonly<Record<string, VhostLimits>>;
  readonly nameBytesMax: number;
  readonly definitions: Definitions;
  readonly queueTypes: readonly string[];
  /** `settings` are what the vhost goes by from then on; they change. */
  make(name: string, settings: VhostSettings): VirtualHost;
  /** A vhost is about to be deleted: whoever is in it leaves. */
  leave(name: string): void;
  /** It is deleted. */
  deleted(name: string): void;
}

/** What a virtual host is told of its limits and defaults. */
export interface VhostSettings {
  readonly queuesMax: number;
  readonly defaultQueueType: string;
}

interface VhostRecord extends VhostMetadata {
  readonly version: number;
  readonly limits: VhostLimits;
  /** Set for as long as deleting takes: a start goes on with it. */
  readonly deleting?: true;
}

const KIND = 'vhost';
const RECORD_VERSION = 1;
const NO_LIMITS: VhostLimits = { connectionsMax: undefined, queuesMax: undefined };
const NEW: VhostRecord = {
  version: RECORD_VERSION,
  description: '',
  tags: [],
  defaultQueueType: '',
  limits: NO_LIMITS,
};

export class Vhosts {
  readonly #context: VhostsContext;
  readonly #hosts = new Map<string, VirtualHost>();
  readonly #records = new Map<string, VhostRecord>();

  constructor(context: VhostsContext) {
    this.#context = context;
  }

  /** Makes all vhosts, with what is in them; ends a deletion that a crash cut off. */
  recover(): void {
    const { definitions, names } = this.#context;
    const deleting: string[] = [];
    for (const name of names) this.#records.set(name, NEW);
    for (const [name, text] of definitions.entries(KIND)) {
      const record = JSON.parse(text) as VhostRecord;
      if (record.version > RECORD_VERSION) {
        throw new Error(`vhost '${name}' was written by a newer version of Rosetta MQ`);
      }
      this.#records.set(name, record);
      if (record.deleting === true) deleting.push(name);
    }
    for (const name of this.#records.keys()) this.#make(name);
    for (const name of deleting) {
      // The configuration has it again: empty, as it would have been.
      this.#empty(name);
      if (names.includes(name)) this.#make(name);
    }
  }

  get size(): number {
    return this.#hosts.size;
  }

  get(name: string): VirtualHost | undefined {
    return this.#hosts.get(name);
  }

  names(): readonly string[] {
    return [...this.#hosts.keys()];
  }

  values(): Iterable<VirtualHost> {
    return this.#hosts.values();
  }

  view(name: string): VhostView | undefined {
    const record = this.#records.get(name);
    if (record === undefined) return undefined;
    const { description, tags, defaultQueueType } = record;
    const configured = this.#context.names.includes(name);
    const limitsConfigured = this.#context.limits[name] !== undefined;
    const limits = this.#limits(name);
    return { name, description, tags, defaultQueueType, limits, limitsConfigured, configured };
  }

  connectionsMax(name: string): number | undefined {
    return this.#limits(name).connectionsMax;
  }

  put(name: string, change: Partial<VhostMetadata>): boolean {
    const { nameBytesMax, queueTypes } = this.#context;
    if (name === '' || Buffer.byteLength(name) > nameBytesMax || name.includes('\0')) {
      throw new BrokerError('precondition-failed', `vhost name is not 1 to ${nameBytesMax} bytes`);
    }
    const { defaultQueueType = '' } = change;
    if (defaultQueueType !== '' && !queueTypes.includes(defaultQueueType)) {
      throw new BrokerError('precondition-failed', `unknown queue type '${defaultQueueType}'`);
    }
    const known = this.#records.get(name);
    this.#write(name, { ...(known ?? NEW), ...change });
    if (known !== undefined) return false;
    this.#make(name);
    return true;
  }

  /** A vhost that is not there yet will take what any takes. */
  check(name: string, proposal: Proposal): void {
    const host = this.#hosts.get(name);
    if (host !== undefined) host.check(proposal, false);
    else for (const any of [...this.#hosts.values()].slice(0, 1)) any.check(proposal, true);
  }

  setLimits(name: string, limits: VhostLimits): void {
    const record = this.#require(name);
    if (this.#context.limits[name] !== undefined) {
      throw new BrokerError('not-allowed', `the configuration file limits vhost '${name}'`);
    }
    this.#write(name, { ...record, limits });
  }

  delete(name: string): void {
    const record = this.#require(name);
    if (this.#context.names.includes(name)) {
      const reason = `vhost '${name}' stands in the configuration file: it is deleted there`;
      throw new BrokerError('not-allowed', reason);
    }
    this.#write(name, { ...record, deleting: true });
    this.#empty(name);
  }

  close(): void {
    for (const vhost of this.#hosts.values()) vhost.close();
  }

  #make(name: string): void {
    const settings = (): VhostSettings => ({
      queuesMax: this.#limits(name).queuesMax ?? Number.POSITIVE_INFINITY,
      defaultQueueType: this.#records.get(name)?.defaultQueueType ?? '',
    });
    const vhost = this.#context.make(name, {
      get queuesMax() {
        return settings().queuesMax;
      },
      get defaultQueueType() {
        return settings().defaultQueueType;
      },
    });
    this.#hosts.set(name, vhost);
  }

  /** Nobody finds it from here on. What it was goes last: until then it would be done again. */
  #empty(name: string): void {
    const vhost = this.#hosts.get(name);
    this.#hosts.delete(name);
    this.#context.leave(name);
    vhost?.clear();
    this.#context.deleted(name);
    this.#context.definitions.delete(KIND, name);
    if (this.#context.names.includes(name)) this.#records.set(name, NEW);
    else this.#records.delete(name);
  }

  #write(name: string, record: VhostRecord): void {
    this.#records.set(name, record);
    this.#context.definitions.put(KIND, name, JSON.stringify(record));
  }

  #limits(name: string): VhostLimits {
    return this.#context.limits[name] ?? this.#records.get(name)?.limits ?? NO_LIMITS;
  }

  #require(name: string): VhostRecord {
    const record = this.#records.get(name);
    if (record !== undefined) return record;
    throw new BrokerError('not-found', `vhost ${name} not found`);
  }
}
