/** What the store has to do with a restart: a gateway is left as it stands, and another one begins. */
import { expect, test } from 'vitest';
import { MemoryStore } from '../../../core/store/memory.ts';
import { createXmppWorld, HEADER, type PipeClient } from './pipe-client.ts';

const MAM = 'urn:xmpp:mam:2';
const ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

/** The bodies in an archive, oldest first, as a client reads them page by page. */
function archived(client: PipeClient): string[] {
  const bodies: string[] = [];
  for (let page = ''; ; ) {
    const set = `<set xmlns='http://jabber.org/protocol/rsm'><max>50</max>${page}</set>`;
    const answer = client.send(`<iq type='set' id='q'><query xmlns='${MAM}'>${set}</query></iq>`);
    bodies.push(...[...answer.matchAll(/<body>(.*?)<\/body>/g)].map(([, body]) => body ?? ''));
    if (answer.includes('complete="true"')) return bodies;
    page = `<after>${/<last>(.*?)<\/last>/.exec(answer)?.[1]}</after>`;
  }
}

function said(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => `m${from + index}`);
}

test('an archive has every message after a crash, and after the next one', () => {
  const store = new MemoryStore();
  let last = 0;
  for (const count of [1, 62, 1, 1, 100]) {
    const world = createXmppWorld({ store });
    const alice = world.online('alice', 'a');
    expect(archived(alice)).toEqual(said(1, last));
    for (const body of said(last + 1, last + count)) {
      alice.send(`<message to='bob@localhost' type='chat'><body>${body}</body></message>`);
    }
    last += count;
    expect(archived(alice)).toEqual(said(1, last));
  }
  expect(archived(createXmppWorld({ store }).online('alice', 'a'))).toEqual(said(1, 165));
});

test('what an archive has lost to its bound does not stay in the store', () => {
  const store = new MemoryStore();
  const world = createXmppWorld({ store, limits: { xmppArchiveMessagesMax: 10 } });
  const alice = world.online('alice', 'a');
  for (const body of said(1, 200)) {
    alice.send(`<message to='bob@localhost' type='chat'><body>${body}</body></message>`);
  }
  const keys = [...store.table('xmpp.archive').entries()].map(([key]) => key);
  expect(keys.filter((key) => key.startsWith('alice@')).length).toBeLessThan(20);
  const again = createXmppWorld({ store, limits: { xmppArchiveMessagesMax: 10 } });
  expect(archived(again.online('alice', 'a')).slice(-10)).toEqual(said(191, 200));
});

test('a room that ended with a crash leaves nothing to a later one of its name', () => {
  const store = new MemoryStore();
  const enter =
    "<presence to='r@rooms.localhost/n'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
  const alice = createXmppWorld({ store }).online('alice', 'a');
  alice.send(enter);
  alice.send("<message to='r@rooms.localhost' type='groupchat'><body>secret</body></message>");
  const bob = createXmppWorld({ store }).online('bob', 'b');
  expect(bob.send(enter)).not.toContain('secret');
  const query = `<iq type='set' id='q' to='r@rooms.localhost'><query xmlns='${MAM}'/></iq>`;
  expect(bob.send(query)).not.toContain('secret');
});

test('after a stop a client learns how much of what it sent was handled (XEP-0198)', async () => {
  const store = new MemoryStore();
  const first = createXmppWorld({ store });
  const alice = first.login('alice', 'a');
  const id = / id="([^"]+)"/.exec(alice.send(ENABLE))?.[1] ?? '';
  for (let i = 0; i < 3; i++) alice.send("<message to='bob@localhost'><body>x</body></message>");
  await first.gate.stop();

  const second = createXmppWorld({ store, clock: first.clock });
  const resume = (user: string): string => {
    const client = second.connect();
    client.authenticate(user, 'secret');
    client.send(HEADER);
    return client.send(`<resume xmlns='urn:xmpp:sm:3' previd='${id}' h='0'/>`);
  };
  expect(resume('alice')).toMatch(/<failed [^>]*h="3"[^>]*><item-not-found/);
  expect(resume('bob')).toMatch(/<failed xmlns="[^"]*"><item-not-found/);
  second.clock.advance(300_000);
  expect(resume('alice')).toMatch(/<failed xmlns="[^"]*"><item-not-found/);
});
