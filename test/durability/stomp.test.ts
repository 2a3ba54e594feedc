/**
 * What STOMP clients find again after a stop and after a kill -9, in both dialects: the gateway is
 * a process of its own, of which they see nothing but its frames.
 */
import { describe, expect } from 'vitest';
import { frame, parseFrames, type Received } from '../adapters/stomp/script.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { connect, type RawClient } from '../support/raw-client.ts';
import { type Story, tell } from './stories.ts';

type Headers = Record<string, string>;

class Stomp {
  readonly #raw: RawClient;
  #receipts = 0;

  private constructor(raw: RawClient) {
    this.#raw = raw;
  }

  static async join(gateway: GatewayProcess, more: Headers = {}): Promise<Stomp> {
    const client = new Stomp(await connect(gateway.port('stomp')));
    const login = { 'accept-version': '1.2', host: '/', login: 'guest', passcode: 'guest' };
    client.send('CONNECT', { ...login, ...more });
    expect((await client.next()).command).toBe('CONNECTED');
    return client;
  }

  send(command: string, headers: Headers, body: string = ''): void {
    this.#raw.send(frame(command, headers, body));
  }

  /** Sends, and waits for the receipt, before which nothing else may come. */
  async ask(command: string, headers: Headers, body: string = ''): Promise<void> {
    const receipt = `r${++this.#receipts}`;
    this.send(command, { ...headers, receipt }, body);
    const { command: answer, headers: told } = await this.next();
    expect([answer, told['receipt-id']]).toEqual(['RECEIPT', receipt]);
  }

  /** Persistent, and safe. */
  put(destination: string, body: string, headers: Headers = {}): Promise<void> {
    return this.ask('SEND', { destination, persistent: 'true', ...headers }, body);
  }

  async next(): Promise<Received> {
    const text = await this.#raw.readText('\0');
    const [received] = parseFrames(Buffer.from(text));
    if (received === undefined) throw new Error(`no frame: ${text}`);
    return received;
  }

  /** The bodies of the next messages. */
  async bodies(count: number): Promise<string[]> {
    const bodies: string[] = [];
    while (bodies.length < count) bodies.push((await this.next()).body);
    return bodies;
  }

  /** That nothing came before the receipt of a frame that says nothing. */
  async quiet(): Promise<void> {
    await this.ask('BEGIN', { transaction: `quiet ${this.#receipts}` });
  }
}

const RABBITMQ: Readonly<Record<string, Story>> = {
  async *'durable subscriptions go on, and have what came while their client was away'(gateway) {
    const subscription = {
      ...{ destination: '/topic/news.*', id: 'mine', ack: 'client-individual' },
      ...{ durable: 'true', 'auto-delete': 'false' },
    };
    const reader = await Stomp.join(gateway());
    await reader.ask('SUBSCRIBE', subscription);
    const sender = await Stomp.join(gateway());
    await sender.put('/topic/news.a', '1');
    const first = await reader.next();
    await reader.ask('ACK', { id: first.headers['ack'] ?? '' });
    await sender.put('/topic/news.b', '2');
    await reader.next();
    yield;
    await (await Stomp.join(gateway())).put('/topic/news.c', '3');
    const back = await Stomp.join(gateway());
    await back.ask('SUBSCRIBE', subscription);
    const second = await back.next();
    expect([second.body, second.headers['redelivered']]).toEqual(['2', 'true']);
    const third = await back.next();
    expect([third.body, third.headers['redelivered']]).toEqual(['3', 'false']);
    await back.quiet();
    await back.ask('UNSUBSCRIBE', { id: 'mine', durable: 'true' });
    yield;
    await (await Stomp.join(gateway())).put('/topic/news.d', '4');
    const anew = await Stomp.join(gateway());
    await anew.ask('SUBSCRIBE', subscription);
    await anew.quiet();
  },

  async *'what was acknowledged, and its receipt came, is gone'(gateway) {
    const client = await Stomp.join(gateway());
    for (let i = 0; i < 20; i++) await client.put('/queue/acked', String(i));
    const subscription = { destination: '/queue/acked', id: '1', ack: 'client' };
    await client.ask('SUBSCRIBE', subscription);
    const messages: Received[] = [];
    while (messages.length < 20) messages.push(await client.next());
    await client.ask('ACK', { id: messages[9]?.headers['ack'] ?? '' });
    await client.ask('BEGIN', { transaction: 't' });
    await client.ask('ACK', { id: messages[14]?.headers['ack'] ?? '', transaction: 't' });
    await client.ask('COMMIT', { transaction: 't' });
    yield;
    const back = await Stomp.join(gateway());
    await back.ask('SUBSCRIBE', subscription);
    expect(await back.bodies(5)).toEqual(['15', '16', '17', '18', '19']);
    await back.quiet();
  },

  async *'transactions that were not committed did not happen'(gateway) {
    const client = await Stomp.join(gateway());
    await client.put('/queue/undone', 'kept');
    await client.ask('SUBSCRIBE', { destination: '/queue/undone', id: '1', ack: 'client' });
    const { headers } = await client.next();
    await client.ask('BEGIN', { transaction: 't' });
    const sent = { destination: '/queue/undone', persistent: 'true', transaction: 't' };
    client.send('SEND', sent, 'never');
    await client.ask('ACK', { id: headers['ack'] ?? '', transaction: 't' });
    yield;
    const back = await Stomp.join(gateway());
    await back.ask('SUBSCRIBE', { destination: '/queue/undone', id: '1' });
    expect(await back.bodies(1)).toEqual(['kept']);
    await back.quiet();
  },

  async *'temporary queues are gone'(gateway) {
    const asker = await Stomp.join(gateway());
    await asker.put('/queue/asked', 'q', { 'reply-to': '/temp-queue/answers' });
    yield;
    const worker = await Stomp.join(gateway());
    await worker.ask('SUBSCRIBE', { destination: '/queue/asked', id: '1' });
    const { headers } = await worker.next();
    const { 'reply-to': destination = '' } = headers;
    expect(destination).toMatch(/^\/reply-queue\//);
    worker.send('SEND', { destination, mandatory: 'true', receipt: 'r' }, 'late');
    expect((await worker.next()).command).toBe('ERROR');
  },
};

const ACTIVEMQ: Readonly<Record<string, Story>> = {
  async *'durable subscribers go on'(gateway) {
    const subscription = {
      ...{ destination: '/topic/quotes.>', id: '1', ack: 'client-individual' },
      'activemq.subscriptionName': 'desk',
    };
    const reader = await Stomp.join(gateway(), { 'client-id': 'trader' });
    await reader.ask('SUBSCRIBE', subscription);
    const sender = await Stomp.join(gateway());
    await sender.put('/topic/quotes.a.b', '1');
    await reader.next();
    yield;
    await (await Stomp.join(gateway())).put('/topic/quotes.c', '2');
    const back = await Stomp.join(gateway(), { 'client-id': 'trader' });
    await back.ask('SUBSCRIBE', subscription);
    expect(await back.bodies(2)).toEqual(['1', '2']);
    await back.quiet();
  },

  async *'schedules go on where they were'(gateway) {
    const client = await Stomp.join(gateway());
    await client.put('/queue/once', 'once', { AMQ_SCHEDULED_DELAY: '1500' });
    await client.put('/queue/thrice', 'thrice', {
      AMQ_SCHEDULED_PERIOD: '500',
      AMQ_SCHEDULED_REPEAT: '100000',
    });
    await client.put('/queue/cron', 'cron', { AMQ_SCHEDULED_CRON: '* * * * *' });
    await client.put('/queue/far', 'far', { AMQ_SCHEDULED_DELAY: '3600000' });
    yield;
    const back = await Stomp.join(gateway());
    await back.ask('SUBSCRIBE', { destination: '/queue/once', id: '1' });
    expect(await back.bodies(1)).toEqual(['once']);
    await back.quiet();
    await back.ask('SUBSCRIBE', { destination: '/queue/thrice', id: '2' });
    expect(await back.bodies(3)).toEqual(['thrice', 'thrice', 'thrice']);
    const idle = await Stomp.join(gateway());
    await idle.ask('SUBSCRIBE', { destination: '/queue/far', id: '1' });
    await idle.quiet();
  },

  async *'groups have their messages in order'(gateway) {
    const client = await Stomp.join(gateway());
    for (let i = 0; i < 20; i++) {
      await client.put('/queue/grouped', String(i), { JMSXGroupID: i % 2 === 0 ? 'even' : 'odd' });
    }
    yield;
    const readers = [await Stomp.join(gateway()), await Stomp.join(gateway())];
    for (const reader of readers) {
      const one = { ack: 'client-individual', 'activemq.prefetchSize': '1' };
      await reader.ask('SUBSCRIBE', { destination: '/queue/grouped', id: '1', ...one });
    }
    for (const reader of readers) {
      const bodies: number[] = [];
      for (let i = 0; i < 10; i++) {
        const { body, headers } = await reader.next();
        bodies.push(Number(body));
        reader.send('ACK', { id: headers['ack'] ?? '' });
      }
      expect(new Set(bodies.map((body) => body % 2)).size).toBe(1);
      expect(bodies).toEqual([...bodies].sort((a, b) => a - b));
    }
  },
};

const activemq = { stomp: { dialect: 'activemq' } };

describe.each(['stop', 'kill'] as const)('STOMP after a %s', (way) => {
  tell(way, {}, RABBITMQ);
  describe('ActiveMQ’s dialect', () => tell(way, activemq, ACTIVEMQ));
});
