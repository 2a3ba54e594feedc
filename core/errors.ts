/**
 * What went wrong, in the broker's own words; every adapter has one table from these to its
 * protocol's replies.
 */
export type ErrorCode =
  | 'not-found'
  | 'access-refused'
  | 'precondition-failed'
  | 'resource-locked'
  | 'not-allowed'
  | 'resource-exhausted'
  | 'unavailable'
  | 'not-implemented'
  | 'internal';

/**
 * An operating error: the client asked for something that the broker refuses. Never thrown for a
 * bug.
 */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * A mistake in the configuration: `path` says where (`listeners[2].port`), the message what is
 * expected there.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly path: string;

  constructor(path: string, message: string) {
    super(path === '' ? message : `${path}: ${message}`);
    this.path = path;
  }
}

/** Whether a socket's error says no more than that its peer is gone, as happens every day. */
export function isLostConnection(error: Error): boolean {
  const code = 'code' in error ? error.code : null;
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNABORTED';
}

/** The error's message, whatever was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
