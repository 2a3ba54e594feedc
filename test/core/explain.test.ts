import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { SYSTEM } from '../../core/auth.ts';
import { runCommand } from '../../core/cli.ts';
import type { Session } from '../../core/engine.ts';
import type { Explanation } from '../../core/explain.ts';
import type { HeaderValue } from '../../core/message.ts';
import { Gateway } from '../../main.ts';
import { startGateway } from '../support/gateway.ts';
import { createWorld } from '../support/world.ts';

const world = createWorld();
const session = world.engine.open('/', SYSTEM);

function exchange(name: string, type: string, alternate: string | null = null): void {
  const table: [string, HeaderValue][] =
    alternate === null ? [] : [['alternate-exchange', alternate]];
  const common = { durable: false, autoDelete: false, internal: false };
  session.declareExchange({ name, type, ...common, arguments: new Map(table) }, false);
}

function bind(to: Session, source: string, destination: string, routingKey: string): void {
  const toExchange = destination.startsWith('x');
  void to.bind({ source, destination, toExchange, routingKey, arguments: new Map() });
}

beforeAll(() => {
  for (const name of ['q1', 'q2', 'q3']) {
    const spec = { durable: false, exclusive: false, autoDelete: false, arguments: new Map() };
    session.declareQueue({ name, ...spec }, false);
  }
  exchange('x-fallback', 'fanout');
  exchange('x-first', 'topic', 'x-fallback');
  exchange('x-second', 'direct');
  exchange('x-alone', 'direct');
  bind(session, 'x-first', 'q1', 'a.*');
  bind(session, 'x-first', 'q1', '#.b');
  bind(session, 'x-first', 'x-second', 'a.b');
  bind(session, 'x-second', 'q2', 'a.b');
  bind(session, 'x-fallback', 'q3', '');
});

const route = (exchange: string, routingKey: string) =>
  world.engine.admin.route('/', { exchange, routingKey });

describe('a route', () => {
  it('names each queue with every binding that leads there', () => {
    const view = route('x-first', 'a.b');
    expect(view).toMatchObject({ exchangeType: 'topic', bindingsTotal: 3 });
    expect(view.verdict).toBe('goes to 2 queues');
    expect(view.queues.map(({ name, because }) => [name, because])).toEqual([
      [
        'q1',
        [
          "the binding 'a.*' of topic exchange 'x-first' takes it",
          "the binding '#.b' of topic exchange 'x-first' takes it",
        ],
      ],
      ['q2', ["the binding 'a.b' of direct exchange 'x-second' takes it"]],
    ]);
  });

  it('lists the bindings that match before those that do not', () => {
    const matching = route('x-first', 'z.b').bindings.map((each) => [
      each.routingKey,
      each.matches,
    ]);
    expect(matching).toEqual([
      ['#.b', true],
      ['a.*', false],
      ['a.b', false],
    ]);
  });

  it('goes by an alternate exchange where nothing takes it, and says so', () => {
    const [queue] = route('x-first', 'nobody').queues;
    expect(queue).toMatchObject({ name: 'q3', ready: 0 });
    expect(queue?.because).toEqual([
      "nothing in 'x-first' takes it, and 'x-fallback' is its alternate",
      "the binding '' of fanout exchange 'x-fallback' takes it",
    ]);
  });

  it.each([
    ['', 'q1', 'goes to 1 queue'],
    ['', 'nobody', "goes nowhere: there is no queue 'nobody'"],
    ['x-alone', 'k', "goes nowhere: nothing is bound to 'x-alone'"],
    ['x-second', 'k', "goes nowhere: none of the 1 bindings of 'x-second' takes it"],
    ['gone', 'k', "is refused: there is no exchange 'gone'"],
    [
      'amq.rabbitmq.trace',
      'k',
      "is refused: exchange 'amq.rabbitmq.trace' takes messages from other exchanges only",
    ],
  ])('from %j by %j %s', (exchange, key, verdict) => {
    expect(route(exchange, key).verdict).toBe(verdict);
  });

  it('has no more entries than the limit', () => {
    const small = createWorld({ limits: { explainBindingsMax: 1 } });
    const own = small.engine.open('/', SYSTEM);
    for (const name of ['a', 'b']) {
      const spec = { durable: false, exclusive: false, autoDelete: false, arguments: new Map() };
      own.declareQueue({ name, ...spec }, false);
      bind(own, 'amq.fanout', name, '');
    }
    const view = small.engine.admin.route('/', { exchange: 'amq.fanout', routingKey: '' });
    expect([view.bindings.length, view.queues.length, view.bindingsTotal]).toEqual([1, 1, 2]);
    expect(view.verdict).toBe('goes to 2 queues');
  });
});

describe('a running gateway', () => {
  let gateway: Gateway;
  let base: string;
  beforeAll(async () => {
    gateway = await startGateway();
    base = `127.0.0.1:${gateway.port('http')}`;
  });
  afterAll(() => gateway.stop());

  function ask(query: string, login: string | null = 'guest:guest'): Promise<Response> {
    const headers: Record<string, string> =
      login === null ? {} : { authorization: `Basic ${Buffer.from(login).toString('base64')}` };
    return fetch(`http://${base}/explain?${query}`, { headers });
  }

  async function readings(query: string): Promise<readonly Explanation[]> {
    const response = await ask(query);
    expect(response.status).toBe(200);
    const answer = (await response.json()) as { readonly readings: readonly Explanation[] };
    return answer.readings;
  }

  it.each([
    ['mqtt', 'a/b.c', 'amq.topic', 'a.b/c'],
    ['stomp', '/topic/a.b', 'amq.topic', 'a.b'],
    ['stomp', '/exchange/x/k', 'x', 'k'],
    ['xmpp', 'jobs@queues.localhost', '', 'jobs'],
    ['xmpp', 'alice@localhost', 'amq.xmpp', 'alice@localhost'],
    ['amqp', 'amq.to:x/k', 'x', 'k'],
  ])('reads %s %s', async (protocol, address, exchange, routingKey) => {
    const query = new URLSearchParams({ address, protocol }).toString();
    const [explanation] = await readings(query);
    expect(explanation).toMatchObject({ exchange, routingKey, readBy: [protocol] });
    expect(explanation?.written[protocol]).toBe(address);
  });

  it('says how each protocol writes an address', async () => {
    const [explanation] = await readings('exchange=amq.topic&key=a.b');
    expect(explanation?.written).toEqual({
      amqp: 'amq.to:amq.topic/a.b',
      mqtt: 'a/b',
      stomp: '/topic/a.b',
      xmpp: 'amq.topic%a.b@exchanges.localhost',
    });
    expect(explanation?.route.verdict).toBe("goes nowhere: nothing is bound to 'amq.topic'");
  });

  it('gives every reading of a text that protocols read differently', async () => {
    const read = await readings('address=jobs');
    expect(read.map(({ exchange, readBy }) => [exchange, readBy])).toEqual([
      ['', ['amqp']],
      ['amq.topic', ['mqtt']],
    ]);
  });

  it.each([
    ['nobody', null, 401],
    ['somebody with a wrong password', 'guest:wrong', 401],
    ['who is not there', 'mallory:guest', 401],
    ['a user without the tag', 'alice:secret', 403],
  ])('tells %s nothing', async (_name, login, status) => {
    const response = await ask('address=jobs', login);
    expect(response.status).toBe(status);
    expect(response.headers.has('www-authenticate')).toBe(status === 401);
    expect(await response.text()).not.toContain('amq.topic');
  });

  it.each([
    ['', 400, 'expected address, or exchange and key'],
    ['address=q&protocol=smtp', 400, 'protocol: expected one of amqp, mqtt, stomp, xmpp'],
    ['address=q&vhost=a&vhost=b', 400, 'each parameter once'],
    ['address=q&vhost=gone', 404, "no vhost 'gone'"],
  ])('answers ?%s with %i', async (query, status, reason) => {
    const response = await ask(query);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ reason });
  });

  describe('asked by the command', () => {
    async function run(...args: string[]): Promise<string> {
      let text = '';
      const note = (chunk: unknown): boolean => {
        text += String(chunk);
        return true;
      };
      vi.spyOn(process.stdout, 'write').mockImplementation(note);
      vi.spyOn(process.stderr, 'write').mockImplementation(note);
      vi.spyOn(process, 'exit').mockImplementation((code) => {
        throw new Error(`exit ${code}`);
      });
      try {
        await runCommand(['explain', ...args], '1.2.3', (file) => new Gateway(file));
      } catch (error) {
        text += String(error);
      } finally {
        vi.restoreAllMocks();
      }
      return text;
    }

    it('prints what people read', async () => {
      const text = await run('/queue/jobs', '--protocol', 'stomp', '--url', urlOf('guest:guest'));
      expect(text).toContain("the default exchange, key 'jobs' (as stomp reads it)");
      expect(text).toContain('    mqtt    $queue/jobs\n');
      expect(text).toContain("a message sent there now goes nowhere: there is no queue 'jobs'");
    });

    it('prints JSON for programs', async () => {
      const text = await run('amq.topic', 'a.b', '--json', '--url', urlOf('guest:guest'));
      expect(JSON.parse(text)).toMatchObject({ vhost: '/', readings: [{ routingKey: 'a.b' }] });
    });

    it.each([
      [[], 'expected ADDRESS'],
      [['q', '--url', 'nonsense'], "--url: 'nonsense' is not a URL"],
      [['q', '--url', 'http://127.0.0.1:1'], 'no gateway answers at http://127.0.0.1:1'],
    ])('ends with one line where %j cannot be answered', async (args, text) => {
      expect(await run(...args)).toMatch(/^rosettamq: [^\n]+\nError: exit 2$/);
      expect(await run(...args)).toContain(text);
    });

    it('says that it must be an administrator', async () => {
      expect(await run('q', '--url', urlOf('alice:secret'))).toContain('wants an administrator');
    });

    const urlOf = (login: string): string => `http://${login}@${base}`;
  });
});
