/**
 * What a policy may say: its settings, with RabbitMQ's rules for each, and RabbitMQ's words for a
 * value that cannot be.
 */
import { plain } from '../envelope.ts';
import { pairsText, termText } from '../erlang.ts';
import { reasonOf } from '../errors.ts';
import type { HeaderTable, HeaderValue } from '../message.ts';
import { compilePattern } from '../pattern.ts';
import {
  POLICY_TARGETS,
  type PolicyDefinition,
  type PolicyKind,
  type PolicyRequest,
  type PolicyValue,
} from '../policy.ts';
import { DURATION_MS_MAX, OVERFLOWS, RETRY_TYPES } from './queues/arguments.ts';
import { intervalMs, SEGMENT_BYTES_MAX } from './queues/stream-retention.ts';

/** Every type of queue but streams. */
const QUEUES = ['classic', 'quorum', 'session'] as const;
const CLASSIC = ['classic', 'session'] as const;
const ANY = [...QUEUES, 'stream'] as const;

interface Key {
  /** In "is not a valid …". */
  readonly noun: string;
  readonly types: readonly string[];
  readonly accepts: (value: unknown) => boolean;
  /** Of an argument and a policy's value the smaller counts. */
  readonly smaller?: boolean;
  /** Operators may say it too: whose value counts where users do as well. */
  readonly operator?: 'smaller' | 'larger' | 'operator';
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isPositive = (value: unknown): boolean => isCount(value) && value !== 0;
const isText = (value: unknown): boolean => typeof value === 'string';
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const isDuration = (value: unknown): boolean => isCount(value) && Number(value) <= DURATION_MS_MAX;
const isWait = (value: unknown): boolean => isDuration(value) && value !== 0;
const oneOf =
  (...choices: readonly unknown[]) =>
  (value: unknown): boolean =>
    choices.includes(value);

/**
 * By name. `types`: a policy that says something that a type of queue does not know is not for
 * queues of that type at all. For exchanges every policy is.
 */
const KEYS: Readonly<Record<string, Key>> = {
  'alternate-exchange': { noun: 'alternate exchange name', types: ANY, accepts: isText },
  'dead-letter-exchange': { noun: 'dead letter exchange name', types: QUEUES, accepts: isText },
  'dead-letter-routing-key': { noun: 'dead letter routing key', types: QUEUES, accepts: isText },
  'dead-letter-strategy': {
    noun: 'dead letter strategy',
    types: ['quorum'],
    accepts: oneOf('at-most-once', 'at-least-once'),
  },
  'message-ttl': { noun: 'message TTL', types: QUEUES, accepts: isDuration, operator: 'smaller' },
  expires: { noun: 'queue expiry', types: QUEUES, accepts: isWait, operator: 'smaller' },
  'max-length': { noun: 'maximum length', types: QUEUES, accepts: isCount, operator: 'smaller' },
  'max-length-bytes': {
    noun: 'maximum length in bytes',
    types: ANY,
    accepts: isCount,
    operator: 'smaller',
  },
  'max-in-memory-length': {
    noun: 'maximum memory in bytes',
    types: QUEUES,
    accepts: isCount,
    operator: 'smaller',
  },
  'max-in-memory-bytes': {
    noun: 'maximum memory in bytes',
    types: QUEUES,
    accepts: isCount,
    operator: 'smaller',
  },
  'queue-mode': { noun: 'queue-mode value', types: CLASSIC, accepts: oneOf('default', 'lazy') },
  'queue-version': {
    noun: 'queue-version value',
    types: ANY,
    accepts: oneOf(1, 2),
    operator: 'operator',
  },
  overflow: { noun: 'overflow value', types: QUEUES, accepts: oneOf(...OVERFLOWS) },
  'delivery-limit': {
    noun: 'delivery limit',
    types: ['quorum'],
    accepts: isCount,
    operator: 'smaller',
  },
  'max-age': { noun: 'max age', types: ['stream'], accepts: isAge },
  'stream-max-segment-size-bytes': {
    noun: 'segment size',
    types: ['stream'],
    accepts: (value) => isCount(value) && Number(value) <= SEGMENT_BYTES_MAX,
  },
  'queue-leader-locator': {
    noun: 'queue leader locator value',
    types: ['quorum', 'stream'],
    accepts: oneOf('client-local', 'balanced', 'random', 'least-leaders'),
  },
  'stream-filter-size-bytes': {
    noun: 'stream filter size',
    types: ['stream'],
    accepts: (value) => isCount(value) && Number(value) >= 16 && Number(value) <= 255,
  },
  'target-group-size': {
    noun: 'target group size',
    types: ['quorum'],
    accepts: isPositive,
    operator: 'larger',
  },
  'initial-cluster-size': { noun: 'cluster size', types: ['stream'], accepts: isCount },
  'consumer-timeout': { noun: 'consumer timeout', types: ANY, accepts: isDuration, smaller: true },
  'delayed-retry-type': {
    noun: 'delayed retry type',
    types: QUEUES,
    accepts: oneOf(...RETRY_TYPES),
  },
  'delayed-retry-min': { noun: 'delayed retry minimum', types: QUEUES, accepts: isWait },
  'delayed-retry-max': { noun: 'delayed retry maximum', types: QUEUES, accepts: isWait },
  'delayed-retry-multiplier': {
    noun: 'delayed retry multiplier',
    types: QUEUES,
    accepts: isPositive,
  },
  'message-deduplication': { noun: 'flag', types: QUEUES, accepts: isFlag },
  'deduplication-header': { noun: 'header name', types: QUEUES, accepts: isText },
};

/** By type of queue: settings that a policy decides, whatever the queue's arguments say. */
const POLICIES_PREVAIL: Readonly<Record<string, readonly string[]>> = {
  quorum: ['expires', 'overflow'],
  stream: ['max-length-bytes', 'max-age', 'stream-max-segment-size-bytes'],
};

/** Of mirrored queues: one process has no mirrors, so these are taken and mean nothing. */
const MIRRORING = [
  'ha-mode',
  'ha-params',
  'ha-sync-mode',
  'ha-sync-batch-size',
  'ha-promote-on-shutdown',
  'ha-promote-on-failure',
] as const;
const LOCATOR = 'queue-master-locator';
const LOCATORS: readonly unknown[] = ['min-masters', 'client-local', 'random'];

/** Which types of queue know a setting; undefined: there is no such setting. */
export function typesOf(key: string): readonly string[] | undefined {
  const known = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
  return known?.types ?? (isForClusters(key) ? CLASSIC : undefined);
}

function isForOperators(key: string): boolean {
  return Object.hasOwn(KEYS, key) && KEYS[key]?.operator !== undefined;
}

/**
 * What counts for a queue of a type that knows the arguments `accepts`: its own, and those of
 * policies.
 */
export function effectiveArguments(
  own: HeaderTable,
  definition: PolicyDefinition,
  type: string,
  accepts: readonly string[],
): HeaderTable {
  const effective = new Map(own);
  for (const [key, value] of Object.entries(definition)) {
    const name = `x-${key}`;
    // A session's queue lives as long as the session.
    if (!accepts.includes(name) || (type === 'session' && key === 'expires')) continue;
    const argument = own.get(name);
    if (argument === undefined || prevails(key, value, argument, type)) effective.set(name, value);
  }
  return effective;
}

/** Whether a policy's value counts, and not the argument. */
function prevails(key: string, value: PolicyValue, argument: HeaderValue, type: string): boolean {
  if (POLICIES_PREVAIL[type]?.includes(key) === true) return true;
  const { operator, smaller: least } = KEYS[key] ?? {};
  const own = plain(argument) as PolicyValue;
  // A negative limit is none.
  return (operator === 'smaller' || least === true) && (value < own || Number(own) < 0);
}

/** Everything that is wrong with a policy, in RabbitMQ's words and order. */
export function policyProblems(kind: PolicyKind, request: PolicyRequest): readonly string[] {
  const { applyTo, pattern, priority, definition } = request;
  return [
    definitionProblem(kind, definition),
    POLICY_TARGETS.some((target) => target === applyTo)
      ? null
      : `apply-to '${applyTo}' unrecognised; should be one of: 'queues', 'classic_queues', ` +
        "'quorum_queues', 'streams', 'exchanges', or 'all'",
    patternProblem(pattern),
    Number.isFinite(priority)
      ? null
      : `priority should be a number, actually was ${termText(priority)}`,
  ].filter((problem) => problem !== null);
}

/** Users' and operators' settings together. */
export function mergeDefinitions(
  user: PolicyDefinition,
  operator: PolicyDefinition,
): PolicyDefinition {
  const merged: Record<string, PolicyValue> = {};
  for (const key of [...new Set([...Object.keys(user), ...Object.keys(operator)])].sort()) {
    const [own, bound] = [user[key], operator[key]];
    const value = own === undefined ? bound : bound === undefined ? own : merge(key, own, bound);
    if (value !== undefined) merged[key] = value;
  }
  return merged;
}

function merge(key: string, own: PolicyValue, bound: PolicyValue): PolicyValue {
  const rule = KEYS[key]?.operator;
  return rule === 'operator' || own > bound === (rule === 'smaller') ? bound : own;
}

function patternProblem(pattern: unknown): string | null {
  if (typeof pattern !== 'string') {
    return `pattern should be a binary but was ${termText(pattern)}`;
  }
  try {
    compilePattern(pattern);
    return null;
  } catch (error) {
    return `pattern should be regular expression but is invalid: ${reasonOf(error)}`;
  }
}

function definitionProblem(kind: PolicyKind, definition: unknown): string | null {
  if (definition === null || typeof definition !== 'object') {
    const validator = kind === 'user' ? 'policy_validator' : 'operator_policy_validator';
    const read = `parse error while reading policy definition: ${termText(definition)}`;
    return `${read}. Validator: ${validator}.`;
  }
  const given = Object.entries(definition).sort(([one], [other]) => (one < other ? -1 : 1));
  if (given.length === 0) return 'no policy provided';
  if (Array.isArray(definition)) {
    return `definition must be a dictionary: ${termText(definition)}`;
  }
  const known = ([key]: readonly [string, unknown]): boolean =>
    kind === 'user' ? typesOf(key) !== undefined : isForOperators(key);
  // Of several problems RabbitMQ names the locator's first, and mirrors' last.
  const locator = given.find(([key]) => key === LOCATOR);
  if (kind === 'user' && locator !== undefined && !LOCATORS.includes(locator[1])) {
    return `${termText(locator[1])} invalid queue-master-locator value`;
  }
  for (const [key, value] of given.filter(known)) {
    const setting = KEYS[key];
    if (setting !== undefined && !setting.accepts(value)) {
      return `${termText(value)} is not a valid ${setting.noun}`;
    }
  }
  const mirrors = kind === 'user' ? mirroringProblem(new Map(given)) : null;
  if (mirrors !== null) return mirrors;
  const unknown = given.filter((pair) => !known(pair));
  return unknown.length === 0 ? null : `${pairsText(unknown)} are not recognised policy settings`;
}

function isForClusters(key: string): boolean {
  return key === LOCATOR || MIRRORING.some((name) => name === key);
}

function mirroringProblem(given: ReadonlyMap<string, unknown>): string | null {
  if (!MIRRORING.some((name) => given.has(name))) return null;
  const mode = given.get('ha-mode');
  if (mode === undefined) {
    return 'ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown';
  }
  return mirrorsProblem(mode, given.get('ha-params')) ?? syncProblem(given);
}

function mirrorsProblem(mode: unknown, params: unknown): string | null {
  if (mode === 'all') {
    return params === undefined ? null : 'ha-mode="all" does not take parameters';
  }
  const shown = params === undefined ? 'none' : termText(params);
  if (mode === 'exactly') {
    return isPositive(params) ? null : `ha-mode="exactly" takes an integer, ${shown} given`;
  }
  if (mode !== 'nodes') return `${termText(mode)} is not a valid ha-mode value`;
  if (!Array.isArray(params)) return `ha-mode="nodes" takes a list, ${shown} given`;
  if (params.length === 0) return 'ha-mode="nodes" list must be non-empty';
  const wrong = params.filter((name) => typeof name !== 'string');
  return wrong.length === 0
    ? null
    : `ha-mode="nodes" takes a list of strings, ${termText(wrong)} was not a string`;
}

function syncProblem(given: ReadonlyMap<string, unknown>): string | null {
  const size = given.get('ha-sync-batch-size');
  const among = (name: string, one: string, other: string): string | null => {
    const value = given.get(name);
    if (value === undefined || value === one || value === other) return null;
    return `${name} must be "${one}" or "${other}", got ${termText(value)}`;
  };
  return (
    among('ha-sync-mode', 'manual', 'automatic') ??
    (size === undefined || isPositive(size)
      ? null
      : `ha-sync-batch-size takes an integer greater than 0, ${termText(size)} given`) ??
    among('ha-promote-on-shutdown', 'always', 'when-synced') ??
    among('ha-promote-on-failure', 'always', 'when-synced')
  );
}

function isAge(value: unknown): boolean {
  return typeof value === 'string' && intervalMs(value) !== null;
}
