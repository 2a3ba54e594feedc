/**
 * Counters as plain fields: the hot path adds to a number, a scrape reads it. One
 * `ProtocolCounters` per protocol, one `Meter` per process.
 */

/** Message and connection counts of one protocol. */
export class ProtocolCounters {
  connectionsOpened = 0;
  connectionsClosed = 0;
  loginsRefused = 0;
  /** Connections that ended by a protocol error of the client's. */
  protocolErrors = 0;
  bytesReceived = 0;
  bytesSent = 0;
  /** Messages taken from publishers. */
  received = 0;
  /** Confirms, PUBACKs, receipts sent for them. */
  confirmed = 0;
  /** Messages given to consumers. */
  delivered = 0;
  /** Of these, those given again. */
  redelivered = 0;
  acknowledged = 0;
  /** Dropped because the receiver was too slow and had not asked for more than "at most once". */
  dropped = 0;
}

/** What the core itself counts. */
export class CoreCounters {
  routed = 0;
  unroutable = 0;
  returned = 0;
  deadLettered = 0;
  expired = 0;
  /** Dropped or refused by a queue that is full. */
  overflowed = 0;
  /** "At most once" messages for subscribers that were away. */
  missed = 0;
}

export class Meter {
  readonly core = new CoreCounters();
  readonly #protocols = new Map<string, ProtocolCounters>();

  protocol(name: string): ProtocolCounters {
    let counters = this.#protocols.get(name);
    if (counters === undefined) {
      counters = new ProtocolCounters();
      this.#protocols.set(name, counters);
    }
    return counters;
  }

  protocols(): Iterable<readonly [name: string, counters: ProtocolCounters]> {
    return this.#protocols;
  }
}
