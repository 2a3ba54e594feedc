import { describe, expect, test } from 'vitest';
import { depth } from './bystander.ts';
import {
  answered,
  createXmppWorld,
  HEADER,
  type PipeClient,
  plain,
  type XmppWorld,
} from './pipe-client.ts';

const REGISTER = "xmlns='jabber:iq:register'";

function open(limits: Readonly<Record<string, number>> = {}): XmppWorld {
  return createXmppWorld({ section: { allow_registration: true }, limits });
}

function ask(client: PipeClient, query: string, type: string = 'set'): Promise<string> {
  const xml = `<iq type='${type}' id='r'><query ${REGISTER}>${query}</query></iq>`;
  return answered(client, client.send(xml));
}

const account = (user: string, password: string): string =>
  `<username>${user}</username><password>${password}</password>`;

/** Somebody who has not logged in. */
function stranger(world: XmppWorld): PipeClient {
  const client = world.connect();
  client.send(HEADER);
  return client;
}

async function register(world: XmppWorld, user: string): Promise<string> {
  return ask(stranger(world), account(user, 'secret'));
}

/** Logs in, where the password's keys are derived off this thread. */
async function login(
  world: XmppWorld,
  user: string,
  password: string,
  resource: string = 'r',
): Promise<PipeClient> {
  const client = world.connect();
  const success = await answered(client, client.authenticate(user, password));
  if (!success.includes('<success')) throw new Error(success);
  client.bind(resource);
  return client;
}

describe('in-band registration', () => {
  test('is offered only where it is configured', async () => {
    expect(createXmppWorld().connect().send(HEADER)).not.toContain('iq-register');
    const closed = createXmppWorld().connect();
    closed.send(HEADER);
    expect(closed.send(`<iq type='get' id='r'><query ${REGISTER}/></iq>`)).toContain(
      '<not-authorized',
    );
    const world = open();
    const client = world.connect();
    expect(client.send(HEADER)).toContain(
      '<register xmlns="http://jabber.org/features/iq-register"/>',
    );
    expect(await ask(client, '', 'get')).toBe(
      '<iq type="result" id="r"><query xmlns="jabber:iq:register"><instructions>Choose a user name and a password.</instructions><username/><password/></query></iq>',
    );
  });

  test('makes an account, which the same connection may log in with', async () => {
    const world = open();
    const client = stranger(world);
    expect(await ask(client, account('carol', 'secret'))).toBe('<iq type="result" id="r"/>');
    const auth = `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${plain('carol', 'secret')}</auth>`;
    const success = await answered(client, client.send(auth));
    expect(success).toContain('<success');
    expect(client.bind('r')).toContain('<jid>carol@localhost/r</jid>');
    const bob = world.online('bob', 'one');
    client.send('<presence/>');
    bob.send("<message to='carol@localhost' type='chat' id='m'><body>hi</body></message>");
    expect(client.take()).toContain('<body>hi</body>');
  });

  test('says what is wrong', async () => {
    const world = open();
    const client = stranger(world);
    expect(await ask(client, account('alice', 'x'))).toContain('<conflict');
    expect(await ask(client, '<username>dave</username>')).toContain('<not-acceptable');
    expect(await ask(client, account('', 'x'))).toContain('<not-acceptable');
    expect(await ask(client, account('a@b', 'x'))).toContain('<not-acceptable');
    expect(await ask(client, '<remove/>')).toContain('<unexpected-request');
    expect(client.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")).toContain(
      '<not-authorized',
    );
    expect(client.transport.ended).toBe(null);
  });

  test('is bounded for each address', async () => {
    const world = open({ xmppRegistrationsMax: 2 });
    expect(await register(world, 'u1')).toContain('type="result"');
    expect(await register(world, 'u2')).toContain('type="result"');
    expect(await register(world, 'u3')).toContain('<resource-constraint');
    world.clock.advance(3_600_000);
    expect(await register(world, 'u3')).toContain('type="result"');
  });

  test('gives the permissions that are configured for new accounts', async () => {
    const world = open();
    await register(world, 'carol');
    const carol = await login(world, 'carol', 'secret');
    expect(
      carol.send("<message to='jobs@queues.localhost' id='m'><body>x</body></message>"),
    ).toContain('<forbidden');
    expect(
      carol.send(
        "<presence to='tea@rooms.localhost/c'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
      ),
    ).toContain('<status code="110"/>');
  });
});

describe('an account', () => {
  test('is told that it is registered, and changes its password', async () => {
    const world = open();
    await register(world, 'carol');
    const carol = await login(world, 'carol', 'secret');
    expect(await ask(carol, '', 'get')).toContain('<registered/><username>carol</username>');
    expect(await ask(carol, account('carol', 'better'))).toContain('type="result"');
    expect(await ask(carol, account('bob', 'better'))).toContain('<not-allowed');
    expect(await ask(carol, account('carol', ''))).toContain('<bad-request');
    await login(world, 'carol', 'better');
    await expect(login(world, 'carol', 'secret')).rejects.toThrow('not-authorized');
  });

  test('of the configuration file is changed there', async () => {
    const alice = open().login('alice', 'r');
    expect(await ask(alice, account('alice', 'better'))).toContain('<not-allowed');
    expect(await ask(alice, '<remove/>')).toContain('<not-allowed');
  });

  test('is given up: its sessions end, its contacts hear of it, nothing of it stays', async () => {
    const world = open();
    await register(world, 'carol');
    const carol = await login(world, 'carol', 'secret');
    const other = await login(world, 'carol', 'secret', 'other');
    const bob = world.online('bob', 'one');
    bob.send("<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>");
    carol.send('<presence/>');
    carol.send("<presence type='subscribe' to='bob@localhost'/>");
    bob.send("<presence type='subscribed' to='carol@localhost'/>");
    bob.send("<presence type='subscribe' to='carol@localhost'/>");
    carol.send("<presence type='subscribed' to='bob@localhost'/>");
    const admin = 'http://jabber.org/protocol/muc#admin';
    const room = "to='hall@rooms.localhost'";
    bob.send(
      "<presence to='hall@rooms.localhost/b'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    );
    bob.send(
      `<iq type='set' id='m' ${room}><query xmlns='${admin}'><item jid='carol@localhost' affiliation='member'/></query></iq>`,
    );
    const members = `<iq type='get' id='l' ${room}><query xmlns='${admin}'><item affiliation='member'/></query></iq>`;
    bob.take();
    expect(bob.send(members)).toContain('jid="carol@localhost"');
    bob.take();
    expect(await ask(carol, `<remove/>${account('carol', 'x')}`)).toContain('<bad-request');
    const answer = await ask(carol, '<remove/>');
    expect(answer).toContain('<iq type="result" to="carol@localhost/r" id="r"/>');
    expect(answer).toContain('<not-authorized xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>');
    expect(other.transport.ended).toBe('end');
    const told = bob.take();
    expect(told).toContain('type="unsubscribe"');
    expect(told).toContain('type="unsubscribed"');
    expect(told).toContain('<item jid="carol@localhost" subscription="none"/>');
    expect(depth(world, 'xmpp-inbox-carol@localhost')).toBe(null);
    expect(bob.send(members)).not.toContain('carol');
    expect(
      bob.send("<message to='carol@localhost' type='chat' id='m'><body>hi</body></message>"),
    ).toContain('<service-unavailable');
    await expect(login(world, 'carol', 'secret')).rejects.toThrow('not-authorized');
  });
});
