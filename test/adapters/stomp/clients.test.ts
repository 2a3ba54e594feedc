/** Unmodified third-party clients against a whole gateway over real sockets. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Client, IFrame, IMessage } from '@stomp/stompjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import { startGateway } from '../../support/gateway.ts';
import { dial, dialStompit, type Headers } from './javascript-clients.ts';

let gateway: Gateway;
let activemq: Gateway;
let queues = 0;

beforeAll(async () => {
  gateway = await startGateway();
  activemq = await startGateway({ stomp: { dialect: 'activemq' } });
});
afterAll(async () => {
  await gateway.stop();
  await activemq.stop();
});

/** A name that no other test uses. */
function unused(prefix: string): string {
  return `${prefix}${++queues}`;
}

describe.each(['TCP', 'WebSocket'] as const)('@stomp/stompjs over %s', (socket) => {
  const connect = (headers: Headers = {}): Promise<Client> => dial(socket, gateway, headers);

  function next(client: Client, destination: string, headers: Headers = {}) {
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
  test('sends with a receipt, receives, acknowledges and disconnects', async () => {
    const client = await dialStompit(gateway);
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

/** A program at work; what it prints is looked at while it runs, and as a whole when it has ended. */
class Program {
  readonly ended: Promise<string>;
  readonly #child: ChildProcessWithoutNullStreams;
  #output = '';

  constructor(command: string, args: readonly string[]) {
    const child = spawn(command, args);
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        this.#output += String(data);
      });
    }
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => {
        if (code === 0) resolve(this.#output);
        else reject(new Error(this.#output));
      });
    });
  }

  type(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** What the expression finds, as soon as it is printed; the output up to its end is done with. */
  async printed(expression: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = expression.exec(this.#output);
      if (found !== null) {
        this.#output = this.#output.slice(found.index + found[0].length);
        return found;
      }
      await Promise.race([
        once(this.#child.stdout, 'data'),
        this.ended.then((output) => Promise.reject(new Error(`not printed: ${output}`))),
      ]);
    }
  }
}

describe.skipIf(!HAVE_PYTHON)('stomp.py', () => {
  const python = (name: string, ...args: string[]): Promise<string> =>
    new Program(PYTHON, [new URL(name, import.meta.url).pathname, ...args]).ended;
  const shell = (port: number, ...more: string[]): Program => {
    const login = ['-U', 'guest', '-W', 'guest', '-S', '1.2'];
    return new Program('stomp', ['-H', '127.0.0.1', '-P', String(port), ...login, ...more]);
  };

  describe.each(['rabbitmq', 'activemq'])('in the dialect %s', (dialect) => {
    test.each(['1.0', '1.1', '1.2'])('runs every scenario in version %s', async (version) => {
      const broker = dialect === 'rabbitmq' ? gateway : activemq;
      const output = await python('scenarios.py', String(broker.port('stomp')), version, dialect);
      expect(output.trim().split('\n').at(-1)).toBe('ok');
    });
  });

  test('its command line sends', async () => {
    const destination = unused('/queue/cli');
    const port = gateway.port('stomp');
    const cli = shell(port);
    cli.type(`send ${destination} hello from the shell`);
    cli.type('quit');
    expect(await cli.ended).not.toMatch(/error/i);
    expect(await python('receive.py', String(port), destination)).toBe('hello from the shell\n');
  });

  test("its command line works in ActiveMQ's dialect", async () => {
    const cli = shell(activemq.port('stomp'), '-V');
    cli.type('subscribe /topic/cli.> auto');
    cli.type('begin');
    cli.type('send /topic/cli.a.b transacted');
    cli.type('commit');
    await cli.printed(/destination: \/topic\/cli\.a\.b\n[^>]*\ntransacted\n/);
    cli.type('subscribe /queue/Consumer.cli.VirtualTopic.cli client-individual');
    cli.type('sendrec /topic/fence subscribed');
    await cli.printed(/RECEIPT\n/);
    // What is refused is kept where it is persistent; the command line sends nothing that is.
    const sender = await dial('TCP', activemq);
    const persistent = { persistent: 'true' };
    sender.publish({
      destination: '/topic/VirtualTopic.cli',
      body: 'refused',
      headers: persistent,
    });
    await sender.deactivate();
    const [, ack] = await cli.printed(/\nack: (\S+)\n[^>]*\nrefused\n/);
    cli.type(`nack ${ack}`);
    cli.type('subscribe /queue/ActiveMQ.DLQ auto');
    await cli.printed(/\nrefused\n/);
    cli.type('quit');
    expect(await cli.ended).not.toMatch(/error/i);
  });
});
