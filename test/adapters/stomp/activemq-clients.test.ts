/** JavaScript's clients do in ActiveMQ's dialect what its users do. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Gateway } from '../../../main.ts';
import type { Inbox } from '../../interop/clients/client.ts';
import { startGateway } from '../../support/gateway.ts';
import {
  type Got,
  type Headers,
  JAVASCRIPT_CLIENTS,
  type JavascriptClient,
} from './javascript-clients.ts';

const EACH = { ack: 'client-individual' };

/** The next `count` messages, in order. */
async function take(inbox: Inbox<Got>, count: number): Promise<Got[]> {
  const taken: Got[] = [];
  while (taken.length < count) taken.push(await inbox.next());
  return taken;
}

const bodies = (messages: readonly Got[]): string[] => messages.map(({ body }) => body);

describe.each(JAVASCRIPT_CLIENTS)('%s', (_, connectTo) => {
  let gateway: Gateway;
  let open: JavascriptClient[] = [];

  beforeAll(async () => {
    gateway = await startGateway({ stomp: { dialect: 'activemq' } });
  });
  afterEach(async () => {
    for (const client of open) await leave(client);
  });
  afterAll(() => gateway.stop());

  async function connect(headers: Headers = {}): Promise<JavascriptClient> {
    const client = await connectTo(gateway, headers);
    open.push(client);
    return client;
  }

  async function leave(client: JavascriptClient): Promise<void> {
    open = open.filter((each) => each !== client);
    await client.close();
  }

  test('shares work, acknowledged one by one; what is refused goes to ActiveMQ.DLQ', async () => {
    const worker = await connect();
    const work = await worker.subscribe('/queue/work', EACH);
    for (const job of ['a', 'b', 'c']) {
      await worker.send('/queue/work', job, { persistent: 'true', kind: 'job' });
    }
    const [, second, third] = await take(work, 3);
    await third?.ack();
    await second?.nack();
    await leave(worker);
    const next = await connect();
    const again = await (await next.subscribe('/queue/work', EACH)).next();
    expect(again).toMatchObject({ body: 'a', headers: { redelivered: 'true', kind: 'job' } });
    await again.ack();
    const dead = await (await next.subscribe('/queue/ActiveMQ.DLQ')).next();
    expect(dead).toMatchObject({ body: 'b', headers: { persistent: 'true', kind: 'job' } });
  });

  test('subscribes to topics by wildcards', async () => {
    const client = await connect();
    const words = await client.subscribe('/topic/prices.*.eu');
    const rest = await client.subscribe('/topic/prices.>');
    for (const topic of ['prices.oil.eu', 'prices.gas.us', 'other.oil.eu', 'prices.gas.eu']) {
      await client.send(`/topic/${topic}`, topic);
    }
    expect(bodies(await take(words, 2))).toEqual(['prices.oil.eu', 'prices.gas.eu']);
    const all = await take(rest, 3);
    expect(all.map(({ headers }) => headers['destination'])).toEqual([
      '/topic/prices.oil.eu',
      '/topic/prices.gas.us',
      '/topic/prices.gas.eu',
    ]);
  });

  test('reads a virtual topic through a queue of each application', async () => {
    const [one, two] = [await connect(), await connect()];
    const billing = '/queue/Consumer.billing.VirtualTopic.orders';
    const first = await one.subscribe(billing, { ...EACH, 'activemq.prefetchSize': '1' });
    const second = await two.subscribe(billing, { ...EACH, 'activemq.prefetchSize': '1' });
    const audit = await two.subscribe('/queue/Consumer.audit.VirtualTopic.orders');
    await one.send('/topic/VirtualTopic.orders', 'o1', { persistent: 'true' });
    await one.send('/topic/VirtualTopic.orders', 'o2', { persistent: 'true' });
    const [a, b] = [await first.next(), await second.next()];
    expect([a.body, b.body].sort()).toEqual(['o1', 'o2']);
    await Promise.all([a.ack(), b.ack()]);
    expect(bodies(await take(audit, 2))).toEqual(['o1', 'o2']);
  });

  test('finds what a durable subscriber missed', async () => {
    const durable = { ...EACH, 'activemq.subscriptionName': 'desk' };
    const subscriber = await connect({ 'client-id': 'reader' });
    await subscriber.subscribe('/topic/news.>', durable);
    await leave(subscriber);
    const writer = await connect();
    await writer.send('/topic/news.local', 'missed', { persistent: 'true' });
    const back = await connect({ 'client-id': 'reader' });
    const news = await back.subscribe('/topic/news.>', durable);
    const got = await news.next();
    expect(got).toMatchObject({ body: 'missed', headers: { destination: '/topic/news.local' } });
    await got.ack();
    await writer.send('/topic/news.local', 'live');
    expect((await news.next()).body).toBe('live');
  });

  test('selects from a queue what it wants, and leaves the rest to others', async () => {
    const client = await connect();
    const dear = await client.subscribe('/queue/offers', {
      selector: "price > 100 AND cur = 'EUR'",
    });
    await client.send('/queue/offers', 'cheap', { price: '5', cur: 'EUR' });
    await client.send('/queue/offers', 'dear', { price: '500', cur: 'EUR' });
    expect((await dear.next()).body).toBe('dear');
    const others = await client.subscribe('/queue/offers');
    expect((await others.next()).body).toBe('cheap');
  });

  test('sends and acknowledges in transactions', async () => {
    const client = await connect();
    const input = await client.subscribe('/queue/in', EACH);
    const output = await client.subscribe('/queue/out');
    await client.send('/queue/in', 'question');
    const question = await input.next();
    const dropped = client.begin();
    dropped.send('/queue/out', 'never');
    await question.ack(dropped.id);
    await dropped.abort();
    const kept = client.begin();
    kept.send('/queue/out', 'answer 1');
    kept.send('/queue/out', 'answer 2');
    await question.ack(kept.id);
    await kept.commit();
    expect(bodies(await take(output, 2))).toEqual(['answer 1', 'answer 2']);
    await leave(client);
    const next = await connect();
    await next.send('/queue/in', 'later');
    expect((await (await next.subscribe('/queue/in')).next()).body).toBe('later');
  });

  test('delays what it is told to', async () => {
    const client = await connect();
    const inbox = await client.subscribe('/queue/later');
    await client.send('/queue/later', 'delayed', { AMQ_SCHEDULED_DELAY: '300' });
    await client.send('/queue/later', 'at once');
    const [first, second] = await take(inbox, 2);
    expect([first?.body, second?.body]).toEqual(['at once', 'delayed']);
    expect(second?.headers).not.toHaveProperty('AMQ_SCHEDULED_DELAY');
  });

  test('asks, and is answered in a temporary queue', async () => {
    const [asker, worker] = [await connect(), await connect()];
    const requests = await worker.subscribe('/queue/rpc');
    const answers = await asker.subscribe('/temp-queue/answers');
    const asked = { 'reply-to': '/temp-queue/answers', 'correlation-id': 'q:7' };
    await asker.send('/queue/rpc', 'hi', asked);
    const { body, headers } = await requests.next();
    await worker.send(headers['reply-to'] ?? '', body.toUpperCase(), {
      'correlation-id': headers['correlation-id'] ?? '',
    });
    const answer = await answers.next();
    expect(answer).toMatchObject({ body: 'HI', headers: { 'correlation-id': 'q:7' } });
  });
});
