import type { ConfigFile } from '../../core/config.ts';
import { SILENT_LOG } from '../../core/log.ts';
import { Gateway } from '../../main.ts';

const ALL = { '/': { configure: '.*', write: '.*', read: '.*' } };

/** Accounts of every test gateway: the administrator, two users, and one with few permissions. */
const USERS = [
  { name: 'guest', password: 'guest', tags: ['administrator'], permissions: ALL },
  { name: 'alice', password: 'secret', permissions: ALL },
  { name: 'bob', password: 'secret', permissions: ALL },
  {
    name: 'limited',
    password: 'secret',
    permissions: {
      '/': { configure: '^limited-', write: '^(limited-.*|amq\\.topic)$', read: '^limited-' },
    },
  },
];

const PROTOCOLS = ['amqp', 'mqtt', 'stomp', 'xmpp', 'xmpp-component', 'http'];

/** A gateway on free ports of loopback, all protocols listening; `gateway.port('mqtt')` tells which. */
export async function startGateway(overrides: ConfigFile = {}): Promise<Gateway> {
  const listeners = PROTOCOLS.map((protocol) => ({ protocol, port: 0 }));
  const xmpp = { components: [{ domain: 'comp.localhost', secret: 'shared' }] };
  const defaults = { listeners, users: USERS, xmpp, store: 'memory' };
  const gateway = new Gateway({ ...defaults, ...overrides }, { log: SILENT_LOG });
  await gateway.start();
  return gateway;
}
