/** What a client's SASL response says. Null where it says nothing: the login is then refused. */
import { decodeEntries, scanTable } from './table.ts';

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Offered in connection.start. EXTERNAL is not: no client certificates are mapped to users. */
export const MECHANISMS: readonly string[] = ['PLAIN', 'AMQPLAIN'];

export function readLogin(mechanism: string, response: Buffer): Login | null {
  return mechanism === 'AMQPLAIN' ? amqplain(response) : plain(response);
}

/**
 * RFC 4616: authorization identity, NUL, user, NUL, password. Acting for another user is not
 * offered.
 */
function plain(response: Buffer): Login | null {
  const [identity, user, password, ...rest] = response.toString('utf8').split('\0');
  if (user === undefined || password === undefined || rest.length > 0) return null;
  return identity === '' || identity === user ? { user, password } : null;
}

/** 0-8's own mechanism: a table without its length. */
function amqplain(response: Buffer): Login | null {
  try {
    scanTable(response, 0, response.length, 0);
  } catch {
    return null;
  }
  const table = new Map(decodeEntries(response, 0, response.length));
  const user = table.get('LOGIN');
  const password = table.get('PASSWORD');
  return typeof user === 'string' && typeof password === 'string' ? { user, password } : null;
}
