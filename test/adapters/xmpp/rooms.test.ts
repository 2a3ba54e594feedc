import { describe, expect, test } from 'vitest';
import { observe, publish } from './bystander.ts';
import { createXmppWorld, type PipeClient, type XmppWorld } from './pipe-client.ts';

const MUC = "<x xmlns='http://jabber.org/protocol/muc'/>";
const ROOM = 'r@rooms.localhost';

const enter = (client: PipeClient, nick: string, x: string = MUC): string =>
  client.send(`<presence to='${ROOM}/${nick}'>${x}</presence>`);
const say = (client: PipeClient, body: string): string =>
  client.send(`<message to='${ROOM}' type='groupchat' id='g'><body>${body}</body></message>`);
const iq = (client: PipeClient, type: string, payload: string, to: string = ROOM): string =>
  client.send(`<iq type='${type}' id='i' to='${to}'>${payload}</iq>`);
const admin = (client: PipeClient, item: string): string =>
  iq(client, 'set', `<query xmlns='http://jabber.org/protocol/muc#admin'>${item}</query>`);
const configure = (client: PipeClient, fields: Record<string, string>): string => {
  const xml = Object.entries(fields).map(
    ([name, value]) => `<field var='muc#roomconfig_${name}'><value>${value}</value></field>`,
  );
  return iq(
    client,
    'set',
    `<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>${xml.join('')}</x></query>`,
  );
};

function two(): { world: XmppWorld; alice: PipeClient; bob: PipeClient } {
  const world = createXmppWorld();
  const alice = world.online('alice', 'a');
  const bob = world.online('bob', 'b');
  enter(alice, 'al');
  enter(bob, 'bo');
  alice.take();
  bob.take();
  return { world, alice, bob };
}

describe('entering', () => {
  test('makes the room, its owner, and shows everybody to everybody', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const made = enter(alice, 'al');
    expect(made).toContain(
      '<presence to="alice@localhost/a" from="r@rooms.localhost/al"><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="owner" role="moderator" jid="alice@localhost/a"/><status code="110"/><status code="201"/></x></presence>',
    );
    expect(made).toMatch(
      /<message from="r@rooms.localhost" to="alice@localhost\/a" type="groupchat"><subject\/><\/message>$/,
    );
    const bob = world.online('bob', 'b');
    const came = enter(bob, 'bo');
    const [first, second] = came.match(/<presence.*?<\/presence>/g) ?? [];
    expect(first).toContain('from="r@rooms.localhost/al"');
    expect(first).not.toContain('alice@localhost');
    expect(second).toContain('from="r@rooms.localhost/bo"');
    expect(second).toContain(
      '<item affiliation="none" role="participant" jid="bob@localhost/b"/><status code="110"/>',
    );
    expect(alice.take()).toContain('role="participant" jid="bob@localhost/b"');
  });

  test('is refused by name', () => {
    const { world, alice, bob } = two();
    const guest =
      world.online('guest', 'g').transport === undefined ? alice : world.online('guest', 'g2');
    expect(enter(guest, 'al')).toContain('<conflict ');
    expect(guest.send(`<presence to='${ROOM}'>${MUC}</presence>`)).toContain('<jid-malformed ');
    configure(alice, { passwordprotectedroom: '1', roomsecret: 'sesame' });
    expect(enter(guest, 'gu')).toContain('<not-authorized ');
    expect(
      enter(
        guest,
        'gu',
        "<x xmlns='http://jabber.org/protocol/muc'><password>sesame</password></x>",
      ),
    ).toContain('code="110"');
    guest.send(`<presence to='${ROOM}/gu' type='unavailable'/>`);
    configure(alice, { passwordprotectedroom: '0', membersonly: '1' });
    expect(bob.take()).toContain('<status code="322"/><status code="110"/>');
    expect(enter(guest, 'gu')).toContain('<registration-required ');
    admin(alice, "<item jid='guest@localhost' affiliation='outcast'/>");
    expect(enter(guest, 'gu')).toContain('<forbidden ');
  });

  test('needs the permissions of the exchange', () => {
    const limited = createXmppWorld().online('limited', 'l');
    expect(enter(limited, 'li')).toContain('<not-allowed ');
  });
});

describe('speaking', () => {
  test('reaches everybody with the nickname, the speaker too', () => {
    const { alice, bob } = two();
    const echo = say(alice, 'hi');
    expect(echo).toBe(
      '<message from="r@rooms.localhost/al" to="alice@localhost/a" type="groupchat" id="g"><body>hi</body></message>',
    );
    expect(bob.take()).toBe(
      '<message from="r@rooms.localhost/al" to="bob@localhost/b" type="groupchat" id="g"><body>hi</body></message>',
    );
  });

  test('is for occupants', () => {
    const { world } = two();
    const guest = world.online('guest', 'g');
    expect(say(guest, 'x')).toContain('<not-acceptable ');
    expect(
      guest.send("<message to='none@rooms.localhost' type='groupchat'><body>x</body></message>"),
    ).toContain('<item-not-found ');
  });

  test('in private goes to one', () => {
    const { alice, bob } = two();
    alice.send(`<message to='${ROOM}/bo' type='chat'><body>psst</body></message>`);
    expect(bob.take()).toBe(
      '<message to="bob@localhost/b" type="chat" from="r@rooms.localhost/al"><body>psst</body><x xmlns="http://jabber.org/protocol/muc#user"/></message>',
    );
    expect(alice.send(`<message to='${ROOM}/xx' type='chat'><body>p</body></message>`)).toContain(
      '<item-not-found ',
    );
    expect(
      alice.send(`<message to='${ROOM}/bo' type='groupchat'><body>p</body></message>`),
    ).toContain('<bad-request ');
  });

  test('newcomers are shown what was said, as far as they ask, and the subject', () => {
    const { world, alice } = two();
    say(alice, 'first');
    say(alice, 'two');
    expect(
      alice.send(`<message to='${ROOM}' type='groupchat'><subject>Topic</subject></message>`),
    ).toContain('<subject>Topic</subject>');
    const guest = world.online('guest', 'g');
    const came = enter(
      guest,
      'gu',
      "<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='1'/></x>",
    );
    expect(came).not.toContain('first');
    expect(came).toContain(
      '<body>two</body><delay xmlns="urn:xmpp:delay" from="r@rooms.localhost" stamp="2026-01-01T00:00:00.000Z"/></message>',
    );
    expect(came).toMatch(/<subject>Topic<\/subject><delay [^>]*\/><\/message>$/);
    guest.send(`<presence to='${ROOM}/gu' type='unavailable'/>`);
    expect(
      enter(guest, 'gu', "<x xmlns='http://jabber.org/protocol/muc'><history maxchars='0'/></x>"),
    ).not.toContain('<body>');
  });

  test('crosses to the exchange and back', () => {
    const { world, alice, bob } = two();
    const seen = observe(world, 'muc.r', '');
    say(alice, 'out');
    expect(seen[0]?.body.toString()).toBe('out');
    expect(seen[0]?.properties.userId).toBe('alice');
    alice.take();
    bob.take();
    publish(world, 'muc.r', '', 'in', { appId: 'robot' });
    expect(alice.take()).toContain(
      'from="r@rooms.localhost/robot" to="alice@localhost/a" type="groupchat"><body>in</body>',
    );
    publish(world, 'muc.r', '', 'in', { userId: 'al' });
    expect(bob.take()).toContain('from="r@rooms.localhost/al@amqp091"');
    publish(world, 'muc.r', '', 'in', { type: 'order' });
    expect(bob.take()).toContain('from="r@rooms.localhost/gateway"');
  });
});

describe('leaving', () => {
  test('is told to everybody, and the last one ends the room', () => {
    const { world, alice, bob } = two();
    const left = bob.send(
      `<presence to='${ROOM}/bo' type='unavailable'><status>bye</status></presence>`,
    );
    expect(left).toContain(
      '<status>bye</status><x xmlns="http://jabber.org/protocol/muc#user"><item affiliation="none" role="none" jid="bob@localhost/b"/><status code="110"/></x>',
    );
    expect(alice.take()).toContain('type="unavailable"');
    alice.send('</stream:stream>');
    const guest = world.online('guest', 'g');
    expect(iq(guest, 'get', "<query xmlns='http://jabber.org/protocol/disco#info'/>")).toContain(
      '<item-not-found ',
    );
    expect(enter(guest, 'gu')).toContain('code="201"');
  });

  test('a persistent room stays, with what it is', () => {
    const { world, alice, bob } = two();
    configure(alice, { persistentroom: '1', roomname: 'Talk' });
    alice.send('</stream:stream>');
    bob.send('</stream:stream>');
    const guest = world.online('guest', 'g');
    const info = iq(guest, 'get', "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    expect(info).toContain('<identity category="conference" type="text" name="Talk"/>');
    expect(info).toContain('muc_persistent');
    expect(enter(guest, 'gu')).toContain('<item affiliation="none"');
  });

  test('a changed nickname is told', () => {
    const { alice, bob } = two();
    bob.send(`<presence to='${ROOM}/bobby'/>`);
    const told = alice.take();
    expect(told).toContain(
      'role="participant" jid="bob@localhost/b" nick="bobby"/><status code="303"/>',
    );
    expect(told).toContain('from="r@rooms.localhost/bobby"');
    expect(bob.send(`<presence to='${ROOM}/al'/>`)).toContain('<conflict ');
  });
});

describe('administration', () => {
  test('kick, voice, ban', () => {
    const { alice, bob } = two();
    expect(admin(bob, "<item nick='al' role='none'/>")).toContain('<forbidden ');
    expect(admin(alice, "<item nick='bo' role='visitor'/>")).toContain('type="result"');
    bob.take();
    expect(say(bob, 'x')).toContain('<forbidden ');
    admin(alice, "<item nick='bo' role='none'><reason>out</reason></item>");
    expect(bob.take()).toContain(
      '<actor nick="al"/><reason>out</reason></item><status code="307"/><status code="110"/>',
    );
    enter(bob, 'bo');
    admin(alice, "<item jid='bob@localhost' affiliation='outcast'/>");
    expect(bob.take()).toContain('<item affiliation="outcast" role="none"');
    expect(
      iq(
        alice,
        'get',
        "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query>",
      ),
    ).toContain('<item affiliation="outcast" jid="bob@localhost"/>');
    expect(admin(alice, "<item jid='alice@localhost' affiliation='none'/>")).toContain(
      '<conflict ',
    );
    expect(admin(alice, "<item nick='zz' role='none'/>")).toContain('<item-not-found ');
    expect(admin(alice, "<item nick='al' role='king'/>")).toContain('<bad-request ');
  });

  test('the form shows and takes the configuration, from the owner', () => {
    const { alice, bob } = two();
    const get = "<query xmlns='http://jabber.org/protocol/muc#owner'/>";
    expect(iq(bob, 'get', get)).toContain('<forbidden ');
    expect(iq(alice, 'get', get)).toContain(
      '<field var="muc#roomconfig_persistentroom" type="boolean"',
    );
    expect(configure(alice, { whois: 'anyone', moderatedroom: '1' })).toContain('type="result"');
    expect(bob.take()).toContain('<status code="104"/>');
    expect(configure(alice, { passwordprotectedroom: '1' })).toContain('<not-acceptable ');
    bob.send(`<presence to='${ROOM}/bo' type='unavailable'/>`);
    const again = enter(bob, 'bo');
    expect(again).toContain('jid="alice@localhost/a"');
    expect(again).toContain('role="visitor"');
    expect(again).toContain('<status code="100"/>');
    expect(iq(alice, 'set', get)).toContain('type="result"');
  });

  test('the owner ends the room', () => {
    const { world, alice, bob } = two();
    iq(
      alice,
      'set',
      "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='new@rooms.localhost'><reason>moved</reason></destroy></query>",
    );
    expect(bob.take()).toContain(
      '<destroy jid="new@rooms.localhost"><reason>moved</reason></destroy></x></presence>',
    );
    expect(iq(world.online('guest', 'g'), 'get', "<ping xmlns='urn:xmpp:ping'/>")).toContain(
      '<item-not-found ',
    );
  });

  test('invitations and refusals are passed on', () => {
    const { world, alice } = two();
    const guest = world.online('guest', 'g');
    guest.take();
    alice.send(
      `<message to='${ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='guest@localhost'><reason>come</reason></invite></x></message>`,
    );
    expect(guest.take()).toContain(
      '<invite from="alice@localhost"><reason>come</reason></invite></x><x xmlns="jabber:x:conference" jid="r@rooms.localhost"/>',
    );
    guest.send(
      `<message to='${ROOM}'><x xmlns='http://jabber.org/protocol/muc#user'><decline to='alice@localhost'/></x></message>`,
    );
    expect(alice.take()).toContain('<decline from="guest@localhost"/>');
  });

  test('disco and self-ping tell who is in', () => {
    const { world, alice } = two();
    const items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    expect(iq(alice, 'get', items, 'rooms.localhost')).toContain(
      '<item jid="r@rooms.localhost" name="r"/>',
    );
    expect(iq(alice, 'get', items)).toContain('<item jid="r@rooms.localhost/bo"/>');
    const ping = "<ping xmlns='urn:xmpp:ping'/>";
    expect(iq(alice, 'get', ping, `${ROOM}/al`)).toContain('type="result"');
    expect(iq(world.online('guest', 'g'), 'get', ping, `${ROOM}/gu`)).toContain('<not-acceptable ');
  });

  test('a request between occupants keeps their nicknames', () => {
    const { alice, bob } = two();
    iq(alice, 'get', "<x xmlns='urn:x'/>", `${ROOM}/bo`);
    expect(bob.take()).toContain(
      '<iq type="get" id="i" to="bob@localhost/b" from="r@rooms.localhost/al">',
    );
    bob.send(`<iq type='result' id='i' to='${ROOM}/al'/>`);
    expect(alice.take()).toBe(
      '<iq type="result" id="i" to="alice@localhost/a" from="r@rooms.localhost/bo"/>',
    );
  });
});
