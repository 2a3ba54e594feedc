/** STOMP 1.0, 1.1 and 1.2 as a gateway adapter. */
import { ConfigError } from '../../core/errors.ts';
import type { Adapter, Gate } from '../adapter.ts';
import { StompConnection } from './connection.ts';
import { type Dialect, stompAddresses } from './destination.ts';
import { stompFormat } from './format.ts';
import { type StompOptions, stompOptions } from './options.ts';

export const stomp: Adapter<StompOptions> = {
  protocols: ['stomp'],
  ports: { stomp: { plain: 61613, tls: 61614 } },
  subprotocols: ['v12.stomp', 'v11.stomp', 'v10.stomp'],
  options: stompOptions,
  format: () => stompFormat,
  addresses: () => stompAddresses,

  start(context, options): Gate {
    const connections = new Set<StompConnection>();
    const clientIds = new Set<string>();
    return {
      accept(transport, peer, listener) {
        const connection = new StompConnection(
          context,
          options,
          dialectOf(listener.dialect, options.dialect),
          transport,
          peer,
          clientIds,
          (ended) => connections.delete(ended),
        );
        connections.add(connection);
        return connection;
      },
      async stop() {
        await Promise.all([...connections].map((connection) => connection.stop()));
      },
    };
  },
};

function dialectOf(named: string | undefined, fallback: Dialect): Dialect {
  if (named === undefined) return fallback;
  if (named === 'rabbitmq' || named === 'activemq') return named;
  throw new ConfigError('listeners', `dialect '${named}': expected 'rabbitmq' or 'activemq'`);
}
