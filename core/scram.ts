/** The server's side of SCRAM (RFC 5802, RFC 7677), with channel binding for who offers it. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { ScramHash, ScramKeys } from './auth.ts';

export interface ScramStart {
  readonly user: string;
  readonly authzid: string;
  readonly nonce: string;
  /**
   * The channel binding that the client uses, by its name; `y`: it could use one, and believes that
   * the server cannot; `n`: it could not.
   */
  readonly binding: { readonly flag: 'n' | 'y' | 'p'; readonly name: string };
  /** As the client sent it, with the comma at its end. */
  readonly gs2: string;
  readonly bare: string;
}

const CLIENT_FIRST =
  /^((?:([ny])|p=([A-Za-z0-9.-]+)),(?:a=([^,]+))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/s;

/**
 * RFC 5802 section 7; null where it is not of that form. `plus`: the mechanism is one with channel
 * binding, which the client must then name, and else may not.
 */
export function parseClientFirst(text: string, plus: boolean = false): ScramStart | null {
  const found = CLIENT_FIRST.exec(text);
  if (found === null || plus !== (found[2] === undefined)) return null;
  const [, gs2 = '', flag, name = '', identity = '', bare = '', login = '', nonce = ''] = found;
  const user = unescapeName(login);
  const authzid = unescapeName(identity);
  if (user === null || authzid === null) return null;
  const kind = flag === 'n' || flag === 'y' ? flag : 'p';
  return { user, authzid, nonce, binding: { flag: kind, name }, gs2, bare };
}

export function serverFirst(start: ScramStart, keys: ScramKeys, serverNonce: string): string {
  return `r=${start.nonce}${serverNonce},s=${keys.salt.toString('base64')},i=${keys.iterations}`;
}

/**
 * The server's signature where the client's proof is right, 'malformed', or null. `bound` is the
 * data of the channel binding that the client named; without it one that names any is refused.
 */
export function verifyClientFinal(
  text: string,
  start: ScramStart,
  first: string,
  keys: ScramKeys,
  hash: ScramHash,
  bound: Buffer | null = null,
): string | 'malformed' | null {
  const found = /^(c=([A-Za-z0-9+/=]+),r=([^,]+)(?:,.*)?),p=([A-Za-z0-9+/=]+)$/s.exec(text);
  if (found === null) return 'malformed';
  const [, withoutProof = '', binding = '', nonce = '', proofText = ''] = found;
  const proof = Buffer.from(proofText, 'base64');
  if ((start.binding.flag === 'p') !== (bound !== null)) return null;
  const expected = Buffer.concat([Buffer.from(start.gs2), bound ?? Buffer.alloc(0)]);
  if (!Buffer.from(binding, 'base64').equals(expected)) return null;
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
