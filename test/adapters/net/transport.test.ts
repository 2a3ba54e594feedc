import { afterEach, describe, expect, it } from 'vitest';
import type { NetTransport } from '../../../adapters/net/transport.ts';
import { connect } from '../../support/raw-client.ts';
import { echo, RecordingGate } from './recording-gate.ts';
import { TestNetwork } from './test-network.ts';

const networks: TestNetwork[] = [];

function network(...options: ConstructorParameters<typeof TestNetwork>): TestNetwork {
  const made = new TestNetwork(...options);
  networks.push(made);
  return made;
}

afterEach(async () => {
  await Promise.all(networks.splice(0).map((made) => made.close()));
});

describe('a transport over TCP', () => {
  it('carries bytes both ways and counts them', async () => {
    const { meter, ...world } = open({});
    const listener = await world.listen(new RecordingGate(echo));
    const client = await connect(listener.port);
    client.send('hello');
    expect((await client.read(5)).toString()).toBe('hello');
    const counters = meter.protocol('test');
    expect(counters).toMatchObject({ connectionsOpened: 1, bytesReceived: 5, bytesSent: 5 });
    client.destroy();
    await world.gone();
    expect(counters.connectionsClosed).toBe(1);
  });

  it('sends what one turn wrote in one write', async () => {
    const { gate, listen } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const sizes: number[] = [];
    client.socket.on('data', (chunk) => sizes.push(chunk.length));
    gate.opened = () => {};
    const connection = await gate.connection();
    connection.onReceive = () => {
      for (let i = 0; i < 100; i++) connection.transport.output.text('0123456789');
    };
    client.send('go');
    await client.read(1000);
    expect(sizes).toEqual([1000]);
  });

  it('answers a client that sends its FIN with the last request', async () => {
    const { listen, gate } = open({ echoes: true });
    const listener = await listen(gate);
    const client = await connect(listener.port);
    client.send('last words');
    client.end();
    await client.closed();
    expect(client.received.toString()).toBe('last words');
    expect(await (await gate.connection()).ended()).toBeNull();
  });

  it('sends everything before it ends, then drops what the client still sends', async () => {
    const { listen, gate } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    const farewell = Buffer.alloc(3_000_000, 'x');
    connection.transport.output.write(farewell);
    connection.transport.end();
    connection.transport.output.text('after the end');
    client.send('ignored');
    await client.closed();
    expect(client.received.equals(farewell)).toBe(true);
    expect(await connection.ended()).toBeNull();
    expect(connection.chunks).toEqual([]);
  });

  it('closes a client that does not close after the end, when its grace is over', async () => {
    const { listen, gate, clock } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    client.socket.pause();
    const connection = await gate.connection();
    connection.transport.output.write(Buffer.alloc(20_000_000));
    connection.transport.end();
    expect(connection.closings).toEqual([]);
    clock.advance(5000);
    expect(await connection.ended()).toBeNull();
    client.destroy();
  });

  it('tells of the end once, also where the adapter ended it itself', async () => {
    const { listen, gate } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    connection.transport.destroy();
    connection.transport.destroy();
    connection.transport.end();
    connection.transport.output.write(Buffer.alloc(100_000));
    await client.closed();
    expect(await connection.ended()).toBeNull();
    expect(connection.closings).toHaveLength(1);
  });

  it('tells the error that a connection ended by', async () => {
    const { listen, gate } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    client.socket.resetAndDestroy();
    expect(await connection.ended()).toMatchObject({ code: 'ECONNRESET' });
  });

  it('stops reading while held, and each hold needs its release', async () => {
    const { listen, gate } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    connection.onReceive = () => {
      connection.transport.hold();
      connection.transport.hold();
      connection.onReceive = () => {};
    };
    client.send('a');
    await connection.until(() => connection.chunks.length === 1);
    client.send('b');
    connection.transport.release();
    await roundTrip(listener.port, gate);
    expect(connection.received.toString()).toBe('a');
    connection.transport.release();
    await connection.until(() => connection.received.toString() === 'ab');
  });

  it('lets TCP hold a flooding client back while held', async () => {
    const { listen, gate } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    connection.transport.hold();
    const flood = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < 30; i++) client.send(flood);
    await roundTrip(listener.port, gate);
    expect(connection.chunks).toEqual([]);
    expect(client.socket.writableLength).toBeGreaterThan(0);
    connection.transport.release();
    let bytes = 0;
    connection.onReceive = (chunk) => {
      bytes += chunk.length;
    };
    await connection.until(() => bytes === 30 * flood.length);
  });

  it('reads no faster than a client may send', async () => {
    const { listen, gate, clock } = open({ inputBytesPerSecondMax: 1000 });
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    client.send('a'.repeat(2500));
    await connection.until(() => connection.received.length === 2500);
    client.send('b');
    await roundTrip(listener.port, gate);
    expect(connection.received.length).toBe(2500);
    // Two seconds were saved up; half a second more has to pass.
    clock.advance(499);
    await roundTrip(listener.port, gate);
    expect(connection.received.length).toBe(2500);
    clock.advance(1);
    await connection.until(() => connection.received.length === 2501);
  });

  it('is congested above the limit and tells when it has drained', async () => {
    const { listen, gate } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    client.socket.pause();
    const connection = await gate.connection();
    const { transport } = connection;
    let sent = 0;
    while (!transport.congested) {
      transport.output.write(Buffer.alloc(50_000));
      sent += 50_000;
      await new Promise(setImmediate);
    }
    expect(connection.drains).toBe(0);
    client.socket.resume();
    await connection.until(() => connection.drains > 0);
    expect(connection.drains).toBe(1);
    expect(transport.congested).toBe(false);
    await client.read(sent);
  });

  it('keeps the order of everything while the client reads slowly', async () => {
    const { listen, gate } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    client.socket.pause();
    const connection = await gate.connection();
    const expected: Buffer[] = [];
    for (let i = 0; i < 400; i++) {
      const chunk = Buffer.alloc(1 + ((i * 7919) % 60_000), i);
      expected.push(chunk);
      connection.transport.output.write(chunk);
      if (i % 3 === 0) await new Promise(setImmediate);
    }
    client.socket.resume();
    const all = Buffer.concat(expected);
    expect((await client.read(all.length)).equals(all)).toBe(true);
  });

  it('closes a client that reads so slowly that its output passes the limit', async () => {
    const { listen, gate, world } = open({ outputCloseBytes: 8_000_000 });
    const listener = await listen(gate);
    const client = await connect(listener.port);
    client.socket.pause();
    const connection = await gate.connection();
    let written = 0;
    while (connection.closings.length === 0 && written < 200_000_000) {
      connection.transport.output.write(Buffer.alloc(100_000));
      written += 100_000;
      await new Promise(setImmediate);
    }
    expect((await connection.ended())?.message).toMatch(/wait for a client that does not read/);
    expect(world.said('info').filter((line) => line.startsWith('connection closed'))).toHaveLength(
      1,
    );
    client.destroy();
  });

  it('bounds what one turn may gather for a client, too', async () => {
    const { listen, gate } = open({ outputCloseBytes: 1_000_000 });
    const listener = await listen(gate);
    const client = await connect(listener.port);
    client.socket.pause();
    const connection = await gate.connection();
    for (let i = 0; i < 1_000_000; i++) connection.transport.output.write(SMALL);
    expect(connection.transport.output.length).toBeLessThan(200_000);
    expect((await connection.ended())?.message).toMatch(/wait for a client/);
    client.destroy();
  });

  it('closes a client that does not log in in time', async () => {
    const { listen, gate, clock, world } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    clock.advance(9999);
    expect(connection.closings).toEqual([]);
    clock.advance(1);
    await client.closed();
    expect((await connection.ended())?.message).toBe('login timed out');
    expect(world.said('info')).toContain('connection closed: login timed out');
  });

  it('gives a client that was kept waiting the time again, three times', async () => {
    const { listen, gate, clock } = open({});
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    for (let times = 0; times < 3; times++) {
      // It had been there while the event loop was late, and is read behind the timers.
      clock.after(10_000, () => (connection.transport as NetTransport).received(SMALL));
      clock.advance(10_000);
      expect(connection.closings).toEqual([]);
    }
    clock.after(10_000, () => (connection.transport as NetTransport).received(SMALL));
    clock.advance(10_000);
    await client.closed();
    expect((await connection.ended())?.message).toBe('login timed out');
  });

  it('leaves a client that is logged in alone', async () => {
    const { listen, gate, clock } = open({ echoes: true });
    const listener = await listen(gate);
    const client = await connect(listener.port);
    const connection = await gate.connection();
    connection.transport.authenticated();
    clock.advance(3_600_000);
    client.send('still here');
    expect((await client.read(10)).toString()).toBe('still here');
    expect(clock.pending).toBe(0);
  });

  it.each(['receive', 'drained', 'closed', 'accept'] as const)(
    'survives an adapter that throws in %s, and ends that connection only',
    async (where) => {
      const { listen, gate, world } = open({ outputPauseBytes: 10 });
      const listener = await listen(gate);
      const other = await connect(listener.port);
      await gate.connection(0);
      const fail = (): never => {
        throw new Error('a mistake of ours');
      };
      gate.opened = (connection) => {
        if (where === 'accept') fail();
        if (where === 'receive') connection.onReceive = fail;
        if (where === 'drained') {
          connection.onDrained = fail;
          connection.onReceive = () => connection.transport.output.text('more than ten bytes');
        }
        if (where === 'closed') {
          connection.onReceive = () => connection.transport.destroy();
          connection.closed = fail;
        }
      };
      const client = await connect(listener.port);
      client.send('x');
      if (where === 'drained') {
        const connection = await gate.connection(1);
        await connection.until(() => connection.chunks.length > 0);
        expect(connection.transport.congested).toBe(true);
      }
      await client.closed();
      await gate.connection(1);
      await new Promise(setImmediate);
      expect(world.said('error')).toEqual([expect.stringContaining('a mistake of ours')]);
      echo(await gate.connection(0));
      other.send('ok');
      expect((await other.read(2)).toString()).toBe('ok');
    },
  );
});

const SMALL = Buffer.alloc(100, 's');

interface OpenOptions {
  readonly echoes?: boolean;
  readonly outputPauseBytes?: number;
  readonly outputCloseBytes?: number;
  readonly inputBytesPerSecondMax?: number;
}

function open({ echoes = false, ...limits }: OpenOptions) {
  const world = network(limits);
  const gate = new RecordingGate(echoes ? echo : undefined);
  return {
    world,
    gate,
    clock: world.clock,
    meter: world.meter,
    listen: world.listen.bind(world),
    gone: async (): Promise<void> => {
      while (world.network.connections > 0) await new Promise(setImmediate);
    },
  };
}

/** Another connection's bytes have been there and back: what was to arrive before has. */
async function roundTrip(port: number, gate: RecordingGate): Promise<void> {
  const number = gate.connections.length;
  const client = await connect(port);
  const connection = await gate.connection(number);
  echo(connection);
  for (let i = 0; i < 5; i++) {
    client.send('.');
    await client.read(1);
  }
  client.destroy();
  await connection.ended();
}
