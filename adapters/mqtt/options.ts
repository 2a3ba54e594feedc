/** The `mqtt` section of the configuration file. */
import { z } from 'zod';
import { parseSection } from '../../core/config.ts';
import type { Limits } from '../../core/limits.ts';
import type { Qos } from './packet.ts';

export interface MqttOptions {
  /** Virtual host of clients that do not name one (`vhost:user`). */
  readonly vhost: string;
  /** The exchange whose keys are plain topics. */
  readonly exchange: string;
  /** Clients without a user name come in, as `anonymousUser`. */
  readonly allowAnonymous: boolean;
  readonly anonymousUser: string;
  readonly qosMax: Qos;
  /** How often the `$SYS` topics are published, in milliseconds; 0: never. */
  readonly systemTopicsIntervalMs: number;
  /** Longest keep-alive granted, in seconds; 0: any, and none. */
  readonly keepAliveSecondsMax: number;
  // Undefined: as `limits` says.
  readonly receiveMaximum: number | undefined;
  readonly packetBytesMax: number | undefined;
  readonly topicAliasMaximum: number | undefined;
  readonly sessionExpirySecondsMax: number | undefined;
}

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
    max_qos: z.union([z.literal(0), z.literal(1), z.literal(2)]).default(2),
    sys_interval: z.int().min(0).max(86_400).default(10),
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
    systemTopicsIntervalMs: parsed.sys_interval * 1000,
    keepAliveSecondsMax: parsed.max_keep_alive,
    receiveMaximum: parsed.receive_maximum,
    packetBytesMax: parsed.max_packet_size,
    topicAliasMaximum: parsed.topic_alias_maximum,
    sessionExpirySecondsMax: parsed.max_session_expiry,
  };
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
