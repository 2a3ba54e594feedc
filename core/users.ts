/** The accounts of the configuration file: passwords in the clear or hashed, tags, permissions. */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import {
  type Authenticator,
  type Credentials,
  type Permission,
  type PermissionSpec,
  type Principal,
  permissionPattern,
  type SaltedHash,
  type ScramHash,
  type ScramKeys,
  type TopicPermission,
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
   * `password_hash` (base64 of a 4-byte salt and SHA-256 or SHA-512 of salt and password). Empty:
   * nobody comes in with a password.
   */
  readonly passwordHash?: string | undefined;
  /** Of a hash in RabbitMQ's form; left out: as long as it is. */
  readonly hashing?: SaltedHash | undefined;
  readonly tags: readonly string[];
  /** See `Principal`. */
  readonly connectionsMax?: number | undefined;
  readonly channelsMax?: number | undefined;
  readonly permissions: Readonly<Record<string, PermissionSpec>>;
  /** By vhost and exchange, as RabbitMQ has them. */
  readonly topicPermissions?: Readonly<Record<string, Readonly<Record<string, TopicPermission>>>>;
  /** Stands for the accounts that the configuration does not name: may be changed and deleted. */
  readonly byDefault?: boolean;
}

interface Account {
  /** The same for as long as there is the account: its clients see what changes. */
  readonly principal: Changeable<Principal>;
  spec: UserSpec;
  secret: Secret;
  readonly keys: Map<ScramHash, Promise<ScramKeys>>;
}

type Changeable<T> = { -readonly [Name in keyof T]: T[Name] };

type Secret =
  | { readonly kind: 'plain'; readonly password: string }
  | { readonly kind: 'scram'; readonly keys: ReadonlyMap<ScramHash, ScramKeys> }
  | {
      readonly kind: 'salted';
      readonly salt: Buffer;
      readonly digest: Buffer;
      readonly hashing: SaltedHash;
    }
  | { readonly kind: 'none' };

/** Answers for the accounts it was made with; every other user is unknown to it. */
export class UserDirectory implements Authenticator {
  readonly #accounts = new Map<string, Account>();
  readonly #loopbackOnly: ReadonlySet<string>;

  /** `loopbackOnly`: users that are refused from elsewhere, whatever their password. */
  constructor(users: readonly UserSpec[], loopbackOnly: readonly string[]) {
    for (const user of users) this.set(user);
    this.#loopbackOnly = new Set(loopbackOnly);
  }

  /** Adds a user, or changes the one of that name, for its connected clients too. */
  set(user: UserSpec): void {
    const { name, tags, connectionsMax, channelsMax } = user;
    const permissions = permissionsOf(user);
    const topics = topicsOf(user);
    const rights = { name, tags, permissions, topics, connectionsMax, channelsMax };
    const known = this.#accounts.get(name);
    if (known === undefined) {
      const secret = secretOf(user);
      this.#accounts.set(name, { principal: rights, spec: user, secret, keys: new Map() });
      return;
    }
    Object.assign(known.principal, rights);
    known.spec = user;
    known.secret = secretOf(user);
    known.keys.clear();
  }

  spec(user: string): UserSpec | undefined {
    return this.#accounts.get(user)?.spec;
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
    if (secret.kind !== 'plain') return null;
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
  return SCRAM_FORM.exec(text.split(' ')[0] ?? '')?.[1] === '256' || saltedHash(text) !== null;
}

/** The hash of RabbitMQ that a `password_hash` is made with, by its length; null for none. */
export function saltedHash(text: string): SaltedHash | null {
  if (!isBase64(text)) return null;
  const digest = Buffer.from(text, 'base64').length - SALT_BYTES;
  return digest === 32 ? 'sha256' : digest === 64 ? 'sha512' : null;
}

export function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/]+=*$/.test(text);
}

/** RabbitMQ's `password_hash` of a password, always the same for one user. */
export function saltedPassword(user: string, password: string): string {
  const salt = sha256(`${user}\0${password}`).subarray(0, SALT_BYTES);
  const digest = sha256(Buffer.concat([salt, Buffer.from(password)]));
  return Buffer.concat([salt, digest]).toString('base64');
}

/** In front of the digest, as RabbitMQ has it. */
const SALT_BYTES = 4;

const SCRAM_FORM = /^SCRAM-SHA-(256|1)\$(\d+):([^$:]+)\$([^$:]+):([^$:]+)$/;

function secretOf(user: UserSpec): Secret {
  if (user.passwordHash === undefined) return { kind: 'plain', password: user.password ?? '' };
  if (user.passwordHash === '') return { kind: 'none' };
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
  const hashing = user.hashing ?? saltedHash(user.passwordHash) ?? 'sha256';
  const [salt, digest] = [bytes.subarray(0, SALT_BYTES), bytes.subarray(SALT_BYTES)];
  return { kind: 'salted', salt, digest, hashing };
}

function verify(secret: Secret, password: string): Eventually<boolean> {
  if (secret.kind === 'none') return false;
  if (secret.kind === 'plain') return sameBytes(sha256(secret.password), sha256(password));
  if (secret.kind === 'salted') {
    const salted = Buffer.concat([secret.salt, Buffer.from(password)]);
    return sameBytes(secret.digest, createHash(secret.hashing).update(salted).digest());
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
      configure: permissionPattern(spec.configure),
      write: permissionPattern(spec.write),
      read: permissionPattern(spec.read),
    });
  }
  return permissions;
}

function topicsOf({ topicPermissions = {} }: UserSpec): NonNullable<Principal['topics']> {
  const topics = new Map<string, ReadonlyMap<string, TopicPermission>>();
  for (const [vhost, byExchange] of Object.entries(topicPermissions)) {
    topics.set(vhost, new Map(Object.entries(byExchange)));
  }
  return topics;
}

function sha256(data: string | Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}

function sameBytes(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}
