/**
 * What a client is told before its connection ends: an ERROR frame's `message` header and its body.
 * The words are RabbitMQ's where it has words for the case, since tools and tests look for them.
 */
import { BrokerError, type ErrorCode, reasonOf } from '../../core/errors.ts';

export class StompError extends Error {
  override readonly name = 'StompError';
  /** The body of the ERROR frame. */
  readonly detail: string;

  constructor(message: string, detail: string) {
    super(message);
    this.detail = detail;
  }
}

/** The broker's codes as RabbitMQ's STOMP clients know them: names of AMQP's exceptions. */
const NAMES: Readonly<Record<ErrorCode, string>> = {
  'not-found': 'not_found',
  'access-refused': 'access_refused',
  'precondition-failed': 'precondition_failed',
  'resource-locked': 'resource_locked',
  'not-allowed': 'not_allowed',
  'resource-exhausted': 'resource_error',
  unavailable: 'unavailable',
  'not-implemented': 'not_implemented',
  internal: 'internal_error',
};

/** Whatever a handler threw, as what the client is told. */
export function stompError(error: unknown): StompError {
  if (error instanceof StompError) return error;
  if (error instanceof BrokerError) {
    const name = NAMES[error.code];
    return new StompError(name, `${name.toUpperCase()} - ${error.message}\n`);
  }
  return new StompError('Processing error', `${reasonOf(error)}\n`);
}

/** A header that would change what a frame means, and is not understood. */
export function unsupported(name: string): StompError {
  return new StompError('Not implemented', `${name} is not supported\n`);
}

/** A required header that is not there. */
export function missingHeader(command: string, name: string): StompError {
  return new StompError('Missing header', `"${command}" must include the "${name}" header\n`);
}

/** A header whose value cannot be meant. */
export function invalidHeader(command: string, name: string): StompError {
  return new StompError('Invalid header', `"${command}" must include a valid "${name}" header\n`);
}
