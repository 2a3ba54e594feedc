/**
 * Who may come in, and what they may do.
 *
 * Authenticators are asked in turn; the first that knows the user decides. What a principal may do
 * was fetched with it, so that a permission check never waits (it stands on the publish path).
 */
import type { Eventually, Peer } from './engine.ts';

/** RabbitMQ's three permissions, each a regular expression on the resource's name. */
export interface Permission {
  readonly configure: RegExp;
  readonly write: RegExp;
  readonly read: RegExp;
}

export type Action = keyof Permission;

/**
 * RabbitMQ's permission on the routing keys of one topic exchange: sources of regular expressions,
 * in which `{username}`, `{vhost}` and `{client_id}` stand for the client's.
 */
export interface TopicPermission {
  readonly write: string;
  readonly read: string;
}

/** An authenticated user. */
export interface Principal {
  readonly name: string;
  readonly tags: readonly string[];
  /** By vhost; none for a vhost: no access to it. */
  readonly permissions: { get(vhost: string): Permission | undefined };
  /** By vhost and exchange; none: any key. */
  readonly topics?: { get(vhost: string): ReadonlyMap<string, TopicPermission> | undefined };
  /** At a time, all vhosts together; undefined: any number. */
  readonly connectionsMax?: number | undefined;
  /** AMQP channels at a time, all its connections together; undefined: any number. */
  readonly channelsMax?: number | undefined;
}

export type Credentials =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  /**
   * The user's name is vouched for by the caller: a SCRAM exchange that ended well, a client's
   * certificate, a configured anonymous user.
   */
  | { readonly kind: 'trusted'; readonly user: string };

/** What a client's TLS certificate says, which an authority that is trusted here has signed. */
export interface ClientCertificate {
  /** The last CN of its subject, if any. */
  readonly commonName: string | null;
  /** The subject as RFC 4514 writes it: `CN=alice,O=Example`. */
  readonly subject: string;
  readonly alternativeNames: readonly { readonly type: string; readonly value: string }[];
}

/** RabbitMQ's `ssl_cert_login_from`: what of a certificate is the user's name. */
export const CERTIFICATE_NAMES = [
  'common_name',
  'distinguished_name',
  'subject_alternative_name',
] as const;

export interface CertificateLogin {
  readonly from: (typeof CERTIFICATE_NAMES)[number];
  /** Of a subject alternative name: `dns`, `email`, `ip address`, `uri`, and which of that type. */
  readonly alternativeType: string;
  readonly alternativeIndex: number;
}

/** The user that a certificate stands for; null where it names none. */
export function certifiedUser(
  { commonName, subject, alternativeNames }: ClientCertificate,
  { from, alternativeType, alternativeIndex }: CertificateLogin,
): string | null {
  if (from === 'distinguished_name') return subject === '' ? null : subject;
  if (from === 'common_name') return commonName;
  const names = alternativeNames.filter(({ type }) => type === alternativeType);
  return names[alternativeIndex]?.value ?? null;
}

/** What a server keeps of a password for SCRAM (RFC 5802 section 3). */
export interface ScramKeys {
  readonly salt: Buffer;
  readonly iterations: number;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

export type ScramHash = 'sha1' | 'sha256';

export interface Authenticator {
  /** `unknown`: ask the next one. A promise where hashing or a remote back end takes time. */
  authenticate(credentials: Credentials, peer: Peer): Eventually<Principal | 'refused' | 'unknown'>;
  /** Keys for a SCRAM exchange; null where there are none for this user and hash. */
  scram(user: string, hash: ScramHash): Eventually<ScramKeys | null>;
  /** Whether an account of this name exists (XMPP: offline storage, roster). */
  exists(user: string): Eventually<boolean>;
}

/** What became of a change to an account. `configured`: it stands in the configuration file. */
export type AccountChange = 'done' | 'exists' | 'unknown' | 'configured';

/** What a new account may do. */
export interface AccountProfile {
  readonly tags: readonly string[];
  /** By vhost: the sources of three regular expressions. */
  readonly permissions: Readonly<Record<string, PermissionSpec>>;
}

/** A permission as it is written: the sources of three regular expressions. */
export type PermissionSpec = Readonly<Record<Action, string>>;

/** At a time; undefined: any number. */
export interface AccountLimits {
  readonly connectionsMax?: number | undefined;
  readonly channelsMax?: number | undefined;
}

/** An account, as administrators see it. */
export interface AccountView extends AccountProfile, AccountLimits {
  readonly name: string;
  /** As the configuration has it, or RabbitMQ's form of a password that stands there. */
  readonly passwordHash: string;
  /** What it is a hash of, where it is in RabbitMQ's form. */
  readonly hashing: SaltedHash;
  /** By vhost and exchange. */
  readonly topicPermissions: Readonly<Record<string, Readonly<Record<string, TopicPermission>>>>;
  /** It stands in the configuration file. */
  readonly configured: boolean;
}

/** How clients prove that they are the user: one of these, or none (then not with a password). */
export interface AccountSecret {
  readonly password?: string | undefined;
  /** See `UserSpec`. */
  readonly passwordHash?: string | undefined;
  readonly hashing?: SaltedHash | undefined;
}

/** RabbitMQ's hashing algorithms. */
export const SALTED_HASHES = ['md5', 'sha256', 'sha512'] as const;
export type SaltedHash = (typeof SALTED_HASHES)[number];

/**
 * Accounts that are made and changed while the gateway runs; they outlive it. What changes counts
 * at once for clients that are connected.
 */
export interface AccountAdmin {
  /** Of all accounts, sorted. */
  names(): readonly string[];
  view(user: string): AccountView | undefined;
  /** The promise settles once the password's keys are derived. */
  add(user: string, password: string, profile: AccountProfile): Promise<AccountChange>;
  setPassword(user: string, password: string): Promise<AccountChange>;
  /** Makes an account, or gives one another secret and other tags. */
  put(user: string, secret: AccountSecret, tags: readonly string[]): Promise<AccountChange>;
  setLimits(user: string, limits: AccountLimits): AccountChange;
  /**
   * What an account may do in a vhost; null: nothing any more. One of the configuration keeps what
   * that says of a vhost of the configuration (`configured`).
   */
  setPermission(user: string, vhost: string, permission: PermissionSpec | null): AccountChange;
  /** Null: any routing key again. */
  setTopicPermission(
    user: string,
    vhost: string,
    exchange: string,
    permission: TopicPermission | null,
  ): AccountChange;
  /** Connections that it has are its protocols' to end. */
  remove(user: string): AccountChange;
  /** Calls `listener` for each account that is removed: what was kept for it is to go. */
  onRemoved(listener: (user: string) => void): void;
  /** Nobody may do anything in a vhost any more. */
  forgetVhost(vhost: string): void;
}

/** Whether the principal may do `action` to the exchange or queue named `resource`. */
export interface Authorizer {
  allows(principal: Principal, vhost: string, action: Action, resource: string): boolean;
  /**
   * Whether a topic permission's pattern allows a routing key. A variable that the client has no
   * value for matches nothing.
   */
  matchesTopic(pattern: string, variables: TopicVariables, routingKey: string): boolean;
}

export type TopicVariables = Readonly<
  Record<'username' | 'vhost' | 'client_id', string | undefined>
>;

/** Permissions as the principal carries them. */
export class PermissionAuthorizer implements Authorizer {
  allows(principal: Principal, vhost: string, action: Action, resource: string): boolean {
    return principal.permissions.get(vhost)?.[action].test(resource) ?? false;
  }

  matchesTopic(pattern: string, variables: TopicVariables, routingKey: string): boolean {
    let known = true;
    const expanded = pattern.replace(/\{(username|vhost|client_id)\}/g, (_, name) => {
      const value = variables[name as keyof TopicVariables];
      if (value === undefined) known = false;
      return (value ?? '').replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
    });
    if (!known) return false;
    return permissionPattern(expanded).test(routingKey);
  }
}

/** As in RabbitMQ the empty pattern allows nothing (but resources without a name). */
export function permissionPattern(source: string): RegExp {
  return new RegExp(source === '' ? '^$' : source, 'u');
}

const EVERYTHING: Permission = { configure: /^/, write: /^/, read: /^/ };

/**
 * The broker's own principal, for an adapter's infrastructure (inboxes, rooms): may do anything in
 * every vhost.
 */
export const SYSTEM: Principal = {
  name: '',
  tags: ['system'],
  permissions: { get: () => EVERYTHING },
};
