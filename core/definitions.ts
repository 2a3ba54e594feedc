/**
 * Definitions as a document: what administrators have set up in a gateway, in the JSON form of
 * RabbitMQ's definition files, so that either reads the other's.
 *
 * What the gateway makes for itself (sessions, inboxes) is left out, and what does not outlive it.
 */
import type { AccountAdmin, AccountView, TopicPermission } from './auth.ts';
import type { Admin, BindingSpec, ExchangeSpec, QueueSpec, VhostLimits } from './engine.ts';
import { type Json, toJson } from './envelope.ts';
import type { HeaderTable, HeaderValue } from './message.ts';
import type { PolicySpec } from './policy.ts';

/** The version of RabbitMQ that the form is of. */
export const RABBITMQ_VERSION = '3.10.8';

/** Names and types of queues that adapters keep for their own clients. */
const OWN_QUEUES = /^(xmpp-|mqtt-)/;
const OWN_TYPE = 'session';

export type JsonObject = Readonly<Record<string, Json>>;

export interface Defined {
  readonly admin: Admin;
  readonly accounts: AccountAdmin;
  readonly version: string;
}

/** Everything, or what is in one vhost. */
export function exportDefinitions(from: Defined, only: string | null = null): JsonObject {
  const { admin, version } = from;
  const vhosts = only === null ? [...admin.vhosts()] : [only];
  // Of one vhost, RabbitMQ's does not say again which.
  const inVhost = (vhost: string): JsonObject => (only === null ? { vhost } : {});
  const gather = (read: (vhost: string) => readonly JsonObject[]): JsonObject[] =>
    vhosts.flatMap((vhost) => read(vhost).map((item) => ({ ...item, ...inVhost(vhost) })));
  const own = {
    parameters: vhosts.flatMap((vhost) => parametersJson(admin, vhost)),
    policies: gather((vhost) => admin.policies(vhost, 'user').map(policyJson)),
    queues: gather((vhost) => exported(admin, vhost).queues.map(queueJson)),
    exchanges: gather((vhost) => exported(admin, vhost).exchanges.map(exchangeJson)),
    bindings: gather((vhost) => exported(admin, vhost).bindings.map(bindingJson)),
  };
  const versions = { rabbit_version: RABBITMQ_VERSION, rosettamq_version: version };
  if (only !== null) return { ...versions, ...own };
  return {
    ...{ rabbit_version: RABBITMQ_VERSION, rabbitmq_version: RABBITMQ_VERSION },
    ...{ rosettamq_version: version, product_name: 'Rosetta MQ', product_version: version },
    ...accountsJson(from.accounts),
    vhosts: vhosts.map((name) => vhostJson(admin, name)),
    global_parameters: [],
    ...own,
  };
}

function accountsJson(accounts: AccountAdmin): JsonObject {
  const views = accounts.names().flatMap((name) => accounts.view(name) ?? []);
  return {
    users: views.map(userJson),
    permissions: views.flatMap(permissionsJson),
    topic_permissions: views.flatMap(topicPermissionsJson),
  };
}

export function userJson(view: AccountView): JsonObject {
  const { name, passwordHash, hashing, tags } = view;
  const scram = passwordHash.startsWith('SCRAM-');
  return {
    name,
    password_hash: passwordHash,
    hashing_algorithm: scram ? SCRAM_ALGORITHM : `${HASHING_PREFIX}${hashing}`,
    tags: [...tags],
    limits: userLimitsJson(view),
  };
}

/** Of hashes that RabbitMQ does not know. */
export const SCRAM_ALGORITHM = 'rosettamq_scram';
export const HASHING_PREFIX = 'rabbit_password_hashing_';

export function userLimitsJson({ connectionsMax, channelsMax }: AccountView): JsonObject {
  return { ...limit('max-connections', connectionsMax), ...limit('max-channels', channelsMax) };
}

export function vhostLimitsJson({ connectionsMax, queuesMax }: VhostLimits): JsonObject {
  return { ...limit('max-connections', connectionsMax), ...limit('max-queues', queuesMax) };
}

function limit(name: string, value: number | undefined): JsonObject {
  return value === undefined ? {} : { [name]: value };
}

export function permissionsJson({ name, permissions }: AccountView): JsonObject[] {
  return Object.entries(permissions).map(([vhost, { configure, write, read }]) => ({
    ...{ user: name, vhost, configure, write, read },
  }));
}

export function topicPermissionsJson({ name, topicPermissions }: AccountView): JsonObject[] {
  return Object.entries(topicPermissions).flatMap(([vhost, byExchange]) =>
    Object.entries(byExchange).map(([exchange, { write, read }]: [string, TopicPermission]) => ({
      ...{ user: name, vhost, exchange, write, read },
    })),
  );
}

function vhostJson(admin: Admin, name: string): JsonObject {
  const { description = '', tags = [], defaultQueueType = '' } = admin.vhost(name) ?? {};
  const type = defaultQueueType === '' ? {} : { default_queue_type: defaultQueueType };
  return { name, description, tags: [...tags], ...type, metadata: { description, tags, ...type } };
}

/** RabbitMQ keeps the limits of vhosts and the policies of operators among parameters. */
export function parametersJson(admin: Admin, vhost: string): JsonObject[] {
  const limits = vhostLimitsJson(admin.vhost(vhost)?.limits ?? NO_LIMITS);
  const parameters: JsonObject[] = admin.policies(vhost, 'operator').map((policy) => {
    const { name, ...value } = policyJson(policy);
    return { value, vhost, component: 'operator_policy', name: policy.name };
  });
  if (Object.keys(limits).length === 0) return parameters;
  return [{ value: limits, vhost, component: 'vhost-limits', name: 'limits' }, ...parameters];
}

const NO_LIMITS: VhostLimits = { connectionsMax: undefined, queuesMax: undefined };

export function policyJson(policy: PolicySpec): JsonObject {
  const { name, pattern, applyTo, definition, priority } = policy;
  return { name, pattern, 'apply-to': applyTo, definition: definition as JsonObject, priority };
}

/** What of a vhost stands in a document. */
function exported(admin: Admin, vhost: string) {
  const queues = [...admin.queues(vhost)].filter(
    ({ name, durable, exclusive, type }) =>
      durable && !exclusive && type !== OWN_TYPE && !OWN_QUEUES.test(name) && !isReserved(name),
  );
  const exchanges = [...admin.exchanges(vhost)].filter(
    ({ name, durable }) => durable && !isPredeclared(name),
  );
  const queueNames = new Set(queues.map(({ name }) => name));
  const exchangeNames = new Set(
    [...admin.exchanges(vhost)].filter(({ durable }) => durable).map(({ name }) => name),
  );
  const bindings = [...admin.bindings(vhost)].filter(
    ({ source, destination, toExchange }) =>
      exchangeNames.has(source) && (toExchange ? exchangeNames : queueNames).has(destination),
  );
  return { queues, exchanges, bindings };
}

/** Of a queue: the broker has chosen its name, for one client. */
export function isReserved(queue: string): boolean {
  return queue.startsWith('amq.');
}

/** The default exchange, and those of which every vhost has its own. */
export function isPredeclared(exchange: string): boolean {
  return exchange === '' || exchange.startsWith('amq.');
}

export function queueJson({ name, durable, autoDelete, arguments: table }: QueueSpec): JsonObject {
  return { name, durable, auto_delete: autoDelete, arguments: tableJson(table) };
}

export function exchangeJson(spec: ExchangeSpec): JsonObject {
  const { name, type, durable, autoDelete, internal } = spec;
  const kind = { type, durable, auto_delete: autoDelete, internal };
  return { name, ...kind, arguments: tableJson(spec.arguments) };
}

export function bindingJson(spec: BindingSpec): JsonObject {
  return {
    source: spec.source,
    destination: spec.destination,
    destination_type: spec.toExchange ? 'exchange' : 'queue',
    routing_key: spec.routingKey,
    arguments: tableJson(spec.arguments),
  };
}

export function tableJson(table: HeaderTable): JsonObject {
  return toJson(table) as JsonObject;
}

/** The inverse, as RabbitMQ reads JSON: whole numbers are integers. */
export function tableOf(json: JsonObject): HeaderTable {
  return new Map(Object.entries(json).map(([name, value]) => [name, headerOf(value)]));
}

function headerOf(json: Json): HeaderValue {
  if (json === null || typeof json !== 'object') return json;
  if (Array.isArray(json)) return (json as readonly Json[]).map(headerOf);
  return tableOf(json as JsonObject);
}
