/** Connections are the sessions of clients, on whatever protocol. */
import type { SessionView } from '../../../core/engine.ts';
import { BrokerError } from '../../../core/errors.ts';
import { listed, shown } from './listing.ts';
import { NODE } from './node.ts';
import { type Call, DONE, may, NOT_FOUND, type Route } from './route.ts';

/** As RabbitMQ names them. */
const PROTOCOLS: Readonly<Record<string, string>> = {
  amqp: 'AMQP 0-9-1',
  mqtt: 'MQTT',
  stomp: 'STOMP',
  xmpp: 'XMPP',
};

/** What a client is told whose connection is ended. */
const CLOSED = 'Closed via management plugin';

export const CONNECTION_ROUTES: readonly Route[] = [
  {
    method: 'GET',
    path: '/connections',
    needs: 'anybody',
    answer: (call) =>
      listed(
        call,
        connectionsWhere(call, () => true),
      ),
  },
  {
    method: 'GET',
    path: '/connections/:name',
    needs: 'anybody',
    answer: (call) => {
      const [one] = connectionsWhere(call, ({ name }) => name === call.param('name'));
      return one === undefined ? NOT_FOUND : shown(call, one);
    },
  },
  {
    method: 'DELETE',
    path: '/connections/:name',
    needs: 'anybody',
    answer: (call) => end(call, ({ name }) => name === call.param('name')),
  },
  {
    method: 'GET',
    path: '/connections/username/:user',
    needs: 'anybody',
    answer: (call) =>
      listed(
        call,
        connectionsWhere(call, ({ user }) => user === call.param('user')),
      ),
  },
  {
    method: 'DELETE',
    path: '/connections/username/:user',
    needs: 'anybody',
    answer: (call) => {
      end(call, ({ user }) => user === call.param('user'));
      return DONE;
    },
  },
];

/** Of those that the asker may see: everybody's, or only their own. */
export function connectionsWhere(call: Call, wanted: (session: SessionView) => boolean) {
  const all = [...call.api.context.engine.admin.sessions()];
  return all.filter((each) => isShown(call, each) && wanted(each)).map(connectionJson);
}

function isShown({ asker }: Call, session: SessionView): boolean {
  return isConnection(session) && (may(asker, 'monitoring') || session.user === asker.name);
}

/** HTTP requests have sessions of their own, for as long as they take. */
export function isConnection({ peer }: SessionView): boolean {
  return peer.protocol !== 'http';
}

function end(call: Call, wanted: (session: SessionView) => boolean) {
  const { asker, api } = call;
  // Those who watch do not end what is another's.
  const own = (session: SessionView): boolean =>
    isShown(call, session) && (may(asker, 'administrator') || session.user === asker.name);
  const reason = new BrokerError('unavailable', CLOSED);
  const ended = api.context.engine.admin.evict((each) => own(each) && wanted(each), reason);
  return ended === 0 ? NOT_FOUND : DONE;
}

function connectionJson({ name, user, vhost, peer, since }: SessionView) {
  const [peerHost, peerPort] = endpoint(peer.address);
  const [host, port] = endpoint(peer.listener.slice(peer.listener.indexOf('://') + 3));
  return {
    name,
    user,
    vhost,
    protocol: PROTOCOLS[peer.protocol] ?? peer.protocol,
    type: 'network',
    state: 'running',
    node: NODE,
    host,
    port,
    peer_host: peerHost,
    peer_port: peerPort,
    ssl: peer.tls,
    connected_at: since,
    ...(peer.clientId === undefined ? {} : { variable_map: { client_id: peer.clientId } }),
  };
}

function endpoint(address: string): readonly [host: string, port: number] {
  const colon = address.lastIndexOf(':');
  return [address.slice(0, colon), Number(address.slice(colon + 1))];
}
