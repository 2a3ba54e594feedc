/**
 * From CONNECT to logged in: who the client is, what it is granted, and the CONNACK that says so.
 */
import type { Credentials, Principal } from '../../core/auth.ts';
import type { Session as EngineSession, Eventually, Peer } from '../../core/engine.ts';
import { BrokerError } from '../../core/errors.ts';
import { randomName } from '../../core/random.ts';
import type { Context } from '../adapter.ts';
import { chain } from './chain.ts';
import { connack, PropertyBlock } from './encoder.ts';
import type { Grants, MqttOptions } from './options.ts';
import type { ConnectPacket } from './packet.ts';
import { Property } from './property.ts';
import { Reason } from './reason.ts';

/** The connection is refused with this reason. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly reason: Reason;
  /** Where the client should go instead; empty: nowhere known. */
  readonly serverReference: string;

  constructor(reason: Reason, message: string, serverReference: string = '') {
    super(message);
    this.reason = reason;
    this.serverReference = serverReference;
  }
}

export interface Login {
  readonly principal: Principal;
  readonly engine: EngineSession;
}

/** A user in a vhost. */
export interface Identity {
  readonly vhost: string;
  readonly user: string;
}

/**
 * Checks the client's name and password; one that gives no name is whom its certificate names
 * (`certified`), or else anonymous. Throws, or rejects with, `Refusal`.
 */
export function logIn(
  packet: ConnectPacket,
  context: Context,
  options: MqttOptions,
  peer: Peer,
  certified: string | null,
  evicted: Evicted,
): Eventually<Login> {
  if (packet.user !== null) {
    const identity = identityOf(packet.user, options);
    const password = packet.password?.toString('utf8') ?? '';
    const credentials = { kind: 'password', user: identity.user, password } as const;
    return enter(identity, credentials, context, peer, evicted);
  }
  if (certified === null && !options.allowAnonymous) {
    throw new Refusal(Reason.NOT_AUTHORIZED, 'no user name, and anonymous clients are not allowed');
  }
  const identity =
    certified === null
      ? identityOf(options.anonymousUser, options)
      : { vhost: options.vhost, user: certified };
  return enter(identity, { kind: 'trusted', user: identity.user }, context, peer, evicted);
}

/** Operators end the connection. */
export type Evicted = (reason: BrokerError) => void;

/** Lets a user in, and opens the vhost. Throws, or rejects with, `Refusal`. */
export function enter(
  { vhost, user }: Identity,
  credentials: Credentials,
  context: Context,
  peer: Peer,
  evicted: Evicted,
): Eventually<Login> {
  return chain(context.authenticator.authenticate(credentials, peer), (principal) => {
    if (typeof principal === 'string') {
      throw new Refusal(Reason.BAD_CREDENTIALS, `login of user '${user}' refused`);
    }
    let engine: Eventually<EngineSession>;
    try {
      engine = context.engine.open(vhost, principal, peer, evicted);
    } catch (error) {
      throw refusalOf(error);
    }
    if (engine instanceof Promise) {
      return engine.then(
        (opened) => ({ principal, engine: opened }),
        (error) => Promise.reject(refusalOf(error)),
      );
    }
    return { principal, engine };
  });
}

function refusalOf(error: unknown): unknown {
  if (!(error instanceof BrokerError)) return error;
  const known = error.code === 'not-found' || error.code === 'access-refused';
  return new Refusal(known ? Reason.NOT_AUTHORIZED : Reason.SERVER_UNAVAILABLE, error.message);
}

/** `vhost:user`, as RabbitMQ reads it: split at the last colon. */
export function identityOf(name: string, { vhost }: MqttOptions): Identity {
  const colon = name.lastIndexOf(':');
  if (colon < 0) return { vhost, user: name };
  return { vhost: name.slice(0, colon), user: name.slice(colon + 1) };
}

/** What one connection is granted: its own wishes within the broker's. */
export interface Terms {
  readonly clientId: string;
  /** It is another broker. */
  readonly bridge: boolean;
  /** The broker chose the client identifier. */
  readonly assigned: boolean;
  readonly keepAliveSeconds: number;
  readonly sessionExpirySeconds: number;
  /** How many unacknowledged publishes the client takes. */
  readonly receiveMaximum: number;
  /** The largest packet that it takes, in bytes. */
  readonly packetBytesMax: number;
  readonly aliasMax: number;
  /** It wants reasons in words also where nothing failed badly [MQTT-3.1.2-29]. */
  readonly problemInformation: boolean;
  /** It wants to know where answers may be sent to. */
  readonly wantsResponseInformation: boolean;
}

/** Throws `Refusal` for a client identifier that cannot be. */
export function termsOf(packet: ConnectPacket, grants: Grants, context: Context): Terms {
  const { version, clean, properties } = packet;
  const assigned = packet.clientId === '';
  // [MQTT-3.1.3-8]: without a clean start, MQTT 3 needs an identifier; 3.1 needs one always.
  if (assigned && (version === 3 || (version === 4 && !clean))) {
    throw new Refusal(Reason.CLIENT_ID_INVALID, 'an empty client identifier');
  }
  const asked = properties.number(Property.SESSION_EXPIRY) ?? 0;
  const lasting = version === 5 ? asked : clean ? 0 : Number.POSITIVE_INFINITY;
  const { keepAliveSecondsMax } = grants;
  const tooLong =
    keepAliveSecondsMax > 0 &&
    (packet.keepAliveSeconds === 0 || packet.keepAliveSeconds > keepAliveSecondsMax);
  const window = properties.number(Property.RECEIVE_MAXIMUM) ?? 65_535;
  return {
    clientId: assigned ? `auto-${randomName(context.random)}` : packet.clientId,
    bridge: packet.bridge,
    assigned,
    // MQTT 3 has no way to tell the client of another.
    keepAliveSeconds: version === 5 && tooLong ? keepAliveSecondsMax : packet.keepAliveSeconds,
    sessionExpirySeconds: Math.min(lasting, grants.sessionExpirySecondsMax),
    receiveMaximum: Math.min(window, context.limits.mqttReceiveMaximum),
    packetBytesMax: properties.number(Property.MAXIMUM_PACKET_SIZE) ?? Number.POSITIVE_INFINITY,
    aliasMax: Math.min(
      properties.number(Property.TOPIC_ALIAS_MAXIMUM) ?? 0,
      context.limits.mqttTopicAliasMaximum,
    ),
    problemInformation: properties.number(Property.REQUEST_PROBLEM_INFORMATION) !== 0,
    wantsResponseInformation: properties.number(Property.REQUEST_RESPONSE_INFORMATION) === 1,
  };
}

const NOTHING = Buffer.alloc(0);

/**
 * The CONNACK of a refusal in MQTT 5; words are left out where the client does not take so much
 * [MQTT-3.2.2-19], and so is everything where it takes nothing at all [MQTT-3.1.2-24].
 */
export function refusal({ reason, message, serverReference }: Refusal, bytesMax: number): Buffer {
  const block = new PropertyBlock();
  if (serverReference !== '') block.text(Property.SERVER_REFERENCE, serverReference);
  const bare = connack(false, reason, block.bytes());
  if (bare.length > bytesMax) return NOTHING;
  // Why a login was refused is for the log only.
  if (message === '' || reason === Reason.BAD_CREDENTIALS) return bare;
  const told = connack(false, reason, block.text(Property.REASON_STRING, message).bytes());
  return told.length <= bytesMax ? told : bare;
}

/** What a CONNACK says beside the terms. */
export interface Extras {
  readonly sessionPresent: boolean;
  /** Where the client may have answers sent to; empty: nothing is said [MQTT-3.1.2-28]. */
  readonly responseInformation: string;
  /** The end of a SCRAM exchange. */
  readonly proof: { readonly method: string; readonly data: Buffer } | null;
}

/**
 * The CONNACK of a connection that is taken. Throws `Refusal` where its client takes none so large.
 */
export function acceptance(
  packet: ConnectPacket,
  terms: Terms,
  grants: Grants,
  extras: Extras,
): Buffer {
  const { sessionPresent } = extras;
  // In MQTT 3.1 the byte is reserved.
  if (packet.version !== 5) return connack(sessionPresent && packet.version !== 3, 0, null);
  for (const whole of [true, false]) {
    const block = announcements(packet, terms, grants, extras, whole);
    const answer = connack(sessionPresent, Reason.SUCCESS, block.bytes());
    if (answer.length <= terms.packetBytesMax) return answer;
  }
  throw new Refusal(Reason.PACKET_TOO_LARGE, 'no CONNACK is as small as its Maximum Packet Size');
}

/** `whole`: also what holds where nothing is said. */
function announcements(
  packet: ConnectPacket,
  terms: Terms,
  grants: Grants,
  { responseInformation, proof }: Extras,
  whole: boolean,
): PropertyBlock {
  const block = new PropertyBlock();
  if (terms.sessionExpirySeconds !== (packet.properties.number(Property.SESSION_EXPIRY) ?? 0)) {
    block.u32(Property.SESSION_EXPIRY, terms.sessionExpirySeconds);
  }
  block.u16(Property.RECEIVE_MAXIMUM, grants.receiveMaximum);
  if (grants.qosMax < 2) block.u8(Property.MAXIMUM_QOS, grants.qosMax);
  if (whole) block.u8(Property.RETAIN_AVAILABLE, 1);
  block.u32(Property.MAXIMUM_PACKET_SIZE, grants.packetBytesMax);
  if (terms.assigned) block.text(Property.ASSIGNED_CLIENT_ID, terms.clientId);
  block.u16(Property.TOPIC_ALIAS_MAXIMUM, grants.topicAliasMaximum);
  if (whole) {
    block.u8(Property.WILDCARD_AVAILABLE, 1);
    block.u8(Property.SUBSCRIPTION_ID_AVAILABLE, 1);
    block.u8(Property.SHARED_AVAILABLE, 1);
  }
  if (terms.keepAliveSeconds !== packet.keepAliveSeconds) {
    block.u16(Property.SERVER_KEEP_ALIVE, terms.keepAliveSeconds);
  }
  if (responseInformation !== '') {
    block.text(Property.RESPONSE_INFORMATION, responseInformation);
  }
  if (proof !== null) {
    block.text(Property.AUTHENTICATION_METHOD, proof.method);
    block.binary(Property.AUTHENTICATION_DATA, proof.data);
  }
  return block;
}
