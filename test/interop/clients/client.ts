/**
 * What the interop tests ask of every client library, so that one table drives them all. Each wrapper
 * uses its library as its documentation says and speaks its own protocol's addresses; what it received
 * is given in one normal form. Nothing here knows the gateway's code.
 */

/** Somewhere to send to, said without any protocol. Topics are words joined by dots. */
export type Place =
  | { readonly kind: 'queue'; readonly name: string }
  | { readonly kind: 'topic'; readonly key: string }
  /** Topics that match, where a client can say it otherwise than as a topic. */
  | { readonly kind: 'pattern'; readonly key: string }
  /** An account of the gateway, at its XMPP address. */
  | { readonly kind: 'person'; readonly name: string };

export const queue = (name: string): Place => ({ kind: 'queue', name });
export const topic = (key: string): Place => ({ kind: 'topic', key });
export const pattern = (key: string): Place => ({ kind: 'pattern', key });
export const person = (name: string): Place => ({ kind: 'person', name });

export type HeaderMap = Readonly<Record<string, unknown>>;

export interface Outgoing {
  readonly body: Buffer | string;
  readonly contentType?: string | undefined;
  /** Bytes in the way that the protocol's documentation here says. */
  readonly correlationId?: string | Buffer | undefined;
  readonly headers?: HeaderMap | undefined;
  readonly expiryMs?: number | undefined;
  readonly messageId?: string | undefined;
  readonly persistent?: boolean | undefined;
  readonly priority?: number | undefined;
  readonly contentEncoding?: string | undefined;
  /** Seconds since the Unix epoch. */
  readonly timestamp?: number | undefined;
  readonly type?: string | undefined;
  readonly appId?: string | undefined;
}

/** Undefined: the protocol's message does not say. */
export interface Received {
  readonly body: Buffer;
  readonly contentType: string | undefined;
  readonly correlationId: Buffer | undefined;
  /** In the receiver's own form of address. */
  readonly replyTo: string | undefined;
  /** As the library hands them to its application, names of standard properties left out. */
  readonly headers: HeaderMap;
  /** What remains of its life. */
  readonly expiryMs: number | undefined;
  readonly messageId: string | undefined;
  readonly persistent: boolean | undefined;
  readonly priority: number | undefined;
  readonly contentEncoding: string | undefined;
  readonly timestamp: number | undefined;
  readonly type: string | undefined;
  readonly appId: string | undefined;
  /** Replies by the protocol's ordinary means: to the reply address, with the correlation id as received. */
  answer(body: Buffer | string): Promise<void>;
}

export type Protocol = 'amqp' | 'mqtt' | 'stomp' | 'xmpp';

export interface Client {
  readonly protocol: Protocol;
  /** Everything that arrives at `place` from now on. A queue is declared durable where it is missing. */
  consume(place: Place): Promise<Inbox>;
  /** Resolves when the gateway has taken it, as far as the protocol tells. */
  publish(place: Place, message: Outgoing): Promise<void>;
  /** Publishes with a reply address of its own, and answers what came there with this correlation id. */
  request(place: Place, message: Outgoing): Promise<Received>;
  close(): Promise<void>;
}

/** What it takes to connect: the port of the client's protocol, or of HTTP for WebSocket. */
export interface Target {
  readonly port: (protocol: string) => number;
  /** Of an account that the gateway knows; XMPP clients are this person. */
  readonly user: string;
  readonly password: string;
}

export type Connect = (target: Target) => Promise<Client>;

/** How long something that must arrive may take before the test says that it did not. */
const PATIENCE_MS = 8000;

interface Waiting<T> {
  readonly wanted: (message: T) => boolean;
  readonly take: (message: T) => void;
}

/** Messages in order of arrival, each taken once. */
export class Inbox<T = Received> {
  readonly #name: string;
  readonly #arrived: T[] = [];
  #waiting: Waiting<T>[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  push(message: T): void {
    const index = this.#waiting.findIndex(({ wanted }) => wanted(message));
    const [waiting] = index < 0 ? [] : this.#waiting.splice(index, 1);
    if (waiting === undefined) this.#arrived.push(message);
    else waiting.take(message);
  }

  get waiting(): number {
    return this.#arrived.length;
  }

  next(): Promise<T> {
    return this.find(() => true);
  }

  /** The first one that satisfies `wanted`; others are left for whoever wants them. */
  find(wanted: (message: T) => boolean): Promise<T> {
    const index = this.#arrived.findIndex(wanted);
    const [message] = index < 0 ? [] : this.#arrived.splice(index, 1);
    if (message !== undefined) return Promise.resolve(message);
    return new Promise((resolve, reject) => {
      const take = (taken: T): void => {
        clearTimeout(timer);
        resolve(taken);
      };
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other.take !== take);
        reject(new Error(`nothing arrived at ${this.#name} within ${PATIENCE_MS} ms`));
      }, PATIENCE_MS);
      this.#waiting.push({ wanted, take });
    });
  }
}

export function bytesOf(text: Buffer | string): Buffer {
  return typeof text === 'string' ? Buffer.from(text) : text;
}

/** Whole numbers that are there. */
export function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

/** A property as an option of that name, where the message says it. */
export function option<T>(name: string, value: T | undefined): Readonly<Record<string, T>> {
  return value === undefined ? {} : { [name]: value };
}

/** Entries of `headers` but those that stand for properties. */
export function userHeaders(headers: HeaderMap, standard: ReadonlySet<string>): HeaderMap {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !standard.has(name)));
}
