/** What a client's SASL response says. Null where it says nothing: the login is then refused. */
import type { Credentials } from '../../core/auth.ts';
import { decodeEntries, scanTable } from './table.ts';

/** Who may come in without a password. */
export interface Vouched {
  /** Named by the client's certificate; null: by none. */
  readonly certified: string | null;
  /** Whom a client is that does not say who it is; null: nobody. */
  readonly anonymous: string | null;
}

/** Offered in connection.start: what this client can use. */
export function mechanisms({ certified, anonymous }: Vouched): readonly string[] {
  const offered = ['PLAIN', 'AMQPLAIN'];
  if (certified !== null) offered.push('EXTERNAL');
  if (anonymous !== null) offered.push('ANONYMOUS');
  return offered;
}

/** `mechanism` is one of those that were offered. */
export function readLogin(
  mechanism: string,
  response: Buffer,
  { certified, anonymous }: Vouched,
): Credentials | null {
  switch (mechanism) {
    case 'AMQPLAIN':
      return amqplain(response);
    case 'EXTERNAL':
      // As in RabbitMQ the response is looked over: the certificate has said all.
      return trusted(certified);
    case 'ANONYMOUS':
      return trusted(anonymous);
    default:
      return plain(response);
  }
}

function trusted(user: string | null): Credentials | null {
  return user === null ? null : { kind: 'trusted', user };
}

/**
 * RFC 4616: authorization identity, NUL, user, NUL, password. Acting for another user is not
 * offered.
 */
function plain(response: Buffer): Credentials | null {
  const [identity, user, password, ...rest] = response.toString('utf8').split('\0');
  if (user === undefined || password === undefined || rest.length > 0) return null;
  return identity === '' || identity === user ? { kind: 'password', user, password } : null;
}

/** 0-8's own mechanism: a table without its length. */
function amqplain(response: Buffer): Credentials | null {
  try {
    scanTable(response, 0, response.length, 0);
  } catch {
    return null;
  }
  const table = new Map(decodeEntries(response, 0, response.length));
  const user = table.get('LOGIN');
  const password = table.get('PASSWORD');
  if (typeof user !== 'string' || typeof password !== 'string') return null;
  return { kind: 'password', user, password };
}
