/**
 * The configuration: one YAML file, validated as a whole before anything starts. A mistake is a
 * `ConfigError` that names the path and the form expected there. Each adapter validates its own
 * section with `parseSection`.
 */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { CERTIFICATE_NAMES, type CertificateLogin } from './auth.ts';
import type { VhostLimits } from './engine.ts';
import { ConfigError, reasonOf } from './errors.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { LOG_LEVELS, type LogLevel } from './log.ts';
import { type ConfiguredPolicy, POLICY_TARGETS, type PolicyKind } from './policy.ts';
import { isPasswordHash, type UserSpec } from './users.ts';

export interface ListenerConfig {
  readonly protocol: string;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Speaks TLS from the first byte. */
  readonly tls: boolean;
  readonly dialect?: string | undefined;
}

export interface TlsConfig {
  readonly cert: string;
  readonly key: string;
  /** Signs the certificates of clients. */
  readonly ca?: string | undefined;
  /** With `ca`: clients without a certificate are let in too. */
  readonly optional?: boolean | undefined;
  /** How a certificate names its user; null: it names none. */
  readonly login?: CertificateLogin | null | undefined;
}

export interface Config {
  readonly dataDir: string;
  readonly store: 'lmdb' | 'memory';
  readonly logLevel: LogLevel;
  readonly listeners: readonly ListenerConfig[];
  readonly tls: TlsConfig | null;
  readonly vhosts: readonly string[];
  /** By vhost. */
  readonly vhostLimits: Readonly<Record<string, VhostLimits>>;
  readonly users: readonly UserSpec[];
  /** A file that is imported at each start. */
  readonly definitions: string | null;
  readonly policies: readonly ConfiguredPolicy[];
  /** Accepted from this machine only. */
  readonly loopbackUsers: readonly string[];
  readonly limits: Limits;
  /** What adapters validate themselves, by the protocol's name. */
  readonly sections: Readonly<Record<string, unknown>>;
}

/** The shape of the file, in its own snake_case; everything may be left out. */
export type ConfigFile = Readonly<Record<string, unknown>>;

const regularExpression = z.string().refine(isRegularExpression, 'expected a regular expression');
/** One user's rights in one vhost. */
export const permissionSchema = z.strictObject({
  configure: regularExpression,
  write: regularExpression,
  read: regularExpression,
});
const user = z
  .strictObject({
    name: z.string().min(1),
    password: z.string().optional(),
    password_hash: z
      .string()
      .refine(isPasswordHash, "expected 'SCRAM-SHA-256$…' or RabbitMQ's password_hash")
      .optional(),
    tags: z.array(z.string()).default([]),
    permissions: z.record(z.string(), permissionSchema).default({}),
    max_connections: z.int().min(0).optional(),
    max_channels: z.int().min(0).optional(),
  })
  .refine(
    (given) => (given.password === undefined) !== (given.password_hash === undefined),
    'expected either password or password_hash',
  );
const vhostLimits = z.strictObject({
  max_connections: z.int().min(0).optional(),
  max_queues: z.int().min(0).optional(),
});
const policyValue = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]);
const policy = z.strictObject({
  vhost: z.string().default('/'),
  name: z.string().min(1),
  pattern: z.string(),
  apply_to: z.enum(POLICY_TARGETS).default('all'),
  priority: z.number().default(0),
  definition: z.record(z.string(), policyValue),
});
const listener = z.strictObject({
  protocol: z.string(),
  host: z.string().min(1).default('127.0.0.1'),
  port: z.int().min(0).max(65535),
  tls: z.boolean().default(false),
  dialect: z.enum(['rabbitmq', 'activemq']).optional(),
});
/** RabbitMQ's names, and the certificate's own in node's words. */
const ALTERNATIVE_TYPES = { dns: 'dns', ip: 'ip address', email: 'email', uri: 'uri' } as const;
const tls = z
  .strictObject({
    cert: z.string(),
    key: z.string(),
    ca: z.string().optional(),
    client_certificate: z.enum(['required', 'optional']).default('required'),
    login_from: z.enum(CERTIFICATE_NAMES).optional(),
    login_san_type: z.enum(['dns', 'ip', 'email', 'uri']).default('dns'),
    login_san_index: z.int().min(0).default(0),
  })
  .refine(
    ({ ca, login_from }) => login_from === undefined || ca !== undefined,
    'login_from needs ca: the authority that signs the certificates of users',
  );
const ALL = { configure: '.*', write: '.*', read: '.*' };
const DEFAULT_LISTENERS = [
  { protocol: 'amqp', port: 5672 },
  { protocol: 'mqtt', port: 1883 },
  { protocol: 'stomp', port: 61613 },
  { protocol: 'xmpp', port: 5222 },
  { protocol: 'http', port: 15672 },
];
const section = z.record(z.string(), z.unknown()).optional();
const file = z.strictObject({
  data_dir: z.string().min(1).default('./data'),
  store: z.enum(['lmdb', 'memory']).default('lmdb'),
  log_level: z.enum(LOG_LEVELS).default('info'),
  listeners: z.array(listener).min(1).prefault(DEFAULT_LISTENERS),
  tls: tls.optional(),
  vhosts: z.array(z.string().min(1)).min(1).default(['/']),
  vhost_limits: z.record(z.string(), vhostLimits).default({}),
  users: z.array(user).optional(),
  definitions: z.string().min(1).optional(),
  policies: z.array(policy).default([]),
  operator_policies: z.array(policy).default([]),
  loopback_users: z.array(z.string()).default(['guest']),
  limits: z.record(z.string(), z.number().min(0)).default({}),
});

/**
 * Validates one part of the configuration against its schema; `path` is where it stands in the
 * file.
 */
export function parseSection<T>(schema: z.ZodType<T>, raw: unknown, path: string): T {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue === undefined ? path : joinPath(path, issue.path);
  throw new ConfigError(where, issue?.message ?? 'is not valid');
}

/** Reads a file; `null` is a file that says nothing. Throws ConfigError. */
export function readConfigFile(path: string | null, environment: NodeJS.ProcessEnv): ConfigFile {
  if (path === null) return {};
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError('', `cannot read the configuration file: ${reasonOf(error)}`);
  }
  const document = parseDocument(text, { prettyErrors: true });
  const mistake = document.errors[0];
  if (mistake !== undefined) throw new ConfigError(path, mistake.message.split(':\n')[0] ?? '');
  const raw: unknown = document.toJS() ?? {};
  if (typeof raw !== 'object' || Array.isArray(raw)) {
    throw new ConfigError(path, 'expected a mapping of options at the top');
  }
  return interpolated(raw, '', environment) as ConfigFile;
}

/** Sections of the adapters that every gateway has. */
const SECTIONS = ['amqp', 'mqtt', 'stomp', 'xmpp'];

/** Protocols whose clients cannot choose their vhost. */
const IN_ONE_VHOST = ['mqtt', 'stomp', 'xmpp'];

/**
 * Validates everything but the inside of the adapters' sections, which stand under `sectionNames`, and
 * fills in what was left out.
 */
export function parseConfig(raw: ConfigFile, sectionNames: readonly string[] = SECTIONS): Config {
  const sections: Record<string, Record<string, unknown> | undefined> = {};
  const common: Record<string, unknown> = { ...raw };
  for (const name of sectionNames) {
    sections[name] = parseSection(section, raw[name], name);
    delete common[name];
  }
  const {
    data_dir,
    log_level,
    loopback_users,
    limits,
    vhost_limits,
    policies: ofUsers,
    operator_policies: ofOperators,
    tls: secured,
    ...rest
  } = parseSection(file, common, '');
  // As in RabbitMQ, definitions bring their own users.
  const standsIn = rest.definitions === undefined ? [defaultUser(rest.vhosts)] : [];
  const given = rest.users ?? standsIn;
  const users = given.map(({ password_hash, max_connections, max_channels, ...kept }) => ({
    ...kept,
    passwordHash: password_hash,
    connectionsMax: max_connections,
    channelsMax: max_channels,
    byDefault: rest.users === undefined,
  }));
  requireDistinct(rest.vhosts, 'vhosts');
  requireDistinct(
    users.map((each) => each.name),
    'users',
  );
  requireTls(rest.listeners, secured !== undefined);
  requireVhosts({ ...rest, users }, sections, vhost_limits);
  const policies = [
    ...policiesOf('user', ofUsers, rest.vhosts),
    ...policiesOf('operator', ofOperators, rest.vhosts),
  ];
  return {
    ...rest,
    users,
    policies,
    definitions: rest.definitions ?? null,
    dataDir: data_dir,
    logLevel: log_level,
    loopbackUsers: loopback_users,
    vhostLimits: Object.fromEntries(
      Object.entries(vhost_limits).map(([vhost, { max_connections, max_queues }]) => [
        vhost,
        { connectionsMax: max_connections, queuesMax: max_queues },
      ]),
    ),
    tls: secured === undefined ? null : tlsOf(secured),
    limits: limitsOf(limits),
    sections,
  };
}

function policiesOf(
  kind: PolicyKind,
  given: readonly z.infer<typeof policy>[],
  vhosts: readonly string[],
): readonly ConfiguredPolicy[] {
  const list = kind === 'user' ? 'policies' : 'operator_policies';
  for (const [index, { vhost }] of given.entries()) {
    requireVhost(vhost, vhosts, `${list}[${index}].vhost`);
  }
  requireDistinct(
    given.map(({ vhost, name }) => `${name}' of vhost '${vhost}`),
    list,
  );
  return given.map(({ apply_to: applyTo, ...rest }) => ({ ...rest, kind, applyTo }));
}

function tlsOf(given: z.infer<typeof tls>): TlsConfig {
  const { cert, key, ca, client_certificate, login_from: from, ...names } = given;
  const login: CertificateLogin | null =
    from === undefined
      ? null
      : {
          from,
          alternativeType: ALTERNATIVE_TYPES[names.login_san_type],
          alternativeIndex: names.login_san_index,
        };
  return { cert, key, ca, optional: client_certificate === 'optional', login };
}

/** Where no user is configured: RabbitMQ's, for everything. */
function defaultUser(vhosts: readonly string[]): z.infer<typeof user> {
  const permissions = Object.fromEntries(vhosts.map((vhost) => [vhost, ALL]));
  return { name: 'guest', password: 'guest', tags: ['administrator'], permissions };
}

/** `login_timeout_ms` in the file is `loginTimeoutMs` here. */
function limitsOf(overrides: Readonly<Record<string, number>>): Limits {
  const limits: Record<string, number> = {
    ...DEFAULT_LIMITS,
    memoryHighBytes: defaultMemoryMark(),
  };
  for (const [name, value] of Object.entries(overrides)) {
    const field = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (!Object.hasOwn(DEFAULT_LIMITS, field))
      throw new ConfigError(`limits.${name}`, 'unknown limit');
    if (!(field === 'memoryHighBytes' && value === 0)) limits[field] = value;
  }
  return limits as Limits;
}

/** 40 % of the machine, as RabbitMQ has it, and never more than the heap can index. */
function defaultMemoryMark(): number {
  return Math.floor(Math.min(totalmem() * 0.4, getHeapStatistics().heap_size_limit * 0.6));
}

function requireDistinct(names: readonly string[], path: string): void {
  const repeated = names.findIndex((name, index) => names.indexOf(name) !== index);
  if (repeated !== -1)
    throw new ConfigError(`${path}[${repeated}]`, `'${names[repeated]}' stands twice`);
}

function requireTls(listeners: readonly ListenerConfig[], configured: boolean): void {
  const wanting = listeners.findIndex((each) => each.tls);
  if (wanting !== -1 && !configured) {
    throw new ConfigError(
      `listeners[${wanting}].tls`,
      'needs a certificate: tls: { cert: …, key: … }',
    );
  }
}

function requireVhost(vhost: unknown, vhosts: readonly string[], path: string): void {
  if (typeof vhost !== 'string' || vhosts.includes(vhost)) return;
  const expected = vhosts.join(', ');
  throw new ConfigError(path, `there is no vhost '${vhost}': expected one of ${expected}`);
}

/** Every vhost that is spoken of exists. */
function requireVhosts(
  { vhosts, users, listeners }: Pick<Config, 'vhosts' | 'users' | 'listeners'>,
  sections: Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>,
  limited: Readonly<Record<string, unknown>>,
): void {
  const require = (vhost: unknown, path: string): void => requireVhost(vhost, vhosts, path);
  for (const vhost of Object.keys(limited)) require(vhost, `vhost_limits.${vhost}`);
  for (const [index, { permissions }] of users.entries()) {
    for (const vhost of Object.keys(permissions)) {
      require(vhost, `users[${index}].permissions.${vhost}`);
    }
  }
  for (const [name, given] of Object.entries(sections)) {
    const listens = listeners.some(({ protocol }) => protocol === name);
    const assumed = listens && IN_ONE_VHOST.includes(name) ? '/' : undefined;
    require(given?.['vhost'] ?? assumed, `${name}.vhost`);
  }
}

/**
 * `${NAME}` in any text stands for an environment variable, so that secrets need not be in the
 * file.
 */
function interpolated(raw: unknown, path: string, environment: NodeJS.ProcessEnv): unknown {
  if (typeof raw === 'string') {
    return raw.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => {
      const value = environment[name];
      if (value === undefined)
        throw new ConfigError(path, `environment variable ${name} is not set`);
      return value;
    });
  }
  if (Array.isArray(raw)) {
    return raw.map((inner, index) => interpolated(inner, `${path}[${index}]`, environment));
  }
  if (raw === null || typeof raw !== 'object') return raw;
  return Object.fromEntries(
    Object.entries(raw).map(([name, inner]) => [
      name,
      interpolated(inner, joinPath(path, [name]), environment),
    ]),
  );
}

function isRegularExpression(source: string): boolean {
  try {
    new RegExp(source, 'u');
    return true;
  } catch {
    return false;
  }
}

function joinPath(base: string, steps: readonly PropertyKey[]): string {
  let path = base;
  for (const step of steps) {
    if (typeof step === 'number') path += `[${step}]`;
    else path += path === '' ? String(step) : `.${String(step)}`;
  }
  return path;
}
