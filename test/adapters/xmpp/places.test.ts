import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { NO_ARGUMENTS } from '../../../core/engine.ts';
import { depth, observe, publish, sessionOf } from './bystander.ts';
import { COMPONENT_HEADER, createXmppWorld, type PipeClient } from './pipe-client.ts';

const send = (client: PipeClient, to: string, body: string): string =>
  client.send(`<message to='${to}'><body>${body}</body></message>`);

describe('queues as addresses', () => {
  test('a message is published to the queue, which comes to be', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    expect(send(alice, '%4aobs@queues.localhost', 'w')).toBe('');
    expect(depth(world, 'Jobs')).toBe(1);
    expect(send(alice, 'x@queues.localhost/anything', 'w')).toBe('');
    expect(depth(world, 'x')).toBe(1);
  });

  test('presence consumes, competitively, until it ends', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const bob = world.online('bob', 'b');
    send(alice, 'jobs@queues.localhost', '0');
    world.clock.advance(1000);
    const joined = bob.send("<presence to='jobs@queues.localhost'/>");
    expect(joined).toContain(
      '<message from="jobs@queues.localhost/alice@localhost/a" to="bob@localhost/b"><body>0</body><delay xmlns="urn:xmpp:delay" from="jobs@queues.localhost"',
    );
    expect(joined).toContain('<presence from="jobs@queues.localhost" to="bob@localhost/b"/>');
    alice.send("<presence to='jobs@queues.localhost'/>");
    alice.take();
    for (const body of ['1', '2', '3', '4']) publish(world, '', 'jobs', body);
    const got = [alice.take(), bob.take()].map((text) => text.match(/<body>\d/g)?.length);
    expect(got).toEqual([2, 2]);
    bob.send("<presence to='jobs@queues.localhost' type='unavailable'/>");
    alice.send('</stream:stream>');
    publish(world, '', 'jobs', '5');
    expect(bob.take()).toBe('');
    expect(depth(world, 'jobs')).toBe(1);
  });

  test('an answer goes to who asked, over any protocol', () => {
    const world = createXmppWorld();
    const bob = world.online('bob', 'b');
    bob.send("<presence to='rpc@queues.localhost'/>");
    const answers = observe(world, '', '');
    publish(world, '', 'rpc', 'q', {
      replyTo: { exchange: '', routingKey: 'observer' },
      correlationId: 'c',
    });
    const asked = bob.take();
    expect(asked).toContain('from="rpc@queues.localhost/observer@queues.localhost"');
    expect(asked).toContain('<header name="Reply-To">observer@queues.localhost</header>');
    bob.send(
      "<message to='rpc@queues.localhost/observer@queues.localhost'><body>a</body><thread>c</thread></message>",
    );
    expect(answers[0]?.body.toString()).toBe('a');
    expect(answers[0]?.properties.correlationId).toBe('c');
    const alice = world.online('alice', 'a');
    alice.take();
    send(alice, 'rpc@queues.localhost', 'q2');
    expect(bob.take()).toContain('from="rpc@queues.localhost/alice@localhost/a"');
    send(bob, 'rpc@queues.localhost/alice@localhost/a', 'a2');
    expect(alice.take()).toContain('from="bob@localhost/b" to="alice@localhost/a"><body>a2</body>');
  });

  test('with stream management a delivery is settled by its acknowledgement', () => {
    const world = createXmppWorld();
    const bob = world.online('bob', 'b');
    bob.send("<enable xmlns='urn:xmpp:sm:3'/>");
    bob.send("<presence to='jobs@queues.localhost'/>");
    publish(world, '', 'jobs', '1');
    publish(world, '', 'jobs', '2');
    expect(depth(world, 'jobs')).toBe(2);
    // The place's own presence is the first stanza.
    bob.send("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    expect(depth(world, 'jobs')).toBe(1);
    bob.connection.closed(new Error('reset'));
    expect(depth(world, 'jobs')).toBe(1);
    const again = world.online('bob', 'c');
    again.take();
    expect(again.send("<presence to='jobs@queues.localhost'/>")).toContain('<body>2</body>');
    expect(depth(world, 'jobs')).toBe(0);
  });

  test('permissions and deletions are told', () => {
    const world = createXmppWorld();
    const limited = world.online('limited', 'l');
    expect(send(limited, 'jobs@queues.localhost', 'x')).toContain('<forbidden ');
    expect(limited.send("<presence to='jobs@queues.localhost'/>")).toContain('<forbidden ');
    expect(send(limited, 'limited-q@queues.localhost', 'x')).toContain('<forbidden ');
    const bob = world.online('bob', 'b');
    bob.send("<presence to='jobs@queues.localhost'/>");
    sessionOf(world).deleteQueue('jobs', false, false);
    expect(bob.take()).toContain(
      '<presence from="jobs@queues.localhost" to="bob@localhost/b" type="unavailable"/>',
    );
  });

  test('subscribing is an answer and a consumer too', () => {
    const world = createXmppWorld();
    const bob = world.online('bob', 'b');
    const answer = bob.send("<presence to='jobs@queues.localhost' type='subscribe'/>");
    expect(answer).toContain('type="subscribed"');
    publish(world, '', 'jobs', '1');
    expect(bob.take()).toContain('<body>1</body>');
    const roster = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";
    expect(bob.send(roster)).toContain('<item jid="jobs@queues.localhost" subscription="to"/>');
    bob.send("<presence to='jobs@queues.localhost' type='unsubscribe'/>");
    expect(bob.send(roster)).toContain('<item jid="jobs@queues.localhost" subscription="none"/>');
    publish(world, '', 'jobs', '2');
    expect(bob.take()).toBe('');
  });

  test('disco lists what one may read', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    send(alice, 'jobs@queues.localhost', 'x');
    const items = (client: PipeClient): string =>
      client.send(
        "<iq type='get' id='d' to='queues.localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
      );
    expect(items(alice)).toContain('<item jid="jobs@queues.localhost" name="jobs"/>');
    expect(items(world.online('limited', 'l'))).not.toContain('jobs@');
    expect(
      alice.send(
        "<iq type='get' id='d' to='queues.localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
      ),
    ).toContain('type="queue"');
    expect(
      alice.send("<iq type='get' id='d' to='queues.localhost'><odd xmlns='urn:odd'/></iq>"),
    ).toContain('<service-unavailable ');
    expect(alice.send("<message to='queues.localhost'/>")).toContain('<service-unavailable ');
  });
});

describe('exchanges as addresses', () => {
  test('a message is published with the key, and comes back where nobody listens', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    expect(send(alice, 'amq.topic%a.b@exchanges.localhost', 'x')).toContain('<item-not-found ');
    const seen = observe(world, 'amq.topic', 'a.*');
    expect(send(alice, 'amq.topic%a.b@exchanges.localhost', 'x')).toBe('');
    expect(seen[0]?.routingKey).toBe('a.b');
    expect(send(alice, 'none%a@exchanges.localhost', 'x')).toContain('<item-not-found ');
    expect(send(world.online('limited', 'l'), 'amq.fanout%@exchanges.localhost', 'x')).toContain(
      '<forbidden ',
    );
  });

  test('presence binds and consumes', () => {
    const world = createXmppWorld();
    const bob = world.online('bob', 'b');
    const joined = bob.send("<presence to='amq.topic%log.*@exchanges.localhost'/>");
    expect(joined).toContain('<presence from="amq.topic%log.*@exchanges.localhost"');
    publish(world, 'amq.topic', 'log.info', 'x');
    expect(bob.take()).toContain(
      '<message from="amq.topic%log.*@exchanges.localhost" to="bob@localhost/b"><body>x</body>',
    );
    bob.send("<presence to='amq.topic%log.*@exchanges.localhost' type='unavailable'/>");
    publish(world, 'amq.topic', 'log.info', 'x');
    expect(bob.take()).toBe('');
    expect(bob.send("<presence to='none%a@exchanges.localhost'/>")).toContain('<item-not-found ');
  });
});

describe('components (XEP-0114)', () => {
  test('prove a shared secret', () => {
    const world = createXmppWorld();
    const opened = world.connect(false, 'xmpp-component').send(COMPONENT_HEADER);
    expect(opened).toContain('xmlns="jabber:component:accept"');
    expect(opened).toContain('from="comp.localhost"');
    const wrong = world.connect(false, 'xmpp-component');
    wrong.send(COMPONENT_HEADER);
    expect(wrong.send('<handshake>00</handshake>')).toContain('<not-authorized ');
    const early = world.connect(false, 'xmpp-component');
    early.send(COMPONENT_HEADER);
    expect(early.send("<message from='comp.localhost' to='bob@localhost'/>")).toContain(
      '<not-authorized ',
    );
    expect(
      world.connect(false, 'xmpp-component').send(COMPONENT_HEADER.replace('comp', 'none')),
    ).toContain('<host-unknown ');
    world.component();
    const second = world.connect(false, 'xmpp-component');
    const id = /id="([^"]+)"/.exec(second.send(COMPONENT_HEADER))?.[1] ?? '';
    expect(
      second.send(`<handshake>${createHash('sha1').update(`${id}hush`).digest('hex')}</handshake>`),
    ).toContain('<conflict ');
  });

  test('get everything for their domain, and speak for it', () => {
    const world = createXmppWorld();
    const part = world.component();
    const alice = world.online('alice', 'a');
    alice.take();
    alice.send("<message to='any@comp.localhost/r' type='chat'><body>x</body></message>");
    expect(part.take()).toBe(
      '<message to="any@comp.localhost/r" type="chat" from="alice@localhost/a"><body>x</body></message>',
    );
    alice.send("<presence to='any@comp.localhost' type='subscribe'/>");
    expect(part.take()).toContain('type="subscribe" from="alice@localhost"');
    part.send(
      "<presence from='any@comp.localhost' to='alice@localhost' type='subscribed'/><presence from='any@comp.localhost/r' to='alice@localhost'/>",
    );
    expect(alice.take()).toContain('from="any@comp.localhost/r"');
    part.send(
      "<message from='any@comp.localhost' to='alice@localhost' type='chat'><body>y</body></message>",
    );
    expect(alice.take()).toContain(
      '<message from="any@comp.localhost" to="alice@localhost" type="chat"><body>y</body></message>',
    );
    part.send(
      "<iq type='get' id='1' from='comp.localhost' to='alice@localhost/a'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    expect(alice.take()).toContain('from="comp.localhost"');
    expect(
      part.send(
        "<iq type='get' id='2' from='x@comp.localhost' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
      ),
    ).toContain('type="result" from="localhost" to="x@comp.localhost"');
    expect(
      part.send("<message from='comp.localhost' to='nobody@localhost'><body>z</body></message>"),
    ).toContain('<service-unavailable ');
    part.connection.closed(null);
    expect(alice.send("<message to='any@comp.localhost'><body>x</body></message>")).toContain(
      '<service-unavailable ',
    );
  });

  test('are cut off for false addresses', () => {
    const world = createXmppWorld();
    expect(
      world.component().send("<message from='bob@localhost' to='alice@localhost'/>"),
    ).toContain('<invalid-from ');
    const other = createXmppWorld();
    expect(other.component().send("<message from='comp.localhost'/>")).toContain(
      '<improper-addressing ',
    );
  });

  test('consume queues and enter rooms, which they leave when they go', () => {
    const world = createXmppWorld();
    const part = world.component();
    const alice = world.online('alice', 'a');
    part.send("<presence from='bot@comp.localhost/1' to='jobs@queues.localhost'/>");
    part.send(
      "<presence from='bot@comp.localhost/1' to='r@rooms.localhost/bot'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    );
    part.take();
    publish(world, '', 'jobs', 'w');
    expect(part.take()).toContain(
      '<message from="jobs@queues.localhost" to="bot@comp.localhost/1"><body>w</body>',
    );
    alice.send(
      "<presence to='r@rooms.localhost/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    );
    alice.take();
    part.connection.closed(null);
    expect(alice.take()).toContain('type="unavailable"');
    publish(world, '', 'jobs', 'w2');
    const again = world.component();
    expect(
      again.send("<presence from='bot@comp.localhost/1' to='jobs@queues.localhost'/>"),
    ).toContain('<body>w2</body>');
  });
});

test('a queue declared by others with other arguments is used as it is', () => {
  const world = createXmppWorld();
  sessionOf(world).declareQueue(
    { name: 'odd', durable: false, exclusive: false, autoDelete: false, arguments: NO_ARGUMENTS },
    false,
  );
  const alice = world.online('alice', 'a');
  expect(send(alice, 'odd@queues.localhost', 'x')).toBe('');
  expect(depth(world, 'odd')).toBe(1);
});
