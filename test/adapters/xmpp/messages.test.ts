import { describe, expect, test } from 'vitest';
import { NO_ARGUMENTS } from '../../../core/engine.ts';
import { observe, publish, sessionOf } from './bystander.ts';
import { createXmppWorld, HEADER, type PipeClient, type XmppWorld } from './pipe-client.ts';

const chat = (to: string, body: string): string =>
  `<message to='${to}' type='chat'><body>${body}</body></message>`;

describe('messages between people (RFC 6121 8.5)', () => {
  test('a chat goes to the resources of the highest priority', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const low = world.online('bob', 'low', 1);
    const high = world.online('bob', 'high', 5);
    const also = world.online('bob', 'also', 5);
    low.take();
    high.take();
    alice.send(chat('bob@localhost', 'x'));
    const expected =
      '<message from="alice@localhost/a" to="bob@localhost" type="chat"><body>x</body></message>';
    expect(high.take()).toContain(expected);
    expect(also.take()).toContain(expected);
    expect(low.take()).toBe('');
  });

  test('a headline goes to all, and is not kept', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    alice.send("<message to='bob@localhost' type='headline'><body>old</body></message>");
    const low = world.online('bob', 'low', 1);
    const high = world.online('bob', 'high', 5);
    const never = world.online('bob', 'never', -1);
    low.take();
    high.take();
    never.take();
    alice.send("<message to='bob@localhost' type='headline'><body>new</body></message>");
    for (const client of [low, high])
      expect(client.take()).toMatch(/^<message[^>]*type="headline"><body>new<\/body><\/message>$/);
    expect(never.take()).toBe('');
  });

  test('a full address is for that resource, whatever its priority or presence', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const silent = world.login('bob', 'silent');
    const loud = world.online('bob', 'loud', 9);
    loud.take();
    alice.send(chat('bob@localhost/silent', 'x'));
    expect(silent.take()).toContain('to="bob@localhost/silent" type="chat"><body>x</body>');
    expect(loud.take()).toBe('');
  });

  test('a full address that is gone: a chat goes to the others, a groupchat comes back, the rest is dropped', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const bob = world.online('bob', 'b');
    bob.take();
    alice.send(chat('bob@localhost/gone', 'x'));
    expect(bob.take()).toContain('<body>x</body>');
    expect(
      alice.send("<message to='bob@localhost/gone' type='groupchat'><body>x</body></message>"),
    ).toContain('<service-unavailable ');
    expect(
      alice.send("<message to='bob@localhost/gone' type='headline'><body>x</body></message>"),
    ).toBe('');
    expect(alice.send("<message to='bob@localhost/gone' type='error'><error/></message>")).toBe('');
    expect(bob.take()).toBe('');
    expect(
      alice.send("<message to='bob@localhost' type='groupchat'><body>x</body></message>"),
    ).toContain('<service-unavailable ');
  });

  test('errors reach the resource that they are for', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const bob = world.online('bob', 'b');
    bob.take();
    alice.send(
      "<message to='bob@localhost/b' type='error' id='e'><error type='cancel'/></message>",
    );
    expect(bob.take()).toContain('type="error" id="e"><error type="cancel"/></message>');
  });

  test('without an address it is for oneself', () => {
    const alice = createXmppWorld().online('alice', 'a');
    expect(alice.send("<message type='chat'><body>note</body></message>")).toContain(
      'to="alice@localhost" type="chat"><body>note</body>',
    );
  });
});

describe('while a person is away (XEP-0160)', () => {
  test('chats wait, in order, with their time; what only says that somebody types does not', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    alice.send(chat('bob@localhost', '1'));
    alice.send(
      "<message to='bob@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    alice.send(
      "<message to='bob@localhost' type='chat'><body>secret</body><no-store xmlns='urn:xmpp:hints'/></message>",
    );
    alice.send(
      "<message to='bob@localhost'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
    );
    alice.send(chat('bob@localhost', '2'));
    world.clock.advance(60_000);
    const bob = world.login('bob', 'b');
    expect(bob.send('<presence><priority>-1</priority></presence>')).not.toContain('<message');
    const got = bob.send('<presence/>');
    const stamp =
      '<delay xmlns="urn:xmpp:delay" from="localhost" stamp="2026-01-01T00:00:00.000Z"/></message>';
    expect(got.match(/<message.*?<\/message>/g)).toEqual([
      `<message from="alice@localhost/a" to="bob@localhost" type="chat"><body>1</body>${stamp}`,
      `<message from="alice@localhost/a" to="bob@localhost"><received xmlns="urn:xmpp:receipts" id="1"/>${stamp}`,
      `<message from="alice@localhost/a" to="bob@localhost" type="chat"><body>2</body>${stamp}`,
    ]);
    expect(world.login('bob', 'c').send('<presence/>')).not.toContain('<message');
    alice.send(chat('bob@localhost', '3'));
    expect(bob.take()).not.toContain('<delay');
  });

  test('a full inbox refuses', () => {
    const world = createXmppWorld({ limits: { xmppOfflineMessagesMax: 2 } });
    const alice = world.online('alice', 'a');
    expect(alice.send(chat('bob@localhost', '1') + chat('bob@localhost', '2'))).toBe('');
    expect(alice.send(chat('bob@localhost', '3'))).toContain('type="error"');
  });

  test('an inbox that was declared otherwise serves as it is', () => {
    const world = createXmppWorld();
    sessionOf(world).declareQueue(
      {
        name: 'xmpp-inbox-bob@localhost',
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: NO_ARGUMENTS,
      },
      false,
    );
    const alice = world.online('alice', 'a');
    alice.send(chat('bob@localhost', 'x'));
    expect(world.login('bob', 'b').send('<presence/>')).toContain('<body>x</body>');
  });

  test('an inbox that somebody deletes comes back', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const bob = world.online('bob', 'b');
    sessionOf(world).deleteQueue('xmpp-inbox-bob@localhost', false, false);
    world.clock.advance(1);
    bob.take();
    alice.send(chat('bob@localhost', 'x'));
    expect(bob.take()).toContain('<body>x</body>');
  });

  test('leaving stops deliveries to the inbox', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const bob = world.online('bob', 'b');
    bob.send("<presence type='unavailable'/>");
    bob.take();
    alice.send(chat('bob@localhost', 'later'));
    expect(bob.take()).toBe('');
    expect(bob.send('<presence/>')).toContain('<body>later</body>');
  });
});

describe('carbons (XEP-0280)', () => {
  const enable = (client: PipeClient): string =>
    client.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");

  test('copies of what was sent and received go to the other resources', () => {
    const world = createXmppWorld();
    const one = world.online('alice', 'one', 5);
    const two = world.online('alice', 'two', 1);
    const bob = world.online('bob', 'b');
    expect(enable(two)).toContain('type="result"');
    one.take();
    two.take();
    one.send(chat('bob@localhost', 'out'));
    expect(two.take()).toBe(
      '<message from="alice@localhost" to="alice@localhost/two" type="chat"><sent xmlns="urn:xmpp:carbons:2"><forwarded xmlns="urn:xmpp:forward:0">' +
        '<message xmlns="jabber:client" from="alice@localhost/one" to="bob@localhost" type="chat"><body>out</body></message></forwarded></sent></message>',
    );
    bob.send(chat('alice@localhost', 'in'));
    expect(one.take()).toContain('<body>in</body>');
    expect(two.take()).toContain(
      '<received xmlns="urn:xmpp:carbons:2"><forwarded xmlns="urn:xmpp:forward:0"><message xmlns="jabber:client" from="bob@localhost/b"',
    );
    bob.send(chat('alice@localhost/one', 'direct'));
    expect(two.take()).toContain('to="alice@localhost/one" type="chat"><body>direct</body>');
    bob.send(
      "<message to='alice@localhost/one' type='chat'><body>p</body><private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/></message>",
    );
    expect(two.take()).toBe('');
    two.send("<iq type='set' id='c'><disable xmlns='urn:xmpp:carbons:2'/></iq>");
    bob.send(chat('alice@localhost/one', 'direct'));
    expect(two.take()).toBe('');
  });
});

describe('crossing to other protocols', () => {
  test('a person is addressed through amq.xmpp by bare and by full address', () => {
    const world = createXmppWorld();
    const bob = world.online('bob', 'b');
    bob.take();
    publish(world, 'amq.xmpp', 'bob@localhost', 'to the person', { messageId: 'm', type: 'chat' });
    expect(bob.take()).toBe(
      '<message from="localhost" to="bob@localhost" type="chat" id="m"><body>to the person</body></message>',
    );
    publish(world, 'amq.xmpp', 'bob@localhost/b', 'to the resource');
    expect(bob.take()).toBe(
      '<message from="localhost" to="bob@localhost/b"><body>to the resource</body></message>',
    );
  });

  test('what it wants an answer to names where to, without posing as a person', () => {
    const world = createXmppWorld();
    const bob = world.online('bob', 'b');
    bob.take();
    const answers = observe(world, 'amq.xmpp', 'alice@localhost/a');
    publish(world, 'amq.xmpp', 'bob@localhost', 'q', {
      replyTo: { exchange: '', routingKey: 'observer' },
      correlationId: 'c7',
    });
    expect(bob.take()).toContain(
      '<message from="observer@queues.localhost" to="bob@localhost"><body>q</body><thread>c7</thread>',
    );
    bob.send("<message to='observer@queues.localhost'><body>a</body><thread>c7</thread></message>");
    expect(answers[0]?.body.toString()).toBe('a');
    expect(answers[0]?.properties.correlationId).toBe('c7');
    publish(world, 'amq.xmpp', 'bob@localhost', 'q', {
      replyTo: { exchange: 'amq.xmpp', routingKey: 'alice@localhost/a' },
    });
    expect(bob.take()).toContain('from="localhost/alice@localhost/a"');
    const alice = world.online('alice', 'a');
    alice.take();
    bob.send("<message to='localhost/alice@localhost/a'><body>b</body></message>");
    expect(alice.take()).toContain('<body>b</body>');
  });

  test('chats are seen by whoever binds to amq.xmpp', () => {
    const world = createXmppWorld();
    const seen = observe(world, 'amq.xmpp', 'bob@localhost');
    const alice = world.online('alice', 'a');
    alice.send(
      "<message to='bob@localhost' id='m1' type='chat'><body>hé</body><thread>t</thread></message>",
    );
    expect(seen).toHaveLength(1);
    expect(seen[0]?.body.toString()).toBe('hé');
    expect(seen[0]?.properties).toMatchObject({
      messageId: 'm1',
      correlationId: 't',
      userId: 'alice',
      replyTo: { exchange: 'amq.xmpp', routingKey: 'alice@localhost/a' },
    });
  });

  test('nobody writes to people without the permission to', () => {
    const world = createXmppWorld();
    const limited = world.login('limited', 'l');
    expect(limited.send(chat('alice@localhost', 'x'))).toContain('<forbidden ');
  });

  test('binary bodies come as a payload beside a text for people', () => {
    const world = createXmppWorld();
    const bob = world.online('bob', 'b');
    bob.take();
    publish(world, 'amq.xmpp', 'bob@localhost', 'bin', { contentType: 'image/png', text: false });
    expect(bob.take()).toContain(
      '<payload xmlns="urn:rosettamq:payload" encoding="base64" content-type="image/png">Ymlu</payload>',
    );
  });
});

describe('stream management (XEP-0198)', () => {
  const SM = "xmlns='urn:xmpp:sm:3'";

  function managed(
    world: XmppWorld,
    user: string,
    resource: string,
  ): { client: PipeClient; id: string } {
    const client = world.online(user, resource);
    client.take();
    const enabled = client.send(`<enable ${SM} resume='true' max='60'/>`);
    expect(enabled).toMatch(
      /^<enabled xmlns="urn:xmpp:sm:3" id="[\w-]{22}" resume="true" max="60"\/>$/,
    );
    return { client, id: /id="([^"]+)"/.exec(enabled)?.[1] ?? '' };
  }

  function reconnect(world: XmppWorld, user: string): PipeClient {
    const client = world.connect();
    client.authenticate(user, 'secret');
    client.send(HEADER);
    return client;
  }

  test('stanzas are counted and acknowledged both ways', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const { client: bob } = managed(world, 'bob', 'b');
    alice.send(chat('bob@localhost', '1'));
    expect(bob.take()).toMatch(/<body>1<\/body><\/message><r xmlns="urn:xmpp:sm:3"\/>$/);
    alice.send(chat('bob@localhost', '2'));
    expect(bob.take()).not.toContain('<r ');
    expect(bob.send(`<a ${SM} h='1'/>`)).toBe('<r xmlns="urn:xmpp:sm:3"/>');
    bob.send(`<a ${SM} h='2'/>`);
    expect(bob.send(`<r ${SM}/>`)).toBe('<a xmlns="urn:xmpp:sm:3" h="0"/>');
    bob.send(chat('alice@localhost', 'x'));
    expect(bob.send(`<r ${SM}/>`)).toBe('<a xmlns="urn:xmpp:sm:3" h="1"/>');
    expect(bob.send(`<enable ${SM}/>`)).toContain('<unexpected-request ');
    expect(bob.send(`<a ${SM} h='9'/>`)).toContain('<undefined-condition ');
  });

  test('without it there is nothing to acknowledge', () => {
    const alice = createXmppWorld().online('alice', 'a');
    expect(alice.send(`<r ${SM}/>`)).toContain('<unexpected-request ');
  });

  test('a lost connection is resumed and gets what it missed', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const { client: bob, id } = managed(world, 'bob', 'b');
    alice.send(chat('bob@localhost', 'seen'));
    alice.send(chat('bob@localhost', 'lost'));
    bob.send(`<a ${SM} h='1'/>`);
    bob.connection.closed(new Error('reset'));
    alice.send(chat('bob@localhost/b', 'meanwhile'));
    alice.take();
    const again = reconnect(world, 'bob');
    const resumed = again.send(`<resume ${SM} previd='${id}' h='1'/>`);
    expect(resumed).toContain(`<resumed xmlns="urn:xmpp:sm:3" previd="${id}" h="0"/>`);
    expect(resumed).not.toContain('seen');
    expect(resumed.indexOf('lost')).toBeGreaterThan(0);
    expect(resumed.indexOf('meanwhile')).toBeGreaterThan(resumed.indexOf('lost'));
    again.send(chat('alice@localhost', 'back'));
    expect(alice.take()).toContain('from="bob@localhost/b"');
  });

  test('a connection that still stands is replaced by the one that resumes', () => {
    const world = createXmppWorld();
    const { client: bob, id } = managed(world, 'bob', 'b');
    const again = reconnect(world, 'bob');
    expect(again.send(`<resume ${SM} previd='${id}' h='0'/>`)).toContain('<resumed ');
    expect(bob.take()).toContain('<conflict ');
    bob.connection.closed(null);
    expect(again.send("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")).toContain(
      'type="result"',
    );
  });

  test('only the owner resumes, and only while it waits', () => {
    const world = createXmppWorld();
    const { client: bob, id } = managed(world, 'bob', 'b');
    expect(reconnect(world, 'alice').send(`<resume ${SM} previd='${id}' h='0'/>`)).toContain(
      '<item-not-found ',
    );
    bob.connection.closed(new Error('reset'));
    world.clock.advance(61_000);
    const late = reconnect(world, 'bob');
    expect(late.send(`<resume ${SM} previd='${id}' h='0'/>`)).toContain('<item-not-found ');
    expect(
      late.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"),
    ).toContain('type="result"');
  });

  test('what was never acknowledged waits in the inbox', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const { client: bob } = managed(world, 'bob', 'b');
    alice.send(chat('bob@localhost', 'bare') + chat('bob@localhost/b', 'full'));
    alice.send("<message to='bob@localhost/b' type='headline'><body>news</body></message>");
    bob.connection.closed(new Error('reset'));
    world.clock.advance(61_000);
    const again = world.login('bob', 'c');
    const got = again.send('<presence/>');
    expect(got).toContain('<body>bare</body>');
    expect(got).toContain('<body>full</body>');
    expect(got).not.toContain('news');
    expect(got.match(/<delay/g)).toHaveLength(2);
  });

  test('a closed stream is not resumed', () => {
    const world = createXmppWorld();
    const { client: bob, id } = managed(world, 'bob', 'b');
    bob.send('</stream:stream>');
    expect(reconnect(world, 'bob').send(`<resume ${SM} previd='${id}' h='0'/>`)).toContain(
      '<item-not-found ',
    );
  });

  test('who never acknowledges is cut off at the limit', () => {
    const world = createXmppWorld({ limits: { xmppUnacknowledgedMax: 3 } });
    const alice = world.online('alice', 'a');
    const { client: bob } = managed(world, 'bob', 'b');
    for (let count = 0; count < 4; count++) alice.send(chat('bob@localhost/b', 'x'));
    expect(bob.take()).toContain('<resource-constraint ');
  });
});

describe('flow', () => {
  test('a receiver that does not read holds its messages in the queue', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const bob = world.online('bob', 'b');
    bob.take();
    bob.transport.congested = true;
    alice.send(chat('bob@localhost', '1'));
    alice.send(chat('bob@localhost', '2'));
    expect(bob.take()).toContain('<body>1</body>');
    expect(bob.take()).toBe('');
    bob.transport.congested = false;
    bob.connection.drained();
    expect(bob.take()).toContain('<body>2</body>');
  });

  test('deliveries settle', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    world.online('bob', 'b');
    alice.send(chat('bob@localhost', '1'));
    expect(world.engine.admin.totals().unacknowledged).toBe(0);
    expect(world.engine.admin.totals().ready).toBe(0);
  });
});
