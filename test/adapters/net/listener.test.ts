import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../../../core/errors.ts';
import { connect, connectSecure, RawClient } from '../../support/raw-client.ts';
import { testAuthority, tlsFile } from '../../support/tls.ts';
import { echo, RecordingGate } from './recording-gate.ts';
import { TestNetwork, TLS } from './test-network.ts';

const networks: TestNetwork[] = [];

function network(...options: ConstructorParameters<typeof TestNetwork>): TestNetwork {
  const made = new TestNetwork(...options);
  networks.push(made);
  return made;
}

afterEach(async () => {
  await Promise.all(networks.splice(0).map((made) => made.close()));
});

/** A port that somebody else listens on. */
async function takenPort(): Promise<{ port: number; free: () => void }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return { port: address.port, free: () => server.close() };
}

function readTestFile(name: string): Buffer {
  return readFileSync(tlsFile(name));
}

/** The client's half of an upgrade. */
async function secureOver(socket: Socket): Promise<TLSSocket> {
  const secure = connectTls({ socket, ca: testAuthority(), servername: 'localhost' });
  await once(secure, 'secureConnect');
  return secure;
}

describe('a listener', () => {
  it('says where it listens and who connects', async () => {
    const world = network();
    const gate = new RecordingGate();
    const listener = await world.listen(gate, { protocol: 'stomp', dialect: 'activemq' });
    expect(listener.url).toBe(`stomp://127.0.0.1:${listener.port}`);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    expect(connection.peer).toEqual({
      address: `127.0.0.1:${client.socket.localPort}`,
      loopback: true,
      tls: false,
      listener: listener.url,
      protocol: 'stomp',
    });
    expect(connection.listener).toEqual({ protocol: 'stomp', dialect: 'activemq' });
    client.destroy();
  });

  it('names IPv4 clients of a dual-stack listener by their IPv4 address', async () => {
    const gate = new RecordingGate();
    const listener = await network().listen(gate, { host: '::' });
    const client = await connect(listener.port, '127.0.0.1');
    const { peer } = await gate.connection();
    expect(peer.address).toBe(`127.0.0.1:${client.socket.localPort}`);
    expect(peer.loopback).toBe(true);
    const six = await connect(listener.port, '::1');
    const second = await gate.connection(1);
    expect(second.peer.address).toBe(`[::1]:${six.socket.localPort}`);
    expect(second.peer.loopback).toBe(true);
  });

  it('refuses to start on a port that is taken, and names it', async () => {
    const { port, free } = await takenPort();
    const opened = network().listen(new RecordingGate(), { port });
    await expect(opened).rejects.toThrow(
      new ConfigError('listeners[0]', `127.0.0.1:${port} is in use by another process`),
    );
    free();
  });

  it('refuses to start on an address that this machine does not have', async () => {
    const opened = network().listen(new RecordingGate(), { host: '192.0.2.1' });
    await expect(opened).rejects.toThrow(
      'listeners[0]: 192.0.2.1 is not an address of this machine',
    );
  });

  it('refuses to start with TLS where no certificate is configured', async () => {
    const opened = network().listen(new RecordingGate(), { tls: true });
    await expect(opened).rejects.toThrow('listeners[0].tls: needs a certificate');
  });

  it('closes what comes beyond the limit of all listeners, and says so once', async () => {
    const world = network({ connectionsMax: 2 });
    const gate = new RecordingGate(echo);
    const first = await world.listen(gate);
    const second = await world.listen(gate);
    const one = await connect(first.port);
    await gate.connection(0);
    await connect(second.port);
    await gate.connection(1);
    for (let i = 0; i < 20; i++) await (await connect(second.port)).closed();
    expect(gate.connections).toHaveLength(2);
    expect(world.said('warn')).toEqual([expect.stringContaining('connection refused')]);
    one.destroy();
    await (await gate.connection(0)).ended();
    const next = await connect(first.port);
    next.send('in');
    expect((await next.read(2)).toString()).toBe('in');
  });

  it('frees its port when accepting stops, and leaves what is connected', async () => {
    const world = network();
    const gate = new RecordingGate(echo);
    const listener = await world.listen(gate);
    const { port } = listener;
    const client = await connect(port);
    await gate.connection();
    world.network.stopAccepting();
    await expect(connect(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    client.send('on');
    expect((await client.read(2)).toString()).toBe('on');
  });

  it('waits for the clients to go, and destroys what is left after the grace', async () => {
    const world = network();
    const gate = new RecordingGate();
    const listener = await world.listen(gate);
    const leaving = await connect(listener.port);
    const staying = await connect(listener.port);
    await gate.connection(1);
    let closed = false;
    const closing = world.network.close(3000).then(() => {
      closed = true;
    });
    leaving.destroy();
    await (await gate.connection(0)).ended();
    world.clock.advance(2999);
    await new Promise(setImmediate);
    expect(closed).toBe(false);
    world.clock.advance(1);
    await closing;
    await staying.closed();
    expect(world.network.connections).toBe(0);
  });
});

describe('TLS', () => {
  it('carries bytes both ways and says that it is secure', async () => {
    const gate = new RecordingGate(echo);
    const listener = await network({}, TLS).listen(gate, { tls: true, protocol: 'mqtt' });
    expect(listener.url).toMatch(/^mqtts:/);
    const client = await connectSecure(listener.port, { ca: testAuthority() });
    const large = Buffer.alloc(2_000_000, 'tls');
    client.send(large);
    expect((await client.read(large.length)).equals(large)).toBe(true);
    const { peer, transport } = await gate.connection();
    expect(peer).toMatchObject({ tls: true, address: `127.0.0.1:${client.socket.localPort}` });
    expect(transport.secure).toBe(true);
    expect(transport.startTls).toBeNull();
    client.end();
    await client.closed();
    expect(await (await gate.connection()).ended()).toBeNull();
  });

  it('refuses garbage and old versions with one line in the log, and goes on', async () => {
    const world = network({}, TLS);
    const gate = new RecordingGate(echo);
    const listener = await world.listen(gate, { tls: true });
    const garbage = await connect(listener.port);
    garbage.send('GET / HTTP/1.1\r\n\r\n');
    await garbage.closed();
    const old = connectSecure(listener.port, { ca: testAuthority(), maxVersion: 'TLSv1.1' });
    await expect(old).rejects.toThrow();
    const client = await connectSecure(listener.port, { ca: testAuthority() });
    client.send('ok');
    await client.read(2);
    expect(gate.connections).toHaveLength(1);
    const refused = world.said('info').filter((line) => line.startsWith('TLS handshake failed'));
    expect(refused.length).toBeGreaterThanOrEqual(1);
  });

  it('closes a client that does not finish the handshake in time', async () => {
    const world = network({}, TLS);
    const listener = await world.listen(new RecordingGate(), { tls: true });
    const silent = await connect(listener.port);
    while (world.network.connections === 0) await new Promise(setImmediate);
    world.clock.advance(10_000);
    await silent.closed();
    expect(world.said('info')).toContain('TLS handshake failed: closed during the TLS handshake');
  });

  it('lets in nobody without a certificate of the configured authority', async () => {
    const world = network({}, { ...TLS, ca: tlsFile('ca.pem') });
    const gate = new RecordingGate(echo);
    const listener = await world.listen(gate, { tls: true });
    const stranger = await connectSecure(listener.port, { ca: testAuthority() }).catch(() => null);
    await stranger?.closed();
    expect(gate.connections).toHaveLength(0);
    const known = await connectSecure(listener.port, {
      ca: testAuthority(),
      cert: readTestFile('client.pem'),
      key: readTestFile('client.key'),
    });
    known.send('hi');
    expect((await known.read(2)).toString()).toBe('hi');
  });

  it.each([
    ['cert', { ...TLS, cert: '/nonexistent.pem' }, /^tls\.cert: the certificate cannot be read/],
    ['key', { ...TLS, key: tlsFile('server.pem') }, /^tls: certificate and key/],
    ['key', { ...TLS, key: tlsFile('client.key') }, /^tls: certificate and key/],
    ['ca', { ...TLS, ca: '/dev/null' }, /^tls\.ca: .* is not a CA certificate in PEM form/],
  ])('names a mistake in tls.%s at the start', (_, tls, message) => {
    expect(() => network({}, tls)).toThrow(message);
    networks.pop();
  });

  it('upgrades a plain connection: what was written before leaves in the clear', async () => {
    const world = network({}, TLS);
    const gate = new RecordingGate();
    const listener = await world.listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    connection.onReceive = () => {
      const { startTls } = connection.transport;
      connection.transport.output.text('<proceed/>');
      startTls?.();
      // Written too early by an adapter, it waits for the handshake.
      connection.transport.output.text('secret');
      connection.onReceive = () => {};
    };
    expect(connection.transport.secure).toBe(false);
    client.send('<starttls/>');
    expect(await client.readText('<proceed/>')).toBe('<proceed/>');
    client.socket.removeAllListeners('data');
    const secure = new RawClient(await secureOver(client.socket));
    secure.send('over TLS');
    await connection.until(() => connection.received.toString().endsWith('over TLS'));
    expect((await secure.read(6)).toString()).toBe('secret');
    expect(connection.transport.secure).toBe(true);
    expect(connection.transport.startTls).toBeNull();
    secure.destroy();
    await connection.ended();
    expect(connection.closings).toEqual([null]);
    expect(world.network.connections).toBe(0);
  });

  it('ends a connection whose upgrade fails, once', async () => {
    const world = network({}, TLS);
    const gate = new RecordingGate((connection) => {
      connection.onReceive = () => connection.transport.startTls?.();
    });
    const listener = await world.listen(gate);
    const client = await connect(listener.port);
    client.send('<starttls/>');
    const connection = await gate.connection();
    await connection.until(() => connection.chunks.length === 1);
    client.send('this is no handshake, but long enough to be taken for one\r\n');
    await client.closed();
    expect(await connection.ended()).toBeInstanceOf(Error);
    expect(connection.closings).toHaveLength(1);
    expect(connection.chunks).toHaveLength(1);
  });

  it('offers no upgrade where no certificate is configured', async () => {
    const gate = new RecordingGate();
    const listener = await network().listen(gate);
    await connect(listener.port);
    expect((await gate.connection()).transport.startTls).toBeNull();
  });
});
