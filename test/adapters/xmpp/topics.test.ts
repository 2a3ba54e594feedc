import { describe, expect, test } from 'vitest';
import { observe, publish } from './bystander.ts';
import { createXmppWorld } from './pipe-client.ts';
import { ask, form, owner, put, subscribe } from './pubsub-client.ts';

describe('publishing', () => {
  test('makes the node, tells the topic, and keeps the last item', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const seen = observe(world, 'amq.topic', 'news.*');
    const answer = put(alice, 'news/today', 'i1', "<entry xmlns='urn:e'><t>x</t></entry>");
    expect(answer).toContain(
      '<pubsub xmlns="http://jabber.org/protocol/pubsub"><publish node="news/today"><item id="i1"/></publish></pubsub>',
    );
    expect(seen[0]?.routingKey).toBe('news.today');
    expect(seen[0]?.body.toString()).toBe('<entry xmlns="urn:e"><t>x</t></entry>');
    expect(seen[0]?.properties).toMatchObject({ contentType: 'application/xml', messageId: 'i1' });
    expect(ask(alice, 'get', "<items node='news/today'/>")).toContain(
      '<items node="news/today"><item id="i1"><entry xmlns="urn:e"><t>x</t></entry></item></items>',
    );
    expect(ask(alice, 'get', "<items node='news/today'><item id='other'/></items>")).toContain(
      '<items node="news/today"/>',
    );
  });

  test('a message as payload is that message', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const seen = observe(world, 'amq.topic', 'n');
    put(
      alice,
      'n',
      'i',
      "<message xmlns='jabber:client'><body>21.5</body><headers xmlns='http://jabber.org/protocol/shim'><header name='unit'>C</header></headers></message>",
    );
    expect(seen[0]?.body.toString()).toBe('21.5');
    expect(seen[0]?.properties.headers).toEqual([['unit', 'C']]);
  });

  test.each([
    ["<publish><item id='1'><a xmlns='x'/></item></publish>", 'nodeid-required'],
    ["<publish node='n'><item/><item/></publish>", 'invalid-payload'],
    ["<publish node='n'><item><a xmlns='x'/><b xmlns='x'/></item></publish>", 'invalid-payload'],
    ["<publish node='a/#'><item/></publish>", 'not-acceptable'],
    ["<subscribe node='n' jid='bob@localhost'/>", 'invalid-jid'],
    ["<subscribe node='n'/>", 'jid-required'],
    ["<unsubscribe node='n' jid='alice@localhost'/>", 'item-not-found'],
    ["<retract node='n'><item id='1'/></retract>", 'item-not-found'],
    ["<dance node='n' jid='alice@localhost'/>", 'feature-not-implemented'],
    ["<options node='n' jid='alice@localhost'/>", 'item-not-found'],
  ])('%s is refused with %s', (action, condition) => {
    expect(ask(createXmppWorld().online('alice', 'a'), 'set', action)).toContain(`<${condition} `);
  });

  test('needs the permission to write to the exchange, as do readers theirs', () => {
    const world = createXmppWorld();
    const limited = world.online('limited', 'l');
    expect(put(limited, 'n', 'i', "<a xmlns='x'/>")).toContain('type="result"');
    expect(subscribe(limited, 'n', 'limited@localhost')).toContain('<forbidden ');
    expect(ask(limited, 'get', "<items node='n'/>")).toContain('<forbidden ');
  });
});

describe('subscribing', () => {
  test('brings the last item and everything that any protocol publishes', () => {
    const world = createXmppWorld();
    const bob = world.online('bob', 'b');
    publish(world, 'amq.topic', 'room.temp', '20', { messageId: 'm0' }, true);
    const answer = subscribe(bob, 'room/temp', 'bob@localhost/b');
    expect(answer).toMatch(
      /<subscription node="room\/temp" jid="bob@localhost\/b" subid="[^"]+" subscription="subscribed"\/>/,
    );
    expect(answer).toContain(
      '<event xmlns="http://jabber.org/protocol/pubsub#event"><items node="room/temp"><item id="m0"><message id="m0" xmlns="jabber:client"><body>20</body><headers xmlns="http://jabber.org/protocol/shim"><header name="Retain">true</header></headers></message></item></items></event>',
    );
    publish(world, 'amq.topic', 'room.temp', '21');
    expect(bob.take()).toContain('<body>21</body>');
    put(world.online('alice', 'a'), 'room/temp', 'x', "<v xmlns='urn:v'>22</v>");
    expect(bob.take()).toContain(
      '<item id="x" publisher="alice@localhost/a"><v xmlns="urn:v">22</v></item>',
    );
    expect(ask(bob, 'set', "<unsubscribe node='room/temp' jid='bob@localhost/b'/>")).toContain(
      'type="result"',
    );
    publish(world, 'amq.topic', 'room.temp', '23');
    expect(bob.take()).toBe('');
    expect(ask(bob, 'set', "<unsubscribe node='room/temp' jid='bob@localhost/b'/>")).toContain(
      '<not-subscribed ',
    );
  });

  test('lists what one has', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    put(alice, 'n', 'i', "<a xmlns='x'/>");
    subscribe(alice, 'n', 'alice@localhost');
    expect(ask(alice, 'get', '<subscriptions/>')).toContain(
      '<subscription node="n" jid="alice@localhost"',
    );
    expect(ask(alice, 'get', '<affiliations/>')).toContain(
      '<affiliation node="n" affiliation="owner"/>',
    );
    const disco =
      "<iq type='get' id='d' to='pubsub.localhost'><query xmlns='http://jabber.org/protocol/disco#X'/></iq>";
    expect(alice.send(disco.replace('X', 'info'))).toContain(
      '<identity category="pubsub" type="service" name="Topics"/>',
    );
    expect(alice.send(disco.replace('X', 'items'))).toContain(
      '<item jid="pubsub.localhost" node="n" name="n"/>',
    );
    expect(alice.send(disco.replace("X'", "info' node='n'"))).toContain('type="leaf"');
    expect(alice.send(disco.replace("X'", "items' node='n'"))).toContain('name="i"');
  });

  test('a node that belongs to nobody belongs to its first publisher', () => {
    const world = createXmppWorld();
    subscribe(world.online('bob', 'b'), 'n', 'bob@localhost');
    const alice = world.online('alice', 'a');
    put(alice, 'n', 'i', "<a xmlns='x'/>");
    expect(owner(alice, 'get', "<configure node='n'/>")).toContain('pubsub#node_config');
  });
});

describe('owning', () => {
  test('creating, configuring, closing, deleting', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const bob = world.online('bob', 'b');
    expect(
      ask(
        alice,
        'set',
        `<create node='n'/><configure>${form({ access_model: 'whitelist', publish_model: 'publishers' })}</configure>`,
      ),
    ).toContain('<create node="n"/>');
    expect(ask(alice, 'set', "<create node='n'/>")).toContain('<conflict ');
    expect(ask(alice, 'set', '<create/>')).toMatch(/<create node="instant\/[\w-]+"\/>/);
    expect(subscribe(bob, 'n', 'bob@localhost')).toContain('<closed-node ');
    expect(put(bob, 'n', 'i', "<a xmlns='x'/>")).toContain('<forbidden ');
    expect(owner(bob, 'get', "<configure node='n'/>")).toContain('<forbidden ');
    expect(
      owner(
        alice,
        'set',
        "<affiliations node='n'><affiliation jid='bob@localhost' affiliation='publisher'/></affiliations>",
      ),
    ).toContain('type="result"');
    expect(owner(alice, 'get', "<affiliations node='n'/>")).toContain(
      '<affiliation jid="bob@localhost" affiliation="publisher"/>',
    );
    expect(subscribe(bob, 'n', 'bob@localhost')).toContain('type="result"');
    expect(put(bob, 'n', 'i', "<a xmlns='x'/>")).toContain('type="result"');
    bob.take();
    expect(owner(alice, 'get', "<subscriptions node='n'/>")).toContain('jid="bob@localhost"');
    expect(
      owner(alice, 'set', `<configure node='n'>${form({ max_items: '0' })}</configure>`),
    ).toContain('<not-acceptable ');
    expect(
      owner(alice, 'set', `<configure node='n'>${form({ title: 'T' })}</configure>`),
    ).toContain('type="result"');
    expect(owner(alice, 'set', "<purge node='n'/>")).toContain('type="result"');
    expect(bob.take()).toContain('<purge node="n"/>');
    expect(ask(alice, 'get', "<items node='n'/>")).toContain('<items node="n"/>');
    expect(owner(alice, 'set', "<delete node='n'/>")).toContain('type="result"');
    expect(bob.take()).toContain('<delete node="n"/>');
    expect(owner(alice, 'set', "<delete node='n'/>")).toContain('<item-not-found ');
  });

  test('retracting tells subscribers and empties the topic', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    put(alice, 'n', 'i', "<a xmlns='x'/>");
    subscribe(alice, 'n', 'alice@localhost/a');
    expect(ask(alice, 'set', "<retract node='n'><item id='z'/></retract>")).toContain(
      '<item-not-found ',
    );
    const done = ask(alice, 'set', "<retract node='n'><item id='i'/></retract>");
    expect(done).toContain('<items node="n"><retract id="i"/></items>');
    expect(ask(alice, 'get', "<items node='n'/>")).toContain('<items node="n"/>');
  });

  test('a node may keep more than the last item', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    ask(alice, 'set', `<create node='n'/><configure>${form({ max_items: '2' })}</configure>`);
    for (const id of ['1', '2', '3']) put(alice, 'n', id, `<a xmlns='x'>${id}</a>`);
    const kept = ask(alice, 'get', "<items node='n'/>");
    expect([...kept.matchAll(/<item id="(\d)"/g)].map(([, id]) => id)).toEqual(['2', '3']);
    expect(ask(alice, 'get', "<items node='n' max_items='1'/>")).not.toContain('id="2"');
    expect(ask(alice, 'get', "<items node='n'><item id='2'/></items>")).toContain('>2</a>');
    put(alice, 'n', '2', "<a xmlns='x'>again</a>");
    expect(ask(alice, 'get', "<items node='n'/>")).toMatch(/id="3".*id="2".*again/);
    expect(ask(alice, 'set', "<retract node='n'><item id='3'/></retract>")).toContain('"result"');
    expect(ask(alice, 'get', "<items node='n'/>")).not.toContain('id="3"');
    publish(world, 'amq.topic', 'n', 'from elsewhere');
    expect(ask(alice, 'get', "<items node='n'/>")).toContain('from elsewhere');
    expect(owner(alice, 'set', "<purge node='n'/>")).toContain('type="result"');
    expect(ask(alice, 'get', "<items node='n'/>")).toContain('<items node="n"/>');
  });

  test('kept items are bounded in bytes', () => {
    const alice = createXmppWorld({ limits: { xmppItemsBytesMax: 700 } }).online('alice', 'a');
    ask(alice, 'set', `<create node='n'/><configure>${form({ max_items: '9' })}</configure>`);
    for (const id of ['1', '2']) put(alice, 'n', id, `<a xmlns='x'>${id.repeat(400)}</a>`);
    const kept = ask(alice, 'get', "<items node='n'/>");
    expect([...kept.matchAll(/<item id="(\d)"/g)].map(([, id]) => id)).toEqual(['2']);
  });

  test('publish options must fit', () => {
    const alice = createXmppWorld().online('alice', 'a');
    const publishing = (fields: Record<string, string>): string =>
      ask(
        alice,
        'set',
        `<publish node='n'><item id='i'><a xmlns='x'/></item></publish><publish-options>${form(fields)}</publish-options>`,
      );
    expect(publishing({ persist_items: '1' })).toContain('type="result"');
    expect(publishing({ access_model: 'whitelist' })).toContain('<precondition-not-met ');
  });
});
