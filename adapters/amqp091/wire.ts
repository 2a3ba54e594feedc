/**
 * The numbers of AMQP 0-9-1: frame types, method ids and reply codes.
 *
 * A method id is its class id and its own id in one 32-bit number, as the two stand on the wire.
 */

/** What a client opens with, and what a server answers to anything else (AMQP 4.2.2). */
export const PROTOCOL_HEADER = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1]);
/** The header of 0-9: libraries that speak 0-9-1 greet with it, too (aioamqp, Net::AMQP). */
export const PROTOCOL_HEADER_0_9 = Buffer.from([0x41, 0x4d, 0x51, 0x50, 1, 1, 0, 9]);
/** Where in a protocol header the versions begin to differ. */
export const HEADER_VERSION_AT = 4;

export const FrameType = { METHOD: 1, HEADER: 2, BODY: 3, HEARTBEAT: 8 } as const;

/** Ends every frame: a parser that lost its place notices (AMQP 4.2.3). */
export const FRAME_END = 0xce;
/** Type, channel and size, before a frame's payload. */
export const FRAME_HEAD_BYTES = 7;
/** What a frame has beside its payload. */
export const FRAME_EXTRA_BYTES = 8;
/**
 * The least that peers must be able to take, and the most before they agreed (AMQP 1.4.2.6:
 * frame-min-size).
 */
export const FRAME_BYTES_MIN = 4096;

export const BASIC_CLASS = 60;

export const Method = {
  CONNECTION_START: 0x000a_000a,
  CONNECTION_START_OK: 0x000a_000b,
  CONNECTION_TUNE: 0x000a_001e,
  CONNECTION_TUNE_OK: 0x000a_001f,
  CONNECTION_OPEN: 0x000a_0028,
  CONNECTION_OPEN_OK: 0x000a_0029,
  CONNECTION_CLOSE: 0x000a_0032,
  CONNECTION_CLOSE_OK: 0x000a_0033,
  CONNECTION_BLOCKED: 0x000a_003c,
  CONNECTION_UNBLOCKED: 0x000a_003d,
  CONNECTION_UPDATE_SECRET: 0x000a_0046,
  CONNECTION_UPDATE_SECRET_OK: 0x000a_0047,
  CHANNEL_OPEN: 0x0014_000a,
  CHANNEL_OPEN_OK: 0x0014_000b,
  CHANNEL_FLOW: 0x0014_0014,
  CHANNEL_FLOW_OK: 0x0014_0015,
  CHANNEL_CLOSE: 0x0014_0028,
  CHANNEL_CLOSE_OK: 0x0014_0029,
  ACCESS_REQUEST: 0x001e_000a,
  ACCESS_REQUEST_OK: 0x001e_000b,
  EXCHANGE_DECLARE: 0x0028_000a,
  EXCHANGE_DECLARE_OK: 0x0028_000b,
  EXCHANGE_DELETE: 0x0028_0014,
  EXCHANGE_DELETE_OK: 0x0028_0015,
  EXCHANGE_BIND: 0x0028_001e,
  EXCHANGE_BIND_OK: 0x0028_001f,
  EXCHANGE_UNBIND: 0x0028_0028,
  /** Not 41: RabbitMQ's extension numbers it so. */
  EXCHANGE_UNBIND_OK: 0x0028_0033,
  QUEUE_DECLARE: 0x0032_000a,
  QUEUE_DECLARE_OK: 0x0032_000b,
  QUEUE_BIND: 0x0032_0014,
  QUEUE_BIND_OK: 0x0032_0015,
  QUEUE_PURGE: 0x0032_001e,
  QUEUE_PURGE_OK: 0x0032_001f,
  QUEUE_DELETE: 0x0032_0028,
  QUEUE_DELETE_OK: 0x0032_0029,
  QUEUE_UNBIND: 0x0032_0032,
  QUEUE_UNBIND_OK: 0x0032_0033,
  BASIC_QOS: 0x003c_000a,
  BASIC_QOS_OK: 0x003c_000b,
  BASIC_CONSUME: 0x003c_0014,
  BASIC_CONSUME_OK: 0x003c_0015,
  BASIC_CANCEL: 0x003c_001e,
  BASIC_CANCEL_OK: 0x003c_001f,
  BASIC_PUBLISH: 0x003c_0028,
  BASIC_RETURN: 0x003c_0032,
  BASIC_DELIVER: 0x003c_003c,
  BASIC_GET: 0x003c_0046,
  BASIC_GET_OK: 0x003c_0047,
  BASIC_GET_EMPTY: 0x003c_0048,
  BASIC_ACK: 0x003c_0050,
  BASIC_REJECT: 0x003c_005a,
  BASIC_RECOVER_ASYNC: 0x003c_0064,
  BASIC_RECOVER: 0x003c_006e,
  BASIC_RECOVER_OK: 0x003c_006f,
  BASIC_NACK: 0x003c_0078,
  CONFIRM_SELECT: 0x0055_000a,
  CONFIRM_SELECT_OK: 0x0055_000b,
  TX_SELECT: 0x005a_000a,
  TX_SELECT_OK: 0x005a_000b,
  TX_COMMIT: 0x005a_0014,
  TX_COMMIT_OK: 0x005a_0015,
  TX_ROLLBACK: 0x005a_001e,
  TX_ROLLBACK_OK: 0x005a_001f,
} as const;

const METHODS = new Set<number>(Object.values(Method));

/** Whether 0-9-1 (with RabbitMQ's extensions) has such a method at all, for either side. */
export function isMethod(id: number): boolean {
  return METHODS.has(id);
}

/**
 * A reply code, its name as RabbitMQ writes it, and whether it ends the whole connection (AMQP
 * 1.1).
 */
export interface ReplyCode {
  readonly code: number;
  readonly text: string;
  readonly closesConnection: boolean;
}

function soft(code: number, text: string): ReplyCode {
  return { code, text, closesConnection: false };
}

function hard(code: number, text: string): ReplyCode {
  return { code, text, closesConnection: true };
}

export const Reply = {
  NO_ROUTE: soft(312, 'NO_ROUTE'),
  CONNECTION_FORCED: hard(320, 'CONNECTION_FORCED'),
  ACCESS_REFUSED: soft(403, 'ACCESS_REFUSED'),
  NOT_FOUND: soft(404, 'NOT_FOUND'),
  RESOURCE_LOCKED: soft(405, 'RESOURCE_LOCKED'),
  PRECONDITION_FAILED: soft(406, 'PRECONDITION_FAILED'),
  FRAME_ERROR: hard(501, 'FRAME_ERROR'),
  SYNTAX_ERROR: hard(502, 'SYNTAX_ERROR'),
  COMMAND_INVALID: hard(503, 'COMMAND_INVALID'),
  CHANNEL_ERROR: hard(504, 'CHANNEL_ERROR'),
  UNEXPECTED_FRAME: hard(505, 'UNEXPECTED_FRAME'),
  RESOURCE_ERROR: hard(506, 'RESOURCE_ERROR'),
  NOT_ALLOWED: hard(530, 'NOT_ALLOWED'),
  NOT_IMPLEMENTED: hard(540, 'NOT_IMPLEMENTED'),
  INTERNAL_ERROR: hard(541, 'INTERNAL_ERROR'),
} as const satisfies Record<string, ReplyCode>;
