/**
 * Policies: settings of exchanges and queues by their names, as RabbitMQ has them. Those of
 * operators are for queues, and hold whatever users and declarations ask for.
 */

export const POLICY_KINDS = ['user', 'operator'] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

export const POLICY_TARGETS = [
  'all',
  'exchanges',
  'queues',
  'classic_queues',
  'quorum_queues',
  'streams',
] as const;
export type PolicyTarget = (typeof POLICY_TARGETS)[number];

export type PolicyValue = string | number | boolean | readonly string[];
/** Settings by RabbitMQ's names: `max-length`, not `x-max-length`. */
export type PolicyDefinition = Readonly<Record<string, PolicyValue>>;

export interface PolicySpec {
  readonly name: string;
  /** A regular expression that is found anywhere in the names that it is for. */
  readonly pattern: string;
  readonly applyTo: PolicyTarget;
  /** Of those that match, the highest counts alone. */
  readonly priority: number;
  readonly definition: PolicyDefinition;
}

/** As somebody asks for it: nothing is checked but the name. */
export type PolicyRequest = Readonly<Record<Exclude<keyof PolicySpec, 'name'>, unknown>> &
  Pick<PolicySpec, 'name'>;

export interface PolicyView extends PolicySpec {
  /** It stands in the configuration file: it cannot be changed while the gateway runs. */
  readonly configured: boolean;
}

/** A policy of the configuration file. */
export interface ConfiguredPolicy extends PolicySpec {
  readonly vhost: string;
  readonly kind: PolicyKind;
}

/** The policies that count for one exchange or queue. */
export interface Governed {
  /** Names; null: none matches. */
  readonly policy: string | null;
  readonly operatorPolicy: string | null;
  /** Both, merged. */
  readonly effectivePolicyDefinition: PolicyDefinition;
}
