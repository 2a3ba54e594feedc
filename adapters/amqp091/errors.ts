/**
 * What goes wrong on an AMQP connection: one error class, and the one table from the broker's codes
 * to AMQP's. Texts read `NOT_FOUND - no exchange 'x' in vhost '/'`, as RabbitMQ's do: client
 * libraries and their users match on them.
 */
import { BrokerError, type ErrorCode } from '../../core/errors.ts';
import { Reply, type ReplyCode } from './wire.ts';

/** Ends a channel, or with a code that says so the connection. */
export class AmqpError extends Error {
  override readonly name = 'AmqpError';
  readonly reply: ReplyCode;

  constructor(reply: ReplyCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reply = reply;
  }
}

const REPLIES: Readonly<Record<ErrorCode, ReplyCode>> = {
  'not-found': Reply.NOT_FOUND,
  'access-refused': Reply.ACCESS_REFUSED,
  'precondition-failed': Reply.PRECONDITION_FAILED,
  'resource-locked': Reply.RESOURCE_LOCKED,
  'not-allowed': Reply.NOT_ALLOWED,
  'resource-exhausted': Reply.RESOURCE_ERROR,
  unavailable: Reply.INTERNAL_ERROR,
  'not-implemented': Reply.NOT_IMPLEMENTED,
  internal: Reply.INTERNAL_ERROR,
};

/**
 * Whatever was thrown as what the client is told. What is no operating error says nothing of
 * itself.
 */
export function amqpErrorOf(error: unknown): AmqpError {
  if (error instanceof AmqpError) return error;
  if (error instanceof BrokerError)
    return new AmqpError(REPLIES[error.code], error.message, { cause: error });
  return new AmqpError(Reply.INTERNAL_ERROR, 'internal error', { cause: error });
}

/** Whether it is a mistake of ours, not of the client's and not an operating condition. */
export function isBug(error: unknown): boolean {
  return !(error instanceof AmqpError || error instanceof BrokerError);
}

const REPLY_TEXT_BYTES_MAX = 255;

/** The reply-text of a close method; one that is too long for it ends in dots. */
export function replyText(error: AmqpError): string {
  const text = `${error.reply.text} - ${error.message}`;
  const bytes = Buffer.from(text);
  if (bytes.length <= REPLY_TEXT_BYTES_MAX) return text;
  let end = REPLY_TEXT_BYTES_MAX - 3;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.toString('utf8', 0, end)}...`;
}

/** AMQP 0-9-1 has no finer word for bytes that do not parse. */
export function syntaxError(message: string): AmqpError {
  return new AmqpError(Reply.SYNTAX_ERROR, message);
}

/** A method whose fields are cut short, as RabbitMQ has it. */
export function undecodable(fields: Buffer): AmqpError {
  return new AmqpError(Reply.FRAME_ERROR, `cannot decode <<${[...fields].join(',')}>>`);
}

/** Content came where a method was due. */
export function methodExpected(): AmqpError {
  const message = 'expected method frame, got non method frame instead';
  return new AmqpError(Reply.UNEXPECTED_FRAME, message);
}

export function preconditionFailed(message: string): AmqpError {
  return new AmqpError(Reply.PRECONDITION_FAILED, message);
}
