/** `xmpp.links`: servers that the gateway is a component of. */
import { z } from 'zod';
import { ConfigError } from '../../core/errors.ts';
import { foldDomain } from './jid.ts';

export interface LinkOptions {
  /** Where it stands in the configuration: `xmpp.links[0]`. */
  readonly path: string;
  readonly host: string;
  readonly port: number;
  /** The component's domain there. */
  readonly domain: string;
  readonly secret: string;
  /** Whose permissions that server's people have here. */
  readonly user: string;
  /** Whose people are reached over it; the first is that server's own. */
  readonly domains: readonly string[];
}

export const linkSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  port: z.int().min(1).max(65_535).default(5347),
  domain: z.string().min(1),
  secret: z.string().min(1),
  user: z.string().min(1),
  domains: z.array(z.string().min(1)).min(1).optional(),
});

/** `taken` has the domains that are served already, and gets those of the links. */
export function parseLinks(
  links: readonly z.infer<typeof linkSchema>[],
  taken: Set<string>,
): LinkOptions[] {
  const claim = (text: string, path: string): string => {
    const domain = foldDomain(text);
    if (domain === null) throw new ConfigError(path, `'${text}' is not a domain name`);
    if (taken.has(domain)) throw new ConfigError(path, `${domain} is served already`);
    taken.add(domain);
    return domain;
  };
  return links.map(({ host, port, secret, user, ...names }, index) => {
    const path = `xmpp.links[${index}]`;
    const domain = claim(names.domain, `${path}.domain`);
    const above = domain.slice(domain.indexOf('.') + 1);
    const domains = (names.domains ?? [above]).map((name, at) =>
      claim(name, names.domains === undefined ? `${path}.domains` : `${path}.domains[${at}]`),
    );
    return { path, host, port, domain, secret, user, domains };
  });
}
