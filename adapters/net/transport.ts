/**
 * The transport that every connection of a real network has, whatever the wire: output gathered for
 * one write a turn, congestion and output limits, holding, the login time-out, counters, and the
 * promise that a connection's mistakes end that connection only.
 *
 *     OPEN ──end, client's FIN──▶ ENDING ──▶ CLOSED
 *       └──────destroy, error, a limit──────────▲
 *
 * While the kernel is not taking bytes, one write waits in it and the rest gathers in `output`.
 */

import { type CertificateLogin, certifiedUser } from '../../core/auth.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import type { Peer } from '../../core/engine.ts';
import { reasonOf } from '../../core/errors.ts';
import type { Limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { Connection, Transport } from '../adapter.ts';
import { Output } from '../output.ts';
import type { Flushable, Flusher } from './flusher.ts';
import { InputRate } from './input-rate.ts';
import type { TlsAcceptor } from './tls.ts';
import type { Wire, WireEvents } from './wire.ts';

/** What all transports of one protocol share. */
export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: Limits;
  readonly flusher: Flusher;
  readonly counters: ProtocolCounters;
  /** For upgrades within the connection; null where no certificate is configured. */
  readonly tls: TlsAcceptor | null;
  /** How clients' certificates name users; null: they name none. */
  readonly certificateLogin: CertificateLogin | null;
}

/** How long a client that was said good-bye to may take to read it and close, in milliseconds. */
const CLOSE_GRACE_MS = 5000;
/** How often a client that we kept waiting has the login time-out again. */
const LOGIN_EXTENSIONS_MAX = 3;
/** Complete WebSocket messages are not gathered beyond this. */
const MESSAGES_GATHERED_BYTES = 64 * 1024;

const State = { OPEN: 0, ENDING: 1, CLOSED: 2 } as const;
type State = (typeof State)[keyof typeof State];

export class NetTransport implements Transport, WireEvents, Flushable {
  readonly output: Output;
  readonly #around: Surroundings;
  readonly #wire: Wire;
  readonly #peer: Peer;
  #connection: Connection | null = null;
  #state: State = State.OPEN;
  /** Why it ended, where neither the adapter nor an orderly client ended it. */
  #error: Error | null = null;
  /** The login time-out, later the grace of closing. */
  #timer: Timer | null = null;
  /** Something came since this was set to false. */
  #heard = false;
  #held = 0;
  /** Null: it may send as fast as it can. */
  readonly #rate: InputRate | null;
  /** On the flusher's list. */
  #listed = false;
  /** Bytes were left in `output` because a write was waiting. */
  #deferred = false;
  /** Between STARTTLS and the end of the handshake nothing may be sent. */
  #upgrading = false;
  /** Output went above the limit, and `drained` was not told since. */
  #congested = false;
  /** Writes that `sent` has not answered. */
  #writes = 0;
  /** WebSocket messages that were cut. */
  #messages: Buffer[] = [];
  #messageBytes = 0;

  constructor(wire: Wire, peer: Peer, around: Surroundings) {
    this.#wire = wire;
    this.#peer = peer;
    this.#around = around;
    this.output = new Output(
      () => this.#touch(),
      () => this.#gathered(),
    );
    const { inputBytesPerSecondMax: rate } = around.limits;
    this.#rate = rate === 0 ? null : new InputRate(rate, around.clock);
    this.#awaitLogin(LOGIN_EXTENSIONS_MAX);
  }

  /** Lets bytes flow. `open` is the adapter's `Gate.accept`. */
  start(open: (transport: Transport) => Connection): void {
    this.#around.counters.connectionsOpened++;
    this.#wire.attach(this);
    try {
      this.#connection = open(this);
    } catch (error) {
      this.#broken(error);
    }
  }

  get framed(): boolean {
    return this.#wire.framed;
  }

  get secure(): boolean {
    return this.#wire.secure;
  }

  get congested(): boolean {
    if (this.#waiting <= this.#around.limits.outputPauseBytes) return false;
    this.#congested = true;
    return true;
  }

  get startTls(): (() => void) | null {
    const tls = this.#around.tls;
    if (tls === null || this.framed || this.secure || this.#upgrading) return null;
    return () => this.#upgrade(tls);
  }

  channelBinding(name: string): Buffer | null {
    return this.#wire.channelBinding(name);
  }

  get certifiedUser(): string | null {
    const login = this.#around.certificateLogin;
    const certificate = login === null ? null : this.#wire.certificate();
    return login === null || certificate === null ? null : certifiedUser(certificate, login);
  }

  cut(): void {
    if (!this.#wire.framed || this.output.length === 0) return;
    const pieces = this.output.take();
    if (this.#state !== State.OPEN) return;
    this.#messages.push(this.#asMessage(pieces));
    this.#messageBytes += this.#messages[this.#messages.length - 1]?.length ?? 0;
    this.#touch();
    if (this.#messageBytes > MESSAGES_GATHERED_BYTES) this.#gathered();
  }

  hold(): void {
    if (this.#held++ === 0) this.#wire.pause();
  }

  release(): void {
    if (this.#held === 0) return;
    if (--this.#held === 0 && this.#state !== State.CLOSED) this.#wire.resume();
  }

  get holding(): boolean {
    return this.#held > 0;
  }

  authenticated(): void {
    if (this.#state !== State.OPEN) return;
    this.#timer?.cancel();
    this.#timer = null;
    this.#wire.authenticated();
  }

  end(): void {
    if (this.#state !== State.OPEN) return;
    if (this.#upgrading) {
      this.destroy();
      return;
    }
    this.#sendAll();
    this.#becomeEnding();
    // A held connection would not see the client's FIN.
    if (this.#held > 0) this.#wire.resume();
    this.#wire.end();
  }

  destroy(): void {
    if (this.#state === State.CLOSED) return;
    this.#state = State.CLOSED;
    this.#timer?.cancel();
    this.#wire.destroy();
  }

  /**
   * Of thousands that come at once many wait for us, and not we for them: one whose bytes were
   * there when its time was up has as long again, so many times.
   */
  #awaitLogin(extensions: number): void {
    const { clock, limits } = this.#around;
    const timer = clock.after(limits.loginTimeoutMs, () => {
      this.#heard = false;
      clock.soon(() => {
        if (this.#timer !== timer || this.#state !== State.OPEN) return;
        if (this.#heard && extensions > 0) this.#awaitLogin(extensions - 1);
        else this.#abort('login timed out');
      });
    });
    this.#timer = timer;
  }

  /** The flusher's call, once a round of the event loop. */
  flush(): void {
    this.#listed = false;
    if (this.#state !== State.OPEN) {
      this.#drop();
    } else if (this.#backedUp) {
      this.#deferred = true;
      this.#checkLimit();
    } else {
      this.#sendAll();
      this.#checkLimit();
    }
  }

  received(chunk: Buffer): void {
    this.#around.counters.bytesReceived += chunk.length;
    this.#heard = true;
    if (this.#state !== State.OPEN || this.#connection === null) return;
    if (this.#rate !== null) this.#slowDown(this.#rate.taken(chunk.length));
    try {
      this.#connection.receive(chunk);
    } catch (error) {
      this.#broken(error);
    }
  }

  sent(): void {
    this.#writes--;
    if (this.#state !== State.OPEN) return;
    if (this.#deferred && !this.#backedUp) {
      this.#deferred = false;
      this.#sendAll();
    }
    if (this.#congested && this.#waiting < this.#around.limits.outputPauseBytes / 2) {
      this.#congested = false;
      try {
        this.#connection?.drained();
      } catch (error) {
        this.#broken(error);
      }
    }
  }

  finished(): void {
    if (this.#state !== State.OPEN) return;
    // The socket ends its own side after this event: what answers the last bytes goes first.
    this.#sendAll();
    this.#becomeEnding();
  }

  refused(reason: string): void {
    if (this.#state !== State.OPEN) return;
    this.#error = new Error(reason);
    this.#around.counters.protocolErrors++;
    this.#say().info({ reason }, 'connection closed');
    this.#becomeEnding();
  }

  failed(error: Error): void {
    if (this.#state === State.OPEN) this.#error ??= error;
  }

  secured(): void {
    this.#upgrading = false;
    this.#deferred = false;
    if (this.#state === State.OPEN) this.flush();
    else this.#wire.destroy();
  }

  closed(): void {
    this.#state = State.CLOSED;
    this.#timer?.cancel();
    this.#around.counters.connectionsClosed++;
    this.#drop();
    const connection = this.#connection;
    this.#connection = null;
    this.#say().debug({ reason: this.#error?.message ?? 'in order' }, 'connection gone');
    try {
      connection?.closed(this.#error);
    } catch (error) {
      this.#say().error({ reason: reasonOf(error), error }, 'internal error while closing');
    }
  }

  /** It has sent more than it may: nothing is read for so long. */
  #slowDown(waitMs: number): void {
    if (waitMs === 0) return;
    this.hold();
    this.#around.clock.after(waitMs, () => this.release());
  }

  /** Bytes on their way that the kernel has not taken. */
  get #waiting(): number {
    return this.output.length + this.#messageBytes + this.#wire.waiting;
  }

  /** Whether what is written now has to wait for `sent`, which is then sure to come. */
  get #backedUp(): boolean {
    return this.#upgrading || (this.#writes > 0 && this.#wire.waiting > 0);
  }

  #touch(): void {
    if (this.#listed) return;
    this.#listed = true;
    this.#around.flusher.add(this);
  }

  /** Too much to leave for the end of the turn. */
  #gathered(): void {
    if (this.#state !== State.OPEN) {
      this.#drop();
      return;
    }
    // A message that is not cut yet cannot go.
    if (!this.#backedUp && (!this.#wire.framed || this.#messageBytes > 0)) this.#sendCut();
    this.#checkLimit();
  }

  #checkLimit(): void {
    const waiting = this.#waiting;
    if (waiting > this.#around.limits.outputPauseBytes) this.#congested = true;
    if (waiting > this.#around.limits.outputCloseBytes) {
      this.#abort(`${waiting} bytes wait for a client that does not read them`);
    }
  }

  /** Sends everything, cut or not. */
  #sendAll(): void {
    if (this.#wire.framed && this.output.length > 0) this.cut();
    this.#sendCut();
  }

  #sendCut(): void {
    let units: Buffer[];
    let bytes: number;
    if (this.#wire.framed) {
      units = this.#messages;
      bytes = this.#messageBytes;
      this.#messages = [];
      this.#messageBytes = 0;
    } else {
      bytes = this.output.length;
      units = this.output.take();
    }
    if (units.length === 0) return;
    this.#around.counters.bytesSent += bytes;
    this.#writes++;
    this.#wire.send(units);
  }

  #asMessage(pieces: Buffer[]): Buffer {
    const [first] = pieces;
    // One that has to wait must not pin the slab that others write in.
    if (first !== undefined && pieces.length === 1 && !this.#backedUp) return first;
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const message = Buffer.allocUnsafeSlow(bytes);
    let offset = 0;
    for (const piece of pieces) {
      message.set(piece, offset);
      offset += piece.length;
    }
    return message;
  }

  #drop(): void {
    this.output.take();
    this.#messages = [];
    this.#messageBytes = 0;
  }

  #becomeEnding(): void {
    this.#state = State.ENDING;
    this.#timer?.cancel();
    this.#timer = this.#around.clock.after(CLOSE_GRACE_MS, () => this.destroy());
  }

  #upgrade(tls: TlsAcceptor): void {
    if (this.#state !== State.OPEN || this.#upgrading || this.secure) return;
    this.#sendAll();
    this.#upgrading = true;
    this.#wire.upgrade(tls);
  }

  /** Ends it for a reason that the client gave. */
  #abort(reason: string): void {
    if (this.#state === State.CLOSED) return;
    if (this.#state === State.OPEN) {
      this.#error = new Error(reason);
      this.#say().info({ reason }, 'connection closed');
    }
    this.destroy();
  }

  /** Ends it for a mistake of ours. */
  #broken(error: unknown): void {
    this.#say().error({ reason: reasonOf(error), error }, 'internal error, connection closed');
    if (this.#state === State.OPEN) {
      this.#error = error instanceof Error ? error : new Error(reasonOf(error));
    }
    this.destroy();
  }

  #say(): Log {
    return this.#around.log.child({
      protocol: this.#peer.protocol,
      peer: this.#peer.address,
      listener: this.#peer.listener,
    });
  }
}
