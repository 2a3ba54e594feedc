/** Where SEND sends: what a destination is to a publisher, remembered by its text. */
import { type Destination, missingDestination, TOPIC_EXCHANGE, unusable } from './destination.ts';
import { parse } from './dialect.ts';
import type { Frame } from './frame.ts';
import type { Link } from './link.ts';
import { DESTINATION } from './names.ts';

export interface Target {
  readonly exchange: string;
  readonly routingKey: string;
  /** A queue to declare where it is missing. */
  readonly queue: string | null;
}

/** Destinations that a connection remembers the meaning of. */
const REMEMBERED_MAX = 1024;

export class Targets {
  readonly #link: Link;
  readonly #known = new Map<string, readonly Target[]>();
  /** The last destination as it was written, and what it meant: mostly the next one's too. */
  #written: Buffer = Buffer.alloc(0);
  #last: readonly Target[] | null = null;

  constructor(link: Link) {
    this.#link = link;
  }

  /** The targets of a SEND: several, where its destination is a composite. */
  find(frame: Frame, done: (targets: readonly Target[]) => void): void {
    if (this.#last !== null && frame.isWritten(DESTINATION, this.#written)) {
      done(this.#last);
      return;
    }
    const text = frame.get(DESTINATION);
    if (text === undefined) throw missingDestination('SEND');
    const written = frame.written(DESTINATION);
    this.#resolve(text, (targets) => {
      this.#written = written;
      this.#last = targets;
      done(targets);
    });
  }

  #resolve(text: string, done: (targets: readonly Target[]) => void): void {
    const known = this.#known.get(text);
    if (known !== undefined) {
      done(known);
      return;
    }
    const destination = parse(this.#link.dialect, text);
    const parts = destination.kind === 'composite' ? destination.parts : [destination];
    const targets: Target[] = [];
    const next = (): void => {
      const part = parts[targets.length];
      if (part === undefined) {
        if (this.#known.size >= REMEMBERED_MAX) this.#known.clear();
        this.#known.set(text, targets);
        done(targets);
        return;
      }
      if (part.kind !== 'temporary-queue') {
        targets.push(this.#target(part, text));
        next();
        return;
      }
      if (this.#link.dialect === 'rabbitmq') throw unusable(text, 'SEND');
      this.#link.run(
        () => this.#link.temporary.queue(part.name),
        (queue) => {
          targets.push({ exchange: '', routingKey: queue, queue: null });
          next();
        },
      );
    };
    next();
  }

  #target(destination: Destination, text: string): Target {
    switch (destination.kind) {
      case 'queue':
        return { exchange: '', routingKey: destination.name, queue: destination.name };
      case 'virtual':
        return { exchange: '', routingKey: destination.queue, queue: destination.queue };
      case 'existing':
        return { exchange: '', routingKey: destination.name, queue: null };
      case 'topic':
        return { exchange: TOPIC_EXCHANGE, routingKey: destination.key, queue: null };
      case 'temporary-topic': {
        const routingKey = this.#link.temporary.topic(destination.name);
        return { exchange: TOPIC_EXCHANGE, routingKey, queue: null };
      }
      case 'exchange':
        return { exchange: destination.exchange, routingKey: destination.key, queue: null };
      default:
        throw unusable(text, 'SEND');
    }
  }
}
