/**
 * Reason codes of MQTT 5 (section 2.4) and how the broker's own errors and MQTT 3's return codes
 * relate to them. `Violation` is how the codec says that a client broke the protocol.
 */
import type { ErrorCode } from '../../core/errors.ts';

export const Reason = {
  SUCCESS: 0x00,
  GRANTED_QOS_1: 0x01,
  GRANTED_QOS_2: 0x02,
  DISCONNECT_WITH_WILL: 0x04,
  NO_MATCHING_SUBSCRIBERS: 0x10,
  NO_SUBSCRIPTION_EXISTED: 0x11,
  CONTINUE_AUTHENTICATION: 0x18,
  REAUTHENTICATE: 0x19,
  UNSPECIFIED: 0x80,
  MALFORMED: 0x81,
  PROTOCOL_ERROR: 0x82,
  IMPLEMENTATION_SPECIFIC: 0x83,
  UNSUPPORTED_VERSION: 0x84,
  CLIENT_ID_INVALID: 0x85,
  BAD_CREDENTIALS: 0x86,
  NOT_AUTHORIZED: 0x87,
  SERVER_UNAVAILABLE: 0x88,
  SERVER_BUSY: 0x89,
  SHUTTING_DOWN: 0x8b,
  BAD_AUTHENTICATION_METHOD: 0x8c,
  KEEP_ALIVE_TIMEOUT: 0x8d,
  TAKEN_OVER: 0x8e,
  FILTER_INVALID: 0x8f,
  TOPIC_INVALID: 0x90,
  PACKET_ID_IN_USE: 0x91,
  PACKET_ID_NOT_FOUND: 0x92,
  RECEIVE_MAXIMUM_EXCEEDED: 0x93,
  TOPIC_ALIAS_INVALID: 0x94,
  PACKET_TOO_LARGE: 0x95,
  QUOTA_EXCEEDED: 0x97,
  ADMINISTRATIVE: 0x98,
  QOS_NOT_SUPPORTED: 0x9b,
  USE_ANOTHER_SERVER: 0x9c,
  SERVER_MOVED: 0x9d,
} as const;
export type Reason = (typeof Reason)[keyof typeof Reason];

/** A client's mistake that ends its connection, with the reason that MQTT 5 has for it. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly reason: Reason;

  constructor(reason: Reason, message: string) {
    super(message);
    this.reason = reason;
  }
}

const FROM_ERROR: Readonly<Record<ErrorCode, Reason>> = {
  'not-found': Reason.IMPLEMENTATION_SPECIFIC,
  'access-refused': Reason.NOT_AUTHORIZED,
  'precondition-failed': Reason.IMPLEMENTATION_SPECIFIC,
  'resource-locked': Reason.NOT_AUTHORIZED,
  'not-allowed': Reason.NOT_AUTHORIZED,
  'resource-exhausted': Reason.QUOTA_EXCEEDED,
  unavailable: Reason.UNSPECIFIED,
  'not-implemented': Reason.IMPLEMENTATION_SPECIFIC,
  internal: Reason.UNSPECIFIED,
};

/** The reason code for an error of the broker's. */
export function reasonForError(code: ErrorCode): Reason {
  return FROM_ERROR[code];
}

/** MQTT 3's CONNACK return code [MQTT 3.1.1, table 3.1] for a reason that refuses a connection. */
export function returnCode(reason: Reason): number {
  switch (reason) {
    case Reason.UNSUPPORTED_VERSION:
      return 1;
    case Reason.CLIENT_ID_INVALID:
      return 2;
    case Reason.BAD_CREDENTIALS:
      return 4;
    case Reason.NOT_AUTHORIZED:
    case Reason.BAD_AUTHENTICATION_METHOD:
      return 5;
    default:
      return 3;
  }
}
