import { describe, expect, test } from 'vitest';
import { NO_ARGUMENTS } from '../../../core/engine.ts';
import type { Message, Properties } from '../../../core/message.ts';
import { consume, observe, publish, sessionOf } from './bystander.ts';
import { createXmppWorld, type PipeClient, type XmppWorld } from './pipe-client.ts';

const CALL =
  '<methodCall><methodName>add</methodName><params><param><value><i4>2</i4></value></param></params></methodCall>';
const RESPONSE =
  '<methodResponse><params><param><value><i4>4</i4></value></param></params></methodResponse>';

function call(
  client: PipeClient,
  to: string,
  content: string = CALL,
  type: string = 'set',
): string {
  return client.send(
    `<iq type='${type}' id='c1' to='${to}'><query xmlns='jabber:iq:rpc'>${content}</query></iq>`,
  );
}

/** A worker of another protocol on the queue `work`, which answers as `answer` says. */
function worker(world: XmppWorld, answer: string): Message[] {
  const session = sessionOf(world);
  const seen: Message[] = [];
  session.declareQueue(
    { name: 'work', durable: false, exclusive: false, autoDelete: false, arguments: NO_ARGUMENTS },
    false,
  );
  consume(session, 'work', ({ message }) => {
    seen.push(message);
    const { replyTo, correlationId } = message.properties;
    if (replyTo === undefined || answer === '') return;
    const properties: Partial<Properties> = correlationId === undefined ? {} : { correlationId };
    publish(world, replyTo.exchange, replyTo.routingKey, answer, properties);
  });
  return seen;
}

describe('a call to a queue', () => {
  test('is worked on over another protocol, and answered', () => {
    const world = createXmppWorld();
    const seen = worker(world, `<?xml version="1.0"?>\n${RESPONSE}\n`);
    const answer = call(world.login('alice', 'a'), 'work@queues.localhost');
    expect(answer).toBe(
      `<iq type="result" from="work@queues.localhost" to="alice@localhost/a" id="c1"><query xmlns="jabber:iq:rpc">${RESPONSE}</query></iq>`,
    );
    expect(seen[0]?.body.toString()).toBe(`<?xml version="1.0"?>${CALL}`);
    expect(seen[0]?.properties).toMatchObject({
      contentType: 'text/xml',
      type: 'jabber:iq:rpc',
      userId: 'alice',
    });
    expect(seen[0]?.expiresAt).toBe(world.clock.now() + 60_000);
  });

  test.each([
    ['{"sum":4}', '{"sum":4}'],
    ['<methodResponse><broken', '&lt;methodResponse&gt;&lt;broken'],
  ])('an answer %j is its one value', (answer, text) => {
    const world = createXmppWorld();
    worker(world, answer);
    expect(call(world.login('alice', 'a'), 'work@queues.localhost')).toContain(
      `<methodResponse><params><param><value><string>${text}</string></value>`,
    );
  });

  test('nobody to work on it is told, as is a call that is none', () => {
    const world = createXmppWorld();
    const alice = world.login('alice', 'a');
    expect(call(alice, 'none@queues.localhost')).toContain('<item-not-found ');
    worker(world, RESPONSE);
    expect(call(alice, 'work@queues.localhost', '<other/>')).toContain('<bad-request ');
    expect(call(alice, 'work@queues.localhost', CALL, 'get')).toContain('<bad-request ');
    expect(call(world.login('limited', 'l'), 'work@queues.localhost')).toContain('<forbidden ');
  });

  test('ends when nobody answers in time, and late answers count for nothing', () => {
    const world = createXmppWorld();
    const seen = worker(world, '');
    const alice = world.login('alice', 'a');
    expect(call(alice, 'work@queues.localhost')).toBe('');
    world.clock.advance(60_000);
    expect(alice.take()).toContain('<remote-server-timeout ');
    const { replyTo, correlationId } = seen[0]?.properties ?? {};
    publish(world, '', replyTo?.routingKey ?? '', RESPONSE, {
      ...(correlationId === undefined ? {} : { correlationId }),
    });
    expect(alice.take()).toBe('');
  });

  test('waiting calls are bounded', () => {
    const world = createXmppWorld({ limits: { xmppCallsMax: 1 } });
    worker(world, '');
    const alice = world.login('alice', 'a');
    call(alice, 'work@queues.localhost');
    expect(call(alice, 'work@queues.localhost')).toContain('<resource-constraint ');
  });

  test('reaches an exchange too', () => {
    const world = createXmppWorld();
    const seen = observe(world, 'amq.topic', 'rpc.#');
    call(world.login('alice', 'a'), 'amq.topic%rpc.add@exchanges.localhost');
    expect(seen[0]?.properties.type).toBe('jabber:iq:rpc');
  });
});

describe('a call of another protocol to a client', () => {
  const ask = (world: XmppWorld, body: string): void =>
    publish(world, 'amq.xmpp', 'alice@localhost/a', body, {
      type: 'jabber:iq:rpc',
      correlationId: 'k1',
      replyTo: { exchange: '', routingKey: 'observer' },
    });

  test('is an iq there, and its result the answer', () => {
    const world = createXmppWorld();
    const answers = observe(world, '', '');
    const alice = world.login('alice', 'a');
    ask(world, `<?xml version="1.0"?>${CALL}`);
    const asked = alice.take();
    expect(asked).toMatch(
      /^<iq type="set" id="[^"]+" from="localhost" to="alice@localhost\/a"><query xmlns="jabber:iq:rpc"><methodCall>/,
    );
    const id = /id="([^"]+)"/.exec(asked)?.[1];
    const result = `<iq type='result' id='${id}' to='localhost'><query xmlns='jabber:iq:rpc'>${RESPONSE}</query></iq>`;
    expect(alice.send(result)).toBe('');
    expect(answers[0]?.body.toString()).toBe(`<?xml version="1.0"?>${RESPONSE}`);
    expect(answers[0]?.properties).toMatchObject({
      correlationId: 'k1',
      contentType: 'text/xml',
      userId: 'alice',
    });
    alice.send(result);
    expect(answers).toHaveLength(1);
  });

  test("a client's error is a fault, and nobody answers for another", () => {
    const world = createXmppWorld();
    const answers = observe(world, '', '');
    const alice = world.login('alice', 'a');
    ask(world, CALL);
    const id = /id="([^"]+)"/.exec(alice.take())?.[1];
    world
      .login('bob', 'b')
      .send(
        `<iq type='result' id='${id}' to='localhost'><query xmlns='jabber:iq:rpc'>${RESPONSE}</query></iq>`,
      );
    expect(answers).toEqual([]);
    alice.send(
      `<iq type='error' id='${id}' to='localhost'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`,
    );
    expect(answers[0]?.body.toString()).toContain(
      '<name>faultString</name><value><string>service-unavailable</string></value>',
    );
  });

  test('what is no XML-RPC is a message', () => {
    const world = createXmppWorld();
    const alice = world.login('alice', 'a');
    ask(world, 'hello');
    expect(alice.take()).toContain('<body>hello</body>');
  });
});
