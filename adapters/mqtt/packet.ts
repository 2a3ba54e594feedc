/** The packets of MQTT as the rest of the adapter sees them. */
import type { PropertySet } from './property.ts';

export const PacketType = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
  AUTH: 15,
} as const;

/** Protocol levels: MQTT 3.1, 3.1.1 and 5. */
export type Version = 3 | 4 | 5;
export type Qos = 0 | 1 | 2;

/** A will, its properties as a message's native bytes are (`native.ts`). */
export interface WillFields {
  readonly topic: string;
  readonly body: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly native: Buffer;
  readonly priority: number;
  /** Negative: does not expire. */
  readonly expirySeconds: number;
  readonly delaySeconds: number;
}

export interface ConnectPacket {
  readonly version: Version;
  /** Another broker, which says so with the highest bit of the protocol level. */
  readonly bridge: boolean;
  readonly clean: boolean;
  readonly keepAliveSeconds: number;
  readonly clientId: string;
  readonly will: WillFields | null;
  readonly user: string | null;
  readonly password: Buffer | null;
  readonly properties: PropertySet;
}

export interface SubscriptionRequest {
  readonly filter: string;
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
}

export interface SubscribePacket {
  readonly packetId: number;
  /** 0: none given. */
  readonly subscriptionId: number;
  readonly requests: readonly SubscriptionRequest[];
}

export interface UnsubscribePacket {
  readonly packetId: number;
  readonly filters: readonly string[];
}

export interface AckPacket {
  readonly packetId: number;
  readonly reason: number;
}

export interface AuthPacket {
  readonly reason: number;
  readonly method: string;
  readonly data: Buffer | undefined;
}

export interface DisconnectPacket {
  readonly reason: number;
  /** Undefined: as it was. */
  readonly sessionExpirySeconds: number | undefined;
}
