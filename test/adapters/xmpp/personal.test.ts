import { describe, expect, test } from 'vitest';
import { createXmppWorld, type PipeClient, type XmppWorld } from './pipe-client.ts';

const PUBSUB = 'http://jabber.org/protocol/pubsub';
const NICK = 'http://jabber.org/protocol/nick';
const BOOKMARKS = 'urn:xmpp:bookmarks:1';

function publish(id: string, node: string, name: string, options = ''): string {
  return `<iq type='set' id='p'><pubsub xmlns='${PUBSUB}'><publish node='${node}'><item id='${id}'><nick xmlns='${NICK}'>${name}</nick></item></publish>${options}</pubsub></iq>`;
}

function options(...fields: readonly (readonly [string, string])[]): string {
  const written = fields.map(
    ([name, value]) => `<field var='pubsub#${name}'><value>${value}</value></field>`,
  );
  return `<publish-options><x xmlns='jabber:x:data' type='submit'>${written.join('')}</x></publish-options>`;
}

function items(node: string, to = '', more = ''): string {
  return `<iq type='get' id='i'${to}><pubsub xmlns='${PUBSUB}'><items node='${node}'${more}/></pubsub></iq>`;
}

/** Available, with a client that wants to be notified of `nodes`. */
function wanting(client: PipeClient, ...nodes: readonly string[]): string {
  const asked = client.send(
    "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://c.example' ver='v1'/></presence>",
  );
  const request = /<iq type="get" id="([^"]+)" from="([^"]+)"/.exec(asked);
  expect(request).not.toBeNull();
  const features = nodes.map((node) => `<feature var='${node}+notify'/>`).join('');
  return client.send(
    `<iq type='result' id='${request?.[1]}' to='${request?.[2]}'><query xmlns='http://jabber.org/protocol/disco#info' node='http://c.example#v1'>${features}</query></iq>`,
  );
}

/** Alice and bob, who see each other's presence. */
function friends(world: XmppWorld): [PipeClient, PipeClient] {
  const [alice, bob] = [world.login('alice', 'a'), world.login('bob', 'b')];
  for (const client of [alice, bob]) client.send('<presence/>');
  alice.send("<presence type='subscribe' to='bob@localhost'/>");
  bob.send("<presence type='subscribed' to='alice@localhost'/>");
  bob.send("<presence type='subscribe' to='alice@localhost'/>");
  alice.send("<presence type='subscribed' to='bob@localhost'/>");
  alice.take();
  bob.take();
  return [alice, bob];
}

describe('personal eventing (XEP-0163)', () => {
  test('contacts whose clients ask for a node are notified, and own resources too', () => {
    const world = createXmppWorld();
    const [alice, bob] = friends(world);
    wanting(bob, NICK);
    wanting(alice, NICK);
    expect(alice.send(publish('1', NICK, 'Al'))).toContain(
      `<event xmlns="http://jabber.org/protocol/pubsub#event"><items node="${NICK}"><item id="1">`,
    );
    expect(bob.take()).toContain(
      '<message from="alice@localhost" to="bob@localhost/b" type="headline"',
    );
  });

  test('who comes later gets the last item; who does not ask gets nothing', () => {
    const world = createXmppWorld();
    const [alice, bob] = friends(world);
    alice.send(publish('1', NICK, 'Al'));
    alice.send(publish('2', NICK, 'Ally'));
    expect(bob.take()).toBe('');
    const came = wanting(bob, NICK);
    expect(came).toContain('Ally');
    expect(came).not.toContain('>Al<');
  });

  test('strangers may not read, unless the node is open', () => {
    const world = createXmppWorld();
    const [alice, bob] = [world.online('alice', 'a'), world.online('bob', 'b')];
    const to = " to='alice@localhost'";
    alice.send(publish('1', NICK, 'Al'));
    expect(bob.send(items(NICK, to))).toContain('<presence-subscription-required');
    alice.send(publish('1', 'open', 'Al', options(['access_model', 'open'])));
    expect(bob.send(items('open', to))).toContain('>Al</nick>');
    expect(bob.send(items('none', to))).toContain('<item-not-found');
    const foreign = publish('1', NICK, 'forged').replace("id='p'", `id='p'${to}`);
    expect(bob.send(foreign)).toContain('<forbidden');
  });

  test('bookmarks: many items, for the account only, kept and retracted', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    const wanted = options(
      ['persist_items', 'true'],
      ['max_items', 'max'],
      ['send_last_published_item', 'never'],
      ['access_model', 'whitelist'],
    );
    alice.send(publish('one@rooms.localhost', BOOKMARKS, '1', wanted));
    alice.send(publish('two@rooms.localhost', BOOKMARKS, '2', wanted));
    alice.send('</stream:stream>');
    const again = world.online('alice', 'b');
    const found = again.send(items(BOOKMARKS));
    expect(found).toMatch(/one@rooms.localhost.*two@rooms.localhost/);
    expect(again.send(items(BOOKMARKS, '', " max_items='1'"))).not.toContain('one@');
    again.send(
      `<iq type='set' id='r'><pubsub xmlns='${PUBSUB}'><retract node='${BOOKMARKS}' notify='true'><item id='one@rooms.localhost'/></retract></pubsub></iq>`,
    );
    expect(again.send(items(BOOKMARKS))).not.toContain('one@');
  });

  test('publishing with other options than the node has is refused until it is configured', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    alice.send(publish('1', NICK, 'Al'));
    const open = options(['access_model', 'open']);
    expect(alice.send(publish('2', NICK, 'Al', open))).toContain('<precondition-not-met');
    const owner = `${PUBSUB}#owner`;
    alice.send(
      `<iq type='set' id='c'><pubsub xmlns='${owner}'><configure node='${NICK}'><x xmlns='jabber:x:data' type='submit'><field var='pubsub#access_model'><value>open</value></field></x></configure></pubsub></iq>`,
    );
    expect(alice.send(publish('2', NICK, 'Al', open))).toContain('type="result"');
    expect(
      alice.send(
        `<iq type='get' id='g'><pubsub xmlns='${owner}'><configure node='${NICK}'/></pubsub></iq>`,
      ),
    ).toContain('<value>open</value>');
  });

  test('limits: nodes and bytes of one account', () => {
    const world = createXmppWorld({
      limits: { xmppPersonalNodesMax: 1, xmppPersonalBytesMax: 200 },
    });
    const alice = world.online('alice', 'a');
    expect(alice.send(publish('1', 'one', 'x'.repeat(300)))).toContain('<resource-constraint');
    expect(alice.send(publish('1', 'one', 'x'))).toContain('type="result"');
    expect(alice.send(publish('1', 'two', 'x'))).toContain('<resource-constraint');
  });
});
