/**
 * What ties a login to the TLS connection that it is made over (RFC 5056), as SCRAM-…-PLUS needs
 * it: who sits in the middle of two TLS connections cannot pass the proof on.
 */
import { createHash } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

const EXPORTER_LABEL = 'EXPORTER-Channel-Binding';
const EXPORTER_BYTES = 32;

/** By the registered name of the binding; null where this connection has none of that name. */
export function channelBinding(socket: TLSSocket, name: string): Buffer | null {
  const modern = socket.getProtocol() === 'TLSv1.3';
  switch (name) {
    case 'tls-exporter':
      // RFC 9266 section 4.1: before TLS 1.3 only with extended master secret, which node does not
      // tell.
      return modern
        ? socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0))
        : null;
    case 'tls-unique': {
      if (modern) return null;
      // RFC 5929 section 3.1: the first Finished message, the server's where a session is resumed.
      const finished = socket.isSessionReused() ? socket.getFinished() : socket.getPeerFinished();
      return finished ?? null;
    }
    case 'tls-server-end-point': {
      const certificate = socket.getCertificate();
      const raw = certificate !== null && 'raw' in certificate ? certificate.raw : null;
      const hash = raw === null ? null : signatureHash(raw);
      return raw === null || hash === null ? null : createHash(hash).update(raw).digest();
    }
    default:
      return null;
  }
}

/** Hashes by the signature algorithm's object identifier, in DER without its tag. */
const HASHES: Readonly<Record<string, string>> = {
  // RFC 5929 section 4.1: SHA-256 in the place of MD5 and SHA-1.
  '2a864886f70d010104': 'sha256',
  '2a864886f70d010105': 'sha256',
  '2a864886f70d01010e': 'sha224',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d0401': 'sha256',
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
};

/**
 * The hash that a certificate (DER, RFC 5280 4.1) was signed with; null for an algorithm that has
 * none of its own (Ed25519) or several (RSASSA-PSS).
 */
export function signatureHash(certificate: Buffer): string | null {
  const body = valueAt(certificate, 0);
  const signed = body === null ? null : valueAt(certificate, body.start);
  const algorithm = signed === null ? null : valueAt(certificate, signed.end);
  const identifier = algorithm === null ? null : valueAt(certificate, algorithm.start);
  if (identifier === null) return null;
  return HASHES[certificate.toString('hex', identifier.start, identifier.end)] ?? null;
}

/** Where the value of the DER element at `at` begins and ends. */
function valueAt(der: Buffer, at: number): { readonly start: number; readonly end: number } | null {
  const first = der[at + 1];
  if (first === undefined) return null;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + lengthBytes;
  if (lengthBytes > 4 || start > der.length) return null;
  const length = lengthBytes === 0 ? first : der.readUIntBE(at + 2, lengthBytes);
  return start + length > der.length ? null : { start, end: start + length };
}
