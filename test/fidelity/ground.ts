/** Where the ends of the fidelity report meet: the gateway, or a peer that runs already. */
import { type Client, type Place, queue, topic } from '../interop/clients/client.ts';
import type { End } from '../interop/clients/ends.ts';
import { type InteropGateway, startInterop } from '../interop/interop-gateway.ts';

/** Clients for one crossing. */
export interface Visit {
  sender(end: End): Promise<Client>;
  receiver(end: End): Promise<Client>;
  close(): Promise<void>;
}

export interface Ground {
  readonly ends: readonly End[];
  /** Of a user that may do everything. */
  readonly amqpUrl: string;
  /** A place of this name that all ends can say. */
  place(name: string): Place;
  /** A name that nothing else has. */
  unique(prefix: string): string;
  visit(): Promise<Visit>;
  stop(): Promise<void>;
}

/** The gateway, with clients that stay. */
export async function ownGround(ends: readonly End[]): Promise<Ground> {
  return new OwnGround(await startInterop(ends), ends);
}

class OwnGround implements Ground {
  readonly ends: readonly End[];
  readonly #world: InteropGateway;

  constructor(world: InteropGateway, ends: readonly End[]) {
    this.#world = world;
    this.ends = ends;
  }

  get amqpUrl(): string {
    return `amqp://user0:secret@127.0.0.1:${this.#world.gateway.port('amqp')}`;
  }

  place(name: string): Place {
    return queue(name);
  }

  unique(prefix: string): string {
    return this.#world.unique(prefix);
  }

  async visit(): Promise<Visit> {
    return {
      sender: async (end) => this.#world.sender(end),
      receiver: async (end) => this.#world.receiver(end),
      close: async () => {},
    };
  }

  stop(): Promise<void> {
    return this.#world.stop();
  }
}

export interface PeerSpec {
  readonly ends: readonly End[];
  readonly ports: ReadonlyMap<string, number>;
  readonly user: string;
  readonly password: string;
}

/** A broker on this machine. Its clients are new for each crossing: an error may close them. */
export class PeerGround implements Ground {
  readonly ends: readonly End[];
  readonly amqpUrl: string;
  readonly #spec: PeerSpec;
  readonly #run = `fidelity-${process.pid}`;
  #names = 0;

  constructor(spec: PeerSpec) {
    this.ends = spec.ends;
    this.#spec = spec;
    this.amqpUrl = `amqp://${spec.user}:${spec.password}@127.0.0.1:${this.#port('amqp')}`;
  }

  /** Queues have no address in other brokers' MQTT. */
  place(name: string): Place {
    return topic(name);
  }

  unique(prefix: string): string {
    return `${this.#run}-${prefix}-${++this.#names}`;
  }

  async visit(): Promise<Visit> {
    const clients: Client[] = [];
    const connect = async (end: End): Promise<Client> => {
      const { user, password } = this.#spec;
      const client = await end.connect({ port: (name) => this.#port(name), user, password });
      clients.push(client);
      return client;
    };
    // One that was closed for an error does not answer.
    const close = async (): Promise<void> => {
      const closing = Promise.allSettled(clients.map((client) => client.close()));
      await Promise.race([closing, new Promise((resolve) => setTimeout(resolve, 1000))]);
    };
    return { sender: connect, receiver: connect, close };
  }

  async stop(): Promise<void> {}

  #port(name: string): number {
    const port = this.#spec.ports.get(name);
    if (port === undefined) throw new Error(`--peer-port has no port for ${name}`);
    return port;
  }
}
