import { describe, expect, test } from 'vitest';
import { createXmppWorld, type PipeClient } from './pipe-client.ts';

const NODE = 'urn:xmpp:bookmarks:1';
const PUBSUB = "xmlns='http://jabber.org/protocol/pubsub'";

/** Stores the list as XEP-0048 does. */
function store(client: PipeClient, list: string): string {
  return client.send(
    `<iq type='set' id='s'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>${list}</storage></query></iq>`,
  );
}

function stored(client: PipeClient): string {
  return client.send(
    "<iq type='get' id='g'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query></iq>",
  );
}

function publish(client: PipeClient, jid: string, conference: string): string {
  return client.send(
    `<iq type='set' id='p'><pubsub ${PUBSUB}><publish node='${NODE}'><item id='${jid}'>${conference}</item></publish></pubsub></iq>`,
  );
}

function items(client: PipeClient): string {
  return client.send(
    `<iq type='get' id='i'><pubsub ${PUBSUB}><items node='${NODE}'/></pubsub></iq>`,
  );
}

const TEA =
  "<conference name='Tea' autojoin='true' jid='tea@rooms.localhost'><nick>al</nick></conference>";

describe('bookmarks', () => {
  test('that one client stored in the old way, another finds in the new', () => {
    const world = createXmppWorld();
    const old = world.online('alice', 'old');
    expect(store(old, `${TEA}<url name='W' url='http://x.y'/>`)).toContain('type="result"');
    const found = items(world.online('alice', 'new'));
    expect(found).toContain(
      '<item id="tea@rooms.localhost"><conference xmlns="urn:xmpp:bookmarks:1" name="Tea" autojoin="true"><nick>al</nick></conference></item>',
    );
    expect(found).not.toContain('url');
    expect(stored(old)).toContain('<url name="W" url="http://x.y"');
  });

  test('that one client published, another finds in the old way', () => {
    const world = createXmppWorld();
    const modern = world.online('alice', 'new');
    publish(
      modern,
      'tea@rooms.localhost',
      `<conference xmlns='${NODE}' name='Tea'><nick>al</nick><password>p</password></conference>`,
    );
    expect(stored(world.online('alice', 'old'))).toContain(
      '<storage xmlns="storage:bookmarks"><conference name="Tea" jid="tea@rooms.localhost"><nick>al</nick><password>p</password></conference></storage>',
    );
  });

  test('change and go in both, and what the old way cannot say stays', () => {
    const world = createXmppWorld();
    const [old, modern] = [world.online('alice', 'old'), world.online('alice', 'new')];
    store(old, `${TEA}<conference jid='two@rooms.localhost'/>`);
    publish(
      modern,
      'tea@rooms.localhost',
      `<conference xmlns='${NODE}' name='Tea'><extensions><pin xmlns='urn:x'/></extensions></conference>`,
    );
    store(old, TEA.replace("name='Tea'", "name='Coffee'"));
    const found = items(modern);
    expect(found).toContain('name="Coffee"');
    expect(found).toContain('<pin xmlns="urn:x"/>');
    expect(found).not.toContain('two@rooms.localhost');
    expect(stored(old)).not.toContain('two@rooms.localhost');
  });

  test('of before are found by the first client of the new way', () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'a');
    world.context.engine.table('xmpp.private').set(
      'alice@localhost',
      Buffer.from(
        JSON.stringify({
          'storage:bookmarks storage': `<storage xmlns="storage:bookmarks">${TEA}</storage>`,
        }),
      ),
    );
    expect(stored(alice)).toContain('jid="tea@rooms.localhost"');
    expect(items(alice)).toContain('<item id="tea@rooms.localhost">');
  });

  test('conversion is told (XEP-0402 4.3)', () => {
    const alice = createXmppWorld().online('alice', 'a');
    expect(
      alice.send(
        "<iq type='get' id='d'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
      ),
    ).toContain('<feature var="urn:xmpp:bookmarks-conversion:0"/>');
  });

  test('nobody else reads them', () => {
    const world = createXmppWorld();
    store(world.online('alice', 'a'), TEA);
    const bob = world.online('bob', 'b');
    expect(
      bob.send(
        `<iq type='get' id='i' to='alice@localhost'><pubsub ${PUBSUB}><items node='${NODE}'/></pubsub></iq>`,
      ),
    ).toContain('<closed-node ');
  });
});
