import { describe, expect, test } from 'vitest';
import { LateStore } from '../../support/late-store.ts';
import { createBroker, type Received } from './script.ts';

const VERSIONS = ['1.0', '1.1', '1.2'];

test("a SEND's receipt comes before its message, and messages keep their order", () => {
  const store = new LateStore();
  const broker = createBroker({}, { store });
  const [client, other] = [broker.connect(), broker.connect()];
  const ack = 'client-individual';
  client.send('SUBSCRIBE', { destination: '/queue/a', id: '1', ack });
  client.send('SUBSCRIBE', { destination: '/topic/t', id: '2' });
  client.send('SEND', { destination: '/queue/a', persistent: 'true', receipt: 'r1' }, 'stored');
  other.send('SEND', { destination: '/queue/a' }, 'behind');
  other.send('SEND', { destination: '/topic/t' }, 'beside');
  client.send('SEND', { destination: '/topic/t', receipt: 'r2' }, 'transient');
  const told = (): string[] => client.frames().map((f) => f.headers['receipt-id'] ?? f.body);
  expect(told()).toEqual(['beside', 'r2', 'transient']);
  store.answer();
  expect(told()).toEqual(['r1', 'stored', 'behind']);
  client.send('SEND', { destination: '/queue/a', persistent: 'true', receipt: 'r3' }, 'last');
  client.send('UNSUBSCRIBE', { id: '1', receipt: 'u' });
  expect(told()).toEqual(['last', 'u']);
  store.answer();
  expect(told()).toEqual(['r3']);
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
      'r',
      'c',
      '1',
    ]);
    expect(frames[2]?.headers).not.toHaveProperty('transaction');
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

  test('a delivery that a cumulative ACK of the transaction includes may be named too', () => {
    const client = createBroker().connect();
    client.send('SUBSCRIBE', { destination: '/queue/a', id: '1', ack: 'client' });
    for (const body of ['1', '2']) client.send('SEND', { destination: '/queue/a' }, body);
    const ids = client.frames().map((frame) => frame.headers['ack'] ?? '');
    client.send('BEGIN', { transaction: 't' });
    for (const id of [...ids].reverse()) client.send('ACK', { id, transaction: 't' });
    client.send('COMMIT', { transaction: 't', receipt: 'r' });
    expect(client.frame().headers['receipt-id']).toBe('r');
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
