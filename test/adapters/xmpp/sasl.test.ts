import { describe, expect, test } from 'vitest';
import { depth } from './bystander.ts';
import { answered, createXmppWorld, HEADER, type PipeClient, plain } from './pipe-client.ts';
import { scram } from './scram-client.ts';

const SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

function auth(client: PipeClient, mechanism: string, data: string): string {
  return client.send(`<auth ${SASL} mechanism='${mechanism}'>${data}</auth>`);
}

describe('SASL', () => {
  function opened(): PipeClient {
    const client = createXmppWorld().connect();
    client.send(HEADER);
    return client;
  }

  test('PLAIN without an initial response is asked for one', () => {
    const client = opened();
    expect(client.send(`<auth ${SASL} mechanism='PLAIN'/>`)).toBe(
      '<challenge xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>',
    );
    expect(client.send(`<response ${SASL}>${plain('alice', 'secret')}</response>`)).toContain(
      '<success',
    );
    expect(client.transport.loggedIn).toBe(true);
  });

  const authzid = (id: string): string => Buffer.from(`${id}\0alice\0secret`).toString('base64');
  test.each([
    ['PLAIN', plain('alice', 'wrong'), 'not-authorized'],
    ['PLAIN', plain('nobody', 'x'), 'not-authorized'],
    ['PLAIN', '!!!', 'incorrect-encoding'],
    ['PLAIN', 'YWI=', 'malformed-request'],
    ['PLAIN', '=', 'malformed-request'],
    ['PLAIN', authzid('bob@localhost'), 'invalid-authzid'],
    ['DIGEST-MD5', '', 'invalid-mechanism'],
    [
      'SCRAM-SHA-1',
      Buffer.from('p=tls-unique,,n=alice,r=x').toString('base64'),
      'malformed-request',
    ],
    ['SCRAM-SHA-1', Buffer.from('n,,r=x').toString('base64'), 'malformed-request'],
  ])('%s with %j fails with %s %s', (mechanism, data, failure) => {
    const client = opened();
    expect(auth(client, mechanism, data)).toBe(
      `<failure xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><${failure} xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/></failure>`,
    );
    expect(client.transport.ended).toBe(null);
    expect(auth(client, 'PLAIN', plain('alice', 'secret'))).toContain('<success');
  });

  test('PLAIN takes the own address as authorization identity and as user name', () => {
    expect(auth(opened(), 'PLAIN', authzid('alice@localhost'))).toContain('<success');
    expect(auth(opened(), 'PLAIN', plain('alice@localhost', 'secret'))).toContain('<success');
  });

  test('abort and stray responses are answered', () => {
    const client = opened();
    client.send(`<auth ${SASL} mechanism='PLAIN'/>`);
    expect(client.send(`<abort ${SASL}/>`)).toContain('<aborted');
    expect(client.send(`<response ${SASL}>AAAA</response>`)).toContain('<malformed-request');
  });

  test('too many failures end the stream', () => {
    const client = opened();
    for (let attempt = 0; attempt < 4; attempt++) auth(client, 'PLAIN', plain('alice', 'x'));
    expect(auth(client, 'PLAIN', plain('alice', 'x'))).toContain('<policy-violation');
    expect(client.transport.ended).toBe('end');
  });

  const asker =
    (client: PipeClient) =>
    (xml: string): Promise<string> =>
      answered(client, client.send(xml));

  test.each(['SCRAM-SHA-1', 'SCRAM-SHA-256'])('%s proves both sides', async (mechanism) => {
    const right = { mechanism, user: 'alice', password: 'secret' };
    const { answer, expected } = await scram(asker(opened()), right);
    expect(answer).toBe(
      `<success xmlns="urn:ietf:params:xml:ns:xmpp-sasl">${Buffer.from(`v=${expected}`).toString('base64')}</success>`,
    );
    const wrong = await scram(asker(opened()), { ...right, password: 'wrong' });
    expect(wrong.answer).toContain('<not-authorized');
    const nobody = await scram(asker(opened()), { ...right, user: 'nobody' });
    expect(nobody.answer).toContain('<not-authorized');
  });

  test('a second attempt takes the place of the first', async () => {
    const client = opened();
    const first = Buffer.from('n,,n=alice,r=x').toString('base64');
    await answered(client, auth(client, 'SCRAM-SHA-256', first));
    expect(auth(client, 'PLAIN', plain('alice', 'secret'))).toContain('<success');
  });
});

describe('channel binding', () => {
  function bound(): PipeClient {
    const client = createXmppWorld().connect();
    client.transport.secure = true;
    client.transport.bindings.set('tls-exporter', Buffer.from('exported'));
    client.transport.bindings.set('tls-server-end-point', Buffer.from('certified'));
    return client;
  }
  const login = (
    mechanism: string,
    gs2: string,
    data: string | undefined,
  ): Promise<{ answer: string }> => {
    const client = bound();
    client.send(HEADER);
    return scram((xml) => answered(client, client.send(xml)), {
      mechanism,
      user: 'alice',
      password: 'secret',
      gs2,
      ...(data === undefined ? {} : { bound: Buffer.from(data) }),
    });
  };

  test('is offered with its types (XEP-0440)', () => {
    const features = bound().send(HEADER);
    expect(features).toContain(
      '<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism>',
    );
    expect(features).toContain(
      '<sasl-channel-binding xmlns="urn:xmpp:sasl-cb:0"><channel-binding type="tls-exporter"/><channel-binding type="tls-server-end-point"/></sasl-channel-binding>',
    );
    expect(createXmppWorld().connect().send(HEADER)).not.toContain('PLUS');
  });

  test.each([
    ['SCRAM-SHA-256-PLUS', 'p=tls-exporter,,', 'exported', 'success'],
    ['SCRAM-SHA-1-PLUS', 'p=tls-server-end-point,,', 'certified', 'success'],
    ['SCRAM-SHA-256-PLUS', 'p=tls-exporter,,', 'other', 'not-authorized'],
    ['SCRAM-SHA-256-PLUS', 'p=tls-exporter,,', undefined, 'not-authorized'],
    // Not a binding of this connection.
    ['SCRAM-SHA-256-PLUS', 'p=tls-unique,,', 'exported', 'not-authorized'],
    ['SCRAM-SHA-256-PLUS', 'n,,', undefined, 'malformed-request'],
    ['SCRAM-SHA-256', 'n,,', undefined, 'success'],
    // RFC 5802 section 6: somebody hid the PLUS mechanisms from the client.
    ['SCRAM-SHA-256', 'y,,', undefined, 'not-authorized'],
    ['SCRAM-SHA-256', 'p=tls-exporter,,', 'exported', 'malformed-request'],
  ])('%s with %j and %j: %s', async (mechanism, gs2, data, outcome) => {
    expect((await login(mechanism, gs2, data)).answer).toContain(`<${outcome} `);
  });

  test('a client that could bind, and was not offered to, is let in', async () => {
    const client = createXmppWorld().connect();
    client.send(HEADER);
    const ask = (xml: string): Promise<string> => answered(client, client.send(xml));
    const who = { mechanism: 'SCRAM-SHA-256', user: 'alice', password: 'secret', gs2: 'y,,' };
    expect((await scram(ask, who)).answer).toContain('<success');
  });
});

describe('EXTERNAL', () => {
  function certified(user: string | null): PipeClient {
    const client = createXmppWorld().connect();
    client.transport.secure = true;
    client.transport.certifiedUser = user;
    return client;
  }

  test('is offered to who shows a certificate that names a user', () => {
    expect(certified('alice').send(HEADER)).toContain('<mechanism>EXTERNAL</mechanism>');
    const without = certified(null);
    expect(without.send(HEADER)).not.toContain('EXTERNAL');
    expect(auth(without, 'EXTERNAL', '=')).toContain('<invalid-mechanism');
  });

  const encoded = (text: string): string => Buffer.from(text).toString('base64');
  test.each([
    ['alice', '=', 'success'],
    ['alice', encoded('alice@localhost'), 'success'],
    ['alice@localhost', '=', 'success'],
    ['alice', encoded('bob@localhost'), 'invalid-authzid'],
    ['alice', encoded('alice@example.org'), 'invalid-authzid'],
    ['nobody', '=', 'not-authorized'],
    ['alice', '!', 'incorrect-encoding'],
  ])('as %s with %j: %s', (user, data, outcome) => {
    const client = certified(user);
    client.send(HEADER);
    expect(auth(client, 'EXTERNAL', data)).toContain(`<${outcome} `);
  });

  test('is asked for who it wants to be where it does not say (XEP-0178 2, step 10)', () => {
    const client = certified('alice');
    client.send(HEADER);
    expect(client.send(`<auth ${SASL} mechanism='EXTERNAL'/>`)).toContain('<challenge');
    expect(client.send(`<response ${SASL}/>`)).toContain('<success');
    expect(client.bind('r')).toContain('<jid>alice@localhost/r</jid>');
  });
});

describe('ANONYMOUS', () => {
  test('is not offered and not taken unless it is configured', () => {
    const client = createXmppWorld().connect();
    expect(client.send(HEADER)).not.toContain('ANONYMOUS');
    expect(auth(client, 'ANONYMOUS', '')).toContain('<invalid-mechanism');
  });

  test('gives a name of its own, which is gone with its last session', () => {
    const world = createXmppWorld({ section: { allow_anonymous: true, anonymous_user: 'alice' } });
    const client = world.connect();
    expect(client.send(HEADER)).toContain('<mechanism>ANONYMOUS</mechanism>');
    expect(auth(client, 'ANONYMOUS', 'c2lycw==')).toContain('<success');
    const bound = client.bind('r');
    const [, name = ''] = /<jid>(anonymous-[0-9a-f]{24})@localhost\/r<\/jid>/.exec(bound) ?? [];
    expect(name).not.toBe('');
    client.send('<presence/>');
    const bob = world.online('bob', 'one');
    expect(
      bob.send(`<message to='${name}@localhost' type='chat' id='m'><body>hi</body></message>`),
    ).toBe('');
    expect(client.take()).toContain('<body>hi</body>');
    expect(client.send("<message to='bob@localhost' id='n'><body>ho</body></message>")).toBe('');
    expect(bob.take()).toContain(`from="${name}@localhost/r"`);
    expect(depth(world, `xmpp-inbox-${name}@localhost`)).toBe(0);
    client.send('</stream:stream>');
    expect(depth(world, `xmpp-inbox-${name}@localhost`)).toBe(null);
    expect(
      bob.send(`<message to='${name}@localhost' type='chat' id='m2'><body>hi</body></message>`),
    ).toContain('<service-unavailable');
    expect([...world.context.engine.table('xmpp.roster').entries()]).toEqual([]);
  });

  test('two clients have two names', () => {
    const world = createXmppWorld({ section: { allow_anonymous: true, anonymous_user: 'alice' } });
    const names = [world.connect(), world.connect()].map((client) => {
      client.send(HEADER);
      auth(client, 'ANONYMOUS', '');
      return /<jid>([^<]+)</.exec(client.bind('r'))?.[1];
    });
    expect(new Set(names).size).toBe(2);
  });

  test('is let in as the configured user only where that user may come in', () => {
    const world = createXmppWorld({ section: { allow_anonymous: true, anonymous_user: 'nobody' } });
    const client = world.connect();
    client.send(HEADER);
    expect(auth(client, 'ANONYMOUS', '')).toContain('<not-authorized');
  });
});
