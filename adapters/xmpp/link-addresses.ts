/**
 * The gateway's addresses as another server's people see them, under the one domain that a link has
 * there:
 *
 *     alice@DOMAIN            alice@LINK
 *     jobs@queues.DOMAIN      jobs\40queues@LINK      (XEP-0106: what reads `jobs@queues`)
 *     pubsub.DOMAIN           \40pubsub@LINK
 *     DOMAIN                  LINK
 */
import type { Domains } from './address.ts';
import { type Element, elementsOf } from './element.ts';
import { type Jid, makeJid, parseJid } from './jid.ts';

const SERVICE = /^(.*)\\40(queues|exchanges|rooms|pubsub)$/;
/** Attributes that are addresses, on stanzas and inside them. */
const ADDRESSES = ['from', 'to', 'jid', 'by'] as const;

export class LinkAddresses {
  readonly #domains: Domains;
  readonly #link: string;

  constructor(domains: Domains, link: string) {
    this.#domains = domains;
    this.#link = link;
  }

  /** One of ours as others see it; any other address as it is. */
  outward(jid: Jid): Jid {
    const { host, queues, exchanges, rooms, pubsub } = this.#domains;
    if (jid.domain === host) return makeJid(jid.local, this.#link, jid.resource);
    const services: readonly (readonly [domain: string, name: string])[] = [
      [queues, 'queues'],
      [exchanges, 'exchanges'],
      [rooms, 'rooms'],
      [pubsub, 'pubsub'],
    ];
    const name = services.find(([domain]) => domain === jid.domain)?.[1];
    return name === undefined ? jid : makeJid(`${jid.local}\\40${name}`, this.#link, jid.resource);
  }

  /** What an address at the link's domain stands for; any other as it is. */
  inward(jid: Jid): Jid {
    if (jid.domain !== this.#link) return jid;
    const [, local = '', name] = SERVICE.exec(jid.local) ?? [];
    const domain = this.#domains[(name ?? 'host') as keyof Domains];
    return makeJid(name === undefined ? jid.local : local, domain, jid.resource);
  }

  /** Rewrites the addresses of a stanza and of what is in it. */
  rewrite(stanza: Element, direction: 'inward' | 'outward'): void {
    for (const name of ADDRESSES) {
      const text = stanza.attrs[name];
      const jid = text === undefined ? null : parseJid(text);
      if (jid !== null) stanza.attrs[name] = this[direction](jid).full;
    }
    if (stanza.name === 'header' && stanza.attrs.name === 'Reply-To') {
      const jid = parseJid(stanza.getText());
      if (jid !== null) stanza.children = [this[direction](jid).full];
    }
    for (const child of elementsOf(stanza)) this.rewrite(child, direction);
  }
}
