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
      /^MESSAGE\nsubscription:XsKNhAf\ndestination:\/exchange\/amq.fanout\nmessage-id:T_XsKNhAf@@session-[^\n]+\nredelivered:false\ncontent-type:text\/plain\ncontent-length:3\n\nhi\n\0$/,
    );
  });

  test('a 1.0 subscription needs no id and has none', () => {
    const client = createBroker().connect('1.0');
    client.raw(
      '\nSUBSCRIBE\ndestination:/exchange/amq.fanout\n\n\0\n\0SEND\ndestination:/exchange/amq.fanout\n\nhello\n\0\n',
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

describe('acknowledging', () => {
  function waiting(version: string, ack: string) {
    const broker = createBroker();
    const client = broker.connect(version);
    client.send('SUBSCRIBE', { destination: '/queue/a', id: '1', ack });
    for (const body of ['1', '2', '3']) client.send('SEND', { destination: '/queue/a' }, body);
    const messages = client.frames();
    const settle = (command: string, index: number, extra: Record<string, string> = {}): void => {
      const { headers } = messages[index] as Received;
      if (version === '1.2') client.send(command, { id: headers['ack'] ?? '', ...extra });
      else {
        const id = headers['message-id'] ?? '';
        client.send(command, { 'message-id': id, subscription: '1', ...extra });
      }
    };
    const left = (): string[] => {
      client.lose();
      const other = broker.connect();
      other.send('SUBSCRIBE', { destination: '/queue/a', id: '1' });
      return other.frames().map((frame) => frame.body);
    };
    return { client, messages, settle, left };
  }

  test.each(VERSIONS)('client is cumulative, client-individual is not (%s)', (version) => {
    const cumulative = waiting(version, 'client');
    cumulative.settle('ACK', 1);
    expect(cumulative.left()).toEqual(['3']);
    const individual = waiting(version, 'client-individual');
    individual.settle('ACK', 1);
    expect(individual.left()).toEqual(['1', '3']);
  });

  test('NACK is cumulative in client mode too', () => {
    const { client, settle } = waiting('1.2', 'client');
    settle('NACK', 1);
    expect(client.frames().map((frame) => frame.body)).toEqual(['1', '2']);
  });

  test('only 1.2 messages that want an ACK have an ack header', () => {
    expect(waiting('1.2', 'client').messages[0]?.headers).toHaveProperty('ack');
    expect(waiting('1.1', 'client').messages[0]?.headers).not.toHaveProperty('ack');
    expect(waiting('1.2', 'auto').messages[0]?.headers).not.toHaveProperty('ack');
  });

  test('an ACK of nothing is an error, whatever it names', () => {
    const twice = waiting('1.2', 'client');
    twice.settle('ACK', 0);
    twice.settle('ACK', 0);
    expect(twice.client.frame().headers['message']).toBe('Message not found');
    const cases: [version: string, headers: Record<string, string>, message: string][] = [
      ['1.2', { id: 'nonsense' }, 'Invalid header'],
      ['1.2', { id: 'T_1@@session-other@@1.1' }, 'Invalid header'],
      ['1.2', { 'message-id': '1' }, 'Missing header'],
      ['1.1', { id: '1' }, 'Missing header'],
    ];
    for (const [version, headers, message] of cases) {
      const { client } = waiting(version, 'client');
      client.send('ACK', headers);
      expect(client.frame().headers['message']).toBe(message);
      expect(client.ended).toBe(true);
    }
  });

  test('an ACK that names another subscription is an error', () => {
    const { client, messages } = waiting('1.1', 'client');
    const id = messages[0]?.headers['message-id'] ?? '';
    client.send('ACK', { 'message-id': id, subscription: '2' });
    expect(client.frame().headers['message']).toBe('Invalid header');
  });

  test('what was delivered may be acknowledged after UNSUBSCRIBE', () => {
    const { client, settle, left } = waiting('1.2', 'client');
    client.send('UNSUBSCRIBE', { id: '1', receipt: 'u' });
    settle('ACK', 1, { receipt: 'a' });
    expect(client.frames().map((frame) => frame.headers['receipt-id'])).toEqual(['u', 'a']);
    expect(left()).toEqual(['3']);
  });

  test('prefetch-count bounds what is out', () => {
    const client = createBroker().connect();
    client.send('SUBSCRIBE', {
      destination: '/topic/p',
      id: '1',
      ack: 'client',
      'prefetch-count': '2',
    });
    for (let number = 0; number < 5; number++) client.send('SEND', { destination: '/topic/p' });
    const messages = client.frames();
    expect(messages.length).toBe(2);
    client.send('ACK', { id: messages[1]?.headers['ack'] ?? '' });
    expect(client.frames().length).toBe(2);
  });

  test('a client that does not read is not given more', () => {
    const client = createBroker().connect();
    client.send('SUBSCRIBE', { destination: '/queue/slow', id: '1' });
    client.transport.congested = true;
    for (let number = 0; number < 5; number++) client.send('SEND', { destination: '/queue/slow' });
    expect(client.frames().length).toBe(1);
    client.transport.congested = false;
    client.connection.drained();
    expect(client.frames().length).toBe(4);
  });
});

describe('receipts', () => {
  test('every frame that asks for one gets one', () => {
    const client = createBroker().connect();
    client.send('SUBSCRIBE', {
      destination: '/queue/a',
      id: '1',
      ack: 'client',
      receipt: 'subscribe',
    });
    client.send('SEND', { destination: '/queue/a', receipt: 'send' }, 'x');
    const frames = client.frames();
    const message = frames.find((frame) => frame.command === 'MESSAGE');
    client.send('BEGIN', { transaction: 't', receipt: 'begin' });
    client.send('ACK', { id: message?.headers['ack'] ?? '', transaction: 't', receipt: 'ack' });
    client.send('COMMIT', { transaction: 't', receipt: 'commit' });
    client.send('BEGIN', { transaction: 't', receipt: 'begin again' });
    client.send('ABORT', { transaction: 't', receipt: 'abort' });
    client.send('UNSUBSCRIBE', { id: '1', receipt: 'unsubscribe' });
    client.send('DISCONNECT', { receipt: 'disconnect' });
    const receipts = [...frames, ...client.frames()]
      .filter((frame) => frame.command === 'RECEIPT')
      .map((frame) => frame.headers['receipt-id']);
    expect(receipts).toEqual([
      'subscribe',
      'send',
      'begin',
      'ack',
      'commit',
      'begin again',
      'abort',
      'unsubscribe',
      'disconnect',
    ]);
  });

  test('that of SUBSCRIBE comes before what the queue has for it', () => {
    const client = createBroker().connect();
    client.send('SEND', { destination: '/queue/early' }, 'waiting');
    client.send('SUBSCRIBE', { destination: '/queue/early', id: '1', receipt: 'r' });
    expect(client.frames().map((frame) => frame.command)).toEqual(['RECEIPT', 'MESSAGE']);
  });

  test('a message that nobody takes is received, unless it is mandatory', () => {
    const broker = createBroker();
    const client = broker.connect();
    client.send('SEND', { destination: '/topic/nobody', receipt: '1' });
    expect(client.frame()).toMatchObject({ command: 'RECEIPT' });
    client.send('SEND', { destination: '/topic/nobody', receipt: '2', mandatory: 'true' });
    expect(client.frame()).toMatchObject({
      command: 'ERROR',
      headers: { message: 'Message not routed', 'receipt-id': '2' },
    });
    expect(client.ended).toBe(true);
  });

  test('a message that its queue refuses is an error', () => {
    const client = createBroker().connect();
    const limits = { 'x-max-length': '1', 'x-overflow': 'reject-publish' };
    client.send('SEND', { destination: '/queue/full', receipt: '1', ...limits }, 'x');
    expect(client.frame().command).toBe('RECEIPT');
    client.send('SEND', { destination: '/queue/full', receipt: '2' }, 'y');
    expect(client.frame()).toMatchObject({ command: 'ERROR', headers: { 'receipt-id': '2' } });
  });
});

describe('transactions', () => {
  test('COMMIT sends what it holds, with their receipts; ABORT forgets it', () => {
    const client = createBroker().connect();
    client.send('SUBSCRIBE', { destination: '/exchange/amq.fanout', id: '1' });
    client.send('BEGIN', { transaction: 't' });
    client.send(
      'SEND',
      { destination: '/exchange/amq.fanout', transaction: 't', receipt: 'r' },
      '1',
    );
    client.send('SEND', { destination: '/exchange/amq.fanout' }, '2');
    expect(client.frame().body).toBe('2');
    client.send('COMMIT', { transaction: 't', receipt: 'c' });
    const frames = client.frames();
    expect(frames.map((frame) => frame.body || frame.headers['receipt-id'])).toEqual([
      '1',
      'r',
      'c',
    ]);
    expect(frames[0]?.headers).not.toHaveProperty('transaction');
    client.send('BEGIN', { transaction: 't' });
    client.send(
      'SEND',
      { destination: '/exchange/amq.fanout', transaction: 't', receipt: 'x' },
      '3',
    );
    client.send('ABORT', { transaction: 't', receipt: 'a' });
    expect(client.frames().map((frame) => frame.headers['receipt-id'])).toEqual(['x', 'a']);
  });

  test('an aborted ACK never was', () => {
    const client = createBroker().connect();
    client.send('SUBSCRIBE', { destination: '/queue/a', id: '1', ack: 'client' });
    client.send('SEND', { destination: '/queue/a' }, '1');
    client.send('SEND', { destination: '/queue/a' }, '2');
    const ids = client.frames().map((frame) => frame.headers['ack'] ?? '');
    client.send('BEGIN', { transaction: 't' });
    client.send('ACK', { id: ids[0] ?? '', transaction: 't' });
    client.send('ABORT', { transaction: 't' });
    client.send('NACK', { id: ids[1] ?? '' });
    expect(client.frames().map((frame) => frame.body)).toEqual(['1', '2']);
  });

  test('nothing is sent where the client goes before COMMIT', () => {
    const broker = createBroker();
    const client = broker.connect();
    client.send('BEGIN', { transaction: 't' });
    client.send('SEND', { destination: '/queue/a', transaction: 't' }, '1');
    client.lose();
    expect([...broker.world.engine.admin.queues('/')]).toMatchObject([{ name: 'a', ready: 0 }]);
  });

  test.each([
    ['BEGIN', {}, 'Missing transaction'],
    ['COMMIT', { transaction: 'x' }, 'Bad transaction'],
    ['ABORT', { transaction: 'x' }, 'Bad transaction'],
    ['SEND', { destination: '/queue/a', transaction: 'x' }, 'Bad transaction'],
    ['BEGIN', { transaction: 'open' }, 'Bad transaction'],
  ])('%s %j is refused: %s', (command, headers: Record<string, string>, message: string) => {
    const client = createBroker().connect();
    client.send('BEGIN', { transaction: 'open' });
    client.send(command, headers);
    expect(client.frame().headers['message']).toBe(message);
  });

  test('a transaction is bounded', () => {
    const client = createBroker({}, { limits: { transactionFramesMax: 2 } }).connect();
    client.send('BEGIN', { transaction: 't' });
    for (let sends = 0; sends < 3; sends++) {
      client.send('SEND', { destination: '/queue/a', transaction: 't' });
    }
    expect(client.frame().headers['message']).toBe('Transaction too large');
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
      'SEND\ndestination:/topic/h\nb:1\na:2\\c\\n\\\\\nb:3\npersistent:true\npriority:3\nreceipt:r\n\n\0',
    );
    const [message] = client.frames();
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
