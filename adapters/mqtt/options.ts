/** The `mqtt` section of the configuration file. */
import { z } from 'zod';
import { parseSection } from '../../core/config.ts';
import type { Limits } from '../../core/limits.ts';
import type { Qos } from './packet.ts';
import { isTopicFilter, isTopicName } from './topic.ts';

/** One entry of `topic_permissions`: filters with `%c` and `%u`. */
export interface TopicRule {
  /** Matches the whole name. */
  readonly user: RegExp;
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export interface MqttOptions {
  /** Virtual host of clients that do not name one (`vhost:user`). */
  readonly vhost: string;
  /** The exchange whose keys are plain topics. */
  readonly exchange: string;
  /** Clients without a user name come in, as `anonymousUser`. */
  readonly allowAnonymous: boolean;
  readonly anonymousUser: string;
  readonly qosMax: Qos;
  /** Where MQTT 3.1 and 3.1.1 clients exchange properties in a JSON envelope (envelope.ts). */
  readonly envelopeVhosts: readonly string[];
  /** How often the `$SYS` topics are published, in milliseconds; 0: never. */
  readonly systemTopicsIntervalMs: number;
  /** Longest keep-alive granted, in seconds; 0: any, and none. */
  readonly keepAliveSecondsMax: number;
  /** The first for a user counts. */
  readonly topicRules: readonly TopicRule[];
  /** Where answers to a client may be sent to, with `%c` and `%u`; empty: it is not told. */
  readonly responseInformation: string;
  /** The broker that clients are sent to instead of this one; empty: they stay. */
  readonly serverReference: string;
  /** They are to stay there. */
  readonly serverMoved: boolean;
  // Undefined: as `limits` says.
  readonly receiveMaximum: number | undefined;
  readonly packetBytesMax: number | undefined;
  readonly topicAliasMaximum: number | undefined;
  readonly sessionExpirySecondsMax: number | undefined;
}

const filters = z.array(z.string().refine(isTopicFilter, 'not a topic filter')).default([]);

const topicRule = z.strictObject({
  user: z.string().refine(isPattern, 'not a regular expression').default('.*'),
  publish: filters,
  subscribe: filters,
});

const schema = z
  .strictObject({
    vhost: z.string().default('/'),
    exchange: z.string().min(1).default('amq.topic'),
    allow_anonymous: z.boolean().default(false),
    anonymous_user: z.string().min(1).default('guest'),
    receive_maximum: z.int().min(1).max(65_535).optional(),
    max_keep_alive: z.int().min(0).max(65_535).default(0),
    max_packet_size: z.int().min(1024).max(268_435_460).optional(),
    topic_alias_maximum: z.int().min(0).max(65_535).optional(),
    max_session_expiry: z.int().min(0).max(4_294_967_295).optional(),
    envelope_vhosts: z.array(z.string().min(1)).default([]),
    max_qos: z.union([z.literal(0), z.literal(1), z.literal(2)]).default(2),
    sys_interval: z.int().min(0).max(86_400).default(10),
    topic_permissions: z.array(topicRule).default([]),
    response_information: z
      .string()
      .max(1024)
      .refine(isTopic, 'not a topic')
      .default('response/%c'),
    server_reference: z.string().max(1024).default(''),
    server_moved: z.boolean().default(false),
  })
  .prefault({});

export function mqttOptions(section: unknown): MqttOptions {
  const parsed = parseSection(schema, section, 'mqtt');
  return {
    vhost: parsed.vhost,
    exchange: parsed.exchange,
    allowAnonymous: parsed.allow_anonymous,
    anonymousUser: parsed.anonymous_user,
    qosMax: parsed.max_qos,
    envelopeVhosts: parsed.envelope_vhosts,
    systemTopicsIntervalMs: parsed.sys_interval * 1000,
    topicRules: parsed.topic_permissions.map(({ user, publish, subscribe }) => {
      return { user: wholly(user), publish, subscribe };
    }),
    responseInformation: parsed.response_information,
    serverReference: parsed.server_reference,
    serverMoved: parsed.server_moved,
    keepAliveSecondsMax: parsed.max_keep_alive,
    receiveMaximum: parsed.receive_maximum,
    packetBytesMax: parsed.max_packet_size,
    topicAliasMaximum: parsed.topic_alias_maximum,
    sessionExpirySecondsMax: parsed.max_session_expiry,
  };
}

function wholly(source: string): RegExp {
  return new RegExp(`^(?:${source})$`, 'u');
}

function isPattern(source: string): boolean {
  try {
    wholly(source);
    return true;
  } catch {
    return false;
  }
}

/** Empty, or a topic. */
function isTopic(text: string): boolean {
  return text === '' || isTopicName(text);
}

/** What clients are granted. */
export interface Grants {
  readonly qosMax: Qos;
  readonly keepAliveSecondsMax: number;
  readonly receiveMaximum: number;
  readonly packetBytesMax: number;
  readonly topicAliasMaximum: number;
  readonly sessionExpirySecondsMax: number;
}

/** Room for a topic and properties beside the largest body. */
const HEAD_BYTES_MAX = 256 * 1024;

export function grantsOf(options: MqttOptions, limits: Limits): Grants {
  return {
    qosMax: options.qosMax,
    keepAliveSecondsMax: options.keepAliveSecondsMax,
    receiveMaximum: options.receiveMaximum ?? limits.mqttReceiveMaximum,
    packetBytesMax: options.packetBytesMax ?? limits.messageBytesMax + HEAD_BYTES_MAX,
    topicAliasMaximum: options.topicAliasMaximum ?? limits.mqttTopicAliasMaximum,
    sessionExpirySecondsMax: options.sessionExpirySecondsMax ?? limits.mqttSessionExpirySecondsMax,
  };
}
