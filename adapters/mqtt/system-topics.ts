/** The `$SYS` topics: what Mosquitto's users look at, published as last values now and then. */
import type { Clock, Timer } from '../../core/clock.ts';
import type { ProtocolCounters } from '../../core/meter.ts';
import { bareNative, RETAIN_FLAG } from './native.ts';
import type { BrokerPublisher } from './will.ts';

export interface SystemTopicsContext {
  readonly clock: Clock;
  readonly counters: ProtocolCounters;
  readonly publisher: BrokerPublisher;
  readonly vhost: string;
  readonly version: string;
  readonly intervalMs: number;
  connections(): number;
  sessions(): number;
}

export class SystemTopics {
  readonly #context: SystemTopicsContext;
  readonly #startedAt: number;
  #timer: Timer | null = null;

  constructor(context: SystemTopicsContext) {
    this.#context = context;
    this.#startedAt = context.clock.now();
    if (context.intervalMs > 0) this.#publish();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #publish(): void {
    const { clock, counters, version, intervalMs, connections, sessions } = this.#context;
    const uptimeSeconds = Math.floor((clock.now() - this.#startedAt) / 1000);
    const values: Readonly<Record<string, string | number>> = {
      version,
      uptime: `${uptimeSeconds} seconds`,
      'clients/connected': connections(),
      'clients/total': sessions(),
      'messages/received': counters.received,
      'messages/sent': counters.delivered,
      'publish/messages/dropped': counters.dropped,
      'bytes/received': counters.bytesReceived,
      'bytes/sent': counters.bytesSent,
    };
    for (const [name, value] of Object.entries(values)) this.#say(`$SYS/broker/${name}`, value);
    this.#timer = clock.after(intervalMs, () => this.#publish());
  }

  #say(topic: string, value: string | number): void {
    const body = Buffer.from(String(value));
    const native = bareNative(RETAIN_FLAG, null);
    this.#context.publisher.publish(this.#context.vhost, {
      ...{ topic, body, native, qos: 0, retain: true, priority: 0, expirySeconds: -1 },
    });
  }
}
