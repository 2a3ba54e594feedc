/**
 * Reading a definitions document: every section and field, with all that is wrong in it named by
 * where it stands (`queues[3].durable`).
 */
import {
  type PermissionSpec,
  permissionPattern,
  SALTED_HASHES,
  type SaltedHash,
  type TopicPermission,
} from './auth.ts';
import {
  HASHING_PREFIX,
  isReserved,
  type JsonObject,
  SCRAM_ALGORITHM,
  tableOf,
} from './definitions.ts';
import type { BindingSpec, ExchangeSpec, QueueSpec, VhostLimits } from './engine.ts';
import type { Json } from './envelope.ts';
import { reasonOf } from './errors.ts';
import type { PolicyKind, PolicyRequest } from './policy.ts';
import { isBase64, isPasswordHash } from './users.ts';

/** Where it stands in the document, and what it is. */
export interface Entry<T> {
  readonly at: string;
  readonly item: T;
}

export interface InVhost<T> extends Entry<T> {
  readonly vhost: string;
}

export interface UserEntry {
  readonly name: string;
  readonly password: string | undefined;
  readonly passwordHash: string | undefined;
  readonly hashing: SaltedHash | undefined;
  readonly tags: readonly string[];
  readonly connectionsMax: number | undefined;
  readonly channelsMax: number | undefined;
}

type Secret = Pick<UserEntry, 'password' | 'passwordHash' | 'hashing'>;

export interface VhostEntry {
  readonly name: string;
  readonly description: string | undefined;
  readonly tags: readonly string[] | undefined;
  readonly defaultQueueType: string | undefined;
}

export interface PolicyEntry {
  readonly kind: PolicyKind;
  readonly policy: PolicyRequest;
}

export interface PermissionEntry {
  readonly user: string;
  readonly permission: PermissionSpec;
}

export interface TopicPermissionEntry {
  readonly user: string;
  readonly exchange: string;
  readonly permission: TopicPermission;
}

/** A document as far as it could be read. */
export interface DefinitionsDocument {
  readonly users: readonly Entry<UserEntry>[];
  readonly vhosts: readonly Entry<VhostEntry>[];
  readonly permissions: readonly InVhost<PermissionEntry>[];
  readonly topicPermissions: readonly InVhost<TopicPermissionEntry>[];
  readonly limits: readonly InVhost<VhostLimits>[];
  readonly policies: readonly InVhost<PolicyEntry>[];
  readonly exchanges: readonly InVhost<ExchangeSpec>[];
  readonly queues: readonly InVhost<QueueSpec>[];
  readonly bindings: readonly InVhost<BindingSpec>[];
  readonly problems: readonly string[];
}

/** What RabbitMQ writes of its cluster, which means nothing elsewhere. */
const PASSED_OVER = new Set(['internal_cluster_id', 'cluster_name', 'cluster_tags']);

/** `only`: everything is of this vhost, and there are no users and vhosts. */
export function readDefinitions(raw: unknown, only: string | null): DefinitionsDocument {
  const problems: string[] = [];
  const document = isObject(raw) ? raw : {};
  if (!isObject(raw)) problems.push('expected a JSON object');
  const section = <T>(name: string, read: (fields: Fields) => T): Entry<T>[] =>
    entriesOf(document, name, problems, read);
  const inVhost = <T>(name: string, read: (fields: Fields) => T): InVhost<T>[] =>
    section(name, (fields) => ({ vhost: only ?? fields.text('vhost'), item: read(fields) })).map(
      ({ at, item }) => ({ at, ...item }),
    );
  for (const { at, item } of section('global_parameters', (fields) => fields.text('name'))) {
    if (!PASSED_OVER.has(item)) problems.push(`${at}: there are no global parameters here`);
  }
  const hashing = hashingOf(document);
  const parameters = inVhost('parameters', parameterOf);
  return {
    users: only === null ? section('users', (fields) => userOf(fields, hashing)) : [],
    vhosts: only === null ? section('vhosts', vhostOf) : [],
    permissions: only === null ? inVhost('permissions', permissionOf) : [],
    topicPermissions: only === null ? inVhost('topic_permissions', topicPermissionOf) : [],
    limits: parameters.flatMap(({ item, ...where }) =>
      item?.limits === undefined ? [] : [{ ...where, item: item.limits }],
    ),
    policies: [
      ...parameters.flatMap(({ item, ...where }) =>
        item?.policy === undefined ? [] : [{ ...where, item: item.policy }],
      ),
      ...inVhost('policies', (fields): PolicyEntry => ({ kind: 'user', policy: policyOf(fields) })),
    ],
    exchanges: inVhost('exchanges', exchangeOf),
    // RabbitMQ exports those of clients too, and passes over them as well.
    queues: inVhost('queues', queueOf).filter(({ item }) => !isReserved(item.name)),
    bindings: inVhost('bindings', bindingOf).filter(
      ({ item }) => item.toExchange || !isReserved(item.destination),
    ),
    problems,
  };
}

/** The fields of one object; what is missing or of another kind becomes a problem. */
export class Fields {
  readonly #from: JsonObject;
  readonly #at: string;
  readonly #problems: string[];

  constructor(from: JsonObject, at: string, problems: string[]) {
    this.#from = from;
    this.#at = at;
    this.#problems = problems;
  }

  text(name: string, otherwise?: string): string {
    const value = this.#from[name];
    if (typeof value === 'string') return value;
    if (value === undefined && otherwise !== undefined) return otherwise;
    return this.wrong(name, 'expected a string') ?? '';
  }

  optionalText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined;
  }

  flag(name: string, otherwise: boolean): boolean {
    const value = this.#from[name];
    if (typeof value === 'boolean') return value;
    // rabbitmqadmin writes words.
    if (value === 'true' || value === 'false') return value === 'true';
    if (value !== undefined) this.wrong(name, 'expected true or false');
    return otherwise;
  }

  object(name: string): Fields {
    return new Fields(this.json(name), `${this.#at}.${name}`, this.#problems);
  }

  json(name: string): JsonObject {
    const value = this.#from[name] ?? {};
    // Erlang's empty list is both.
    if (Array.isArray(value) && value.length === 0) return {};
    if (isObject(value)) return value;
    this.wrong(name, 'expected an object');
    return {};
  }

  /** `otherwise` stands for what is not there; null is a value. */
  raw(name: string, otherwise?: Json): Json | undefined {
    const { [name]: value = otherwise } = this.#from;
    return value;
  }

  /** An array, or names with commas between them. */
  tags(name: string): readonly string[] {
    const value = this.#from[name] ?? [];
    const list = typeof value === 'string' ? value.split(',') : value;
    if (Array.isArray(list) && list.every((tag) => typeof tag === 'string')) {
      return (list as string[]).map((tag) => tag.trim()).filter((tag) => tag !== '');
    }
    this.wrong(name, 'expected a list of tags');
    return [];
  }

  /** Undefined: none, which RabbitMQ writes as a negative number too. */
  limit(name: string): number | undefined {
    const value = this.#from[name];
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value)) {
      return value < 0 ? undefined : value;
    }
    this.wrong(name, 'expected a whole number');
    return undefined;
  }

  pattern(name: string): string {
    const source = this.text(name);
    try {
      permissionPattern(source);
    } catch (error) {
      this.wrong(name, reasonOf(error));
    }
    return source;
  }

  has(name: string): boolean {
    return this.#from[name] !== undefined && this.#from[name] !== null;
  }

  wrong(name: string, reason: string): undefined {
    this.#problems.push(`${this.#at}${this.#at === '' ? '' : '.'}${name}: ${reason}`);
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function entriesOf<T>(
  document: JsonObject,
  section: string,
  problems: string[],
  read: (fields: Fields) => T,
): Entry<T>[] {
  const list = document[section] ?? [];
  if (!Array.isArray(list)) {
    problems.push(`${section}: expected a list`);
    return [];
  }
  return list.flatMap((given: Json, index) => {
    const at = `${section}[${index}]`;
    if (isObject(given)) return [{ at, item: read(new Fields(given, at, problems)) }];
    problems.push(`${at}: expected an object`);
    return [];
  });
}

function userOf(fields: Fields, hashing: SaltedHash): UserEntry {
  const name = fields.text('name');
  const limits = fields.object('limits');
  return {
    name,
    ...secretOf(fields, hashing),
    tags: fields.tags('tags'),
    connectionsMax: limits.limit('max-connections'),
    channelsMax: limits.limit('max-channels'),
  };
}

/** Before this version RabbitMQ had no other hash than MD5, and did not name it. */
const MD5_UNTIL = /^3\.[0-5]\./;

/** The hash that RabbitMQ of this version means where it names none. */
function hashingOf(document: JsonObject): SaltedHash {
  const version = document['rabbitmq_version'] ?? document['rabbit_version'];
  return typeof version === 'string' && MD5_UNTIL.test(version) ? 'md5' : 'sha256';
}

/** A password or a hash; neither: nobody comes in with a password. */
export function secretOf(fields: Fields, otherwise: SaltedHash = 'sha256'): Secret {
  const password = fields.optionalText('password');
  const passwordHash = fields.optionalText('password_hash');
  const algorithm = fields.text('hashing_algorithm', `${HASHING_PREFIX}${otherwise}`);
  if (password !== undefined && passwordHash !== undefined) {
    fields.wrong('password', 'expected either a password or a password_hash');
  }
  if (passwordHash === undefined) return { password, passwordHash, hashing: undefined };
  const hashing = SALTED_HASHES.find((hash) => algorithm === `${HASHING_PREFIX}${hash}`);
  const known = hashing !== undefined || algorithm === SCRAM_ALGORITHM;
  if (!known) fields.wrong('hashing_algorithm', `there is no '${algorithm}' here`);
  // As RabbitMQ does, with any length: of another than the hash's, no password is it.
  const right = hashing === undefined ? isPasswordHash(passwordHash) : isBase64(passwordHash);
  if (known && passwordHash !== '' && !right) {
    fields.wrong('password_hash', 'expected a hash, in base64');
  }
  return { password, passwordHash, hashing };
}

export function vhostOf(fields: Fields): VhostEntry {
  const name = fields.text('name');
  return { name, ...vhostMetadataOf(fields) };
}

/** Beside the metadata, or in it, as newer versions of RabbitMQ write it. */
export function vhostMetadataOf(fields: Fields): Omit<VhostEntry, 'name'> {
  const metadata = fields.object('metadata');
  const within = (name: string): Fields => (fields.has(name) ? fields : metadata);
  const type = within('default_queue_type').optionalText('default_queue_type');
  return {
    description: within('description').optionalText('description'),
    tags: within('tags').has('tags') ? within('tags').tags('tags') : undefined,
    defaultQueueType: type === 'undefined' ? undefined : type,
  };
}

export function permissionSpecOf(fields: Fields): PermissionSpec {
  return {
    configure: fields.pattern('configure'),
    write: fields.pattern('write'),
    read: fields.pattern('read'),
  };
}

function permissionOf(fields: Fields): PermissionEntry {
  return { user: fields.text('user'), permission: permissionSpecOf(fields) };
}

function topicPermissionOf(fields: Fields): TopicPermissionEntry {
  return {
    user: fields.text('user'),
    exchange: fields.text('exchange'),
    permission: topicPermissionSpecOf(fields),
  };
}

export function topicPermissionSpecOf(fields: Fields): TopicPermission {
  return { write: topicPattern(fields, 'write'), read: topicPattern(fields, 'read') };
}

/** Variables may stand anywhere in it. */
function topicPattern(fields: Fields, name: string): string {
  const source = fields.text(name);
  try {
    permissionPattern(source.replace(/\{(username|vhost|client_id)\}/g, 'x'));
  } catch (error) {
    fields.wrong(name, reasonOf(error));
  }
  return source;
}

interface Parameter {
  readonly limits?: VhostLimits;
  readonly policy?: PolicyEntry;
}

function parameterOf(fields: Fields): Parameter | null {
  const component = fields.text('component');
  const name = fields.text('name');
  const value = fields.object('value');
  if (component === 'vhost-limits') {
    const connectionsMax = value.limit('max-connections');
    return { limits: { connectionsMax, queuesMax: value.limit('max-queues') } };
  }
  if (component === 'operator_policy') {
    return { policy: { kind: 'operator', policy: policyOf(value, name) } };
  }
  fields.wrong('component', `there are no parameters of '${component}' here`);
  return null;
}

/** What it says is judged by the engine. */
export function policyOf(fields: Fields, name: string = fields.text('name')): PolicyRequest {
  return {
    name,
    pattern: fields.raw('pattern'),
    applyTo: fields.raw('apply-to', 'all'),
    priority: fields.raw('priority', 0),
    definition: fields.raw('definition'),
  };
}

function exchangeOf(fields: Fields): ExchangeSpec {
  return { name: fields.text('name'), ...exchangeSpecOf(fields) };
}

export function exchangeSpecOf(fields: Fields): Omit<ExchangeSpec, 'name'> {
  return {
    type: fields.text('type', 'direct'),
    durable: fields.flag('durable', true),
    autoDelete: fields.flag('auto_delete', false),
    internal: fields.flag('internal', false),
    arguments: tableOf(fields.json('arguments')),
  };
}

function queueOf(fields: Fields): QueueSpec {
  return { name: fields.text('name'), ...queueSpecOf(fields) };
}

export function queueSpecOf(fields: Fields): Omit<QueueSpec, 'name'> {
  return {
    durable: fields.flag('durable', true),
    exclusive: false,
    autoDelete: fields.flag('auto_delete', false),
    arguments: tableOf(fields.json('arguments')),
  };
}

function bindingOf(fields: Fields): BindingSpec {
  const type = fields.text('destination_type', 'queue');
  if (type !== 'queue' && type !== 'exchange') {
    fields.wrong('destination_type', "expected 'queue' or 'exchange'");
  }
  return {
    source: fields.text('source'),
    destination: fields.text('destination'),
    toExchange: type === 'exchange',
    routingKey: fields.optionalText('routing_key') ?? '',
    arguments: tableOf(fields.json('arguments')),
  };
}
