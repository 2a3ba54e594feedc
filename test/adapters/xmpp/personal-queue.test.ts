/** Messages to one resource: what becomes of them when it, or the gateway, goes. */
import { expect, it } from 'vitest';
import { Fate } from '../../../core/engine.ts';
import { LateStore } from '../../support/late-store.ts';
import { message } from '../../support/messages.ts';
import { depth, publish, sessionOf } from './bystander.ts';
import { createXmppWorld, HEADER, type PipeClient, type XmppWorld } from './pipe-client.ts';

const INBOX = 'xmpp-inbox-bob@localhost';
const chat = (id: string): string =>
  `<message to='bob@localhost/one' type='chat' id='${id}'><body>${id}</body></message>`;
const ids = (seen: string): (string | undefined)[] =>
  [...seen.matchAll(/<message [^>]*?id="(.*?)"/g)].map(([, id]) => id);

/** Bob with stream management, whose client acknowledges when the test says so. */
function managed(world: XmppWorld): PipeClient {
  const bob = world.online('bob', 'one');
  bob.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
  return bob;
}

function resourceQueues(world: XmppWorld): string[] {
  return [...world.context.engine.admin.queues('/')]
    .map(({ name }) => name)
    .filter((name) => name.startsWith('xmpp-resource-'));
}

it('what a client did not acknowledge goes to the inbox, with the rest of its queue', () => {
  const world = createXmppWorld();
  const bob = managed(world);
  const alice = world.online('alice', 'a');
  for (const id of ['m1', 'm2', 'm3']) alice.send(chat(id));
  bob.transport.congested = true;
  alice.send(chat('m4'));
  alice.send(chat('m5'));
  expect(ids(bob.send("<a xmlns='urn:xmpp:sm:3' h='1'/>"))).toEqual(['m1', 'm2', 'm3', 'm4']);
  bob.send('</stream:stream>');
  expect(depth(world, INBOX)).toBe(4);
  // Alice's own.
  expect(resourceQueues(world)).toHaveLength(1);
  const again = world.login('bob', 'two');
  expect(ids(again.send('<presence/>'))).toEqual(['m2', 'm3', 'm4', 'm5']);
});

it('what waits for a resumption outlives a crash; what was acknowledged does not come again', () => {
  const store = new LateStore();
  let world = createXmppWorld({ store });
  store.answer();
  const bob = managed(world);
  const alice = world.online('alice', 'a');
  alice.send("<enable xmlns='urn:xmpp:sm:3'/>");
  for (const id of ['m1', 'm2']) alice.send(chat(id));
  bob.send("<a xmlns='urn:xmpp:sm:3' h='1'/>");
  bob.connection.closed(new Error('broken'));
  alice.send(chat('m3'));
  // The sender is told only when the messages are safe.
  expect(alice.send("<r xmlns='urn:xmpp:sm:3'/>")).toBe('');
  store.answer();
  expect(alice.take()).toContain('<a xmlns="urn:xmpp:sm:3" h="3"/>');
  world = createXmppWorld({ store });
  store.answer();
  expect(resourceQueues(world)).toEqual([]);
  const again = world.login('bob', 'two');
  expect(ids(again.send('<presence/>'))).toEqual(['m2', 'm3']);
});

it('a client that does not answer for what it was sent is gone, until it resumes', () => {
  const world = createXmppWorld();
  const bob = world.online('bob', 'one');
  const enabled = bob.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
  const previous = / id="([^"]+)"/.exec(enabled)?.[1];
  const alice = world.online('alice', 'a');
  alice.send(chat('m1'));
  bob.send("<a xmlns='urn:xmpp:sm:3' h='1'/>");
  world.clock.advance(60_000);
  expect(bob.transport.ended).toBeNull();
  alice.send(chat('m2'));
  world.clock.advance(59_999);
  expect(bob.transport.ended).toBeNull();
  bob.take();
  world.clock.advance(1);
  expect(bob.take()).toContain('<connection-timeout ');
  const again = world.connect();
  again.authenticate('bob', 'secret');
  again.send(HEADER);
  const resumed = again.send(`<resume xmlns='urn:xmpp:sm:3' h='1' previd='${previous}'/>`);
  expect(resumed).toContain('<resumed ');
  expect(ids(resumed)).toEqual(['m2']);
});

it("another protocol's first message to somebody makes the inbox, to nobody is unroutable", () => {
  const world = createXmppWorld();
  const fates: string[] = [];
  const publisher = sessionOf(world).publisher({
    settled: (tag, fate) => fates.push(`${tag} ${fate === Fate.CONFIRMED ? 'taken' : 'not'}`),
    returned: () => {},
    writable: () => {},
  });
  const keys = ['bob@localhost', 'nobody@localhost', 'bob@localhost/x', 'bob@elsewhere', 'x'];
  for (const [index, key] of keys.entries()) {
    publisher.publish(message({ exchange: 'amq.xmpp', key, durable: true }), index + 1, true);
  }
  expect(fates).toEqual(['1 taken', '2 not', '3 not', '4 not', '5 not']);
  expect(depth(world, INBOX)).toBe(1);
  sessionOf(world).deleteQueue(INBOX, false, false);
  publish(world, 'amq.xmpp', 'bob@localhost', 'again');
  expect(world.login('bob', 'one').send('<presence/>')).toContain('<body>again</body>');
});
