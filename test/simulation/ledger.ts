/** What the simulation of crashes knows of each message: where it must be, may be and must not be. */
import assert from 'node:assert/strict';
import { Fate } from '../../core/engine.ts';

export interface LedgerCopy {
  readonly id: string;
  readonly number: number;
  /** Its place among the others of its queue. */
  readonly order: number;
  readonly queue: LedgerQueue;
  readonly durable: boolean;
  /** When it came, in steps of the ledger; when it went, which may come to nothing with a crash. */
  readonly at: number;
  goneAt: number | null;
  /** Whoever published it was told. */
  confirmed: boolean;
  /** It went to the dead letters. */
  buried: boolean;
}

export interface LedgerQueue {
  readonly name: string;
  readonly at: number;
  readonly max: number | null;
  deleted: boolean;
  ready: LedgerCopy[];
  /** Everything that a restart could find. */
  copies: LedgerCopy[];
}

export interface Publication {
  fate: Fate | null;
  readonly foretold: Fate;
}

export class Ledger {
  readonly queues = new Map<string, LedgerQueue>();
  /** Deleted, and not yet known to be safe so. */
  #removed: { readonly queue: LedgerQueue; readonly at: number }[] = [];
  #open = new Map<string, Publication>();
  #number = 0;
  #order = 0;
  #now = 0;
  #safe = 0;
  /** Last values of one key, oldest first: at least the first is safe. */
  #retained: { readonly id: string | null; readonly at: number }[] = [{ id: null, at: 0 }];
  /** The stream as it must be, and behind that as it may be. */
  #stream: { readonly id: string; readonly at: number; confirmed: boolean; done: boolean }[] = [];

  get now(): number {
    return ++this.#now;
  }

  nextId(): string {
    return `<${++this.#number}>`;
  }

  publish(id: string, exchange: string, key: string, durable: boolean, retain: boolean) {
    const at = this.now;
    const names =
      exchange === '' ? [key] : exchange === 'amq.fanout' ? [...this.queues.keys()] : [];
    let foretold: Fate = Fate.UNROUTABLE;
    if (key === 'log') {
      this.#stream.push({ id, at, confirmed: false, done: false });
      foretold = Fate.CONFIRMED;
    }
    if (retain) this.#retained.push({ id, at });
    for (const name of names) {
      const queue = this.queues.get(name);
      if (queue === undefined) continue;
      if (foretold === Fate.UNROUTABLE) foretold = Fate.CONFIRMED;
      if (queue.max !== null && queue.ready.length >= queue.max) foretold = Fate.REFUSED;
      else this.#add(queue, id, durable, at);
    }
    const publication: Publication = { fate: null, foretold };
    this.#open.set(id, publication);
    return publication;
  }

  /** Returns whether a durable copy of it is still wanted. */
  confirmed(id: string): boolean {
    let wanted = false;
    for (const queue of this.queues.values()) {
      for (const copy of queue.copies) {
        if (copy.id !== id) continue;
        copy.confirmed = true;
        wanted ||= copy.durable && copy.goneAt === null;
      }
    }
    for (const each of this.#stream) if (each.id === id) each.confirmed = wanted = true;
    return wanted;
  }

  gone(copy: LedgerCopy): void {
    copy.goneAt = this.now;
  }

  requeue(copy: LedgerCopy): void {
    const { ready } = copy.queue;
    const at = ready.findIndex((other) => other.order > copy.order);
    ready.splice(at === -1 ? ready.length : at, 0, copy);
  }

  reject(copy: LedgerCopy): void {
    this.gone(copy);
    const dead = this.queues.get('dead');
    if (copy.queue.name !== 'work' || dead === undefined) return;
    copy.buried = true;
    const risen = this.#add(dead, copy.id, copy.durable, copy.goneAt ?? 0);
    risen.confirmed = copy.confirmed;
  }

  mayDeclare(name: string): boolean {
    return !this.#removed.some(({ queue }) => queue.name === name);
  }

  declare(name: string, max: number | null): void {
    const queue = { name, max, at: this.now, deleted: false, ready: [], copies: [] };
    this.queues.set(name, queue);
  }

  remove(name: string): void {
    const queue = this.queues.get(name);
    if (queue === undefined) return;
    queue.deleted = true;
    queue.ready = [];
    this.queues.delete(name);
    this.#removed.push({ queue, at: this.now });
  }

  safeTo(now: number): void {
    this.#safe = Math.max(this.#safe, now);
    this.#removed = this.#removed.filter(({ at }) => at > this.#safe);
  }

  requireSettled(): void {
    for (const [id, { fate, foretold }] of this.#open)
      assert.equal(fate, foretold, `fate of ${id}`);
    this.#open.clear();
  }

  streamed(id: string): void {
    assert(
      this.#stream.some((each) => each.id === id),
      `${id} was published to the stream`,
    );
  }

  streamDone(id: string): void {
    for (const each of this.#stream) if (each.id === id) each.done = true;
  }

  auditStream(found: readonly string[], place: number): void {
    const kept = this.#stream.filter(({ id, at, confirmed }, index) => {
      const must = confirmed || at <= this.#safe;
      if (must) assert.equal(found[index], id, `${id} at ${index} of the stream`);
      return index < found.length;
    });
    assert.deepEqual(
      found,
      kept.map(({ id }) => id),
      'the stream has nothing else',
    );
    const open = kept.findIndex(({ done }) => !done);
    assert(place <= (open === -1 ? kept.length : open), 'a group passes nothing that was not done');
    this.#stream = kept.map((each, index) => ({ ...each, at: 0, done: index < place }));
  }

  auditRetained(found: string | null): void {
    const safe = this.#retained.findLastIndex(({ at }) => at <= this.#safe);
    const possible = this.#retained.slice(Math.max(0, safe)).map(({ id }) => id);
    assert(possible.includes(found), `the last value ${found} is one of ${possible}`);
    this.#retained = [{ id: found, at: 0 }];
  }

  /** What is in each queue after a restart. */
  audit(found: ReadonlyMap<string, readonly string[]>): void {
    for (const { queue } of this.#removed) {
      if (found.has(queue.name)) this.queues.set(queue.name, queue);
    }
    for (const name of found.keys()) assert(this.queues.has(name), `${name} is gone for good`);
    for (const queue of [...this.queues.values()]) this.#auditQueue(queue, found);
    this.#auditBuried(found);
    for (const queue of [...this.queues.values()]) this.#goOn(queue, found.get(queue.name));
    this.#removed = [];
    this.#open.clear();
  }

  #auditQueue(queue: LedgerQueue, found: ReadonlyMap<string, readonly string[]>): void {
    const { name, at, deleted, copies } = queue;
    const ids = found.get(name);
    assert(ids !== undefined || at > this.#safe || deleted, `${name} is there again`);
    if (ids === undefined) return;
    let before = 0;
    const left = [...copies];
    for (const id of ids) {
      const copy = this.#takeOne(left, id);
      assert(copy !== null, `${id} may be in ${name}`);
      assert(copy.durable, `${id}, which is not durable, is forgotten`);
      // A dead letter may come twice: its queue had it again when the process died in between.
      if (name !== 'dead') assert(copy.number > before, `${id} at its place in ${name}, once`);
      before = copy.number;
    }
    for (const copy of copies) {
      const safe = copy.confirmed || copy.at <= this.#safe;
      if (!copy.durable || !safe || copy.goneAt !== null) continue;
      // A dead letter whose death was not safe is back where it died.
      if (name === 'dead' && copy.at > this.#safe) continue;
      assert(ids.includes(copy.id), `${copy.id}, which was confirmed, is in ${name}`);
    }
  }

  /** What died is where it died, or among the dead, until it is done with there. */
  #auditBuried(found: ReadonlyMap<string, readonly string[]>): void {
    const work = this.queues.get('work');
    const dead = this.queues.get('dead');
    for (const copy of work?.copies ?? []) {
      if (!copy.buried || !copy.durable || !(copy.confirmed || copy.at <= this.#safe)) continue;
      const risen = dead?.copies.filter(({ id }) => id === copy.id) ?? [];
      if (risen.length === 0 || risen.some(({ goneAt }) => goneAt !== null)) continue;
      const places = ['work', 'dead'].filter((name) => found.get(name)?.includes(copy.id));
      assert(places.length > 0, `${copy.id} died, and is not lost`);
    }
  }

  #goOn(queue: LedgerQueue, ids: readonly string[] | undefined): void {
    if (ids === undefined) {
      this.queues.delete(queue.name);
      return;
    }
    const left = [...queue.copies];
    const copies = ids.map((id) => {
      const copy = this.#takeOne(left, id);
      assert(copy !== null);
      const order = ++this.#order;
      return { ...copy, order, at: 0, goneAt: null, confirmed: true, buried: false };
    });
    const fresh: LedgerQueue = { ...queue, at: 0, deleted: false, copies: [], ready: [] };
    fresh.copies = copies.map((copy) => ({ ...copy, queue: fresh }));
    fresh.ready = [...fresh.copies];
    this.queues.set(queue.name, fresh);
  }

  /** A copy that may still be there: one that is still wanted, or whose end was perhaps not safe. */
  #takeOne(copies: LedgerCopy[], id: string): LedgerCopy | null {
    const wanted = copies.findIndex((copy) => copy.id === id && copy.goneAt === null);
    const at =
      wanted !== -1
        ? wanted
        : copies.findIndex((copy) => copy.id === id && (copy.goneAt ?? 0) > this.#safe);
    return at === -1 ? null : (copies.splice(at, 1)[0] ?? null);
  }

  #add(queue: LedgerQueue, id: string, durable: boolean, at: number): LedgerCopy {
    const number = Number(id.slice(1, -1));
    const order = ++this.#order;
    const fresh = { goneAt: null, confirmed: false, buried: false };
    const copy = { id, number, order, queue, durable, at, ...fresh };
    queue.ready.push(copy);
    queue.copies.push(copy);
    return copy;
  }
}
