/**
 * What a protocol adapter is: an object that turns bytes of one wire protocol into calls on the
 * engine port and back. It never sees a socket: a `Connection` takes bytes, a `Transport` takes
 * bytes, so TCP, TLS, WebSocket and tests are one.
 */
import type { AccountAdmin, Authenticator, Authorizer } from '../core/auth.ts';
import type { Clock } from '../core/clock.ts';
import type { Engine, Eventually, Peer } from '../core/engine.ts';
import type { AddressForm } from '../core/explain.ts';
import type { Limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import type { Format } from '../core/message.ts';
import type { Meter } from '../core/meter.ts';
import type { Random } from '../core/random.ts';
import type { Registry } from '../core/registry.ts';
import type { Output } from './output.ts';

export interface Adapter<Options = unknown> {
  /**
   * The protocols that listeners may name for it: `listeners: [{ protocol: … }]`. The first is also
   * its section in the file.
   */
  readonly protocols: readonly string[];
  /** Default ports, by protocol. */
  readonly ports: Readonly<Record<string, { readonly plain: number; readonly tls: number }>>;
  /** WebSocket subprotocols of its first protocol. */
  readonly subprotocols: readonly string[];
  /**
   * Validates its own section of the configuration file; undefined where there is none. Throws
   * ConfigError with the path.
   */
  options(section: unknown): Options;
  /**
   * How it writes properties: asked for before anything starts, since stored messages are read with
   * it.
   */
  format(options: Options): Format;
  /** How it writes addresses, for explaining them; none where it has no notation of its own. */
  addresses?(options: Options): AddressForm;
  start(context: Context, options: Options): Eventually<Gate>;
}

/** What an adapter is given; nothing else in the process is reachable to it. */
export interface Context {
  readonly engine: Engine;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  /** Accounts beside those of the configuration file. */
  readonly accounts: AccountAdmin;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly meter: Meter;
  readonly limits: Limits;
  /** Every protocol's way to write properties, by name: what is stored is read back with them. */
  readonly formats: Registry<Format>;
  readonly dial: Dial;
  /** Product name and version, for greetings. */
  readonly product: { readonly name: string; readonly version: string };
}

/**
 * Connects to another server. `open` is called once the connection is there, and gives it its
 * adapter's end; `failed` instead, where there is none: neither within this call. A connection that
 * says nothing of `authenticated` within the login time-out is closed.
 */
export type Dial = (
  target: { readonly protocol: string; readonly host: string; readonly port: number },
  open: (transport: Transport, peer: Peer) => Connection,
  failed: (error: Error) => void,
) => void;

/** What the configuration says of one listener, as far as it concerns the adapter. */
export interface ListenerOptions {
  /** One of the adapter's protocols. */
  readonly protocol: string;
  /** STOMP: how destinations are read, where it differs from the section's. */
  readonly dialect?: string | undefined;
}

/** A running adapter. */
export interface Gate {
  /** Called for each new connection; `transport` is open. */
  accept(transport: Transport, peer: Peer, listener: ListenerOptions): Connection;
  /**
   * Says good-bye on every connection in the protocol's own way, and settles what it can. Listeners
   * are closed by then.
   */
  stop(): Promise<void>;
}

/** The adapter's end of one connection. Its methods do not throw. */
export interface Connection {
  /**
   * Bytes from the client, split anywhere. They may be kept only until the next call, unless copied
   * (`Message.own`).
   */
  receive(chunk: Buffer): void;
  /** The output went from above `limits.outputPauseBytes` to below half of it. */
  drained(): void;
  /**
   * The transport is gone: by `error`, or in order (null). Called once, also after the adapter's
   * own `end` or `destroy`.
   */
  closed(error: Error | null): void;
}

/** The network's end of one connection. */
export interface Transport {
  /**
   * Encode straight into it: `output.reserve(n)`, write at `output.buffer[output.offset]`, advance
   * `offset`; or `output.write(chunk)`. It leaves at the end of the turn, one write per socket,
   * without a flush by the adapter; only code that runs outside `receive` and outside of the
   * engine's calls (timers, promise continuations) needs nothing special either: the first byte
   * schedules the flush.
   */
  readonly output: Output;
  /**
   * Bytes that wait for the client. Above `limits.outputPauseBytes`: pause subscriptions until
   * `drained`.
   */
  readonly congested: boolean;
  /**
   * True where the transport keeps message boundaries (WebSocket): then `cut` after each protocol
   * unit.
   */
  readonly framed: boolean;
  /** Ends one WebSocket message. Does nothing on a stream. */
  cut(): void;
  /**
   * Stop reading; what arrives stays in the kernel and holds the client. Calls count: as many
   * releases.
   */
  hold(): void;
  release(): void;
  /**
   * Nothing is read at the moment, for the adapter or because the client has sent more than it may:
   * that it is not heard is no fault of its own.
   */
  readonly holding: boolean;
  /** The client is logged in: the login time-out no longer applies. */
  authenticated(): void;
  /**
   * Goes over to TLS (XMPP STARTTLS): what was written before leaves in the clear. Null where it
   * cannot.
   */
  readonly startTls: (() => void) | null;
  /** Whether bytes are encrypted now. */
  readonly secure: boolean;
  /**
   * What ties a login to this TLS connection, by the registered name of the channel binding
   * (`tls-exporter`, `tls-unique`, `tls-server-end-point`); null where it has none of that name.
   */
  channelBinding(name: string): Buffer | null;
  /**
   * The user that the client's certificate names, as the configuration has it; null where there is
   * no certificate, or it is not to log in with.
   */
  readonly certifiedUser: string | null;
  /** Sends what waits, then closes. Bytes received afterwards are dropped. */
  end(): void;
  /** Closes now. */
  destroy(): void;
}
