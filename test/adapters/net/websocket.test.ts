import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import type { Limits } from '../../../core/limits.ts';
import { connect } from '../../support/raw-client.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { testAuthority } from '../../support/tls.ts';
import { echo, type RecordedConnection, RecordingGate } from './recording-gate.ts';
import { TestNetwork, TLS } from './test-network.ts';

/** Two gates behind one HTTP server: `bytes` speaks mqtt, `text` speaks STOMP and XMPP. */
interface Web {
  readonly world: TestNetwork;
  readonly port: number;
  readonly bytes: RecordingGate;
  readonly text: RecordingGate;
}

const worlds: TestNetwork[] = [];

async function open(limits: Partial<Limits> = {}, tls: boolean = false): Promise<Web> {
  const world = new TestNetwork(limits, tls ? TLS : null);
  worlds.push(world);
  const bytes = new RecordingGate();
  const text = new RecordingGate();
  const server = createServer((_request, response) => response.end('plain answer'));
  world.network.upgrade(
    server,
    new Map([
      ['mqtt', { protocol: 'mqtt', gate: bytes }],
      ['v12.stomp', { protocol: 'stomp', gate: text }],
      ['v11.stomp', { protocol: 'stomp', gate: text }],
      ['xmpp', { protocol: 'xmpp', gate: text }],
    ]),
  );
  const entry = { protocol: 'http', host: '127.0.0.1', port: 0, tls };
  const { port } = await world.network.listenHttp(entry, 'listeners[0]', server);
  return { world, port, bytes, text };
}

/** A client that keeps what it receives. */
class Client {
  readonly socket: WebSocket;
  readonly messages: (string | Buffer)[] = [];
  #waiting: (() => void)[] = [];

  constructor(port: number, subprotocols: string[], options: ClientOptions = {}) {
    const scheme = options.ca === undefined ? 'ws' : 'wss';
    this.socket = new WebSocket(`${scheme}://localhost:${port}/any/path`, subprotocols, {
      ...options,
      family: 4,
    });
    this.socket.on('message', (data, isBinary) => {
      const bytes = Buffer.isBuffer(data) ? data : Buffer.alloc(0);
      this.messages.push(isBinary ? bytes : bytes.toString());
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  async received(count: number): Promise<(string | Buffer)[]> {
    while (this.messages.length < count) {
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
    return this.messages;
  }
}

async function openClient(...options: ConstructorParameters<typeof Client>): Promise<Client> {
  const client = new Client(...options);
  await once(client.socket, 'open');
  return client;
}

afterEach(async () => {
  await Promise.all(worlds.splice(0).map((world) => world.close()));
});

describe('a transport over WebSocket', () => {
  it('carries binary messages for mqtt, and counts them as mqtt', async () => {
    const { port, bytes, world } = await open();
    bytes.opened = echo;
    const client = await openClient(port, ['mqtt']);
    expect(client.socket.protocol).toBe('mqtt');
    client.socket.send(Buffer.from([0x10, 0xff]));
    expect(await client.received(1)).toEqual([Buffer.from([0x10, 0xff])]);
    const { peer, listener, transport } = await bytes.connection();
    expect(peer).toMatchObject({ protocol: 'mqtt', loopback: true, tls: false });
    expect(peer.listener).toBe(`http://127.0.0.1:${port}`);
    expect(listener.protocol).toBe('mqtt');
    expect(transport.framed).toBe(true);
    expect(transport.startTls).toBeNull();
    expect(world.meter.protocol('mqtt')).toMatchObject({
      connectionsOpened: 1,
      bytesReceived: 2,
      bytesSent: 2,
    });
    expect(world.network.connections).toBe(1);
  });

  it('sends one message per flush where the adapter does not cut', async () => {
    const { port, bytes } = await open();
    const client = await openClient(port, ['mqtt']);
    const { transport } = await bytes.connection();
    for (let i = 0; i < 5; i++) transport.output.text('packet');
    expect(await client.received(1)).toEqual([Buffer.from('packet'.repeat(5))]);
  });

  it('sends one message per cut, as text where it is UTF-8', async () => {
    const { port, text } = await open();
    const client = await openClient(port, ['xmpp']);
    const { transport } = await text.connection();
    for (const unit of [Buffer.from('<one/>'), Buffer.from('<zwö/>'), Buffer.from([0xff, 0xfe])]) {
      transport.output.write(unit);
      transport.cut();
    }
    transport.cut();
    transport.output.text('uncut');
    const messages = await client.received(4);
    expect(messages).toEqual(['<one/>', '<zwö/>', Buffer.from([0xff, 0xfe]), 'uncut']);
  });

  it('keeps a message whole however many pieces it was written in', async () => {
    const { port, text } = await open();
    const client = await openClient(port, ['v12.stomp']);
    const { transport } = await text.connection();
    const body = Buffer.alloc(300_000, 'b');
    transport.output.text('SEND\n\n');
    transport.output.write(body);
    for (let i = 0; i < 100_000; i++) transport.output.text('piece');
    transport.cut();
    const [message] = await client.received(1);
    expect(message).toBe(`SEND\n\n${body.toString()}${'piece'.repeat(100_000)}`);
  });

  it('prefers its own order among the subprotocols that a client offers', async () => {
    const { port } = await open();
    const client = await openClient(port, ['unheard-of', 'v11.stomp', 'v12.stomp']);
    expect(client.socket.protocol).toBe('v12.stomp');
  });

  it.each([[['unheard-of']], [[]]])('refuses %j with 400 and a sentence', async (offered) => {
    const { port, bytes } = await open();
    const client = new Client(port, offered);
    const [error] = await once(client.socket, 'error');
    expect(String(error)).toContain('400');
    expect(bytes.connections).toHaveLength(0);
    const raw = await connect(port);
    raw.send(upgradeRequest('websocket', 'Sec-WebSocket-Protocol: nonsense\r\n'));
    await raw.closed();
    expect(raw.received.toString()).toContain('must offer one of: mqtt, v12.stomp');
  });

  it('answers a request for another upgrade as if it did not ask', async () => {
    const { port } = await open();
    const raw = await connect(port);
    raw.send(upgradeRequest('h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__\r\n'));
    await raw.closed();
    expect(raw.received.toString()).toMatch(/^HTTP\/1.1 200 OK[\s\S]*plain answer/);
  });

  it('closes with 1003 where a client sends text on a binary protocol [MQTT-6.0.0-1]', async () => {
    const { port, bytes, world } = await open();
    const client = await openClient(port, ['mqtt']);
    client.socket.send('text');
    const [code] = await once(client.socket, 'close');
    expect(code).toBe(1003);
    const connection = await bytes.connection();
    expect(await connection.ended()).toBeInstanceOf(Error);
    expect(connection.chunks).toEqual([]);
    expect(world.meter.protocol('mqtt').protocolErrors).toBe(1);
  });

  it('closes with 1009 where a message is larger than any message may be', async () => {
    const { port, bytes } = await open({ messageBytesMax: 1000 });
    const client = await openClient(port, ['mqtt']);
    client.socket.send(Buffer.alloc(1024 * 1024 + 1001));
    const [code] = await once(client.socket, 'close');
    expect(code).toBe(1009);
    expect((await (await bytes.connection()).ended())?.message).toMatch(/payload/i);
  });

  it('keeps no more than a login needs before the login, and any message after it', async () => {
    const { port, bytes } = await open();
    const half = Buffer.alloc(600 * 1024);
    const known = await openClient(port, ['mqtt']);
    const first = await bytes.connection();
    first.transport.authenticated();
    known.socket.send(Buffer.concat([half, half]));
    await first.until(() => first.received.length === 2 * half.length);
    const unknown = await openClient(port, ['mqtt']);
    unknown.socket.send(half, { fin: false });
    unknown.socket.send(half, { fin: false });
    unknown.socket.on('error', () => {});
    await once(unknown.socket, 'close');
    const second = await bytes.connection(1);
    expect((await second.ended())?.message).toMatch(/before the login/);
  });

  it.each([
    ['an unmasked frame', Buffer.from([0x82, 0x01, 0x00]), 1002],
    ['a reserved opcode', Buffer.from([0x83, 0x80, 0, 0, 0, 0]), 1002],
    ['a fragmented ping', Buffer.from([0x09, 0x80, 0, 0, 0, 0]), 1002],
    ['text that is not UTF-8', Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff]), 1007],
  ])('closes with its code where a client sends %s, and says so once', async (_, frame, code) => {
    const { port, text, world } = await open();
    const raw = await connect(port);
    raw.send(upgradeRequest('websocket', 'Sec-WebSocket-Protocol: xmpp\r\n'));
    await raw.readText('\r\n\r\n');
    raw.send(frame);
    const close = await raw.readUntil((bytes) => bytes.length >= 4);
    expect(close[0]).toBe(0x88);
    expect(close.readUInt16BE(2)).toBe(code);
    raw.end();
    const connection = await text.connection();
    expect(await connection.ended()).toBeInstanceOf(Error);
    expect(connection.closings).toHaveLength(1);
    expect(world.said('info').filter((line) => line.startsWith('connection'))).toHaveLength(1);
  });

  it('survives any bytes after the upgrade', async () => {
    const { port, text, world } = await open();
    const random = new SeededRandom(7);
    for (let round = 0; round < 100; round++) {
      const raw = await connect(port);
      raw.send(upgradeRequest('websocket', 'Sec-WebSocket-Protocol: v12.stomp\r\n'));
      raw.send(random.bytes(random.below(300)));
      raw.end();
      await raw.closed();
    }
    for (let number = 0; number < 100; number++) await (await text.connection(number)).ended();
    expect(world.said('error')).toEqual([]);
    expect(world.network.connections).toBe(0);
  });

  it('ends with a closing handshake', async () => {
    const { port, bytes } = await open();
    const client = await openClient(port, ['mqtt']);
    const connection = await bytes.connection();
    connection.transport.output.text('bye');
    connection.transport.end();
    const [code] = await once(client.socket, 'close');
    expect(code).toBe(1000);
    expect(client.messages).toEqual([Buffer.from('bye')]);
    expect(await connection.ended()).toBeNull();
  });

  it('tells of a client that closes in order', async () => {
    const { port, bytes } = await open();
    const client = await openClient(port, ['mqtt']);
    client.socket.close();
    expect(await (await bytes.connection()).ended()).toBeNull();
  });

  it('destroys at once where the adapter destroys', async () => {
    const { port, bytes } = await open();
    const client = await openClient(port, ['mqtt']);
    const connection = await bytes.connection();
    connection.transport.destroy();
    const [code] = await once(client.socket, 'close');
    expect(code).toBe(1006);
    expect(await connection.ended()).toBeNull();
  });

  it('hands over nothing while held, not even of the same read, and keeps the order', async () => {
    const { port, bytes } = await open();
    const client = await openClient(port, ['mqtt']);
    const connection = await bytes.connection();
    connection.onReceive = () => connection.transport.hold();
    const numbers = Array.from({ length: 20 }, (_, index) => index);
    for (const number of numbers) client.socket.send(Buffer.from([number]));
    for (const number of numbers) {
      await connection.until(() => connection.chunks.length > number);
      expect(connection.chunks.length).toBe(number + 1);
      connection.transport.release();
      // Nothing comes within the caller's turn.
      expect(connection.chunks.length).toBe(number + 1);
    }
    expect([...connection.received]).toEqual(numbers);
  });

  it('is congested by a slow reader, and goes on in order when it drains', async () => {
    const { port, text } = await open();
    const client = await openClient(port, ['v12.stomp']);
    client.socket.pause();
    const connection = await text.connection();
    const { transport } = connection;
    let sent = 0;
    while (!transport.congested) {
      await writeNumbered(connection, sent, sent + 20);
      sent += 20;
    }
    await writeNumbered(connection, sent, sent + 20);
    sent += 20;
    client.socket.resume();
    await connection.until(() => connection.drains > 0);
    const messages = await client.received(sent);
    messages.forEach((message, index) => {
      expect(message.toString('latin1').slice(0, 10)).toBe(String(index).padEnd(10));
    });
  });

  it('closes a client that reads so slowly that its output passes the limit', async () => {
    const { port, text } = await open({ outputCloseBytes: 8_000_000 });
    const client = await openClient(port, ['v12.stomp']);
    client.socket.pause();
    const connection = await text.connection();
    for (let i = 0; connection.closings.length === 0 && i < 20_000; i += 20) {
      await writeNumbered(connection, i, i + 20);
    }
    expect((await connection.ended())?.message).toMatch(/wait for a client that does not read/);
    client.socket.terminate();
  });

  it('closes a client that does not log in in time', async () => {
    const { port, bytes, world } = await open();
    const client = await openClient(port, ['mqtt']);
    world.clock.advance(10_000);
    await once(client.socket, 'close');
    expect((await (await bytes.connection()).ended())?.message).toBe('login timed out');
  });

  it('works over TLS', async () => {
    const { port, bytes } = await open({}, true);
    bytes.opened = echo;
    const client = await openClient(port, ['mqtt'], { ca: testAuthority() });
    client.socket.send(Buffer.alloc(200_000, 1));
    const [message] = await client.received(1);
    expect(Buffer.alloc(200_000, 1).equals(Buffer.from(message ?? ''))).toBe(true);
    const { peer, transport } = await bytes.connection();
    expect(peer.tls).toBe(true);
    expect(transport.secure).toBe(true);
  });

  it('refuses upgrades while shutting down', async () => {
    const { port, world } = await open();
    const raw = await connect(port);
    raw.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await raw.readText('plain answer');
    world.network.stopAccepting();
    raw.send(upgradeRequest('websocket', 'Sec-WebSocket-Protocol: mqtt\r\n'));
    await raw.closed();
    expect(raw.received.toString()).toMatch(/^HTTP\/1.1 503 /);
  });
});

/** STOMP-like messages of 50 kB that begin with their number. */
async function writeNumbered(
  { transport }: RecordedConnection,
  from: number,
  to: number,
): Promise<void> {
  for (let i = from; i < to; i++) {
    transport.output.text(String(i).padEnd(10));
    transport.output.write(Buffer.alloc(50_000, 'x'));
    transport.cut();
  }
  await new Promise(setImmediate);
}

function upgradeRequest(upgrade: string, headers: string): string {
  return (
    `GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`
  );
}
