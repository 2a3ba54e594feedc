/** The section `xmpp` of the configuration file. */
import { z } from 'zod';
import type { Action } from '../../core/auth.ts';
import { parseSection, permissionSchema } from '../../core/config.ts';
import { ConfigError } from '../../core/errors.ts';
import { domainsOf } from './address.ts';
import { foldDomain } from './jid.ts';
import { type LinkOptions, linkSchema, parseLinks } from './link-options.ts';

export interface ComponentOptions {
  readonly domain: string;
  readonly secret: string;
}

export interface XmppOptions {
  readonly vhost: string;
  readonly domain: string;
  readonly requireTls: boolean;
  /** Whose permissions clients without an account have (SASL ANONYMOUS); null: none are let in. */
  readonly anonymousUser: string | null;
  /** Clients may make accounts (XEP-0077). */
  readonly allowRegistration: boolean;
  /** What accounts may do that are made while the gateway runs. */
  readonly registeredPermissions: Readonly<Record<Action, string>>;
  readonly components: readonly ComponentOptions[];
  readonly links: readonly LinkOptions[];
}

/** People, topics and rooms: no queues but their own. */
const PLACES_OF_PEOPLE = '^(amq\\.(xmpp|topic)|muc\\..*)$';

const schema = z.strictObject({
  vhost: z.string().min(1).default('/'),
  domain: z.string().min(1).default('localhost'),
  require_tls: z.boolean().default(false),
  allow_anonymous: z.boolean().default(false),
  anonymous_user: z.string().min(1).default('guest'),
  allow_registration: z.boolean().default(false),
  registered_permissions: permissionSchema.default({
    configure: '^muc\\.',
    write: PLACES_OF_PEOPLE,
    read: PLACES_OF_PEOPLE,
  }),
  components: z
    .array(z.strictObject({ domain: z.string().min(1), secret: z.string().min(1) }))
    .default([]),
  links: z.array(linkSchema).default([]),
});

export function parseOptions(section: unknown): XmppOptions {
  const raw = parseSection(schema, section ?? {}, 'xmpp');
  const domain = checkedDomain(raw.domain, 'xmpp.domain');
  const taken = new Set<string>(Object.values(domainsOf(domain)));
  const components = raw.components.map((component, index) => {
    const path = `xmpp.components[${index}].domain`;
    const folded = checkedDomain(component.domain, path);
    if (taken.has(folded)) throw new ConfigError(path, `${folded} is served already`);
    taken.add(folded);
    return { domain: folded, secret: component.secret };
  });
  return {
    vhost: raw.vhost,
    domain,
    requireTls: raw.require_tls,
    allowRegistration: raw.allow_registration,
    registeredPermissions: raw.registered_permissions,
    anonymousUser: raw.allow_anonymous ? raw.anonymous_user : null,
    components,
    links: parseLinks(raw.links, taken),
  };
}

function checkedDomain(text: string, path: string): string {
  const folded = foldDomain(text);
  if (folded === null) throw new ConfigError(path, `'${text}' is not a domain name`);
  return folded;
}
