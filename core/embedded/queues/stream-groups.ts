/**
 * Readers of a stream that share a place in it under a name (`x-stream-group`). One of them reads,
 * the others wait to take over; what is acknowledged is remembered, also across restarts.
 *
 *     stored: the first that is not done with      reach: handed out up to here
 *     ▼                                            ▼
 *     d d d o d d o o d a o                        d done, o outstanding, a again (given back)
 *
 * A group is written down with its first reader, so that from then on it misses nothing. While the
 * process lives only what was not acknowledged comes again; after a crash everything from the
 * stored place on does.
 */
import type { Clock } from '../../clock.ts';
import type { StreamGroupView, Table } from '../../engine.ts';
import type { Member } from './member.ts';

export interface StreamGroupsParts {
  readonly clock: Clock;
  /** A group that nobody read for so long is forgotten when another one comes. */
  readonly idleMs: number;
  /** Places by name, and when they were written; null: they are in memory only. */
  readonly table: Table | null;
  /** Calls `done` when everything written before is safe. */
  flush(done: () => void): void;
  /** The last position that a reader could have. */
  committed(): number;
}

export class StreamGroups {
  readonly #parts: StreamGroupsParts;
  readonly #groups = new Map<string, StreamGroup>();
  /** Those whose place is not written yet, while what was written before is on its way. */
  readonly #changed = new Set<StreamGroup>();
  #writing = false;

  constructor(parts: StreamGroupsParts) {
    this.#parts = parts;
    const now = parts.clock.now();
    for (const [name, record] of parts.table?.entries() ?? []) {
      const [offset, usedAt = now] = record.toString().split(' ').map(Number);
      const group = this.#make(name, (offset ?? 0) + 1);
      group.usedAt = usedAt;
      this.#groups.set(name, group);
    }
  }

  get size(): number {
    return this.#groups.size;
  }

  find(name: string): StreamGroup | undefined {
    return this.#groups.get(name);
  }

  /** A new group, which begins at a position. */
  add(name: string, position: number): StreamGroup {
    const group = this.#make(name, position);
    this.#groups.set(name, group);
    this.#note(group);
    return group;
  }

  /** Whoever names it next begins a new one. */
  forget({ name }: StreamGroup): void {
    const group = this.#groups.get(name);
    if (group === undefined) return;
    this.#groups.delete(name);
    this.#changed.delete(group);
    this.#parts.table?.delete(name);
  }

  /** A reader of the group has gone. */
  left(group: StreamGroup): void {
    if (this.#groups.get(group.name) === group) this.#note(group);
  }

  views(): StreamGroupView[] {
    const end = this.#parts.committed() + 1;
    return [...this.#groups.values()].map((group) => ({
      name: group.name,
      offset: group.place - 1,
      behind: Math.max(0, end - group.place),
      consumers: group.consumers,
    }));
  }

  /** The stream is deleted, and its groups with it (`deleting`), or the engine stops. */
  close(deleting: boolean): void {
    if (!deleting) {
      for (const group of this.#groups.values()) if (group.consumers > 0) this.#changed.add(group);
      this.#write();
      return;
    }
    this.#changed.clear();
    for (const name of this.#groups.keys()) this.#parts.table?.delete(name);
    this.#groups.clear();
  }

  #make(name: string, position: number): StreamGroup {
    return new StreamGroup(name, position, (group) => this.#note(group));
  }

  /** Forgets those that nobody read for long. */
  sweep(): void {
    const { clock, idleMs } = this.#parts;
    const oldest = clock.now() - idleMs;
    for (const group of this.#groups.values()) {
      if (group.consumers === 0 && group.usedAt <= oldest) this.forget(group);
    }
  }

  /** One write for all that changed while the one before it was on its way. */
  #note(group: StreamGroup): void {
    group.usedAt = this.#parts.clock.now();
    if (this.#parts.table === null) return;
    this.#changed.add(group);
    if (this.#writing) return;
    this.#writing = true;
    this.#write();
    this.#parts.flush(() => {
      this.#writing = false;
      const [next] = this.#changed;
      if (next !== undefined) this.#note(next);
    });
  }

  #write(): void {
    const now = this.#parts.clock.now();
    for (const { name, place } of this.#parts.table === null ? [] : this.#changed) {
      this.#parts.table?.set(name, Buffer.from(`${place - 1} ${now}`));
    }
    this.#changed.clear();
  }
}

export class StreamGroup {
  readonly name: string;
  /** When somebody read for it last, in milliseconds since the Unix epoch. */
  usedAt = 0;
  readonly #moved: (group: StreamGroup) => void;
  /** In order of succession: the first one reads. */
  #members: readonly Member[] = [];
  /** Handed out or passed by up to here: the next position to be read. */
  #reach: number;
  #place: number;
  /** Handed out and not done with, in the order of their positions. */
  readonly #outstanding = new Set<number>();
  /** Of these, those that came back, in order, and how often each was handed out. */
  #again: number[] = [];
  readonly #attempts = new Map<number, number>();

  constructor(name: string, position: number, moved: (group: StreamGroup) => void) {
    this.name = name;
    this.#reach = position;
    this.#place = position;
    this.#moved = moved;
  }

  /** Everything before it is done with. */
  get place(): number {
    return this.#place;
  }

  get reach(): number {
    return this.#reach;
  }

  get consumers(): number {
    return this.#members.length;
  }

  get active(): Member | null {
    return this.#members[0] ?? null;
  }

  join(member: Member): void {
    this.#members = [...this.#members, member];
  }

  leave(member: Member): void {
    this.#members = this.#members.filter((other) => other !== member);
  }

  /** Takes what came back first; null: nothing did. */
  takeAgain(): number | null {
    return this.#again.shift() ?? null;
  }

  /** A message is handed out. Returns how often it was before. */
  handed(position: number): number {
    if (position >= this.#reach) {
      if (this.#outstanding.size === 0) this.#place = position;
      this.#reach = position + 1;
      this.#outstanding.add(position);
      return 0;
    }
    return this.#attempts.get(position) ?? 0;
  }

  /** The readers do not want it, or it cannot be read. */
  passed(position: number): void {
    this.#reach = Math.max(this.#reach, position + 1);
    if (this.#outstanding.size === 0) this.#moveTo(this.#reach);
    else this.done(position);
  }

  done(position: number): void {
    this.#outstanding.delete(position);
    this.#attempts.delete(position);
    if (position !== this.#place) return;
    const [first] = this.#outstanding;
    this.#moveTo(first ?? this.#reach);
  }

  /** It was not done with, and is to be handed out again. */
  giveBack(position: number): void {
    if (!this.#outstanding.has(position)) return;
    this.#attempts.set(position, (this.#attempts.get(position) ?? 0) + 1);
    const at = this.#again.findIndex((other) => other > position);
    this.#again.splice(at === -1 ? this.#again.length : at, 0, position);
  }

  #moveTo(place: number): void {
    this.#place = place;
    this.#moved(this);
  }
}
