/** One gateway for the interop tests, and one sending and one receiving client of every library on it. */
import type { ConfigFile } from '../../core/config.ts';
import type { Gateway } from '../../main.ts';
import { startGateway } from '../support/gateway.ts';
import type { Client } from './clients/client.ts';
import type { End } from './clients/ends.ts';

const ALL = { '/': { configure: '.*', write: '.*', read: '.*' } };

/** Every client is an account of its own, so that each has its own XMPP address. */
function accounts(count: number): object[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `user${index}`,
    password: 'secret',
    permissions: ALL,
  }));
}

export class InteropGateway {
  readonly gateway: Gateway;
  readonly #clients: Client[] = [];
  readonly #sending = new Map<End, Client>();
  readonly #receiving = new Map<End, Client>();
  #names = 0;

  constructor(gateway: Gateway) {
    this.gateway = gateway;
  }

  /** Connects a sender and a receiver for each end. */
  async connectAll(ends: readonly End[]): Promise<void> {
    for (const end of ends) {
      this.#sending.set(end, await this.connect(end));
      this.#receiving.set(end, await this.connect(end));
    }
  }

  async connect(end: End): Promise<Client> {
    const target = {
      port: this.#port,
      user: this.userOf(this.#clients.length),
      password: 'secret',
    };
    const client = await end.connect(target);
    this.#clients.push(client);
    return client;
  }

  userOf(index: number): string {
    return `user${index}`;
  }

  sender(end: End): Client {
    return existing(this.#sending, end);
  }

  receiver(end: End): Client {
    return existing(this.#receiving, end);
  }

  /** The account that a client logged in with. */
  nameOf(client: Client): string {
    return this.userOf(this.#clients.indexOf(client));
  }

  /** A name that no other case uses. */
  unique(prefix: string): string {
    return `${prefix}-${++this.#names}`;
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#clients.map((client) => client.close()));
    await this.gateway.stop();
  }

  readonly #port = (protocol: string): number => this.gateway.port(protocol);
}

export async function startInterop(
  ends: readonly End[],
  overrides: ConfigFile = {},
): Promise<InteropGateway> {
  const world = new InteropGateway(await startGateway({ users: accounts(64), ...overrides }));
  await world.connectAll(ends);
  return world;
}

function existing(clients: ReadonlyMap<End, Client>, end: End): Client {
  const client = clients.get(end);
  if (client === undefined) throw new Error(`${end.name} is not connected`);
  return client;
}
