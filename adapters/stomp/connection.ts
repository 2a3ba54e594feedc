/**
 * One STOMP connection: frames in, one handler each, and the order between them. Errors end it
 * with an ERROR frame, DISCONNECT with its receipt.
 *
 *   CONNECTING ──CONNECT──▶ OPEN ──DISCONNECT, stop──▶ DRAINING (last receipts) ──▶ CLOSED
 *        └────────────────────┴───────── ERROR, transport gone ──────────────────────▲
 */
import type { Principal } from '../../core/auth.ts';
import type { Eventually, Peer, Session } from '../../core/engine.ts';
import { BrokerError, isLostConnection } from '../../core/errors.ts';
import { after, isPending } from '../../core/eventually.ts';
import type { Log } from '../../core/log.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import { randomName } from '../../core/random.ts';
import type { Connection, Context, Transport } from '../adapter.ts';
import { Decoder } from './codec.ts';
import { Consuming } from './consuming.ts';
import type { Dialect } from './destination.ts';
import { writeFrame, writeHeartBeat, writeReceipt } from './encoder.ts';
import { StompError as Refusal, type StompError, stompError } from './errors.ts';
import type { Frame } from './frame.ts';
import { Heartbeat } from './heartbeat.ts';
import type { Link } from './link.ts';
import { type Login, NO_LOGIN, readLogin, vhostOf } from './login.ts';
import * as names from './names.ts';
import type { StompOptions } from './options.ts';
import { Publishing } from './publishing.ts';
import { Settling } from './settling.ts';
import { Subscriptions } from './subscriptions.ts';
import { TemporaryNames } from './temporary.ts';
import { VERSIONS, type Version } from './text.ts';

const State = { CONNECTING: 0, OPEN: 1, DRAINING: 2, CLOSED: 3 } as const;
type State = (typeof State)[keyof typeof State];

/** Whoever is not logged in has nothing to say at length. */
const BODY_BYTES_BEFORE_LOGIN_MAX = 1024;

/** The brokers whose behaviour a dialect is, for clients that look (STOMP 1.2, CONNECTED: server). */
const SPOKEN = { rabbitmq: 'RabbitMQ/3.10.8', activemq: 'ActiveMQ/5.17.2' } as const;

/** How long unconfirmed messages may delay a client's good-bye, or ours. */
const DRAIN_MAX_MS = 5000;

/** What there is once a client is logged in. */
interface Parts {
  readonly session: Session;
  readonly consuming: Consuming;
  readonly publishing: Publishing;
}

export class StompConnection implements Connection {
  readonly #context: Context;
  readonly #options: StompOptions;
  readonly #dialect: Dialect;
  readonly #transport: Transport;
  readonly #peer: Peer;
  readonly #log: Log;
  readonly #counters: ProtocolCounters;
  readonly #decoder: Decoder;
  readonly #heartbeat: Heartbeat;
  readonly #name: string;
  readonly #ended: (connection: StompConnection) => void;
  readonly #clientIds: Set<string>;
  /** Its own among them. */
  #clientId: string | null = null;
  #state: State = State.CONNECTING;
  #version: Version = 0;
  #parts: Parts | null = null;
  /** Answers that are awaited before the next frame is read. */
  #waiting = 0;
  /** Receipt that the frame being handled asked for. */
  #receipt: string | null = null;
  #goodbyes: (() => void)[] = [];

  constructor(
    context: Context,
    options: StompOptions,
    dialect: Dialect,
    transport: Transport,
    peer: Peer,
    clientIds: Set<string>,
    ended: (connection: StompConnection) => void,
  ) {
    this.#context = context;
    this.#options = options;
    this.#dialect = dialect;
    this.#transport = transport;
    this.#peer = peer;
    this.#clientIds = clientIds;
    this.#ended = ended;
    this.#log = context.log.child({ protocol: 'stomp', peer: peer.address });
    this.#counters = context.meter.protocol('stomp');
    this.#decoder = new Decoder(context.limits);
    this.#decoder.bodyBytesMax = BODY_BYTES_BEFORE_LOGIN_MAX;
    this.#heartbeat = new Heartbeat(context.clock);
    this.#name = `session-${randomName(context.random)}`;
  }

  receive(chunk: Buffer): void {
    if (this.#state >= State.DRAINING) return;
    this.#heartbeat.heard();
    this.#decoder.feed(chunk);
    this.#pump();
  }

  drained(): void {
    this.#parts?.consuming.drained();
  }

  closed(error: Error | null): void {
    if (error !== null && this.#state !== State.CLOSED) {
      const level = isLostConnection(error) ? 'debug' : 'info';
      this.#log[level]({ reason: error.message }, 'connection lost');
    }
    this.#close();
    this.#ended(this);
  }

  /**
   * Says good-bye for a shutdown, once what the client sent is settled; resolves when that is
   * said.
   */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#state === State.CLOSED) return resolve();
      this.#goodbyes.push(resolve);
      if (this.#state === State.DRAINING) return;
      this.#drain(() =>
        this.#fail(new Refusal('Server shutting down', 'The server is shutting down\n'), null),
      );
    });
  }

  #pump(): void {
    try {
      while (this.#waiting === 0 && this.#state < State.DRAINING) {
        const frame = this.#decoder.next();
        if (frame === null) break;
        this.#receipt = null;
        this.#onFrame(frame);
        if (this.#waiting > 0) frame.own();
      }
    } catch (error) {
      this.#fail(error, this.#receipt);
    }
    this.#decoder.keep();
  }

  #onFrame(frame: Frame): void {
    const login = frame.command === 'CONNECT' || frame.command === 'STOMP';
    if (this.#parts === null || this.#state === State.CONNECTING) {
      if (login) {
        this.#onConnect(frame);
        return;
      }
      if (!COMMANDS.has(frame.command)) throw badCommand(frame.command);
      if (!this.#options.implicitConnect) {
        throw new Refusal('Illegal command', 'You must log in using CONNECT first\n');
      }
      this.#onImplicitConnect(frame);
      return;
    }
    const receipt = frame.get(names.RECEIPT);
    this.#receipt = receipt ?? null;
    const { consuming, publishing } = this.#parts;
    const answer = (): void => this.#answer(receipt);
    // A receipt says that a crash would not undo it.
    const answerSafe = (): void => {
      if (receipt !== undefined) this.#context.engine.safe(answer);
    };
    switch (frame.command) {
      case 'SEND':
        publishing.send(frame);
        return;
      case 'ACK':
      case 'NACK':
        publishing.acknowledge(frame, answerSafe);
        return;
      case 'SUBSCRIBE':
        consuming.subscribe(frame, answer);
        return;
      case 'UNSUBSCRIBE':
        consuming.unsubscribe(frame, answer);
        return;
      case 'BEGIN':
        publishing.begin(frame);
        answer();
        return;
      case 'COMMIT':
        publishing.commit(frame);
        return;
      case 'ABORT':
        publishing.abort(frame);
        return;
      case 'DISCONNECT':
        this.#onDisconnect(receipt);
        return;
      default:
        if (login) throw new Refusal('Illegal command', 'Already connected\n');
        throw badCommand(frame.command);
    }
  }

  #onConnect(frame: Frame): void {
    const login = readLogin(frame);
    const asked = frame.get(names.REQUEST_ID) ?? frame.get(names.RECEIPT);
    this.#login(login, () => this.#connected(login, asked));
  }

  /** The default user in version 1.0, as RabbitMQ has it: no CONNECTED, and the frame is done. */
  #onImplicitConnect(frame: Frame): void {
    frame.version = 0;
    frame.escaped = false;
    this.#login(NO_LOGIN, () => this.#onFrame(frame));
  }

  #login(login: Login, done: () => void): void {
    this.#version = login.version;
    this.#decoder.version = login.version;
    const { authenticator } = this.#context;
    const user = login.user ?? this.#transport.certifiedUser ?? this.#options.defaultUser;
    if (user === null) throw this.#refused('Missing login or passcode header(s)\n');
    this.#run(
      () =>
        login.user === undefined
          ? authenticator.authenticate({ kind: 'trusted', user }, this.#peer)
          : authenticator.authenticate(
              { kind: 'password', user, password: login.passcode },
              this.#peer,
            ),
      (principal) => {
        if (typeof principal === 'string') {
          throw this.#refused(`Access refused for user '${user}'\n`);
        }
        this.#open(login, principal, done);
      },
    );
  }

  #open(login: Login, principal: Principal, done: () => void): void {
    const { engine } = this.#context;
    const vhost = vhostOf(login.host, engine.admin.vhosts(), this.#options.vhost);
    const denied = (): StompError =>
      this.#refused(`Virtual host '${vhost ?? login.host}' access denied\n`);
    if (vhost === null) throw denied();
    this.#claim(vhost, login.clientId);
    const open = (): Eventually<Session> => {
      try {
        const opening = engine.open(vhost, principal, this.#peer, ({ message }) => {
          this.#fail(new Refusal('Connection closed', `${message}\n`), null);
        });
        return isPending(opening) ? opening.then((session) => this.#stillWanted(session)) : opening;
      } catch (error) {
        throw error instanceof BrokerError ? denied() : error;
      }
    };
    this.#run(open, (session) => {
      this.#opened(login, session);
      done();
    });
  }

  /** ActiveMQ knows one client by one id: a second would share its durable subscriptions. */
  #claim(vhost: string, id: string | undefined): void {
    if (id === undefined || this.#dialect !== 'activemq') return;
    const key = `${vhost}\0${id}`;
    if (this.#clientIds.has(key)) throw this.#refused(`Client: ${id} already connected\n`);
    this.#clientIds.add(key);
    this.#clientId = key;
  }

  /** A session that was opened for a client that has gone meanwhile is closed again. */
  #stillWanted(session: Session): Session {
    if (this.#state === State.CONNECTING) return session;
    void session.close();
    throw new BrokerError('unavailable', 'the connection is closed');
  }

  #opened(login: Login, session: Session): void {
    const link = this.#link(login, session);
    const subscriptions = new Subscriptions(this.#context.limits);
    const consuming = new Consuming(link, subscriptions);
    const settling = new Settling(link, subscriptions);
    this.#parts = { session, consuming, publishing: new Publishing(link, consuming, settling) };
    this.#state = State.OPEN;
    this.#decoder.bodyBytesMax = this.#context.limits.messageBytesMax;
    this.#transport.authenticated();
    this.#beat(login);
  }

  #connected(login: Login, asked: string | undefined): void {
    const { product } = this.#context;
    const activemq = this.#dialect === 'activemq';
    const own = `${product.name.replaceAll(' ', '')}/${product.version}`;
    const headers: [string, string][] = [
      ['server', `${SPOKEN[this.#dialect]} (${own})`],
      ['session', activemq ? (login.clientId ?? this.#name) : this.#name],
      ['heart-beat', `${login.wantsMs},${login.sendsMs}`],
      ['version', VERSIONS[login.version]],
    ];
    // ActiveMQ answers both to a `request-id` and to a `receipt`.
    if (activemq && asked !== undefined) {
      headers.push(['response-id', asked], ['receipt-id', asked]);
    }
    writeFrame(this.#transport, 'CONNECTED', headers, 0);
  }

  #link(login: Login, session: Session): Link {
    const isOpen = (): boolean => this.#state === State.OPEN;
    return {
      context: this.#context,
      transport: this.#transport,
      session,
      version: login.version,
      dialect: this.#dialect,
      name: this.#name,
      clientId: login.clientId,
      get open() {
        return isOpen();
      },
      run: (call, done) => this.#run(call, done),
      fail: (error, receipt) => this.#fail(error, receipt),
      receipt: (id) => this.#answer(id),
      wrote: () => this.#heartbeat.wrote(),
      temporary: new TemporaryNames(session, this.#name, this.#context.limits),
    };
  }

  #beat(login: Login): void {
    const { wantsMs, sendsMs } = login;
    if (wantsMs > 0) this.#heartbeat.send(wantsMs, () => writeHeartBeat(this.#transport));
    if (sendsMs === 0) return;
    this.#heartbeat.watch(
      sendsMs,
      () => this.#transport.holding,
      () => {
        this.#log.info({ intervalMs: sendsMs }, 'no heart-beat from the client');
        this.#close();
        this.#transport.destroy();
      },
    );
  }

  #onDisconnect(receipt: string | undefined): void {
    this.#drain(() => {
      this.#answer(receipt);
      this.#close();
      this.#transport.end();
    });
  }

  /**
   * Takes nothing more and delivers nothing more; `then`, when all that came in before is
   * settled.
   */
  #drain(then: () => void): void {
    const parts = this.#parts;
    this.#state = State.DRAINING;
    if (parts === null) {
      then();
      return;
    }
    parts.consuming.stop();
    let over = false;
    const finish = (): void => {
      if (over || this.#state !== State.DRAINING) return;
      over = true;
      timer.cancel();
      then();
    };
    const timer = this.#context.clock.after(DRAIN_MAX_MS, finish);
    parts.publishing.whenIdle(() => this.#context.engine.safe(finish));
  }

  /** Goes on with an answer; where it is still to come, reads no frame until then. */
  #run<T>(call: () => Eventually<T>, done: (value: T) => void): void {
    const failed = (error: unknown): void => this.#fail(error, this.#receipt);
    const pending = after(
      call,
      (value: T) => {
        if (this.#state === State.CLOSED) return;
        try {
          done(value);
        } catch (error) {
          failed(error);
        }
      },
      failed,
    );
    if (!isPending(pending)) return;
    this.#waiting++;
    this.#transport.hold();
    void pending.then(() => {
      this.#waiting--;
      this.#transport.release();
      if (this.#waiting === 0) this.#pump();
    });
  }

  #answer(receipt: string | undefined): void {
    if (receipt === undefined) return;
    if (this.#state !== State.OPEN && this.#state !== State.DRAINING) return;
    this.#heartbeat.wrote();
    writeReceipt(this.#transport, receipt, this.#version);
  }

  #refused(detail: string): StompError {
    this.#counters.loginsRefused++;
    return new Refusal('Bad CONNECT', detail);
  }

  /** Ends the connection with an ERROR frame (STOMP 1.2, ERROR: the server then closes). */
  #fail(error: unknown, receipt: string | null): void {
    if (this.#state === State.CLOSED) return;
    const { message, detail } = stompError(error);
    if (this.#state !== State.DRAINING) {
      this.#counters.protocolErrors++;
      this.#log.info({ reason: message, detail: detail.trim() }, 'connection ended with an error');
    }
    const headers: [string, string][] = [
      ['message', message],
      ['content-type', 'text/plain'],
      ['version', VERSIONS.join(',')],
    ];
    if (receipt !== null) headers.push(['receipt-id', receipt]);
    writeFrame(this.#transport, 'ERROR', headers, this.#version, detail);
    this.#close();
    this.#transport.end();
  }

  /** Gives everything back to the engine, at once. */
  #close(): void {
    if (this.#state === State.CLOSED) return;
    this.#state = State.CLOSED;
    if (this.#clientId !== null) this.#clientIds.delete(this.#clientId);
    this.#heartbeat.stop();
    const parts = this.#parts;
    this.#parts = null;
    if (parts !== null) {
      parts.consuming.stop();
      parts.publishing.close();
      void after(
        () => parts.session.close(),
        () => {},
        (error) => this.#log.error({ reason: stompError(error).detail }, 'session not closed'),
      );
    }
    for (const said of this.#goodbyes.splice(0)) said();
  }
}

/** Commands of clients, to tell a frame that comes too early from no command at all. */
const COMMANDS: ReadonlySet<string> = new Set([
  'SEND',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'ACK',
  'NACK',
  'BEGIN',
  'COMMIT',
  'ABORT',
  'DISCONNECT',
]);

function badCommand(command: string): StompError {
  return new Refusal('Bad command', `Could not interpret command "${command}"\n`);
}
