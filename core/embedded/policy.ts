/**
 * The policies of one vhost, and which of them count for an exchange or a queue: of users' and of
 * operators' policies that match its name and type, the one of the highest priority each. Where two
 * have the same, the one whose name comes first.
 *
 *     kind 'policy' or 'operator-policy', key VHOST \0 NAME  →  { version, pattern, applyTo, … }
 */
import type { QueueSpec } from '../engine.ts';
import { BrokerError, ConfigError } from '../errors.ts';
import type { Limits } from '../limits.ts';
import type { HeaderTable } from '../message.ts';
import { compilePattern } from '../pattern.ts';
import {
  type ConfiguredPolicy,
  type Governed,
  POLICY_KINDS,
  type PolicyKind,
  type PolicyRequest,
  type PolicySpec,
  type PolicyTarget,
  type PolicyView,
} from '../policy.ts';
import type { Definitions } from '../store.ts';
import type { Exchange } from './exchange.ts';
import { effectiveArguments, mergeDefinitions, policyProblems, typesOf } from './policy-keys.ts';
import type { Queue, QueueType } from './types.ts';

const RECORD_VERSION = 1;
const RECORDS: Readonly<Record<PolicyKind, string>> = {
  user: 'policy',
  operator: 'operator-policy',
};

const EXCHANGE = 'exchange';
/** By type of what it is for; a session's queue is what RabbitMQ has a classic one for. */
const TARGETS: Readonly<Record<string, readonly PolicyTarget[]>> = {
  [EXCHANGE]: ['all', 'exchanges'],
  classic: ['all', 'queues', 'classic_queues'],
  session: ['all', 'queues', 'classic_queues'],
  quorum: ['all', 'queues', 'quorum_queues'],
  stream: ['all', 'queues', 'streams'],
};

export interface PoliciesContext {
  readonly vhost: string;
  readonly definitions: Definitions;
  readonly limits: Limits;
  /** Of every vhost. */
  readonly configured: readonly ConfiguredPolicy[];
}

interface Policy extends PolicyView {
  readonly regularExpression: RegExp;
  /** Types of queue that it is for, and `exchange`. */
  readonly types: readonly string[];
}

/** The policies that count for one exchange or queue, if any does. */
interface Rule {
  readonly user: Policy | null;
  readonly operator: Policy | null;
  readonly governed: Governed;
}

/** Whether a change of policies may be one for an exchange or queue. */
export type Concern = (target: Exchange | Queue) => boolean;

const UNGOVERNED: Governed = { policy: null, operatorPolicy: null, effectivePolicyDefinition: {} };

export class Policies {
  readonly #context: PoliciesContext;
  /** By name. */
  readonly #policies: Readonly<Record<PolicyKind, Map<string, Policy>>>;
  /** As they count: the highest priority first. */
  readonly #ranked: Record<PolicyKind, readonly Policy[]> = { user: [], operator: [] };
  readonly #rules = new WeakMap<Exchange | Queue, Rule>();
  /** Rules by the names of their policies, until these change: many targets share one. */
  readonly #made = new Map<string, Rule>();

  /** Those of the configuration stand in for stored ones of their names. */
  constructor(context: PoliciesContext) {
    this.#context = context;
    this.#policies = { user: this.#read('user'), operator: this.#read('operator') };
    for (const { kind, vhost, ...spec } of context.configured) {
      if (vhost === context.vhost) this.#policies[kind].set(spec.name, compiled(spec, true));
    }
    this.#rank('user');
    this.#rank('operator');
  }

  list(kind: PolicyKind): readonly PolicyView[] {
    return [...this.#policies[kind].values()].map(viewOf);
  }

  /**
   * Returns what it may concern. Throws `precondition-failed` for what cannot be a policy, or is one
   * too many, and `not-allowed` for one of the configuration.
   */
  set(kind: PolicyKind, request: PolicyRequest): Concern {
    const spec = this.check(kind, request, false);
    if (spec === null) return () => false;
    const { name } = spec;
    const former = this.#policies[kind].get(name);
    const policy = compiled(spec, false);
    this.#policies[kind].set(name, policy);
    this.#context.definitions.put(RECORDS[kind], this.#key(name), recordOf(spec));
    this.#rank(kind);
    return concernOf(former === undefined ? [policy] : [policy, former]);
  }

  /** Throws as `set` does; null: it is there already. `fresh`: where no policy is yet. */
  check(kind: PolicyKind, request: PolicyRequest, fresh: boolean): PolicySpec | null {
    const problems = policyProblems(kind, request);
    if (problems.length > 0) {
      const reason = `Validation failed\n\n${problems.join('\n')}\n`;
      throw new BrokerError('precondition-failed', reason);
    }
    const { name, pattern, applyTo, priority, definition } = request as PolicySpec;
    const spec: PolicySpec = { name, pattern, applyTo, priority, definition };
    const current = fresh ? undefined : this.#policies[kind].get(name);
    if (current !== undefined && recordOf(current) === recordOf(spec)) return null;
    this.#requireOwn(kind, current);
    if (current === undefined && !fresh) this.#requireRoom(kind, name);
    return spec;
  }

  /** As `set`. Throws `not-found` in RabbitMQ's words, or `not-allowed`. */
  clear(kind: PolicyKind, name: string): Concern {
    const current = this.#policies[kind].get(name);
    if (current === undefined) throw new BrokerError('not-found', 'Parameter does not exist');
    this.#requireOwn(kind, current);
    this.#policies[kind].delete(name);
    this.#context.definitions.delete(RECORDS[kind], this.#key(name));
    this.#rank(kind);
    return concernOf([current]);
  }

  /** The vhost is deleted: nothing is stored of it any more. */
  drop(): void {
    const { definitions } = this.#context;
    for (const kind of POLICY_KINDS) {
      const keys = [...definitions.entries(RECORDS[kind])].map(([key]) => key);
      for (const key of keys) {
        if (key.startsWith(this.#key(''))) definitions.delete(RECORDS[kind], key);
      }
    }
  }

  /** Has what counts for an exchange or queue now count for it. Returns whether that is new. */
  govern(target: Exchange | Queue): boolean {
    const rule = this.#rule(target.spec.name, typeOf(target));
    const current = this.#rules.get(target);
    if (rule?.user === current?.user && rule?.operator === current?.operator) return false;
    if (rule === undefined) this.#rules.delete(target);
    else this.#rules.set(target, rule);
    return true;
  }

  governed(target: Exchange | Queue): Governed {
    return this.#rules.get(target)?.governed ?? UNGOVERNED;
  }

  /** The arguments that count for a queue, as it is or when it is made. */
  argumentsOf(
    { name, arguments: own }: QueueSpec,
    { name: type, accepts }: QueueType,
  ): HeaderTable {
    const rule = this.#rule(name, type);
    if (rule === undefined) return own;
    return effectiveArguments(own, rule.governed.effectivePolicyDefinition, type, accepts);
  }

  #rule(name: string, type: string): Rule | undefined {
    const user = this.#ranked.user.find((policy) => isFor(policy, name, type)) ?? null;
    const operator = this.#ranked.operator.find((policy) => isFor(policy, name, type)) ?? null;
    if (user === null && operator === null) return undefined;
    const key = `${keyOf(user)}\0${keyOf(operator)}`;
    let rule = this.#made.get(key);
    if (rule === undefined) {
      const names = { policy: user?.name ?? null, operatorPolicy: operator?.name ?? null };
      const definition = mergeDefinitions(user?.definition ?? {}, operator?.definition ?? {});
      const governed = { ...names, effectivePolicyDefinition: definition };
      rule = { user, operator, governed };
      this.#made.set(key, rule);
    }
    return rule;
  }

  #rank(kind: PolicyKind): void {
    this.#made.clear();
    this.#ranked[kind] = [...this.#policies[kind].values()].sort(
      (one, other) => other.priority - one.priority || (one.name < other.name ? -1 : 1),
    );
  }

  #requireOwn(kind: PolicyKind, policy: Policy | undefined): void {
    if (policy?.configured !== true) return;
    const what = kind === 'user' ? 'policy' : 'operator policy';
    const where = `${what} '${policy.name}' in vhost '${this.#context.vhost}'`;
    throw new BrokerError('not-allowed', `${where} stands in the configuration file`);
  }

  #requireRoom(kind: PolicyKind, name: string): void {
    const { vhost, limits } = this.#context;
    if (Buffer.byteLength(name) > limits.nameBytesMax) {
      throw new BrokerError('precondition-failed', 'policy name is longer than 255 bytes');
    }
    if (this.#policies[kind].size < limits.policiesMax) return;
    const reason = `policy limit in vhost '${vhost}' (${limits.policiesMax}) is reached`;
    throw new BrokerError('precondition-failed', `cannot set policy '${name}': ${reason}`);
  }

  #key(name: string): string {
    return `${this.#context.vhost}\0${name}`;
  }

  #read(kind: PolicyKind): Map<string, Policy> {
    const policies = new Map<string, Policy>();
    const prefix = this.#key('');
    for (const [key, record] of this.#context.definitions.entries(RECORDS[kind])) {
      if (!key.startsWith(prefix)) continue;
      const { version, ...rest } = JSON.parse(record) as PolicySpec & { version: number };
      const name = key.slice(prefix.length);
      if (version > RECORD_VERSION) {
        throw new Error(`policy '${name}' was written by a newer version of Rosetta MQ`);
      }
      policies.set(name, compiled({ ...rest, name }, false));
    }
    return policies;
  }
}

/** Throws ConfigError for a policy of the configuration that cannot be. */
export function requirePolicies(configured: readonly ConfiguredPolicy[]): void {
  for (const policy of configured) {
    const [problem] = policyProblems(policy.kind, policy);
    if (problem === undefined) continue;
    const list = policy.kind === 'user' ? 'policies' : 'operator_policies';
    const index = configured.filter(({ kind }) => kind === policy.kind).indexOf(policy);
    throw new ConfigError(`${list}[${index}]`, problem);
  }
}

function compiled(spec: PolicySpec, configured: boolean): Policy {
  const keys = Object.keys(spec.definition);
  const types = Object.keys(TARGETS).filter(
    (type) =>
      TARGETS[type]?.includes(spec.applyTo) === true &&
      (type === EXCHANGE || keys.every((key) => typesOf(key)?.includes(type))),
  );
  return { ...spec, configured, regularExpression: compilePattern(spec.pattern), types };
}

function viewOf({ name, pattern, applyTo, priority, definition, configured }: Policy): PolicyView {
  return { name, pattern, applyTo, priority, definition, configured };
}

/** As it is stored: the same text for the same policy. */
function recordOf({ pattern, applyTo, priority, definition: given }: PolicySpec): string {
  const definition = mergeDefinitions(given, {});
  return JSON.stringify({ version: RECORD_VERSION, pattern, applyTo, priority, definition });
}

function isFor({ types, regularExpression }: Policy, name: string, type: string): boolean {
  return types.includes(type) && regularExpression.test(name);
}

/** Different for no policy and for one without a name. */
function keyOf(policy: Policy | null): string {
  return policy === null ? '' : `p${policy.name}`;
}

function typeOf(target: Exchange | Queue): string {
  return 'type' in target ? target.type : EXCHANGE;
}

/** What one of these policies matches. */
function concernOf(policies: readonly Policy[]): Concern {
  return (target) => policies.some((policy) => isFor(policy, target.spec.name, typeOf(target)));
}
