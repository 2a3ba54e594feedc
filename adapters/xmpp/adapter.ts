/** XMPP: clients (RFC 6120, 6121, 7395) and components (XEP-0114) of one domain. */

import { XMPP_EXCHANGE } from '../../core/address.ts';
import { type Principal, SYSTEM } from '../../core/auth.ts';
import type { Eventually, Peer, Session } from '../../core/engine.ts';
import { ConfigError } from '../../core/errors.ts';
import { allOf, isPending } from '../../core/eventually.ts';
import type { Adapter, Connection, Context, Gate, ListenerOptions, Transport } from '../adapter.ts';
import { domainsOf, xmppAddresses } from './address.ts';
import { ClientConnection } from './client.ts';
import { ComponentConnection } from './component.ts';
import { endAccount } from './erasure.ts';
import { xmppFormat } from './format.ts';
import { Host, OWN_PEER } from './host.ts';
import { ServerLink } from './link.ts';
import type { LinkOptions } from './link-options.ts';
import { Muc } from './muc.ts';
import { parseOptions, type XmppOptions } from './options.ts';
import { recoverPersonalQueues } from './personal-queue.ts';
import { Pubsub } from './pubsub.ts';
import { Places } from './queues.ts';

export const xmpp: Adapter<XmppOptions> = {
  protocols: ['xmpp', 'xmpp-component'],
  ports: {
    xmpp: { plain: 5222, tls: 5223 },
    'xmpp-component': { plain: 5347, tls: 5348 },
  },
  subprotocols: ['xmpp'],
  options: parseOptions,
  format: (options) => xmppFormat(options.domain),
  addresses: (options) => xmppAddresses(domainsOf(options.domain)),
  start(context: Context, options: XmppOptions): Eventually<Gate> {
    const format = xmppFormat(options.domain);
    const begin = ([system, ...linked]: readonly Session[]): Gate => {
      if (system === undefined) throw new Error('no session of the adapter itself');
      return new XmppGate(new Host(context, options, format, system), linked);
    };
    const opened = allOf([
      context.engine.open(options.vhost, SYSTEM, OWN_PEER),
      ...options.links.map((link) => sessionOf(context, options.vhost, link)),
    ]);
    return isPending(opened) ? opened.then(begin) : begin(opened);
  },
};

/** With the permissions of the link's user. Throws ConfigError where there is none. */
function sessionOf(
  { authenticator, engine }: Context,
  vhost: string,
  { user, path }: LinkOptions,
): Eventually<Session> {
  const open = (principal: Principal | 'refused' | 'unknown'): Eventually<Session> => {
    if (typeof principal !== 'string') return engine.open(vhost, principal, OWN_PEER);
    throw new ConfigError(`${path}.user`, `there is no user '${user}'`);
  };
  const known = authenticator.authenticate({ kind: 'trusted', user }, OWN_PEER);
  return isPending(known) ? known.then(open) : open(known);
}

class XmppGate implements Gate {
  readonly #host: Host;
  readonly #connections = new Set<ClientConnection | ComponentConnection>();
  readonly #links: readonly ServerLink[];

  /** `linked`: sessions for the links, in the order of the configuration. */
  constructor(host: Host, linked: readonly Session[]) {
    this.#host = host;
    const { queues, exchanges } = host.domains;
    host.addService(new Places(host, queues));
    host.addService(new Places(host, exchanges));
    host.addService(new Muc(host));
    host.addService(new Pubsub(host));
    this.#links = linked.flatMap((session, index) => {
      const options = host.options.links[index];
      return options === undefined ? [] : [new ServerLink(host, options, session)];
    });
    // Later: a client that gives up its account over XMPP gets its answer first.
    host.context.accounts.onRemoved((user) => {
      host.context.clock.soon(() => endAccount(host, host.accounts.jidOfUser(user)));
    });
    host.system.claimUnrouted(XMPP_EXCHANGE, (key) => host.accounts.claim(key));
    recoverPersonalQueues(host);
    for (const link of this.#links) link.start();
  }

  accept(transport: Transport, peer: Peer, listener: ListenerOptions): Connection {
    const forget = (): void => {
      this.#connections.delete(connection);
    };
    const connection =
      listener.protocol === 'xmpp-component'
        ? new ComponentConnection(this.#host, transport, peer, forget)
        : new ClientConnection(this.#host, transport, peer, forget);
    this.#connections.add(connection);
    return connection;
  }

  async stop(): Promise<void> {
    this.#host.handled.note(this.#host.resumable);
    for (const connection of [...this.#connections]) connection.shutdown();
    // Sessions that wait for a resumption: what they did not acknowledge goes back to the inboxes.
    for (const session of [...this.#host.resumable.values()]) session.end(null, 'shutting down');
    await Promise.all(this.#links.map((link) => link.stop()));
    await this.#host.system.close();
  }
}
