/** The `stomp:` section of the configuration. */
import { z } from 'zod';
import { parseSection } from '../../core/config.ts';
import { ConfigError } from '../../core/errors.ts';
import type { Dialect } from './destination.ts';

export interface StompOptions {
  /** Where clients go whose `host` header names no vhost. */
  readonly vhost: string;
  /** How destinations are read, where a listener does not say otherwise. */
  readonly dialect: Dialect;
  /** Who clients are that send no login; null: they are refused. */
  readonly defaultUser: string | null;
  /** Clients need not send CONNECT: any other first frame logs them in as the default user. */
  readonly implicitConnect: boolean;
}

const schema = z
  .strictObject({
    vhost: z.string().min(1).default('/'),
    dialect: z.enum(['rabbitmq', 'activemq']).default('rabbitmq'),
    default_user: z.string().min(1).nullable().default(null),
    implicit_connect: z.boolean().default(false),
  })
  .prefault({});

export function stompOptions(section: unknown): StompOptions {
  const { vhost, dialect, default_user, implicit_connect } = parseSection(schema, section, 'stomp');
  if (implicit_connect && default_user === null) {
    throw new ConfigError('stomp.implicit_connect', 'needs a `default_user`');
  }
  return { vhost, dialect, defaultUser: default_user, implicitConnect: implicit_connect };
}
