/** Who is at the other end of a socket, as adapters and logs see it. */
import type { Socket } from 'node:net';
import type { Peer } from '../../core/engine.ts';

const IPV4_IN_IPV6 = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i;

/** Null where the socket is gone already. */
export function peerOf(
  socket: Socket,
  protocol: string,
  listener: string,
  tls: boolean,
): Peer | null {
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress === undefined || remotePort === undefined) return null;
  const host = remoteAddress.replace(IPV4_IN_IPV6, '');
  return {
    address: joinAddress(host, remotePort),
    loopback: host === '::1' || host.startsWith('127.'),
    tls,
    listener,
    protocol,
  };
}

/** `host:port`, with brackets where the host has colons itself. */
export function joinAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
