import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startGateway } from '../../support/gateway.ts';
import { RawXmpp } from './raw-xmpp.ts';

const folder = mkdtempSync(join(tmpdir(), 'rosettamq-xmpp-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('messages, contacts, rooms and nodes outlive the gateway, and are acknowledged once they do', async () => {
  const first = await startGateway({ store: 'lmdb', data_dir: folder });
  const alice = await RawXmpp.login(first.port('xmpp'), { user: 'alice' });
  await alice.ask("<enable xmlns='urn:xmpp:sm:3'/>", '<enabled');
  alice.send("<message to='bob@localhost' type='chat' id='m'><body>kept</body></message>");
  alice.send("<presence to='bob@localhost' type='subscribe'/>");
  alice.send("<message to='jobs@queues.localhost'><body>job</body></message>");
  alice.send(
    "<presence to='r@rooms.localhost/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
  );
  alice.send(
    "<iq type='set' id='c' to='r@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query></iq>",
  );
  alice.send(
    "<iq type='set' id='p' to='pubsub.localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item id='i'><v xmlns='urn:v'/></item></publish></pubsub></iq>",
  );
  await alice.ask("<r xmlns='urn:xmpp:sm:3'/>", '<a xmlns="urn:xmpp:sm:3" h="6"/>');
  await first.stop();

  const second = await startGateway({ store: 'lmdb', data_dir: folder });
  const bob = await RawXmpp.login(second.port('xmpp'), { user: 'bob' });
  const missed = await bob.ask('<presence/>', '<body>kept</body>');
  expect(missed).toContain('type="subscribe"');
  const waited = await bob.readUntil((bytes) => bytes.includes('</message>'));
  expect(waited.toString()).toContain('<delay xmlns="urn:xmpp:delay" from="localhost"');
  await bob.ask("<presence to='jobs@queues.localhost'/>", '<body>job</body>');
  await bob.ask(
    "<iq type='get' id='d' to='rooms.localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    'jid="r@rooms.localhost"',
  );
  await bob.ask(
    "<iq type='get' id='i' to='pubsub.localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/></pubsub></iq>",
    '<item id="i"><v xmlns="urn:v"/></item>',
  );
  await second.stop();
});
