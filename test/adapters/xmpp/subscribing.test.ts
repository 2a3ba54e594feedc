import { describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../core/store/memory.ts';
import { createXmppWorld, type PipeClient, type XmppWorld } from './pipe-client.ts';
import { ask, form, owner, PUBSUB, put, subscribe } from './pubsub-client.ts';

const ITEM = "<a xmlns='x'>1</a>";

interface Two {
  readonly world: XmppWorld;
  readonly alice: PipeClient;
  readonly bob: PipeClient;
}

/** Alice owns the node `n`, configured like that; Bob is online. */
function two(config: Readonly<Record<string, string | readonly string[]>>): Two {
  const world = createXmppWorld();
  const [alice, bob] = [world.online('alice', 'a'), world.online('bob', 'b')];
  const made = ask(alice, 'set', `<create node='n'/><configure>${form(config)}</configure>`);
  if (!made.includes('type="result"')) throw new Error(made);
  return { world, alice, bob };
}

/** Alice lets Bob see her presence, and puts him in a group. */
function befriend({ alice, bob }: Two, group: string): void {
  bob.send("<presence type='subscribe' to='alice@localhost'/>");
  alice.send("<presence type='subscribed' to='bob@localhost'/>");
  alice.send(
    `<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>${group}</group></item></query></iq>`,
  );
  bob.take();
}

const items = (client: PipeClient): string => ask(client, 'get', "<items node='n'/>");

describe('access models', () => {
  test('presence: who sees the presence of an owner', () => {
    const there = two({ access_model: 'presence' });
    put(there.alice, 'n', 'i', ITEM);
    expect(subscribe(there.bob, 'n', 'bob@localhost')).toMatch(
      /<not-authorized .*<presence-subscription-required /,
    );
    expect(items(there.bob)).toContain('<presence-subscription-required ');
    befriend(there, 'friends');
    expect(subscribe(there.bob, 'n', 'bob@localhost')).toContain('subscription="subscribed"');
    expect(items(there.bob)).toContain('id="i"');
  });

  test('roster: who is in a group of an owner', () => {
    const there = two({ access_model: 'roster', roster_groups_allowed: ['family', 'friends'] });
    befriend(there, 'work');
    expect(subscribe(there.bob, 'n', 'bob@localhost')).toMatch(
      /<not-authorized .*<not-in-roster-group /,
    );
    befriend(there, 'friends');
    expect(subscribe(there.bob, 'n', 'bob@localhost')).toContain('subscription="subscribed"');
  });

  test('whitelist: nobody but members; publish-only ones may not read either', () => {
    const { alice, bob } = two({ access_model: 'whitelist' });
    const affiliate = (affiliation: string): string =>
      owner(
        alice,
        'set',
        `<affiliations node='n'><affiliation jid='bob@localhost' affiliation='${affiliation}'/></affiliations>`,
      );
    expect(items(bob)).toMatch(/<not-allowed .*<closed-node /);
    affiliate('publish-only');
    expect(put(bob, 'n', 'i', ITEM)).toContain('type="result"');
    expect(items(bob)).toContain('<forbidden ');
    affiliate('member');
    expect(items(bob)).toContain('id="i"');
    affiliate('outcast');
    expect(subscribe(bob, 'n', 'bob@localhost')).toContain('<forbidden ');
  });

  test('authorize: an owner is asked, and says yes', () => {
    const { alice, bob } = two({ access_model: 'authorize' });
    put(alice, 'n', 'i', ITEM);
    expect(subscribe(bob, 'n', 'bob@localhost')).toContain('subscription="pending"');
    expect(subscribe(bob, 'n', 'bob@localhost')).toMatch(
      /<not-authorized .*<pending-subscription /,
    );
    const asked = alice.take();
    expect(asked).toContain('<message from="pubsub.localhost" to="alice@localhost"');
    expect(asked).toContain(
      '<field var="pubsub#subscriber_jid" type="jid-single" label="Subscriber"><value>bob@localhost</value></field>',
    );
    expect(items(bob)).toMatch(/<not-authorized .*<not-subscribed /);
    put(alice, 'n', 'i2', ITEM);
    expect(bob.take()).toBe('');
    expect(owner(alice, 'get', "<subscriptions node='n'/>")).toContain('subscription="pending"');
    decide(bob, true);
    expect(bob.take()).toBe('');
    decide(alice, true);
    expect(bob.take()).toMatch(
      /<event xmlns="[^"]*#event"><subscription node="n" jid="bob@localhost" subid="[^"]+" subscription="subscribed"\/><\/event>/,
    );
    put(alice, 'n', 'i3', ITEM);
    expect(bob.take()).toContain('id="i3"');
    expect(items(bob)).toContain('id="i3"');
  });

  test('authorize: an owner says no', () => {
    const { alice, bob } = two({ access_model: 'authorize' });
    subscribe(bob, 'n', 'bob@localhost');
    decide(alice, false);
    expect(bob.take()).toContain('subscription="none"');
    expect(owner(alice, 'get', "<subscriptions node='n'/>")).not.toContain('bob');
    decide(alice, true);
    expect(bob.take()).toBe('');
  });

  function decide(client: PipeClient, allow: boolean): void {
    const type = `<field var='FORM_TYPE'><value>${PUBSUB}#subscribe_authorization</value></field>`;
    const filled = form({
      node: 'n',
      subscriber_jid: 'bob@localhost',
      allow: allow ? '1' : '0',
    }).replace("type='submit'>", `type='submit'>${type}`);
    client.send(`<message to='pubsub.localhost' id='m'>${filled}</message>`);
  }

  test('an owner lets somebody in, and out, without being asked', () => {
    const { alice, bob } = two({ access_model: 'authorize' });
    const set = (state: string): string =>
      owner(
        alice,
        'set',
        `<subscriptions node='n'><subscription jid='bob@localhost' subscription='${state}'/></subscriptions>`,
      );
    expect(set('subscribed')).toContain('type="result"');
    expect(bob.take()).toContain('subscription="subscribed"');
    put(alice, 'n', 'i', ITEM);
    expect(bob.take()).toContain('id="i"');
    expect(set('dancing')).toContain('<not-acceptable ');
    expect(set('none')).toContain('type="result"');
    expect(bob.take()).toContain('subscription="none"');
    put(alice, 'n', 'j', ITEM);
    expect(bob.take()).toBe('');
  });
});

describe('subscription options', () => {
  const options = (client: PipeClient, type: string, content: string = ''): string =>
    ask(client, type, `<options node='n' jid='bob@localhost'>${content}</options>`);

  test('are shown, and kept', () => {
    const { alice, bob } = two({});
    expect(options(bob, 'get')).toMatch(/<unexpected-request .*<not-subscribed /);
    subscribe(bob, 'n', 'bob@localhost');
    expect(options(bob, 'get')).toContain(
      '<field var="pubsub#deliver" type="boolean" label="Notifications are sent"><value>1</value></field>',
    );
    expect(options(bob, 'set', form({ deliver: '0' }))).toContain('type="result"');
    put(alice, 'n', 'i', ITEM);
    expect(bob.take()).toBe('');
    expect(options(bob, 'get')).toContain('<value>0</value>');
    expect(options(bob, 'set', form({ deliver: '1' }))).toContain('type="result"');
    put(alice, 'n', 'j', ITEM);
    expect(bob.take()).toContain('id="j"');
    expect(ask(bob, 'get', "<default node='n'/>")).toContain(`${PUBSUB}#subscribe_options`);
  });

  test.each([
    ['', 'invalid-options'],
    [form({ deliver: 'maybe' }), 'invalid-options'],
    [form({ expire: 'soon' }), 'invalid-options'],
    [form({ expire: '2001-01-01T00:00:00Z' }), 'invalid-options'],
    [form({ 'show-values': ['away', 'dancing'] }), 'invalid-options'],
    [form({ digest: '1' }), 'invalid-options'],
  ])('%j is refused with %s', (filled, condition) => {
    const { bob } = two({});
    subscribe(bob, 'n', 'bob@localhost');
    expect(options(bob, 'set', filled)).toContain(`<${condition} `);
  });

  test('come with the subscription, and name it', () => {
    const { bob } = two({});
    const both = `<subscribe node='n' jid='bob@localhost'/><options>${form({ deliver: '0' })}</options>`;
    const id = /subid="([^"]+)"/.exec(ask(bob, 'set', both))?.[1];
    expect(options(bob, 'get')).toContain(`subid="${id}"`);
    expect(ask(bob, 'get', "<options node='n' jid='bob@localhost' subid='other'/>")).toMatch(
      /<not-acceptable .*<invalid-subid /,
    );
    expect(ask(bob, 'get', "<options node='n' jid='alice@localhost'/>")).toContain('<invalid-jid ');
    expect(ask(bob, 'get', "<options node='n'/>")).toContain('<jid-required ');
  });

  test('a subscription ends when it said so', () => {
    const { world, alice, bob } = two({});
    subscribe(bob, 'n', 'bob@localhost');
    const end = new Date(world.clock.now() + 60_000).toISOString();
    options(bob, 'set', form({ expire: end }));
    put(alice, 'n', 'i', ITEM);
    expect(bob.take()).toContain('id="i"');
    world.clock.advance(60_000);
    put(alice, 'n', 'j', ITEM);
    expect(bob.take()).toBe('');
    expect(owner(alice, 'get', "<subscriptions node='n'/>")).not.toContain('bob');
  });

  test('notifications come only while a resource is as it was asked', () => {
    const { alice, bob } = two({});
    subscribe(bob, 'n', 'bob@localhost');
    options(bob, 'set', form({ 'show-values': ['chat', 'online'] }));
    bob.send('<presence><show>away</show></presence>');
    put(alice, 'n', 'i', ITEM);
    expect(bob.take()).not.toContain('id="i"');
    bob.send('<presence/>');
    put(alice, 'n', 'j', ITEM);
    expect(bob.take()).toContain('id="j"');
  });

  test('outlive the gateway, as did subscriptions of versions without', () => {
    const store = new MemoryStore();
    const first = createXmppWorld({ store });
    const bob = first.online('bob', 'b');
    subscribe(bob, 'n', 'bob@localhost');
    options(bob, 'set', form({ deliver: '0' }));
    const table = first.context.engine.table('xmpp.pubsub');
    table.set(
      'old',
      Buffer.from(
        JSON.stringify({
          config: { accessModel: 'open', sendLast: true },
          affiliations: {},
          subscribers: { 'bob@localhost': 'an-id' },
        }),
      ),
    );
    const again = createXmppWorld({ store }).online('bob', 'b');
    expect(options(again, 'get')).toContain('<value>0</value>');
    expect(ask(again, 'get', "<subscriptions node='old'/>")).toContain(
      '<subscription node="old" jid="bob@localhost" subid="an-id" subscription="subscribed"/>',
    );
    expect(put(again, 'old', 'i', ITEM)).toContain('type="result"');
  });
});

describe('configuration', () => {
  test('says what everybody may know', () => {
    const { alice, bob } = two({ title: 'News', description: 'All of it', type: 'x' });
    subscribe(bob, 'n', 'bob@localhost');
    const info = alice.send(
      "<iq type='get' id='d' to='pubsub.localhost'><query xmlns='http://jabber.org/protocol/disco#info' node='n'/></iq>",
    );
    expect(info).toContain('<identity category="pubsub" type="leaf" name="News"/>');
    for (const [name, value] of [
      ['title', 'News'],
      ['description', 'All of it'],
      ['num_subscribers', '1'],
      ['creator', 'alice@localhost'],
      ['owner', 'alice@localhost'],
      ['access_model', 'open'],
    ]) {
      expect(info).toContain(`<field var="pubsub#${name}"><value>${value}</value></field>`);
    }
    expect(info).toMatch(/<field var="pubsub#creation_date"><value>\d{4}-/);
  });

  test.each([
    { node_type: 'collection' },
    { collection: 'parent' },
    { access_model: 'secret' },
    { item_expire: 'soon' },
    { notification_type: 'groupchat' },
    { purge_offline: '1' },
  ])('%j is not possible', (config) => {
    const { alice } = two({});
    expect(owner(alice, 'set', `<configure node='n'>${form(config)}</configure>`)).toContain(
      '<not-acceptable ',
    );
  });

  test('tells of itself, and of where a node went, where that is wanted', () => {
    const { alice, bob } = two({ notify_config: '1', notification_type: 'headline' });
    subscribe(bob, 'n', 'bob@localhost');
    bob.take();
    owner(alice, 'set', `<configure node='n'>${form({ title: 'T' })}</configure>`);
    expect(bob.take()).toMatch(/type="headline".*<configuration node="n"\/>/);
    owner(alice, 'set', "<delete node='n'><redirect uri='xmpp:x@y'/></delete>");
    expect(bob.take()).toContain('<delete node="n"><redirect uri="xmpp:x@y"/></delete>');
  });

  test('a node that carries no items takes none', () => {
    const { alice, bob } = two({ persist_items: '0', deliver_payloads: '0' });
    subscribe(bob, 'n', 'bob@localhost');
    expect(put(alice, 'n', 'i', ITEM)).toMatch(/<bad-request .*<item-forbidden /);
    expect(ask(alice, 'set', "<publish node='n'/>")).toContain('type="result"');
    expect(bob.take()).toContain('<items node="n"/>');
  });

  test('a node that keeps items wants one', () => {
    const { alice } = two({});
    expect(ask(alice, 'set', "<publish node='n'/>")).toMatch(/<bad-request .*<item-required /);
    // Without a payload it is an item all the same.
    expect(ask(alice, 'set', "<publish node='n'><item id='i'/></publish>")).toContain('"result"');
    expect(items(alice)).toContain('<items node="n"><item id="i"/></items>');
  });

  test('nobody is notified where it says so', () => {
    const { alice, bob } = two({ deliver_notifications: '0' });
    subscribe(bob, 'n', 'bob@localhost');
    put(alice, 'n', 'i', ITEM);
    expect(bob.take()).toBe('');
  });

  test.each(['1', '5'])('items expire (%s kept)', (max) => {
    const { world, alice } = two({ item_expire: '60', max_items: max });
    put(alice, 'n', 'i', ITEM);
    world.clock.advance(59_000);
    expect(items(alice)).toContain('id="i"');
    world.clock.advance(2_000);
    expect(items(alice)).not.toContain('id="i"');
  });

  test('a new node takes the publish options', () => {
    const alice = createXmppWorld().online('alice', 'a');
    const publish = (fields: Readonly<Record<string, string>>): string =>
      ask(
        alice,
        'set',
        `<publish node='n'><item id='i'>${ITEM}</item></publish><publish-options>${form(fields)}</publish-options>`,
      );
    expect(publish({ access_model: 'secret' })).toContain('<precondition-not-met ');
    expect(publish({ access_model: 'whitelist', max_items: '3' })).toContain('type="result"');
    expect(publish({ access_model: 'whitelist' })).toContain('type="result"');
    expect(publish({ access_model: 'open' })).toContain('<precondition-not-met ');
  });
});

test('items come a page at a time (XEP-0059)', () => {
  const { alice } = two({ max_items: '9' });
  for (const id of ['1', '2', '3', '4', '5']) put(alice, 'n', id, ITEM);
  const page = (set: string): readonly (string | undefined)[] => {
    const answer = ask(
      alice,
      'get',
      `<items node='n'/><set xmlns='http://jabber.org/protocol/rsm'>${set}</set>`,
    );
    expect(answer).toContain('<count>5</count>');
    return [...answer.matchAll(/<item id="(\d)"/g)].map(([, id]) => id);
  };
  expect(page('<max>2</max>')).toEqual(['1', '2']);
  expect(page('<max>2</max><after>2</after>')).toEqual(['3', '4']);
  expect(page('<max>2</max><before/>')).toEqual(['4', '5']);
  expect(page('<max>0</max>')).toEqual([]);
  expect(
    ask(
      alice,
      'get',
      "<items node='n'/><set xmlns='http://jabber.org/protocol/rsm'><after>x</after></set>",
    ),
  ).toContain('<item-not-found ');
});
