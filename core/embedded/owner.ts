import { LazySet } from '../lazy-set.ts';
import type { Queue } from './types.ts';

/** Who holds deliveries, consumers and exclusive queues: a session, as queues see it. */
export class Owner {
  readonly user: string;
  /** Queues that it consumes or pulls from, or did: to be released with it. */
  readonly holding = new LazySet<Queue>();
  /** At this many, those that are deleted are looked for. */
  sweepAt = 64;
  /** Its own exclusive queues. */
  readonly exclusive = new LazySet<Queue>();
  closed = false;

  constructor(user: string) {
    this.user = user;
  }
}
