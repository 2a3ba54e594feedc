/**
 * Accounts beside those of the configuration file: made, changed and taken away while the gateway
 * runs, and kept in its store. A name of the configuration is never theirs.
 *
 *     NAME  →  UserSpec, with SCRAM-SHA-256 and SCRAM-SHA-1 keys for its password
 */
import type {
  AccountAdmin,
  AccountChange,
  AccountProfile,
  Authenticator,
  Credentials,
  Principal,
  ScramHash,
  ScramKeys,
} from './auth.ts';
import type { Eventually, Peer, Table } from './engine.ts';
import type { Random } from './random.ts';
import { hashPassword, UserDirectory, type UserSpec } from './users.ts';

const SALT_BYTES = 16;

export class RegisteredUsers implements Authenticator, AccountAdmin {
  readonly #configured: UserDirectory;
  readonly #random: Random;
  readonly #open: () => Table;
  readonly #made = new UserDirectory([], []);
  readonly #specs = new Map<string, UserSpec>();
  /** Names whose keys are being derived. */
  readonly #changing = new Set<string>();
  #table: Table | null = null;

  /** `open` is called when the first account is asked for: the engine has started by then. */
  constructor(configured: UserDirectory, random: Random, open: () => Table) {
    this.#configured = configured;
    this.#random = random;
    this.#open = open;
  }

  authenticate(
    credentials: Credentials,
    peer: Peer,
  ): Eventually<Principal | 'refused' | 'unknown'> {
    return this.#directoryOf(credentials.user).authenticate(credentials, peer);
  }

  scram(user: string, hash: ScramHash): Eventually<ScramKeys | null> {
    return this.#directoryOf(user).scram(user, hash);
  }

  exists(user: string): boolean {
    return this.#directoryOf(user).exists(user);
  }

  names(): readonly string[] {
    this.#load();
    return [...this.#configured.names(), ...this.#specs.keys()].sort();
  }

  async add(user: string, password: string, profile: AccountProfile): Promise<AccountChange> {
    if (this.exists(user) || this.#changing.has(user)) return 'exists';
    const { tags, permissions } = profile;
    return this.#keep(user, password, { name: user, tags, permissions });
  }

  async setPassword(user: string, password: string): Promise<AccountChange> {
    const refusal = this.#unchangeable(user);
    const spec = this.#specs.get(user);
    if (refusal !== null || spec === undefined) return refusal ?? 'unknown';
    return this.#keep(user, password, spec);
  }

  remove(user: string): AccountChange {
    const refusal = this.#unchangeable(user);
    if (refusal !== null) return refusal;
    this.#load().delete(user);
    this.#made.delete(user);
    this.#specs.delete(user);
    return 'done';
  }

  #directoryOf(user: string): UserDirectory {
    if (this.#configured.exists(user)) return this.#configured;
    this.#load();
    return this.#made;
  }

  #unchangeable(user: string): AccountChange | null {
    if (this.#configured.exists(user)) return 'configured';
    this.#load();
    return this.#specs.has(user) ? null : 'unknown';
  }

  async #keep(user: string, password: string, base: UserSpec): Promise<AccountChange> {
    this.#changing.add(user);
    try {
      const [strong, weak] = await Promise.all([
        hashPassword(password, 'sha256', this.#random.bytes(SALT_BYTES)),
        hashPassword(password, 'sha1', this.#random.bytes(SALT_BYTES)),
      ]);
      const spec = { ...base, passwordHash: `${strong} ${weak}` };
      this.#load().set(user, Buffer.from(JSON.stringify(spec)));
      this.#take(spec);
      return 'done';
    } finally {
      this.#changing.delete(user);
    }
  }

  #load(): Table {
    if (this.#table !== null) return this.#table;
    this.#table = this.#open();
    for (const [name, bytes] of this.#table.entries()) {
      const spec = JSON.parse(bytes.toString('utf8')) as UserSpec;
      if (!this.#configured.exists(name)) this.#take(spec);
    }
    return this.#table;
  }

  #take(spec: UserSpec): void {
    this.#specs.set(spec.name, spec);
    this.#made.set(spec);
  }
}
