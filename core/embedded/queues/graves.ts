/**
 * Dead letters that a queue keeps until they have arrived (RabbitMQ's `at-least-once`): one whose
 * exchange is not there, that goes nowhere, or that a full queue refuses stays, and is tried again.
 *
 *     oldest ─▶ [ at most WINDOW: under way, or to be tried again ] [ wait their turn ] ◀─ add
 *
 * They stay in the queue's log; that they are dead is written down when they do not get through at
 * once. Those that are under way come back as messages after a crash.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { Table } from '../../engine.ts';
import type { Death, Message } from '../../message.ts';
import type { QueueLog } from '../../store.ts';
import type { Letter } from '../types.ts';
import type { Entry } from './entry.ts';

/** RabbitMQ's prefetch for them. */
const WINDOW = 32;
/** Between attempts, doubled each time that none got through; RabbitMQ always waits 180 seconds. */
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 60_000;

type Reason = Death['reason'];

export interface GravesParts {
  readonly clock: Clock;
  readonly log: QueueLog | null;
  /** What died, by position; null: nothing survives the process. */
  readonly table: Table | null;
  /** Bytes that they may count in memory; what is beyond is read from the log again. */
  readonly windowBytes: number;
  /** Sends one on its way; the letter is told how it went. */
  send(message: Message, reason: Reason, letter: Letter): void;
  /** It no longer counts in memory. */
  forgotten(entry: Entry): void;
  /** It has arrived, or cannot be read any more. */
  arrived(position: number, logged: boolean): void;
}

interface Grave extends Letter {
  readonly position: number;
  readonly reason: Reason;
  readonly logged: boolean;
  readonly bodyBytes: number;
  /** Null: it is in the log only. */
  entry: Entry | null;
  written: boolean;
  /** Under way, or to be tried again. */
  begun: boolean;
}

export class Graves {
  readonly #parts: GravesParts;
  /** By position, in the order of their deaths. */
  readonly #graves = new Map<number, Grave>();
  readonly #again = new Set<Grave>();
  #bodyBytes = 0;
  #charged = 0;
  #retryMs = RETRY_MS_MIN;
  #timer: Timer | null = null;
  #closed = false;

  /** Knows again what was written down. */
  constructor(parts: GravesParts) {
    this.#parts = parts;
    const known = [...(parts.table?.entries() ?? [])].map(
      ([key, value]) => [Number(key), value.toString().split(' ')] as const,
    );
    known.sort(([one], [other]) => one - other);
    for (const [position, [reason, bodyBytes]] of known) {
      const grave = this.#dig(position, reason as Reason, true, Number(bodyBytes));
      grave.written = true;
    }
    if (this.#graves.size > 0) parts.clock.soon(() => this.#fill());
  }

  get length(): number {
    return this.#graves.size;
  }

  /** Of their bodies. */
  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  has(position: number): boolean {
    return this.#graves.has(position);
  }

  /** Takes an entry that its queue is done with, but for its way on. */
  add(entry: Entry, reason: Reason): void {
    const { position, logged, message } = entry;
    const grave = this.#dig(position, reason, logged, message.body.length);
    if (logged && this.#charged > this.#parts.windowBytes) {
      this.#parts.forgotten(entry);
    } else {
      grave.entry = entry;
      this.#charged += entry.charge;
    }
    this.#fill();
    if (!grave.begun) this.#write(grave);
  }

  /** The queue is deleted (`deleting`), or the engine stops. */
  close(deleting: boolean): void {
    this.#closed = true;
    this.#timer?.cancel();
    if (!deleting) return;
    for (const grave of this.#graves.values()) this.#erase(grave);
    this.#graves.clear();
  }

  #dig(position: number, reason: Reason, logged: boolean, bodyBytes: number): Grave {
    const grave: Grave = {
      position,
      reason,
      logged,
      bodyBytes,
      entry: null,
      written: false,
      begun: false,
      arrived: new Set(),
      tried: (everywhere) => this.#tried(grave, everywhere),
    };
    this.#graves.set(position, grave);
    this.#bodyBytes += bodyBytes;
    return grave;
  }

  /** Begins with those whose turn it is. */
  #fill(): void {
    let begun = 0;
    for (const grave of this.#graves.values()) {
      if (this.#closed || begun++ === WINDOW) return;
      if (!grave.begun) this.#send(grave);
    }
  }

  #send(grave: Grave): void {
    grave.begun = true;
    const message = grave.entry?.message ?? this.#read(grave.position);
    if (message === null) this.#end(grave);
    else this.#parts.send(message, grave.reason, grave);
  }

  #read(position: number): Message | null {
    const [logged] = this.#parts.log?.read(position - 1, 1, 1).messages ?? [];
    return logged?.position === position ? logged.message : null;
  }

  #tried(grave: Grave, everywhere: boolean): void {
    if (this.#closed) return;
    if (everywhere) {
      this.#retryMs = RETRY_MS_MIN;
      this.#end(grave);
      this.#fill();
      return;
    }
    this.#again.add(grave);
    this.#write(grave);
    if (this.#timer !== null) return;
    this.#timer = this.#parts.clock.after(this.#retryMs, () => this.#tryAgain());
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MS_MAX);
  }

  #tryAgain(): void {
    this.#timer = null;
    const again = [...this.#again];
    this.#again.clear();
    for (const grave of again) this.#send(grave);
  }

  #end(grave: Grave): void {
    if (!this.#graves.delete(grave.position)) return;
    this.#bodyBytes -= grave.bodyBytes;
    this.#charged -= grave.entry?.charge ?? 0;
    this.#erase(grave);
    if (grave.entry !== null) this.#parts.forgotten(grave.entry);
    this.#parts.arrived(grave.position, grave.logged);
  }

  #write(grave: Grave): void {
    const { position, reason, bodyBytes, logged, written } = grave;
    if (written || !logged) return;
    grave.written = true;
    this.#parts.table?.set(String(position), Buffer.from(`${reason} ${bodyBytes}`));
  }

  #erase({ position, written }: Grave): void {
    if (written) this.#parts.table?.delete(String(position));
  }
}
