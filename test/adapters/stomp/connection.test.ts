import { describe, expect, test } from 'vitest';
import { createBroker } from './script.ts';

describe('connecting', () => {
  test('answers CONNECT with the highest common version, a session and the server', () => {
    const client = createBroker().dial();
    client.send('CONNECT', {
      'accept-version': '1.0,1.1,1.2',
      host: '/',
      login: 'guest',
      passcode: 'guest',
    });
    const connected = client.frame();
    expect(connected.command).toBe('CONNECTED');
    expect(connected.headers).toMatchObject({
      version: '1.2',
      'heart-beat': '0,0',
      server: 'RabbitMQ/3.10.8 (RosettaMQ/0.0.0)',
    });
    expect(connected.headers['session']).toMatch(/^session-/);
    expect(client.transport.loggedIn).toBe(true);
  });

  test.each([
    ['1.0', '1.0'],
    ['1.1', '1.1'],
    ['1.0,1.1', '1.1'],
    ['1.1,1.0,2.0', '1.1'],
    ['1.2', '1.2'],
  ])('negotiates %s to %s', (accepted, version) => {
    const client = createBroker().dial();
    client.send('STOMP', { 'accept-version': accepted, login: 'guest', passcode: 'guest' });
    expect(client.frame().headers['version']).toBe(version);
  });

  test('is 1.0 where the client names no version, and takes blanks before 1.0 values', () => {
    const client = createBroker().dial();
    client.raw('CONNECT\nlogin: guest\npasscode: guest\n\n\0');
    expect(client.frame().headers['version']).toBe('1.0');
  });

  test('refuses versions that it does not know, and says which it does', () => {
    const client = createBroker().dial();
    client.send('CONNECT', { 'accept-version': '3.0', login: 'guest', passcode: 'guest' });
    const error = client.frame();
    expect(error.command).toBe('ERROR');
    expect(error.headers).toMatchObject({
      message: 'Version mismatch',
      version: '1.0,1.1,1.2',
      'content-type': 'text/plain',
    });
    expect(error.body).toBe('Supported versions are 1.0,1.1,1.2\n');
    expect(client.transport.ended).toBe('end');
  });

  test.each([
    [
      'a wrong passcode',
      { login: 'guest', passcode: 'wrong' },
      "Access refused for user 'guest'\n",
    ],
    ['an unknown user', { login: 'gust', passcode: 'guest' }, "Access refused for user 'gust'\n"],
    ['no login at all', {}, 'Missing login or passcode header(s)\n'],
    [
      'a vhost that the user may not enter',
      { login: 'alice', passcode: 'secret', host: 'other' },
      "Virtual host 'other' access denied\n",
    ],
    [
      'a host that can only mean a vhost, and is none',
      { login: 'guest', passcode: 'guest', host: '//' },
      "Virtual host '//' access denied\n",
    ],
  ])('refuses %s', (_, headers: Record<string, string>, detail) => {
    const { world, dial } = createBroker();
    const client = dial();
    client.send('CONNECT', { 'accept-version': '1.2', ...headers });
    const error = client.frame();
    expect(error.headers['message']).toBe('Bad CONNECT');
    expect(error.body).toBe(detail);
    expect(client.ended).toBe(true);
    expect(world.meter.protocol('stomp').loginsRefused).toBe(1);
  });

  test.each(['127.0.0.1', 'localhost', 'broker.example.org', '[::1]', ''])(
    'takes a host header of %j for the default vhost',
    (host) => {
      expect(createBroker().connect('1.2', { host }).ended).toBe(false);
    },
  );

  test('lets clients without a login in as the configured user', () => {
    const client = createBroker({ defaultUser: 'alice' }).dial();
    client.send('CONNECT', { 'accept-version': '1.2', host: '/' });
    expect(client.frame().command).toBe('CONNECTED');
  });

  test('takes a client without a login for whom its certificate names', () => {
    const { dial } = createBroker({ defaultUser: 'guest' });
    const [client, named, stranger] = [dial(), dial(), dial()];
    for (const each of [client, named]) each.transport.certifiedUser = 'alice';
    stranger.transport.certifiedUser = 'nobody';
    client.send('CONNECT', { 'accept-version': '1.2' });
    expect(client.frame().command).toBe('CONNECTED');
    client.send('SEND', { destination: '/queue/a', 'user-id': 'alice', receipt: 'r' });
    expect(client.frame().command).toBe('RECEIPT');
    named.send('CONNECT', { 'accept-version': '1.2', login: 'guest', passcode: 'wrong' });
    expect(named.frame().body).toBe("Access refused for user 'guest'\n");
    stranger.send('CONNECT', { 'accept-version': '1.2' });
    expect(stranger.frame().body).toBe("Access refused for user 'nobody'\n");
  });

  test('refuses other frames before CONNECT, and a second CONNECT', () => {
    const broker = createBroker();
    const early = broker.dial();
    early.send('SEND', { destination: '/queue/a' });
    expect(early.frame().headers['message']).toBe('Illegal command');
    expect(early.ended).toBe(true);
    const twice = broker.connect();
    twice.send('CONNECT', { 'accept-version': '1.2', login: 'guest', passcode: 'guest' });
    expect(twice.frame().headers['message']).toBe('Illegal command');
  });

  test('takes no large body before CONNECT, and any legal one after it', () => {
    const body = 'x'.repeat(2000);
    const early = createBroker().dial();
    early.send('SEND', { destination: '/queue/a' }, body);
    expect(early.frame().headers['message']).toBe('Message too large');
    const client = createBroker().connect();
    client.send('SEND', { destination: '/queue/a', receipt: 'r' }, body);
    expect(client.frame().command).toBe('RECEIPT');
  });

  test('answers an unknown command as RabbitMQ does', () => {
    const client = createBroker().connect('1.0');
    client.raw('WRONGCOMMAND\ndestination:a\nexchange:amq.fanout\n\n\0');
    expect(client.transport.sent().toString()).toBe(
      'ERROR\nmessage:Bad command\ncontent-type:text/plain\nversion:1.0,1.1,1.2\n' +
        'content-length:43\n\nCould not interpret command "WRONGCOMMAND"\n\0',
    );
    expect(client.ended).toBe(true);
  });

  test('a destination without slashes is a queue; an empty one is none', () => {
    const client = createBroker().connect();
    client.send('SUBSCRIBE', { destination: '/queue/plain', id: '1' });
    client.send('SEND', { destination: 'plain' }, 'x');
    expect(client.frame()).toMatchObject({ headers: { destination: '/queue/plain' }, body: 'x' });
    client.send('SEND', { destination: '' });
    expect(client.frame()).toMatchObject({
      headers: { message: 'Invalid destination' },
      body: 'Destination cannot be blank\n',
    });
  });

  test('CONNECT may be left out where the configuration says so', () => {
    const client = createBroker({ defaultUser: 'alice', implicitConnect: true }).dial();
    client.send('SUBSCRIBE', { destination: '/queue/a' });
    client.send('SEND', { destination: '/queue/a', 'user-id': 'alice', note: 'a\\nb' }, 'x');
    const message = client.frame();
    expect(message.lines.slice(0, 1)).toEqual(['destination:/queue/a']);
    expect(message.lines).toContain('note:a\\nb');
    const unknown = createBroker({ defaultUser: 'alice', implicitConnect: true }).dial();
    unknown.raw('GET / HTTP/1.1\n\n\0');
    expect(unknown.frame().headers['message']).toBe('Bad command');
  });

  test('names the offending receipt in ERROR, and reads nothing afterwards', () => {
    const client = createBroker().connect();
    client.send('SEND', { destination: '/nowhere', receipt: 'r:1'.replace(':', '\\c') });
    expect(client.frame().headers['receipt-id']).toBe('r:1');
    client.send('SEND', { destination: '/queue/a', receipt: 'r2' });
    expect(client.frames()).toEqual([]);
  });

  test('ends each WebSocket message after one frame', () => {
    const client = createBroker().dial(true);
    client.send('CONNECT', { 'accept-version': '1.2', login: 'guest', passcode: 'guest' });
    client.send('SUBSCRIBE', { destination: '/topic/a', id: '1', receipt: 's' });
    client.send('SEND', { destination: '/topic/a' }, 'one');
    const commands = client.transport.messages.map((message) => message.toString().split('\n')[0]);
    expect(commands).toEqual(['CONNECTED', 'RECEIPT', 'MESSAGE']);
  });
});

describe('heart-beats', () => {
  function beating(sends: number, wants: number) {
    const broker = createBroker();
    const client = broker.dial();
    client.send('CONNECT', {
      'accept-version': '1.2',
      login: 'guest',
      passcode: 'guest',
      'heart-beat': `${sends},${wants}`,
    });
    return { client, clock: broker.world.clock, connected: client.frame() };
  }

  test('promises what the client wants and wants what it promises', () => {
    expect(beating(5000, 4000).connected.headers['heart-beat']).toBe('4000,5000');
  });

  test('beats within the interval while nothing else is sent', () => {
    const { client, clock } = beating(0, 1000);
    clock.advance(500);
    client.transport.sent();
    for (let beats = 0; beats < 3; beats++) {
      clock.advance(1000);
      expect(client.transport.sent().toString()).toMatch(/^\n+$/);
    }
  });

  test('does not beat where the client wants none', () => {
    const { client, clock } = beating(0, 0);
    clock.advance(100_000);
    expect(client.transport.sent().length).toBe(0);
    expect(client.ended).toBe(false);
  });

  test('closes a client that is silent for twice its interval, not one that beats', () => {
    const silent = beating(1000, 0);
    silent.clock.advance(1999);
    expect(silent.client.ended).toBe(false);
    silent.clock.advance(1);
    expect(silent.client.transport.ended).toBe('destroy');
    const alive = beating(1000, 0);
    for (let beats = 0; beats < 10; beats++) {
      alive.clock.advance(1500);
      alive.client.raw('\n');
    }
    expect(alive.client.ended).toBe(false);
  });

  test('does not close a client that nothing is read from', () => {
    const { client, clock } = beating(1000, 0);
    client.transport.hold();
    clock.advance(60_000);
    client.transport.release();
    clock.advance(1500);
    expect(client.ended).toBe(false);
    clock.advance(1000);
    expect(client.transport.ended).toBe('destroy');
  });

  test('stops its timers with the connection', () => {
    const { client, clock } = beating(1000, 1000);
    client.lose();
    clock.advance(10_000);
    expect(client.transport.sent().toString().replaceAll('\n', '')).toBe('');
    expect(clock.pending).toBe(0);
  });

  test('refuses a heart-beat header that is no pair of numbers', () => {
    const client = createBroker().dial();
    client.send('CONNECT', { 'accept-version': '1.1', login: 'guest', 'heart-beat': 'often' });
    expect(client.frame().headers['message']).toBe('Invalid header');
  });
});

describe('ending', () => {
  test('answers DISCONNECT after everything before it, then closes', () => {
    const client = createBroker().connect();
    client.send('SEND', { destination: '/queue/a', receipt: 'first' }, 'x');
    client.send('DISCONNECT', { receipt: 'last' });
    expect(client.frames().map((frame) => frame.headers['receipt-id'])).toEqual(['first', 'last']);
    expect(client.transport.ended).toBe('end');
  });

  test('gives unacknowledged messages back when the client goes', () => {
    const broker = createBroker();
    const first = broker.connect();
    first.send('SUBSCRIBE', { destination: '/queue/a', id: '1', ack: 'client' });
    first.send('SEND', { destination: '/queue/a' }, 'x');
    expect(first.frame().headers['redelivered']).toBe('false');
    first.lose();
    const second = broker.connect();
    second.send('SUBSCRIBE', { destination: '/queue/a', id: '1' });
    expect(second.frame().headers['redelivered']).toBe('true');
  });

  test('says good-bye to every client when the gate stops', async () => {
    const broker = createBroker();
    const [one, two, fresh] = [broker.connect(), broker.connect('1.0'), broker.dial()];
    await broker.gate.stop();
    for (const client of [one, two, fresh]) {
      expect(client.frame().headers['message']).toBe('Server shutting down');
      expect(client.transport.ended).toBe('end');
    }
  });
});
