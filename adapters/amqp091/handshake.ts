/**
 * From connection.start to connection.open-ok:
 *
 *     STARTING ──start-ok──▶ TUNING ──tune-ok──▶ OPENING ──open──▶ done
 *
 * Refusals are worded as RabbitMQ's; whoever is not logged in learns no more than that.
 */
import type { Principal } from '../../core/auth.ts';
import type { Peer, Session } from '../../core/engine.ts';
import { BrokerError } from '../../core/errors.ts';
import type { HeaderTable, HeaderValue } from '../../core/message.ts';
import type { Context, Transport } from '../adapter.ts';
import type { Output } from '../output.ts';
import { AmqpError } from './errors.ts';
import { mechanisms, readLogin, type Vouched } from './login.ts';
import type { AmqpOptions } from './options.ts';
import type { Reader } from './reader.ts';
import { writeStart, writeTune } from './replies.ts';
import type { Turn } from './turn.ts';
import { FRAME_BYTES_MIN, Method, Reply } from './wire.ts';

const State = { STARTING: 'starting', TUNING: 'tuning', OPENING: 'opening' } as const;
type State = (typeof State)[keyof typeof State];

/** What client and server agreed on. */
export interface Agreement {
  readonly session: Session;
  readonly principal: Principal;
  readonly channelsMax: number;
  readonly frameBytesMax: number;
  /** 0: none. */
  readonly heartbeatSeconds: number;
  readonly cancelNotify: boolean;
  readonly blockedNotify: boolean;
}

export interface HandshakeHost {
  readonly context: Context;
  readonly peer: Peer;
  readonly output: Output;
  readonly turn: Turn;
  readonly options: AmqpOptions;
  readonly transport: Transport;
  /** The frame size is agreed on. */
  tuned(frameBytesMax: number): void;
  opened(agreement: Agreement): void;
  /** The login failed. `tell`: the client wants to read why. */
  refused(error: AmqpError, tell: boolean): void;
  handshakeFailed(error: unknown, method: number): void;
  /** Operators end the connection, now or later. */
  evicted(reason: string): void;
}

/**
 * Whom clients take us for. Kombu, and with it Celery, asks for a prefetch that consumers share
 * only where the product is RabbitMQ, 3.3 or later. The version is the one whose behaviour ours is
 * compared with; `platform` says who speaks.
 */
const SPOKEN = { product: 'RabbitMQ', version: '3.10.8' } as const;

/** Everything here is true of this server: clients rely on it. */
const CAPABILITIES: HeaderTable = new Map<string, HeaderValue>(
  [
    'publisher_confirms',
    'exchange_exchange_bindings',
    'basic.nack',
    'consumer_cancel_notify',
    'connection.blocked',
    'consumer_priorities',
    'authentication_failure_close',
    'per_consumer_qos',
    'direct_reply_to',
  ].map((name) => [name, true]),
);

export class Handshake {
  readonly #host: HandshakeHost;
  #state: State = State.STARTING;
  readonly #vouched: Vouched;
  #principal: Principal | null = null;
  #capabilities: HeaderTable = new Map();
  #channelsMax: number;
  #frameBytesMax: number;
  #heartbeatSeconds: number;

  constructor(host: HandshakeHost) {
    this.#host = host;
    this.#vouched = {
      certified: host.transport.certifiedUser,
      anonymous: host.options.anonymousUser,
    };
    const { limits, product } = host.context;
    this.#channelsMax = limits.amqpChannelsMax;
    this.#frameBytesMax = limits.amqpFrameBytesMax;
    this.#heartbeatSeconds = limits.amqpHeartbeatSeconds;
    const properties = new Map<string, HeaderValue>([
      ['capabilities', CAPABILITIES],
      ['product', SPOKEN.product],
      ['version', SPOKEN.version],
      ['platform', `${product.name} ${product.version}, Node.js ${process.versions.node}`],
    ]);
    writeStart(host.output, properties, mechanisms(this.#vouched).join(' '));
  }

  /** A method on channel 0 before the connection is open. */
  handle(method: number, reader: Reader): void {
    if (method === Method.CONNECTION_START_OK && this.#state === State.STARTING)
      this.#onStartOk(reader);
    else if (method === Method.CONNECTION_TUNE_OK && this.#state === State.TUNING)
      this.#onTuneOk(reader);
    else if (method === Method.CONNECTION_OPEN && this.#state === State.OPENING)
      this.#onOpen(reader);
    else throw unexpectedMethod(this.#state);
  }

  #onStartOk(reader: Reader): void {
    const capabilities = reader.table().get('capabilities');
    if (capabilities instanceof Map) this.#capabilities = capabilities as HeaderTable;
    const mechanism = reader.shortString();
    const response = reader.longString();
    if (!mechanisms(this.#vouched).includes(mechanism)) {
      const message = `unknown authentication mechanism '${mechanism}'`;
      throw new AmqpError(Reply.COMMAND_INVALID, message);
    }
    const login = readLogin(mechanism, response, this.#vouched);
    if (login === null) {
      this.#refuse(mechanism);
      return;
    }
    const { context, peer, turn } = this.#host;
    turn.ask(
      () => context.authenticator.authenticate(login, peer),
      (answer) => {
        if (answer === 'refused' || answer === 'unknown') this.#refuse(mechanism);
        else this.#tune(answer);
      },
      (error) => this.#host.handshakeFailed(error, Method.CONNECTION_START_OK),
    );
  }

  #refuse(mechanism: string): void {
    const message = `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`;
    const error = new AmqpError(Reply.ACCESS_REFUSED, message);
    this.#host.refused(error, this.#can('authentication_failure_close'));
  }

  #tune(principal: Principal): void {
    this.#principal = principal;
    this.#state = State.TUNING;
    const { output } = this.#host;
    writeTune(output, this.#channelsMax, this.#frameBytesMax, this.#heartbeatSeconds);
  }

  #onTuneOk(reader: Reader): void {
    this.#channelsMax = negotiated('channel_max', reader.short(), 1, this.#channelsMax);
    this.#frameBytesMax = negotiated(
      'frame_max',
      reader.long(),
      FRAME_BYTES_MIN,
      this.#frameBytesMax,
    );
    this.#heartbeatSeconds = reader.short();
    this.#state = State.OPENING;
    this.#host.tuned(this.#frameBytesMax);
  }

  #onOpen(reader: Reader): void {
    const vhost = reader.shortString();
    const principal = this.#principal;
    if (principal === null) throw unexpectedMethod(this.#state);
    const { context, peer, turn } = this.#host;
    turn.ask(
      () =>
        context.engine.open(vhost, principal, peer, ({ message }) => this.#host.evicted(message)),
      (session) =>
        this.#host.opened({
          session,
          principal,
          channelsMax: this.#channelsMax,
          frameBytesMax: this.#frameBytesMax,
          heartbeatSeconds: this.#heartbeatSeconds,
          cancelNotify: this.#can('consumer_cancel_notify'),
          blockedNotify: this.#can('connection.blocked'),
        }),
      (error) =>
        this.#host.handshakeFailed(vhostError(error, vhost, principal), Method.CONNECTION_OPEN),
    );
  }

  #can(capability: string): boolean {
    return this.#capabilities.get(capability) === true;
  }
}

/** A client's value; 0 leaves it to the server. */
function negotiated(field: string, wanted: number, least: number, most: number): number {
  if (wanted === 0) return most;
  const low = wanted < least;
  if (!low && wanted <= most) return wanted;
  const [comparison, bound] = low ? ['lower', 'minimum'] : ['higher', 'maximum'];
  throw new AmqpError(
    Reply.NOT_ALLOWED,
    `negotiated ${field} = ${wanted} is ${comparison} than the ${bound} allowed value (${low ? least : most})`,
  );
}

/** Both are NOT_ALLOWED here, which elsewhere they are not. */
function vhostError(error: unknown, vhost: string, principal: Principal): unknown {
  if (!(error instanceof BrokerError)) return error;
  if (error.code === 'not-found')
    return new AmqpError(Reply.NOT_ALLOWED, `vhost ${vhost} not found`);
  if (error.code !== 'access-refused') return error;
  const message = `access to vhost '${vhost}' refused for user '${principal.name}'`;
  return new AmqpError(Reply.NOT_ALLOWED, message);
}

export function unexpectedMethod(state: string): AmqpError {
  return new AmqpError(Reply.CHANNEL_ERROR, `unexpected method in connection state ${state}`);
}
