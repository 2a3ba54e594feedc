/** XMPP: clients (RFC 6120, 6121, 7395) and components (XEP-0114) of one domain. */

import { SYSTEM } from '../../core/auth.ts';
import type { Eventually, Peer, Session } from '../../core/engine.ts';
import { isPending } from '../../core/eventually.ts';
import type { Adapter, Connection, Context, Gate, ListenerOptions, Transport } from '../adapter.ts';
import { domainsOf, xmppAddresses } from './address.ts';
import { ClientConnection } from './client.ts';
import { ComponentConnection } from './component.ts';
import { xmppFormat } from './format.ts';
import { Host, OWN_PEER } from './host.ts';
import { Muc } from './muc.ts';
import { parseOptions, type XmppOptions } from './options.ts';
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
    const begin = (system: Session): Gate =>
      new XmppGate(new Host(context, options, format, system));
    const opened = context.engine.open(options.vhost, SYSTEM, OWN_PEER);
    return isPending(opened) ? opened.then(begin) : begin(opened);
  },
};

class XmppGate implements Gate {
  readonly #host: Host;
  readonly #connections = new Set<ClientConnection | ComponentConnection>();

  constructor(host: Host) {
    this.#host = host;
    const { queues, exchanges } = host.domains;
    host.addService(new Places(host, queues));
    host.addService(new Places(host, exchanges));
    host.addService(new Muc(host));
    host.addService(new Pubsub(host));
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
    for (const connection of [...this.#connections]) connection.shutdown();
    // Sessions that wait for a resumption: what they did not acknowledge goes back to the inboxes.
    for (const session of [...this.#host.resumable.values()]) session.end(null, 'shutting down');
    this.#host.archives.flush();
    await this.#host.system.close();
  }
}
