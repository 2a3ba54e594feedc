/**
 * Properties of MQTT 5 (section 2.2.2): which exist, of which type, and in which packets a client
 * may send them. `decodeProperties` is for control packets; a message's own properties are skimmed
 * in `native.ts`.
 */
import { type FieldReader, malformed, protocolError } from './field-reader.ts';

export const Property = {
  PAYLOAD_FORMAT: 0x01,
  MESSAGE_EXPIRY: 0x02,
  CONTENT_TYPE: 0x03,
  RESPONSE_TOPIC: 0x08,
  CORRELATION_DATA: 0x09,
  SUBSCRIPTION_ID: 0x0b,
  SESSION_EXPIRY: 0x11,
  ASSIGNED_CLIENT_ID: 0x12,
  SERVER_KEEP_ALIVE: 0x13,
  AUTHENTICATION_METHOD: 0x15,
  AUTHENTICATION_DATA: 0x16,
  REQUEST_PROBLEM_INFORMATION: 0x17,
  WILL_DELAY: 0x18,
  REQUEST_RESPONSE_INFORMATION: 0x19,
  RESPONSE_INFORMATION: 0x1a,
  SERVER_REFERENCE: 0x1c,
  REASON_STRING: 0x1f,
  RECEIVE_MAXIMUM: 0x21,
  TOPIC_ALIAS_MAXIMUM: 0x22,
  TOPIC_ALIAS: 0x23,
  MAXIMUM_QOS: 0x24,
  RETAIN_AVAILABLE: 0x25,
  USER_PROPERTY: 0x26,
  MAXIMUM_PACKET_SIZE: 0x27,
  WILDCARD_AVAILABLE: 0x28,
  SUBSCRIPTION_ID_AVAILABLE: 0x29,
  SHARED_AVAILABLE: 0x2a,
} as const;
export type Property = (typeof Property)[keyof typeof Property];

/** Control packets that a client sends properties in. */
export type PropertyContext =
  | 'connect'
  | 'subscribe'
  | 'unsubscribe'
  | 'ack'
  | 'disconnect'
  | 'auth';

type Kind = 'flag' | 'u16' | 'u32' | 'varint' | 'text' | 'binary';

interface Definition {
  readonly kind: Kind;
  readonly contexts: readonly PropertyContext[];
  /** Zero is a protocol error. */
  readonly positive: boolean;
}

const DEFINITIONS: ReadonlyMap<number, Definition> = new Map<number, Definition>([
  [Property.SUBSCRIPTION_ID, { kind: 'varint', contexts: ['subscribe'], positive: true }],
  [Property.SESSION_EXPIRY, { kind: 'u32', contexts: ['connect', 'disconnect'], positive: false }],
  [
    Property.AUTHENTICATION_METHOD,
    { kind: 'text', contexts: ['connect', 'auth'], positive: false },
  ],
  [
    Property.AUTHENTICATION_DATA,
    { kind: 'binary', contexts: ['connect', 'auth'], positive: false },
  ],
  [Property.REQUEST_PROBLEM_INFORMATION, { kind: 'flag', contexts: ['connect'], positive: false }],
  [Property.REQUEST_RESPONSE_INFORMATION, { kind: 'flag', contexts: ['connect'], positive: false }],
  [
    Property.REASON_STRING,
    { kind: 'text', contexts: ['ack', 'disconnect', 'auth'], positive: false },
  ],
  [Property.RECEIVE_MAXIMUM, { kind: 'u16', contexts: ['connect'], positive: true }],
  [Property.TOPIC_ALIAS_MAXIMUM, { kind: 'u16', contexts: ['connect'], positive: false }],
  [Property.MAXIMUM_PACKET_SIZE, { kind: 'u32', contexts: ['connect'], positive: true }],
]);

/**
 * Decoded properties of one control packet. User properties are checked, and mean nothing to the
 * broker.
 */
export class PropertySet {
  readonly #values = new Map<number, number | string | Buffer>();

  number(property: Property): number | undefined {
    const value = this.#values.get(property);
    return typeof value === 'number' ? value : undefined;
  }

  text(property: Property): string | undefined {
    const value = this.#values.get(property);
    return typeof value === 'string' ? value : undefined;
  }

  /** A view of the packet that it came in. */
  binary(property: Property): Buffer | undefined {
    const value = this.#values.get(property);
    return Buffer.isBuffer(value) ? value : undefined;
  }

  has(property: Property): boolean {
    return this.#values.has(property);
  }

  add(id: number, value: number | string | Buffer): void {
    if (this.#values.has(id)) throw protocolError(`property 0x${id.toString(16)} twice`);
    this.#values.set(id, value);
  }
}

export const NO_PROPERTIES = new PropertySet();

/** Reads a property block with its length. Throws `Violation`. */
export function decodeProperties(reader: FieldReader, context: PropertyContext): PropertySet {
  const length = reader.varint();
  if (length === 0) return NO_PROPERTIES;
  const packetEnd = reader.end;
  if (length > reader.left) throw malformed('properties run past their packet');
  reader.end = reader.offset + length;
  const properties = new PropertySet();
  while (reader.left > 0) decodeProperty(reader, context, properties);
  reader.end = packetEnd;
  return properties;
}

function decodeProperty(
  reader: FieldReader,
  context: PropertyContext,
  properties: PropertySet,
): void {
  const id = reader.varint();
  if (id === Property.USER_PROPERTY) {
    reader.skipText();
    reader.skipText();
    return;
  }
  const definition = DEFINITIONS.get(id);
  if (definition === undefined || !definition.contexts.includes(context)) {
    // [MQTT 2.2.2.2]: an identifier not valid for its packet is a malformed packet.
    throw malformed(`property 0x${id.toString(16)} is not one of this packet`);
  }
  const value = decodeValue(reader, definition.kind);
  if (definition.positive && value === 0) throw protocolError(`property 0x${id.toString(16)} is 0`);
  if (definition.kind === 'flag' && typeof value === 'number' && value > 1) {
    throw protocolError(`property 0x${id.toString(16)} is neither 0 nor 1`);
  }
  properties.add(id, value);
}

function decodeValue(reader: FieldReader, kind: Kind): number | string | Buffer {
  switch (kind) {
    case 'flag':
      return reader.u8();
    case 'u16':
      return reader.u16();
    case 'u32':
      return reader.u32();
    case 'varint':
      return reader.varint();
    case 'text':
      return reader.text();
    case 'binary':
      return reader.binary();
  }
}
