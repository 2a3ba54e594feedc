/** The server's side of SCRAM (RFC 5802, RFC 7677), without channel binding. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { ScramHash, ScramKeys } from './auth.ts';

export interface ScramStart {
  readonly user: string;
  readonly authzid: string;
  readonly nonce: string;
  /** As the client sent it, with the comma at its end. */
  readonly gs2: string;
  readonly bare: string;
}

/**
 * RFC 5802 section 7; null where it is not of that form. `p=` (channel binding) was not offered.
 */
export function parseClientFirst(text: string): ScramStart | null {
  const found = /^([ny],(?:a=([^,]+))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/s.exec(text);
  if (found === null) return null;
  const user = unescapeName(found[4] ?? '');
  const authzid = unescapeName(found[2] ?? '');
  if (user === null || authzid === null) return null;
  return { user, authzid, nonce: found[5] ?? '', gs2: found[1] ?? '', bare: found[3] ?? '' };
}

export function serverFirst(start: ScramStart, keys: ScramKeys, serverNonce: string): string {
  return `r=${start.nonce}${serverNonce},s=${keys.salt.toString('base64')},i=${keys.iterations}`;
}

/** The server's signature where the client's proof is right, 'malformed', or null. */
export function verifyClientFinal(
  text: string,
  start: ScramStart,
  first: string,
  keys: ScramKeys,
  hash: ScramHash,
): string | 'malformed' | null {
  const found = /^(c=([A-Za-z0-9+/=]+),r=([^,]+)(?:,.*)?),p=([A-Za-z0-9+/=]+)$/s.exec(text);
  if (found === null) return 'malformed';
  const [, withoutProof = '', binding = '', nonce = '', proofText = ''] = found;
  const proof = Buffer.from(proofText, 'base64');
  if (Buffer.from(binding, 'base64').toString('utf8') !== start.gs2) return null;
  if (!first.startsWith(`r=${nonce},`) || proof.length !== keys.storedKey.length) return null;
  const authMessage = `${start.bare},${first},${withoutProof}`;
  const signature = createHmac(hash, keys.storedKey).update(authMessage).digest();
  const clientKey = Buffer.from(proof.map((byte, index) => byte ^ (signature[index] ?? 0)));
  const stored = createHash(hash).update(clientKey).digest();
  if (!timingSafeEqual(stored, keys.storedKey)) return null;
  return createHmac(hash, keys.serverKey).update(authMessage).digest('base64');
}

/** Keys for a user that is not there, the same each time: whoever asks learns nothing. */
export function decoyKeys(user: string, hash: ScramHash, secret: Buffer): ScramKeys {
  const make = (what: string): Buffer =>
    createHmac(hash, secret).update(`${what} ${user}`).digest();
  return {
    salt: make('salt').subarray(0, 16),
    iterations: 4096,
    storedKey: make('stored'),
    serverKey: make('server'),
  };
}

function unescapeName(text: string): string | null {
  if (/=(?!2C|3D)/.test(text)) return null;
  return text.replace(/=2C/g, ',').replace(/=3D/g, '=');
}
