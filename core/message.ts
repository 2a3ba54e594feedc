/**
 * The value that crosses from one protocol to another.
 *
 * A message keeps the bytes that its publisher wrote and is never changed. Reading its properties
 * is lazy, and writing it for another protocol happens once per target format (`as`), so traffic
 * that stays on one protocol is passed through untouched and a fan-out converts once.
 */

/** A canonical address: everything that can be published to is an exchange and a routing key. */
export interface Address {
  readonly exchange: string;
  readonly routingKey: string;
}

/**
 * A header value whose AMQP field type is not the one that its JavaScript type implies (see
 * `envelope.ts`): `new Typed('b', 5)` is a signed byte. `letter` is the type letter of AMQP 0-9-1
 * section 4.2.5.5 as RabbitMQ uses it.
 */
export class Typed {
  readonly letter: string;
  readonly value: number | bigint | Buffer;

  constructor(letter: string, value: number | bigint | Buffer) {
    this.letter = letter;
    this.value = value;
  }
}

export type HeaderValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Buffer
  | Typed
  | readonly HeaderValue[]
  | HeaderTable;

/** A nested table: ordered, any string is a legal name. */
export type HeaderTable = ReadonlyMap<string, HeaderValue>;

/**
 * User headers in the publisher's order; a name may repeat (MQTT 5 user properties, STOMP headers).
 */
export type Headers = readonly (readonly [name: string, value: HeaderValue])[];

/** The neutral view of what a publisher said about its message. Absent means not said. */
export interface Properties {
  contentType?: string | undefined;
  contentEncoding?: string | undefined;
  /**
   * True or false where the publisher's protocol says whether the body is text; else see `isText`.
   */
  text?: boolean | undefined;
  /** Bytes only where they are not valid UTF-8. */
  correlationId?: string | Buffer | undefined;
  replyTo?: Address | undefined;
  messageId?: string | undefined;
  /** Seconds since the Unix epoch, as AMQP has it. */
  timestamp?: number | undefined;
  type?: string | undefined;
  userId?: string | undefined;
  appId?: string | undefined;
  headers: Headers;
}

/** One entry of the dead-letter history (RabbitMQ's `x-death`). */
export interface Death {
  readonly queue: string;
  readonly reason: 'rejected' | 'expired' | 'maxlen' | 'delivery_limit';
  readonly count: number;
  /** Milliseconds since the Unix epoch of the first death of this kind; 0: not known. */
  readonly time: number;
  readonly exchange: string;
  readonly routingKeys: readonly string[];
  /**
   * The per-message expiration that was removed, in milliseconds, as RabbitMQ keeps it; null if
   * none.
   */
  readonly originalExpiration: string | null;
}

/** What the broker itself has to say about a message, beside its publisher's properties. */
export interface Trail {
  /** Newest first. */
  readonly deaths: readonly Death[];
  /** Names of publisher's headers that receivers must not see (AMQP's BCC). */
  readonly hidden: readonly string[];
  /** Its place in the stream that it was read from. */
  readonly offset?: number;
  /** It is to wait before it is routed, or did. */
  readonly delay?: Delay;
  /** The connection that sent it, where that must not get it back. */
  readonly sender?: string;
  /** How often its queue has delivered it before, where the queue's receivers see that. */
  readonly deliveries?: number;
  /** When it came to its queue, in milliseconds since the Unix epoch, where that was later. */
  readonly arrivedAt?: number;
}

export interface Delay {
  readonly ms: number;
  /** When it has waited long enough, in milliseconds since the Unix epoch. */
  readonly until: number;
  /** …and for what else it waits then. */
  readonly schedule?: Schedule;
}

/** When a message is sent, and how often, as ActiveMQ has it. */
export interface Schedule {
  readonly delayMs: number;
  /** Between repetitions; 0: there are none. */
  readonly periodMs: number;
  /** Repetitions behind the first time; -1: for ever. */
  readonly times: number;
  /** When all this begins, each time, in cron's notation; null: at once, and only once. */
  readonly cron: string | null;
}

/** The header that asks an `x-delayed-message` exchange for a delay, in milliseconds. */
export const DELAY_HEADER = 'x-delay';

/**
 * How one protocol writes a message's properties. One instance per protocol for the whole process.
 */
export interface Format {
  /** Stored on disk beside each message: never renamed. */
  readonly name: string;
  /** Decodes `message.native`. Bytes were validated when they came in: does not throw. */
  read(message: Message): Properties;
  /**
   * Encodes `message.properties` and the message's own fields for this protocol, at time `now`
   * (ms).
   */
  write(message: Message, now: number): Buffer;
}

/** Of messages without properties, which never leave the process. */
export const SILENT_FORMAT: Format = {
  name: 'silent',
  read: () => ({ headers: [] }),
  write: () => Buffer.alloc(0),
};

interface Conversion {
  readonly format: Format;
  readonly at: number;
  readonly bytes: Buffer;
  readonly next: Conversion | null;
}

interface Encoding {
  readonly key: string;
  readonly bytes: Buffer;
  readonly next: Encoding | null;
}

/** RabbitMQ's header, and consumer argument, for a place in a stream. */
export const STREAM_OFFSET_HEADER = 'x-stream-offset';

/** The consumer argument that names whom a place in a stream is remembered for. */
export const STREAM_GROUP_ARGUMENT = 'x-stream-group';
/** True: the group begins anew, where this consumer says. */
export const STREAM_GROUP_RESET_ARGUMENT = 'x-stream-group-reset';

/** Fixed cost that a message is charged beside its bytes when memory is accounted for. */
const OVERHEAD_BYTES = 256;

export class Message {
  /** Who wrote `native`. */
  readonly format: Format;
  /** The publisher's property bytes, untouched; `format` says what they mean. */
  readonly native: Buffer;
  readonly body: Buffer;
  /** Canonical address it was published to; dead-lettering changes it (`rerouted`). */
  readonly exchange: string;
  readonly routingKey: string;
  /**
   * To be kept across a restart where the queue is durable (AMQP delivery-mode 2, MQTT QoS 1 and
   * 2).
   */
  readonly durable: boolean;
  /** 0 to 255. */
  readonly priority: number;
  /** When it stops being worth delivering, in milliseconds since the Unix epoch; 0: never. */
  readonly expiresAt: number;
  /** When the broker took it, in milliseconds since the Unix epoch. */
  readonly receivedAt: number;
  /** To be kept as the last value of its address (MQTT RETAIN). */
  readonly retain: boolean;
  /** Further routing keys that the sender selected (AMQP CC and BCC headers). */
  readonly copies: readonly string[] | null;
  readonly trail: Trail | null;

  #properties: Properties | null = null;
  #conversions: Conversion | null = null;
  #encodings: Encoding | null = null;
  #owned: Message | null = null;

  constructor(
    format: Format,
    native: Buffer,
    body: Buffer,
    exchange: string,
    routingKey: string,
    durable: boolean,
    priority: number,
    expiresAt: number,
    receivedAt: number,
    retain: boolean = false,
    copies: readonly string[] | null = null,
    trail: Trail | null = null,
  ) {
    this.format = format;
    this.native = native;
    this.body = body;
    this.exchange = exchange;
    this.routingKey = routingKey;
    this.durable = durable;
    this.priority = priority;
    this.expiresAt = expiresAt;
    this.receivedAt = receivedAt;
    this.retain = retain;
    this.copies = copies;
    this.trail = trail;
  }

  /** When it came to its queue, as far as it says, in milliseconds since the Unix epoch. */
  get arrivedAt(): number {
    return this.trail?.arrivedAt ?? this.receivedAt;
  }

  /** Bytes it is charged with in every limit on memory. */
  get size(): number {
    return this.native.length + this.body.length + OVERHEAD_BYTES;
  }

  /** The neutral view, the broker's own notes included; decoded on first use. */
  get properties(): Properties {
    this.#properties ??= annotated(this.format.read(this), this.trail);
    return this.#properties;
  }

  /**
   * The property bytes for `format`: `native` itself where nothing needs saying anew, otherwise one
   * conversion per format, kept for the next receiver. A message that expires is written again when
   * time has moved on, since what remains of its life is part of what is written.
   */
  as(format: Format, now: number): Buffer {
    if (format === this.format && isSilent(this.trail)) return this.native;
    for (let made = this.#conversions; made !== null; made = made.next) {
      if (made.format === format && (this.expiresAt === 0 || made.at === now)) return made.bytes;
    }
    const bytes = format.write(this, now);
    const kept = this.#conversions;
    const next = this.expiresAt === 0 || kept?.at === now ? kept : null;
    this.#conversions = { format, at: now, bytes, next };
    return bytes;
  }

  /** A packet that was encoded once for many receivers under `key`, or null. */
  encoded(key: string): Buffer | null {
    for (let made = this.#encodings; made !== null; made = made.next) {
      if (made.key === key) return made.bytes;
    }
    return null;
  }

  /** Keeps a packet that is the same for every receiver that asks for `key`. Returns it. */
  keepEncoded(key: string, bytes: Buffer): Buffer {
    this.#encodings = { key, bytes, next: this.#encodings };
    return bytes;
  }

  /**
   * The message detached from the socket read that it came in: a subarray pins its whole chunk (up
   * to 64 KiB). A small copy may share Node's pool of 8 KiB with its neighbours. Called by whoever
   * keeps a message beyond the current turn; all of them share one copy.
   */
  own(): Message {
    const used = this.native.length + this.body.length;
    const most = Math.max(used * 4, Buffer.poolSize);
    if (this.body.buffer.byteLength <= most && this.native.buffer.byteLength <= most) return this;
    this.#owned ??= this.#copy(used);
    return this.#owned;
  }

  /**
   * The content of a message that a queue gave up, on its way to another address: shares the bytes,
   * no longer expires, is not retained.
   */
  rerouted(
    exchange: string,
    routingKey: string,
    copies: readonly string[] | null,
    trail: Trail,
  ): Message {
    return this.#with(this.native, this.body, exchange, routingKey, 0, false, copies, trail);
  }

  /** The same message, published to another address than it named. */
  redirected(exchange: string, routingKey: string): Message {
    return this.#with(
      this.native,
      this.body,
      exchange,
      routingKey,
      this.expiresAt,
      this.retain,
      this.copies,
      this.trail,
    );
  }

  /** The same message, for a receiver that is told how often it was delivered before. */
  delivered(deliveries: number): Message {
    const { native, body, exchange, routingKey, expiresAt, retain, copies } = this;
    const trail = { deaths: [], hidden: [], ...this.trail, deliveries };
    return this.#with(native, body, exchange, routingKey, expiresAt, retain, copies, trail);
  }

  /** The same message, in a queue that it came to only now: it was somewhere else before. */
  arrived(arrivedAt: number): Message {
    const { native, body, exchange, routingKey, expiresAt, retain, copies } = this;
    const trail = { deaths: [], hidden: [], ...this.trail, arrivedAt };
    return this.#with(native, body, exchange, routingKey, expiresAt, retain, copies, trail);
  }

  /** The same message, with a note of who sent it. */
  sentBy(sender: string): Message {
    const { native, body, exchange, routingKey, expiresAt, retain, copies } = this;
    const trail = { deaths: [], hidden: [], ...this.trail, sender };
    return this.#with(native, body, exchange, routingKey, expiresAt, retain, copies, trail);
  }

  /** The same message, to be routed only when `delay` is over. */
  postponed(delay: Delay): Message {
    const { exchange, routingKey, expiresAt, retain, copies } = this;
    const trail = { deaths: [], hidden: [], ...this.trail, delay };
    const { native, body } = this;
    return this.#with(native, body, exchange, routingKey, expiresAt, retain, copies, trail);
  }

  /**
   * A postponed message when its time has come: its life begins now. `asked` by its publisher's
   * header it remembers the delay, as receivers see that header negated.
   */
  due(asked: boolean): Message {
    const { trail } = this;
    if (trail?.delay === undefined) return this;
    const { delay, ...before } = trail;
    const bare =
      before.deaths.length === 0 && before.hidden.length === 0 && before.sender === undefined;
    const { native, body, exchange, routingKey, expiresAt, retain, copies } = this;
    const kept = asked ? trail : bare ? null : before;
    return this.#with(native, body, exchange, routingKey, expiresAt, retain, copies, kept).begun(
      this.receivedAt + delay.ms,
    );
  }

  /** The same message, whose life begins only now: before it could not be routed. */
  begun(now: number): Message {
    return new Message(
      this.format,
      this.native,
      this.body,
      this.exchange,
      this.routingKey,
      this.durable,
      this.priority,
      this.expiresAt === 0 ? 0 : this.expiresAt + now - this.receivedAt,
      now,
      this.retain,
      this.copies,
      this.trail,
    );
  }

  /** The message as a stream hands it out: with its place there. */
  streamed(offset: number): Message {
    const { native, body, exchange, routingKey, expiresAt, retain, copies } = this;
    const hidden = [...(this.trail?.hidden ?? []), STREAM_OFFSET_HEADER];
    const trail = { deaths: [], ...this.trail, hidden, offset };
    return this.#with(native, body, exchange, routingKey, expiresAt, retain, copies, trail);
  }

  #copy(size: number): Message {
    const copy = Buffer.allocUnsafe(size);
    copy.set(this.native, 0);
    copy.set(this.body, this.native.length);
    return this.#with(
      copy.subarray(0, this.native.length),
      copy.subarray(this.native.length),
      this.exchange,
      this.routingKey,
      this.expiresAt,
      this.retain,
      this.copies,
      this.trail,
    );
  }

  #with(
    native: Buffer,
    body: Buffer,
    exchange: string,
    routingKey: string,
    expiresAt: number,
    retain: boolean,
    copies: readonly string[] | null,
    trail: Trail | null,
  ): Message {
    return new Message(
      this.format,
      native,
      body,
      exchange,
      routingKey,
      this.durable,
      this.priority,
      expiresAt,
      this.receivedAt,
      retain,
      copies,
      trail,
    );
  }
}

/** The first value of header `name`, or undefined. */
export function header(headers: Headers, name: string): HeaderValue | undefined {
  for (const [key, value] of headers) if (key === name) return value;
  return undefined;
}

/**
 * Publisher's properties with the broker's notes: hidden headers out, dead-letter history in front.
 */
function annotated(properties: Properties, trail: Trail | null): Properties {
  if (trail === null) return properties;
  const replaced = new Set(trail.hidden);
  const added: [string, HeaderValue][] = [];
  const newest = trail.deaths[0];
  // A death that happens again moves to the front and keeps the time of its first.
  const oldest = trail.deaths.reduceRight<Death | undefined>(
    (first, death) => (first === undefined || before(death, first) ? death : first),
    undefined,
  );
  if (newest !== undefined && oldest !== undefined) {
    added.push(['x-death', trail.deaths.map(deathTable)]);
    // The first stays so where a message comes with its history from elsewhere.
    const { headers } = properties;
    const known =
      Array.isArray(header(headers, 'x-death')) &&
      header(headers, 'x-first-death-reason') !== undefined;
    for (const [which, death] of [
      ['first', oldest],
      ['last', newest],
    ] as const) {
      if (which === 'first' && known) continue;
      added.push([`x-${which}-death-reason`, death.reason]);
      added.push([`x-${which}-death-queue`, death.queue]);
      added.push([`x-${which}-death-exchange`, death.exchange]);
    }
    for (const [name] of added) replaced.add(name);
  }
  if (trail.offset !== undefined) {
    added.push([STREAM_OFFSET_HEADER, new Typed('l', BigInt(trail.offset))]);
  }
  if (trail.deliveries !== undefined) {
    added.push(['x-delivery-count', new Typed('l', BigInt(trail.deliveries))]);
    replaced.add('x-delivery-count');
  }
  const kept = properties.headers
    .filter(([name]) => !replaced.has(name))
    .map(([name, value]): Headers[number] =>
      // As RabbitMQ's plug-in has it: what was waited for is not waited for again.
      name === DELAY_HEADER && trail.delay !== undefined ? [name, -trail.delay.ms] : [name, value],
    );
  return { ...properties, headers: [...kept, ...added] };
}

/** Whether there is none, or one that says who the sender is and nothing that receivers see. */
function isSilent(trail: Trail | null): boolean {
  if (trail === null) return true;
  const { sender, deaths, hidden, offset, delay, deliveries } = trail;
  if (sender === undefined || deaths.length > 0 || hidden.length > 0) return false;
  return offset === undefined && delay === undefined && deliveries === undefined;
}

/** Of those of one millisecond what happened more often began: the others are steps of its round. */
function before(death: Death, first: Death): boolean {
  return death.time < first.time || (death.time === first.time && death.count > first.count);
}

function deathTable(death: Death): HeaderTable {
  const table = new Map<string, HeaderValue>([
    ['count', new Typed('l', BigInt(death.count))],
    ['reason', death.reason],
    ['queue', death.queue],
    ['exchange', death.exchange],
    ['routing-keys', death.routingKeys],
  ]);
  if (death.time > 0) table.set('time', new Date(Math.floor(death.time / 1000) * 1000));
  if (death.originalExpiration !== null) table.set('original-expiration', death.originalExpiration);
  return table;
}
