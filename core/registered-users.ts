/**
 * Accounts that are made, changed and taken away while the gateway runs, beside those of the
 * configuration file, whose names are never theirs. They are kept in the gateway's store:
 *
 *     NAME     →  UserSpec, with SCRAM-SHA-256 and SCRAM-SHA-1 keys or a hash for its password; or
 *                 that the account which stands for none in the configuration is deleted
 *     \0 NAME  →  Grants: what an account of the configuration may do in vhosts made at run time
 */
import type {
  AccountAdmin,
  AccountChange,
  AccountLimits,
  AccountProfile,
  AccountSecret,
  AccountView,
  Authenticator,
  Credentials,
  PermissionSpec,
  Principal,
  ScramHash,
  ScramKeys,
  TopicPermission,
} from './auth.ts';
import type { Eventually, Peer, Table } from './engine.ts';
import type { Random } from './random.ts';
import {
  hashPassword,
  saltedHash,
  saltedPassword,
  type UserDirectory,
  type UserSpec,
} from './users.ts';

const SALT_BYTES = 16;

type Grants = Required<Pick<UserSpec, 'permissions' | 'topicPermissions'>>;

export class RegisteredUsers implements Authenticator, AccountAdmin {
  readonly #directory: UserDirectory;
  /** Those of the configuration file, as it has them. */
  readonly #configured = new Map<string, UserSpec>();
  readonly #defaults = new Set<string>();
  readonly #random: Random;
  readonly #open: () => Table;
  readonly #changed: (user: string) => void;
  /** Names whose keys are being derived. */
  readonly #changing = new Set<string>();
  readonly #removed: ((user: string) => void)[] = [];
  #table: Table | null = null;

  /**
   * `directory` has the configured accounts, and gets the others. `open` is called when the first
   * account is asked for: the engine has started by then. `changed`: what a user may do is another
   * from now on.
   */
  constructor(
    directory: UserDirectory,
    random: Random,
    open: () => Table,
    changed: (user: string) => void = () => {},
  ) {
    this.#directory = directory;
    this.#random = random;
    this.#open = open;
    this.#changed = changed;
    for (const name of directory.names()) {
      const spec = directory.spec(name);
      if (spec?.byDefault === true) this.#defaults.add(name);
      else if (spec !== undefined) this.#configured.set(name, spec);
    }
  }

  authenticate(
    credentials: Credentials,
    peer: Peer,
  ): Eventually<Principal | 'refused' | 'unknown'> {
    this.#load();
    return this.#directory.authenticate(credentials, peer);
  }

  scram(user: string, hash: ScramHash): Eventually<ScramKeys | null> {
    this.#load();
    return this.#directory.scram(user, hash);
  }

  exists(user: string): boolean {
    this.#load();
    return this.#directory.exists(user);
  }

  names(): readonly string[] {
    this.#load();
    return [...this.#directory.names()].sort();
  }

  view(user: string): AccountView | undefined {
    this.#load();
    const spec = this.#directory.spec(user);
    if (spec === undefined) return undefined;
    const { name, tags, permissions, topicPermissions = {}, connectionsMax, channelsMax } = spec;
    const passwordHash = spec.passwordHash ?? saltedPassword(name, spec.password ?? '');
    const configured = this.#configured.has(user);
    const hashing = spec.hashing ?? saltedHash(passwordHash) ?? 'sha256';
    const rights = { permissions, topicPermissions, connectionsMax, channelsMax };
    return { name, tags, passwordHash, hashing, configured, ...rights };
  }

  async add(user: string, password: string, profile: AccountProfile): Promise<AccountChange> {
    if (this.exists(user) || this.#changing.has(user)) return 'exists';
    const { tags, permissions } = profile;
    return this.#keep(user, { password }, () => ({ name: user, tags, permissions }));
  }

  async setPassword(user: string, password: string): Promise<AccountChange> {
    const spec = this.#changeable(user);
    if (typeof spec === 'string') return spec;
    return this.#keep(user, { password }, () => this.#directory.spec(user) ?? null);
  }

  async put(user: string, secret: AccountSecret, tags: readonly string[]): Promise<AccountChange> {
    if (this.#changeable(user) === 'configured') return 'configured';
    return this.#keep(user, secret, () => {
      const spec = this.#directory.spec(user) ?? { name: user, permissions: {} };
      return { ...spec, tags };
    });
  }

  setLimits(user: string, limits: AccountLimits): AccountChange {
    const spec = this.#changeable(user);
    if (typeof spec === 'string') return spec;
    const { connectionsMax, channelsMax } = limits;
    return this.#write({ ...spec, connectionsMax, channelsMax });
  }

  setPermission(user: string, vhost: string, permission: PermissionSpec | null): AccountChange {
    return this.#grant(user, vhost, (grants) => {
      const permissions = { ...grants.permissions };
      if (permission === null) delete permissions[vhost];
      else permissions[vhost] = permission;
      return { ...grants, permissions };
    });
  }

  setTopicPermission(
    user: string,
    vhost: string,
    exchange: string,
    permission: TopicPermission | null,
  ): AccountChange {
    return this.#grant(user, vhost, (grants) => {
      const inVhost = { ...grants.topicPermissions[vhost] };
      if (permission === null) delete inVhost[exchange];
      else inVhost[exchange] = permission;
      const topicPermissions = { ...grants.topicPermissions, [vhost]: inVhost };
      if (Object.keys(inVhost).length === 0) delete topicPermissions[vhost];
      return { ...grants, topicPermissions };
    });
  }

  remove(user: string): AccountChange {
    const spec = this.#changeable(user);
    if (typeof spec === 'string') return spec;
    this.#directory.delete(user);
    const table = this.#load();
    // Else it would be there again after the next start.
    if (this.#defaults.has(user)) table.set(user, encode({ name: user, deleted: true }));
    else table.delete(user);
    for (const listener of this.#removed) listener(user);
    return 'done';
  }

  onRemoved(listener: (user: string) => void): void {
    this.#removed.push(listener);
  }

  forgetVhost(vhost: string): void {
    for (const name of this.names()) {
      const { permissions = {}, topicPermissions = {} } = this.#directory.spec(name) ?? {};
      if (!Object.hasOwn(permissions, vhost) && !Object.hasOwn(topicPermissions, vhost)) continue;
      this.#grant(name, vhost, (grants) => {
        const left = { ...grants.permissions };
        const topicsLeft = { ...grants.topicPermissions };
        delete left[vhost];
        delete topicsLeft[vhost];
        return { permissions: left, topicPermissions: topicsLeft };
      });
    }
  }

  #changeable(user: string): UserSpec | 'configured' | 'unknown' {
    if (this.#configured.has(user)) return 'configured';
    this.#load();
    return this.#directory.spec(user) ?? 'unknown';
  }

  /** `base` is asked once the keys are there: what changed meanwhile stays. */
  async #keep(
    user: string,
    { password = '', passwordHash = '', hashing }: AccountSecret,
    base: () => UserSpec | null,
  ): Promise<AccountChange> {
    this.#changing.add(user);
    try {
      // Nobody comes in with an empty password: it is none.
      const hash = password === '' ? passwordHash : await this.#keysOf(password);
      const spec = base();
      if (spec === null) return 'unknown';
      const { password: _, ...kept } = spec;
      return this.#write({ ...kept, passwordHash: hash, hashing });
    } finally {
      this.#changing.delete(user);
    }
  }

  async #keysOf(password: string): Promise<string> {
    const keys = await Promise.all([
      hashPassword(password, 'sha256', this.#random.bytes(SALT_BYTES)),
      hashPassword(password, 'sha1', this.#random.bytes(SALT_BYTES)),
    ]);
    return keys.join(' ');
  }

  #write(spec: UserSpec): AccountChange {
    this.#load().set(spec.name, encode(spec));
    this.#directory.set(spec);
    this.#changed(spec.name);
    return 'done';
  }

  /** Changes what a user may do in a vhost. */
  #grant(user: string, vhost: string, change: (grants: Grants) => Grants): AccountChange {
    const table = this.#load();
    const spec = this.#directory.spec(user);
    if (spec === undefined) return 'unknown';
    const configured = this.#configured.get(user);
    if (configured === undefined) return this.#write({ ...spec, ...change(grantsOf(spec)) });
    if (configured.permissions[vhost] !== undefined) return 'configured';
    const kept = table.get(`\0${user}`);
    const grants = change(kept === null ? NO_GRANTS : decode<Grants>(kept));
    table.set(`\0${user}`, encode(grants));
    this.#directory.set(withGrants(configured, grants));
    this.#changed(user);
    return 'done';
  }

  #load(): Table {
    if (this.#table !== null) return this.#table;
    this.#table = this.#open();
    for (const [key, bytes] of this.#table.entries()) {
      const name = key.startsWith('\0') ? key.slice(1) : key;
      const configured = this.#configured.get(name);
      if (configured !== undefined) {
        if (key !== name) this.#directory.set(withGrants(configured, decode<Grants>(bytes)));
      } else if (key === name) {
        const spec = decode<UserSpec & { deleted?: true }>(bytes);
        if (spec.deleted === true) this.#directory.delete(name);
        else this.#directory.set(spec);
      }
    }
    return this.#table;
  }
}

const NO_GRANTS: Grants = { permissions: {}, topicPermissions: {} };

function grantsOf({ permissions, topicPermissions = {} }: UserSpec): Grants {
  return { permissions, topicPermissions };
}

/** What the configuration says goes before what was granted. */
function withGrants(configured: UserSpec, grants: Grants): UserSpec {
  return {
    ...configured,
    permissions: { ...grants.permissions, ...configured.permissions },
    topicPermissions: { ...grants.topicPermissions, ...configured.topicPermissions },
  };
}

function encode(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function decode<T>(bytes: Buffer): T {
  return JSON.parse(bytes.toString('utf8')) as T;
}
