/**
 * One MQTT connection: its packets in, its session's messages out.
 *
 *   CONNECTING ── CONNECT ──▶ JOINING ── CONNACK ──▶ OPEN ── DISCONNECT, error, loss ──▶ CLOSED
 *        └─ with a method ─▶ AUTHENTICATING ── AUTH ──▲
 *
 * Nothing but CONNECT is taken first [MQTT-3.1.0-1]; while JOINING, and while the engine owes an
 * answer, input waits in its order.
 */
import type { Principal } from '../../core/auth.ts';
import type { Session as EngineSession, Eventually, Peer } from '../../core/engine.ts';
import { BrokerError, isLostConnection } from '../../core/errors.ts';
import { after, isPending } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import type { Format } from '../../core/message.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import type { Connection, Context, Transport } from '../adapter.ts';
import type { Output } from '../output.ts';
import { onAck } from './acknowledging.ts';
import { Authentication, type AuthStep } from './authentication.ts';
import { chain } from './chain.ts';
import {
  decodeAck,
  decodeAuth,
  decodeConnect,
  decodeDisconnect,
  decodeSubscribe,
  decodeUnsubscribe,
} from './decoder.ts';
import { auth, connack, disconnect, subscriptionAck, writePingResponse } from './encoder.ts';
import type { EnvelopeFormat } from './envelope.ts';
import { protocolError } from './field-reader.ts';
import { PacketFramer } from './framer.ts';
import {
  acceptance,
  type Extras,
  enter,
  type Login,
  logIn,
  Refusal,
  refusal,
  type Terms,
  termsOf,
} from './handshake.ts';
import { Inbox } from './inbox.ts';
import type { Grants, MqttOptions } from './options.ts';
import { type ConnectPacket, PacketType, type SubscribePacket, type Version } from './packet.ts';
import { Property } from './property.ts';
import { PublishWriter } from './publish-writer.ts';
import { Reason, reasonForError, returnCode, Violation } from './reason.ts';
import type { MqttSession } from './session.ts';
import type { SessionLink, Subscription } from './session-context.ts';
import type { SessionRegistry } from './session-registry.ts';
import { forBridge, subscribe, unsubscribe } from './subscribing.ts';
import { fillIn, TopicAccess } from './topic-access.ts';
import type { TopicTable } from './topic-table.ts';
import type { Will } from './will.ts';

const State = { CONNECTING: 0, AUTHENTICATING: 1, JOINING: 2, OPEN: 3, CLOSED: 4 } as const;
type State = (typeof State)[keyof typeof State];

/** What a connection has of its gate. */
export interface ConnectionOwner {
  readonly context: Context;
  readonly options: MqttOptions;
  readonly grants: Grants;
  readonly format: Format;
  readonly envelope: EnvelopeFormat;
  readonly topics: TopicTable;
  readonly sessions: SessionRegistry;
  readonly counters: ProtocolCounters;
  /** What keys of users that are not there are made from. */
  readonly decoySecret: Buffer;
  gone(connection: MqttConnection): void;
}

export class MqttConnection implements Connection, SessionLink {
  readonly #owner: ConnectionOwner;
  readonly #transport: Transport;
  readonly #peer: Peer;
  readonly #framer: PacketFramer;
  #state: State = State.CONNECTING;
  /** Answers of the engine that input waits for. */
  #waiting = 0;
  #version: Version = 4;
  #heardAt: number;
  /** 0: for ever. */
  #silenceMaxMs = 0;
  #will: Will | null = null;
  #session: MqttSession | null = null;
  #resumed = false;
  #connect: ConnectPacket | null = null;
  #authentication: Authentication | null = null;
  #login: Login | null = null;
  #access: TopicAccess | null = null;
  #terms: Terms | null = null;
  #inbox: Inbox | null = null;
  #writer: PublishWriter | null = null;

  constructor(owner: ConnectionOwner, transport: Transport, peer: Peer) {
    this.#owner = owner;
    this.#transport = transport;
    this.#peer = peer;
    const { limits, clock } = owner.context;
    this.#heardAt = clock.now();
    this.#framer = new PacketFramer(limits.mqttConnectBytesMax);
  }

  get output(): Output {
    return this.#transport.output;
  }

  get congested(): boolean {
    return this.#transport.congested;
  }

  /** Made with the first message that goes out. */
  get writer(): PublishWriter {
    const { context, format, topics } = this.#owner;
    const { packetBytesMax, aliasMax } = required(this.#terms);
    this.#writer ??= new PublishWriter({
      ...{ format, topics, packetBytesMax, aliasMax, v5: this.#version === 5 },
      ...{ output: this.#transport.output, clock: context.clock, envelope: this.#envelope },
    });
    return this.#writer;
  }

  /** Null: messages come and go as they are. */
  get #envelope(): EnvelopeFormat | null {
    const { options, envelope } = this.#owner;
    const { vhost } = required(this.#session).identity;
    return this.#version !== 5 && options.envelopeVhosts.includes(vhost) ? envelope : null;
  }

  get principal(): Principal {
    return required(this.#login).principal;
  }

  get engine(): EngineSession {
    return required(this.#login).engine;
  }

  get receiveMaximum(): number {
    return required(this.#terms).receiveMaximum;
  }

  receive(chunk: Buffer): void {
    if (this.#state === State.CLOSED) return;
    this.#heardAt = this.#owner.context.clock.now();
    this.#framer.push(chunk);
    this.#run();
  }

  drained(): void {
    this.#session?.drained();
  }

  closed(error: Error | null): void {
    if (this.#state === State.CLOSED) return;
    if (error !== null) {
      const level = isLostConnection(error) ? 'debug' : 'info';
      this.#log()[level]({ reason: error.message }, 'connection lost');
    }
    this.#finish(this.#will);
  }

  /** Another connection of this client identifier has come [MQTT-3.1.4-3]. */
  replaced(): void {
    this.#disconnect(Reason.TAKEN_OVER, 'taken over by another connection');
  }

  broken(reason: BrokerError): void {
    this.#disconnect(Reason.ADMINISTRATIVE, reason.message);
  }

  /** The broker is stopping. */
  shutDown(): void {
    this.#disconnect(Reason.SHUTTING_DOWN, 'the broker is stopping');
  }

  /**
   * Ends the connection if its client was silent for one and a half times its keep-alive
   * [MQTT-3.1.2-22].
   */
  checkSilence(now: number): void {
    if (this.#silenceMaxMs === 0) return;
    if (this.#transport.holding) this.#heardAt = now;
    if (now - this.#heardAt <= this.#silenceMaxMs) return;
    this.#disconnect(Reason.KEEP_ALIVE_TIMEOUT, 'nothing heard for too long');
  }

  #run(): void {
    this.#guard(() => {
      while (this.#state !== State.CLOSED && this.#waiting === 0 && this.#framer.next())
        this.#packet();
    });
    this.#framer.keep();
  }

  /** Whatever goes wrong in `step` ends this connection, and nothing else. */
  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (this.#state === State.CLOSED) return;
    const opened = this.#state === State.OPEN;
    if (error instanceof Refusal) {
      if (opened) this.#disconnect(error.reason, error.message);
      else this.#refuse(error);
      return;
    }
    if (error instanceof Violation) {
      this.#owner.counters.protocolErrors++;
      if (opened) this.#disconnect(error.reason, error.message);
      else this.#refuse(new Refusal(error.reason, error.message));
      return;
    }
    const known = error instanceof BrokerError;
    if (!known) this.#log().error({ err: error }, 'unexpected error');
    const reason = known ? reasonForError(error.code) : Reason.UNSPECIFIED;
    const why = known ? error.message : 'internal error';
    if (opened) this.#disconnect(reason, why);
    else this.#refuse(new Refusal(reason, why));
  }

  /** Goes on when the engine has answered; input waits meanwhile. `late`: the connection is gone. */
  #await<T>(
    call: () => Eventually<T>,
    done: (value: T) => void,
    late: (value: T) => void = () => {},
  ): void {
    const open = (value: T): void => (this.#state === State.CLOSED ? late(value) : done(value));
    const answer = after(call, open, (error) => this.#failed(error));
    if (!isPending(answer)) return;
    this.#waiting++;
    this.#transport.hold();
    const goOn = (): void => {
      this.#waiting--;
      this.#transport.release();
      if (this.#state !== State.CLOSED) this.#run();
    };
    answer.then(goOn, (error) => {
      this.#failed(error);
      goOn();
    });
  }

  #packet(): void {
    const framer = this.#framer;
    const { bytes, start, end } = framer;
    const type = framer.first >> 4;
    if (this.#state === State.CONNECTING) {
      if (type !== PacketType.CONNECT) throw protocolError('no CONNECT first [MQTT-3.1.0-1]');
      this.#onConnect(bytes, start, end);
      return;
    }
    if (this.#state === State.AUTHENTICATING && type === PacketType.DISCONNECT) {
      this.#finish(null);
      this.#transport.end();
      return;
    }
    if (this.#state === State.AUTHENTICATING && type !== PacketType.AUTH) {
      throw protocolError('more than AUTH before CONNACK [MQTT-3.1.2-30]');
    }
    switch (type) {
      case PacketType.PUBLISH:
        this.#publishing().onPublish(framer, this.#heardAt);
        return;
      case PacketType.PUBACK:
      case PacketType.PUBREC:
      case PacketType.PUBCOMP: {
        const { outbox } = required(this.#session);
        const version = this.#version;
        onAck(outbox, this.#transport.output, { type, bytes, start, end, version });
        return;
      }
      case PacketType.PUBREL: {
        const { packetId } = decodeAck(bytes, start, end, this.#version, true);
        this.#publishing().onRelease(packetId);
        return;
      }
      case PacketType.SUBSCRIBE:
        this.#onSubscribe(decodeSubscribe(bytes, start, end, this.#version));
        return;
      case PacketType.UNSUBSCRIBE:
        this.#onUnsubscribe(bytes, start, end);
        return;
      case PacketType.PINGREQ:
        if (start !== end) throw new Violation(Reason.MALFORMED, 'a PINGREQ with content');
        writePingResponse(this.#transport.output);
        return;
      case PacketType.DISCONNECT:
        this.#onDisconnect(bytes, start, end);
        return;
      case PacketType.CONNECT:
        throw protocolError('a second CONNECT [MQTT-3.1.0-2]');
      case PacketType.AUTH:
        this.#onAuth(bytes, start, end);
        return;
      default:
        throw protocolError(`a packet of type ${type} from a client`);
    }
  }

  #onConnect(bytes: Buffer, start: number, end: number): void {
    if (isVersion5(bytes, start, end)) this.#version = 5;
    const packet = decodeConnect(bytes, start, end);
    this.#version = packet.version;
    this.#framer.minimal = packet.version === 5;
    this.#framer.repeats = packet.version === 3;
    this.#connect = packet;
    this.#state = State.JOINING;
    const { context, options, grants } = this.#owner;
    const { will, properties } = packet;
    this.#terms = termsOf(packet, grants, context);
    if (options.serverReference !== '') {
      const reason = options.serverMoved ? Reason.SERVER_MOVED : Reason.USE_ANOTHER_SERVER;
      throw new Refusal(reason, '', options.serverReference);
    }
    if (will !== null && will.qos > grants.qosMax) {
      throw new Refusal(Reason.QOS_NOT_SUPPORTED, `a will with QoS ${will.qos}`);
    }
    const method = properties.text(Property.AUTHENTICATION_METHOD);
    if (method === undefined) {
      const { certifiedUser } = this.#transport;
      const evicted = (reason: BrokerError): void => this.broken(reason);
      const peer = this.#namedPeer;
      this.#logIn(() => logIn(packet, context, options, peer, certifiedUser, evicted), null);
      return;
    }
    const exchange = new Authentication(method, context, options, this.#owner.decoySecret);
    this.#authentication = exchange;
    this.#state = State.AUTHENTICATING;
    const data = properties.binary(Property.AUTHENTICATION_DATA);
    this.#authenticate(exchange, () => exchange.begin(data));
  }

  #logIn(call: () => Eventually<Login>, proof: Extras['proof']): void {
    this.#await(
      call,
      (login) => this.#join(login, proof),
      (login) => void login.engine.close(),
    );
  }

  /** AUTH: the exchange of a login goes on, or a client that is logged in does it again. */
  #onAuth(bytes: Buffer, start: number, end: number): void {
    const { reason, method, data } = decodeAuth(bytes, start, end);
    const exchange = this.#authentication;
    if (exchange === null) throw protocolError('AUTH without a method [MQTT-4.12.0-7]');
    if (method !== exchange.method) {
      // [MQTT-4.12.0-5, MQTT-4.12.1-1]
      throw new Refusal(Reason.BAD_AUTHENTICATION_METHOD, 'another authentication method');
    }
    const again = reason === Reason.REAUTHENTICATE;
    if (again === exchange.running) throw protocolError('AUTH out of its order');
    this.#authenticate(exchange, () => (again ? exchange.begin(data) : exchange.proceed(data)));
  }

  #authenticate(exchange: Authentication, step: () => Eventually<AuthStep>): void {
    const { method } = exchange;
    this.#await(step, ({ data, identity }) => {
      if (identity === null) {
        this.#answer(auth(Reason.CONTINUE_AUTHENTICATION, method, data));
        return;
      }
      if (this.#state === State.OPEN) {
        if (identity.user !== this.principal.name || identity.vhost !== this.engine.vhost) {
          throw new Refusal(Reason.NOT_AUTHORIZED, 'another user than before');
        }
        this.#answer(auth(Reason.SUCCESS, method, data));
        return;
      }
      this.#state = State.JOINING;
      const { context } = this.#owner;
      const credentials = { kind: 'trusted', user: identity.user } as const;
      const evicted = (reason: BrokerError): void => this.broken(reason);
      const peer = this.#namedPeer;
      this.#logIn(() => enter(identity, credentials, context, peer, evicted), { method, data });
    });
  }

  get #namedPeer(): Peer {
    return { ...this.#peer, clientId: required(this.#terms).clientId };
  }

  #join(login: Login, proof: Extras['proof']): void {
    const { grants, sessions, options } = this.#owner;
    const packet = required(this.#connect);
    const terms = required(this.#terms);
    const { clean, will } = packet;
    const transport = this.#transport;
    this.#connect = null;
    this.#login = login;
    const { principal, engine } = login;
    const { vhost } = engine;
    const access = TopicAccess.of(options.topicRules, terms.clientId, principal.name);
    this.#access = access;
    if (will !== null && !access.mayPublish(will.topic)) {
      throw new Refusal(Reason.NOT_AUTHORIZED, 'a will that it may not publish');
    }
    transport.authenticated();
    if (will !== null) this.#will = { vhost, principal, fields: will };
    const identity = { vhost, clientId: terms.clientId, user: principal.name };
    const expirySeconds = terms.sessionExpirySeconds;
    const acquired = sessions.acquire(identity, { clean, expirySeconds, will: this.#will });
    const { session, present, ready } = acquired;
    this.#session = session;
    this.#resumed = present;
    this.#silenceMaxMs = terms.keepAliveSeconds * 1500;
    this.#framer.maxBytes = grants.packetBytesMax;
    const responseInformation = terms.wantsResponseInformation
      ? (fillIn(options.responseInformation, terms.clientId, principal.name) ?? '')
      : '';
    const extras = { sessionPresent: present, responseInformation, proof };
    transport.output.write(acceptance(packet, terms, grants, extras));
    this.#state = State.OPEN;
    // Subscriptions of before that it may not have any more.
    const lost = [...session.subscriptions.keys()].filter((filter) => !access.maySubscribe(filter));
    this.#await(
      () => chain(ready, () => chain(unsubscribe(session, lost), () => session.attach(this))),
      () => {},
    );
  }

  /** Made with the first message that comes in: many clients only listen. */
  #publishing(): Inbox {
    const { context, grants, format, topics, counters } = this.#owner;
    this.#inbox ??= new Inbox({
      ...{ version: this.#version, session: required(this.#session), engine: this.engine },
      resumed: this.#resumed,
      ...{ transport: this.#transport, clock: context.clock, format, topics, counters },
      envelope: this.#envelope,
      log: () => this.#log(),
      receiveMaximum: grants.receiveMaximum,
      aliasMax: grants.topicAliasMaximum,
      qosMax: grants.qosMax,
      bodyBytesMax: context.limits.messageBytesMax,
      access: required(this.#access),
      refused: (why) => this.#disconnect(Reason.QUOTA_EXCEEDED, why),
    });
    return this.#inbox;
  }

  #onSubscribe(packet: SubscribePacket): void {
    const session = required(this.#session);
    const { qosMax } = this.#owner.grants;
    const access = required(this.#access);
    const subscriber = { session, link: this, access, qosMax, log: () => this.#log() };
    const asked = required(this.#terms).bridge ? forBridge(packet) : packet;
    this.#await(
      // A client that was told of its subscription must find it after a crash.
      () => chain(subscribe(subscriber, asked), (done) => chain(session.secured(), () => done)),
      ({ reasons, made }) => {
        const v5 = this.#version === 5;
        // [MQTT 3.1.1, table 3.9]: MQTT 3 knows one failure.
        const codes = v5 ? reasons : reasons.map((reason) => Math.min(reason, Reason.UNSPECIFIED));
        this.#answer(subscriptionAck(PacketType.SUBACK, packet.packetId, codes, v5));
        const each = (ready: Eventually<void>, subscription: Subscription): Eventually<void> =>
          chain(ready, () => session.retained(subscription));
        this.#await(
          () => made.reduce(each, undefined),
          () => {},
        );
      },
    );
  }

  /** Throws `Violation` where the client does not take so much [MQTT-3.1.2-24]. */
  #answer(packet: Buffer): void {
    if (packet.length > required(this.#terms).packetBytesMax) {
      throw new Violation(Reason.PACKET_TOO_LARGE, 'an answer larger than its client takes');
    }
    this.#transport.output.write(packet);
  }

  #onUnsubscribe(bytes: Buffer, start: number, end: number): void {
    const session = required(this.#session);
    const { packetId, filters } = decodeUnsubscribe(bytes, start, end, this.#version);
    this.#await(
      () => chain(unsubscribe(session, filters), (done) => chain(session.secured(), () => done)),
      (reasons) => {
        const v5 = this.#version === 5;
        this.#answer(subscriptionAck(PacketType.UNSUBACK, packetId, v5 ? reasons : [], v5));
      },
    );
  }

  #onDisconnect(bytes: Buffer, start: number, end: number): void {
    const session = required(this.#session);
    const packet = decodeDisconnect(bytes, start, end, this.#version);
    const expiry = packet.sessionExpirySeconds;
    if (expiry !== undefined) {
      if (expiry > 0 && required(this.#terms).sessionExpirySeconds === 0) {
        throw protocolError('a Session Expiry Interval where CONNECT had none [3.14.2.2.2]');
      }
      session.expirySeconds = Math.min(expiry, this.#owner.grants.sessionExpirySecondsMax);
    }
    // [MQTT-3.14.4-3]: a normal good-bye takes the will back; any other leaves it.
    this.#finish(packet.reason === Reason.SUCCESS ? null : this.#will);
    this.#transport.end();
  }

  /** Refuses a CONNECT, in words where there are any for it. */
  #refuse(error: Refusal): void {
    const { reason } = error;
    const credentials = reason === Reason.BAD_CREDENTIALS || reason === Reason.NOT_AUTHORIZED;
    if (credentials) this.#owner.counters.loginsRefused++;
    this.#log().info({ code: reason, reason: error.message }, 'connection refused');
    const { output } = this.#transport;
    if (this.#version === 5) {
      output.write(refusal(error, this.#terms?.packetBytesMax ?? Number.POSITIVE_INFINITY));
    } else if (this.#state === State.JOINING || reason === Reason.UNSUPPORTED_VERSION) {
      output.write(connack(false, returnCode(reason), null));
    }
    this.#finish(null);
    this.#transport.end();
  }

  /** Ends the connection from this side; its will is published [MQTT-3.1.2-8]. */
  #disconnect(reason: Reason, why: string): void {
    if (this.#state === State.CLOSED) return;
    this.#log().info({ code: reason, reason: why }, 'connection ended');
    if (this.#version === 5 && this.#state === State.OPEN) {
      const packet = disconnect(reason, why);
      // [MQTT-3.14.2-3]: words are left out where the client does not take so much.
      const fits = packet.length <= required(this.#terms).packetBytesMax;
      this.#transport.output.write(fits ? packet : disconnect(reason, ''));
    }
    this.#finish(this.#will);
    this.#transport.end();
  }

  /**
   * Once: the session goes on or ends by itself, everything else of this connection is given back.
   */
  #finish(will: Will | null): void {
    if (this.#state === State.CLOSED) return;
    this.#state = State.CLOSED;
    this.#will = null;
    this.#inbox?.close();
    if (this.#session !== null) this.#owner.sessions.release(this.#session, will);
    const login = this.#login;
    if (login !== null)
      void after(
        () => login.engine.close(),
        () => {},
        () => {},
      );
    this.#owner.gone(this);
  }

  #log(): Log {
    const fields = { protocol: 'mqtt', peer: this.#peer.address, client: this.#terms?.clientId };
    return this.#owner.context.log.child(fields);
  }
}

/** Whether a CONNECT claims to be MQTT 5, however broken the rest of it may be. */
function isVersion5(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < 7 || bytes.toString('latin1', start, start + 6) !== '\0\x04MQTT') return false;
  // The highest bit is a bridge's.
  return ((bytes[start + 6] as number) & 0x7f) === 5;
}

function required<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('not in this state');
  return value;
}
