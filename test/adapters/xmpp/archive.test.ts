import { describe, expect, test } from 'vitest';
import { publish } from './bystander.ts';
import { createXmppWorld, type PipeClient } from './pipe-client.ts';

const MAM = 'urn:xmpp:mam:2';

/** The bodies of one page, and what the page says of itself. */
function query(
  client: PipeClient,
  filter: Readonly<Record<string, string>> = {},
  page = '',
  to = '',
): { readonly bodies: string[]; readonly ids: string[]; readonly fin: string } {
  const fields = Object.entries({ FORM_TYPE: MAM, ...filter })
    .map(([name, value]) => `<field var='${name}'><value>${value}</value></field>`)
    .join('');
  const set = page === '' ? '' : `<set xmlns='http://jabber.org/protocol/rsm'>${page}</set>`;
  const answer = client.send(
    `<iq type='set' id='q'${to}><query xmlns='${MAM}' queryid='z'><x xmlns='jabber:x:data' type='submit'>${fields}</x>${set}</query></iq>`,
  );
  return {
    bodies: [...answer.matchAll(/<body>(.*?)<\/body>/g)].map(([, body]) => body ?? ''),
    ids: [...answer.matchAll(/<result [^>]*\sid="([^"]*)"/g)].map(([, id]) => id ?? ''),
    fin: /<iq .*$/.exec(answer)?.[0] ?? '',
  };
}

function say(from: PipeClient, to: string, body: string, more = ''): void {
  from.send(`<message to='${to}' type='chat'><body>${body}</body>${more}</message>`);
}

describe('the archive of a person (XEP-0313)', () => {
  test('has what was sent and received, with the sender and the time', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const bob = world.online('bob', 'b');
    say(alice, 'bob@localhost', 'one');
    say(bob, 'alice@localhost/a', 'two');
    alice.take();
    const answer = alice.send(`<iq type='set' id='q'><query xmlns='${MAM}'/></iq>`);
    expect(answer).toContain(
      '<forwarded xmlns="urn:xmpp:forward:0"><delay xmlns="urn:xmpp:delay" stamp="2026-01-01T00:00:00.000Z"/><message to="bob@localhost" type="chat" from="alice@localhost/a" xmlns="jabber:client">',
    );
    expect(answer).toContain('<fin xmlns="urn:xmpp:mam:2" complete="true">');
    expect(query(alice).bodies).toEqual(['one', 'two']);
    expect(query(bob).bodies).toEqual(['one', 'two']);
  });

  test('turns a page around where that is asked for', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    for (const body of ['1', '2', '3']) say(alice, 'bob@localhost', body);
    const answer = alice.send(
      `<iq type='set' id='q'><query xmlns='${MAM}'><flip-page/><set xmlns='http://jabber.org/protocol/rsm'><max>2</max></set></query></iq>`,
    );
    expect([...answer.matchAll(/<body>(\d)</g)].map(([, body]) => body)).toEqual(['2', '1']);
    expect(answer).toMatch(/<first index="0">[^<]+<\/first>/);
  });

  test('gives each message the id that its receiver was told', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const bob = world.online('bob', 'b');
    const forged = "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@localhost' id='forged'/>";
    say(alice, 'bob@localhost', 'one', forged);
    const got = bob.takeWithIds();
    expect(got).not.toContain('forged');
    const told = /<stanza-id xmlns="urn:xmpp:sid:0" by="bob@localhost" id="([^"]+)"/.exec(got)?.[1];
    expect(query(bob).ids).toEqual([told]);
  });

  test('filters by address, time and id', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    say(alice, 'bob@localhost', 'to bob');
    world.clock.advance(60_000);
    say(alice, 'guest@localhost', 'to guest');
    expect(query(alice, { with: 'guest@localhost' }).bodies).toEqual(['to guest']);
    expect(query(alice, { start: '2026-01-01T00:00:30Z' }).bodies).toEqual(['to guest']);
    const { ids } = query(alice, { end: '2026-01-01T00:00:30Z' });
    expect(query(alice, { 'after-id': ids[0] ?? '' }).bodies).toEqual(['to guest']);
    expect(query(alice, { ids: ids[0] ?? '' }).bodies).toEqual(['to bob']);
    expect(query(alice, { ids: 'none' }).fin).toContain('<item-not-found');
    expect(query(alice, { odd: 'x' }).fin).toContain('<bad-request');
  });

  test('is read in pages, forward and backward (XEP-0059)', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    for (const body of ['1', '2', '3', '4', '5']) say(alice, 'bob@localhost', body);
    const first = query(alice, {}, '<max>2</max>');
    expect(first.bodies).toEqual(['1', '2']);
    expect(first.fin).not.toContain('complete');
    expect(first.fin).toContain('<count>5</count>');
    const last = first.ids.at(-1) ?? '';
    expect(query(alice, {}, `<max>2</max><after>${last}</after>`).bodies).toEqual(['3', '4']);
    const tail = query(alice, {}, '<max>2</max><before/>');
    expect(tail.bodies).toEqual(['4', '5']);
    const rest = query(alice, {}, `<max>5</max><before>${tail.ids[0] ?? ''}</before>`);
    expect(rest.bodies).toEqual(['1', '2', '3']);
    expect(rest.fin).toContain('complete="true"');
    expect(query(alice, {}, '<after>none</after>').fin).toContain('<item-not-found');
  });

  test('keeps what waits offline, once, and what other protocols send', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    say(alice, 'bob@localhost', 'while away');
    say(alice, 'bob@localhost', 'not this', "<no-store xmlns='urn:xmpp:hints'/>");
    alice.send("<message to='bob@localhost' type='headline'><body>nor this</body></message>");
    const bob = world.online('bob', 'b');
    publish(world, 'amq.xmpp', 'bob@localhost', 'from elsewhere');
    bob.take();
    expect(query(bob).bodies).toEqual(['while away', 'from elsewhere']);
  });

  test('forgets the oldest beyond its limit, and outlives the session', () => {
    const world = createXmppWorld({ limits: { xmppArchiveMessagesMax: 2 } });
    const alice = world.online('alice', 'a');
    for (const body of ['1', '2', '3']) say(alice, 'bob@localhost', body);
    alice.send('</stream:stream>');
    expect(query(world.online('alice', 'b')).bodies).toEqual(['2', '3']);
  });

  test('is bounded in bytes, alone and together with all others', () => {
    const alone = createXmppWorld({ limits: { xmppArchiveBytesMax: 1000 } });
    const alice = alone.online('alice', 'a');
    for (const body of ['1', '2', '3']) say(alice, 'bob@localhost', body.repeat(400));
    expect(query(alice).bodies).toEqual(['3'.repeat(400)]);
    const together = createXmppWorld({ limits: { xmppArchivesBytesMax: 1000 } });
    const [one, two] = [together.online('alice', 'a'), together.online('guest', 'g')];
    say(one, 'queues.localhost', 'old');
    say(two, 'queues.localhost', 'x'.repeat(800));
    expect(query(one).bodies).toEqual([]);
    expect(query(two).bodies).toEqual(['x'.repeat(800)]);
  });

  test("is nobody else's to read", () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    expect(query(alice, {}, '', " to='bob@localhost'").fin).toContain('<forbidden');
  });
});

test('a room has an archive for those who may enter', () => {
  const world = createXmppWorld();
  const [alice, bob] = [world.online('alice', 'a'), world.online('bob', 'b')];
  alice.send(
    "<presence to='r@rooms.localhost/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
  );
  alice.send("<message to='r@rooms.localhost' type='groupchat'><body>said</body></message>");
  const to = " to='r@rooms.localhost'";
  expect(query(bob, {}, '', to).bodies).toEqual(['said']);
  alice.send(
    "<iq type='set' id='o' to='r@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast' jid='bob@localhost'/></query></iq>",
  );
  expect(query(bob, {}, '', to).fin).toContain('<forbidden');
});

describe('blocking (XEP-0191)', () => {
  const block = (jid: string): string =>
    `<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='${jid}'/></block></iq>`;

  test('who is blocked reaches nobody, and is not written to', () => {
    const world = createXmppWorld();
    const [alice, bob] = [world.online('alice', 'a'), world.online('bob', 'b')];
    expect(alice.send(block('bob@localhost'))).toContain('type="result"');
    expect(bob.send("<message to='alice@localhost'><body>x</body></message>")).toContain(
      '<service-unavailable',
    );
    expect(bob.send("<iq type='get' id='p' to='alice@localhost/a'><x xmlns='y'/></iq>")).toContain(
      '<service-unavailable',
    );
    expect(alice.take()).toBe('');
    expect(alice.send("<message to='bob@localhost'><body>x</body></message>")).toContain(
      '<blocked xmlns="urn:xmpp:blocking:errors"/>',
    );
    alice.send("<iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'/></iq>");
    bob.send("<message to='alice@localhost'><body>again</body></message>");
    expect(alice.take()).toContain('again');
  });

  test('other resources that asked for the list hear of changes', () => {
    const world = createXmppWorld();
    const [one, two] = [world.online('alice', 'one'), world.online('alice', 'two')];
    two.send("<iq type='get' id='g'><blocklist xmlns='urn:xmpp:blocking'/></iq>");
    one.send(block('bob@localhost'));
    expect(two.take()).toContain(
      '<block xmlns="urn:xmpp:blocking"><item jid="bob@localhost"/></block>',
    );
    expect(two.send("<iq type='get' id='g'><blocklist xmlns='urn:xmpp:blocking'/></iq>")).toContain(
      '<item jid="bob@localhost"/></blocklist>',
    );
  });
});
