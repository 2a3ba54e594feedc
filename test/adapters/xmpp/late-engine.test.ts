import { expect, test } from 'vitest';
import type { Gate } from '../../../adapters/adapter.ts';
import { xmpp } from '../../../adapters/xmpp/adapter.ts';
import type { Authenticator } from '../../../core/auth.ts';
import type { Engine } from '../../../core/engine.ts';
import { PipeTransport } from '../../support/pipe-transport.ts';
import { createWorld, PEER } from '../../support/world.ts';
import { HEADER, PipeClient, plain } from './pipe-client.ts';

/** Control calls that an engine or a back end elsewhere answers later. */
const LATE = new Set([
  ...['open', 'declareQueue', 'deleteQueue', 'bind', 'unbind', 'hasQueue', 'consume', 'retained'],
  ...['declareExchange', 'deleteExchange', 'temporaryQueue', 'close', 'authenticate', 'exists'],
]);

/** The same object, whose control calls answer with promises, and whose sessions do too. */
function late<T extends object>(target: T): T {
  return new Proxy(target, {
    get(_, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const call = value.bind(target) as (...args: unknown[]) => unknown;
      if (typeof name !== 'string' || !LATE.has(name)) return call;
      return async (...args: unknown[]) => {
        await Promise.resolve();
        const answer = call(...args);
        return name === 'open' ? late(answer as object) : answer;
      };
    },
  });
}

/** Lets everything that waits come to its end. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 500; turn++) await Promise.resolve();
}

async function start(): Promise<{ gate: Gate; connect: () => PipeClient }> {
  const { context, engine } = createWorld();
  const gate = await xmpp.start(
    {
      ...context,
      engine: late<Engine>(engine),
      authenticator: late<Authenticator>(context.authenticator),
    },
    xmpp.options({}),
  );
  const connect = (): PipeClient => {
    const transport = new PipeTransport();
    return new PipeClient(transport, gate.accept(transport, PEER, { protocol: 'xmpp' }));
  };
  return { gate, connect };
}

/** Up to the stream that may bind: nobody sends on before the server's success. */
async function loggedIn(connect: () => PipeClient, user: string): Promise<PipeClient> {
  const client = connect();
  client.send(HEADER);
  const login = plain(user, 'secret');
  client.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${login}</auth>`);
  await settle();
  expect(client.take()).toContain('<success');
  return client;
}

const bind = (resource: string): string =>
  `${HEADER}<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>${resource}</resource></bind></iq>`;

test('everything sent in one go is done in its order while answers are awaited', async () => {
  const { connect } = await start();
  const bob = await loggedIn(connect, 'bob');
  bob.send(`${bind('b')}<presence/>`);
  await settle();
  expect(bob.take()).toContain('bob@localhost/b</jid>');
  const alice = await loggedIn(connect, 'alice');
  alice.send(
    bind('a') +
      "<message to='bob@localhost' type='chat'><body>1</body></message>" +
      "<message to='bob@localhost/b' type='chat'><body>2</body></message>" +
      "<message to='jobs@queues.localhost'><body>w</body></message>" +
      "<presence to='jobs@queues.localhost'/>" +
      "<presence to='r@rooms.localhost/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>" +
      "<message to='r@rooms.localhost' type='groupchat'><body>room</body></message>" +
      "<iq type='set' id='s' to='pubsub.localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='n' jid='alice@localhost/a'/></pubsub></iq>" +
      "<message to='bob@localhost' type='chat'><body>3</body></message>" +
      '</stream:stream>',
  );
  await settle();
  const answers = alice.take();
  expect(answers).toContain('alice@localhost/a</jid>');
  expect(answers).toContain('<body>w</body>');
  expect(answers).toContain('<body>room</body>');
  expect(answers).toContain('<subscription node="n"');
  expect(answers).toMatch(/<\/stream:stream>$/);
  expect(bob.take().match(/<body>\d/g)).toEqual(['<body>1', '<body>2', '<body>3']);
  expect(alice.transport.held).toBe(0);
});

test('a connection that goes away while an answer is awaited leaves nothing', async () => {
  const { gate, connect } = await start();
  const alice = await loggedIn(connect, 'alice');
  alice.send(`${bind('a')}<presence/>`);
  alice.connection.closed(new Error('reset'));
  await settle();
  const bob = await loggedIn(connect, 'bob');
  bob.send(`${bind('b')}<presence/>`);
  await settle();
  bob.send("<presence to='jobs@queues.localhost'/>");
  bob.connection.closed(null);
  await settle();
  const again = await loggedIn(connect, 'bob');
  again.send(`${bind('b')}<presence/>`);
  await settle();
  again.send("<message to='jobs@queues.localhost'><body>x</body></message>");
  await settle();
  again.send("<presence to='jobs@queues.localhost'/>");
  await settle();
  expect(again.take()).toContain('<body>x</body>');
  await gate.stop();
  expect(again.take()).toContain('<system-shutdown ');
});
