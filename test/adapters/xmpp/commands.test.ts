import { describe, expect, test } from 'vitest';
import { publish } from './bystander.ts';
import { answered, createXmppWorld, type PipeClient, type XmppWorld } from './pipe-client.ts';

const COMMANDS = 'http://jabber.org/protocol/commands';
const ADMIN = 'http://jabber.org/protocol/admin#';
const OWN = 'urn:rosettamq:commands#';

function execute(
  client: PipeClient,
  node: string,
  attributes: string = '',
  content: string = '',
): Promise<string> {
  const command = `<command xmlns='${COMMANDS}' node='${node}' ${attributes}>${content}</command>`;
  return answered(client, client.send(`<iq type='set' id='c' to='localhost'>${command}</iq>`));
}

function filled(values: Readonly<Record<string, string | readonly string[]>>): string {
  const fields = Object.entries(values).map(([name, value]) => {
    const texts = typeof value === 'string' ? [value] : value;
    return `<field var='${name}'>${texts.map((text) => `<value>${text}</value>`).join('')}</field>`;
  });
  return `<x xmlns='jabber:x:data' type='submit'>${fields.join('')}</x>`;
}

/** Opens a command and fills its form in. */
async function perform(
  client: PipeClient,
  node: string,
  values: Readonly<Record<string, string | readonly string[]>>,
): Promise<string> {
  const opened = await execute(client, node);
  const id = /sessionid="([^"]+)"/.exec(opened)?.[1] ?? '';
  return execute(client, node, `sessionid='${id}' action='complete'`, filled(values));
}

function administrator(world: XmppWorld = createXmppWorld()): PipeClient {
  return world.login('guest', 'admin');
}

describe('ad-hoc commands', () => {
  const listed = (client: PipeClient): string =>
    client.send(
      `<iq type='get' id='d' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items' node='${COMMANDS}'/></iq>`,
    );

  test('are listed for who may execute them', () => {
    const world = createXmppWorld();
    const [guest, alice] = [listed(administrator(world)), listed(world.login('alice', 'one'))];
    expect(guest).toContain(`<item jid="localhost" node="${ADMIN}add-user" name="Add a user"/>`);
    expect(guest).toContain('node="ping"');
    expect(alice).not.toContain(ADMIN);
    expect(alice).toContain('node="ping"');
    expect(alice).toContain(`node="${OWN}list-queues"`);
  });

  test('say what they are', () => {
    const world = createXmppWorld();
    const guest = administrator(world);
    const info = (client: PipeClient, node: string): string =>
      client.send(
        `<iq type='get' id='d' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info' node='${node}'/></iq>`,
      );
    expect(info(guest, COMMANDS)).toContain('category="automation" type="command-list"');
    expect(info(guest, `${ADMIN}add-user`)).toContain(
      '<identity category="automation" type="command-node" name="Add a user"/><feature var="http://jabber.org/protocol/commands"/><feature var="jabber:x:data"/>',
    );
    expect(info(world.login('alice', 'one'), `${ADMIN}add-user`)).toContain('<item-not-found');
  });

  test('are refused to who may not execute them, and where there are none', async () => {
    const world = createXmppWorld();
    const alice = world.login('alice', 'one');
    expect(await execute(alice, `${ADMIN}add-user`)).toContain('<forbidden');
    expect(await execute(alice, `${ADMIN}get-server-stats`)).toContain('<forbidden');
    expect(await execute(alice, 'no-such')).toContain('<item-not-found');
  });

  test.each([
    ["action='dance'", 'bad-request', 'malformed-action'],
    ["action='prev'", 'bad-request', 'bad-action'],
    ["sessionid='none' action='complete'", 'not-allowed', 'session-expired'],
  ])('with %s are %s, %s', async (attributes, condition, specific) => {
    const answer = await execute(administrator(), `${ADMIN}add-user`, attributes);
    expect(answer).toContain(`<${condition} `);
    expect(answer).toContain(`<${specific} xmlns="${COMMANDS}"/>`);
  });

  test('are filled in, or given up', async () => {
    const guest = administrator();
    const opened = await execute(guest, `${ADMIN}end-user-session`, "action='execute'");
    expect(opened).toContain('status="executing"');
    expect(opened).toContain('<actions execute="complete"><complete/></actions>');
    expect(opened).toContain(
      '<field var="accountjids" type="jid-multi" label="The accounts"><required/></field>',
    );
    const id = /sessionid="([^"]+)"/.exec(opened)?.[1];
    const again = `sessionid='${id}'`;
    const node = `${ADMIN}end-user-session`;
    expect(await execute(guest, node, again, '')).toContain('<bad-payload');
    expect(await execute(guest, node, again, filled({}))).toContain('<bad-payload');
    expect(await execute(guest, node, `${again} action='prev'`)).toContain('<bad-action');
    expect(await execute(guest, `${ADMIN}add-user`, again)).toContain('<bad-sessionid');
    expect(await execute(guest, node, `${again} action='cancel'`)).toContain('status="canceled"');
    expect(await execute(guest, node, again)).toContain('<session-expired');
  });
});

describe('administration (XEP-0133)', () => {
  test('adds, changes and deletes accounts', async () => {
    const world = createXmppWorld();
    const guest = administrator(world);
    const carol = { accountjid: 'carol@localhost', password: 'one' };
    const mismatch = { ...carol, 'password-verify': 'two' };
    expect(await perform(guest, `${ADMIN}add-user`, mismatch)).toContain('Passwords do not match');
    const right = { ...carol, 'password-verify': 'one' };
    expect(await perform(guest, `${ADMIN}add-user`, right)).toContain(
      'status="completed"><note type="info">Operation finished successfully</note>',
    );
    expect(await perform(guest, `${ADMIN}add-user`, right)).toContain('User already exists');
    const elsewhere = { ...right, accountjid: 'carol@example.org' };
    expect(await perform(guest, `${ADMIN}add-user`, elsewhere)).toContain(
      'Cannot create remote user',
    );
    const changed = { ...carol, password: 'three' };
    expect(await perform(guest, `${ADMIN}change-user-password`, changed)).toContain(
      'finished successfully',
    );
    const client = world.connect();
    expect(await answered(client, client.authenticate('carol', 'three'))).toContain('<success');
    client.bind('r');
    expect(
      await perform(guest, `${ADMIN}delete-user`, { accountjids: ['carol@localhost'] }),
    ).toContain('finished successfully');
    expect(client.transport.ended).toBe('end');
    expect(
      await perform(guest, `${ADMIN}delete-user`, { accountjids: ['carol@localhost'] }),
    ).toContain('User does not exist: carol@localhost');
    const own = { accountjids: ['guest@localhost'] };
    expect(await perform(guest, `${ADMIN}delete-user`, own)).toContain('<note type="error">');
    const configured = { accountjids: ['alice@localhost'] };
    expect(await perform(guest, `${ADMIN}delete-user`, configured)).toContain('configuration');
  });

  test('tells who there is, and who is online', async () => {
    const world = createXmppWorld();
    const guest = administrator(world);
    world.online('alice', 'one');
    world.login('alice', 'two');
    const value = async (name: string): Promise<readonly (string | undefined)[]> =>
      [...(await execute(guest, ADMIN + name, '', filled({}))).matchAll(/<value>([^<]*)<\/value>/g)]
        .map((match) => match[1])
        .slice(1);
    const users = await value('get-registered-users-list');
    expect(users).toEqual(expect.arrayContaining(['alice@localhost', 'guest@localhost']));
    expect(await value('get-registered-users-num')).toEqual([String(users.length)]);
    expect(await value('get-online-users-num')).toEqual(['2']);
    expect(await value('get-online-users-list')).toEqual(['guest@localhost', 'alice@localhost']);
    expect(await value('get-active-users-num')).toEqual(['1']);
    expect(await value('get-active-users')).toEqual(['alice@localhost']);
    expect(await value('get-idle-users-num')).toEqual(['1']);
    expect(await value('get-sessions-num')).toEqual(['3']);
    expect(await value('get-active-presences')).toEqual([
      '&lt;presence from="alice@localhost/one" xmlns="jabber:client"&gt;&lt;priority&gt;0&lt;/priority&gt;&lt;/presence&gt;',
    ]);
    expect(await perform(guest, `${ADMIN}get-online-users-list`, { max_items: '1' })).not.toContain(
      'alice',
    );
  });

  test('ends sessions, and tells when somebody was last here', async () => {
    const world = createXmppWorld();
    const guest = administrator(world);
    const alice = world.online('alice', 'one');
    const who = { accountjids: ['alice@localhost'] };
    expect(
      await perform(guest, `${ADMIN}get-user-lastlogin`, { accountjids: 'bob@localhost' }),
    ).toContain('never here');
    expect(await perform(guest, `${ADMIN}end-user-session`, who)).toContain('1 sessions ended');
    expect(alice.take()).toContain('<policy-violation');
    expect(
      await perform(guest, `${ADMIN}get-user-lastlogin`, { accountjids: 'alice@localhost' }),
    ).toMatch(/<field var="lastlogin"><value>\d{4}-\d\d-\d\dT/);
  });

  test('shows a roster, statistics of a user and of the server, and checks a password', async () => {
    const world = createXmppWorld();
    const guest = administrator(world);
    const alice = world.online('alice', 'one');
    alice.send(
      "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='x@y' name='X'/></query></iq>",
    );
    const who = { accountjids: ['alice@localhost'] };
    const roster = await perform(guest, `${ADMIN}get-user-roster`, who);
    expect(roster).toContain('<field var="accountjids"><value>alice@localhost</value></field>');
    expect(roster).toContain('<item jid="x@y" subscription="none" name="X"/>');
    const stats = await perform(guest, `${ADMIN}user-stats`, who);
    expect(stats).toContain('<field var="rostersize"><value>1</value></field>');
    expect(stats).toContain('<field var="onlineresources"><value>one</value></field>');
    const server = await execute(guest, `${ADMIN}get-server-stats`);
    expect(server).toContain('<field var="name"><value>Rosetta MQ</value></field>');
    expect(server).toContain('<field var="sessionsnum"><value>2</value></field>');
    expect(server).toMatch(/<field var="queues"><value>\d+<\/value><\/field>/);
    const check = (accountjid: string, password: string): Promise<string> =>
      perform(guest, `${ADMIN}authenticate-user`, { accountjid, password });
    expect(await check('alice@localhost', 'secret')).toContain('finished successfully');
    expect(await check('alice@localhost', 'wrong')).toContain('Authentication failed');
    expect(await check('nobody@localhost', 'x')).toContain('User does not exist');
    expect(await check('alice@example.org', 'x')).toContain('Cannot authenticate remote user');
    expect(await check('a@b@c', 'x')).toContain('Please provide a valid JID');
  });

  test('answers at the account of who asks too', async () => {
    const guest = administrator();
    const own = "to='guest@localhost'";
    const listed = guest.send(
      `<iq type='get' id='d' ${own}><query xmlns='http://jabber.org/protocol/disco#items' node='${COMMANDS}'/></iq>`,
    );
    expect(listed).toContain(`<item jid="guest@localhost" node="${ADMIN}add-user"`);
    const command = `<command xmlns='${COMMANDS}' node='${ADMIN}get-sessions-num'/>`;
    const sent = guest.send(`<iq type='set' id='c' ${own}>${command}</iq>`);
    expect(await answered(guest, sent)).toContain('status="completed"');
  });

  test('announces', async () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'one');
    const answer = await perform(administrator(world), `${ADMIN}announce`, {
      subject: 'Soon',
      announcement: ['We go down', 'at noon'],
    });
    expect(answer).toContain('1 sessions told');
    expect(alice.take()).toMatch(
      /^<message from="localhost" to="alice@localhost\/one" id="[^"]+"><subject>Soon<\/subject><body>We go down\nat noon<\/body><\/message>$/,
    );
  });
});

describe('commands about the broker', () => {
  test('list what the user may read, and purge what the user may', async () => {
    const world = createXmppWorld();
    const alice = world.login('alice', 'one');
    for (const queue of ['jobs', 'limited-q']) {
      alice.send(`<message to='${queue}@queues.localhost' id='m'><body>x</body></message>`);
    }
    publish(world, '', 'jobs', 'two');
    const listed = await perform(alice, `${OWN}list-queues`, { pattern: 'jobs' });
    expect(listed).toContain(
      '<item><field var="name"><value>jobs</value></field><field var="type"><value>classic</value></field><field var="durable"><value>true</value></field><field var="ready"><value>2</value></field>',
    );
    expect(listed).not.toContain('limited-q');
    const limited = world.login('limited', 'one');
    const readable = await perform(limited, `${OWN}list-queues`, {});
    expect(readable).toContain('limited-q');
    expect(readable).not.toContain('jobs');
    expect(readable).not.toContain('xmpp-inbox');
    expect(await perform(limited, `${OWN}purge-queue`, { queue: 'jobs' })).toContain('<forbidden');
    expect(await perform(alice, `${OWN}purge-queue`, { queue: 'none' })).toContain(
      '<item-not-found',
    );
    expect(await perform(alice, `${OWN}purge-queue`, { queue: 'jobs' })).toContain(
      '2 messages removed from jobs',
    );
  });

  test('list exchanges and bindings', async () => {
    const world = createXmppWorld();
    const alice = world.online('alice', 'one');
    alice.send("<presence to='amq.topic%25a.b@exchanges.localhost'/>");
    const exchanges = await perform(alice, `${OWN}list-exchanges`, { pattern: 'topic' });
    expect(exchanges).toContain(
      '<item><field var="name"><value>amq.topic</value></field><field var="type"><value>topic</value></field>',
    );
    const bindings = await perform(alice, `${OWN}list-bindings`, {});
    expect(bindings).toContain('<reported><field var="source"');
    expect(bindings).not.toContain('xmpp-inbox');
  });

  test('give a sign of life to everybody', async () => {
    const answer = await execute(createXmppWorld().login('alice', 'one'), 'ping');
    expect(answer).toMatch(/<field var="timestamp"><value>\d{4}-\d\d-\d\dT[\d:]+Z</);
  });
});
