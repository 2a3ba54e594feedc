/** Unmodified third-party clients against a whole gateway over real sockets. */
import { spawn, spawnSync } from 'node:child_process';
import { createConnection, type Socket } from 'node:net';
import { Client, type IFrame, type IMessage, type IStompSocket } from '@stomp/stompjs';
import stompit, { type StompitClient } from 'stompit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';

let gateway: Gateway;
let queues = 0;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

/** A name that no other test uses. */
function unused(prefix: string): string {
  return `${prefix}${++queues}`;
}

/** stompjs speaks to what looks like a browser's WebSocket. */
class TcpSocket implements IStompSocket {
  readonly url = 'tcp:';
  readyState = 0;
  onclose: IStompSocket['onclose'] = null;
  onerror: IStompSocket['onerror'] = null;
  onmessage: IStompSocket['onmessage'] = null;
  onopen: IStompSocket['onopen'] = null;
  readonly #socket: Socket;

  constructor(port: number) {
    this.#socket = createConnection(port, '127.0.0.1', () => {
      this.readyState = 1;
      this.onopen?.({});
    });
    this.#socket.on('data', (data) => {
      const bytes = new Uint8Array(data).buffer;
      this.onmessage?.({ data: bytes });
    });
    this.#socket.on('close', () => {
      this.readyState = 3;
      this.onclose?.({});
    });
    this.#socket.on('error', (error) => this.onerror?.(error));
  }

  send(data: string | ArrayBuffer): void {
    this.#socket.write(typeof data === 'string' ? data : Buffer.from(data));
  }

  close(): void {
    this.#socket.end();
  }
}

const TRANSPORTS = {
  TCP: (): IStompSocket => new TcpSocket(gateway.port('stomp')),
  WebSocket: (): IStompSocket => {
    const url = `ws://127.0.0.1:${gateway.port('http')}/ws`;
    return new WebSocket(url, ['v12.stomp', 'v11.stomp', 'v10.stomp']) as unknown as IStompSocket;
  },
};

describe.each(['TCP', 'WebSocket'] as const)('@stomp/stompjs over %s', (transport) => {
  async function connect(headers: Record<string, string> = {}): Promise<Client> {
    const client = new Client({
      webSocketFactory: TRANSPORTS[transport],
      connectHeaders: { login: 'guest', passcode: 'guest', host: '/', ...headers },
      forceBinaryWSFrames: false,
      reconnectDelay: 0,
      heartbeatIncoming: 1000,
      heartbeatOutgoing: 1000,
    });
    await new Promise<void>((resolve, reject) => {
      client.onConnect = () => resolve();
      client.onStompError = (frame) => reject(new Error(frame.headers['message']));
      client.activate();
    });
    return client;
  }

  function next(client: Client, destination: string, headers: Record<string, string> = {}) {
    return new Promise<IMessage>((resolve) => {
      client.subscribe(destination, resolve, headers);
    });
  }

  test('sends, receives with its headers, and acknowledges', async () => {
    const client = await connect();
    const destination = unused('/queue/js');
    const message = next(client, destination, { ack: 'client' });
    client.publish({
      destination,
      body: 'héllo',
      headers: { kind: 'a:b\nc\\d', 'content-type': 'text/plain' },
    });
    const got = await message;
    expect(got.body).toBe('héllo');
    expect(got.headers).toMatchObject({
      kind: 'a:b\nc\\d',
      'content-type': 'text/plain',
      destination,
    });
    const receipt = new Promise<IFrame>((resolve) => client.watchForReceipt('acked', resolve));
    got.ack({ receipt: 'acked' });
    expect((await receipt).command).toBe('RECEIPT');
    await client.deactivate();
  });

  test('receives binary bodies as they were', async () => {
    const client = await connect();
    const destination = unused('/topic/binary');
    const message = next(client, destination);
    const binaryBody = Uint8Array.from({ length: 256 }, (_, index) => index);
    client.publish({ destination, binaryBody });
    expect((await message).binaryBody).toEqual(binaryBody);
    await client.deactivate();
  });

  test('commits a transaction', async () => {
    const client = await connect();
    const destination = unused('/queue/tx');
    const bodies: string[] = [];
    const both = new Promise<void>((resolve) => {
      client.subscribe(destination, (message) => {
        bodies.push(message.body);
        if (bodies.length === 2) resolve();
      });
    });
    const transaction = client.begin();
    client.publish({ destination, body: 'in', headers: { transaction: transaction.id } });
    client.publish({ destination, body: 'out' });
    transaction.commit();
    await both;
    expect(bodies).toEqual(['out', 'in']);
    await client.deactivate();
  });

  test('answers a request through a temporary queue', async () => {
    const [asker, worker] = [await connect(), await connect()];
    const work = unused('/queue/rpc');
    worker.subscribe(work, (message) => {
      worker.publish({
        destination: message.headers['reply-to'] ?? '',
        body: message.body.toUpperCase(),
        headers: { 'correlation-id': message.headers['correlation-id'] ?? '' },
      });
    });
    const answer = new Promise<IMessage>((resolve) => {
      asker.onUnhandledMessage = resolve;
    });
    asker.publish({
      destination: work,
      body: 'hi',
      headers: { 'reply-to': '/temp-queue/r', 'correlation-id': '7' },
    });
    const got = await answer;
    expect([got.body, got.headers['correlation-id']]).toEqual(['HI', '7']);
    await Promise.all([asker.deactivate(), worker.deactivate()]);
  });

  test('learns why it is refused', async () => {
    await expect(connect({ passcode: 'wrong' })).rejects.toThrow('Bad CONNECT');
  });
});

describe('stompit', () => {
  function connect(): Promise<StompitClient> {
    const options = {
      host: '127.0.0.1',
      port: gateway.port('stomp'),
      connectHeaders: { host: '/', login: 'guest', passcode: 'guest', 'heart-beat': '1000,1000' },
    };
    return new Promise((resolve, reject) => {
      stompit.connect(options, (error, client) => (error ? reject(error) : resolve(client)));
    });
  }

  test('sends with a receipt, receives, acknowledges and disconnects', async () => {
    const client = await connect();
    const destination = unused('/queue/stompit');
    const frame = client.send({ destination, 'content-type': 'text/plain', persistent: 'true' });
    frame.end('x'.repeat(200_000));
    const body = await new Promise<string>((resolve, reject) => {
      client.subscribe({ destination, ack: 'client-individual' }, (error, message) => {
        if (error !== null) {
          reject(error);
          return;
        }
        message.readString('utf-8', (failure, text) => {
          if (failure !== null) reject(failure);
          else client.ack(message, {}, {}, () => resolve(text ?? ''));
        });
      });
    });
    expect(body.length).toBe(200_000);
    await new Promise<void>((resolve) => client.disconnect(() => resolve()));
  });
});

const PYTHON = '/usr/bin/python3';
const HAVE_PYTHON = spawnSync(PYTHON, ['-c', 'import stomp']).status === 0;
if (!HAVE_PYTHON) console.warn('SKIPPED: stomp.py is not installed (python3-stomp)');

function run(command: string, args: readonly string[], input: string = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args);
    let output = '';
    child.stdout.on('data', (data) => {
      output += String(data);
    });
    child.stderr.on('data', (data) => {
      output += String(data);
    });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(output))));
    child.stdin.end(input);
  });
}

describe.skipIf(!HAVE_PYTHON)('stomp.py', () => {
  test.each(['1.0', '1.1', '1.2'])('runs every scenario in version %s', async (version) => {
    const script = new URL('scenarios.py', import.meta.url).pathname;
    const output = await run(PYTHON, [script, String(gateway.port('stomp')), version]);
    expect(output.trim().split('\n').at(-1)).toBe('ok');
  });

  test('its command line sends', async () => {
    const destination = unused('/queue/cli');
    const port = String(gateway.port('stomp'));
    const args = ['-H', '127.0.0.1', '-P', port, '-U', 'guest', '-W', 'guest', '-S', '1.2'];
    const output = await run('stomp', args, `send ${destination} hello from the shell\nquit\n`);
    expect(output).not.toMatch(/error/i);
    const script = new URL('receive.py', import.meta.url).pathname;
    expect(await run(PYTHON, [script, port, destination])).toBe('hello from the shell\n');
  });
});
