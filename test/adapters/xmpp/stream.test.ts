import { describe, expect, test } from 'vitest';
import { createXmppWorld, HEADER, type PipeClient, plain } from './pipe-client.ts';

const SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

function auth(client: PipeClient, mechanism: string, data: string): string {
  return client.send(`<auth ${SASL} mechanism='${mechanism}'>${data}</auth>`);
}

describe('the stream', () => {
  test('is answered with a header, an id and features', () => {
    const client = createXmppWorld().connect();
    const answer = client.send(HEADER);
    expect(answer).toMatch(
      /^<\?xml version="1.0"\?><stream:stream xmlns="jabber:client" xmlns:stream="http:\/\/etherx.jabber.org\/streams" from="localhost" id="[^"]{16,}" version="1.0" xml:lang="en"><stream:features>/,
    );
    expect(answer).toContain(
      '<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism>',
    );
    expect(answer).not.toContain('starttls');
  });

  const errors: [string, string, string][] = [
    ['an unknown host', HEADER.replace("to='localhost'", "to='elsewhere'"), 'host-unknown'],
    ['no version', HEADER.replace("version='1.0' xmlns=", 'xmlns='), 'unsupported-version'],
    ['a wrong stream namespace', HEADER.replace('etherx', 'other'), 'invalid-namespace'],
    [
      'a wrong content namespace',
      HEADER.replace('jabber:client', 'jabber:server'),
      'invalid-namespace',
    ],
    [
      'an odd prefix',
      "<s:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>",
      'bad-namespace-prefix',
    ],
    ['another element', '<foo>', 'bad-format'],
    ['no XML', 'GET / HTTP/1.1\r\n\r\n', 'not-well-formed'],
    ['a document type', '<!DOCTYPE x>', 'restricted-xml'],
    ['another encoding', "<?xml version='1.0' encoding='utf-16'?>", 'unsupported-encoding'],
    ['a stanza before login', `${HEADER}<message to='bob@localhost'/>`, 'not-authorized'],
    ['too much before login', `${HEADER}<auth>${'x'.repeat(70_000)}`, 'policy-violation'],
    ['an undefined entity', `${HEADER}<auth>&lol;</auth>`, 'restricted-xml'],
    ['crossed tags', `${HEADER}<auth><a></auth></a>`, 'not-well-formed'],
  ];
  test.each(errors)('%s ends it', (_, input, condition) => {
    const client = createXmppWorld().connect();
    const answer = client.send(input);
    expect(answer).toContain('<stream:stream ');
    expect(answer).toContain(`<${condition} xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>`);
    expect(answer).toMatch(/<\/stream:error><\/stream:stream>$/);
    expect(client.transport.ended).toBe('end');
    expect(client.send('<auth/>')).toBe('');
  });

  test('is closed with its footer', () => {
    const world = createXmppWorld();
    const client = world.login('alice', 'a');
    expect(client.send('</stream:stream>')).toBe('</stream:stream>');
    expect(client.transport.ended).toBe('end');
  });

  test('white space between stanzas keeps it alive', () => {
    const client = createXmppWorld().login('alice', 'a');
    expect(client.send(' \n ')).toBe('');
    expect(client.transport.ended).toBe(null);
  });

  test('ends with system-shutdown when the gateway stops', async () => {
    const world = createXmppWorld();
    const client = world.login('alice', 'a');
    const fresh = world.connect();
    await world.gate.stop();
    expect(client.take()).toContain(
      '<system-shutdown xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>',
    );
    expect(fresh.take()).toContain('system-shutdown');
    expect(client.transport.ended).toBe('end');
  });
});

describe('STARTTLS', () => {
  test('is offered, and forgets what came with the request', () => {
    const client = createXmppWorld().connect();
    let started = 0;
    client.transport.startTls = () => {
      started++;
      client.transport.secure = true;
    };
    expect(client.send(HEADER)).toContain('<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>');
    const answer = client.send(
      `<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>${HEADER}<auth ${SASL} mechanism='PLAIN'>${plain('alice', 'secret')}</auth>`,
    );
    expect(answer).toBe('<proceed xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>');
    expect(started).toBe(1);
    const features = client.send(HEADER);
    expect(features).toContain('<mechanism>PLAIN</mechanism>');
    expect(features).not.toContain('starttls');
  });

  test('is demanded where the configuration says so', () => {
    const client = createXmppWorld({ section: { require_tls: true } }).connect();
    client.transport.startTls = () => {};
    const features = client.send(HEADER);
    expect(features).toContain(
      '<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"><required/></starttls>',
    );
    expect(features).not.toContain('mechanism');
    expect(auth(client, 'PLAIN', plain('alice', 'secret'))).toContain('<encryption-required');
  });

  test('fails where there is none', () => {
    const client = createXmppWorld().connect();
    client.send(HEADER);
    expect(client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")).toBe(
      '<failure xmlns="urn:ietf:params:xml:ns:xmpp-tls"/></stream:stream>',
    );
  });
});

describe('bind', () => {
  test('offers bind, session, stream management and roster versioning after login', () => {
    const client = createXmppWorld().connect();
    client.authenticate('alice', 'secret');
    const features = client.send(HEADER);
    expect(features).toContain('<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>');
    expect(features).toContain(
      '<session xmlns="urn:ietf:params:xml:ns:xmpp-session"><optional/></session>',
    );
    expect(features).toContain('<sm xmlns="urn:xmpp:sm:3"/>');
    expect(features).toContain('<ver xmlns="urn:xmpp:features:rosterver"/>');
  });

  test('makes a resource where none is asked for', () => {
    const client = createXmppWorld().connect();
    client.authenticate('alice', 'secret');
    client.send(HEADER);
    const bound = client.send(
      "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    );
    expect(bound).toMatch(/<jid>alice@localhost\/[\w-]{22}<\/jid>/);
  });

  test('the newcomer replaces the old session of its resource', () => {
    const world = createXmppWorld();
    const old = world.login('alice', 'same');
    const fresh = world.login('alice', 'same');
    expect(old.take()).toContain('<conflict xmlns="urn:ietf:params:xml:ns:xmpp-streams"/>');
    expect(old.transport.ended).toBe('end');
    expect(
      fresh.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"),
    ).toContain('type="result"');
  });

  test('nothing else is taken before', () => {
    const client = createXmppWorld().connect();
    client.authenticate('alice', 'secret');
    client.send(HEADER);
    expect(client.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")).toContain(
      '<not-allowed',
    );
    expect(client.send("<enable xmlns='urn:xmpp:sm:3'/>")).toContain('<unexpected-request');
    expect(client.send("<message to='bob@localhost'/>")).toContain('<not-authorized');
    expect(client.transport.ended).toBe('end');
  });

  test('the old session request still succeeds', () => {
    const client = createXmppWorld().login('alice', 'a');
    expect(
      client.send(
        "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
      ),
    ).toBe('<iq type="result" to="alice@localhost/a" id="s"/>');
  });
});

describe('stanzas', () => {
  test('in the name of somebody else end the stream', () => {
    const client = createXmppWorld().login('alice', 'a');
    expect(client.send("<message from='bob@localhost' to='bob@localhost'/>")).toContain(
      '<invalid-from',
    );
  });

  test('of an unknown kind end the stream', () => {
    const client = createXmppWorld().login('alice', 'a');
    expect(client.send('<letter/>')).toContain('<unsupported-stanza-type');
  });

  test.each([
    ["<message to='@' id='1'/>", 'jid-malformed'],
    ["<iq type='get' id='1' to='localhost'/>", 'bad-request'],
    ["<iq type='get' to='localhost'><a xmlns='x'/></iq>", 'bad-request'],
    ["<iq type='odd' id='1' to='localhost'><a xmlns='x'/></iq>", 'bad-request'],
    ["<iq type='get' id='1' to='localhost'><a xmlns='x'/><b xmlns='x'/></iq>", 'bad-request'],
    ["<iq type='get' id='1' to='localhost'><a xmlns='x'/></iq>", 'service-unavailable'],
    ["<iq type='get' id='1'><a xmlns='x'/></iq>", 'service-unavailable'],
    ["<iq type='get' id='1' to='bob@localhost/none'><a xmlns='x'/></iq>", 'service-unavailable'],
    ["<iq type='get' id='1' to='nobody@localhost'><a xmlns='x'/></iq>", 'service-unavailable'],
    [
      "<iq type='get' id='1' to='bob@localhost'><query xmlns='jabber:iq:roster'/></iq>",
      'forbidden',
    ],
    ["<message to='a@other.example' id='1'/>", 'remote-server-not-found'],
    ["<message to='a@comp.localhost' id='1'/>", 'service-unavailable'],
    [
      "<message to='nobody@localhost' id='1' type='chat'><body>x</body></message>",
      'service-unavailable',
    ],
    ["<presence id='1' type='odd'/>", 'bad-request'],
    ["<presence id='1'><priority>500</priority></presence>", 'bad-request'],
  ])('%s is answered with %s', (stanza, condition) => {
    const client = createXmppWorld().login('alice', 'a');
    expect(client.send(stanza)).toContain(
      `<${condition} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/>`,
    );
    expect(client.transport.ended).toBe(null);
  });

  test('that are answers or errors are not answered', () => {
    const client = createXmppWorld().login('alice', 'a');
    expect(client.send("<iq type='result' id='1' to='bob@localhost/x'/>")).toBe('');
    expect(client.send("<iq type='error' id='1' to='localhost'><error/></iq>")).toBe('');
    expect(client.send("<message type='error' id='1' to='bob@localhost'/>")).toBe('');
  });
});

test('on WebSocket each element is a message with its namespace', () => {
  const world = createXmppWorld();
  const client = world.connect(true);
  client.connection.receive(
    Buffer.from("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"),
  );
  expect(client.transport.messages.map(String)).toEqual([
    expect.stringMatching(
      /^<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" from="localhost" id="[^"]+" version="1.0" xml:lang="en"\/>$/,
    ),
    expect.stringMatching(
      /^<stream:features xmlns:stream="http:\/\/etherx.jabber.org\/streams"><mechanisms/,
    ),
  ]);
  client.take();
  expect(
    client.send(`<auth ${SASL} mechanism='PLAIN'>${plain('alice', 'secret')}</auth>`),
  ).toContain('<success');
  client.send("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>");
  const bound = client.send(
    "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>w</resource></bind></iq>",
  );
  expect(bound).toMatch(/^<iq xmlns="jabber:client" type="result"/);
  client.connection.receive(
    Buffer.from(
      "<message xmlns='jabber:client' to='alice@localhost/w' type='chat'><body>me</body></message>",
    ),
  );
  expect(client.transport.messages.map(withoutIds)).toEqual([
    '<message xmlns="jabber:client" from="alice@localhost/w" to="alice@localhost/w" type="chat"><body>me</body></message>',
  ]);
  client.take();
  expect(client.send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")).toBe(
    '<close xmlns="urn:ietf:params:xml:ns:xmpp-framing"/>',
  );
  expect(client.transport.ended).toBe('end');
});

function withoutIds(message: Buffer): string {
  return message.toString('utf8').replace(/<stanza-id [^>]*>/g, '');
}
