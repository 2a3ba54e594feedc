/** AMQP 0-9-1 with RabbitMQ's extensions: the adapter object, and its connections while it runs. */
import type { Timer } from '../../core/clock.ts';
import type { Peer } from '../../core/engine.ts';
import { Tally } from '../../core/tally.ts';
import type { Adapter, Connection, Context, Gate, Transport } from '../adapter.ts';
import { amqpAddresses } from './address.ts';
import { AmqpConnection, type ConnectionOwner } from './connection.ts';
import { amqpFormat } from './format.ts';
import { type AmqpOptions, amqpOptions } from './options.ts';

export const amqp: Adapter<AmqpOptions> = {
  protocols: ['amqp'],
  ports: { amqp: { plain: 5672, tls: 5671 } },
  subprotocols: ['amqp'],
  options: amqpOptions,
  format: () => amqpFormat,
  addresses: () => amqpAddresses,
  start: (context, options) => new AmqpGate(context, options),
};

/** How often it is looked at whether deliveries wait for too long, at most, in milliseconds. */
const TIMEOUT_CHECK_MS = 60_000;
/** How long clients have to say good-bye when the broker stops, in milliseconds. */
const STOP_TIMEOUT_MS = 3_000;

class AmqpGate implements Gate, ConnectionOwner {
  readonly context: Context;
  readonly options: AmqpOptions;
  readonly channels = new Tally();
  readonly #connections = new Set<AmqpConnection>();
  #timer: Timer | null = null;
  #emptied: (() => void) | null = null;

  constructor(context: Context, options: AmqpOptions) {
    this.context = context;
    this.options = options;
    this.#watch();
  }

  accept(transport: Transport, peer: Peer): Connection {
    const connection = new AmqpConnection(this, transport, peer);
    this.#connections.add(connection);
    return connection;
  }

  gone(connection: AmqpConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#emptied?.();
  }

  stop(): Promise<void> {
    this.#timer?.cancel();
    for (const connection of [...this.#connections]) connection.shutDown();
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied = resolve;
      this.context.clock.after(STOP_TIMEOUT_MS, resolve);
    });
  }

  #watch(): void {
    const { consumerTimeoutMs } = this.options;
    // Queues may have a time-out where the gateway has none.
    const intervalMs = Math.min(TIMEOUT_CHECK_MS, consumerTimeoutMs || TIMEOUT_CHECK_MS);
    this.#timer = this.context.clock.after(intervalMs, () => {
      const now = this.context.clock.now();
      for (const connection of this.#connections) connection.checkTimeouts(now);
      this.#watch();
    });
  }
}
