import { request as httpRequest } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { createHttpGate, type HttpGate } from '../../../adapters/http/gate.ts';
import { Network } from '../../../adapters/net/network.ts';
import { SYSTEM } from '../../../core/auth.ts';
import type { Limits } from '../../../core/limits.ts';
import { connect } from '../../support/raw-client.ts';
import { createWorld, type World } from '../../support/world.ts';

interface Web {
  readonly world: World;
  readonly gate: HttpGate;
  readonly network: Network;
  readonly port: number;
  readonly missing: string[];
}

const webs: Web[] = [];

async function open(limits: Partial<Limits> = {}): Promise<Web> {
  const world = createWorld({ limits });
  const missing: string[] = [];
  const gate = await createHttpGate(world.context, { missing: () => missing });
  const { clock, log, meter, limits: all } = world.context;
  const network = new Network({ clock, log, meter, limits: all, tls: null });
  const entry = { protocol: 'http', host: '127.0.0.1', port: 0, tls: false };
  const { port } = await network.listenHttp(entry, 'listeners[0]', gate.server);
  const web = { world, gate, network, port, missing };
  webs.push(web);
  return web;
}

afterEach(async () => {
  for (const { gate, network, world } of webs.splice(0)) {
    network.stopAccepting();
    await gate.stop();
    const closed = network.close();
    world.clock.advance(60_000);
    await closed;
  }
});

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

function ask(port: number, path: string, method: string = 'GET', body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, path, method, host: '127.0.0.1', agent: false });
    request.on('error', reject).on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => {
        const { statusCode = 0, headers } = response;
        resolve({ status: statusCode, type: headers['content-type'] ?? '', text });
      });
    });
    request.end(body);
  });
}

/** The samples of a metric, by its labels. */
function samples(text: string, name: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const line of text.split('\n')) {
    const [, labels = '', value = ''] = line.match(`^${name}(\\{[^}]*\\})? (\\S+)$`) ?? [];
    if (value !== '') found[labels] = Number(value);
  }
  return found;
}

describe('GET /health', () => {
  it('is 200 when nothing is missing', async () => {
    const { port } = await open();
    const { status, text } = await ask(port, '/health');
    expect(status).toBe(200);
    expect(JSON.parse(text)).toEqual({ status: 'ok' });
  });

  it('is 503 and says what is missing before', async () => {
    const { port, missing } = await open();
    missing.push('store', 'listeners');
    const { status, text } = await ask(port, '/health');
    expect(status).toBe(503);
    expect(JSON.parse(text)).toEqual({ status: 'unavailable', missing: ['store', 'listeners'] });
  });

  it('answers HEAD, for probes that ask no more', async () => {
    const { port } = await open();
    expect((await ask(port, '/health', 'HEAD')).status).toBe(200);
  });
});

describe('GET /metrics', () => {
  it('shows counters by protocol and totals under the names RabbitMQ has', async () => {
    const { port, world } = await open();
    const counters = world.meter.protocol('mqtt');
    counters.received = 7;
    counters.connectionsOpened = 3;
    counters.connectionsClosed = 1;
    const session = await world.engine.open('/', SYSTEM);
    await session.temporaryQueue('reply-');
    const { status, type, text } = await ask(port, '/metrics');
    expect(status).toBe(200);
    expect(type).toMatch(/^text\/plain; version=0.0.4/);
    const received = samples(text, 'rabbitmq_global_messages_received_total');
    expect(received).toMatchObject({ '{protocol="mqtt"}': 7, '{protocol="http"}': 0 });
    expect(samples(text, 'rabbitmq_connections')).toEqual({ '': 2 });
    expect(samples(text, 'rabbitmq_connections_opened_total')).toEqual({ '': 3 });
    expect(samples(text, 'rosettamq_connections')).toMatchObject({ '{protocol="http"}': 1 });
    expect(samples(text, 'rabbitmq_queues')).toEqual({ '': 1 });
    expect(samples(text, 'rabbitmq_queue_messages_ready')).toEqual({ '': 0 });
    expect(Object.keys(samples(text, 'rosettamq_build_info'))).toHaveLength(1);
    expect(text).toContain('process_cpu_seconds_total');
    expect(text).toContain('nodejs_eventloop_lag_seconds');
  });

  it('shows the same totals at each scrape, not their sum', async () => {
    const { port, world } = await open();
    world.meter.protocol('amqp').delivered = 5;
    world.meter.core.routed = 2;
    await ask(port, '/metrics');
    const { text } = await ask(port, '/metrics');
    const delivered = samples(text, 'rabbitmq_global_messages_delivered_total');
    expect(delivered['{protocol="amqp"}']).toBe(5);
    expect(samples(text, 'rabbitmq_global_messages_routed_total')).toEqual({ '': 2 });
  });
});

describe('the HTTP gate', () => {
  it('says at / what is here', async () => {
    const { port } = await open();
    const { status, type, text } = await ask(port, '/');
    expect(status).toBe(200);
    expect(type).toMatch(/^text\/plain/);
    expect(text).toContain('GET /health');
  });

  it.each([
    ['GET', '/nowhere'],
    ['POST', '/health'],
    ['DELETE', '/'],
  ])('answers %s %s with 404 in JSON', async (method, path) => {
    const { port } = await open();
    const { status, type, text } = await ask(port, path, method);
    expect(status).toBe(404);
    expect(type).toMatch(/^application\/json/);
    expect(JSON.parse(text)).toEqual({
      error: 'not-found',
      reason: `nothing answers to ${method} ${path}`,
    });
  });

  it.each([
    'MQTT\x00\x04garbage\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'GET / HTTP/1.1\r\nno colon here\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
  ])('answers %j with 400 and closes', async (garbage) => {
    const { port } = await open();
    const client = await connect(port);
    client.send(garbage);
    await client.closed();
    expect(client.received.toString()).toMatch(/^HTTP\/1.1 400 /);
  });

  it('answers headers beyond their limit with 431', async () => {
    const { port } = await open();
    const client = await connect(port);
    client.send(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`);
    await client.closed();
    expect(client.received.toString()).toMatch(/^HTTP\/1.1 431 /);
  });

  it('keeps a connection for the next request', async () => {
    const { port, network } = await open();
    const client = await connect(port);
    for (let i = 0; i < 3; i++) {
      client.send('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
      expect(await client.readText('{"status":"ok"}')).toMatch(/^HTTP\/1.1 200 /);
    }
    expect(network.connections).toBe(1);
    client.destroy();
  });

  it('answers a client that has finished sending', async () => {
    const { port } = await open();
    const client = await connect(port);
    client.send('GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    client.end();
    await client.closed();
    expect(client.received.toString()).toMatch(/^HTTP\/1.1 200 [\s\S]*rabbitmq_queues 0/);
  });

  it('counts its connections among those of all protocols', async () => {
    const { port } = await open({ connectionsMax: 1 });
    const first = await connect(port);
    first.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await first.readText('HTTP/1.1 200');
    const second = await connect(port);
    second.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await second.closed();
    expect(second.receivedBytes).toBe(0);
    first.destroy();
  });

  it('stops: idle connections close, and nothing hangs', async () => {
    const { port, gate, network, missing } = await open();
    const idle = await connect(port);
    idle.send('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await idle.readText('{"status":"ok"}');
    missing.push('stopping');
    network.stopAccepting();
    await gate.stop();
    await idle.closed();
    expect(network.connections).toBe(0);
  });
});
