/**
 * The gateway as a component of Debian's Prosody: real people there and here, and what becomes of
 * their messages when either side is killed under load.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ChannelModel, connect as connectAmqp } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGateway } from '../../support/gateway.ts';
import { startGatewayProcess } from '../../support/gateway-process.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { type Prosody, prosodyInstalled, startProsody } from './oracle/prosody.ts';
import { RawXmpp } from './raw-xmpp.ts';

if (!prosodyInstalled) console.warn('SKIPPED: prosody is not installed');

const SEED = Number(process.env['KILL_SEED'] ?? 1);
const ROUNDS = Number(process.env['KILL_ROUNDS'] ?? 3);
const ROUND_MESSAGES = 150;
const ALL = { '/': { configure: '.*', write: '.*', read: '.*' } };
const DOMAIN = 'gateway.test';
const JOBS = 'jobs\\40queues@link.localhost';

function configuration(prosody: Prosody): Record<string, unknown> {
  const link = { port: prosody.components, domain: 'link.localhost', secret: 'shared' };
  return {
    users: [
      { name: 'guest', password: 'guest', permissions: ALL },
      { name: 'alice', password: 'secret', permissions: ALL },
    ],
    xmpp: { domain: DOMAIN, links: [{ ...link, user: 'guest' }] },
  };
}

const openAmqp = (port: number): Promise<ChannelModel> =>
  connectAmqp(`amqp://guest:guest@127.0.0.1:${port}`, { noDelay: true });

/** Everything in the queue of jobs, taken out. */
async function drainJobs(port: number): Promise<string[]> {
  const connection = await openAmqp(port);
  const channel = await connection.createChannel();
  const bodies: string[] = [];
  for (;;) {
    const message = await channel.get('jobs', { noAck: true });
    if (message === false) break;
    bodies.push(message.content.toString());
  }
  await connection.close();
  return bodies;
}

/** Alice of the gateway writes to Romeo of the other server, and knows what was acknowledged. */
class Writer {
  readonly acknowledged = new Set<string>();
  #sent: string[] = [];
  #number = 0;
  #client: RawXmpp | null = null;

  async login(port: number): Promise<void> {
    this.#client = await RawXmpp.login(port, { user: 'alice', domain: DOMAIN });
    await this.#client.ask("<enable xmlns='urn:xmpp:sm:3'/>", '<enabled');
    this.#sent = [];
  }

  /** Resolves when all of it is acknowledged, or the connection is gone. */
  async work(count: number): Promise<void> {
    const client = this.#client;
    for (let i = 0; i < count; i++) {
      const id = `a${++this.#number}`;
      this.#sent.push(id);
      client?.send(
        `<message to='romeo@localhost' type='chat' id='${id}'><body>${id}</body></message>`,
      );
    }
    client?.send("<r xmlns='urn:xmpp:sm:3'/>");
    try {
      await client?.readText('<a xmlns="urn:xmpp:sm:3" h="');
      const handled = Number((await client?.readText('"'))?.slice(0, -1));
      for (const id of this.#sent.slice(0, handled)) this.acknowledged.add(id);
    } catch {
      // The gateway was killed: what was not acknowledged may be anywhere.
    }
  }
}

/** Juliet of the other server gives jobs to a queue of the gateway, and knows which have a receipt. */
class Producer {
  readonly acknowledged = new Set<string>();
  #number = 0;
  #pings = 0;
  #client: RawXmpp | null = null;
  #awaited: { readonly count: number; readonly reached: () => void } | null = null;

  async login(prosody: Prosody): Promise<void> {
    const client = await RawXmpp.login(prosody.clients, { user: 'juliet' });
    let text = '';
    client.socket.on('data', (chunk) => {
      text += chunk.toString();
      for (const [, id = ''] of text.matchAll(/<received [^>]*id=['"]([^'"]+)/g)) {
        this.acknowledged.add(id);
      }
      text = text.slice(text.lastIndexOf('</message>'));
      if (this.acknowledged.size >= (this.#awaited?.count ?? Infinity)) this.#awaited?.reached();
    });
    this.#client = client;
  }

  /** Resolves when the link answers, and so has handled everything before. */
  async ready(): Promise<void> {
    for (;;) {
      const id = `ping-${++this.#pings}`;
      const ping = "<ping xmlns='urn:xmpp:ping'/>";
      this.#client?.send(`<iq type='get' id='${id}' to='link.localhost'>${ping}</iq>`);
      const answer = await this.#client?.readText(`id='${id}'`);
      const tag =
        answer?.slice(answer.lastIndexOf('<iq')) + ((await this.#client?.readText('>')) ?? '');
      if (/type='result'/.test(tag)) return;
    }
  }

  /** Gives jobs; resolves when `some` of them have a receipt. */
  async work(count: number, some: number): Promise<void> {
    const reached = new Promise<void>((resolve) => {
      this.#awaited = { count: this.acknowledged.size + some, reached: resolve };
    });
    for (let i = 0; i < count; i++) {
      const id = `j${++this.#number}`;
      const request = "<request xmlns='urn:xmpp:receipts'/>";
      this.#client?.send(`<message to='${JOBS}' id='${id}'><body>${id}</body>${request}</message>`);
    }
    await reached;
  }
}

/** What Romeo finds when he comes back: each body, and whether the gateway says it waited. */
async function collect(
  prosody: Prosody,
  expected: ReadonlySet<string>,
): Promise<ReadonlyMap<string, boolean[]>> {
  const romeo = await RawXmpp.login(prosody.clients, { user: 'romeo' });
  const found = new Map<string, boolean[]>();
  romeo.send('<presence/>');
  while ([...expected].some((id) => !found.has(id))) {
    const message = await romeo.readText('</message>');
    const body = /<body>(a\d+)<\/body>/.exec(message)?.[1] ?? '';
    const waited = /<delay [^>]*from=['"]link\.localhost['"]/.test(message);
    found.set(body, [...(found.get(body) ?? []), waited]);
  }
  romeo.destroy();
  return found;
}

/** Nothing acknowledged is missing; what came twice was never acknowledged to the gateway. */
function expectOnce(
  found: ReadonlyMap<string, boolean[]>,
  acknowledged: ReadonlySet<string>,
): void {
  expect([...acknowledged].filter((id) => !found.has(id))).toEqual([]);
  const twice = [...found.values()].filter(
    (copies) => copies.filter((waited) => !waited).length > 1,
  );
  expect(twice).toEqual([]);
}

describe.skipIf(!prosodyInstalled)('a link to Prosody', () => {
  const folder = mkdtempSync(join(tmpdir(), 'rosettamq-link-'));
  const random = new SeededRandom(SEED);
  const some = (): number => 1 + ((random.bytes(1)[0] ?? 0) % (ROUND_MESSAGES - 1));
  let prosody: Prosody;
  beforeAll(async () => {
    prosody = await startProsody(['romeo', 'juliet']);
  }, 60_000);
  afterAll(async () => {
    await prosody.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('lets its people ask a worker of another protocol', async () => {
    const gateway = await startGateway(configuration(prosody));
    const connection = await openAmqp(gateway.port('amqp'));
    const channel = await connection.createChannel();
    await channel.assertQueue('jobs', { durable: true });
    await channel.consume('jobs', (message) => {
      if (message === null) return;
      const { replyTo, correlationId } = message.properties;
      channel.sendToQueue(replyTo, Buffer.from(`done: ${message.content}`), { correlationId });
      channel.ack(message);
    });
    const juliet = await RawXmpp.login(prosody.clients, { user: 'juliet' });
    juliet.send('<presence/>');
    // The link may still be on its way up: then this comes back with an error.
    let answer = '';
    while (!answer.includes('done: sums')) {
      juliet.send(`<message to='${JOBS}' id='q'><thread>t1</thread><body>sums</body></message>`);
      answer = await juliet.readText('</message>');
    }
    expect(answer).toMatch(/<thread>t1<\/thread>/);
    await connection.close();
    await gateway.stop();
  }, 60_000);

  test('loses nothing when the other server is killed', async () => {
    const gateway = await startGateway(configuration(prosody));
    const [writer, producer] = [new Writer(), new Producer()];
    await writer.login(gateway.port('xmpp'));
    for (let round = 0; round < ROUNDS; round++) {
      await producer.login(prosody);
      await producer.ready();
      const written = writer.work(ROUND_MESSAGES);
      await producer.work(ROUND_MESSAGES, some());
      await prosody.restart(round % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
      await written;
    }
    expect(writer.acknowledged.size).toBe(ROUNDS * ROUND_MESSAGES);
    expectOnce(await collect(prosody, writer.acknowledged), writer.acknowledged);
    const jobs = await drainJobs(gateway.port('amqp'));
    expect(new Set(jobs).size).toBe(jobs.length);
    expect([...producer.acknowledged].filter((id) => !jobs.includes(id))).toEqual([]);
    await gateway.stop();
  }, 120_000);

  test('loses nothing when the gateway is killed', async () => {
    let gateway = await startGatewayProcess(folder, configuration(prosody));
    const [writer, producer] = [new Writer(), new Producer()];
    await producer.login(prosody);
    for (let round = 0; round < ROUNDS; round++) {
      await writer.login(gateway.port('xmpp'));
      await producer.ready();
      const written = writer.work(ROUND_MESSAGES);
      await producer.work(ROUND_MESSAGES, some());
      await gateway.kill();
      await written;
      gateway = await startGatewayProcess(folder, configuration(prosody));
    }
    await writer.login(gateway.port('xmpp'));
    await writer.work(1);
    expect(writer.acknowledged.size).toBeGreaterThan(0);
    expectOnce(await collect(prosody, writer.acknowledged), writer.acknowledged);
    const jobs = await drainJobs(gateway.port('amqp'));
    expect(new Set(jobs).size).toBe(jobs.length);
    expect([...producer.acknowledged].filter((id) => !jobs.includes(id))).toEqual([]);
    await gateway.stop();
  }, 120_000);
});
