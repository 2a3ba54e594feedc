/** A STOMP client for tests that talks to the adapter through a pipe. */
import type { Connection, Gate } from '../../../adapters/adapter.ts';
import { stomp } from '../../../adapters/stomp/adapter.ts';
import type { StompOptions } from '../../../adapters/stomp/options.ts';
import { PipeTransport } from '../../support/pipe-transport.ts';
import { createWorld, PEER, type World, type WorldOptions } from '../../support/world.ts';

export interface Received {
  readonly command: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Header lines as they came. */
  readonly lines: readonly string[];
  readonly body: string;
}

export interface Broker {
  readonly world: World;
  readonly gate: Gate;
  /** A client that has not said anything yet. */
  dial(framed?: boolean, dialect?: string): Client;
  /** A client that is logged in. */
  connect(version?: string, headers?: Record<string, string>, dialect?: string): Client;
}

export function createBroker(
  options: Partial<StompOptions> = {},
  worldOptions: WorldOptions = {},
): Broker {
  const world = createWorld(worldOptions);
  const settings = { ...stomp.options(undefined), ...options };
  const gate = stomp.start(world.context, settings);
  if (gate instanceof Promise) throw new Error('the adapter starts at once');
  const dial = (framed: boolean = false, dialect?: string): Client => {
    const transport = new PipeTransport(framed);
    return new Client(gate.accept(transport, PEER, { protocol: 'stomp', dialect }), transport);
  };
  const connect: Broker['connect'] = (version = '1.2', headers = {}, dialect) => {
    const client = dial(false, dialect);
    const login = { 'accept-version': version, host: '/', login: 'guest', passcode: 'guest' };
    client.send('CONNECT', { ...login, ...headers });
    const [connected] = client.frames();
    if (connected?.command !== 'CONNECTED') {
      throw new Error(`not connected: ${JSON.stringify(connected)}`);
    }
    return client;
  };
  return { world, gate, dial, connect };
}

export class Client {
  readonly connection: Connection;
  readonly transport: PipeTransport;

  constructor(connection: Connection, transport: PipeTransport) {
    this.connection = connection;
    this.transport = transport;
  }

  send(command: string, headers: Record<string, string> = {}, body: string | Buffer = ''): void {
    this.raw(frame(command, headers, body));
  }

  raw(bytes: string | Buffer): void {
    this.connection.receive(Buffer.from(bytes));
  }

  /** Every frame written since the last call. */
  frames(): Received[] {
    return parseFrames(this.transport.sent());
  }

  /** The one frame that was written since the last call. */
  frame(): Received {
    const frames = this.frames();
    const [only] = frames;
    if (only === undefined || frames.length !== 1) {
      throw new Error(`expected one frame: ${JSON.stringify(frames)}`);
    }
    return only;
  }

  get ended(): boolean {
    return this.transport.ended !== null;
  }

  /** The network goes away. */
  lose(): void {
    this.connection.closed(null);
  }
}

export function frame(
  command: string,
  headers: Record<string, string> = {},
  body: string | Buffer = '',
): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  return Buffer.concat([
    Buffer.from(`${command}\n${lines.join('')}\n`),
    Buffer.from(body),
    Buffer.from([0]),
  ]);
}

/** Reads server's frames; header values are unescaped as 1.2 has them. */
export function parseFrames(bytes: Buffer): Received[] {
  const frames: Received[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] === 10) {
      at++;
      continue;
    }
    const headEnd = bytes.indexOf('\n\n', at);
    const [command = '', ...lines] = bytes.toString('utf8', at, headEnd).split('\n');
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers[unescaped(line.slice(0, colon))] ??= unescaped(line.slice(colon + 1));
    }
    const length = headers['content-length'];
    const end = length === undefined ? bytes.indexOf(0, headEnd + 2) : headEnd + 2 + Number(length);
    if (bytes[end] !== 0) throw new Error(`no NUL at the end of ${command}`);
    frames.push({ command, headers, lines, body: bytes.toString('utf8', headEnd + 2, end) });
    at = end + 1;
  }
  return frames;
}

function unescaped(text: string): string {
  return text.replace(/\\([nrc\\])/g, (_, letter: string) => {
    return letter === 'n' ? '\n' : letter === 'r' ? '\r' : letter === 'c' ? ':' : '\\';
  });
}
