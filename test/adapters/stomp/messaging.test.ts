import { describe, expect, test } from 'vitest';
import { type Client, createBroker, type Received } from './script.ts';

const VERSIONS = ['1.0', '1.1', '1.2'];

/** Sends `body` and returns what the same client receives of it. */
function echo(client: Client, destination: string, headers: Record<string, string> = {}): Received {
  client.send('SUBSCRIBE', { destination, id: 'echo' });
  client.send('SEND', { destination, ...headers }, 'body');
  return client.frame();
}

describe('SEND and SUBSCRIBE', () => {
  test.each(VERSIONS)('a message comes as RabbitMQ writes it (%s)', (version) => {
    const client = createBroker().connect(version);
    client.send('SUBSCRIBE', { destination: '/exchange/amq.fanout', id: 'XsKNhAf' });
    client.send(
      'SEND',
      { destination: '/exchange/amq.fanout', 'content-type': 'text/plain' },
      'hi\n',
    );
    const text = client.transport.sent().toString();
    expect(text).toMatch(
      new RegExp(
        '^MESSAGE\nsubscription:XsKNhAf\ndestination:/exchange/amq.fanout\n' +
          'message-id:T_XsKNhAf@@session-[^\n]+\nredelivered:false\n' +
          'content-type:text/plain\ncontent-length:3\n\nhi\n\0$',
      ),
    );
  });

  test('a 1.0 subscription needs no id and has none', () => {
    const client = createBroker().connect('1.0');
    client.raw(
      '\nSUBSCRIBE\ndestination:/exchange/amq.fanout\n\n\0' +
        '\n\0SEND\ndestination:/exchange/amq.fanout\n\nhello\n\0\n',
    );
    const message = client.frame();
    expect(message.lines.map((line) => line.split(':')[0])).toEqual([
      'destination',
      'message-id',
      'redelivered',
      'content-length',
    ]);
    expect(message.body).toBe('hello\n');
  });

  test('from 1.1 on a subscription needs an id', () => {
    const client = createBroker().connect('1.1');
    client.send('SUBSCRIBE', { destination: '/queue/a' });
    expect(client.frame().headers['message']).toBe('Missing header');
  });

  test('an id is used once', () => {
    const client = createBroker().connect('1.0');
    client.send('SUBSCRIBE', { destination: '/queue/a', id: '1' });
    client.send('SUBSCRIBE', { destination: '/queue/a', id: '1' });
    const error = client.frame();
    expect(error.headers['message']).toBe('Duplicated subscription identifier');
    expect(error.body).toBe("A subscription identified by 'T_1' already exists.");
    expect(client.ended).toBe(true);
  });

  test.each([
    ['/queue/test', '/queue/test'],
    ['/topic/a.b', '/topic/a.b'],
    ['/topic/a/b', '/topic/a/b'],
    ['/exchange/amq.direct/key', '/exchange/amq.direct/key'],
    ['/exchange/amq.topic/a.b', '/topic/a.b'],
    ['/exchange/amq.fanout', '/exchange/amq.fanout'],
    ['/queue/a%2Fb', '/queue/a%2Fb'],
  ])('a message to %s is shown as %s', (destination, shown) => {
    expect(echo(createBroker().connect(), destination).headers['destination']).toBe(shown);
  });

  test('wildcards match, and the topic is shown as its subscriber writes topics', () => {
    const broker = createBroker();
    const client = broker.connect();
    client.send('SUBSCRIBE', { destination: '/topic/a.*.#', id: 'dots' });
    client.send('SUBSCRIBE', { destination: '/topic/a/*', id: 'slashes' });
    client.send('SEND', { destination: '/topic/a/b' }, 'x');
    const shown = client
      .frames()
      .map(({ headers }) => [headers['subscription'], headers['destination']]);
    expect(shown.sort()).toEqual([
      ['dots', '/topic/a.b'],
      ['slashes', '/topic/a/b'],
    ]);
  });

  test.each([
    ['/queue/bah/baz', '/bah/baz', 'queue'],
    ['/queue', '', 'queue'],
    ['/topic', '', 'topic'],
    ['/exchange/bah/baz/boo', '/bah/baz/boo', 'exchange'],
    ['/exchange', '', 'exchange'],
    ['/exchange//foo', '//foo', 'exchange'],
  ])('%s is no destination', (destination, content, type) => {
    const client = createBroker().connect();
    client.send('SEND', { destination });
    const error = client.frame();
    expect(error.headers['message']).toBe('Invalid destination');
    expect(error.body).toBe(`'${content}' is not a valid ${type} destination\n`);
  });

  test.each(['SEND', 'SUBSCRIBE'])('%s needs a destination that exists', (command) => {
    const broker = createBroker();
    const none = broker.connect();
    none.send(command, { id: '1' });
    expect(none.frame().headers['message']).toBe('Missing destination');
    const unknown = broker.connect();
    unknown.send(command, { id: '1', destination: '/something/interesting' });
    expect(unknown.frame().headers['message']).toBe('Unknown destination');
    const missing = broker.connect();
    missing.send(command, { id: '1', destination: '/exchange/does.not.exist' });
    const error = missing.frame();
    expect(error.headers['message']).toBe('not_found');
    expect(error.body).toBe("NOT_FOUND - no exchange 'does.not.exist' in vhost '/'\n");
    expect(missing.ended).toBe(true);
  });

  test('/queue declares a durable queue, /amq/queue finds one', () => {
    const broker = createBroker();
    const client = broker.connect();
    client.send('SUBSCRIBE', { destination: '/amq/queue/made', id: '1' });
    expect(client.frame().headers['message']).toBe('not_found');
    const other = broker.connect();
    other.send('SEND', { destination: '/queue/made' }, 'x');
    other.lose();
    expect([...broker.world.engine.admin.queues('/')]).toMatchObject([
      { name: 'made', durable: true, ready: 1 },
    ]);
    const third = broker.connect();
    third.send('SUBSCRIBE', { destination: '/amq/queue/made', id: '1' });
    expect(third.frame().body).toBe('x');
  });

  test('queue arguments are honoured, and must agree with the queue that is there', () => {
    const broker = createBroker();
    const client = broker.connect();
    client.send('SUBSCRIBE', {
      destination: '/queue/p',
      id: '1',
      'x-max-priority': '10',
      ack: 'client',
      'prefetch-count': '1',
    });
    for (const priority of ['0', '1', '5']) {
      client.send('SEND', { destination: '/queue/p', priority }, priority);
    }
    const [first] = client.frames();
    client.send('ACK', { id: first?.headers['ack'] ?? '' });
    expect(client.frame().body).toBe('5');
    const other = broker.connect();
    other.send('SUBSCRIBE', { destination: '/queue/p', id: '1', 'x-max-priority': '5' });
    expect(other.frame().headers['message']).toBe('precondition_failed');
  });

  test('a queue that somebody else declared otherwise is used as it is', async () => {
    const { world, connect } = createBroker();
    const session = await world.engine.open('/', world.principal('guest'));
    await session.declareQueue(
      {
        name: 'transient',
        durable: false,
        exclusive: false,
        autoDelete: false,
        arguments: new Map(),
      },
      false,
    );
    expect(echo(connect(), '/queue/transient').body).toBe('body');
  });

  test('NACKed messages come again, or go where the queue says', () => {
    const client = createBroker().connect();
    client.send('SUBSCRIBE', { destination: '/queue/dead', id: 'dead' });
    client.send('SUBSCRIBE', {
      destination: '/queue/n',
      id: '1',
      ack: 'client-individual',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'dead',
    });
    client.send('SEND', { destination: '/queue/n', kind: 'letter' }, 'x');
    client.send('NACK', { id: client.frame().headers['ack'] ?? '' });
    const again = client.frame();
    expect(again.headers['redelivered']).toBe('true');
    client.send('NACK', { id: again.headers['ack'] ?? '', requeue: 'false' });
    const dead = client.frame();
    expect(dead.headers).toMatchObject({
      subscription: 'dead',
      kind: 'letter',
      'x-first-death-queue': 'n',
      'x-first-death-reason': 'rejected',
    });
    expect(JSON.parse(dead.headers['x-death'] ?? '')).toMatchObject([{ queue: 'n', count: 1 }]);
  });
});

describe('replies', () => {
  test('a temporary reply queue is read without being asked for', () => {
    const broker = createBroker();
    const [asker, worker] = [broker.connect(), broker.connect('1.1')];
    worker.send('SUBSCRIBE', { destination: '/queue/work', id: 'w' });
    for (const number of ['1', '2']) {
      asker.send('SEND', { destination: '/queue/work', 'reply-to': '/temp-queue/foo' }, number);
      const request = worker.frame();
      expect(request.headers['reply-to']).toMatch(/^\/reply-queue\/amq\.gen-/);
      worker.send('SEND', { destination: request.headers['reply-to'] ?? '' }, `re ${number}`);
      expect(asker.frame()).toMatchObject({
        headers: { subscription: '/temp-queue/foo' },
        body: `re ${number}`,
      });
    }
  });

  test('any other reply-to passes as it is', () => {
    const message = echo(createBroker().connect(), '/queue/a', { 'reply-to': '/queue/reply' });
    expect(message.headers['reply-to']).toBe('/queue/reply');
  });
});

describe('durable topic subscriptions', () => {
  const durable = { id: 'mine', durable: 'true', 'auto-delete': 'false' };

  test('keep what comes while the subscriber is away, until UNSUBSCRIBE says durable', () => {
    const broker = createBroker();
    const destination = '/topic/durable';
    const first = broker.connect();
    first.send('SUBSCRIBE', { destination, ...durable });
    first.lose();
    const sender = broker.connect();
    sender.send('SEND', { destination }, 'missed');
    const second = broker.connect();
    second.send('SUBSCRIBE', { destination, ...durable });
    expect(second.frame().body).toBe('missed');
    second.send('UNSUBSCRIBE', { id: 'mine' });
    sender.send('SEND', { destination }, 'again');
    second.send('SUBSCRIBE', { destination, ...durable });
    expect(second.frame().body).toBe('again');
    second.send('UNSUBSCRIBE', { id: 'mine', durable: 'true' });
    expect([...broker.world.engine.admin.queues('/')]).toEqual([]);
  });

  test('need an id', () => {
    const client = createBroker().connect('1.0');
    client.send('SUBSCRIBE', { destination: '/topic/a', durable: 'true' });
    expect(client.frame().headers['message']).toBe('Missing Header');
  });

  test('x-queue-name names the queue', () => {
    const broker = createBroker();
    const client = broker.connect();
    client.send('SUBSCRIBE', { destination: '/topic/a', id: '1', 'x-queue-name': 'mine' });
    expect([...broker.world.engine.admin.queues('/')]).toMatchObject([{ name: 'mine' }]);
    client.send('SEND', { destination: '/amq/queue/mine' }, 'direct');
    expect(client.frame().headers['destination']).toBe('/queue/mine');
  });

  test('an ordinary subscription leaves nothing behind', () => {
    const broker = createBroker();
    const client = broker.connect();
    client.send('SUBSCRIBE', { destination: '/topic/a', id: '1' });
    client.send('UNSUBSCRIBE', { id: '1' });
    client.send('SEND', { destination: '/topic/a' });
    expect(client.frames()).toEqual([]);
    expect([...broker.world.engine.admin.queues('/')]).toEqual([]);
  });
});

describe('UNSUBSCRIBE', () => {
  test('by destination is 1.0 only', () => {
    const broker = createBroker();
    const old = broker.connect('1.0');
    old.send('SUBSCRIBE', { destination: '/queue/a' });
    old.send('UNSUBSCRIBE', { destination: '/queue/a', receipt: 'r' });
    expect(old.frame().command).toBe('RECEIPT');
    const client = broker.connect('1.1');
    client.send('UNSUBSCRIBE', { destination: '/queue/a' });
    expect(client.frame().headers['message']).toBe('Missing destination or id');
  });

  test('of nothing is an error', () => {
    const client = createBroker().connect();
    client.send('UNSUBSCRIBE', { id: 'x' });
    expect(client.frame().headers['message']).toBe('No subscription found');
  });

  test('a subscription whose queue is deleted ends the connection', async () => {
    const { world, connect } = createBroker();
    const client = connect();
    client.send('SUBSCRIBE', { destination: '/queue/a', id: '1' });
    const session = await world.engine.open('/', world.principal('guest'));
    await session.deleteQueue('a', false, false);
    expect(client.frame().headers['message']).toBe('Server cancelled subscription');
  });
});

describe('permissions', () => {
  const login = { login: 'limited', passcode: 'secret' };

  test.each([
    ['SEND', '/queue/other'],
    ['SUBSCRIBE', '/queue/other'],
    ['SEND', '/exchange/amq.direct/x'],
    ['SUBSCRIBE', '/exchange/amq.direct/x'],
  ])('%s %s is refused where the user may not', (command, destination) => {
    const client = createBroker().connect('1.2', login);
    client.send(command, { destination, id: '1' });
    expect(client.frame().headers['message']).toBe('access_refused');
    expect(client.ended).toBe(true);
  });

  test('topics may be sent to where the user may', () => {
    const client = createBroker().connect('1.2', login);
    client.send('SEND', { destination: '/topic/a', receipt: 'r' });
    expect(client.frame().command).toBe('RECEIPT');
  });
});

describe('headers', () => {
  test('message-id is not allowed on SEND, nor another user than oneself', () => {
    const broker = createBroker();
    const client = broker.connect();
    client.send('SEND', { destination: 'a', 'message-id': '1' });
    expect(client.frame().body).toBe("'message-id' is not allowed on 'SEND'.\n");
    const other = broker.connect();
    other.send('SEND', { destination: '/queue/a', 'user-id': 'alice' });
    expect(other.frame().headers['message']).toBe('precondition_failed');
  });

  test.each([
    ['priority', 'high'],
    ['expiration', 'soon'],
    ['expires', '-1'],
  ])('%s must be a number', (name, value) => {
    const client = createBroker().connect();
    client.send('SEND', { destination: '/queue/a', [name]: value });
    expect(client.frame().headers['message']).toBe('Invalid header');
  });

  test('every header comes back, in order, repeated ones too', () => {
    const client = createBroker().connect();
    client.send('SUBSCRIBE', { destination: '/topic/h', id: '1' });
    client.raw(
      'SEND\ndestination:/topic/h\nb:1\na:2\\c\\n\\\\\nb:3\n' +
        'persistent:true\npriority:3\nreceipt:r\n\n\0',
    );
    const [, message] = client.frames();
    expect(message?.lines.slice(4)).toEqual([
      'b:1',
      'a:2\\c\\n\\\\',
      'b:3',
      'persistent:true',
      'priority:3',
      'content-length:0',
    ]);
  });

  test('escapes are those of the receiver', () => {
    const broker = createBroker();
    const clients = VERSIONS.map((version) => broker.connect(version));
    for (const client of clients) client.send('SUBSCRIBE', { destination: '/topic/e', id: '1' });
    const sender = broker.connect('1.2');
    sender.send('SEND', { destination: '/topic/e', 'a\\cb': 'x\\\\y\\c\\n\\r' });
    const lines = clients.map((client) => client.frame().lines[4]);
    expect(lines).toEqual(['a\\cb:x\\y:\\n\\r', 'a\\cb:x\\\\y\\c\\n\r', 'a\\cb:x\\\\y\\c\\n\\r']);
  });

  test('an expired message is not delivered', () => {
    const broker = createBroker();
    const client = broker.connect();
    client.send('SEND', { destination: '/queue/ttl', expiration: '1000' }, 'short');
    client.send('SEND', { destination: '/queue/ttl' }, 'long');
    broker.world.clock.advance(2000);
    client.send('SUBSCRIBE', { destination: '/queue/ttl', id: '1' });
    expect(client.frame().body).toBe('long');
  });
});
