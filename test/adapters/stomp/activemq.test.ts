import { describe, expect, test } from 'vitest';
import { parseActiveMq } from '../../../adapters/stomp/activemq.ts';
import { type Broker, type Client, createBroker } from './script.ts';

const BROKER = (): Broker => createBroker({ dialect: 'activemq' });

function bodies(client: Client): string[] {
  return client.frames().map((frame) => frame.body);
}

describe("ActiveMQ's destinations", () => {
  test.each([
    ['/queue/a.b', { kind: 'queue', name: 'a.b' }],
    ['/queue/a/b', { kind: 'queue', name: 'a/b' }],
    ['plain', { kind: 'queue', name: 'plain' }],
    ['/topic/a.*.c', { kind: 'topic', key: 'a.*.c', slashes: false }],
    ['/topic/a.>', { kind: 'topic', key: 'a.#', slashes: false }],
    ['/topic/>', { kind: 'topic', key: '#', slashes: false }],
    ['/temp-queue/x', { kind: 'temporary-queue', name: 'x' }],
    ['/temp-topic/x', { kind: 'temporary-topic', name: 'x' }],
    ['/exchange/x/k', { kind: 'exchange', exchange: 'x', key: 'k' }],
    [
      '/queue/Consumer.A.VirtualTopic.Orders.>',
      {
        kind: 'virtual',
        queue: 'Consumer.A.VirtualTopic.Orders.>',
        key: 'VirtualTopic.Orders.#',
      },
    ],
    [
      '/queue/a, b,/topic/c',
      {
        kind: 'composite',
        parts: [
          { kind: 'queue', name: 'a' },
          { kind: 'queue', name: 'b' },
          { kind: 'topic', key: 'c', slashes: false },
        ],
      },
    ],
  ])('%s', (text, destination) => {
    expect(parseActiveMq(text)).toEqual(destination);
  });

  test.each(['/queue/', '/queue/a,', '/queue/a.*', '/queue/>', ''])('%j is none', (text) => {
    expect(() => parseActiveMq(text)).toThrow('Invalid destination');
  });
});

describe("ActiveMQ's dialect", () => {
  test('may be chosen by one listener', () => {
    const client = createBroker().connect('1.2', {}, 'activemq');
    client.send('SEND', { destination: 'plain', receipt: 'r' });
    expect(client.frame().command).toBe('RECEIPT');
    expect(() => createBroker().dial(false, 'openwire')).toThrow('dialect');
  });

  test('CONNECTED answers a request-id, and names the client', () => {
    const client = BROKER().dial();
    const login = { login: 'guest', passcode: 'guest', 'accept-version': '1.2' };
    client.send('CONNECT', { ...login, 'client-id': 'me', 'request-id': '7' });
    expect(client.frame().headers).toMatchObject({
      session: 'me',
      'response-id': '7',
      'receipt-id': '7',
    });
  });

  test('a client-id is one connection at a time', () => {
    const broker = BROKER();
    const first = broker.connect('1.2', { 'client-id': 'me' });
    expect(() => broker.connect('1.2', { 'client-id': 'me' })).toThrow('already connected');
    first.send('DISCONNECT');
    broker.connect('1.2', { 'client-id': 'me' });
  });

  test('names stand as they are, and are shown with their prefix', () => {
    const client = BROKER().connect();
    client.send('SUBSCRIBE', { destination: 'plain', id: '1' });
    client.send('SUBSCRIBE', { destination: '/topic/>', id: '2' });
    client.send('SEND', { destination: '/queue/plain' });
    client.send('SEND', { destination: '/topic/a/b%2F' });
    expect(client.frames().map(({ headers }) => headers['destination'])).toEqual([
      '/queue/plain',
      '/topic/a/b%2F',
    ]);
  });

  test('exclusive consumers stand by for one another, and others for them', () => {
    const broker = BROKER();
    const [plain, first, second] = [broker.connect(), broker.connect(), broker.connect()];
    const exclusive = { destination: '/queue/a', id: '1', 'activemq.exclusive': 'true' };
    plain.send('SUBSCRIBE', { destination: '/queue/a', id: '1' });
    for (const client of [first, second]) client.send('SUBSCRIBE', exclusive);
    for (const body of ['1', '2']) plain.send('SEND', { destination: '/queue/a' }, body);
    first.lose();
    plain.send('SEND', { destination: '/queue/a' }, '3');
    expect([plain, first, second].map(bodies)).toEqual([[], ['1', '2'], ['3']]);
  });

  test('a message group has one consumer, until it is closed', () => {
    const broker = BROKER();
    const [one, other] = [broker.connect(), broker.connect()];
    for (const client of [one, other]) {
      client.send('SUBSCRIBE', { destination: '/queue/a', id: '1' });
    }
    const send = (body: string, headers: Record<string, string>): void =>
      one.send('SEND', { destination: '/queue/a', ...headers }, body);
    for (const name of ['X', 'Y', 'Y', 'X', 'X']) send(name, { JMSXGroupID: name });
    send('X end', { JMSXGroupID: 'X', JMSXGroupSeq: '-1' });
    send('X anew', { JMSXGroupID: 'X', JMSXGroupSeq: '1' });
    send('none', { note: 'JMSXGroupID' });
    expect([one, other].map(bodies)).toEqual([
      ['X', 'X', 'X', 'X end', 'none'],
      ['Y', 'Y', 'X anew'],
    ]);
  });

  test('a queue is not subscribed to durably', () => {
    const client = BROKER().connect('1.2', { 'client-id': 'me' });
    const named = { 'activemq.subscriptionName': 's' };
    client.send('SUBSCRIBE', { destination: '/queue/a', id: '1', ...named });
    expect(client.frame().headers['message']).toBe('Invalid Subscription');
  });

  test('a composite is sent to, and read from, each of its parts, with one receipt', () => {
    const client = BROKER().connect();
    client.send('SUBSCRIBE', { destination: '/queue/a,/topic/t', id: '1' });
    client.send('SEND', { destination: '/queue/a,/queue/b,/topic/t', receipt: 'r' }, 'x');
    const frames = client.frames();
    expect(frames.map(({ headers }) => headers['destination'] ?? headers['receipt-id'])).toEqual([
      'r',
      '/queue/a',
      '/topic/t',
    ]);
    client.send('SUBSCRIBE', { destination: '/queue/b', id: '2' });
    expect(bodies(client)).toEqual(['x']);
  });

  test('each consumer of a virtual topic has its own queue', () => {
    const broker = BROKER();
    const [one, other, twin] = [broker.connect(), broker.connect(), broker.connect()];
    one.send('SUBSCRIBE', { destination: '/queue/Consumer.A.VirtualTopic.T', id: '1' });
    other.send('SUBSCRIBE', { destination: '/queue/Consumer.B.VirtualTopic.T', id: '1' });
    twin.send('SUBSCRIBE', { destination: '/queue/Consumer.B.VirtualTopic.T', id: '1' });
    for (const body of ['1', '2']) one.send('SEND', { destination: '/topic/VirtualTopic.T' }, body);
    expect(bodies(one)).toEqual(['1', '2']);
    expect([...bodies(other), ...bodies(twin)].sort()).toEqual(['1', '2']);
  });

  test('a durable subscriber is found by client-id and name, until UNSUBSCRIBE names it', () => {
    const broker = BROKER();
    const subscription = {
      destination: '/topic/news.>',
      id: '1',
      'activemq.subscriptionName': 'mine',
    };
    const first = broker.connect('1.2', { 'client-id': 'me' });
    first.send('SUBSCRIBE', subscription);
    first.lose();
    const second = broker.connect('1.2', { 'client-id': 'me' });
    second.send('SEND', { destination: '/topic/news.a' }, 'missed');
    second.send('SUBSCRIBE', subscription);
    expect(bodies(second)).toEqual(['missed']);
    second.send('UNSUBSCRIBE', { id: '1' });
    second.send('SEND', { destination: '/topic/news.a' }, 'again');
    second.send('SUBSCRIBE', subscription);
    expect(bodies(second)).toEqual(['again']);
    second.send('UNSUBSCRIBE', { id: '1', 'activemq.subscriptionName': 'mine' });
    expect([...broker.world.engine.admin.queues('/')]).toEqual([]);
    second.send('SUBSCRIBE', subscription);
    second.lose();
    const third = broker.connect('1.2', { 'client-id': 'me' });
    third.send('UNSUBSCRIBE', { 'activemq.subscriptionName': 'mine', receipt: 'r' });
    expect(third.frame().headers['receipt-id']).toBe('r');
    expect([...broker.world.engine.admin.queues('/')]).toEqual([]);
  });

  test('a durable subscription needs a client-id', () => {
    const client = BROKER().connect();
    client.send('SUBSCRIBE', {
      destination: '/topic/a',
      id: '1',
      'activemq.subscriptionName': 'x',
    });
    expect(client.frame().headers['message']).toBe('Missing client-id');
  });

  test.each(['/temp-queue/answers', '/temp-topic/answers'])(
    'replies come to %s, to whom they belong',
    (temporary) => {
      const broker = BROKER();
      const [asker, other, worker] = [broker.connect(), broker.connect(), broker.connect()];
      for (const client of [asker, other]) {
        client.send('SUBSCRIBE', { destination: temporary, id: 'r' });
      }
      worker.send('SUBSCRIBE', { destination: '/queue/work', id: 'w' });
      asker.send('SEND', { destination: '/queue/work', 'reply-to': temporary }, 'ask');
      const replyTo = worker.frame().headers['reply-to'] ?? '';
      worker.send('SEND', { destination: replyTo }, 'answer');
      asker.send('SEND', { destination: temporary }, 'to myself');
      expect(bodies(asker)).toEqual(['answer', 'to myself']);
      expect(bodies(other)).toEqual([]);
    },
  );

  test('a NACKed message is not delivered again', () => {
    const client = BROKER().connect();
    client.send('SUBSCRIBE', { destination: '/queue/n', id: '1', ack: 'client' });
    client.send('SEND', { destination: '/queue/n' }, 'x');
    const message = client.frame();
    expect(message.headers).not.toHaveProperty('redelivered');
    client.send('NACK', { id: message.headers['ack'] ?? '', receipt: 'r' });
    expect(client.frame().headers['receipt-id']).toBe('r');
  });

  test('UNSUBSCRIBE gives what is unacknowledged to others', () => {
    const broker = BROKER();
    const [first, second] = [broker.connect(), broker.connect()];
    first.send('SUBSCRIBE', { destination: '/queue/u', id: '1', ack: 'client' });
    first.send('SEND', { destination: '/queue/u' }, 'x');
    second.send('SUBSCRIBE', { destination: '/queue/u', id: '1' });
    first.send('UNSUBSCRIBE', { id: '1' });
    expect(second.frame().headers['redelivered']).toBe('true');
  });

  test('activemq.prefetchSize bounds what is out', () => {
    const client = BROKER().connect();
    client.send('SUBSCRIBE', {
      destination: '/queue/p',
      id: '1',
      ack: 'client',
      'activemq.prefetchSize': '1',
    });
    for (const body of ['1', '2']) client.send('SEND', { destination: '/queue/p' }, body);
    expect(bodies(client)).toEqual(['1']);
  });

  test('a retroactive subscriber is given what was retained', () => {
    const client = BROKER().connect();
    client.send('SEND', { destination: '/topic/state', retain: 'true' }, 'last');
    client.send('SUBSCRIBE', {
      destination: '/topic/state',
      id: '1',
      'activemq.retroactive': 'true',
    });
    expect(bodies(client)).toEqual(['last']);
  });

  test('a SEND in a transaction is answered at once', () => {
    const client = BROKER().connect();
    client.send('BEGIN', { transaction: 't' });
    client.send('SEND', { destination: '/queue/a', transaction: 't', receipt: 's' });
    expect(client.frame().headers['receipt-id']).toBe('s');
    client.send('COMMIT', { transaction: 't', receipt: 'c' });
    expect(client.frame().headers['receipt-id']).toBe('c');
  });
});

test.each([
  ['SEND', 'AMQ_SCHEDULER_ACTION', 'REMOVEALL'],
  ['SUBSCRIBE', 'transformation', 'jms-map-json'],
])('%s with %s is refused, not done without it', (command, header, value) => {
  const client = BROKER().connect();
  client.send(command, { destination: '/topic/a', id: '1', [header]: value });
  expect(client.frame().headers['message']).toBe('Not implemented');
});

test('activemq.maximumPendingMessageLimit lets old messages go that wait for a slow subscriber', () => {
  const client = BROKER().connect();
  client.send('SUBSCRIBE', {
    destination: '/topic/t',
    id: '1',
    ack: 'client-individual',
    'activemq.prefetchSize': '1',
    'activemq.maximumPendingMessageLimit': '2',
  });
  for (const body of ['1', '2', '3', '4']) client.send('SEND', { destination: '/topic/t' }, body);
  const [first] = client.frames();
  client.send('ACK', { id: first?.headers['ack'] ?? '' });
  expect([first?.body, ...bodies(client)]).toEqual(['1', '3']);
});

describe('a browser', () => {
  const browse = { destination: '/queue/a', browser: 'true' };

  test('is shown what is in a queue, lent or not, and takes nothing', () => {
    const broker = BROKER();
    const [holder, client] = [broker.connect(), broker.connect()];
    for (const body of ['1', '2', '3']) client.send('SEND', { destination: '/queue/a' }, body);
    const held = { ack: 'client', 'activemq.prefetchSize': '1' };
    holder.send('SUBSCRIBE', { destination: '/queue/a', id: '1', ...held });
    expect(bodies(holder)).toEqual(['1']);
    client.send('SUBSCRIBE', { ...browse, id: 'b', ack: 'client', receipt: 'r' });
    const [receipt, first, ...rest] = client.frames();
    const end = rest.pop();
    expect(receipt?.command).toBe('RECEIPT');
    expect([first, ...rest].map((frame) => frame?.body)).toEqual(['1', '2', '3']);
    expect(end).toMatchObject({
      command: 'MESSAGE',
      headers: { subscription: 'b', destination: '/queue/a', browser: 'end' },
    });
    client.send('ACK', { id: first?.headers['ack'] ?? '', receipt: 'a' });
    client.send('UNSUBSCRIBE', { id: 'b', receipt: 'u' });
    expect(client.frames().map(({ headers }) => headers['receipt-id'])).toEqual(['a', 'u']);
    holder.lose();
    client.send('SUBSCRIBE', { destination: '/queue/a', id: 'c' });
    expect(bodies(client)).toEqual(['1', '2', '3']);
  });

  test('has a selector, sees priorities and what was passed over, and only so much', () => {
    const broker = createBroker(
      { dialect: 'activemq' },
      { limits: { browseMessagesMax: 2, queueWindowBytes: 1 } },
    );
    const client = broker.connect();
    const blue = { destination: '/queue/a', id: 's', selector: "colour = 'blue'" };
    client.send('SUBSCRIBE', { ...blue, 'x-max-priority': '9' });
    for (const colour of ['red', 'green', 'red']) {
      client.send('SEND', { destination: '/queue/a', colour, priority: '7' }, colour);
    }
    client.send('SUBSCRIBE', { ...browse, id: '1' });
    client.send('SUBSCRIBE', { ...browse, id: '2', selector: "colour = 'green'" });
    expect(bodies(client)).toEqual(['red', 'green', '', 'green', '']);
  });

  test('reads queues only, and not before 1.1', () => {
    const client = BROKER().connect();
    client.send('SUBSCRIBE', { destination: '/topic/a', id: '1', browser: 'true' });
    expect(client.frame().headers['message']).toBe('Invalid browser');
    const old = BROKER().connect('1.0');
    old.send('SUBSCRIBE', browse);
    expect(old.frame().headers['message']).toBe('Invalid browser');
  });
});

describe('activemq.noLocal', () => {
  test.each(['/topic/t', '/queue/q'])('keeps from a connection what it sent to %s', (at) => {
    const broker = BROKER();
    const [own, other] = [broker.connect(), broker.connect()];
    own.send('SUBSCRIBE', { destination: at, id: '1', 'activemq.noLocal': 'true' });
    own.send('SEND', { destination: at, note: 'n' }, 'own');
    other.send('SEND', { destination: at }, 'from another');
    expect(bodies(own)).toEqual(['from another']);
    other.send('SUBSCRIBE', { destination: at, id: '1' });
    own.send('SEND', { destination: at, note: 'n', timestamp: '1700000000123' }, 'more');
    const frames = other.frames();
    expect(frames.at(-1)).toMatchObject({ body: 'more', headers: { timestamp: '1700000000123' } });
    expect(frames.map(({ body }) => body)).toEqual(at === '/queue/q' ? ['own', 'more'] : ['more']);
  });

  test('holds for a durable subscriber too', () => {
    const broker = BROKER();
    const own = broker.connect('1.2', { 'client-id': 'me' });
    own.send('SUBSCRIBE', {
      destination: '/topic/t',
      id: '1',
      'activemq.subscriptionName': 's',
      'activemq.noLocal': 'true',
    });
    own.send('SEND', { destination: '/topic/t', persistent: 'true' }, 'own');
    expect(own.frames()).toEqual([]);
    expect([...broker.world.engine.admin.queues('/')]).toMatchObject([{ ready: 0 }]);
  });
});

describe('NACK', () => {
  function refused(headers: Record<string, string>, declared = {}): Client {
    const client = BROKER().connect();
    const ack = { ack: 'client-individual', ...declared };
    client.send('SUBSCRIBE', { destination: '/queue/a', id: '1', ...ack });
    client.send('SEND', { destination: '/queue/a', ...headers }, 'poison');
    client.send('NACK', { id: client.frame().headers['ack'] ?? '', receipt: 'n' });
    expect(client.frame().headers['receipt-id']).toBe('n');
    client.send('SUBSCRIBE', { destination: '/queue/ActiveMQ.DLQ', id: 'dlq' });
    return client;
  }

  test('leaves a persistent message in ActiveMQ.DLQ, with its history', () => {
    const frame = refused({ persistent: 'true', kind: 'k' }).frame();
    expect(frame).toMatchObject({ body: 'poison', headers: { kind: 'k', persistent: 'true' } });
    expect(JSON.parse(frame.headers['x-death'] ?? '')).toMatchObject([
      { queue: 'a', reason: 'rejected' },
    ]);
  });

  test('leaves other messages nowhere, and goes by a queue of its own choice', () => {
    expect(refused({}).frames()).toEqual([]);
    const elsewhere = { 'x-dead-letter-exchange': 'amq.fanout' };
    expect(refused({ persistent: 'true' }, elsewhere).frames()).toEqual([]);
  });

  test('in a transaction happens with it', () => {
    const client = BROKER().connect();
    const ack = { ack: 'client-individual' };
    client.send('SUBSCRIBE', { destination: '/queue/ActiveMQ.DLQ', id: 'dlq', ...ack });
    client.send('SUBSCRIBE', { destination: '/queue/a', id: '1', ...ack });
    client.send('SEND', { destination: '/queue/a', persistent: 'true' }, 'poison');
    const id = client.frame().headers['ack'] ?? '';
    for (const end of ['ABORT', 'COMMIT']) {
      client.send('BEGIN', { transaction: 't' });
      client.send('NACK', { id, transaction: 't' });
      expect(client.frames()).toEqual([]);
      client.send(end, { transaction: 't' });
    }
    const dead = client.frame();
    expect([dead.body, dead.headers['subscription']]).toEqual(['poison', 'dlq']);
    client.send('NACK', { id: dead.headers['ack'] ?? '' });
    expect(client.frames()).toEqual([]);
  });
});

describe('selectors on SUBSCRIBE', () => {
  test.each(['auto', 'client'])('choose what a topic subscription is given (%s)', (ack) => {
    const client = createBroker().connect();
    const selector = "colour = 'red' AND size > 10".replaceAll(':', '\\c');
    client.send('SUBSCRIBE', {
      destination: '/topic/s',
      id: '1',
      ack,
      selector,
      'prefetch-count': '1',
    });
    const sizes = ['5', '11', '12'];
    for (const size of sizes)
      client.send('SEND', { destination: '/topic/s', colour: 'red', size }, size);
    client.send('SEND', { destination: '/topic/s', colour: 'blue', size: '20' }, 'blue');
    expect(bodies(client)).toEqual(ack === 'auto' ? ['11', '12'] : ['11']);
  });

  test.each(['auto', 'client-individual'])('leave the rest of a queue to others (%s)', (ack) => {
    const broker = createBroker();
    const [red, blue, any] = [broker.connect(), broker.connect(), broker.connect()];
    const queue = { destination: '/queue/s', ack };
    red.send('SUBSCRIBE', { ...queue, id: '1', selector: "colour = 'red'" });
    blue.send('SUBSCRIBE', { ...queue, id: '1', selector: "colour = 'blue'" });
    for (const colour of ['green', 'red', 'blue', 'red', 'white']) {
      any.send('SEND', { destination: '/queue/s', colour }, colour);
    }
    expect([bodies(red), bodies(blue)]).toEqual([['red', 'red'], ['blue']]);
    any.send('SUBSCRIBE', { ...queue, id: '1' });
    expect(bodies(any)).toEqual(['green', 'white']);
  });

  test('are refused where they cannot be read', () => {
    const broker = createBroker();
    const other = broker.connect();
    other.send('SUBSCRIBE', { destination: '/topic/s', id: '1', selector: 'a = ' });
    const error = other.frame();
    expect(error.headers['message']).toBe('precondition_failed');
    expect(error.body).toContain('it ends too early');
  });
});
