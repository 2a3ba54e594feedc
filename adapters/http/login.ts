/** Who asks: HTTP basic authentication (RFC 7617) against the gateway's accounts. */
import type { Principal } from '../../core/auth.ts';
import type { Peer } from '../../core/engine.ts';
import type { Context } from '../adapter.ts';

/** What of a request says who sends it. */
export interface Sender {
  /** The header, where there is one. */
  readonly authorization: string | undefined;
  /** Of the socket. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly tls: boolean;
}

/** For an answer of 401. */
export const CHALLENGE = 'Basic realm="Rosetta MQ", charset="UTF-8"';

/** Null: nobody logged in. */
export async function principalOf(context: Context, sender: Sender): Promise<Principal | null> {
  const [scheme = '', encoded = ''] = (sender.authorization ?? '').split(' ');
  const login = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = login.indexOf(':');
  if (scheme.toLowerCase() !== 'basic' || colon < 0) return null;
  const [user, password] = [login.slice(0, colon), login.slice(colon + 1)];
  const credentials = { kind: 'password', user, password } as const;
  const found = await context.authenticator.authenticate(credentials, peerOf(sender));
  if (typeof found !== 'string') return found;
  context.log.info({ user, protocol: 'http' }, 'login refused');
  context.meter.protocol('http').loginsRefused++;
  return null;
}

export function peerOf({ remoteAddress, remotePort, tls }: Sender): Peer {
  const host = remoteAddress.replace(/^::ffff:/i, '');
  return {
    address: `${host}:${remotePort}`,
    loopback: host === '::1' || host.startsWith('127.'),
    tls,
    listener: 'http',
    protocol: 'http',
  };
}
