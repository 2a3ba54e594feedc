/** A world with an XMPP adapter, and clients in it without a network. */
import { createHash } from 'node:crypto';
import type { Connection, Gate } from '../../../adapters/adapter.ts';
import { xmpp } from '../../../adapters/xmpp/adapter.ts';
import { PipeTransport } from '../../support/pipe-transport.ts';
import { createWorld, PEER, type World, type WorldOptions } from '../../support/world.ts';

export interface XmppWorld extends World {
  readonly gate: Gate;
  /** Opens a connection that has sent nothing. */
  connect(framed?: boolean, protocol?: string): PipeClient;
  /** A client that is logged in, bound to `resource`, without presence. */
  login(user: string, resource: string): PipeClient;
  /** One that is available too. */
  online(user: string, resource: string, priority?: number): PipeClient;
  /** The component `comp.localhost`, connected (XEP-0114). */
  component(): PipeClient;
}

export const COMPONENT_HEADER =
  "<stream:stream to='comp.localhost' xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";

export const HEADER =
  "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

export class PipeClient {
  readonly transport: PipeTransport;
  connection: Connection;

  constructor(transport: PipeTransport, connection: Connection) {
    this.transport = transport;
    this.connection = connection;
  }

  /** Sends, and answers everything that came since the last call. */
  send(xml: string): string {
    this.connection.receive(Buffer.from(xml));
    return this.take();
  }

  /** Without the ids of archives, which most tests are not about. */
  take(): string {
    return this.takeWithIds().replace(/<stanza-id [^>]*>/g, '');
  }

  takeWithIds(): string {
    return this.transport.sent().toString('utf8');
  }

  /** Logs in with PLAIN. */
  authenticate(user: string, password: string): string {
    this.send(HEADER);
    return this.send(
      `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain(user, password)}</auth>`,
    );
  }

  bind(resource: string): string {
    this.send(HEADER);
    return this.send(
      `<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`,
    );
  }
}

export function plain(user: string, password: string): string {
  return Buffer.from(`\0${user}\0${password}`).toString('base64');
}

export function createXmppWorld(
  options: WorldOptions & { readonly section?: unknown } = {},
): XmppWorld {
  const world = createWorld(options);
  const section = options.section ?? {
    components: [{ domain: 'comp.localhost', secret: 'hush' }],
  };
  const gate = xmpp.start(world.context, xmpp.options(section));
  if (gate instanceof Promise) throw new Error('the embedded engine does not wait');
  const connect = (framed: boolean = false, protocol: string = 'xmpp'): PipeClient => {
    const transport = new PipeTransport(framed);
    return new PipeClient(transport, gate.accept(transport, PEER, { protocol }));
  };
  const login = (user: string, resource: string): PipeClient => {
    const client = connect();
    client.authenticate(user, user === 'guest' ? 'guest' : 'secret');
    const bound = client.bind(resource);
    if (!bound.includes(`/${resource}</jid>`)) throw new Error(`not bound: ${bound}`);
    return client;
  };
  const online = (user: string, resource: string, priority: number = 0): PipeClient => {
    const client = login(user, resource);
    client.send(`<presence><priority>${priority}</priority></presence>`);
    return client;
  };
  const component = (): PipeClient => {
    const made = connect(false, 'xmpp-component');
    const id = / id="([^"]+)"/.exec(made.send(COMPONENT_HEADER))?.[1] ?? '';
    const digest = createHash('sha1').update(`${id}hush`).digest('hex');
    const answer = made.send(`<handshake>${digest}</handshake>`);
    if (answer !== '<handshake/>') throw new Error(`not let in: ${answer}`);
    return made;
  };
  return { ...world, gate, connect, login, online, component };
}

/** `sent`, or what comes once the work off this thread (hashing) is done. */
export async function answered(client: PipeClient, sent: string): Promise<string> {
  let answer = sent;
  while (answer === '') {
    await new Promise((resolve) => setImmediate(resolve));
    answer = client.take();
  }
  return answer;
}
