import { describe, expect, test } from 'vitest';
import { createXmppWorld, type PipeClient, type XmppWorld } from './pipe-client.ts';

const ROSTER = "xmlns='jabber:iq:roster'";

function roster(client: PipeClient, version?: string): string {
  const ver = version === undefined ? '' : ` ver='${version}'`;
  return client.send(`<iq type='get' id='r'><query ${ROSTER}${ver}/></iq>`);
}

function set(client: PipeClient, item: string): string {
  return client.send(`<iq type='set' id='s'><query ${ROSTER}>${item}</query></iq>`);
}

/** Alice sees Bob and Bob sees Alice. */
function befriend(alice: PipeClient, bob: PipeClient): void {
  alice.send("<presence to='bob@localhost' type='subscribe'/>");
  bob.send(
    "<presence to='alice@localhost' type='subscribed'/><presence to='alice@localhost' type='subscribe'/>",
  );
  alice.send("<presence to='bob@localhost' type='subscribed'/>");
  alice.take();
  bob.take();
}

function pair(): { world: XmppWorld; alice: PipeClient; bob: PipeClient } {
  const world = createXmppWorld();
  const alice = world.online('alice', 'a');
  const bob = world.online('bob', 'b');
  roster(alice);
  roster(bob);
  return { world, alice, bob };
}

describe('the roster', () => {
  test('is kept, pushed to those who asked for it, and versioned', () => {
    const world = createXmppWorld();
    const one = world.online('alice', 'one');
    const two = world.online('alice', 'two');
    const three = world.online('alice', 'three');
    expect(roster(one)).toContain('<query xmlns="jabber:iq:roster"/>');
    roster(two);
    three.take();
    const answer = set(one, "<item jid='Bob@localhost/x' name='B'><group>Friends</group></item>");
    const push =
      '<query xmlns="jabber:iq:roster" ver="1"><item jid="bob@localhost" subscription="none" name="B"><group>Friends</group></item></query>';
    expect(answer).toContain(push);
    expect(answer).toContain('<iq type="result"');
    expect(two.take()).toContain(push);
    expect(three.take()).toBe('');
    expect(roster(two, '1')).toBe('<iq type="result" to="alice@localhost/two" id="r"/>');
    expect(roster(two, '0')).toContain('ver="1"');
    expect(roster(two)).toContain('name="B"');
    expect(set(one, "<item jid='bob@localhost' subscription='remove'/>")).toContain(
      'subscription="remove"',
    );
    two.take();
    expect(roster(two)).not.toContain('bob');
  });

  test.each([
    ['', 'bad-request'],
    ["<item jid='a@b'/><item jid='c@d'/>", 'bad-request'],
    ['<item/>', 'bad-request'],
    ["<item jid='@'/>", 'jid-malformed'],
    ["<item jid='alice@localhost'/>", 'not-allowed'],
    ["<item jid='a@b'><group>g</group><group>g</group></item>", 'bad-request'],
    ["<item jid='a@b'><group/></item>", 'not-acceptable'],
    ["<item jid='nobody@localhost' subscription='remove'/>", 'item-not-found'],
  ])('refuses %j with %s', (item, condition) => {
    expect(set(createXmppWorld().login('alice', 'a'), item)).toContain(`<${condition} `);
  });

  test('has a limit', () => {
    const world = createXmppWorld({ limits: { xmppRosterMax: 1 } });
    const alice = world.login('alice', 'a');
    set(alice, "<item jid='a@b'/>");
    expect(set(alice, "<item jid='c@d'/>")).toContain('<resource-constraint ');
    expect(alice.send("<presence to='e@localhost' type='subscribe'/>")).toContain(
      '<resource-constraint ',
    );
  });
});

describe('subscriptions', () => {
  test('are asked for, granted, and show presence', () => {
    const { alice, bob } = pair();
    const asked = alice.send("<presence to='bob@localhost/ignored' type='subscribe'/>");
    expect(asked).toContain('<item jid="bob@localhost" subscription="none" ask="subscribe"/>');
    expect(bob.take()).toBe(
      '<presence to="bob@localhost" type="subscribe" from="alice@localhost"/>',
    );
    const granted = bob.send("<presence to='alice@localhost' type='subscribed'/>");
    expect(granted).toContain('<item jid="alice@localhost" subscription="from"/>');
    const told = alice.take();
    expect(told).toContain(
      '<presence to="alice@localhost" type="subscribed" from="bob@localhost"/>',
    );
    expect(told).toContain('<item jid="bob@localhost" subscription="to"/>');
    expect(told).toContain('from="bob@localhost/b"');
    bob.send("<presence to='alice@localhost' type='subscribe'/>");
    alice.send("<presence to='bob@localhost' type='subscribed'/>");
    expect(roster(alice)).toContain('subscription="both"');
    expect(roster(bob)).toContain('subscription="both"');
  });

  test('wait for somebody who is away', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    alice.send("<presence to='bob@localhost' type='subscribe'><status>please</status></presence>");
    alice.send("<presence to='bob@localhost' type='subscribe'/>");
    const bob = world.login('bob', 'b');
    expect(bob.take()).toBe('');
    const shown = bob.send('<presence/>');
    expect(shown.match(/type="subscribe"/g)).toHaveLength(1);
    expect(shown).toContain('<status>please</status>');
    expect(world.login('bob', 'c').send('<presence/>')).toContain('type="subscribe"');
    bob.send("<presence to='alice@localhost' type='subscribed'/>");
    expect(world.login('bob', 'd').send('<presence/>')).not.toContain('type="subscribe"');
  });

  test('are taken back by either side', () => {
    const { alice, bob } = pair();
    befriend(alice, bob);
    alice.send("<presence to='bob@localhost' type='unsubscribe'/>");
    expect(roster(alice)).toContain('<item jid="bob@localhost" subscription="from"/>');
    const bobSaw = bob.take();
    expect(bobSaw).toContain('type="unsubscribe"');
    expect(bobSaw).toContain('<item jid="alice@localhost" subscription="to"/>');
    alice.take();
    alice.send("<presence to='bob@localhost' type='unsubscribed'/>");
    const gone = bob.take();
    expect(gone).toContain('type="unsubscribed"');
    expect(gone).toContain('<item jid="alice@localhost" subscription="none"/>');
    expect(gone).toContain('type="unavailable" from="alice@localhost/a"');
  });

  test('end with the contact on the roster', () => {
    const { alice, bob } = pair();
    befriend(alice, bob);
    set(alice, "<item jid='bob@localhost' subscription='remove'/>");
    const saw = bob.take();
    expect(saw).toContain('type="unsubscribe"');
    expect(saw).toContain('type="unsubscribed"');
    expect(roster(bob)).toContain('<item jid="alice@localhost" subscription="none"/>');
  });

  test('that nobody asked for are not sent', () => {
    const { alice, bob } = pair();
    expect(bob.send("<presence to='alice@localhost' type='subscribed'/>")).toContain(
      'subscription="none" approved="true"',
    );
    expect(alice.take()).toBe('');
    expect(roster(alice)).not.toContain('bob');
    expect(alice.send("<presence to='nobody@localhost' type='subscribe'/>")).toContain(
      'ask="subscribe"',
    );
  });

  test('refused, the wish is gone', () => {
    const { alice, bob } = pair();
    alice.send("<presence to='bob@localhost' type='subscribe'/>");
    bob.send("<presence to='alice@localhost' type='unsubscribed'/>");
    expect(alice.take()).toContain('<item jid="bob@localhost" subscription="none"/>');
  });
});

describe('presence', () => {
  test('goes to contacts and own resources, at arrival, change and leaving', () => {
    const { world, alice, bob } = pair();
    befriend(alice, bob);
    alice.send('<presence><show>away</show></presence>');
    expect(bob.take()).toBe(
      '<presence from="alice@localhost/a" to="bob@localhost"><show>away</show></presence>',
    );
    const late = world.login('bob', 'late');
    const arrived = late.send('<presence/>');
    expect(arrived).toContain(
      '<presence from="alice@localhost/a" to="bob@localhost/late"><show>away</show></presence>',
    );
    expect(arrived).toContain('from="bob@localhost/b" to="bob@localhost/late"');
    expect(alice.take()).toContain('from="bob@localhost/late"');
    late.send('</stream:stream>');
    expect(alice.take()).toBe(
      '<presence type="unavailable" from="bob@localhost/late" to="alice@localhost"/>',
    );
    bob.connection.closed(new Error('reset'));
    expect(alice.take()).toContain('type="unavailable" from="bob@localhost/b"');
  });

  test('is not shown to strangers', () => {
    const { alice, bob } = pair();
    alice.send('<presence><show>dnd</show></presence>');
    expect(bob.take()).toBe('');
  });

  test('sent to one address ends there too', () => {
    const { alice, bob } = pair();
    alice.send("<presence to='bob@localhost/b'><status>hi</status></presence>");
    expect(bob.take()).toBe(
      '<presence to="bob@localhost/b" from="alice@localhost/a"><status>hi</status></presence>',
    );
    alice.send('</stream:stream>');
    expect(bob.take()).toBe(
      '<presence type="unavailable" from="alice@localhost/a" to="bob@localhost/b"/>',
    );
  });

  test('of a component is probed and answered', () => {
    const { alice } = pair();
    expect(alice.send("<presence to='x@comp.localhost' type='probe'/>")).toContain(
      'service-unavailable',
    );
  });
});

describe('requests about people', () => {
  const get = (client: PipeClient, to: string, payload: string): string =>
    client.send(`<iq type='get' id='q'${to === '' ? '' : ` to='${to}'`}>${payload}</iq>`);

  test('host: disco, version, time, uptime, ping', () => {
    const { world, alice } = pair();
    world.clock.advance(5000);
    const info = get(alice, 'localhost', "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    expect(info).toContain('<identity category="server" type="im" name="Rosetta MQ"/>');
    expect(info).toContain('<feature var="urn:xmpp:ping"/>');
    expect(
      get(alice, 'localhost', "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>"),
    ).toContain('item-not-found');
    expect(
      get(alice, 'localhost', "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
    ).toContain('<item jid="rooms.localhost"/>');
    expect(get(alice, 'localhost', "<query xmlns='jabber:iq:version'/>")).toContain(
      '<name>Rosetta MQ</name><version>0.0.0</version>',
    );
    expect(get(alice, 'localhost', "<time xmlns='urn:xmpp:time'/>")).toContain(
      '<tzo>+00:00</tzo><utc>2026-01-01T00:00:05Z</utc>',
    );
    expect(get(alice, 'localhost', "<query xmlns='jabber:iq:last'/>")).toContain('seconds="5"');
    expect(get(alice, '', "<ping xmlns='urn:xmpp:ping'/>")).toContain('type="result"');
  });

  test('last activity and disco are for contacts only', () => {
    const { world, alice, bob } = pair();
    const last = "<query xmlns='jabber:iq:last'/>";
    const info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    expect(get(alice, 'bob@localhost', last)).toContain('<forbidden ');
    expect(get(alice, 'bob@localhost', info)).toContain('<service-unavailable ');
    befriend(alice, bob);
    expect(get(alice, 'bob@localhost', last)).toContain('seconds="0"');
    expect(get(alice, 'bob@localhost', info)).toContain('type="registered"');
    bob.send('</stream:stream>');
    alice.take();
    world.clock.advance(9000);
    expect(get(alice, 'bob@localhost', last)).toContain('seconds="9"');
  });

  test('private storage and cards are kept', () => {
    const { alice, bob } = pair();
    const store =
      "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>X</storage></query>";
    expect(
      alice.send(`<iq type='set' id='p'>${store.replace('X', '<conference jid="r@x"/>')}</iq>`),
    ).toContain('type="result"');
    expect(get(alice, '', store.replace('X', ''))).toContain('<conference jid="r@x"/>');
    expect(get(bob, '', store.replace('X', ''))).toContain('<storage xmlns="storage:bookmarks"/>');
    expect(get(alice, '', "<query xmlns='jabber:iq:private'/>")).toContain('<bad-request ');
    expect(get(alice, '', "<query xmlns='jabber:iq:private'><x/></query>")).toContain(
      '<not-acceptable ',
    );
    expect(get(alice, '', "<vCard xmlns='vcard-temp'/>")).toContain('<vCard xmlns="vcard-temp"/>');
    alice.send("<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>Alice</FN></vCard></iq>");
    expect(get(bob, 'alice@localhost', "<vCard xmlns='vcard-temp'/>")).toContain('<FN>Alice</FN>');
    expect(get(alice, 'bob@localhost', "<vCard xmlns='vcard-temp'/>")).toContain(
      '<service-unavailable ',
    );
    expect(
      alice.send("<iq type='set' id='v' to='bob@localhost'><vCard xmlns='vcard-temp'/></iq>"),
    ).toContain('<forbidden ');
  });

  test('a request to a resource reaches it, and its answer comes back', () => {
    const { alice, bob } = pair();
    get(alice, 'bob@localhost/b', "<x xmlns='urn:x'/>");
    expect(bob.take()).toBe(
      '<iq type="get" id="q" to="bob@localhost/b" from="alice@localhost/a"><x xmlns="urn:x"/></iq>',
    );
    bob.send("<iq type='result' id='q' to='alice@localhost/a'/>");
    expect(alice.take()).toBe(
      '<iq type="result" id="q" to="alice@localhost/a" from="bob@localhost/b"/>',
    );
  });
});
