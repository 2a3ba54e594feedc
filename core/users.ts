/** The accounts of the configuration file: passwords in the clear or hashed, tags, permissions. */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type {
  Authenticator,
  Credentials,
  Permission,
  Principal,
  ScramHash,
  ScramKeys,
} from './auth.ts';
import type { Eventually, Peer } from './engine.ts';

const derive = promisify(pbkdf2);

/** RFC 7677 section 4 asks for at least this many. */
const SCRAM_ITERATIONS = 4096;
const KEY_BYTES: Readonly<Record<ScramHash, number>> = { sha1: 20, sha256: 32 };

export interface UserSpec {
  readonly name: string;
  readonly password?: string | undefined;
  /**
   * Instead of a password: `SCRAM-SHA-256$4096:SALT$STORED:SERVER` (base64, as `hashPassword` makes
   * it), with a blank between them also several with different hashes, or RabbitMQ's
   * `password_hash` (base64 of a 4-byte salt and SHA-256 of salt and password).
   */
  readonly passwordHash?: string | undefined;
  readonly tags: readonly string[];
  /** See `Principal`. */
  readonly connectionsMax?: number | undefined;
  readonly channelsMax?: number | undefined;
  readonly permissions: Readonly<Record<string, PermissionSpec>>;
}

export interface PermissionSpec {
  readonly configure: string;
  readonly write: string;
  readonly read: string;
}

interface Account {
  readonly principal: Principal;
  readonly secret: Secret;
  readonly keys: Map<ScramHash, Promise<ScramKeys>>;
}

type Secret =
  | { readonly kind: 'plain'; readonly password: string }
  | { readonly kind: 'scram'; readonly keys: ReadonlyMap<ScramHash, ScramKeys> }
  | { readonly kind: 'salted'; readonly salt: Buffer; readonly digest: Buffer };

/** Answers for the accounts it was made with; every other user is unknown to it. */
export class UserDirectory implements Authenticator {
  readonly #accounts = new Map<string, Account>();
  readonly #loopbackOnly: ReadonlySet<string>;

  /** `loopbackOnly`: users that are refused from elsewhere, whatever their password. */
  constructor(users: readonly UserSpec[], loopbackOnly: readonly string[]) {
    for (const user of users) this.set(user);
    this.#loopbackOnly = new Set(loopbackOnly);
  }

  /** Adds a user, or replaces the one of that name. */
  set(user: UserSpec): void {
    const { name, tags, connectionsMax, channelsMax } = user;
    const permissions = permissionsOf(user);
    const principal = { name, tags, permissions, connectionsMax, channelsMax };
    this.#accounts.set(user.name, { principal, secret: secretOf(user), keys: new Map() });
  }

  /** Its clients stay connected until something ends their connections. */
  delete(user: string): void {
    this.#accounts.delete(user);
  }

  names(): Iterable<string> {
    return this.#accounts.keys();
  }

  authenticate(
    credentials: Credentials,
    peer: Peer,
  ): Eventually<Principal | 'refused' | 'unknown'> {
    const account = this.#accounts.get(credentials.user);
    if (account === undefined) return 'unknown';
    if (this.#loopbackOnly.has(credentials.user) && !peer.loopback) return 'refused';
    if (credentials.kind === 'trusted') return account.principal;
    const verified = verify(account.secret, credentials.password);
    if (typeof verified === 'boolean') return verified ? account.principal : 'refused';
    return verified.then((right) => (right ? account.principal : 'refused'));
  }

  scram(user: string, hash: ScramHash): Eventually<ScramKeys | null> {
    const account = this.#accounts.get(user);
    if (account === undefined) return null;
    const { secret } = account;
    if (secret.kind === 'scram') return secret.keys.get(hash) ?? null;
    if (secret.kind === 'salted') return null;
    let keys = account.keys.get(hash);
    if (keys === undefined) {
      keys = scramKeys(secret.password, hash, randomBytes(16), SCRAM_ITERATIONS);
      account.keys.set(hash, keys);
    }
    return keys;
  }

  exists(user: string): boolean {
    return this.#accounts.has(user);
  }
}

/** A password as a hash for the configuration file, in PostgreSQL's notation of SCRAM-SHA-256. */
export async function hashPassword(
  password: string,
  hash: ScramHash = 'sha256',
  salted: Buffer = randomBytes(16),
): Promise<string> {
  const keys = await scramKeys(password, hash, salted, SCRAM_ITERATIONS);
  const [salt, stored, server] = [keys.salt, keys.storedKey, keys.serverKey].map((bytes) =>
    bytes.toString('base64'),
  );
  const name = hash === 'sha256' ? 'SCRAM-SHA-256' : 'SCRAM-SHA-1';
  return `${name}$${keys.iterations}:${salt}$${stored}:${server}`;
}

/** Whether a text is a password hash that `UserDirectory` understands. */
export function isPasswordHash(text: string): boolean {
  return (
    SCRAM_FORM.exec(text)?.[1] === '256' ||
    Buffer.from(text, 'base64').length === 4 + KEY_BYTES.sha256
  );
}

const SCRAM_FORM = /^SCRAM-SHA-(256|1)\$(\d+):([^$:]+)\$([^$:]+):([^$:]+)$/;

function secretOf(user: UserSpec): Secret {
  if (user.passwordHash === undefined) return { kind: 'plain', password: user.password ?? '' };
  const keys = new Map<ScramHash, ScramKeys>();
  for (const hash of user.passwordHash.split(' ')) {
    const form = SCRAM_FORM.exec(hash);
    if (form === null) continue;
    const [salt, storedKey, serverKey] = [form[3], form[4], form[5]].map((text) =>
      Buffer.from(text ?? '', 'base64'),
    ) as [Buffer, Buffer, Buffer];
    const iterations = Number(form[2]);
    keys.set(form[1] === '1' ? 'sha1' : 'sha256', { salt, iterations, storedKey, serverKey });
  }
  if (keys.size > 0) return { kind: 'scram', keys };
  const bytes = Buffer.from(user.passwordHash, 'base64');
  return { kind: 'salted', salt: bytes.subarray(0, 4), digest: bytes.subarray(4) };
}

function verify(secret: Secret, password: string): Eventually<boolean> {
  if (secret.kind === 'plain') return sameBytes(sha256(secret.password), sha256(password));
  if (secret.kind === 'salted') {
    const salted = Buffer.concat([secret.salt, Buffer.from(password)]);
    return sameBytes(secret.digest, sha256(salted));
  }
  const [known] = secret.keys;
  if (known === undefined) return false;
  const [hash, { salt, iterations, storedKey }] = known;
  return scramKeys(password, hash, salt, iterations).then((keys) =>
    sameBytes(storedKey, keys.storedKey),
  );
}

/** RFC 5802 section 3. */
async function scramKeys(
  password: string,
  hash: ScramHash,
  salt: Buffer,
  iterations: number,
): Promise<ScramKeys> {
  const salted = await derive(password.normalize('NFKC'), salt, iterations, KEY_BYTES[hash], hash);
  const clientKey = createHmac(hash, salted).update('Client Key').digest();
  const storedKey = createHash(hash).update(clientKey).digest();
  const serverKey = createHmac(hash, salted).update('Server Key').digest();
  return { salt, iterations, storedKey, serverKey };
}

function permissionsOf(user: UserSpec): ReadonlyMap<string, Permission> {
  const permissions = new Map<string, Permission>();
  for (const [vhost, spec] of Object.entries(user.permissions)) {
    permissions.set(vhost, {
      configure: pattern(spec.configure),
      write: pattern(spec.write),
      read: pattern(spec.read),
    });
  }
  return permissions;
}

/** As in RabbitMQ the empty pattern allows nothing (but resources without a name). */
function pattern(source: string): RegExp {
  return new RegExp(source === '' ? '^$' : source, 'u');
}

function sha256(data: string | Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}

function sameBytes(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}
