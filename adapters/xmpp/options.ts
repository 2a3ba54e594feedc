/** The section `xmpp` of the configuration file. */
import { z } from 'zod';
import { parseSection } from '../../core/config.ts';
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
  readonly components: readonly ComponentOptions[];
  readonly links: readonly LinkOptions[];
}

const schema = z.strictObject({
  vhost: z.string().min(1).default('/'),
  domain: z.string().min(1).default('localhost'),
  require_tls: z.boolean().default(false),
  allow_anonymous: z.boolean().default(false),
  anonymous_user: z.string().min(1).default('guest'),
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
