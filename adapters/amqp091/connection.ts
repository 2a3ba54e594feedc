/**
 * One AMQP 0-9-1 connection.
 *
 *     GREETING ──"AMQP" 0 0 9 1──▶ OPENING ──open-ok──▶ OPEN
 *        └─anything else: our header, end
 *     any ──an error──▶ CLOSING ──close-ok, or too late──▶ CLOSED
 *     any ──close from the client: close-ok──▶ PARTING ──hung up, or too late──▶ CLOSED
 *
 * Errors of a client end at most its own connection, with one line in the log.
 */
import type { Clock, Timer } from '../../core/clock.ts';
import type { Peer, Session } from '../../core/engine.ts';
import { isLostConnection, reasonOf } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { Tally } from '../../core/tally.ts';
import type { Connection, Context, Transport } from '../adapter.ts';
import type { Output } from '../output.ts';
import { Channel, type ChannelHost, unknownMethod } from './channel.ts';
import { AmqpError, amqpErrorOf, isBug, methodExpected, replyText } from './errors.ts';
import { FrameParser, type FrameSink, snippet, unknownFrame } from './frames.ts';
import { type Agreement, Handshake, type HandshakeHost, unexpectedMethod } from './handshake.ts';
import { Heartbeat, type HeartbeatHost } from './heartbeat.ts';
import { type LinkHost, OpenLink } from './open-link.ts';
import type { AmqpOptions } from './options.ts';
import { Reader } from './reader.ts';
import { writeClose, writeHeartbeat, writeMethod, writeNameMethod } from './replies.ts';
import { Turn, type TurnHost } from './turn.ts';
import {
  FRAME_BYTES_MIN,
  FrameType,
  HEADER_VERSION_AT,
  isMethod,
  Method,
  PROTOCOL_HEADER,
  PROTOCOL_HEADER_0_9,
  Reply,
} from './wire.ts';

const State = { GREETING: 0, OPENING: 1, OPEN: 2, CLOSING: 3, PARTING: 4, CLOSED: 5 } as const;
type State = (typeof State)[keyof typeof State];

/** How long a client has to answer our close, or to hang up after its own, in milliseconds. */
const CLOSE_TIMEOUT_MS = 10_000;

/** What the adapter keeps of its connections. */
export interface ConnectionOwner {
  readonly context: Context;
  readonly options: AmqpOptions;
  /** Channels that are open, by user. */
  readonly channels: Tally;
  gone(connection: AmqpConnection): void;
}

export class AmqpConnection
  implements Connection, FrameSink, ChannelHost, HandshakeHost, HeartbeatHost, LinkHost, TurnHost
{
  readonly context: Context;
  readonly options: AmqpOptions;
  readonly peer: Peer;
  readonly transport: Transport;
  readonly counters: ProtocolCounters;
  readonly clock: Clock;
  readonly turn: Turn;
  log: Log;
  readonly #owner: ConnectionOwner;
  readonly #parser: FrameParser;
  readonly #reader: Reader;
  readonly #channels = new Map<number, Channel>();
  #state: State = State.GREETING;
  /** The protocol header that the client seems to send, and how much of it came. */
  #greeting = PROTOCOL_HEADER;
  #greeted = 0;
  #handshake: Handshake | null = null;
  #link: OpenLink | null = null;
  #channelsMax = 0;
  #heartbeat: Heartbeat | null = null;
  #closeTimer: Timer | null = null;
  /** The last channel that a frame came on: the next one is likely on it too. */
  #recent: Channel | null = null;

  constructor(owner: ConnectionOwner, transport: Transport, peer: Peer) {
    this.#owner = owner;
    this.context = owner.context;
    this.options = owner.options;
    this.peer = peer;
    this.transport = transport;
    this.clock = owner.context.clock;
    this.counters = owner.context.meter.protocol('amqp');
    this.log = owner.context.log.child({ protocol: 'amqp', peer: peer.address });
    this.turn = new Turn(this);
    this.#parser = new FrameParser(this, FRAME_BYTES_MIN);
    this.#reader = new Reader(owner.context.limits.headerDepthMax);
  }

  get output(): Output {
    return this.transport.output;
  }

  get link(): OpenLink {
    if (this.#link === null) throw new Error('the connection is not open');
    return this.#link;
  }

  get deaf(): boolean {
    return this.turn.stalled || this.transport.holding;
  }

  receive(chunk: Buffer): void {
    if (this.#state === State.CLOSED) return;
    this.#heartbeat?.received();
    this.turn.run(() => {
      const rest = this.#state === State.GREETING ? this.#greet(chunk) : chunk;
      if (rest.length > 0) this.#parser.feed(rest);
    });
  }

  drained(): void {
    this.turn.run(() => this.#link?.drained());
  }

  closed(error: Error | null): void {
    if (error !== null) {
      const level = isLostConnection(error) ? 'debug' : 'info';
      this.log[level]({ reason: error.message }, 'connection lost');
    } else if (this.#state === State.OPEN) this.log.debug({}, 'client closed without a word');
    this.#state = State.CLOSED;
    this.#release();
    this.#closeTimer?.cancel();
    this.#parser.clear();
    this.#owner.gone(this);
  }

  /** The broker stops: the client is told, and may answer. */
  shutDown(): void {
    this.evicted("broker forced connection closure with reason 'shutdown'");
  }

  evicted(reason: string): void {
    if (this.#state === State.CLOSING || this.#state === State.CLOSED) return;
    if (this.#state === State.PARTING) {
      this.#end();
      return;
    }
    if (this.#state === State.GREETING) this.transport.end();
    else this.turn.run(() => this.#close(new AmqpError(Reply.CONNECTION_FORCED, reason), 0));
  }

  checkTimeouts(now: number): void {
    const { consumerTimeoutMs } = this.options;
    if (this.#state !== State.OPEN) return;
    this.turn.run(() => {
      for (const channel of [...this.#channels.values()])
        channel.checkTimeout(now, consumerTimeoutMs);
    });
  }

  frame(type: number, number: number, buffer: Buffer, start: number, end: number): boolean {
    const recent = this.#recent;
    if (recent !== null && recent.number === number && isChannelFrame(type))
      recent.frame(type, buffer, start, end);
    else this.#dispatch(type, number, buffer, start, end);
    return !this.turn.stalled && this.#state !== State.CLOSED;
  }

  resume(): void {
    if (this.#state !== State.CLOSED) this.#parser.resume();
  }

  /** The stream is out of step, or something is wrong with us. */
  broken(error: unknown): void {
    try {
      if (this.#state === State.CLOSED) return;
      this.#fail(error, 0);
      // What comes now cannot be read, not even an answer to our close.
      this.#end();
    } catch (bug) {
      this.log.error({ reason: reasonOf(bug) }, 'connection dropped: closing it failed');
      this.#state = State.CLOSED;
      this.transport.destroy();
    }
  }

  tuned(frameBytesMax: number): void {
    this.#parser.frameBytesMax = frameBytesMax;
  }

  opened(agreement: Agreement): void {
    if (this.#state !== State.OPENING) {
      closeSession(agreement.session);
      return;
    }
    this.#state = State.OPEN;
    this.#handshake = null;
    this.#channelsMax = agreement.channelsMax;
    this.#link = new OpenLink(this, agreement);
    const user = agreement.principal.name;
    this.log = this.log.child({ user, vhost: agreement.session.vhost });
    if (agreement.heartbeatSeconds > 0)
      this.#heartbeat = new Heartbeat(this, agreement.heartbeatSeconds);
    this.transport.authenticated();
    // One short string, empty: reserved.
    writeNameMethod(this.output, 0, Method.CONNECTION_OPEN_OK, '');
    this.log.debug({}, 'connected');
  }

  refused(error: AmqpError, tell: boolean): void {
    this.counters.loginsRefused++;
    this.log.info({ reason: error.message }, 'login refused');
    if (tell) this.#close(error, 0);
    else this.#end();
  }

  handshakeFailed(error: unknown, method: number): void {
    if (this.#state === State.OPENING) this.#fail(error, method);
  }

  channelFailed(channel: Channel, error: unknown, method: number): void {
    const told = amqpErrorOf(error);
    if (told.reply.closesConnection) {
      this.#fail(error, method);
      return;
    }
    const text = replyText(told);
    this.log.info({ channel: channel.number, reason: text }, 'channel closed by an error');
    channel.fail(told.reply.code, text, method);
  }

  channelClosed(channel: Channel): void {
    if (this.#recent === channel) this.#recent = null;
    this.#channels.delete(channel.number);
    this.#owner.channels.remove(channel.link.session.principal.name);
  }

  regulate(): void {
    for (const channel of this.#channels.values()) channel.regulate();
  }

  beat(): void {
    writeHeartbeat(this.output);
    this.turn.cut();
  }

  silent(): void {
    this.log.info({}, 'missed heartbeats from client');
    this.#release();
    this.#state = State.CLOSED;
    this.transport.destroy();
  }

  /** Answers what is left of the chunk behind the protocol header. */
  #greet(chunk: Buffer): Buffer {
    let offset = 0;
    while (this.#greeted < PROTOCOL_HEADER.length && offset < chunk.length) {
      const octet = chunk[offset];
      if (this.#greeted === HEADER_VERSION_AT && octet === PROTOCOL_HEADER_0_9[HEADER_VERSION_AT])
        this.#greeting = PROTOCOL_HEADER_0_9;
      if (octet !== this.#greeting[this.#greeted]) {
        this.log.info({ reason: 'not AMQP 0-9-1' }, 'connection refused');
        this.counters.protocolErrors++;
        // The version that is spoken here, and good-bye (AMQP 4.2.2).
        this.output.write(PROTOCOL_HEADER);
        this.#end();
        return EMPTY;
      }
      this.#greeted++;
      offset++;
    }
    if (this.#greeted < PROTOCOL_HEADER.length) return EMPTY;
    this.#state = State.OPENING;
    this.#handshake = new Handshake(this);
    return chunk.subarray(offset);
  }

  #dispatch(type: number, number: number, buffer: Buffer, start: number, end: number): void {
    try {
      if (this.#state === State.CLOSING || this.#state === State.PARTING)
        this.#drain(type, number, buffer, start, end);
      else if (type === FrameType.HEARTBEAT) checkHeartbeat(number, buffer, start, end);
      else if (type < FrameType.METHOD || type > FrameType.BODY) {
        throw unknownFrame(type, buffer.subarray(start, end));
      } else if (number === 0) this.#onControl(type, buffer, start, end);
      else this.#onChannel(type, number, buffer, start, end);
    } catch (error) {
      // Of a frame that is out of place RabbitMQ does not say which method it held.
      const { UNEXPECTED_FRAME } = Reply;
      const misplaced = error instanceof AmqpError && error.reply === UNEXPECTED_FRAME;
      this.#fail(error, misplaced ? 0 : methodOf(type, buffer, start, end));
    }
  }

  #onControl(type: number, buffer: Buffer, start: number, end: number): void {
    if (type !== FrameType.METHOD) throw unexpectedFrame(type, buffer.subarray(start, end));
    const reader = this.#reader.open(buffer, start, end);
    const method = reader.long();
    if (method === Method.CONNECTION_CLOSE) {
      this.#onClose();
      return;
    }
    if (this.#handshake !== null) {
      this.#handshake.handle(method, reader);
      return;
    }
    if (method === Method.CONNECTION_UPDATE_SECRET) {
      // Passwords do not expire here: a new one for a session under way has nothing to renew.
      writeMethod(this.output, 0, Method.CONNECTION_UPDATE_SECRET_OK);
      return;
    }
    throw isMethod(method) ? unexpectedMethod('running') : unknownMethod(method);
  }

  #onChannel(type: number, number: number, buffer: Buffer, start: number, end: number): void {
    if (this.#state !== State.OPEN) throw unexpectedFrame(type, buffer.subarray(start, end));
    const channel = this.#channels.get(number);
    if (channel !== undefined) {
      this.#recent = channel;
      channel.frame(type, buffer, start, end);
      return;
    }
    const method = methodOf(type, buffer, start, end);
    if (method !== Method.CHANNEL_OPEN) {
      if (type !== FrameType.METHOD) throw methodExpected();
      throw new AmqpError(Reply.CHANNEL_ERROR, "expected 'channel.open'");
    }
    this.#openChannel(number);
  }

  #openChannel(number: number): void {
    const count = this.#channels.size;
    if (count >= this.#channelsMax) {
      const reason = `number of channels opened (${count}) has reached the negotiated channel_max (${this.#channelsMax})`;
      this.#fail(new AmqpError(Reply.NOT_ALLOWED, reason), 0);
      return;
    }
    const { name: user, channelsMax } = this.link.session.principal;
    if (channelsMax !== undefined && this.#owner.channels.count(user) >= channelsMax) {
      const reason = `number of channels opened for user '${user}' has reached the maximum allowed user limit of (${channelsMax})`;
      this.#fail(new AmqpError(Reply.NOT_ALLOWED, reason), 0);
      return;
    }
    this.#owner.channels.add(user);
    const opened = new Channel(number, this, this.#reader);
    this.#channels.set(number, opened);
    this.#recent = opened;
  }

  /**
   * The client closes: everything is given back before it is told so (exclusive queues: AMQP
   * 1.7.2.1.4). Then it is for the client to hang up, as with RabbitMQ: one with threads may have
   * sent its close more than once, and waits for as many answers.
   */
  #onClose(): void {
    this.#release();
    this.#state = State.PARTING;
    writeMethod(this.output, 0, Method.CONNECTION_CLOSE_OK);
    this.#expectEnd();
  }

  /** After a close only its answer counts, or another close. */
  #drain(type: number, number: number, buffer: Buffer, start: number, end: number): void {
    if (number !== 0) return;
    const method = methodOf(type, buffer, start, end);
    if (method === Method.CONNECTION_CLOSE) writeMethod(this.output, 0, Method.CONNECTION_CLOSE_OK);
    if (method === Method.CONNECTION_CLOSE_OK) this.#end();
  }

  /** An error of the client's or of ours: logs it, and closes the connection with it. */
  #fail(error: unknown, method: number): void {
    if (this.#state >= State.CLOSING) return;
    const told = amqpErrorOf(error);
    if (isBug(error)) {
      const stack = error instanceof Error ? error.stack : undefined;
      this.log.error({ reason: reasonOf(error), stack }, 'connection closed by a failure of ours');
    } else {
      this.log.info({ reason: replyText(told) }, 'connection closed by an error');
    }
    this.counters.protocolErrors++;
    this.#close(told, method);
  }

  /** Tells the client why, and waits for its answer for a while. */
  #close(error: AmqpError, method: number): void {
    this.#release();
    this.#state = State.CLOSING;
    writeClose(this.output, 0, error.reply.code, replyText(error), method);
    this.#expectEnd();
  }

  #expectEnd(): void {
    this.#closeTimer = this.clock.after(CLOSE_TIMEOUT_MS, () => this.transport.destroy());
  }

  #end(): void {
    this.#release();
    this.#state = State.CLOSED;
    this.#parser.clear();
    this.turn.cut();
    this.transport.end();
  }

  /**
   * Gives back everything that the connection holds in the broker; the transport stays. Idempotent.
   */
  #release(): void {
    this.#heartbeat?.stop();
    this.#heartbeat = null;
    this.#handshake = null;
    this.#recent = null;
    const link = this.#link;
    if (link === null) return;
    link.close();
    for (const channel of this.#channels.values()) {
      channel.abandon();
      this.#owner.channels.remove(link.session.principal.name);
    }
    this.#channels.clear();
    this.#link = null;
    closeSession(link.session);
  }
}

const EMPTY = Buffer.alloc(0);

function closeSession(session: Session): void {
  const closing = session.close();
  if (closing instanceof Promise) closing.catch(() => {});
}

function isChannelFrame(type: number): boolean {
  return type === FrameType.METHOD || type === FrameType.HEADER || type === FrameType.BODY;
}

/** The method of a method frame, 0 for any other. */
function methodOf(type: number, buffer: Buffer, start: number, end: number): number {
  return type === FrameType.METHOD && end - start >= 4 ? buffer.readUInt32BE(start) : 0;
}

function checkHeartbeat(number: number, buffer: Buffer, start: number, end: number): void {
  const payload = buffer.subarray(start, end);
  if (number !== 0) throw unexpectedFrame(FrameType.HEARTBEAT, payload);
  if (payload.length === 0) return;
  throw unknownFrame(FrameType.HEARTBEAT, payload);
}

function unexpectedFrame(type: number, payload: Buffer): AmqpError {
  return new AmqpError(Reply.UNEXPECTED_FRAME, `type ${type}, ${snippet(payload)}`);
}
