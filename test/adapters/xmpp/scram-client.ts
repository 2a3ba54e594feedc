/** The client's side of SCRAM (RFC 5802), written apart from the gateway's. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

const SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

export interface ScramLogin {
  readonly mechanism: string;
  readonly user: string;
  readonly password: string;
  /** As `n,,`; with channel binding `p=tls-exporter,,` and its data. */
  readonly gs2?: string;
  readonly bound?: Buffer;
}

/** What the server answered at last, and what it must have proved. */
export interface ScramResult {
  readonly answer: string;
  readonly expected: string;
}

/** `ask` sends an element and answers what the server says to it. */
export async function scram(
  ask: (xml: string) => Promise<string>,
  { mechanism, user, password, gs2 = 'n,,', bound }: ScramLogin,
): Promise<ScramResult> {
  const hash = mechanism.startsWith('SCRAM-SHA-1') ? 'sha1' : 'sha256';
  const bare = `n=${user},r=abc`;
  const initial = Buffer.from(`${gs2}${bare}`).toString('base64');
  const challenge = await ask(`<auth ${SASL} mechanism='${mechanism}'>${initial}</auth>`);
  if (!challenge.includes('<challenge')) return { answer: challenge, expected: '' };
  const first = Buffer.from(/>([^<]+)</.exec(challenge)?.[1] ?? '', 'base64').toString();
  const [, nonce = '', salt = '', iterations = ''] =
    /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(first) ?? [];
  const mac = (key: Buffer, text: string): Buffer => createHmac(hash, key).update(text).digest();
  const bytes = hash === 'sha1' ? 20 : 32;
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), bytes, hash);
  const clientKey = mac(salted, 'Client Key');
  const binding = Buffer.concat([Buffer.from(gs2), bound ?? Buffer.alloc(0)]).toString('base64');
  const last = `c=${binding},r=${nonce}`;
  const message = `${bare},${first},${last}`;
  const signature = mac(createHash(hash).update(clientKey).digest(), message);
  const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)));
  const final = Buffer.from(`${last},p=${proof.toString('base64')}`).toString('base64');
  const answer = await ask(`<response ${SASL}>${final}</response>`);
  return { answer, expected: mac(mac(salted, 'Server Key'), message).toString('base64') };
}
