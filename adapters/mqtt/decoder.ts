/**
 * Decodes the packets that a client may send, for MQTT 3.1, 3.1.1 and 5. Every normative statement
 * on their form is checked; what breaks one throws `Violation` with the reason that MQTT 5 has for
 * it.
 */
import { FieldReader, malformed, protocolError } from './field-reader.ts';
import { PropertySkimmer, RETAIN_FLAG } from './native.ts';
import type {
  AckPacket,
  AuthPacket,
  ConnectPacket,
  DisconnectPacket,
  Qos,
  SubscribePacket,
  SubscriptionRequest,
  UnsubscribePacket,
  Version,
  WillFields,
} from './packet.ts';
import { decodeProperties, NO_PROPERTIES, Property, type PropertySet } from './property.ts';
import { Reason, Violation } from './reason.ts';
import { isTopicName } from './topic.ts';

/** A PUBLISH, as offsets into its packet: filled anew for each, so that none is allocated. */
export class PublishFields {
  qos: Qos = 0;
  retain = false;
  dup = false;
  packetId = 0;
  topicStart = 0;
  topicEnd = 0;
  propertiesStart = 0;
  propertiesEnd = 0;
  bodyStart = 0;
}

export function decodePublish(
  bytes: Buffer,
  first: number,
  start: number,
  end: number,
  version: Version,
  out: PublishFields,
): void {
  let at = start + 2;
  if (at > end) throw malformed('a PUBLISH without a topic');
  out.qos = ((first >> 1) & 3) as Qos;
  out.retain = (first & 1) !== 0;
  out.dup = (first & 8) !== 0;
  out.topicStart = at;
  at += ((bytes[start] as number) << 8) | (bytes[start + 1] as number);
  out.topicEnd = at;
  out.packetId = 0;
  if (out.qos > 0) {
    if (at + 2 > end) throw malformed('a PUBLISH without its packet identifier');
    out.packetId = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    if (out.packetId === 0) throw protocolError('packet identifier 0 [MQTT-2.2.1-3]');
    at += 2;
  }
  if (at > end) throw malformed('a topic that runs past its packet');
  if (version === 5) {
    const first = at < end ? (bytes[at] as number) : 0x80;
    let length = first;
    if (first < 0x80) at++;
    else {
      const reader = new FieldReader(bytes, at, end);
      length = reader.varint();
      at = reader.offset;
    }
    out.propertiesStart = at;
    at += length;
    if (at > end) throw malformed('properties run past their packet');
  } else out.propertiesStart = at;
  out.propertiesEnd = at;
  out.bodyStart = at;
}

/** Mosquitto's bridges, and others, set it. */
const BRIDGE_BIT = 0x80;

const NAMES: Readonly<Record<string, readonly number[]>> = {
  MQIsdp: [3, 3 | BRIDGE_BIT],
  MQTT: [4, 5, 4 | BRIDGE_BIT, 5 | BRIDGE_BIT],
};

/**
 * Throws `Violation`; with UNSUPPORTED_VERSION where the protocol is MQTT in a version that is not
 * ours.
 */
export function decodeConnect(bytes: Buffer, start: number, end: number): ConnectPacket {
  const reader = new FieldReader(bytes, start, end);
  const name = reader.text();
  const level = reader.u8();
  const levels = NAMES[name];
  if (levels === undefined) throw protocolError('a CONNECT of another protocol [MQTT-3.1.2-1]');
  if (!levels.includes(level)) {
    throw new Violation(Reason.UNSUPPORTED_VERSION, `protocol ${name} level ${level}`);
  }
  const version = (level & ~BRIDGE_BIT) as Version;
  const bridge = (level & BRIDGE_BIT) !== 0;
  const flags = reader.u8();
  checkConnectFlags(flags, version);
  const keepAliveSeconds = reader.u16();
  const properties = version === 5 ? decodeProperties(reader, 'connect') : NO_PROPERTIES;
  if (
    properties.has(Property.AUTHENTICATION_DATA) &&
    !properties.has(Property.AUTHENTICATION_METHOD)
  ) {
    throw protocolError('Authentication Data without a method');
  }
  const clientId = reader.text();
  const will = (flags & 0x04) === 0 ? null : decodeWill(reader, flags, version);
  const user = (flags & 0x80) === 0 ? null : reader.text();
  const password = (flags & 0x40) === 0 ? null : reader.binary();
  if (reader.left > 0) throw malformed('bytes after the end of a CONNECT');
  const clean = (flags & 0x02) !== 0;
  return { version, bridge, clean, keepAliveSeconds, clientId, will, user, password, properties };
}

function checkConnectFlags(flags: number, version: Version): void {
  if ((flags & 0x01) !== 0) throw malformed('the reserved CONNECT flag [MQTT-3.1.2-3]');
  const will = (flags & 0x04) !== 0;
  if ((flags & 0x18) === 0x18) throw malformed('a will with QoS 3 [MQTT-3.1.2-12]');
  if (!will && (flags & 0x38) !== 0) throw malformed('will flags without a will [MQTT-3.1.2-11]');
  if (version !== 5 && (flags & 0xc0) === 0x40) {
    throw malformed('a password without a user name [MQTT-3.1.2-22]');
  }
}

function decodeWill(reader: FieldReader, flags: number, version: Version): WillFields {
  const qos = ((flags >> 3) & 3) as Qos;
  const retain = (flags & 0x20) !== 0;
  const native = qos | (retain ? RETAIN_FLAG : 0);
  let start = reader.offset;
  if (version === 5) {
    const length = reader.varint();
    start = reader.offset;
    if (length > reader.left) throw malformed('will properties run past their packet');
    reader.offset += length;
  }
  // A will's user-id is nobody's word: the user is not known yet.
  const skimmer = new PropertySkimmer();
  const skimmed = skimmer.skim(reader.bytes, start, reader.offset, native, null, '', true);
  const topic = reader.text();
  if (!isTopicName(topic)) throw new Violation(Reason.TOPIC_INVALID, 'a will topic that is none');
  return {
    topic,
    body: Buffer.from(reader.binary()),
    qos,
    retain,
    native: skimmed.native,
    priority: skimmed.priority,
    expirySeconds: skimmed.expirySeconds,
    delaySeconds: skimmed.willDelaySeconds,
  };
}

export function decodeSubscribe(
  bytes: Buffer,
  start: number,
  end: number,
  version: Version,
): SubscribePacket {
  const reader = new FieldReader(bytes, start, end);
  const packetId = decodePacketId(reader);
  const properties = version === 5 ? decodeProperties(reader, 'subscribe') : NO_PROPERTIES;
  const requests: SubscriptionRequest[] = [];
  while (reader.left > 0) {
    const filter = reader.text();
    requests.push(decodeSubscriptionOptions(filter, reader.u8(), version));
  }
  if (requests.length === 0) throw protocolError('a SUBSCRIBE without filters [MQTT-3.8.3-2]');
  return { packetId, subscriptionId: properties.number(Property.SUBSCRIPTION_ID) ?? 0, requests };
}

function decodeSubscriptionOptions(
  filter: string,
  options: number,
  version: Version,
): SubscriptionRequest {
  const qos = options & 3;
  if (qos === 3) throw malformed('a subscription with QoS 3 [MQTT-3.8.3-4]');
  if ((options & (version === 5 ? 0xc0 : 0xfc)) !== 0) {
    throw malformed('reserved bits of subscription options [MQTT-3.8.3-5]');
  }
  const retainHandling = (options >> 4) & 3;
  if (retainHandling === 3) throw protocolError('Retain Handling 3');
  const noLocal = (options & 0x04) !== 0;
  if (noLocal && filter.startsWith('$share/')) {
    throw protocolError('No Local on a shared subscription [MQTT-3.8.3-4]');
  }
  return {
    filter,
    qos: qos as Qos,
    noLocal,
    retainAsPublished: (options & 0x08) !== 0,
    retainHandling: retainHandling as 0 | 1 | 2,
  };
}

export function decodeUnsubscribe(
  bytes: Buffer,
  start: number,
  end: number,
  version: Version,
): UnsubscribePacket {
  const reader = new FieldReader(bytes, start, end);
  const packetId = decodePacketId(reader);
  if (version === 5) decodeProperties(reader, 'unsubscribe');
  const filters: string[] = [];
  while (reader.left > 0) filters.push(reader.text());
  if (filters.length === 0) throw protocolError('an UNSUBSCRIBE without filters [MQTT-3.10.3-2]');
  return { packetId, filters };
}

/** Reason codes that a client may give in PUBACK and PUBREC; PUBREL and PUBCOMP have two. */
const ACK_REASONS: ReadonlySet<number> = new Set([
  0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99,
]);
const RELEASE_REASONS: ReadonlySet<number> = new Set([0x00, 0x92]);

/** PUBACK, PUBREC, PUBREL and PUBCOMP are alike (`release`: the latter two). */
export function decodeAck(
  bytes: Buffer,
  start: number,
  end: number,
  version: Version,
  release: boolean,
): AckPacket {
  if (end - start === 2) {
    // The usual form.
    const packetId = bytes.readUInt16BE(start);
    if (packetId > 0) return { packetId, reason: Reason.SUCCESS };
  }
  const reader = new FieldReader(bytes, start, end);
  const packetId = decodePacketId(reader);
  if (version !== 5 && reader.left > 0) throw malformed('bytes after an acknowledgement');
  const reason = reader.left > 0 ? reader.u8() : 0;
  if (!(release ? RELEASE_REASONS : ACK_REASONS).has(reason)) {
    throw malformed(`reason code 0x${reason.toString(16)} in an acknowledgement`);
  }
  if (reader.left > 0) decodeProperties(reader, 'ack');
  if (reader.left > 0) throw malformed('bytes after an acknowledgement');
  return { packetId, reason };
}

/** [MQTT 5, table 3.13]: those that a client may send. */
const DISCONNECT_REASONS: ReadonlySet<number> = new Set([
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
]);

export function decodeDisconnect(
  bytes: Buffer,
  start: number,
  end: number,
  version: Version,
): DisconnectPacket {
  if (start === end) return { reason: 0, sessionExpirySeconds: undefined };
  if (version !== 5) throw malformed('a DISCONNECT with content');
  const reader = new FieldReader(bytes, start, end);
  const reason = reader.u8();
  if (!DISCONNECT_REASONS.has(reason)) {
    throw malformed(`reason code 0x${reason.toString(16)} in a DISCONNECT`);
  }
  let properties: PropertySet = NO_PROPERTIES;
  if (reader.left > 0) properties = decodeProperties(reader, 'disconnect');
  if (reader.left > 0) throw malformed('bytes after a DISCONNECT');
  return { reason, sessionExpirySeconds: properties.number(Property.SESSION_EXPIRY) };
}

/** Reason codes of AUTH that a client may send [MQTT 5, table 3.14]. */
const AUTH_REASONS: ReadonlySet<number> = new Set([
  Reason.CONTINUE_AUTHENTICATION,
  Reason.REAUTHENTICATE,
]);

export function decodeAuth(bytes: Buffer, start: number, end: number): AuthPacket {
  const reader = new FieldReader(bytes, start, end);
  // [MQTT 5, 3.15.2.1]: nothing at all stands for Success, which is the broker's to say.
  if (start === end || !AUTH_REASONS.has(bytes[start] ?? 0)) {
    throw protocolError('a reason code in AUTH that is not for clients [MQTT-3.15.2-1]');
  }
  const reason = reader.u8();
  const properties = reader.left > 0 ? decodeProperties(reader, 'auth') : NO_PROPERTIES;
  if (reader.left > 0) throw malformed('bytes after an AUTH');
  const method = properties.text(Property.AUTHENTICATION_METHOD);
  if (method === undefined) throw protocolError('an AUTH without its method');
  return { reason, method, data: properties.binary(Property.AUTHENTICATION_DATA) };
}

function decodePacketId(reader: FieldReader): number {
  const packetId = reader.u16();
  if (packetId === 0) throw protocolError('packet identifier 0 [MQTT-2.2.1-3]');
  return packetId;
}
